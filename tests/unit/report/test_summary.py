"""The table of key differences: which result fills which row, what it says, and what is not measured."""

from __future__ import annotations

import io
import json
import re

import pytest
from markdown_it import MarkdownIt
from pydantic import ValidationError
from rich.console import Console

from pairlab.differences import Row, SummaryCell
from pairlab.model import SideName
from pairlab.report.summary import Line, Summary, SummaryRow, Yield, summarise
from pairlab.report.summary_terminal import as_markdown, as_page, show_summary
from pairlab.results import Figure, RunResult
from tests.hostile_texts import HTML, TERMINAL, hostile
from tests.report_worlds import patch_result, small_result, summary_cells

VM, CONTAINER = SideName.VM, SideName.CONTAINER
READY = Figure(key="ready", title="ready to serve", unit="s", method="From the command to the first answer.")
START = SummaryCell(row=Row.START, figure="ready", need="start")


def startup(
    vm: tuple[float, ...] = (3.0, 3.2, 3.4),
    container: tuple[float, ...] = (0.4, 0.5, 0.6),
    accelerator: str = "kvm",
) -> RunResult:
    return small_result("startup", START, READY, {VM: vm, CONTAINER: container}, accelerator=accelerator)


def of(*results: RunResult) -> Summary:
    return summarise([Yield(result.exercise, result.summary, result) for result in results])


def row(summary: Summary, wanted: Row) -> SummaryRow:
    (found,) = [each for each in summary.rows if each.row is wanted]
    return found


def line(summary: Summary, wanted: Row, label: str) -> Line:
    (found,) = [each for each in row(summary, wanted).lines if each.label == label]
    return found


def terminal(summary: Summary, width: int = 100) -> str:
    file = io.StringIO()
    show_summary(summary, console=Console(file=file, width=width, highlight=False))
    return file.getvalue()


