"""Getting about: the menu, links of rows, links that were sent, the way back, the keyboard, paper."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
from board_pages import PAGES, Html, Shown
from playwright.sync_api import Locator, Page, expect

from .conftest import Visit

MENU = [page for page in PAGES if page != "system"]


def test_every_link_of_the_menu_leads_to_its_page_and_back_to_the_one_before(visit: Visit) -> None:
    page = visit.open().page
    links = page.get_by_test_id("stTopNavLink")
    assert sorted(text.lower() for text in links.all_inner_texts()) == MENU
    for name in links.all_inner_texts()[1:]:
        links.filter(has_text=name).click()
        expect(page.locator("h1")).to_have_text(name)
        visit.settle()
        expect(page).to_have_title(f"{name} · clir-bench")
        assert urlsplit(page.url).path == f"/{name.lower()}"
    page.go_back()
    expect(page.locator("h1")).to_have_text("Submit")


def test_on_a_telephone_the_menu_is_one_touch_away(visit: Visit) -> None:
    page = visit.show(390).open("./leaderboard").page
    page.get_by_test_id("stExpandSidebarButton").click()
    page.get_by_test_id("stSidebarNavLink").filter(has_text="Pairs").click()
    expect(page.locator("h1")).to_have_text("Pairs")


def test_a_row_leads_to_its_system_and_back_to_the_same_rows(visit: Visit) -> None:
    page = visit.open("./leaderboard?queries=Arabic&measure=R%40100").page
    rows = page.locator("table.cb tbody th a")
    names = rows.all_inner_texts()
    assert len(names) > 5
    rows.nth(2).click()
    expect(page.locator("h1")).to_have_text(names[2])
    expect(_box(page, "System")).to_have_value(names[2])
    page.go_back()
    expect(page.locator("h1")).to_have_text("Leaderboard")
    visit.settle()
    assert rows.all_inner_texts() == names
    assert parse_qs(urlsplit(page.url).query) == {"queries": ["Arabic"], "measure": ["R@100"]}


def test_a_filter_changes_the_address_and_the_address_gives_the_same_page(visit: Visit) -> None:
    page = visit.open("./leaderboard").page
    whole = _caption(page)
    _choose(page, "Questions in", "Arabic")
    expect(page).to_have_url(re.compile("queries=Arabic"))
    expect(page.locator("table.cb caption").first).not_to_have_text(whole)
    visit.settle()
    _choose(page, "Documents in", "Russian")
    expect(page).to_have_url(re.compile("documents=Russian"))
    expect(page.locator("table.cb caption").first).to_contain_text("1 pair of CLIRMatrix")
    narrow, rows, address = _caption(page), _rows(page), page.url
    assert narrow != whole
    page.reload()
    visit.settle()
    assert (_caption(page), _rows(page)) == (narrow, rows)
    other = page.context.new_page()  # as somebody who was sent the link
    other.goto(address)
    expect(other.locator("table.cb caption").first).to_have_text(narrow)
    assert _rows(other) == rows
    other.close()


def test_filters_stay_from_page_to_page(visit: Visit) -> None:
    page = visit.open("./leaderboard?queries=Arabic&sort=name").page
    page.get_by_test_id("stTopNavLink").filter(has_text="Pairs").click()
    expect(page.locator("h1")).to_have_text("Pairs")
    expect(page).to_have_url(re.compile(r"/pairs\?queries=Arabic$"))
    expect(page.locator("table.cb").first).to_contain_text("Arabic")
    assert {row[0].partition(" →")[0] for row in _table(page).rows} <= {"Arabic", "mean"}


def test_what_a_link_chose_goes_along_through_the_menu_and_back(visit: Visit) -> None:
    page = visit.open("./?queries=Arabic&documents=Russian").page
    page.get_by_test_id("stTopNavLink").filter(has_text="Leaderboard").click()
    expect(page.locator("h1")).to_have_text("Leaderboard")
    expect(page.locator("table.cb caption").first).to_contain_text("1 pair of CLIRMatrix")
    assert parse_qs(urlsplit(page.url).query) == {"queries": ["Arabic"], "documents": ["Russian"]}
    visit.settle()
    page.get_by_test_id("stTopNavLink").filter(has_text="About").click()  # where nothing is chosen
    expect(page.locator("h1")).to_have_text("About")
    visit.settle()
    page.get_by_test_id("stTopNavLink").filter(has_text="Choose").click()
    expect(page.locator("h1")).to_have_text("Choose")
    visit.settle()
    assert parse_qs(urlsplit(page.url).query) == {"queries": ["Arabic"], "documents": ["Russian"]}


def test_an_address_may_hold_the_values_of_the_api(visit: Visit) -> None:
    page = visit.open("./leaderboard?queries=ar,en&documents=ru&gigabytes=1&same=without").page
    expect(page).to_have_url(re.compile("queries=Arabic&queries=English"))
    assert parse_qs(urlsplit(page.url).query) == {
        "queries": ["Arabic", "English"], "documents": ["Russian"], "gigabytes": ["at most 1 GB"], "same": ["left out"],
    }  # fmt: skip
    expect(page.locator("table.cb caption").first).to_contain_text("3 pairs of CLIRMatrix, Large-Scale")
    assert page.get_by_role("alert").count() == 0


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("./leaderboard?queries=Klingon&measure=R%407", "queries=Klingon; measure=R@7 (near: R@1"),
        ("./system?system=synthetic-00%2Fmodel-00%2Fnativ", "near: synthetic-00/model-00/native"),
    ],
)
def test_what_an_address_asks_for_in_vain_is_told(at: str, said: str, visit: Visit) -> None:
    page = visit.open(at).page
    expect(page.get_by_role("alert")).to_contain_text(said)
    assert visit.violations() == []


def test_the_way_back_leads_to_the_page_before_as_it_was_left(visit: Visit) -> None:
    page = visit.open("./leaderboard").page
    caption, whole = page.locator("table.cb caption").first, _caption(page)
    _choose(page, "Questions in", "Arabic")
    expect(page).to_have_url(re.compile("queries=Arabic"))
    expect(caption).not_to_have_text(whole)  # the address changes before the script has run
    visit.settle()
    narrow, left = _caption(page), _rows(page)
    page.get_by_test_id("stTopNavLink").filter(has_text="Bias").click()
    expect(page.locator("h1")).to_have_text("Bias")
    visit.settle()
    page.go_back()
    expect(page.locator("h1")).to_have_text("Leaderboard")
    expect(page).to_have_url(re.compile("queries=Arabic"))
    expect(caption).to_have_text(narrow)
    assert _rows(visit.settle().page) == left


def test_what_quality_is_set_against_stands_in_the_address_and_stays(visit: Visit) -> None:
    page = visit.open("./leaderboard").page
    page.get_by_role("radio", name="time a query").click()
    expect(page).to_have_url(re.compile(r"cost=time\+a\+query"))
    expect(page.locator("table.cb caption").filter(has_text="On the front")).to_contain_text("ms a query on synthetic, 16 cores")
    _box(page, "Timed on").click()
    page.get_by_role("option", name="synthetic, 16 cores", exact=True).click()  # Escape would undo it
    expect(page).to_have_url(re.compile(r"hardware=synthetic"))
    assert visit.settle().show(390, "dark").violations() == []
    assert visit.overflow <= 0
    page.reload()
    visit.settle().show(1280)
    expect(page.get_by_role("radio", name="time a query")).to_be_checked()
    page.get_by_test_id("stTopNavLink").filter(has_text="Pairs").click()
    expect(page.locator("h1")).to_have_text("Pairs")
    visit.settle()
    page.get_by_test_id("stTopNavLink").filter(has_text="Leaderboard").click()
    expect(page.locator("h1")).to_have_text("Leaderboard")
    expect(page.locator("table.cb caption").filter(has_text="On the front")).to_contain_text("ms a query on synthetic, 16 cores")


def test_the_keyboard_reaches_and_works_the_filters_in_the_order_in_which_they_are_seen(visit: Visit) -> None:
    page = visit.open("./leaderboard").page
    page.add_style_tag(content="*{transition:none!important}")
    stops: list[tuple[str, float]] = []
    for _ in range(30):
        page.keyboard.press("Tab")
        name, top, shown, marked = page.evaluate(FOCUSED)
        assert shown, f"{name} has the focus, out of sight"
        assert marked, f"nothing shows that {name} has the focus"
        stops.append((name, top))
        if name == "Questions in":
            page.keyboard.type("Arab")
            page.keyboard.press("Enter")
            expect(page).to_have_url(re.compile("queries=Arabic"))
            page.keyboard.press("Escape")
    names = [name for name, _ in stops]
    assert names[0] == "Skip to main content"
    wanted = ["Leaderboard", "Data sets", "Measure", "Questions in", "Documents in", "More", "Find a system"]
    found = [next((i for i, name in enumerate(names) if name.startswith(each)), None) for each in wanted]
    assert None not in found, names
    assert found == sorted(found, key=lambda at: at or 0)
    first = names.index("Data sets")
    assert max(top for _, top in stops[1:first]) < 60, "the menu comes first"


def test_the_first_stop_skips_the_menu(visit: Visit) -> None:
    page = visit.open("./leaderboard").page
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement.tagName === 'MAIN'")
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED)[0] == "Data sets"


@pytest.mark.parametrize("name", ["leaderboard", "pairs"])
def test_on_paper_there_is_the_whole_page_without_its_controls(name: str, visit: Visit, picture: Callable[[Page, str], None]) -> None:
    page = visit.open(f"./{name}").page
    page.emulate_media(media="print")
    expect(page.get_by_test_id("stHeader")).to_be_hidden()
    assert page.locator("table.cb").first.is_visible()
    picture(page, f"{name}-print")
    height = page.evaluate('document.querySelector("[data-testid=stMainBlockContainer]").scrollHeight')
    sheets = page.pdf(format="A4").count(b"/Type /Page\n")
    assert sheets >= height / 1400  # an A4 sheet holds about 1,100 of these pixels


FOCUSED = """async () => {
  const at = document.activeElement, box = at.getBoundingClientRect(), around = [];
  for (let each = at; each && around.length < 8; each = each.parentElement) around.push(each);
  const looks = () => around.map(each => { const s = getComputedStyle(each); return s.outline + s.boxShadow + s.borderColor + s.backgroundColor }).join();
  const drawn = () => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  await drawn();
  const focused = looks(), name = at.getAttribute("aria-label") || at.labels?.[0]?.innerText || at.innerText || at.tagName;
  at.blur();
  await drawn();
  const bare = looks();
  at.focus({focusVisible: true});
  return [name.trim().split("\\n")[0], box.top, box.bottom > 0 && box.top < innerHeight && box.width > 0, focused !== bare || at.tagName === "MAIN"];
}"""
"""What has the focus: its name, its place, whether it is in sight, whether its looks show the focus."""


def _box(page: Page, label: str) -> Locator:
    return page.get_by_role("combobox", name=label, exact=True)


def _choose(page: Page, label: str, option: str) -> None:
    _box(page, label).click()
    page.keyboard.type(option)
    page.get_by_role("option", name=option, exact=True).click()
    page.keyboard.press("Escape")


def _caption(page: Page) -> str:
    return page.locator("table.cb caption").first.inner_text()


def _rows(page: Page) -> list[str]:
    return page.locator("table.cb").first.locator("tbody tr").all_inner_texts()


def _table(page: Page) -> Shown:
    return Html(page.locator("table.cb").first.evaluate("table => table.outerHTML")).tables[0]
