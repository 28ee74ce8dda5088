"""The report as a browser shows it: whole and readable on a phone and on a desk, light and dark."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import OUT_OF_PLACE, PALE, ask, chromium, open_page
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from pairlab.differences import Row
from pairlab.report.html import page
from pairlab.report.summary import Yield, summarise
from pairlab.report.summary_terminal import as_page
from pairlab.results import RunResult
from tests.hostile_texts import HTML, hostile
from tests.report_worlds import cut_short, patch_result, with_layers

pytestmark = pytest.mark.integration

VIEWS = [(width, scheme) for width in (360, 1280) for scheme in ("light", "dark")]
GROUNDS = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}
TIMEOUT_S = 10


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    with chromium(tmp_path_factory.mktemp("chromium") / "profile") as running:
        yield running


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two results: a complete one with emulated VMs, and one cut short on KVM."""
    file = tmp_path_factory.mktemp("report") / "report.html"
    results = [with_layers(patch_result()), cut_short(patch_result(accelerator="kvm"))]
    file.write_text(page(results), encoding="utf-8")
    return file


def squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def texts(result: RunResult) -> set[str]:
    """What a reader must find of a result."""
    found = {result.title, result.question, result.section, result.subject, result.incomplete_reason}
    found |= {text for figure in result.figures for text in (figure.title, figure.method)}
    found |= {variant.title for variant in result.variants}
    found |= {finding.question for finding in result.findings}
    found |= {finding.answer.removeprefix(f"{finding.verdict}: ") for finding in result.findings}
    found |= {text for conclusion in result.conclusions for text in (conclusion.text, conclusion.basis)}
    found |= {text for layer in result.layers for text in (layer.name, layer.found)}
    found |= {mark.text for line in result.timelines for mark in line.marks}
    found |= {version for line in result.timelines for version in line.version}
    found |= {result.environment.processor, *result.environment.versions.values()}
    return {squeezed(text) for text in found}


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_the_page_is_whole(driver: WebDriver, report: Path, width: int, scheme: str) -> None:
    open_page(driver, report, width=width, scheme=scheme)
    ask(driver, "for (const each of document.querySelectorAll('details')) each.open = true")
    shown = squeezed(ask(driver, "return document.body.innerText"))
    wanted = texts(with_layers(patch_result())) | texts(cut_short(patch_result()))
    assert {text for text in wanted if text not in shown} == set()
    assert ask(driver, "return getComputedStyle(document.body).backgroundColor") == GROUNDS[scheme]
    for opened in (False, True):
        ask(
            driver,
            f"for (const each of document.querySelectorAll('details')) each.open = {str(opened).lower()}",
        )
        assert ask(driver, OUT_OF_PLACE) == []
        root = ask(driver, "const e = document.documentElement; return [e.scrollWidth, e.clientWidth]")
        assert root[0] <= root[1]
    assert ask(driver, PALE) == []
    assert driver.get_log("browser") == []


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_the_table_of_key_differences_is_whole(
    driver: WebDriver, tmp_path: Path, width: int, scheme: str
) -> None:
    result = patch_result()
    file = tmp_path / "summary.html"
    file.write_text(as_page(summarise([Yield("patch", result.summary, result)])), encoding="utf-8")
    open_page(driver, file, width=width, scheme=scheme)
    shown = squeezed(ask(driver, "return document.body.innerText"))
    assert {row.heading for row in Row if row.heading not in shown} == set()
    assert {cell.label for cell in result.summary if cell.label not in shown} == set()
    assert ask(driver, OUT_OF_PLACE) == []
    root = ask(driver, "const e = document.documentElement; return [e.scrollWidth, e.clientWidth]")
    assert root[0] <= root[1]
    assert ask(driver, PALE) == []
    assert driver.get_log("browser") == []


