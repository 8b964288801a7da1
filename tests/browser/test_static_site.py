"""The exported site as a browser shows it from disk: accessible, no wider than a telephone, and nothing else is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page

from clir_bench.site.export import export_site
from clir_bench.standings import open_index

from .conftest import BY_COLOUR, Visit


@pytest.fixture(scope="module")
def site(board: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_site(open_index(board, build=True), tmp_path_factory.mktemp("exported") / "site").path


@pytest.mark.parametrize(
    "kind",
    [
        "index.html",
        "cost.html",
        "bias.html",
        "bias/clirmatrix-v1.html",
        "pipeline.html",
        "about.html",
        "languages.html",
        "languages/ar.html",
        "data/clirmatrix-v1.html",
        "systems/clir-bench~bm25~*.html",
    ],
)
def test_a_page_of_the_site_is_accessible_and_fits(kind: str, site: Path, context: BrowserContext, picture: Callable[[Page, str], None]) -> None:
    file = next(site.glob(kind))
    visit = Visit(context.new_page(), f"file://{site}")
    visit.page.goto(file.as_uri())
    for width, scheme, rules in ((1280, "light", ()), (390, "dark", ()), (1280, "dark", BY_COLOUR)):
        visit.show(width, scheme)
        assert visit.violations(rules) == [], f"{width} {scheme}"
        assert visit.overflow <= 0, width
        picture(visit.page, f"site-{file.stem[:20]}-{width}-{scheme}")
    assert visit.page.evaluate("window.hostile") is None
    visit.page.close()
    assert not visit.complaints
