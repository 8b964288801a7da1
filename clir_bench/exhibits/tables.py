"""Tables as values: what a page shows, and exactly that as HTML, CSV, JSON or LaTeX. Every text is escaped where it is written.

Cells are raw: fractions for percentages, so that nothing is rounded before it is shown.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import Literal, NamedTuple

Kind = Literal[
    "text",
    "prose",
    "noted",
    "percent",
    "points",
    "number",
    "integer",
    "gigabytes",
    "interval",
    "correlation",
    "difference",
    "link",
    "named",
    "heat",
    "change",
    "ratio",
    "p",
]


class Interval(NamedTuple):
    """A value with its interval, fractions; drawn as a bar. ``low`` and ``high`` are NaN where none is known."""

    value: float
    low: float
    high: float


class Link(NamedTuple):
    """Words that lead to an address of this site, or of another."""

    text: str
    address: str


class Named(NamedTuple):
    """A fraction and what it is of, as the worst pair."""

    value: float
    name: str


class Marked(NamedTuple):
    """A number and what is to be said of it in a sign or two; ``mark`` is "" where there is nothing to say."""

    value: float
    mark: str


class Noted(NamedTuple):
    """Words, a word of warning after them, and what that rests on: read out, and shown where a pointer rests."""

    text: str
    mark: str
    note: str


Cell = str | float | int | bool | Interval | Link | Named | Marked | Noted | None


class Column(NamedTuple):
    """A column. ``percent`` and ``heat`` show fractions as percent, the latter shaded; ``points`` and ``change`` differences, with their sign, the latter shaded.

    ``interval``, ``correlation`` and ``difference`` hold an Interval: of a fraction, drawn; from -1 to 1; of a difference. ``ratio`` is shaded by its logarithm:
    1 is bare, 8 and 1/8 are darkest. ``named`` holds a Named, whose name is a column of its own in files. ``prose`` is text that may take several lines;
    ``noted`` holds text or a Noted, whose mark and note are a column of their own in files.
    """

    key: str
    title: str
    kind: Kind = "text"
    help: str = ""


@dataclass(frozen=True)
class Table:
    """Rows under columns. ``caption`` says what they are, ``note`` what must be known to read them; ``heads`` is how many first columns name the row.

    ``darkest`` is the value of the darkest shade, for tables that share one scale, else the largest cell's; ``bare`` that of a fraction without shade;
    ``rail`` are the fractions between which the bars of intervals are drawn, else those that hold all of the table's. ``source`` says what was selected of
    which index: files carry it.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    heads: int = 1
    darkest: float | None = None
    bare: float = 0.0
    rail: tuple[float, float] | None = None
    source: str = ""

    def csv(self) -> str:
        """Comma-separated, numbers in full: fractions, an interval as three columns."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([name for column in self.columns for name in _names(column)])
        writer.writerows([_harmless(value) for column, cell in zip(self.columns, row, strict=True) for value in _parts(column, cell)] for row in self.rows)
        return out.getvalue()

    def json(self) -> str:
        """Caption, note, source and one object a row; numbers in full, null for nothing."""
        rows = [
            {name: value for column, cell in zip(self.columns, row, strict=True) for name, value in zip(_names(column), _parts(column, cell), strict=True)}
            for row in self.rows
        ]
        source = {"source": self.source} if self.source else {}
        return json.dumps({"caption": self.caption, "note": self.note, **source, "rows": rows}, ensure_ascii=False, allow_nan=False, indent=1)

    def latex(self) -> str:
        """A ``tabular`` with booktabs rules, numbers as shown."""
        align = "".join("l" if column.kind in (*_WORDS, "link", "named") else "r" for column in self.columns)
        lines = [" & ".join(_tex(shown(column, cell)) for column, cell in zip(self.columns, row, strict=True)) + r" \\" for row in self.rows]
        head = " & ".join(rf"\textbf{{{_tex(column.title)}}}" for column in self.columns) + r" \\"
        note = "".join(f"% {' '.join(text.split())}\n" for text in (self.note, self.source) if text)
        body = "\n".join(["\\toprule", head, "\\midrule", *lines, "\\bottomrule"])
        return (
            f"% needs \\usepackage{{booktabs}}\n{note}\\begin{{table}}\n\\centering\n\\caption{{{_tex(self.caption)}}}\n"
            f"\\begin{{tabular}}{{{align}}}\n{body}\n\\end{{tabular}}\n\\end{{table}}\n"
        )

    def html(self, *, small: bool = False) -> str:
        """A table with caption, scopes and units; classes as in ``STYLE``. Made once: tables that are kept are shown again at every click."""
        if small not in self._written:
            self._written[small] = self._html(small)
        return self._written[small]

    @cached_property
    def _written(self) -> dict[bool, str]:
        return {}

    def _html(self, small: bool) -> str:
        scale = _scale(self)
        head = "".join(f'<th scope="col" class="{_side(column)}"{_title(column)}>{escape(column.title)}</th>' for column in self.columns)
        body = "".join(
            "<tr>" + "".join(_td(column, cell, i < self.heads, scale) for i, (column, cell) in enumerate(zip(self.columns, row, strict=True))) + "</tr>"
            for row in self.rows
        )
        note = f'<p class="cb-note">{escape(self.note)}</p>' if self.note else ""
        wrap = f'<div class="cb-scroll" tabindex="0" role="region" aria-label="{escape(self.caption, quote=True)}">'
        table = f'<table class="cb{" cb-small" if small else ""}"><caption>{escape(self.caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        return f"{wrap}{table}</div>{note}"


STYLE = """
.cb-scroll{overflow-x:auto;max-width:100%;padding-bottom:.25rem}
.cb-scroll::-webkit-scrollbar{height:8px}.cb-scroll::-webkit-scrollbar-thumb{background:color-mix(in srgb,currentColor 35%,transparent);border-radius:4px}
table.cb{border-collapse:collapse;font-size:.875rem;line-height:1.35;font-variant-numeric:tabular-nums;width:auto;margin:0 0 .4rem}
table.cb caption{caption-side:top;text-align:left;font-weight:600;padding:0 0 .4rem;position:sticky;left:0}
table.cb th,table.cb td{padding:.3rem .5rem;border:0;border-bottom:1px solid color-mix(in srgb,currentColor 14%,transparent);vertical-align:middle;white-space:nowrap}
table.cb thead th{border-bottom:1.5px solid color-mix(in srgb,currentColor 45%,transparent);font-weight:600;vertical-align:bottom;white-space:normal;min-width:2.6rem}
table.cb th[title]{text-decoration:underline dotted color-mix(in srgb,currentColor 45%,transparent);text-underline-offset:.2em;cursor:help}
table.cb .r{text-align:right}table.cb .l{text-align:left}
table.cb tbody th{font-weight:500;text-align:left}table.cb th.n{white-space:normal;overflow-wrap:break-word;min-width:16rem;max-width:21rem}
table.cb td.h{text-align:right;border-bottom:1px solid transparent;padding:.25rem .5rem}
table.cb td.d{opacity:.75}
table.cb.cb-small{font-size:.8rem}table.cb.cb-small th,table.cb.cb-small td{padding:.2rem .4rem}
.cb-bar{display:inline-block;position:relative;width:80px;height:14px;margin-left:.35rem;vertical-align:middle;print-color-adjust:exact}
.cb-bar::before{content:"";position:absolute;left:0;right:0;top:6.5px;height:1px;background:color-mix(in srgb,currentColor 18%,transparent)}
.cb-n{display:inline-block;min-width:2.4em;text-align:right}
.cb-bar i{position:absolute;top:4px;height:6px;min-width:3px;border-radius:2px;font-style:normal;background:color-mix(in srgb,#2f79b5 55%,transparent)}
.cb-bar b{position:absolute;top:1px;width:2px;height:12px;margin-left:-1px;background:#2f79b5}
.cb-note{font-size:.8rem;margin:.1rem 0 .8rem;max-width:60rem;opacity:.85}
table.cb td.p{text-align:left;white-space:normal;min-width:14rem;max-width:30rem}
.cb-flag{position:relative;font-weight:600;text-decoration:underline dotted;text-underline-offset:.2em;cursor:help}
.cb-flag span{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.cb-mark{display:inline-block;min-width:.5em;text-align:left;font-weight:700}
@media (max-width:640px){table.cb caption{max-width:calc(100vw - 1.9rem)}table.cb{font-size:.8rem}table.cb th,table.cb td{padding:.28rem .4rem}table.cb tbody th,table.cb th.n{white-space:normal;min-width:7.5rem;overflow-wrap:break-word}}
"""
"""The style of these tables; shades are mixed with what is behind them, so that they read on light and on dark."""


def shown(column: Column, cell: Cell) -> str:
    """The cell as a reader sees it; a dash for nothing."""
    if cell is None or (isinstance(cell, float) and not math.isfinite(cell)):
        return "–" if not isinstance(cell, float) or math.isnan(cell) else "∞"
    if isinstance(cell, Link):
        return cell.text
    if isinstance(cell, Interval):
        each = Column("", "", _TRIPLES.get(column.kind, "percent"))
        return shown(each, cell.value) + (f" ({shown(each, cell.low)} to {shown(each, cell.high)})" if math.isfinite(cell.low) else "")
    if isinstance(cell, Named):
        return f"{100 * cell.value:.1f}\u2002{cell.name}"
    if isinstance(cell, Marked):
        return shown(column, cell.value) + cell.mark
    if isinstance(cell, Noted):
        return f"{cell.text}, {cell.mark}"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, str):
        return cell
    if column.kind in ("percent", "heat"):
        return f"{100 * cell:.1f}"
    if column.kind in ("points", "change"):
        return signed(cell)
    if column.kind == "integer":
        return f"{cell:,.0f}"
    if column.kind == "p":
        return "<0.001" if cell < 0.001 else f"{cell:.3f}"
    if column.kind in ("gigabytes", "ratio", "correlation"):
        return f"{cell:z.2f}".replace("-", "−")
    return f"{cell:.3g}" if abs(cell) < 1000 else f"{cell:,.0f}"


_WORDS: tuple[Kind, ...] = ("text", "prose", "noted")


def signed(fraction: float) -> str:
    """A difference in percentage points, with its sign: ``+1.2``, ``−0.4``, ``+0.0``."""
    return f"{100 * fraction:+z.1f}".replace("-", "−")


def points(fraction: float) -> str:
    """A difference in percentage points, as ``signed``, but without a plus: of what lies behind another."""
    return signed(fraction).removeprefix("+")


_TRIPLES: dict[Kind, Kind] = {"interval": "percent", "correlation": "correlation", "difference": "points"}
"""Kinds of columns that hold an Interval, and how its numbers are written."""


def _names(column: Column) -> tuple[str, ...]:
    if column.kind in _TRIPLES:
        return column.key, f"{column.key}_low", f"{column.key}_high"
    second = {"link": "address", "noted": "note", "named": "name"}.get(column.kind)
    return (column.key, f"{column.key}_{second}") if second else (column.key,)


def _parts(column: Column, cell: Cell) -> tuple[str | float | int | bool | None, ...]:
    if column.kind in _TRIPLES:
        return tuple(_finite(x) for x in cell) if isinstance(cell, Interval) else (None, None, None)
    if column.kind == "link":
        return (cell.text, cell.address) if isinstance(cell, Link) else (cell if isinstance(cell, str) else None, None)
    if column.kind == "noted":
        return (cell.text, f"{cell.mark}: {cell.note}") if isinstance(cell, Noted) else (cell if isinstance(cell, str) else None, None)
    if column.kind == "named":
        return (_finite(cell.value), cell.name) if isinstance(cell, Named) else (None, None)
    value = _bare(cell)
    return (_finite(value) if not isinstance(value, Interval | Link | Named | Noted) else None,)


def _bare(cell: Cell) -> str | float | int | bool | Interval | Link | Named | Noted | None:
    """The cell without its mark."""
    return cell.value if isinstance(cell, Marked) else cell


def _finite(cell: str | float | int | bool | None) -> str | float | int | bool | None:
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell


def _harmless(value: str | float | int | bool | None) -> str | float | int | bool | None:
    """A text that a spreadsheet would run as a formula gets an apostrophe before it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _tex(text: str) -> str:
    special = {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "–": "--",
        "−": "$-$",
        "∞": r"$\infty$",
        "\u2002": r"\enspace{}",
    }
    return "".join(special.get(char, f"\\{char}" if char in "&%$#_{}" else char) for char in text)


def _side(column: Column) -> str:
    return "l" if column.kind in (*_WORDS, "link", "named", "interval") else "r"


def _title(column: Column) -> str:
    return f' title="{escape(column.help, quote=True)}"' if column.help else ""


class _Scale(NamedTuple):
    """The palest and the darkest fraction of the heat cells, the largest change, and where the rails of intervals begin and end."""

    bare: float
    heat: float
    change: float
    low: float
    high: float


def _scale(table: Table) -> _Scale:
    heats, changes, ends = [1e-9], [1e-9], []
    for row in table.rows:
        for column, cell in zip(table.columns, row, strict=True):
            value = _bare(cell)
            if isinstance(value, Interval) and column.kind == "interval":
                ends += [end for end in value if math.isfinite(end)]
            elif isinstance(value, int | float) and math.isfinite(value):
                (heats if column.kind == "heat" else changes if column.kind == "change" else []).append(abs(float(value)))
    low, high = table.rail or rail_of(ends)
    most = (max(heats), max(changes)) if table.darkest is None else (table.darkest, table.darkest)
    return _Scale(table.bare, *most, low, high)


def rail_of(ends: Sequence[float]) -> tuple[float, float]:
    """A rail that holds all of these fractions, in steps of 0.05."""
    low, high = math.floor(20 * min(ends, default=0)) / 20, math.ceil(20 * max(ends, default=1)) / 20
    return low, max(high, low + 0.05)


def _td(column: Column, cell: Cell, head: bool, scale: _Scale) -> str:
    text = escape(shown(column, cell))
    if isinstance(cell, Link):
        if head:  # elsewhere a narrow screen would break a name at each of these
            text = text.replace("/", "/<wbr>").replace("-", "-<wbr>").replace("_", "_<wbr>")
        text = f'<a href="{escape(cell.address, quote=True)}">{text}</a>' if cell.address.startswith(("/", "?", "#", "./", "https://")) else text
    if isinstance(cell, Marked):
        text, cell = f'{escape(shown(column, cell.value))}<span class="cb-mark">{escape(cell.mark)}</span>', cell.value
    if isinstance(cell, Noted):
        note = escape(cell.note, quote=True)
        text = f'{escape(cell.text)}, <span class="cb-flag" title="{note}">{escape(cell.mark)}<span>: {note}</span></span>'
    if isinstance(cell, Interval) and column.kind == "interval":
        text = f'<span class="cb-n">{shown(Column("", ""), None) if math.isnan(cell.value) else f"{100 * cell.value:.1f}"}</span> {_bar(cell, scale)}'
    if head:
        name = ' class="n"' if isinstance(cell, Link) else ""
        return f'<th scope="row"{name}>{text}</th>'
    if column.kind in ("heat", "change", "ratio"):
        return f'<td class="h"{_shade(column, cell, scale)}>{text}</td>'
    return f'<td class="{"p" if column.kind == "prose" else _side(column)}">{text}</td>'


def _shade(column: Column, cell: Cell, scale: _Scale) -> str:
    if not isinstance(cell, int | float) or not math.isfinite(cell):
        return ""
    most = scale.change
    if column.kind == "heat":
        cell, most = max(cell - scale.bare, 0.0), max(scale.heat - scale.bare, 1e-9)
    if column.kind == "ratio":
        cell, most = (max(-3.0, min(3.0, math.log2(cell))) if cell > 0 else -3.0), 3.0
    colour = "#2f79b5" if column.kind == "heat" or cell >= 0 else "#c2620e"
    return f' style="background:color-mix(in srgb,{colour} {48 * min(1, abs(cell) / most):.0f}%,transparent)"'


def _bar(cell: Interval, scale: _Scale) -> str:
    """The interval on a rail that is the same in all of the table; of boxes, since Streamlit takes SVG out of HTML."""
    if not math.isfinite(cell.value):
        return ""
    at, low, high = (100 * (end - scale.low) / (scale.high - scale.low) for end in cell)
    known = math.isfinite(cell.low)
    label = f"95 % interval {100 * cell.low:.1f} to {100 * cell.high:.1f}" if known else "no interval"
    label += f", on a scale from {100 * scale.low:.0f} to {100 * scale.high:.0f}"
    line = f'<i style="left:{low:.1f}%;width:{high - low:.1f}%"></i>' if known else ""
    return f'<span class="cb-bar" role="img" aria-label="{label}" title="{label}">{line}<b style="left:{at:.1f}%"></b></span>'


def grid(
    caption: str,
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float | None]],
    *,
    corner: str = "",
    note: str = "",
) -> Table:
    """A map as a table: one column a code of ``columns``, one row a code of ``rows``."""
    head = (Column("row", corner), *(Column(code, code, "heat") for code in columns))
    return Table(caption, head, tuple((code, *line) for code, line in zip(rows, values, strict=True)), note)
