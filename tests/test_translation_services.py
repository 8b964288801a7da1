from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
import translation_servers
from translation_servers import Service

from clir_bench.errors import MissingExtra, ModelError
from clir_bench.parts.translators import Translated, load_translator
from clir_bench.parts.translators import libretranslate_service as libretranslate

KEY = "secret-key-0815:fx"
TEXTS = ["eins zwei.", "drei vier.", "fünf."]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    import deepl

    monkeypatch.setattr(libretranslate, "BACKOFF", 0.01)
    monkeypatch.setattr(libretranslate, "TIMEOUT", (2.0, 0.5))
    monkeypatch.setattr(libretranslate, "TRIES", 3)
    monkeypatch.setattr(deepl.http_client, "max_network_retries", 2)
    monkeypatch.setattr(deepl.http_client, "min_connection_timeout", 0.5)
    monkeypatch.setattr(deepl.http_client._BackoffTimer, "BACKOFF_INITIAL", 0.01)
    monkeypatch.setenv("DEEPL_AUTH_KEY", KEY)
    monkeypatch.setenv("LIBRETRANSLATE_API_KEY", KEY)
    with translation_servers.serve() as found:
        monkeypatch.setenv("DEEPL_SERVER_URL", found.url)
        yield found


@pytest.fixture(params=["libretranslate", "deepl"])
def spec(request: pytest.FixtureRequest, service: Service) -> str:
    return f"libretranslate:{service.url}" if request.param == "libretranslate" else "deepl"


def translate(spec: str, texts: list[str] = TEXTS, language: str = "de") -> list[Translated]:
    return sorted(load_translator(spec).translate(texts, language))


def test_texts_are_translated_in_order_and_long_ones_in_pieces(service: Service, spec: str) -> None:
    assert [made.text for made in translate(spec)] == [service.english(text) for text in TEXTS]
    service.seen.clear()
    sentence = "Ein Satz von etwas Länge. "
    (made,) = translate(spec, [sentence * 60 + "\n" + "Schluss."])
    assert made.text and made.text.endswith("\n" + service.english("Schluss."))
    assert all(len(text) <= 1000 for batch in service.seen for text in batch) and sum(map(len, service.seen)) == 3


def test_languages_are_the_servers_own_and_others_are_problems(service: Service, spec: str) -> None:
    assert [made.problem for made in translate(spec, ["ein"], "nn")] == ["unsupported language 'nn'"] and not service.seen
    for language in ("no", "zh", "zh-Hant"):
        translate(spec, ["ein"], language)
    assert service.sources == (["nb", "zh", "zt"] if spec != "deepl" else ["NB", "ZH", "ZH"])


@pytest.mark.parametrize("fault", ["500", "broken", "hang"])
def test_a_passing_fault_costs_nothing(service: Service, spec: str, fault: str) -> None:
    service.faults = [fault]
    assert [made.text for made in translate(spec)] == [service.english(text) for text in TEXTS]
    assert len(service.seen) == 2


def test_a_busy_server_is_asked_again_when_it_said(service: Service) -> None:
    service.faults = ["busy"]
    assert all(made.text for made in translate(f"libretranslate:{service.url}"))
    assert service.times[1] - service.times[0] >= 1.0


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("500", "500|failed"),
        ("broken", "broke|onnection"),
        ("html", "no JSON|0 translations for 3 texts"),
        ("fewer", "2 translations for 3 texts"),
        ("empty", "is empty"),
    ],
)
def test_a_lasting_fault_is_a_problem_of_each_text_and_never_a_translation(service: Service, spec: str, fault: str, said: str) -> None:
    service.always = fault
    for made in translate(spec):
        assert made.text is None and any(part in str(made.problem) for part in said.split("|")), made
        assert KEY not in str(made.problem)


def test_after_three_failures_in_a_row_the_rest_is_not_asked(service: Service) -> None:
    service.always = "500"
    made = translate(f"libretranslate:{service.url}", [f"Text {chr(97 + i)}{chr(97 + k)}" for i in range(10) for k in range(10)])
    assert len(service.seen) == 3 * 3 and sum("not asked" in str(m.problem) for m in made) == 40


def test_a_text_that_the_server_does_not_take_leaves_the_others(service: Service, spec: str) -> None:
    service.refused = "drei"
    found = translate(spec)
    assert [made.text for made in found] == [service.english(TEXTS[0]), None, service.english(TEXTS[2])]
    assert "text not taken" in str(found[1].problem)


def test_a_refused_key_ends_it_and_is_told_nowhere(service: Service, spec: str) -> None:
    service.key = "another"
    translator = load_translator(spec)
    with pytest.raises(ModelError) as caught:
        list(translator.translate(TEXTS, "de"))
    told = f"{caught.value!r}{caught.value.__cause__!r}{translator!r}{translator.identity('de')}{translator.facts()}{vars(translator)}"
    assert KEY not in told and "secret" not in told and "_KEY" in str(caught.value)


def test_an_address_may_hold_a_password_that_no_identity_shows(service: Service) -> None:
    place = service.url.removeprefix("http://")
    translator = load_translator(f"libretranslate:http://user:hush@{place}/?api_key=hush")
    assert translator.identity("de")["model"] == service.url and "hush" not in str(translator.facts())
    with pytest.raises(ModelError, match="name the server"):
        load_translator("libretranslate:")


def test_deepl_without_a_key_or_package_says_so(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEEPL_AUTH_KEY")
    with pytest.raises(ModelError, match="DEEPL_AUTH_KEY"):
        load_translator("deepl")
    monkeypatch.setitem(sys.modules, "deepl", None)
    with pytest.raises(MissingExtra, match=r"clir-bench\[deepl\]"):
        load_translator("deepl")


def test_googletrans_maps_chinese_lacks_nynorsk_and_survives_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package with its transport replaced: it speaks to one fixed host only."""
    httpx = pytest.importorskip("httpx")
    client = pytest.importorskip("googletrans.client")
    from clir_bench.parts.translators import googletrans_service

    monkeypatch.setattr(googletrans_service, "BACKOFF", 0.01)
    asked: list[dict[str, str]] = []

    def answer(request: object) -> object:
        query = dict(request.url.params)  # type: ignore[attr-defined]
        asked.append(query)
        if len(asked) == 1:
            return httpx.Response(429)
        return httpx.Response(200, json=[[[f"en:{query['q']}", query["q"]]], None, query["sl"]])

    class Local(httpx.AsyncClient):  # type: ignore[misc, name-defined]
        def __init__(self, **_: object) -> None:
            super().__init__(transport=httpx.MockTransport(answer))

    monkeypatch.setattr(client.httpx, "AsyncClient", Local)
    translator = load_translator("googletrans")
    assert [made.text for made in sorted(translator.translate(["一。", "二。"], "zh"))] == ["en:一。", "en:二。"]
    assert {query["sl"] for query in asked} == {"zh-cn"}
    assert [made.problem for made in translator.translate(["ein"], "nn")] == ["unsupported language 'nn'"]
