"""The work of a translator: texts in pieces, distinct pieces in batches by length, texts put together again as soon as their pieces are there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from clir_bench.parts.memory import out_of_memory
from clir_bench.parts.translators import Translated
from clir_bench.parts.translators.sentences import Measure, Piece, has_letters, join_pieces


class Made(NamedTuple):
    """What became of a piece."""

    text: str | None
    problem: str | None = None
    truncated: bool = False
    cut: bool = False


def translate_pieces(
    texts: Sequence[str],
    split: Callable[[Sequence[str]], list[list[Piece]]],
    measure: Measure,
    make: Callable[[list[str]], list[Made]],
    budget: int,
    rows: int = 256,
    window: int = 32,
) -> Iterator[Translated]:
    """Each text once, longest first. ``budget`` bounds rows times the longest of a batch, in units of ``measure``; halved when memory runs out.

    ``window`` batches' worth of texts are split and sorted together: what is finished comes in instalments, not all at the end.
    """
    made: dict[str, Made] = {}
    for held in _windows(texts, window * budget):
        pieces = dict(zip(held, split([texts[i] for i in held]), strict=True))
        waiting = {row: {piece.text for piece in found if piece.text not in made} for row, found in pieces.items()}
        missing = sorted({text for found in waiting.values() for text in found})
        made.update({text: Made(text) for text in missing if not has_letters(text)})
        missing = [text for text in missing if text not in made]
        sizes = dict(zip(missing, measure(missing) if missing else [], strict=True))
        order = sorted(missing, key=lambda text: (-sizes[text], text))
        while True:
            finished = [row for row, found in waiting.items() if all(text in made for text in found)]
            for row in finished:
                del waiting[row]
                yield _assemble(row, pieces[row], made)
            if not order:
                break
            count = min(rows, max(1, budget // max(1, sizes[order[0]])))
            batch, order = order[:count], order[count:]
            results, fitted = _make_halving(make, batch)
            made.update(zip(batch, map(_checked, results), strict=True))
            if fitted < len(batch):
                budget = max(1, fitted * sizes[batch[0]])


def _windows(texts: Sequence[str], characters: int) -> Iterator[list[int]]:
    window, taken = list[int](), 0
    for row in sorted(range(len(texts)), key=lambda i: (-len(texts[i]), texts[i])):
        window.append(row)
        taken += len(texts[row]) + 1
        if taken >= characters:
            yield window
            window, taken = [], 0
    if window:
        yield window


def _assemble(row: int, pieces: Sequence[Piece], made: dict[str, Made]) -> Translated:
    results = [made[piece.text] for piece in pieces]
    failed = next((i for i, result in enumerate(results) if result.text is None), None)
    if failed is not None:
        where = f"piece {failed + 1} of {len(results)}: " if len(results) > 1 else ""
        return Translated(row, None, f"{where}{results[failed].problem}")
    text = join_pieces(pieces, [result.text or "" for result in results])
    return Translated(row, text, None, any(result.truncated for result in results), any(result.cut for result in results))


def _make_halving(make: Callable[[list[str]], list[Made]], batch: list[str]) -> tuple[list[Made], int]:
    """What became of the batch, and the rows that memory was enough for at once."""
    try:
        return make(batch), len(batch)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
    if len(batch) == 1:
        return [Made(None, "out of memory, even alone")], 1
    middle = (len(batch) + 1) // 2
    parts = [_make_halving(make, half) for half in (batch[:middle], batch[middle:])]
    return [result for results, _ in parts for result in results], max(1, min(fitted for _, fitted in parts))


def _checked(result: Made) -> Made:
    return result if result.text is None or result.text.strip() else Made(None, "the translation is empty")
