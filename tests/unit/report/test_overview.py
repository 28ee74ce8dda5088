"""Several results at a glance: one line of each row, where and when, what is missing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from markdown_it import MarkdownIt

from pairlab.differences import Row, SummaryCell
from pairlab.model import SideName
from pairlab.report.html import page
from pairlab.report.overview import Overview, overview
from pairlab.report.summary import Summary, Yield, summarise
from pairlab.results import Figure, Finding, RunResult, Verdict
from tests.hostile_texts import HTML, hostile
from tests.report_worlds import cut_short, environment, patch_result, small_result

VM, CONTAINER = SideName.VM, SideName.CONTAINER
READY = Figure(key="ready", title="ready to serve", unit="s", method="From the request to the first answer.")
START = SummaryCell(row=Row.START, figure="ready", need="start")


def startup(accelerator: str = "kvm") -> RunResult:
    values = {VM: (3.0, 3.2, 3.4), CONTAINER: (0.4, 0.5, 0.6)}
    return small_result("startup", START, READY, values, accelerator=accelerator)


def summary_of(*results: RunResult, missing: str = "") -> Summary:
    yields = [Yield(r.exercise, r.summary, r if r.complete else None, r.incomplete_reason) for r in results]
    if missing:
        yields.append(Yield(missing, [SummaryCell(row=Row.DENSITY, figure="fit")], None))
    return summarise(yields)


def of(*results: RunResult, missing: str = "") -> Overview:
    return overview(results, summary_of(*results, missing=missing))


def test_each_row_of_which_something_is_known_has_one_line() -> None:
    found = of(patch_result(), startup())
    assert [glance.row for glance in found.glances] == [Row.KERNEL, Row.START, Row.PATCHING, Row.ROLLBACK]
    assert [glance.line.exercise for glance in found.glances] == ["patch", "startup", "patch", "patch"]
    assert "Isolation" in found.unknown
    assert not {glance.row.heading for glance in found.glances} & {*found.unknown}


def test_a_figure_of_both_sides_tells_more_than_a_question_and_the_rest_is_counted() -> None:
    patching = next(glance for glance in of(patch_result()).glances if glance.row is Row.PATCHING)
    assert patching.line.label == "All instances patched"
    assert patching.more == 3
    one_side = SummaryCell(row=Row.START, figure="ready", variants=["vm"], label="of VMs alone")
    result = startup().model_copy(update={"summary": [one_side, START]})
    (start,) = of(result).glances
    assert {entry.side for entry in start.line.entries} == {VM, CONTAINER}
    kernel = next(glance for glance in of(patch_result()).glances if glance.row is Row.KERNEL)
    assert kernel.line.figure is None  # where there is no figure, what was found


def test_findings_that_differ_tell_more_than_those_that_agree() -> None:
    agreed, differing = "has it a kernel?", "whose kernel is it?"
    verdicts: list[tuple[str, SideName, Verdict]] = [
        (agreed, VM, "yes"), (agreed, CONTAINER, "yes"), (differing, VM, "yes"), (differing, CONTAINER, "no")
    ]  # fmt: skip
    findings = [
        Finding(variant=side, repetition=0, question=question, answer="so it is", verdict=verdict)
        for question, side, verdict in verdicts
    ]
    cells = [SummaryCell(row=Row.KERNEL, question=question) for question in (agreed, differing)]
    (kernel,) = of(startup().model_copy(update={"summary": cells, "findings": findings})).glances
    assert (kernel.line.label, kernel.more) == (differing, 1)


def test_where_and_when_is_told_for_each_host() -> None:
    found = of(patch_result(), startup("tcg"))
    (site,) = found.sites
    assert "2 logical CPUs" in site.told.replace("\u00a0", " ")
    assert "VMs by tcg (software emulation)" in site.told
    assert site.exercises == ("patch (24 Nov 2026, 21:15 UTC)", "startup (24 Nov 2026, 21:15 UTC)")
    other = environment("tcg").model_copy(update={"processor": "Another one"})
    sites = of(patch_result(), startup().model_copy(update={"environment": other})).sites
    assert [site.exercises[0][:7] for site in sites] == ["patch (", "startup"]


def test_a_host_that_was_busy_before_is_told_where_figures_are_read() -> None:
    overloaded = environment().model_copy(update={"load_before": 7.73})
    busy = startup().model_copy(update={"environment": overloaded})
    found = of(patch_result(), busy)
    assert [each.replace("\u00a0", " ") for each in found.busy] == ["startup (7.73 on 2 logical CPUs)"]
    text = page([patch_result(), busy], summary_of(patch_result(), busy))
    assert text.count("Mind the load.") == 2  # at the top, and in its own section
    assert "Mind the load." not in page([patch_result()])


def test_what_is_missing_is_told_once_with_its_reason() -> None:
    found = of(cut_short(patch_result()), startup(), missing="footprint")
    assert [each.exercise for each in found.missing] == ["footprint", "patch"]
    assert found.missing[1].reason == "vm/1 never answered after its rebuild"
    assert "patch (24 Nov 2026, 21:15 UTC, incomplete)" in of(cut_short(patch_result())).sites[0].exercises


@pytest.fixture(scope="module")
def text() -> str:
    results = [patch_result(), startup(), cut_short(patch_result())]
    return page(results, summary_of(*results[:2], missing="footprint"))


def test_the_page_begins_with_it_and_every_section_leads_back(text: str) -> None:
    assert text.index('<nav id="contents"') < text.index('id="overview"') < text.index('id="result-1"')
    assert text.count('<a href="#overview">') == 1
    assert text.count('<p class="back"><a href="#contents"') == 3
    assert 'href="#result-2" aria-label="Start time: all that startup measured"' in text
    assert "invoke exercise.run footprint" in text
    assert "Nothing is known yet of: Abstraction and architecture, Isolation, " in text


def test_a_single_result_has_no_overview() -> None:
    text = page([patch_result()])
    assert 'id="overview"' not in text
    assert 'href="#contents"' not in text


def test_of_everything_measured_nothing_is_missing() -> None:
    result = startup()
    summary = summarise([Yield("startup", [START], result)])
    shown = page([result, result], summary)
    assert "Nothing: every exercise is measured." not in shown  # of most rows nothing is known
    every = [SummaryCell(row=row, figure="ready") for row in Row]
    full = result.model_copy(update={"summary": every})
    shown = page([full, full], summarise([Yield("startup", every, full)]))
    assert "Nothing: every exercise is measured." in shown


def test_tables_of_many_columns_say_of_each_cell_whose_it_is() -> None:
    text = page([patch_result()])
    assert '<table class="figures"' in text
    assert '<td data-of="VM, rebuilt from a new image">' in text
    assert '<td data-of="VM, rebuilt from a new image, emulated">' in text  # of findings
    narrow = page([startup()])
    assert '<table class="figures few"' in narrow
    many = startup().model_copy(
        update={"variants": [v.model_copy(update={"key": f"{v.key}{n}"}) for n in range(3)
                             for v in startup().variants],
                "samples": [s.model_copy(update={"variant": f"{s.variant}{n}"}) for n in range(3)
                            for s in startup().samples]}
    )  # fmt: skip
    assert '<table class="figures many"' in page([many])


def test_no_text_of_a_result_gets_out_of_the_overview() -> None:
    result, _ = hostile(HTML)
    later = result.model_copy(update={"started": result.started + timedelta(days=1)})
    text = page([result, later], summarise([Yield("patch", result.summary, result)]))
    assert "<script" not in text
    assert "<img" not in text


def test_in_markdown_it_is_one_table() -> None:
    from pairlab.render import render
    from pairlab.report import comparison

    result, _ = hostile("| pipe | `code` <b>bold</b> ")
    summary = summary_of(result, startup())
    text = render(
        "report/overview.md.j2",
        overview=overview([result, startup()], summary),
        columns=summary.columns,
        verdicts=comparison.VERDICTS,
        how_to_read=comparison.HOW_TO_READ,
        busy=comparison.BUSY,
    )
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    rows = sum(token.type == "tr_open" for token in tokens)
    assert rows == 1 + len(overview([result], summary).glances)
    assert sum(token.type in ("th_open", "td_open") for token in tokens) == 4 * rows
