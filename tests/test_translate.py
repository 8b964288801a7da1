from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import translation_servers
from translation_servers import Service

from clir_bench.cli import _verb
from clir_bench.cli_translate import add_translate
from clir_bench.collection import Collection
from clir_bench.errors import CacheError, ModelError
from clir_bench.parts.translators import Translated, TranslatorFacts, load_translator
from clir_bench.parts.translators import libretranslate_service as libretranslate
from clir_bench.parts.translators.service import PROBES
from clir_bench.task import Task
from clir_bench.translate import Counts, Translations, _key, _Line, _Shelf, translate_collection, translate_texts, write_translations

KEY = "secret-key-4711"


class Reverser:
    """A real little translator: it turns texts round. Counts what it is asked, fails for texts with ``!``, truncates at ten characters."""

    def __init__(self, version: int = 1, stop_after: int | None = None) -> None:
        self.version, self.stop_after = version, stop_after
        self.asked: list[tuple[str, str]] = []

    def identity(self, language: str) -> dict[str, str | int]:
        return {"kind": "reverser", "revision": self.version, "source": language}

    def facts(self) -> TranslatorFacts:
        return TranslatorFacts("reverser", "reverser", str(self.version), None, None, "document", None, 10, None, None)

    def translate(self, texts: Sequence[str], language: str) -> Iterator[Translated]:
        for row in reversed(range(len(texts))):
            if self.stop_after is not None and len(self.asked) >= self.stop_after:
                raise KeyboardInterrupt
            self.asked.append((language, texts[row]))
            if "!" in texts[row]:
                yield Translated(row, None, "shouted at")
            else:
                yield Translated(row, f"{self.version}:{texts[row][:10][::-1]}", None, len(texts[row]) > 10, "…" in texts[row])


TEXTS = ["eins…", "one", "zwei", "eins…", "un", "nein!", "eins", "ein langer Text", "simple", " "]
LANGUAGES = ["de", "en", "de", "de", "fr", "de", "fr", "de", "en-simple", "de"]
ENGLISH = ["1:…snie", "one", "1:iewz", "1:…snie", "1:nu", None, "1:snie", "1:regnal nie", "simple", " "]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setattr(libretranslate, "BACKOFF", 0.01)
    monkeypatch.setattr(libretranslate, "TRIES", 2)
    monkeypatch.setenv("LIBRETRANSLATE_API_KEY", KEY)
    with translation_servers.serve() as found:
        yield found


def test_each_distinct_text_is_translated_once_a_language_and_english_is_copied(tmp_path: Path) -> None:
    translator = Reverser()
    found = translate_texts(translator, TEXTS, LANGUAGES, tmp_path)
    assert found.english == ENGLISH
    assert found.problems == [None] * 5 + ["shouted at"] + [None] * 4
    assert sorted(translator.asked) == sorted({(lang, text) for lang, text in zip(LANGUAGES, TEXTS, strict=True) if lang in ("de", "fr") and text.strip()})
    assert found.counts == {
        "de": Counts(texts=6, copied=1, translated=4, failed=1, truncated=1, cut=2),
        "en": Counts(1, 1),
        "en-simple": Counts(1, 1),
        "fr": Counts(texts=2, translated=2),
    }


def test_what_is_kept_is_not_asked_again_and_failures_are(tmp_path: Path) -> None:
    translate_texts(Reverser(), TEXTS, LANGUAGES, tmp_path)
    again = Reverser()
    found = translate_texts(again, TEXTS, LANGUAGES, tmp_path)
    assert (found.english, again.asked) == (ENGLISH, [("de", "nein!")])
    assert found.counts["de"] == Counts(texts=6, copied=1, cached=4, failed=1, truncated=1, cut=2)


def test_another_translator_language_or_text_is_another_translation(tmp_path: Path) -> None:
    translate_texts(Reverser(), ["eins"], ["de"], tmp_path)
    assert translate_texts(Reverser(2), ["eins"], ["de"], tmp_path).english == ["2:snie"]
    for text, language in (("eins", "fr"), ("eins ", "de")):
        other = Reverser()
        translate_texts(other, [text], [language], tmp_path)
        assert other.asked == [(language, text)]


