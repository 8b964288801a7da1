"""Files that mean harm: each is refused with one clear error, in the end and in little memory, or accepted and harmless."""

from __future__ import annotations

import base64
import copy
import json
import os
import pickle
import resource
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clir_bench.checking import check_files, find_files
from clir_bench.errors import SubmissionError
from clir_bench.records import MOST_MEASURES
from clir_bench.submission import MAX_BYTES, Submission, disagreements, parse_submission, path_of, read_submission, to_json
from clir_bench.trust import assess

ROOT = Path(__file__).parent.parent
VALID: dict[str, Any] = json.loads((ROOT / "submissions" / "clir-bench__bm25" / "multilingual" / "sample-v1.json").read_text(encoding="utf-8"))
TEXT = json.dumps(VALID)
SECONDS, MEGABYTES = 60, 200.0
"""Far more than a file needs (at most about 1 s and 100 MB): what grows with the square of a file's size needs more."""


def changed(*edits: Callable[[dict[str, Any]], object]) -> str:
    content = copy.deepcopy(VALID)
    for edit in edits:
        edit(content)
    return json.dumps(content)


def at(path: str, value: object) -> Callable[[dict[str, Any]], object]:
    """Put a value where ``system.stages.0.tokenizer`` says."""

    def put(content: Any) -> None:
        *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        for step in steps:
            content = content[step]
        content[last] = value

    return put


def judge(text: str | bytes) -> str:
    """What is said of a file by all that CI does with it; "" if it passes."""
    try:
        submission = parse_submission(text, "f.json")
        assess(submission)
        if problems := disagreements(submission):
            raise SubmissionError.of("f.json", problems)
    except SubmissionError as error:
        return str(error)
    return ""


def measured(task: Callable[[], str]) -> tuple[str, float]:
    """(what it gave, megabytes that it needed) in a process of its own, which the system ends after SECONDS of CPU."""
    reader, writer = os.pipe()
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        try:
            found: object = task()
        except BaseException as error:
            found = error
        with os.fdopen(writer, "wb") as stream:
            pickle.dump((found, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3 - before), stream)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        answer = stream.read()
    assert os.waitpid(child, 0)[1] == 0, "no answer: it was ended"
    found, megabytes = pickle.loads(answer)
    if isinstance(found, BaseException):
        raise found
    return found, megabytes


def huge_ranks(content: dict[str, Any]) -> None:
    """As many ranks as are read, in a few bytes, and as many measures as are allowed."""
    stat = {"n": 1_000_000, "sum": 0.0, "sum_squares": 0.0}
    content["pairs"] = [{"query": "en", "document": "de", "measures": {f"nDCG@{k}": stat for k in range(1, MOST_MEASURES + 1)}}]
    content.update(complete=False, bias=[])
    content["gold_ranks"] = {"encoding": "zlib+base64", "full": zipped(b"\xff" * 1_000_000), "own_language": None, "golds": None, "grades": None}


def several_each(content: dict[str, Any]) -> None:
    """The same with two relevant documents a query, which takes longer."""
    huge_ranks(content)
    for stat in content["pairs"][0]["measures"].values():
        stat["n"] = 500_000
    content["gold_ranks"].update(golds=zipped(b"\2" * 500_000), grades=zipped(b"\2" * 1_000_000))


def zipped(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content, 9)).decode()


