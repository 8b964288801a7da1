from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import translation_servers
from translation_servers import Service

from clir_bench.errors import MissingExtra, ModelError
from clir_bench.parts.translators import Translated, Translator, load_translator
from clir_bench.parts.translators import libretranslate_service as libretranslate
from clir_bench.translate import translate_texts

KEY = "secret-key-0815:fx"
TEXTS = ["eins zwei.", "drei vier.", "fünf."]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    import deepl

    monkeypatch.setattr(libretranslate, "BACKOFF", 0.01)
    monkeypatch.setattr(libretranslate, "TIMEOUT", (2.0, 0.5))
    monkeypatch.setattr(libretranslate, "TRIES", 3)
    monkeypatch.setattr(libretranslate, "FIRST_TIMEOUT", (2.0, 0.5))
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


def translate_told(translator: Translator, service: Service) -> str:
    """What a translator says of itself, once the server takes its key."""
    service.key = ""
    return f"{translator.identity('de')}{translator.facts()}"


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


def test_failures_in_one_language_count_in_the_next(service: Service) -> None:
    translator = load_translator(f"libretranslate:{service.url}")
    assert next(translator.translate(["ein."], "de")).text
    service.always, service.seen[:] = "500", []
    for language in ("de", "fr", "es", "ru"):
        list(translator.translate(["ein."], language))
    assert len(service.seen) == 3 * 3


@pytest.mark.parametrize("fault", ["500", "broken", "html", "fewer", "empty"])
def test_a_service_that_does_not_answer_at_first_ends_it_at_once(service: Service, spec: str, fault: str) -> None:
    service.always = fault
    if fault == "empty":  # is an answer
        assert str(load_translator(spec).identity("de")["revision"]).startswith("answers-")
        return
    with pytest.raises(ModelError, match="start the same command again") as caught:
        load_translator(spec).identity("de")
    assert KEY not in str(caught.value)


def test_a_server_that_is_not_there_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libretranslate, "BACKOFF", 0.01)
    translator = load_translator("libretranslate:http://127.0.0.1:1")
    for use in (lambda: translator.identity("de"), translator.facts, lambda: list(translator.translate(TEXTS, "de"))):
        with pytest.raises(ModelError, match=r"http://127\.0\.0\.1:1: the server cannot be reached, 3 times"):
            use()


def test_a_service_is_known_by_its_server_and_its_answers_which_are_asked_once(service: Service, spec: str) -> None:
    translator = load_translator(spec)
    first = translator.identity("de")
    asked = [text for batch in service.seen for text in batch]
    assert len(asked) == 3 and translator.identity("de") == first and translator.facts().revision == first["revision"]
    assert [text for batch in service.seen for text in batch] == asked
    assert first["server"] == service.url and load_translator(spec).identity("de") == first
    service.salt = "better "
    assert load_translator(spec).identity("de")["revision"] != first["revision"]
    service.languages = ("ar", "en")  # one of the probes' languages
    assert str(load_translator(spec).identity("ar")["revision"]).startswith("answers-")


def test_a_used_up_quota_keeps_what_is_finished_so_that_the_next_run_goes_on(service: Service, spec: str, tmp_path: Path) -> None:
    texts = [" ".join(f"{chr(97 + i)}: ein Satz {k} von etwas Länge." for k in range(100 + i)) for i in range(30)]  # 4 or 5 pieces each
    runs = 0
    while True:
        service.quota, runs = 40_000, runs + 1
        assert runs < 5, "no progress"
        try:
            found = translate_texts(load_translator(spec), texts, ["de"] * len(texts), tmp_path)
            break
        except ModelError as error:
            assert "quota" in str(error).lower() or "403" in str(error)
    assert runs in (2, 3, 4) and all(found.english)


def test_ten_texts_refused_in_a_row_end_it(service: Service, spec: str) -> None:
    service.refused = "drei"
    texts = [f"drei {chr(97 + i)}." for i in range(10)]
    assert [made.text for made in translate(spec, ["ein.", *texts[:9]])] == [service.english("ein."), *[None] * 9]
    with pytest.raises(ModelError, match="text not taken, and so for 10 texts in a row"):
        translate(spec, texts)


def test_a_refusal_for_want_of_a_key_ends_it(service: Service) -> None:
    service.refused, service.refusal = "drei", "Please contact the server operator to get an API key"
    with pytest.raises(ModelError, match=r"get an API key\. See the key in \$LIBRETRANSLATE_API_KEY"):
        translate(f"libretranslate:{service.url}")


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
    with pytest.raises(ModelError) as first:
        translator.identity("de")
    told = f"{caught.value!r}{caught.value.__cause__!r}{first.value!r}{translator!r}{vars(translator)}{translate_told(translator, service)}"
    assert KEY not in told and "secret" not in told and "_KEY" in str(caught.value)


@pytest.mark.parametrize(
    "address", ["http://user:hush@h:1", "hush@h", "http://h/?api_key=hush", "http://h/#hush", "http://h:hush", "http://h:99999", "ftp://hush"]
)
def test_an_address_that_holds_a_secret_or_is_none_is_refused_and_not_repeated(service: Service, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    specs = [f"libretranslate:{address}", f"deepl:{address}", f"libre:{address}", f"googletrans:{address}", address.replace("http:", "https:")]
    monkeypatch.setenv("DEEPL_SERVER_URL", address)
    for spec in [*specs[: None if ":" in address else -1], "deepl"]:
        with pytest.raises(ModelError) as caught:
            load_translator(spec)
        assert "hush" not in f"{caught.value!r}{caught.value.__cause__!r}" and "99999" not in str(caught.value)


def test_an_address_needs_no_scheme_and_may_be_of_version_six() -> None:
    assert vars(load_translator("libretranslate:Localhost:5000/"))["client"].name == "http://localhost:5000"
    assert vars(load_translator("libretranslate:http://[::1]:5000/api"))["client"].name == "http://[::1]:5000/api"
    with pytest.raises(ModelError, match="Name the server"):
        load_translator("libretranslate:")


def test_deepl_without_a_key_or_package_says_so(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEEPL_AUTH_KEY")
    with pytest.raises(ModelError, match="DEEPL_AUTH_KEY"):
        load_translator("deepl")
    monkeypatch.setitem(sys.modules, "deepl", None)
    with pytest.raises(MissingExtra, match=r"'\.\[deepl\]'"):
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