def words(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def test_every_row_of_the_course_stands_in_the_table_in_its_order() -> None:
    assert [each.row for each in of().rows] == list(Row)
    assert len({each.heading for each in Row}) == len(Row) == 15


def test_a_figure_has_its_spread_its_date_and_its_accelerator() -> None:
    found = line(of(patch_result()), Row.PATCHING, "All instances patched")
    assert found.when == "24 Nov 2026, 21:15 UTC"
    assert [entry.variant for entry in found.of(VM)] == [
        "VM, package upgraded in place",
        "VM, rebuilt from a new image",
    ]  # without the baselines
    assert [entry.mark for entry in found.entries] == ["emulated", "emulated", "", ""]
    cell = found.of(CONTAINER)[1].cell
    assert cell is not None
    assert re.fullmatch(r"\d\S*\ss", cell.median)
    assert "–" in cell.range
    assert cell.count == len(found.of(CONTAINER)[1].values) == 3


def test_an_exercise_chooses_variants_and_names_a_line() -> None:
    summary = of(patch_result())
    assert len(line(summary, Row.PATCHING, "Downloaded").entries) == 2
    assert line(summary, Row.ROLLBACK, "the way back").figure is not None
    killed = line(summary, Row.PATCHING, "does what was changed inside outlive a kill?")
    assert [entry.answers[0].verdict for entry in killed.entries] == ["yes", "no"]
    assert killed.entries[0].question == "Killed: which version comes back?"


def test_two_questions_of_one_label_share_a_line() -> None:
    kernel = line(of(patch_result()), Row.KERNEL, "its kernel")
    assert [entry.answers[0].verdict for entry in kernel.of(VM)] == ["yes"]
    assert [entry.answers[0].verdict for entry in kernel.of(CONTAINER)] == ["cannot"]


def test_a_line_is_called_what_its_exercise_calls_it_now() -> None:
    before = START.model_copy(update={"label": "as it was called"})
    result = startup().model_copy(update={"summary": [before]})
    renamed, other = (
        START.model_copy(update={"label": label, "variants": variants})
        for label, variants in (("as it is called", []), ("what another line shows", ["vm"]))
    )
    summary = summarise([Yield("startup", [other, renamed], result)])
    assert [each.label for each in row(summary, Row.START).lines] == ["as it is called"]
    unnamed = summarise([Yield("startup", [START], result)])
    assert [each.label for each in row(unnamed, Row.START).lines] == ["as it was called"]


def test_two_exercises_may_fill_one_row() -> None:
    isolation = small_result(
        "isolation", START.model_copy(update={"row": Row.PATCHING}), READY, {VM: [1], CONTAINER: [2]}
    )
    lines = row(of(isolation, patch_result()), Row.PATCHING).lines
    assert {each.exercise for each in lines} == {"isolation", "patch"}


def test_what_never_varies_and_is_a_count_is_called_counted() -> None:
    packages = Figure(key="ready", title="packages", unit="1", method="Lines of `dpkg-query`.")
    values = {VM: (135.0, 135.0, 135.0), CONTAINER: (99.0, 99.0, 99.0)}
    result = small_result("stack", START, packages, values, accelerator="kvm")
    (found,) = row(of(result), Row.START).lines
    assert found.difference == "less on containers: counted, the same each time"


@pytest.mark.parametrize(
    ("vm", "container", "accelerator", "told"),
    [
        ((3.0, 3.2, 3.4), (0.4, 0.5, 0.6), "kvm", "less on containers: the ranges are apart"),
        (
            (3.0, 3.2, 3.4), (0.4, 0.5, 0.6), "tcg",
            "less on containers: the ranges are apart, of emulated VMs",
        ),
        ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "kvm", "less on VMs: the ranges are apart"),
        ((0.1, 0.2, 0.5), (0.4, 0.5, 0.6), "kvm", "no claim: the ranges overlap"),
        ((3.0, 3.2), (0.4, 0.5), "kvm", "no claim: too few repetitions"),
        ((7.0, 7.0, 7.0), (3.0, 3.0, 3.0), "kvm", "less on containers: the ranges are apart"),
        ((7.0, 7.0, 7.0), (7.0, 7.0, 7.0), "tcg", "equal in every sample, of emulated VMs"),
    ],
)  # fmt: skip
def test_what_two_variants_differ_in_is_claimed_only_where_samples_carry_it(
    vm: tuple[float, ...], container: tuple[float, ...], accelerator: str, told: str
) -> None:
    assert line(of(startup(vm, container, accelerator)), Row.START, "ready to serve").difference == told


def test_many_instances_of_one_repetition_carry_no_difference() -> None:
    found = startup()
    once = [sample.model_copy(update={"repetition": 0}) for sample in found.samples]
    told = line(of(found.model_copy(update={"samples": once})), Row.START, "ready to serve").difference
    assert told == "no claim: too few repetitions"


def test_of_more_than_two_variants_no_difference_is_told() -> None:
    assert line(of(patch_result()), Row.PATCHING, "All instances patched").difference == ""


def test_what_is_not_measured_names_the_exercise_to_run() -> None:
    summary = summarise(
        [
            Yield("patch", summary_cells(), patch_result()),
            Yield("startup", [START], None),
            Yield("footprint", [SummaryCell(row=Row.MEMORY, figure="rss")], None, "vm/1 never answered"),
        ]
    )
    text = words(terminal(summary))
    assert "Start time: not measured yet: invoke exercise.run startup Footprint in memory" in text
    assert "invoke exercise.run footprint; its last run is of no use: vm/1 never answered" in text
    assert "Hybrid approaches: not measured: no exercise yields it yet" in text
    assert row(summary, Row.PATCHING).missing == ()


def test_what_a_newer_exercise_adds_is_missing_until_it_ran_again() -> None:
    summary = summarise([Yield("startup", [START, SummaryCell(row=Row.DENSITY, figure="x")], startup())])
    assert [each.exercise for each in row(summary, Row.DENSITY).missing] == ["startup"]
    assert row(summary, Row.START).missing == ()


