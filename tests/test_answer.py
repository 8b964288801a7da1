"""The answer page: the tie group of a pair, what would separate it, steps that help, pairs that were not measured, how to run it."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from generated_board import BOARDS, files, generated_index
from scipy.stats import norm

from clir_bench import languages, resources
from clir_bench.collection import Pair
from clir_bench.exhibits.answer import SHOWN, Answer, answer, answer_table, effects_table, headline, sentences, settled
from clir_bench.exhibits.gaps import comparisons, gap
from clir_bench.exhibits.nearby import nearby_table, nearest
from clir_bench.exhibits.tables import Interval, Link
from clir_bench.exhibits.use import how_to_use
from clir_bench.standings import Index, Selection, open_index
from clir_bench.standings.index import Line
from clir_bench.submission import Submission

AR_RU = Selection(queries=("ar",), documents=("ru",))


@pytest.fixture(scope="module")
def index() -> Index:
    return generated_index()


def asked(index: Index, wish: Selection) -> Answer:
    on = settled(index, wish)
    assert on is not None
    found = answer(index, on)
    assert found is not None
    return found


def names(index: Index, found: Answer) -> list[Line]:
    return [index.lines[line] for line in found.standing.lines[found.group]]


def recalled(s: Submission, pair: Pair) -> np.ndarray:
    """Whether each query of the pair found its one relevant document among the first 10."""
    ranks = s.ranks()
    return np.array([1.0 if 1 <= rank <= 10 else 0.0 for rank, at in zip(ranks.rank, ranks.pair, strict=True) if ranks.pairs[at] == pair])


def test_the_tie_of_a_pair_is_what_holm_leaves_undecided_over_its_queries(index: Index) -> None:
    found = asked(index, AR_RU)
    assert found.standing.boards[0].key == "sample-v1"  # Large-Scale is the usual data set here, but has English questions only
    assert (found.units, found.standing.topics) == ("queries", found.standing.queries)
    hits = {
        line: recalled(s, Pair("ar", "ru"))
        for (line, board), s in files().items()
        if board == "sample-v1" and s.gold_ranks and any(record.pair == ("ar", "ru") for record in s.pairs)
    }
    leader = max(hits, key=lambda line: hits[line].mean())
    p = []
    for i, a in enumerate(hits):
        for b in list(hits)[i + 1 :]:
            d = hits[a] - hits[b]
            z = max(0.0, abs(d.sum()) - 1) / np.sqrt(max((d * d).sum(), 1e-300))
            p.append((2 * norm.sf(z), a, b))
    tied, decided = {leader}, True
    for rank, (value, a, b) in enumerate(sorted(p, key=lambda each: each[0])):
        decided = decided and value * (len(p) - rank) <= 0.05
        if leader in (a, b) and not decided:
            tied.add(b if a == leader else a)
    assert set(names(index, found)) == tied
    assert 1 < len(tied) < len(hits)
    assert names(index, found)[0] in [line for line in hits if hits[line].mean() == hits[leader].mean()]


def test_the_pick_is_the_smallest_of_the_tie_and_the_sentences_name_it(index: Index) -> None:
    found = asked(index, AR_RU)
    sizes = {line: chain_bytes(files()[line, "sample-v1"]) for line in names(index, found)}
    least = min(size for size in sizes.values() if size is not None)
    pick = index.lines[found.standing.lines[found.pick]]
    assert sizes[pick] == least
    said = " ".join(sentences(index, found))
    assert f"The smallest is {pick}: {least / 1e9:.2f} GB." in said
    assert f"{found.standing.queries} queries" in said
    assert headline(index, found).endswith(" systems tie")


def chain_bytes(s: Submission) -> int | None:
    each = {stage.model.name: stage.model.weights_bytes for stage in s.system.stages if stage.kind in ("encode", "rerank")}  # type: ignore[union-attr]
    return None if None in each.values() else sum(filter(None, each.values()))


def test_how_many_more_queries_follows_from_difference_and_spread(index: Index) -> None:
    found = asked(index, AR_RU)
    s, best = found.standing, int(found.group[0])
    other = found.pick if found.pick != best else int(found.group[1])
    between = gap(index, s, best, other)
    z = norm.isf(0.05 / 2 / comparisons(s)) + norm.isf(0.2)
    more = s.topics * ((z * between.se / between.difference) ** 2 - 1)
    said = re.search(r"about ([\d,]+) more queries", " ".join(sentences(index, found)))
    assert said is not None
    assert int(said[1].replace(",", "")) == pytest.approx(more, rel=0.05)


def test_the_unit_is_the_topic_where_a_question_is_asked_in_several_languages(index: Index) -> None:
    parallel = answer(index, Selection(boards=BOARDS[:1]))
    assert parallel is not None
    assert parallel.units == "topics"
    assert f"({parallel.standing.topics:,} topics)" in parallel.count
    assert asked(index, Selection()).units == "queries"  # each question of Large-Scale is asked once


def test_the_table_has_the_members_and_what_they_cost(index: Index) -> None:
    found = asked(index, AR_RU)
    table = answer_table(index, found)
    assert [cell.text for row in table.rows for cell in row[:1] if isinstance(cell, Link)] == [str(line) for line in names(index, found)][:SHOWN]
    assert {"system", "score", "gigabytes", "ms", "hardware", "licence", "seen", "trust"} == {column.key for column in table.columns}
    assert "n = " in table.caption


def test_filters_take_systems_out_and_nothing_left_is_no_answer(index: Index) -> None:
    whole, small = asked(index, Selection()), asked(index, Selection(gigabytes=0.5))
    assert len(small.standing.lines) < len(whole.standing.lines)
    assert all(chain_bytes(files()[line, "large_scale-v1"]) is not None for line in names(index, small))
    assert answer(index, Selection(gigabytes=1e-6)) is None
    assert {loose for _, loose in Selection(gigabytes=1e-6).relaxations(index)} == {Selection()}


def test_steps_are_compared_best_against_best_of_those_that_pass(index: Index) -> None:
    found = asked(index, Selection())
    table = effects_table(index, found)
    s = found.standing
    score = {index.lines[s.lines[row]]: s.score[row] for row in range(s.ranked)}
    kinds = {line: {(stage.kind, getattr(stage, "texts", None)) for stage in files()[line, "large_scale-v1"].system.stages} for line in score}
    steps = {"documents in English": ("translate", "documents"), "a re-ranker": ("rerank", None)}
    assert [row[0] for row in table.rows] == list(steps)  # no generated system translates questions
    assert "questions in English" in table.note
    for row in table.rows:
        with_it, without = ({line: value for line, value in score.items() if (steps[str(row[0])] in kinds[line]) == does} for does in (True, False))
        assert isinstance(row[1], Interval)
        assert row[1].value == pytest.approx(max(with_it.values()) - max(without.values()))
        assert row[1].low <= row[1].value <= row[1].high
        assert [cell.text for cell in row if isinstance(cell, Link)] == [str(max(each, key=each.__getitem__)) for each in (with_it, without)]


def test_a_pair_that_is_nowhere_is_answered_by_its_neighbours(index: Index) -> None:
    wish = Selection(queries=("de",), documents=("sw",))
    assert settled(index, wish) is None
    near = nearest(index, Pair("de", "sw"))
    assert near[0].pair == Pair("en", "sw")  # the same documents, and English is of German's family and script
    assert "questions in English, not German (same family and script)" in near[0].why
    measured = {pair for board in index.boards.values() for pair in board.pairs}
    assert {each.pair for each in near} <= measured
    assert all(not each.pair.same for each in near)
    table = nearby_table(index, wish, lambda on: f"./?{on.queries[0]}-{on.documents[0]}")
    assert [row[0] for row in table.rows] == [Link(str(each.pair), f"./?{each.pair}") for each in near]
    assert "extrapolation" in table.caption
    best = asked(index, Selection(queries=("en",), documents=("sw",)))
    assert table.rows[0][2] == str(names(index, best)[0])
    assert table.rows[0][5] == best.standing.queries


def test_nearest_is_ordered_by_family_and_script(index: Index) -> None:
    def apart(a: str, b: str) -> int:
        family, script = languages.family(a) == languages.family(b), languages.script(a) == languages.script(b)
        return 0 if a == b else 1 if family and script else 2 if family or script else 3

    asked_for = Pair("ru", "sw")
    there = {pair for key in BOARDS for pair in index.boards[key].pairs if not pair.same}
    least = sorted(apart(pair.query, "ru") + apart(pair.document, "sw") for pair in there)[:4]
    assert [apart(near.pair.query, "ru") + apart(near.pair.document, "sw") for near in nearest(index, asked_for, 4)] == least


def test_without_a_layout_one_pair_can_be_tested_and_an_average_cannot(index: Index, tmp_path: Path) -> None:
    for path in sorted(index.folder.glob("*/*/sample-v1.json"))[:4]:
        shutil.copytree(path.parent, tmp_path / "submissions" / path.parent.relative_to(index.folder))
    for path in (tmp_path / "submissions").rglob("large_scale*.json"):
        path.unlink()
    bare = open_index(tmp_path / "submissions", tmp_path / "index", build=True)
    assert bare.boards["sample-v1"].shape.topic is None
    whole, pair = asked(bare, Selection()), asked(bare, AR_RU)
    assert not whole.tested
    assert headline(bare, whole) == "Nothing can be tested"
    assert "no layout" in " ".join(sentences(bare, whole))
    assert pair.tested
    assert pair.units == "queries"


def test_what_finds_nearly_nothing_is_not_recommended_and_the_sample_is_no_ground_to_choose(index: Index) -> None:
    found = answer(index, Selection(boards=("sample-v1",)))
    assert found is not None
    assert "too small to choose" in sentences(index, found)[0]
    poor = replace(found, standing=replace(found.standing, score=found.standing.score / 20))
    assert not poor.useful
    assert headline(index, poor) == f"Nothing here answers this: the best scores {5 * found.best:.1f} of 100"


def test_the_commands_of_the_real_submissions_can_be_pasted() -> None:
    index = open_index(resources.folder("submissions"), build=True)
    uses = {path: how_to_use(index.submission(entry)) for entry, path in enumerate(index.entries["path"])}
    assert uses["clir-bench__bm25/multilingual/sample-v1.json"].install == "pip install ."
    demo = uses["sentence-transformers__all-MiniLM-L6-v2/native/sample-v1.json"]
    assert demo.install == "pip install '.[demo]'"
    assert demo.run is not None
    assert demo.run.startswith("clir-bench evaluate ")


def test_an_index_library_is_installed_with_it() -> None:
    hnsw = next(s for (line, _), s in files().items() if line.variant == "native-hnsw")
    assert how_to_use(hnsw).install == "pip install '.[hnswlib]'"