BOMB = zipped(b"\1" * 100_000_000)
FILES: dict[str, tuple[str | bytes, str]] = {
    "100,000 brackets": ("[" * 100_000, "not JSON: recursion limit"),
    "100,000 braces": ('{"a":' * 100_000, "not JSON: recursion limit"),
    "brackets in a field": (TEXT.replace('"pool": {', '"notes": ' + "[" * 50_000 + "]" * 50_000 + ', "pool": {', 1), "recursion limit"),
    "1e400": (TEXT.replace('"sum": ', '"sum": 1e400, "was": ', 1), "Input should be a finite number, but it is inf"),
    "NaN": (TEXT.replace('"sum": ', '"sum": NaN, "was": ', 1), "Input should be a finite number, but it is nan"),
    "-Infinity": (TEXT.replace('"sum": ', '"sum": -Infinity, "was": ', 1), "Input should be a finite number, but it is -inf"),
    "5,000 digits": (TEXT.replace('"n": 96', '"n": 1' + "0" * 5000, 1), "not JSON: number out of range"),
    "3,000,000 digits": (TEXT.replace('"n": 96', '"n": 1' + "0" * 3_000_000, 1), "not JSON: number out of range"),
    "a key twice": (TEXT.replace('"n": 96', '"n": 95, "n": 96', 1), "the key 'n' stands 2 times in one object. Keep one."),
    "a key twice, one escaped": (TEXT.replace('"complete"', r'"compl\u0065te": false, "complete"', 1), "the key 'complete' stands 2 times"),
    "a byte order mark": (b"\xef\xbb\xbf" + TEXT.encode(), "not JSON: expected value at line 1 column 1"),
    "wrong UTF-8": (TEXT.encode().replace(b"Python", b"Pyth\xffn", 1).replace(b'"complete"', b'"compl\xffete"', 1), "not JSON: invalid unicode"),
    "UTF-16": (TEXT.encode("utf-16"), "not JSON"),
    "half a character": (TEXT.replace('"notes": null', r'"notes": "\ud800"'), "not JSON"),
    "too large": (TEXT + " " * MAX_BYTES, f"bytes, but a submission has at most {MAX_BYTES}"),
    "nothing": ("", "not JSON: EOF"),
    "not an object": ("[]", "file: Input should be an object"),
    "300,000 keys": ("{" + ",".join(f'"k{i}":1' for i in range(300_000)) + "}", "it is none of our files"),
    "1,000,000 objects": (TEXT.replace('"pairs": [', '"pairs": [' + "{}," * 1_000_000, 1), "it is none of our files"),
    "90,000 empty pairs": (TEXT.replace('"pairs": [', '"pairs": [' + "{}," * 90_000, 1), "too many to name: it is no submission"),
    "1,000,000 numbers": (TEXT.replace('"notes": null', '"notes": [' + "1," * 1_000_000 + "1]"), "notes: Input should be a valid string"),
    "a key of 3,000,000 characters": (TEXT.replace('"notes"', f'"{"k" * 3_000_000}"'), "1 problem"),
    "a bomb of ranks": (changed(at("gold_ranks.full", BOMB)), "gold_ranks.full: more than 6144 bytes, but the pairs need 6144"),
    "a bomb of own ranks": (changed(at("gold_ranks.own_language", BOMB)), "gold_ranks.own_language: more than 6144 bytes"),
    "a bomb of golds": (changed(at("gold_ranks.golds", BOMB)), "gold_ranks.golds: more than 12288 bytes"),
    "a bomb of grades": (changed(at("gold_ranks.grades", BOMB)), "gold_ranks.grades: more than 6144 bytes"),
    "golds that ask for memory": (changed(at("gold_ranks.golds", zipped(b"\xff" * 12_288))), "relevant documents, but a submission holds at most 1000000"),
    "no ranks at all": (changed(at("gold_ranks.full", "")), "gold_ranks.full: 0 bytes"),
    "3,000 wrong pairs": (changed(lambda c: c["pairs"].extend({**c["pairs"][0], "query": "xx"} for _ in range(3000))), "too many to name: it is no submission"),
    "900 wrong pairs": (changed(lambda c: c["pairs"].extend({**c["pairs"][0], "injected": -1} for _ in range(900))), "pairs.ar-ar.injected: "),
    "a million ranks": (changed(huge_ranks), ""),
    "many measures of many documents": (changed(several_each), "50 measures of 1000000 relevant documents are 50000000 numbers"),
    "too many measures": (
        changed(at("pairs.0.measures", {f"nDCG@{k}": {"n": 96, "sum": 0.0, "sum_squares": 0.0} for k in range(1, MOST_MEASURES + 2)})),
        "pairs.ar-ar.measures: Dictionary should have at most 50 items",
    ),
    "a measure below the list": (changed(at("pairs.0.measures.R@250", {"n": 96, "sum": 0.0, "sum_squares": 0.0})), "R@250: deeper than task.depth 100"),
    "a day that is none": (changed(at("provenance.started", "2026-02-30T00:00:00Z")), "provenance.started"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_is_refused_and_in_little_memory(name: str) -> None:
    text, message = FILES[name]
    said, megabytes = measured(lambda: judge(text))
    if message:
        assert message in said
        assert said.startswith("f.json: ")
        assert len(said) < 100_000
    assert megabytes < MEGABYTES, f"{megabytes:.0f} MB"


NAMES = (
    "../../etc/passwd", "/etc/passwd", "a/../b", "..", "a", "a/b/c", "a\\b/c", "a/b\0", "a/b\n", "а/модель", "ａ/ｂ", "a/b\u202ecod", "a/b c", "a/b.", "a/-b", "a/b%2f",
    "con/", "a/<b>", "a/b;rm -rf", "a/$(b)", "~/b", ".a/b",
)  # fmt: skip
VARIANTS = ("..", ".", "", "a/b", "a\\b", "a\0", "a\n", "con", "NUL", "aux.txt", "com1", "LPT9.x", "v.", "-v", "<script>", "ｖ", "a b", "v" * 200)
TASKS = ("../t", "a/b", "t\\u", "t\0", "t t", "ｔ", "", ".t", "<b>", "t" * 100)


@pytest.mark.parametrize(
    ("path", "value"),
    [*(("system.name", name) for name in NAMES), *(("system.variant", name) for name in VARIANTS), *(("task.name", name) for name in TASKS)],
)
def test_a_name_that_is_a_path_or_no_folder_is_refused(path: str, value: str) -> None:
    said = judge(changed(at(path, value)))
    assert f"{path}: " in said
    assert "pattern" not in said  # to a person a regular expression says little


def test_what_is_no_json_is_told_without_its_bytes() -> None:
    assert judge(b'{"a": 1,\n') == "f.json: 1 problem\n  not JSON: EOF while parsing a value at line 2 column 0"


@pytest.mark.parametrize("part", ["measures", "own_language"])
def test_a_pair_has_one_name_whoever_finds_its_fault(part: str) -> None:
    """The parser of what is no number, and whoever computes it again."""
    broken = changed(lambda c: c["pairs"][1][part]["R@10"].update(sum=float("nan")))
    edited = changed(
        lambda c: c["pairs"][1][part]["R@10"].update(sum=96.0, sum_squares=96.0),
        lambda c: c["pairs"][1]["own_language"]["R@10"].update(sum=96.0, sum_squares=96.0),
    )
    where = f"pairs.ar-{VALID['pairs'][1]['document']}.{part}.R@10"
    assert f"{where}.sum: Input should be a finite number" in judge(broken)
    assert f"{where}: sum is 96.0" in judge(edited)
    assert "pairs[1].query: " in judge(changed(at("pairs.1.query", "<b>")))  # what is no language names no pair


MODEL = {"name": "o/m", "revision": "1", "licence": "MIT"}
CHAIN = [
    {"kind": "translate", "texts": "documents", "source": "s", "model": MODEL},
    {"kind": "encode", "model": MODEL, "protocol": "native", "pooling": "mean", "normalize": True, "similarity": "cosine", "max_tokens": 9, "query_prompt": "",
     "document_prompt": "", "dtype": "float32"},
    {"kind": "search", "index": "hnsw", "library": "l", "m": 1, "ef_construction": 1, "ef": 1},
    {"kind": "rerank", "model": MODEL, "depth": 9, "max_tokens": 9, "template": "", "dtype": "float32"},
    {"kind": "external", "model": MODEL, "source": "s"},
]  # fmt: skip
ONE_LINE = (
    "system.stages.0.model.licence", "system.stages.0.model.revision", "system.stages.1.pooling", "submitter", "provenance.cpu", "provenance.gpu",
    "provenance.platform", "provenance.python", "provenance.clir_bench", "provenance.git_commit", "timings.0.stage",
)  # fmt: skip
TEXTS = (
    "notes", "citation", "system.signature", "provenance.command", "system.stages.0.source", "system.stages.1.query_prompt", "system.stages.1.document_prompt",
    "system.stages.2.library", "system.stages.3.template", "system.stages.4.source",
)  # fmt: skip
LABELS = ("system.stages.0.model.licence", "system.stages.0.model.revision", "submitter")


def chained(path: str, value: str) -> str:
    return judge(changed(at("system.stages", json.loads(json.dumps(CHAIN))), at(path, value)))


LIMITS = {
    "system.stages.0.model.parameters": 10**14, "system.stages.0.model.weights_bytes": 10**15, "system.stages.0.model.embedding_dim": 10**6,
    "system.stages.1.max_tokens": 10**9, "system.stages.2.m": 10**9, "system.stages.2.ef": 10**9, "system.stages.2.ef_construction": 10**9,
    "system.stages.3.depth": 10**9, "system.stages.3.max_tokens": 10**9, "system.stages.0.truncated": 10**12, "system.stages.2.seed": 2**63 - 1,
    "provenance.seed": 2**63 - 1, "provenance.cores": 10**5, "provenance.seconds": 1e9, "timings.0.items": 10**12, "timings.0.seconds": 1e9,
    "timings.0.cpu_seconds": 1e9, "task.documents": 10**12, "task.queries": 10**12, "task.version": 10**6, "task.depth": 254, "bias.0.depth": 254,
    "bias.0.queries": 10**8, "pool.en": 10**12,
}  # fmt: skip


@pytest.mark.parametrize("path", LIMITS)
def test_no_number_is_larger_than_sense_and_a_column_hold(path: str) -> None:
    most, chain = LIMITS[path], at("system.stages", json.loads(json.dumps(CHAIN)))
    for value in (most + 1, 10**30, int("1" + "0" * 4200)):
        assert judge(changed(chain, at(path, value))) != ""
    assert "Input should be less than" in judge(changed(chain, at(path, most + 1)))
    assert "Input should be less than" not in judge(changed(chain, at(path, most)))


@pytest.mark.parametrize("mark", ["\0", "\x07", "\r", "\t", "\x1b[31m", "\x7f", "\x85", "\u202e", "\u2066", "\u2028"], ids=lambda m: f"U+{ord(m[0]):04X}")
def test_characters_that_show_another_text_are_refused(mark: str) -> None:
    """In every text at once: each is named."""
    paths = [*ONE_LINE, *TEXTS]
    said = judge(changed(at("system.stages", json.loads(json.dumps(CHAIN))), *(at(path, f"fine{mark}txt") for path in paths)))
    assert said.count(f"U+{ord(mark[0]):04X} at character 4 is a control character. Remove it.") == len(paths)


@pytest.mark.parametrize("path", ONE_LINE)
def test_what_is_shown_in_one_line_is_one(path: str) -> None:
    assert "it has several lines, but it is shown in one. Join them." in chained(path, "a\nb")


@pytest.mark.parametrize("path", TEXTS)
def test_longer_texts_may_have_lines_and_any_letters(path: str) -> None:
    said = chained(path, "پرسش می‌شود:\nвопрос <script>alert(1)</script> [x](javascript:y) | `z` é 👩‍🚀")
    assert said == ""


@pytest.mark.parametrize("path", LABELS)
def test_a_label_has_no_markup(path: str) -> None:
    assert "'<' stands in it, but it is a label, not a page. Remove it." in chained(path, "<script>alert(1)</script>")


@pytest.mark.parametrize(
    "edit",
    [
        at("pool.<b>x</b>", 3),
        at("pool.../x", 3),
        at("bias.0.retrieved.zz9", 0),
        at("bias.0.query", "<b>"),
        at("pairs.0.query", "en-\u202e"),
        at("provenance.packages", {"numpy\n": "1"}),
        at("provenance.packages", {"numpy": "1\u202e"}),
    ],
)
def test_keys_are_words_of_ours_too(edit: Callable[[dict[str, Any]], object]) -> None:
    try:
        text = changed(edit)
    except (KeyError, TypeError):  # "pool.../x" splits at its dots
        text = changed(lambda c: c["pool"].update({"../x": 3}))
    assert judge(text) != ""


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from([2**70, -1, 1e308, "../x", "\u202e", "en", "sha256:"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def places(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = content.items() if isinstance(content, dict) else enumerate(content[:2]) if isinstance(content, list) else []
    return [path, *(place for key, value in items for place in places(value, (*path, key)))]


PLACES = [place for place in places({**VALID, "pairs": VALID["pairs"][:2], "bias": VALID["bias"][:2]}) if place]


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(PLACES), JUNK)
def test_whatever_stands_anywhere_is_refused_or_harmless(place: tuple[Any, ...], junk: Any) -> None:
    content = copy.deepcopy(VALID)
    target: Any = content
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = junk
    try:
        submission = parse_submission(json.dumps(content), "f.json")
    except SubmissionError as error:
        assert str(error).startswith("f.json: ")
        return
    assert harmless(submission)


def harmless(submission: Submission) -> bool:
    """It stays in its folder, says the same again, and can be judged."""
    root = Path("/somewhere/submissions")
    inside = Path(os.path.normpath(root / path_of(submission))).parents[2] == root
    return inside and parse_submission(to_json(submission), "again.json") == submission and assess(submission).trust in ("claimed", "consistent", "recomputed")


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(SubmissionError, match=r"^f\.json: "):
        parse_submission(content, "f.json")


def problems_below(folder: Path) -> list[str]:
    return [problem for _, problem in check_files(find_files([str(folder)])) if problem]


def test_links_in_submissions_are_refused(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "sample-v1.json").write_text(TEXT)
    place = tmp_path / "submissions" / "clir-bench__bm25"
    place.mkdir(parents=True)
    (place / "multilingual").symlink_to(outside)
    assert [problem.split(": ")[1] for problem in problems_below(tmp_path / "submissions")] == ["multilingual is a symbolic link. Put the file itself there."]
    (place / "multilingual").unlink()
    (place / "multilingual").mkdir()
    (place / "multilingual" / "sample-v1.json").symlink_to(outside / "sample-v1.json")
    assert "sample-v1.json is a symbolic link" in problems_below(tmp_path / "submissions")[0]
    assert "is a symbolic link" in str(next(check_files([place / "multilingual" / "sample-v1.json"]))[1])


def test_what_has_no_end_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.json")
    (tmp_path / "y.json").mkdir()
    for path in (tmp_path / "x.json", Path("/dev/zero")):
        with pytest.raises(SubmissionError, match="no file that can be read to its end"):
            read_submission(path)
    with pytest.raises(SubmissionError, match=r"y\.json is a folder\. Name a file in it\.$"):
        read_submission(tmp_path / "y.json")
    with (tmp_path / "z.json").open("wb") as stream:
        stream.truncate(10**10)  # a hole: it takes no room
    with pytest.raises(SubmissionError, match="10000000000 bytes, but a submission has at most 4000000"):
        read_submission(tmp_path / "z.json")
