"""Do the statistics keep what they promise? Coverage of intervals, false alarms and power of tiers, false discoveries on simulated hits; and what they cost.

python benchmarks/significance.py                        # --repetitions 200 for a quick look
"""

from __future__ import annotations

import argparse
import itertools
from typing import NamedTuple

import numpy as np
from _timing import interleave, machine

from clir_bench import significance as sig
from clir_bench.task import known_task
from clir_bench.typology import correlation

DENSITY = 0.3989  # of a standard normal at 0: a small shift of the latent value times this is the difference of the shares of hits


class Layout(NamedTuple):
    """Which pair and topic each evaluated query is of."""

    name: str
    pair: np.ndarray
    topic: np.ndarray


def mmarco(topics: int, languages: int = 14) -> Layout:
    """Every topic in all languages, its one document in one language."""
    topic = np.repeat(np.arange(topics), languages)
    pair = np.tile(np.arange(languages), topics) * languages + topic % languages
    order = np.lexsort((topic, pair))
    return Layout(f"mMARCO's: {topics:,} topics, {languages**2} pairs", pair[order], topic[order])


def clirmatrix(topics: int, pairs: int = 56) -> Layout:
    """Every topic in all pairs."""
    return Layout(f"CLIRMatrix's: {topics:,} topics, {pairs} pairs", np.repeat(np.arange(pairs), topics), np.tile(np.arange(topics), pairs))


def hits(rng: np.random.Generator, layout: Layout, shift: np.ndarray, common: float, own: float) -> np.ndarray:
    """0/1 values [systems, evaluated]: whether a normal value of variance 1, plus ``shift`` [systems, 1 or evaluated], is above 0.

    The topic explains ``common`` of the variance, for all systems alike, and ``own`` for each system by itself.
    """
    topics, systems = layout.topic.max() + 1, len(shift)
    by_topic = np.sqrt(common) * rng.standard_normal(topics, np.float32) + np.sqrt(own) * rng.standard_normal((systems, topics), np.float32)
    noise = rng.standard_normal((systems, len(layout.topic)), np.float32)
    return (by_topic[:, layout.topic] + np.sqrt(1 - common - own) * noise + shift > 0).astype(float)


def share(found: np.ndarray) -> str:
    """Percent, with the Monte Carlo error."""
    return f"{100 * found.mean():5.1f} ± {100 * found.std() / np.sqrt(len(found)):.1f}"


def coverage(repetitions: int) -> None:
    print(
        f"\n95 % interval of an average: % of {repetitions} repetitions in which it holds the true value\n{'layout':40} topic explains {'queries taken for':>18}"
    )
    print(f"{'':40} {'of the variance':>14} {'independent':>18} {'topics resampled':>18}")
    for layout in (mmarco(700), clirmatrix(100)):
        for common in (0.2, 0.5, 0.8):
            rng = np.random.default_rng(0)
            values = [hits(rng, layout, np.zeros((1, 1)), common, 0.0)[0] for _ in range(repetitions)]
            found = sig.topic_sums(values, layout.pair, layout.topic)
            low, high = sig.score_intervals(found, sig.resampled_scores(found.scores, found.centred))
            naive = 1.96 * np.array([independent_error(v, layout.pair) for v in values])
            print(f"{layout.name:40} {100 * common:12.0f} % {share(np.abs(found.scores - 0.5) <= naive):>18} {share((low <= 0.5) & (high >= 0.5)):>18}")


def independent_error(values: np.ndarray, pair: np.ndarray) -> float:
    """The standard error of a macro mean, were all queries independent."""
    n = np.bincount(pair)
    mean, square = np.bincount(pair, values) / n, np.bincount(pair, values * values) / n
    return float(np.sqrt(((square - mean**2) / n).sum()) / len(n))