def test_this_host_has_a_column_only_where_something_of_it_was_measured() -> None:
    cell = SummaryCell(row=Row.OVERHEAD, figure="ready")
    with_host = of(small_result("overhead", cell, READY, {None: [1], VM: [2], CONTAINER: [1]}))
    assert "this host" in terminal(with_host)
    assert "| this host |" in as_markdown(with_host)
    assert "this host" not in terminal(of(patch_result()))
    assert "| this host |" not in as_markdown(of(patch_result()))


def test_requirements_find_what_bears_on_them() -> None:
    summary = of(patch_result(), startup())
    assert [each.label for each in summary.lines("start")] == ["ready to serve"]
    assert [each.exercise for each in summary.lines("kernel")] == ["patch"]
    assert summary.lines("tenants") == []
    assert summary.measured_by == {
        "patch": ("patch",), "state": ("patch",), "kernel": ("patch",), "start": ("startup",)
    }  # fmt: skip


@pytest.mark.parametrize("width", [80, 100, 140])
def test_nothing_is_cut_off_on_the_terminal(width: int) -> None:
    text = terminal(of(patch_result(), startup()), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for each in Row:
        assert each.heading in text
    assert "say nothing of hardware virtualisation" in words(text)
    assert "say nothing of hardware virtualisation" not in words(terminal(of(startup())))


def cells_of(markdown: str) -> list[list[str]]:
    """The texts of a table's cells, as a reader of Markdown sees them."""
    rows: list[list[str]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(markdown):
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and rows:
            rows[-1].append("".join(each.content for each in token.children or []))
    return rows


def test_markdown_is_one_table_whatever_the_texts() -> None:
    attack = "| pipe | `code` <b>bold</b> [link](x) **loud** \\ &lt; "
    result, _ = hostile(attack)
    rows = cells_of(as_markdown(of(result)))
    assert {len(each) for each in rows} == {5}
    heads = [each[0] for each in rows if each[0]]
    assert heads == ["difference", *(each.heading for each in Row)]
    assert any(each[1] == f"{attack}does what was changed inside outlive a kill?" for each in rows)


def test_no_text_of_a_result_gets_out_of_the_page() -> None:
    result, _ = hostile(HTML)
    page = as_page(of(result))
    assert "<script" not in page
    assert "<img" not in page
    assert "://" not in page
    assert "does what was changed inside outlive a kill?" in page
    assert page.count("<tbody>") == page.count("</tbody>") == len(Row)


def test_no_text_of_a_result_steers_the_terminal() -> None:
    result, _ = hostile(TERMINAL)
    assert "\x1b" not in terminal(of(result))


def test_the_page_marks_every_figure_of_an_emulated_vm() -> None:
    page = as_page(of(startup(accelerator="tcg")))
    assert page.count('<span class="tag emulated">') == 1
    assert "Mind the figures of VMs" in page
    assert '<span class="tag emulated">' not in as_page(of(startup()))


def test_json_has_every_sample(capsys: pytest.CaptureFixture[str]) -> None:
    show_summary(of(startup()), as_json=True)
    document = json.loads(capsys.readouterr().out)
    (found,) = [each for each in document["rows"] if each["row"] == "start"]
    samples = found["lines"][0]["entries"][0]["samples"]
    assert [(each["repetition"], each["value"]) for each in samples] == [(0, 3.0), (1, 3.2), (2, 3.4)]
    assert found["lines"][0]["figure"]["unit"] == "s"


def test_a_cell_shows_one_thing_that_its_result_declares() -> None:
    for wrong in ({}, {"figure": "ready", "question": "why?"}):
        with pytest.raises(ValidationError, match="one of both"):
            SummaryCell(row=Row.START, **wrong)  # type: ignore[arg-type]
    document = startup().model_dump()
    for wrong in ({"figure": "nosuch"}, {"figure": "ready", "variants": ["nosuch"]}):
        with pytest.raises(ValidationError, match="'nosuch' is no figure or variant"):
            RunResult.model_validate({**document, "summary": [{"row": "start", **wrong}]})


def test_a_result_from_before_the_table_still_reads() -> None:
    document = json.loads(patch_result().model_dump_json())
    del document["summary"]
    assert RunResult.model_validate(document).summary == []
