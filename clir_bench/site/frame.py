"""The frame of the static site's pages: a whole HTML document that needs no script, no other file and no host."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from html import escape
from typing import NamedTuple
from urllib.parse import parse_qs, quote, urlsplit

from clir_bench.exhibits import maps, profile, tables

MENU = (
    ("index.html", "Leaderboard"), ("cost.html", "Cost"), ("bias.html", "Bias"), ("pipeline.html", "Pipeline"), ("languages.html", "Languages"), ("about.html", "About"),
)  # fmt: skip
_ICON = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2 2"><path d="M0 0h1v1H0z" fill="#1f5f99"/><path d="M1 0h1v1H1zM0 1h1v1H0z" fill="#74b0da"/><path d="M1 1h1v1H1z" fill="#114a80"/></svg>'
# What the pages are not allowed they cannot do, whatever a submission's texts hold.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_STYLE = """
:root{color-scheme:light dark;--ink:#1b2733;--paper:#fff;--link:#1b5c98;--line:#d5dce3}
@media (prefers-color-scheme:dark){:root{--ink:#e6ecf2;--paper:#10171e;--link:#8cc3f0;--line:#33414e}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
a{color:var(--link)}a:focus-visible,.cb-scroll:focus-visible{outline:2px solid var(--link);outline-offset:2px}
header,main,footer{max-width:84rem;margin:0 auto;padding:0 1.25rem}
header{display:flex;flex-wrap:wrap;gap:.2rem 1.5rem;align-items:baseline;padding-top:.9rem;padding-bottom:.7rem;border-bottom:1px solid var(--line)}
header b{font-size:1.05rem}nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;margin:0;padding:0}nav a[aria-current]{font-weight:600;text-decoration:none;color:inherit}
h1{font-size:1.75rem;line-height:1.25;margin:1.4rem 0 .3rem;overflow-wrap:anywhere}h2{font-size:1.25rem;margin:2rem 0 .5rem}
p,li{max-width:60rem}main pre{white-space:pre-wrap;overflow-wrap:anywhere;border:1px solid var(--line);border-radius:.35rem;padding:.6rem .8rem;font-size:.85rem;max-width:60rem}
.skip{position:absolute;left:-99rem}.skip:focus{position:static;display:inline-block;padding:.3rem 1rem}
footer{margin-top:3rem;padding-top:.8rem;padding-bottom:1.5rem;font-size:.85rem}footer p{border-top:1px solid var(--line);padding-top:.8rem}
@media (max-width:640px){h1{font-size:1.4rem}header,main,footer{padding-left:.9rem;padding-right:.9rem}}
@media print{header nav,.skip{display:none}body{font-size:10pt}.cb-scroll{overflow:visible}a{color:inherit;text-decoration:none}h2,tr{break-inside:avoid}}
"""
STYLE = f"{_STYLE}{tables.STYLE}{maps.STYLE}{profile.STYLE}".replace("\n", "")


_FOOT = (
    '<a href="{up}about.html">How it is computed</a> · <a href="{up}cost.html">Quality against cost</a> · <a href="{up}bias.html">Bias</a> · '
    '<a href="{up}pipeline.html">Pipeline</a>'
)


class Page(NamedTuple):
    """A page: its file below the site, its title, what it is in a sentence, and its parts as HTML."""

    file: str
    title: str
    lead: str
    parts: Sequence[str]


def document(page: Page, foot: str) -> str:
    """The whole document; ``foot`` is plain text."""
    up = up_from(page.file)
    menu = "".join(f'<li><a href="{up}{file}"{" aria-current=page" if file == page.file else ""}>{name}</a></li>' for file, name in MENU)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><title>{escape(page.title)} · clir-bench</title>'
        f'<meta name="description" content="{escape(page.lead, quote=True)}"><link rel="icon" href="data:image/svg+xml,{quote(_ICON)}"><style>{STYLE}</style></head>\n'
        f'<body><a class="skip" href="#content">To the content</a><header><b>clir-bench</b><nav aria-label="Pages"><ul>{menu}</ul></nav></header>\n'
        f'<main id="content"><h1>{escape(page.title)}</h1><p>{escape(page.lead)}</p>\n'
        + "\n".join(page.parts)
        + f"\n</main><footer><p>{escape(foot)} {_FOOT.format(up=up)}</p></footer></body></html>\n"
    )


def up_from(file: str) -> str:
    """The way from a page to the site's root, as the start of a relative address."""
    return "./" + "../" * file.count("/")


def still(table: tables.Table, up: str) -> tables.Table:
    """The table with links to the site's own pages of systems; links to views that need a server become words."""
    return replace(table, rows=tuple(tuple(_still_cell(cell, up) for cell in row) for row in table.rows))


def _still_cell(cell: tables.Cell, up: str) -> tables.Cell:
    if not isinstance(cell, tables.Link) or cell.address.startswith(("https://", "./languages/")):
        return cell
    asked = parse_qs(urlsplit(cell.address).query).get("system")
    return tables.Link(cell.text, f"{up}{system_file(asked[0])}") if asked else cell.text


def system_file(system: str) -> str:
    """The page of a system. No name holds a ``~``, so two systems never share a file."""
    return f"systems/{system.replace('/', '~')}.html"


def heading(text: str) -> str:
    """A heading below the title."""
    return f"<h2>{escape(text)}</h2>"


def sentences(*texts: str) -> str:
    """A paragraph."""
    return f"<p>{escape(' '.join(texts))}</p>"


def listed(items: Iterable[tuple[str, str, str]]) -> str:
    """A list of links: words, address, and what is to be said of it."""
    return "<ul>" + "".join(f'<li><a href="{escape(to, quote=True)}">{escape(words)}</a>{escape(says)}</li>' for words, to, says in items) + "</ul>"


def linked(title: str, items: Iterable[tuple[str, str, str]]) -> str:
    """The same as a paragraph, for what is to take little room."""
    return (
        f"<p><b>{escape(title)}</b>: "
        + "; ".join(f'<a href="{escape(to, quote=True)}">{escape(words)}</a>{escape(says)}' for words, to, says in items)
        + ".</p>"
    )


def code(text: str) -> str:
    """Text as it is."""
    return f"<pre>{escape(text)}</pre>"


def side_by_side(*shown: tables.Table) -> str:
    """Small tables beside each other where there is room."""
    return '<div class="cb-maps">' + "".join(f"<div>{table.html(small=True)}</div>" for table in shown) + "</div>"