def tiers(repetitions: int) -> None:
    layout = mmarco(280)
    pilot = [hits(np.random.default_rng(i), layout, np.zeros((2, 1)), 0.4, 0.1) for i in range(40)]
    errors = [sig.topic_se(s.centred[1] - s.centred[0]) for s in (sig.topic_sums(values, layout.pair, layout.topic) for values in pilot)]
    difference = float(sig.detectable_difference(np.mean(errors)))
    print(f"\ntiers at 5 %: layout {layout.name}, {repetitions} repetitions; the topic explains 40 % for all systems alike and 10 % for each by itself")
    print("false alarms: % of repetitions in which any of S equal systems is outside tier 1; the simpler rule tests the leader against the rest only")
    print(f"power: % of the systems outside tier 1 that are worse than one by {100 * difference:.1f} points (found in 80 % between two), or by 1.5 times that")
    print("ranks: % of repetitions in which the rank intervals of all systems hold their true ranks, systems being equal; the same by resampled ranks")
    print(f"{'S':>4} {'false alarms':>16} {'simpler rule':>16} {'power':>16} {'power, 1.5 times':>18} {'ranks':>16} {'by resampling':>16}")
    for systems in (2, 10, 30):
        rng, columns = np.random.default_rng(1), []
        for factor in (0.0, 1.0, 1.5):
            shift = np.full((systems, 1), -factor * difference / DENSITY)
            shift[0] = 0
            outside, simpler, held, resampled = (np.zeros(repetitions) for _ in range(4))
            for r in range(repetitions):
                found = sig.topic_sums(hits(rng, layout, shift, 0.4, 0.1), layout.pair, layout.topic)
                p = sig.pairwise_p(found.sums, found.unit)
                apart = sig.separable(p)
                tier = sig.tiers(found.scores, apart)
                outside[r] = (tier[1:] > tier[0]).mean() if factor else (tier > 1).any()
                simpler[r] = (sig.holm(np.delete(p[found.scores.argmax()], found.scores.argmax())) <= 0.05).any()
                if factor == 0:  # the true rank of each is 1
                    held[r] = (sig.rank_intervals(found.scores, apart)[0] == 1).all()
                    drawn = np.sort(ranks_of(sig.resampled_scores(found.scores, found.centred, 400)), axis=0)
                    resampled[r] = (drawn[10] == 1).all()
            columns += [share(outside), share(simpler), share(held), share(resampled)] if factor == 0 else [share(outside)]
        print(f"{systems:4} {columns[0]:>16} {columns[1]:>16} {columns[4]:>16} {columns[5]:>18} {columns[2]:>16} {columns[3]:>16}")


def ranks_of(drawn: np.ndarray) -> np.ndarray:
    """The rank of each system in each resample [resamples, systems]; ties share the better one."""
    return 1 + (drawn[:, None, :] > drawn[:, :, None] + sig.ZERO).sum(2)


