"""How everything on the board is computed and what its words mean: sections of terms, and the data sets as a table."""

from __future__ import annotations

from typing import NamedTuple

from clir_bench.exhibits.bias_tables import STATED
from clir_bench.exhibits.tables import Column, Table
from clir_bench.standings.index import Index


class Section(NamedTuple):
    """A heading, and its terms with what they mean; plain text."""

    title: str
    terms: tuple[tuple[str, str], ...]


BIAS = Section("Bias", (
    ("Same-language rate", "The share of the first places that hold documents in the question's language."),
    ("Same-language lift", "That rate over the language's share of the pool: 1 is no preference, 2 is twice as often. Where nothing else is said it is of the first 10 documents, where "
     "the relevant document is in another language. A system that puts one language first for everybody has a lift near 1, too: see the map of the page Bias. Not known unless every data set and query language has it."),
    ("Language profile", STATED),
    ("Own-language recall", "R@k had the pool held only documents in the relevant document's language: its rank is 1 + the documents of that language above it."),
    ("Bias loss", "Own-language recall less recall: what is lost because documents in other languages stood above the relevant one. The rest is missed in any pool."),
    ("AWRF", "1 minus the Jensen-Shannon divergence (in bits) of the exposure of languages from their shares of the pool. A place exposes by 1 / log₂(rank + 1), summed over all "
     "questions of a language, so it is no mean over single lists; counts at depths 1, 10 and 100 say where places lie. 1 is as in the pool."),
    ("Consistency", "MRC: mean Spearman correlation of the gold ranks of one question asked in two languages. Higher: users of both find the same."),
    ("ε²", "PEER, pooled: the share of the variance of gold ranks that the document's language explains, by Kruskal and Wallis, in percent. 0: no language is found better. "
     "By chance: its mean without any effect, when the ranks of a question are exchanged between its document languages."),
    ("Spread", "Best minus worst pair. Variation: standard deviation of the pairs over their mean, in percent. Diagonal − rest: pairs of one language minus the others."),
))  # fmt: skip
"""What the page Bias shows."""
SECTIONS = (
    Section("Measures", (
        ("Evaluated query", "The unit: one for each pair of languages and each query with a judgement in that pair. A pair is a direction: query language first."),
        ("R@k", "Share of a query's relevant documents among the first k."),
        ("nDCG@k", "Sum of grade / log₂(rank + 1) over the first k, divided by the same sum in the best possible order."),
        ("RR@k", "1 / rank of the first relevant document if that rank is at most k, else 0."),
        ("Score", "Macro mean: over the queries of each pair, then unweighted over pairs, then over data sets. An average needs all of its pairs; without them there is no rank."),
    )),
    BIAS,
    Section("Comparisons", (
        ("Topic", "One question in all its languages. Its queries are not independent, so averages are resampled and tested by whole topics."),
        ("Interval", "95\u00a0%: of one pair Wilson's for values 0 and 1, else from n, sum and sum of squares; of an average the middle 95\u00a0% of topic resamples."),
        ("Test", "Two systems on the same queries: McNemar's exact test or sign flips in one pair, flips of whole topics for an average."),
        ("Tier", "The best system without a tier leads one; all that cannot be told from the leader join it (Holm over all pairs of systems shown, 5\u00a0%). No statement of equality."),
        ("Rank", "From 1 + the systems that are surely better to all but those surely worse, by the same tests: at 95\u00a0% for all systems at once."),
        ("For other languages", "95\u00a0% interval of a difference had other query and document languages been drawn, too: each language left out in turn. Three of each are needed."),
        ("Marks on maps", "Differences that stay significant among all pairs compared (Benjamini and Hochberg, 5\u00a0%)."),
    )),
    Section("Systems", (
        ("Protocol", "native: the model as its card means it. paper: mean of the last hidden states, no prompts, 512 tokens, for all models alike."),
        ("Documents", "original, or English: translated once, before anything is indexed. Pairs and judgements stay those of the originals."),
        ("Track", "First stage; re-ranked, comparable with it; oracle, in which a missing relevant document is put among the candidates: a board of its own."),
        ("Step", "What two systems differ in, all else equal. A ledger follows the steps from the plainest system on the board; gains are on the same queries."),
        ("Weights", "Bytes of all models that are loaded to answer a query, as published. A translator of documents is not: it runs once, before."),
        ("Milliseconds a query", "From the run's own timings, in batches: the inverse of a throughput, not the time one query waits. Compare on equal hardware only."),
        ("Milliseconds a document", "What is done once for a pool: translation, vectors, index; over its documents. Vectors that a run had in its cache cost it nothing."),
        ("Pareto front", "Ranked systems than which no other is at least as good and no dearer, and better in one of the two. By scores alone: tiers say what can be told apart."),
    )),
    Section("Trust", (
        ("claimed", "The form holds, nothing more can be said. Publications' numbers are claimed."),
        ("consistent", "No gold ranks, but every stated number is possible: k/n for the stated n, recalls that grow with k, bounds of the other measures."),
        ("recomputed", "Every number follows exactly from the gold ranks, one byte for each relevant document of each query."),
        ("reproduced", "A second, independent run agreed on a sample. Recorded in the event log by a maintainer; not while a flag is in force."),
        ("flagged", "Suspiciously like another model, or doubted by a maintainer for a reason that is told. It keeps its rank. In force until a maintainer clears it."),
        ("flagged as a copy", "Its ranks are those of another model. It has no rank and no tier, is best nowhere, and is never recommended until a maintainer clears it."),
    )),
    Section("Trained on the data", (
        ("clean", "What the models were trained on is disclosed, and nothing of it is in the task."),
        ("undisclosed", "What a model was trained on, what a data set that it names holds, or what the task is made of, is not known. It never counts as clean."),
        ("source seen", "Only what the task was made from was seen, as MS MARCO's train split for mMARCO."),
        ("train split seen", "The data set itself, but not the queries that are evaluated."),
        ("test seen", "Those, too."),
        ("How it is decided", "Computed from clir-bench's table of models and what submissions disclose, by the worst model of a chain; never typed in."),
    )),
    Section("Known limits", (
        ("Other languages", "Tests and tiers are for these languages. Compare has a wider interval for others; it takes those that are here for a random choice, and they were not drawn."),
        ("Choosing", "Corrections cover what is shown together, not how often someone looked, nor how many variants were tried before one was sent."),
        ("Seeds", "An interval describes one checkpoint; how much training varies is not in it."),
        ("Gold ranks", "They prove that the numbers follow from the ranks, not that the ranks come from the system: a second run does that."),
        ("Disclosure", "Training data is what people say of their models."),
    )),
)  # fmt: skip
"""In the order in which they are read."""


def boards_table(index: Index) -> Table:
    """The data sets of the board, with counts, fingerprint, and how many systems stand on them."""
    columns = (
        Column("title", "Data set"), Column("task", "Task"), Column("pairs", "Pairs", "integer"), Column("queries", "Queries", "integer", "Evaluated queries over all pairs"),
        Column("topics", "Topics", "integer", "Where a layout says which queries are one question"), Column("documents", "Documents", "integer", "Of the pool, all languages together"),
        Column("systems", "Systems", "integer", "That stand on it"), Column("licence", "Licence"), Column("fingerprint", "Fingerprint of the collection"),
    )  # fmt: skip
    rows = tuple(
        (
            board.title, f"{board.shape.task} v{board.shape.version}", len(board.pairs), int(board.shape.n.sum()),
            None if board.shape.topic is None else len(set(board.shape.topic.tolist())), sum(board.pool.values()) or None, len(board.entries),
            board.task.licence if board.task else None, board.shape.fingerprint,
        )
        for board in index.boards.values()
    )  # fmt: skip
    return Table("Data sets", columns, rows, "A fingerprint is the SHA-256 of pool, queries and judgements: equal fingerprints, equal collections.")