def test_an_interrupted_run_keeps_every_finished_text(tmp_path: Path) -> None:
    texts = [f"text {i}" for i in range(20)]
    with pytest.raises(KeyboardInterrupt):
        translate_texts(Reverser(stop_after=13), texts, ["de"] * 20, tmp_path)
    rest = Reverser()
    found = translate_texts(rest, texts, ["de"] * 20, tmp_path)
    assert len(rest.asked) == 7 and found.counts["de"] == Counts(texts=20, cached=13, translated=7)


def test_a_damaged_cache_gives_no_translation(tmp_path: Path) -> None:
    texts = ["eins", "zwei", "drei", "vier"]
    translate_texts(Reverser(), texts, ["de"] * 4, tmp_path)
    (file,) = tmp_path.glob("*/*.jsonl")
    lines = file.read_bytes().split(b"\n")
    assert len(lines) == 5
    lines[0] = lines[0].replace(b"1:", b"9:")  # another translation
    lines[1] = lines[1][:40]
    file.write_bytes(b"\n".join([*lines[:3], lines[3][:-3]]))  # the last line torn, as by a kill
    again = Reverser()
    with pytest.warns(RuntimeWarning, match="2 damaged lines"):
        found = translate_texts(again, texts, ["de"] * 4, tmp_path)
    assert found.english == [f"1:{text[::-1]}" for text in texts] and len(again.asked) == 3
    other = tmp_path / "elsewhere"
    translate_texts(Reverser(2), ["eins"], ["de"], other)
    (folder,) = other.iterdir()
    file.rename(folder / "moved.jsonl")  # another identity's file
    with pytest.warns(RuntimeWarning, match="damaged"):
        assert translate_texts(Reverser(2), ["zwei"], ["de"], other).english == ["2:iewz"]


def test_half_a_surrogate_pair_is_no_translation_given_or_kept(tmp_path: Path, sample: tuple[Task, Collection]) -> None:
    texts = sample[1].pool.take([0, 1])
    found = translate_texts(Reverser(), ["\ud800 a", "b"], ["de", "de"], tmp_path)
    assert (found.english, found.problems) == ([None, "1:b"], ["the translation is no UTF-8 text", None])
    write_translations(tmp_path / "t.parquet", texts, found)
    shelf = _Shelf(tmp_path, Reverser().identity("de"))
    line = _Line(_key("c"), "\ud800", False, False)
    kept = json.dumps({**line._asdict(), "check": shelf._check(line)})
    (shelf.folder / "old.jsonl").write_text(f"{kept}\n", encoding="utf-8")
    with pytest.warns(RuntimeWarning, match="1 damaged line"):
        assert translate_texts(Reverser(), ["c"], ["de"], tmp_path).english == ["1:c"]


def test_a_cache_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(CacheError, match="--cache-dir"):
        translate_texts(Reverser(), ["eins"], ["de"], tmp_path / "file")


def test_a_collection_is_translated_row_by_row_and_its_own_english_copied(sample: tuple[Task, Collection]) -> None:
    collection = sample[1]
    given = {identifier: f"own {identifier}" for identifier, language in zip(collection.pool.ids, collection.pool.languages, strict=True) if language == "de"}
    translator = Reverser()
    found = translate_collection(collection, translator, None, given=given)
    for row, (identifier, language, text) in enumerate(zip(collection.pool.ids, collection.pool.languages, collection.pool.texts, strict=True)):
        assert found.english[row] == (given.get(identifier) or (text if language == "en" else f"1:{text[:10][::-1]}") if "!" not in text else None)
    assert all(language != "de" for language, _ in translator.asked)
    assert sum(tally.texts for tally in found.counts.values()) == len(collection.pool) and found.counts["de"].copied == len(given)
    assert len(translate_collection(collection, Reverser(), None, which="queries").english) == len(collection.queries)


def test_translations_are_written_with_their_sources_and_problems(tmp_path: Path, sample: tuple[Task, Collection]) -> None:
    texts = sample[1].pool.take([0, 1])
    write_translations(tmp_path / "new" / "t.parquet", texts, Translations(["a", None], [None, "why"], {}, 0.0))
    table = pq.read_table(tmp_path / "new" / "t.parquet").to_pydict()
    assert table == {"_id": texts.ids, "lang": texts.languages, "text": texts.texts, "english": ["a", None], "problem": [None, "why"]}
    assert [f.name for f in (tmp_path / "new").iterdir()] == ["t.parquet"]