def discoveries(repetitions: int) -> None:
    layout = mmarco(1_400)
    pairs = layout.pair.max() + 1
    print(f"\nBenjamini-Hochberg at 5 % over {pairs} pairs of {len(layout.pair) // pairs} queries, exact McNemar test, {repetitions} repetitions, percent")
    print(f"{'pairs that truly differ':>24} {'false among called':>20} {'found':>16}")
    for different in (0, pairs // 4, pairs // 2):
        rng, truth = np.random.default_rng(2), np.arange(pairs) < different
        shift = np.stack([np.zeros(len(layout.pair)), np.where(truth[layout.pair], 0.15 / DENSITY, 0.0)])
        false, power = np.zeros(repetitions), np.zeros(repetitions)
        for r in range(repetitions):
            a, b = hits(rng, layout, shift, 0.4, 0.1)
            only_a, only_b = (np.bincount(layout.pair, better).astype(int) for better in (a > b, b > a))
            called = sig.benjamini_hochberg(sig.mcnemar(only_a, only_b))
            false[r] = (called & ~truth).sum() / max(1, called.sum())
            power[r] = called[truth].mean() if different else np.nan
        print(f"{different:24} {share(false):>20} {share(power) if different else '-':>16}")


def other_languages(repetitions: int) -> None:
    """A language helps one of two systems as that of questions and, correlated at 0.6, as that of documents; 0 points over all languages."""
    print(f"\n95 % interval of a difference, languages drawn, too: % of {repetitions} repetitions in which it holds the true value; 30 topics in all pairs")
    print(f"{'languages':>9} {'pairs':>6} {'a language moves by':>20} {'topics drawn':>18} {'for other languages':>20}")
    for languages, same, moves in itertools.product((3, 8, 14), (True, False), (0.0, 0.03, 0.08)):
        rng = np.random.default_rng(4)
        query, document = (side[same | (np.arange(languages**2) % (languages + 1) > 0)] for side in np.divmod(np.arange(languages**2), languages))
        covered = np.zeros((2, repetitions))
        for r in range(repetitions):
            asks, other = moves * rng.standard_normal((2, languages))
            truth = asks[query] + (0.6 * asks + 0.8 * other)[document]
            values = truth[:, None] + 0.1 * rng.standard_normal(30) + 0.3 * rng.standard_normal((len(query), 30))
            sums = sig.topic_sums([values.ravel()], np.repeat(np.arange(len(query)), 30), np.tile(np.arange(30), len(query)))
            error = sig.topic_se(sums.centred)
            low, high = sig.language_interval(sums.scores, error, sig.left_out(values.mean(1)[None], query, document, languages), 30, languages)
            covered[:, r] = abs(sums.scores[0]) <= 1.96 * error[0], low[0] <= 0 <= high[0]
        print(f"{languages:9} {len(query):6} {100 * moves:13.0f} points {share(covered[0]):>18} {share(covered[1]):>20}")


def similarity(repetitions: int) -> None:
    print(f"\n95 % interval of the correlation with URIEL's syntax, languages resampled: % of {repetitions} repetitions in which it holds the true 0")
    for name, moves in itertools.product(("clirmatrix", "mmarco", "large_scale"), (0, 1)):
        rng, task = np.random.default_rng(5), known_task(name)
        assert task is not None
        pairs = [pair for pair in task.language_pairs() if not pair.same]
        codes = sorted({code for pair in pairs for code in pair})
        query, document = (np.array([codes.index(code) for code in side]) for side in zip(*pairs, strict=True))
        found = []
        for _ in range(repetitions):
            asks, holds = moves * rng.standard_normal((2, len(codes)))
            of = correlation(pairs, asks[query] + holds[document] + rng.standard_normal(len(pairs)), "syntax")
            found.append(of.low <= 0 <= of.high)
        print(f"{name:12} {len(pairs):4} pairs of two languages, languages {'differ' if moves else 'alike':8} {share(np.array(found)):>14}")


def cost() -> None:
    layout, rng = mmarco(7_433), np.random.default_rng(3)
    few = hits(rng, layout, rng.normal(0, 0.2, (30, 1)), 0.4, 0.1)
    small = sig.topic_sums(few, layout.pair, layout.topic)
    noise = rng.normal(0, 1, (1000, 7_433)) * small.sums.std() * 0.3
    sums = small.sums[np.arange(1000) % 30] + noise
    scores, centred, unit = sums.sum(1), sums - sums.mean(1, keepdims=True), small.unit
    upper, p = np.triu_indices(30, 1), sig.pairwise_p(sums, unit)
    apart = sig.separable(p)
    one_way, other = rng.integers(0, 100, (2, 277))
    times = interleave(
        {
            "topic sums of 30 systems, 104,062 queries": lambda: sig.topic_sums(few, layout.pair, layout.topic),
            "435 pairwise tests, 10,000 topic flips": lambda: sig.sign_flip(small.sums[upper[0]] - small.sums[upper[1]]),
            "435 pairwise tests, closed form": lambda: sig.pairwise_p(small.sums, unit),
            "499,500 pairwise tests, closed form": lambda: sig.pairwise_p(sums, unit),
            "tiers of 1,000 systems from those": lambda: sig.tiers(scores, sig.separable(p)),
            "drawing 2,000 resamples of so many topics, once": lambda: sig._drawn.__wrapped__(7_433, 2000, 0),
            "2,000 topic resamples, 30 systems": lambda: sig.resampled_scores(small.scores, small.centred),
            "2,000 topic resamples, 1,000 systems": lambda: sig.resampled_scores(scores, centred),
            "rank intervals of 1,000 systems from those": lambda: sig.rank_intervals(scores, apart),
            "196 pairs, 10,000 sign flips each": lambda: sig.sign_flip_by_pair(few[0] - few[1], layout.pair, 196),
            "277 exact McNemar tests": lambda: sig.mcnemar(one_way, other),
        }
    )
    print(f"\n{'mMARCO whole: 7,433 topics':46} {'wall s':>9} {'CPU s':>9}")
    for name, (wall, cpu) in times.items():
        print(f"{name:46} {wall:9.4f} {cpu:9.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=1000, help="of every simulation (default: %(default)s)")
    repetitions = parser.parse_args().repetitions
    print(machine())
    coverage(repetitions)
    tiers(repetitions)
    discoveries(repetitions)
    other_languages(repetitions)
    similarity(repetitions // 5)
    cost()
