"""The pages of the static site: the leaderboard, one page a data set, a system and a language, and what all of it means."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import cast

import numpy as np

from clir_bench import languages
from clir_bench.exhibits import profile, tongues
from clir_bench.exhibits.bias_tables import STATED
from clir_bench.exhibits.board_table import SEEN_WORDS, board_table, order_rows, system_address, unranked_table, usual_columns
from clir_bench.exhibits.cells import all_printed, publications, table_facts
from clir_bench.exhibits.gaps import tier_sentences
from clir_bench.exhibits.ledger import chain_of
from clir_bench.exhibits.maps import Map, asked, cells, map_table, short
from clir_bench.exhibits.pair_views import best_systems
from clir_bench.exhibits.published import claim_rows, published_table
from clir_bench.exhibits.tables import Cell, Column, Link, Table
from clir_bench.records import TimingRecord
from clir_bench.site import views
from clir_bench.site.api import FILES
from clir_bench.site.citation import bibtex
from clir_bench.site.frame import Page, code, heading, linked, listed, sentences, side_by_side, still, system_file, up_from
from clir_bench.site.ranks import rank_file, recipe
from clir_bench.standings.index import Board, Index
from clir_bench.standings.memory import remembered
from clir_bench.standings.overview import Standing, standing
from clir_bench.standings.selection import Selection

MOST = 100
"""Systems on the first page; where there are more, all of them have a page of their own."""
_ALL = "leaderboard.html"
_BEST = 20  # systems on the page of a language
_TOLD = (
    ("Run", "started"),
    ("Machine", "hardware"),
    ("Submitter", "submitter"),
    ("Commit", "git_commit"),
    ("Notes", "notes"),
    ("File", "path"),
    ("SHA-256", "sha256"),
)


def count(index: Index) -> int:
    """How many pages there are."""
    usual = standing(index, Selection())
    return 6 + (len(usual.lines) > MOST) + len(index.boards) + len(views.biased(index)) + len(index.lines) + len(tongues.tongues(usual))


def pages(index: Index) -> Iterator[Page]:
    """All of them, one at a time."""
    usual = standing(index, Selection())
    yield _home(index, usual)
    if len(usual.lines) > MOST:
        yield Page(_ALL, "All systems", _LEAD, _ranking(index, usual, "./"))
    yield _about(index)
    yield from (_board(index, board) for board in index.boards.values())
    yield views.cost_page(index, usual)
    yield from views.bias_pages(index, usual)
    yield views.pipeline_page(index, usual)
    table = tongues.overview_table(index, usual, lambda tag: f"./languages/{tag}.html")
    yield Page("languages.html", "Languages", "How each language is served: questions asked in it, and documents found in it.", [still(table, "./").html()])
    yield from (_language(index, usual, tag) for tag in tongues.tongues(usual))
    yield from (_system(index, line) for line in range(len(index.lines)))


def _home(index: Index, usual: Standing) -> Page:
    sets = [
        (board.title, f"./data/{key}.html", f", {len(board.pairs):,} pair{'s' * (len(board.pairs) > 1)}, n = {int(board.shape.n.sum()):,} queries")
        for key, board in index.boards.items()
    ]
    files = [(name, f"./{name}", "") for name, _ in _files(index) if "/" not in name]
    return Page("index.html", "Leaderboard", _LEAD, [linked("Data sets", sets), linked("All numbers", files), *_ranking(index, usual, "./", MOST)])


def _board(index: Index, board: Board) -> Page:
    selection = Selection(boards=(board.key.removesuffix(".oracle"),), track="oracle" if board.oracle else "all", measure=profile.primary(board))
    found, every = standing(index, selection), np.ones(len(board.pairs), bool)
    file = f"data/{board.key}.html"
    facts = (
        ("Collection", board.shape.fingerprint),
        ("Pairs", f"{len(board.pairs):,}: {asked(board, every)}"),
        ("Documents", ", ".join(f"{languages.name(tag)} {n:,}" for tag, n in board.pool.items()) or None),
        ("Licence", board.task.licence if board.task else None),
        ("Measures", ", ".join(board.measures)),
    )
    oracle = "Relevant documents were put among the candidates that are re-ranked: it is compared with itself only. " if board.oracle else ""
    up = up_from(file)
    more = [
        ("gold ranks of every system, as parquet", f"{up}{rank_file(board)}", ""),
        *(("bias", f"{up}bias/{board.key}.html", "") for _ in (0,) if board in views.biased(index)),
    ]
    parts = [profile.facts_html(facts), linked("Beside it", more), *_ranking(index, found, up)]
    if (best := best_systems(index, board, every, found.selection.measure, found.lines, "family")).rows:
        parts += [heading("Who is best where"), side_by_side(*best.maps, *best.lists), best.rows.html(small=True)]
    return Page(file, board.title, f"{oracle}Version {board.shape.version}; a pair is the language of the question and that of the documents.", parts)


def _ranking(index: Index, found: Standing, up: str, most: int | None = None) -> list[str]:
    """The systems of a standing, the first ``most`` of them, what their tiers say, those without a rank, and what publications print."""
    ranked, others = order_rows(index, found)
    parts = []
    if most is not None and len(found.lines) > most:
        ranked, others = ranked[:most], others[: max(0, most - len(ranked))]
        parts.append(linked(f"The first {most:,} systems", [(f"all {len(found.lines):,}", f"{up}{_ALL}", " are on a page of their own")]))
    if len(ranked):
        table = board_table(index, found, ranked, (*usual_columns(found), "hardware"))
        parts += [still(table, up).html(), sentences(*tier_sentences(index, found))]
    else:
        parts.append(sentences(f"Nothing is ranked: {found.why}."))
    if len(others):
        parts.append(still(unranked_table(index, found, others), up).html())
    if (published := published_table(index, found)).rows:
        parts += [heading("As published"), published.html(small=True)]
    return parts


def _language(index: Index, usual: Standing, tag: str) -> Page:
    file, name, measure = f"languages/{tag}.html", languages.name(tag), usual.selection.measure
    parts = [tongues.coverage_table([board for board in index.boards.values() if not board.oracle], tag).html()]
    titles: dict[tongues.Side, str] = {"query": f"Questions in {name}", "document": f"Documents in {name}"}
    for side, words in titles.items():
        scores = tongues.language_scores(usual, tag, side)
        if (n := tongues.serving(index, usual, tag, side).n) and np.isfinite(scores).any():
            best = [int(row) for row in np.argsort(-scores, kind="stable")[:_BEST] if np.isfinite(scores[row])]
            columns = Column("system", "System", "link"), Column("score", measure, "percent"), Column("n", "n", "integer", "Queries evaluated")
            rows: list[tuple[Cell, ...]] = [(Link(str(line := index.lines[usual.lines[row]]), system_address(line)), float(scores[row]), n) for row in best]
            note = "Macro mean over pairs, then over data sets; not tested here: neighbours may well be equal."
            known = int(np.isfinite(scores).sum())
            caption = f"{words}, {tongues.pair_words(usual, tag, side)}: the best {len(best)} of {known} system{'s' * (known > 1)}"
            parts += [heading(words), still(Table(caption, columns, tuple(rows), note), up_from(file)).html()]
    leader = tongues.serving(index, usual, tag, "query").line
    if leader is not None:
        tables = (tongues.partners_table(index, board, leader, mask, tag, measure) for board, mask in zip(usual.boards, usual.pairs, strict=True))
        parts += [heading("Partners"), *(table.html(small=True) for table in tables if table)]
    return Page(file, name, f"{name} as the language of questions and of documents, over {', '.join(board.label for board in usual.boards)}.", parts)


def _system(index: Index, line: int) -> Page:
    name, entries = index.lines[line], profile.entries_of(index, line)
    parts = [
        profile.chain_html(chain_of(index, next(iter(entries.values())))),
        profile.facts_html(profile.system_facts(index, line)),
        profile.scores_table(index, line).html(),
    ]
    for key, entry in entries.items():
        parts += [heading(f"On {index.boards[key].title}"), *_on_board(index, index.boards[key], line, entry)]
    versions = profile.versions_table(index, line)
    paths = {row[5] for row in versions.rows}
    happened = profile.events_table([event for event in profile.events(index) if event.path in paths], f"What happened to submissions of {name}")
    parts += [heading("History"), versions.html(small=True), *([happened.html(small=True)] if happened.rows else [])]
    lead = "What the system is made of, how it does on each data set, and what is needed to trust and to repeat its numbers."
    return Page(system_file(str(name)), str(name), lead, parts)


def _on_board(index: Index, board: Board, line: int, entry: int) -> list[str]:
    """A system's pairs on a data set, and where its numbers come from."""
    measure, every = profile.primary(board), np.ones(len(board.pairs), bool)
    level, *reasons = profile.trust_words(index, entry)
    texts = {column: _texts(index, column)[entry] for column in ("signature", "command", *(column for _, column in _TOLD))}
    seen, why = (index.entries[column].to_numpy()[entry] for column in ("contamination", "contamination_reason"))
    facts = [
        ("Trust", f"{level}: {'; '.join(reasons)}"), ("Trained on the data", f"{SEEN_WORDS[seen]}: {why}"),
        *((words, None if texts[column] is None else str(texts[column])) for words, column in _TOLD),
    ]  # fmt: skip
    parts = [profile.facts_html(facts)]
    if (found := cells(index, board, line, every, measure)) is not None:
        note = f"Percent; {asked(board, every)}."
        drawn = Map(found.value, low=found.low, high=found.high)
        parts.append(map_table(board, every, drawn, f"{measure}, {index.lines[line]}, {short(board)}", note=note).html(small=True))
    if timings := _timings(index).get(entry):
        parts.append(profile.timings_table(timings, str(texts["hardware"])).html(small=True))
    return [*parts, *(code(str(texts[column])) for column in ("signature", "command") if texts[column])]


