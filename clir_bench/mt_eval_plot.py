"""The paper's Figure 2 of a report: a panel a metric, languages across, a marker a system with the 95% interval of its mean."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clir_bench import languages
from clir_bench.errors import ClirBenchError, MissingExtra
from clir_bench.files import replacing
from clir_bench.mt_eval_records import Report, RowRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".svg", ".png", ".pdf")
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")  # Okabe and Ito: told apart by the colour-blind, too
_MARKERS = "osD^vPX"
_TITLES = {"comet-kiwi": "COMET-Kiwi", "perplexity": "Perplexity", "similarity": "Cosine of source and translation", "chrf": "chrF++"}
_SCRIPTS = {
    "Latn": "Latin", "Cyrl": "Cyrillic", "Arab": "Arabic", "Deva": "Devanagari", "Hans": "Han", "Hant": "Han", "Jpan": "Japanese", "Hang": "Hangul",
    "Kore": "Hangul", "Grek": "Greek", "Ethi": "Ethiopic", "Thai": "Thai",
}  # fmt: skip
_GREY = "#666666"
_SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans", "font.size": 9, "axes.titlesize": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#999999",
    "xtick.color": "#444444", "ytick.color": "#444444", "svg.fonttype": "none", "svg.hashsalt": "clir-bench",
}  # fmt: skip


def check_plot(path: Path) -> None:
    """Raise what would keep ``write_plot`` from writing, before hours of work: ClirBenchError for the suffix, MissingExtra without matplotlib."""
    if path.suffix.lower() not in SUFFIXES:
        raise ClirBenchError(f"--plot {path}: a plot is {', '.join(SUFFIXES)}")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise MissingExtra("matplotlib", "plot") from None


def write_plot(report: Report, path: Path) -> None:
    """Draw the report; the suffix decides the format. The same report gives the same SVG."""
    check_plot(path)
    import matplotlib as mpl

    with mpl.rc_context(_SETTINGS):
        figure = draw(report)
        form = path.suffix.lower().removeprefix(".")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as stream:
                figure.savefig(stream, format=form, dpi=200, metadata={"Date": None} if form == "svg" else None)
        except OSError as error:
            raise ClirBenchError(f"{path} cannot be written ({error.strerror or error}). Choose another with --plot") from error


def draw(report: Report) -> Figure:
    """The figure. Languages stand by script, then code."""
    from matplotlib.figure import Figure

    codes = sorted((sample.language for sample in report.samples), key=lambda code: (_script(code) != "Latin", _script(code), code))
    place, systems = _places(codes), [system.name for system in report.systems]
    width = min(16.0, max(6.0, 1.6 + (0.24 + 0.1 * len(systems)) * len(codes)))
    figure = Figure(figsize=(width, 1.1 + 1.9 * len(report.metrics)), layout="constrained")
    panels: list[Axes] = list(figure.subplots(len(report.metrics), 1, sharex=True, squeeze=False)[:, 0])
    for panel, metric in zip(panels, report.metrics, strict=True):
        cells = {s: [report.row(s, code, metric.name) for code in codes] for s in systems}
        _fill(panel, cells, [place[code] for code in codes])
        better = "higher" if metric.better == "higher" else "lower"
        panel.set_title(f"{_TITLES.get(metric.name, metric.name)}, {better} is better", loc="left")
    _label_languages(panels[-1], codes, place)
    if len(systems) > 1:
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=min(4, len(labels)), frameon=False, handletextpad=0.3, borderpad=0.5)
    figure.supxlabel(_footnote(report), x=0.01, ha="left", fontsize=7.5, color=_GREY)
    return figure


def _fill(panel: Axes, cells: dict[str, list[RowRecord]], places: Sequence[float]) -> None:
    step = min(0.2, 0.6 / max(1, len(cells)))
    means = [row.mean for rows in cells.values() for row in rows if row.mean is not None]
    if means and min(means) > 0 and max(means) > 20 * min(means):
        panel.set_yscale("log")
    for i, (system, rows) in enumerate(cells.items()):
        shift = step * (i - (len(cells) - 1) / 2)
        shown = [(place + shift, row) for place, row in zip(places, rows, strict=True) if row.mean is not None]
        x, y = [place for place, _ in shown], [row.mean or 0.0 for _, row in shown]
        below = [0.0 if row.low is None or row.mean is None else max(0.0, row.mean - row.low) for _, row in shown]
        above = [0.0 if row.high is None or row.mean is None else max(0.0, row.high - row.mean) for _, row in shown]
        colour = _COLOURS[i % len(_COLOURS)]
        panel.errorbar(
            x, y, yerr=[below, above], fmt=_MARKERS[i % len(_MARKERS)], color=colour, markersize=4.5, markeredgecolor="white", markeredgewidth=0.5,
            elinewidth=1.1, label=system,
        )  # fmt: skip
    panel.grid(axis="y", color="#e6e6e6", linewidth=0.7)
    panel.set_axisbelow(True)
    panel.tick_params(length=0)
    panel.margins(y=0.12)


def _label_languages(panel: Axes, codes: Sequence[str], place: dict[str, float]) -> None:
    """Codes, and under them the scripts."""
    panel.set_xticks([place[code] for code in codes], codes)
    panel.set_xlim(min(place.values()) - 0.6, max(place.values()) + 0.6)
    for script, group in groupby(codes, _script):
        held = [place[code] for code in group]
        middle = (held[0] + held[-1]) / 2
        panel.annotate(
            script,
            (middle, 0),
            xycoords=("data", "axes fraction"),
            xytext=(0, -19),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=7.5,
            color=_GREY,
        )


def _places(codes: Sequence[str]) -> dict[str, float]:
    """Where each language stands: 1 apart, with a gap between scripts."""
    place, x, before = {}, 0.0, ""
    for code in codes:
        x += 0.6 if before and _script(code) != before else 0.0
        place[code], before = x, _script(code)
        x += 1.0
    return place


def _script(code: str) -> str:
    script = languages.mteb_code(code).partition("-")[2]
    return _SCRIPTS.get(script, script)


def _footnote(report: Report) -> str:
    counts = sorted({len(sample.ids) for sample in report.samples})
    documents = f"{counts[0]} documents" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} documents"
    failed = [f"{s.name} {n}" for s in report.systems if (n := sum(f.system == s.name for f in report.failures))]
    total = sum(len(sample.ids) for sample in report.samples)
    end = f" Failed of {total:,}, in no mean: {', '.join(failed)}." if failed else ""
    return f"{documents} a language; bars: 95% interval of the mean.{end}"
