"""Every page as a browser shows it: no violation of accessibility rules, nothing wider than a telephone, few bytes, a picture of each."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from board_pages import PAGES
from playwright.sync_api import Browser, Page, expect

from .conftest import BY_COLOUR, Visit

WEBSOCKET, STATIC = 250_000, 1_600_000
"""Bytes that a page may cost; benchmarks/leaderboard.py measures them at 1,000 systems."""


def test_a_first_visit_loads_few_bytes_of_files(browser: Browser, address: str) -> None:
    context = browser.new_context()  # which has nothing yet
    visit = Visit(context.new_page(), address).open("./leaderboard")
    kept = [request for request in visit.finished if "-Italic." not in request.url]  # a face that some loads fetch and others do not
    loaded = sum(request.sizes()["responseBodySize"] for request in kept)
    context.close()
    assert 100_000 < loaded <= STATIC


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_accessible_and_fits_in_light_and_dark_on_a_desktop_and_a_telephone(name: str, visit: Visit, picture: Callable[[Page, str], None]) -> None:
    visit.open("./" if name == "choose" else f"./{name}")
    assert 1000 < sum(visit.frames) <= WEBSOCKET
    for width, scheme, rules in ((1280, "light", ()), (1280, "dark", BY_COLOUR), (390, "dark", ()), (390, "light", None)):
        visit.show(width, scheme)
        backdrop = "rgb(255, 255, 255)" if scheme == "light" else "rgb(16, 23, 30)"
        expect(visit.page.locator('[data-testid="stApp"]')).to_have_css("background-color", backdrop)
        if rules is not None:  # the last of the four would tell nothing: its elements are those of the third, its colours those of the first
            assert visit.violations(rules) == [], f"{width} {scheme}"
        assert visit.overflow <= 0, width
        picture(visit.page, f"{name}-{width}-{scheme}")