def _about(index: Index) -> Page:
    parts = [heading(title) + sentences(*told) for title, *told in _MEANING]
    if claim_rows(index):
        told = [profile.facts_html([("Publication", f"{each.source.title}, {each.source.url}"), *table_facts(each)]) for each in publications(index)]
        parts += [heading("Published numbers"), *told, all_printed(index).html(small=True)]
    if index.problems:
        parts += [heading("Problems"), *map(sentences, index.problems)]
    if events := profile.events(index):
        parts += [heading("Events"), profile.events_table(events, "What happened to submissions, the newest first").html(small=True)]
    redo = [heading("Redo a test"), sentences(*_REDO), code(script)] if (script := recipe(index)) else []
    return Page(
        "about.html",
        "About",
        "What is counted, how it is computed, and where the numbers can be had.",
        [
            *parts,
            heading("All numbers"),
            listed((name, f"./{name}", f": {says}") for name, says in _files(index)),
            *redo,
            heading("Citation"),
            code(bibtex(index)),
        ],
    )


_LEAD = (
    "Systems that answer questions in one language from documents in others. Those of one tier cannot be told from its leader by the queries that were asked."
)
_MEANING = (
    ("What is counted", "A pair is the language of the question and that of its relevant document, in that order.",
     "All pairs of a data set search one multilingual pool. R@10 is the share of queries whose relevant document is among the first 10.",
     "A score is the unweighted mean over pairs, then over data sets; n is the number of evaluated queries. A system that lacks a pair has no score."),
    ("Intervals and tiers", "The same question is asked in several languages, so topics are resampled whole: intervals are 95\u00a0% of 1,000 such resamples.",
     "The best system without a tier leads one; those that a test cannot tell from it join (topics flipped, Holm over all pairs of systems, 5\u00a0%).",
     "A tier is no statement of equality. Ranks are intervals: from 1 + the systems that are surely better to all but those surely worse."),
    ("Bias", "Own-language recall is what the system would find had the pool held only the language of the document; bias loss is that less what it finds.",
     "Same-language lift is the share of the question's language among the first 10 over its share of the pool; 1 is indifference.", STATED),
    ("Trust", "claimed: as stated. consistent: the numbers are possible. recomputed: each follows from the gold ranks in the submission. reproduced: run again by others.",
     "The check decides it, never the submitter. flagged: suspiciously like another model, or doubted, until a maintainer clears it; flagged as a copy: without a rank, too."),
    ("Training data", "clean: nothing of the data set is disclosed as training data. undisclosed: not known, and never counted as clean.",
     "source seen: what the data set was made from. train split seen: its own training part. test seen: the evaluated queries."),
)  # fmt: skip