@pytest.mark.parametrize(
    ("rule", "check", "told"),
    [
        ("h2 { white-space: nowrap; width: 2000px; text-align: right }", OUT_OF_PLACE, "beyond its box"),
        ("h2 { display: none }", OUT_OF_PLACE, "not shown"),
        ("h2 { overflow: hidden; white-space: nowrap; width: 20px }", OUT_OF_PLACE, "clipped"),
        ("h2 { color: #999 }", PALE, "2.85"),
    ],
)
def test_what_is_wrong_would_be_seen(
    driver: WebDriver, report: Path, rule: str, check: str, told: str
) -> None:
    open_page(driver, report, width=360, scheme="light")
    driver.execute_script(
        "document.head.append(Object.assign(document.createElement('style'), {textContent: arguments[0]}))",
        rule,
    )
    assert [told, patch_result().title] in ask(driver, check)


A4_PX = 718
"""Width of what is printed on A4: 190 mm at 96 pixels an inch."""
OFF_THE_PAPER = """
// Texts and pictures that end beyond the paper's edge, and grounds that would be printed dark.
const wrong = [], width = arguments[0];
for (const each of document.querySelectorAll('svg, p, th, td, li, dd, figcaption, h2, h3, h4')) {
  const box = each.getBoundingClientRect();
  if (box.width && !each.closest('svg svg') && box.right > width + 1) wrong.push([each.tagName, box.right]);
}
if (document.documentElement.scrollWidth > width) wrong.push(['page', document.documentElement.scrollWidth]);
const ground = getComputedStyle(document.body).backgroundColor;
if (ground !== 'rgb(255, 255, 255)') wrong.push(['ground', ground]);
return wrong;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_printed_whole_and_light(driver: WebDriver, tmp_path: Path, scheme: str) -> None:
    result = patch_result()
    file = tmp_path / "print.html"
    summary = summarise([Yield("patch", result.summary, result)])
    file.write_text(page([with_layers(many_ways(result)), result], summary), encoding="utf-8")
    open_page(driver, file, width=A4_PX, scheme=scheme)
    assert ask(driver, "return document.querySelectorAll('table.many').length") > 0
    media = {"media": "print", "features": [{"name": "prefers-color-scheme", "value": scheme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    try:
        assert driver.execute_script(OFF_THE_PAPER, A4_PX) == []
        # Without the rules for paper it would not be: the check sees that.
        driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"media": "screen", "features": media["features"]}
        )
        ask(
            driver, "for (const each of document.querySelectorAll('.scroll')) each.style.overflow = 'visible'"
        )
        assert driver.execute_script(OFF_THE_PAPER, A4_PX) != []
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


def many_ways(result: RunResult) -> RunResult:
    """The same with twice as many variants, more than a paper has room for beside each other."""
    again = [
        v.model_copy(update={"key": f"{v.key}-2", "title": f"{v.title}, twice"}) for v in result.variants
    ]
    samples = [s.model_copy(update={"variant": f"{s.variant}-2"}) for s in result.samples]
    found = [f.model_copy(update={"variant": f"{f.variant}-2"}) for f in result.findings]
    return result.model_copy(
        update={
            "variants": [*result.variants, *again],
            "samples": [*result.samples, *samples],
            "findings": [*result.findings, *found],
        }
    )


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_the_overview_is_whole_and_the_keyboard_reaches_every_section(
    driver: WebDriver, tmp_path: Path, width: int, scheme: str
) -> None:
    result = patch_result()
    file = tmp_path / "overview.html"
    summary = summarise([Yield("patch", result.summary, result)])
    file.write_text(page([result, cut_short(result)], summary), encoding="utf-8")
    open_page(driver, file, width=width, scheme=scheme)
    shown = squeezed(driver.find_element(By.ID, "overview").text)
    for wanted in (
        "In one minute",
        "All instances patched",
        "Where and when",
        "2 logical CPUs",
        "What is missing",
    ):
        assert wanted in shown
    assert ask(driver, OUT_OF_PLACE) == []
    assert ask(driver, PALE) == []
    root = ask(driver, "const e = document.documentElement; return [e.scrollWidth, e.clientWidth]")
    assert root[0] <= root[1]
    driver.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    reached = []
    for _ in range(4):
        reached.append(driver.switch_to.active_element.get_attribute("href").rpartition("#")[2])
        driver.switch_to.active_element.send_keys(Keys.TAB)
    assert reached == ["results", "overview", "result-1", "result-2"]
    driver.find_element(By.CSS_SELECTOR, "nav a[href='#result-2']").send_keys(Keys.ENTER)
    assert driver.current_url.endswith("#result-2")
    assert abs(ask(driver, "return document.querySelector('#result-2').getBoundingClientRect().top")) < 2


def test_the_page_asks_for_nothing(driver: WebDriver, report: Path) -> None:
    open_page(driver, report, width=1280, scheme="light")
    assert ask(driver, "return performance.getEntriesByType('resource').map(entry => entry.name)") == []


@pytest.mark.parametrize("width", [360, 1280])
def test_hostile_texts_are_shown_and_do_nothing(driver: WebDriver, tmp_path: Path, width: int) -> None:
    result, wanted = hostile(HTML)
    file = tmp_path / "hostile.html"
    file.write_text(page([result]), encoding="utf-8")
    open_page(driver, file, width=width, scheme="light")
    ask(driver, "for (const each of document.querySelectorAll('details')) each.open = true")
    shown = squeezed(ask(driver, "return document.body.innerText"))
    assert {text for text in wanted if squeezed(text) not in shown} == set()
    assert ask(driver, "return document.querySelectorAll('script, img').length") == 0
    assert ask(driver, OUT_OF_PLACE) == []
    root = ask(driver, "const e = document.documentElement; return [e.scrollWidth, e.clientWidth]")
    assert root[0] <= root[1]
    assert driver.get_log("browser") == []


def test_a_wide_table_scrolls_in_its_own_box_with_the_keyboard(driver: WebDriver, report: Path) -> None:
    open_page(driver, report, width=360, scheme="light")
    box = driver.find_element(By.CSS_SELECTOR, ".scroll")
    assert ask(driver, "const e = document.querySelector('.scroll'); return e.scrollWidth > e.clientWidth")
    driver.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    for _ in range(20):
        if driver.switch_to.active_element == box:
            break
        driver.switch_to.active_element.send_keys(Keys.TAB)
    assert driver.switch_to.active_element == box, "the keyboard does not reach the table"
    box.send_keys(Keys.ARROW_RIGHT)
    WebDriverWait(driver, TIMEOUT_S).until(
        lambda _: ask(driver, "return document.querySelector('.scroll').scrollLeft") > 0
    )
    head = driver.find_element(By.CSS_SELECTOR, ".scroll tbody th")
    assert head.rect["x"] >= 0, "the names of the rows scroll away"


def test_pictures_and_tables_have_names_for_those_who_do_not_see_them(
    driver: WebDriver, report: Path
) -> None:
    open_page(driver, report, width=1280, scheme="light")
    pictures = driver.find_elements(By.CSS_SELECTOR, "svg.latency")
    assert len(pictures) == len(patch_result().timelines) + len(cut_short(patch_result()).timelines)
    assert "latency of each request over time" in pictures[0].accessible_name
    assert "failed" in pictures[0].accessible_name
    assert pictures[0].aria_role in ("image", "img")
    for table in driver.find_elements(By.TAG_NAME, "table"):
        assert table.accessible_name
    (key,) = driver.find_elements(By.CSS_SELECTOR, "ul.key")
    assert key.accessible_name == "Signs used on this page"


def test_points_and_bars_are_drawn_where_the_requests_were(driver: WebDriver, report: Path) -> None:
    open_page(driver, report, width=1280, scheme="light")
    plot = driver.find_element(By.CSS_SELECTOR, "svg.latency").rect
    for selector in ("svg.latency .points", "svg.lane .runs"):
        drawn = ask(
            driver,
            f"const r = document.querySelector('{selector}').getBoundingClientRect();"
            " return [r.left, r.right, r.width]",
        )
        assert plot["x"] - 3 <= drawn[0]
        assert drawn[1] <= plot["x"] + plot["width"] + 3
        assert drawn[2] > plot["width"] / 2