def test_killed_at_any_moment_only_the_rest_is_asked_again(tmp_path: Path, service: Service) -> None:
    texts = [f"Satz {chr(97 + i // 20)}{chr(97 + i % 20)}." for i in range(200)]
    (tmp_path / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    program = (
        "import json, sys; from pathlib import Path; from clir_bench.parts.translators import load_translator; from clir_bench.translate import translate_texts\n"
        "texts = json.loads(Path(sys.argv[1], 'texts.json').read_text())\n"
        "found = translate_texts(load_translator(sys.argv[2]), texts, ['de'] * len(texts), Path(sys.argv[1], 'cache'))\n"
        "print(json.dumps(found.english))"
    )
    command = [sys.executable, "-c", program, str(tmp_path), f"libretranslate:{service.url}"]
    service.delay = 0.05
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ)
    deadline = time.monotonic() + 60
    while len(service.seen) < 5 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    before = {text for batch in service.seen[:-1] for text in batch} & set(texts)  # the last may not have been answered
    assert 0 < len(before) < 200
    service.seen.clear()
    service.delay = 0.0
    result = subprocess.run(command, capture_output=True, check=True, env=os.environ)
    assert json.loads(result.stdout) == [service.english(text) for text in texts]
    assert not before & {text for batch in service.seen for text in batch}
    assert not any(KEY.encode() in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    add_translate(partial(_verb, parser.add_subparsers()))
    options = parser.parse_args(["translate", *arguments])
    return int(options.run(options))


def test_the_verb_shows_a_table_the_failures_and_the_next_step(service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = f"libretranslate:{service.url}"
    command = ("sample", "--translator", spec, "--limit", "2", "--cache-dir", str(tmp_path), "--output", str(tmp_path / "out.parquet"))
    service.languages = ("de", "en", "ru")
    assert run(*command) == 2
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split() == ["language", "texts", "copied", "cached", "translated", "failed", "truncated", "cut"]
    assert ["de", "2", "0", "0", "2", "0", "0", "0"] in [line.split() for line in lines] and ["en", "2", "2", "0", "0", "0", "0", "0"] in [
        line.split() for line in lines
    ]
    assert "(ja): unsupported language 'ja'" in out and lines[-2] == f"wrote {tmp_path / 'out.parquet'}" and "translating de" in err
    service.seen.clear()
    assert run(*command, "--json", "-q") == 2
    found = json.loads(capsys.readouterr().out)
    assert found["counts"]["de"] == {"texts": 2, "copied": 0, "cached": 2, "translated": 0, "failed": 0, "truncated": 0, "cut": 0}
    assert found["translator"]["kind"] == "libretranslate"
    assert {text for batch in service.seen for text in batch} <= set(PROBES.values())
    assert pq.read_table(tmp_path / "out.parquet").num_rows == sum(row["texts"] for row in found["counts"].values())
    assert KEY not in out + err + json.dumps(found)


def test_a_server_that_is_not_there_writes_no_file(service: Service, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be reached"):
        run("sample", "--translator", "libretranslate:http://127.0.0.1:1", "--cache-dir", str(tmp_path), "--output", str(tmp_path / "out.parquet"), "-q")
    assert not list(tmp_path.iterdir())


def test_the_verb_ends_well_where_nothing_failed(service: Service, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = (str(tiny), "--translator", f"libretranslate:{service.url}", "--queries", "--cache-dir", str(tmp_path), "--output", str(tmp_path / "q.parquet"))
    assert run(*command) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("next: clir-bench evaluate --task ") and "--documents english --translator libretranslate:" in last


def test_the_modules_load_without_torch() -> None:
    program = "import sys, clir_bench.translate, clir_bench.cli_translate, clir_bench.parts.translators; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout.strip() == "False"


def test_a_translator_by_name_is_one(service: Service) -> None:
    made = load_translator(f"libretranslate:{service.url}", by="document")
    assert made.facts().by == "document" and made.identity("de") != load_translator(f"libretranslate:{service.url}").identity("de")