_REDO = (
    "The files of gold ranks say where each system found each relevant document: query and document are languages, query_id and topic are as in the collection,",
    "number counts evaluated queries, grade is the document's. Of a system: its rank, 255 where that is below the hundredth, 0 for a pair it was not evaluated on.",
    "Every measure, interval and test here follows from them. This, run where the site lies, compares two systems; the board itself takes the normal limit of the same flips.",
)


def _files(index: Index) -> list[tuple[str, str]]:
    """The files beside the pages, and what they hold."""
    return [
        *((f"{name}.parquet", "as in the index") for name in FILES),
        ("boards.json", "data sets with pairs and n"),
        ("systems.json", "systems and their facts"),
        ("claims.json", "published numbers"),
        ("events.json", "the log"),
        *((rank_file(board), "gold ranks: a row a relevant document, a column a system") for board in index.boards.values()),
    ]


def _texts(index: Index, column: str) -> list[object]:
    return remembered(index, ("texts", column), partial(index.texts, column))


def _timings(index: Index) -> dict[int, list[TimingRecord]]:
    def every() -> dict[int, list[TimingRecord]]:
        found: dict[int, list[TimingRecord]] = {}
        for row in index.timings.itertuples():
            record = TimingRecord(
                stage=str(row.stage), items=int(cast(int, row.items)), seconds=float(cast(float, row.seconds)), cpu_seconds=float(cast(float, row.cpu_seconds))
            )
            found.setdefault(int(cast(int, row.entry)), []).append(record)
        return found

    return remembered(index, ("timings by entry",), every)
