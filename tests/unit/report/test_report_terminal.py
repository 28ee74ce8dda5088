"""A result on the terminal, and the list of results."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import pytest
from rich.console import Console

from pairlab.model import Accelerator, Instance, SideName
from pairlab.report import results_terminal
from pairlab.report.terminal import status_table
from pairlab.results import RunResult
from tests.hostile_texts import TERMINAL, hostile
from tests.report_worlds import cut_short, patch_result


def shown(result: RunResult, width: int = 100, *, colour: bool = False) -> str:
    file = io.StringIO()
    system: Literal["standard"] | None = "standard" if colour else None
    console = Console(file=file, width=width, highlight=False, force_terminal=colour, color_system=system)
    results_terminal.show_result(result, console=console)
    return file.getvalue()


def words(text: str) -> str:
    return re.sub(r"\s+", " ", text)


@pytest.mark.parametrize("width", [80, 100, 140])
def test_nothing_is_cut_off_at_any_width(width: int) -> None:
    result = patch_result()
    text = shown(result, width)
    assert max(map(len, text.splitlines())) <= width
    cells = words(text)
    for figure in result.figures:
        for word in figure.title.split():
            assert word in cells
    for finding in result.findings:
        for word in finding.answer.removeprefix(f"{finding.verdict}: ").split():
            assert word in cells
    assert "…" not in text
    for conclusion in result.conclusions:
        assert conclusion.text in cells
        assert conclusion.basis in cells


def test_a_figure_has_median_range_and_count_and_its_accelerator() -> None:
    text = shown(patch_result())
    row = text[text.index("First instance") :].splitlines()
    assert re.search(r"First instance +\S+\ss emulated +\S+\ss emulated +\S+\ss +\S+\ss *$", row[0])
    assert re.search(r"patched +(\[\S+–\S+\] n 3 *){4}$", row[1])
    assert "say nothing of hardware virtualisation" in words(text)
    assert "emulated" not in shown(patch_result(accelerator="kvm"))
    assert re.search(r"\d\ss kvm ", shown(patch_result(accelerator="kvm")))


def test_baselines_stand_apart() -> None:
    text = words(shown(patch_result()))
    apart = text.index("baselines: naive ways")
    assert text.index("all rebuilt at once") > apart
    assert text.index("rebuilt from a") < apart


def test_verdicts_have_a_sign_a_word_and_a_colour() -> None:
    text = shown(patch_result(), colour=True)
    for coloured in (
        "\x1b[32m✓ yes",
        "\x1b[31m✗ no",
        "\x1b[33m⊘ cannot",
        "\x1b[36m• fact",
        "\x1b[33m– no claim",
    ):
        assert coloured in text
    assert "(repetitions 2, 3)" in words(shown(patch_result(), 140))


def test_the_load_is_told_and_warned_of_where_the_host_was_busy() -> None:
    assert "load average 0.31 before, 1.87 after, on 2 logical CPUs" in words(shown(patch_result()))
    assert "busy host" not in shown(patch_result())
    environment = patch_result().environment.model_copy(update={"load_before": 7.73})
    text = words(shown(patch_result().model_copy(update={"environment": environment})))
    assert "may be those of a busy host. It was 7.73 on 2 logical CPUs." in text


@pytest.mark.parametrize(("accelerator", "marked"), [(Accelerator.TCG, True), (Accelerator.KVM, False)])
def test_figures_of_emulated_vms_are_marked_in_the_status_and_fit_beside_each_other(
    accelerator: Accelerator, marked: bool
) -> None:
    instances = [
        Instance(side, 0, "running", "10.213.1.10", "40764068633f", 5000.0, 1234.5, 384 * 1024**2)
        for side in SideName
    ]
    status = SimpleNamespace(lab="dev", accelerator=accelerator, instances=instances, doors=[], drift=[],
                             problems=[])  # fmt: skip
    file = io.StringIO()
    Console(file=file, width=80, highlight=False).print(status_table(status))
    rows = [line.rstrip() for line in file.getvalue().splitlines()]
    assert rows[2].endswith("1234.5 s*  384.0 MiB*" if marked else "1234.5 s  384.0 MiB")
    assert rows[3].split()[-2:] == ["384.0", "MiB"]
    assert ("* of an emulated VM: says nothing of hardware virtualisation" in rows) is marked


def test_an_incomplete_result_says_so_before_anything_else() -> None:
    text = shown(cut_short(patch_result()))
    assert text.startswith("INCOMPLETE: vm/1 never answered after its rebuild\n")
    assert "INCOMPLETE" not in shown(patch_result())


def test_no_text_of_a_result_steers_the_terminal() -> None:
    result, _ = hostile(TERMINAL)
    text = shown(result, 200)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[red]not red[/red]" in words(text)


def test_the_json_is_the_whole_document(capsys: pytest.CaptureFixture[str]) -> None:
    result = patch_result()
    results_terminal.show_result(result, as_json=True)
    assert RunResult.model_validate_json(capsys.readouterr().out) == result


def test_the_list_tells_states_and_what_cannot_be_read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    found: list[tuple[Path, RunResult | str]] = [
        (Path("/r/20261124T231500Z-scale.json"), "holds no result"),
        (Path("/r/20261124T221500Z-patch.json"), cut_short(patch_result())),
        (Path("/r/20261124T211500Z-patch.json"), patch_result()),
    ]
    results_terminal.show_results(found, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert re.search(r"20261124T231500Z-scale\.json +holds no result", lines[1])
    assert "incomplete: vm/1 never answered after its rebuild" in lines[2]
    assert lines[3].rstrip().endswith("complete")
    results_terminal.show_results(found, as_json=True)
    listed = json.loads(capsys.readouterr().out)
    assert [entry.get("complete") for entry in listed] == [None, False, True]
    assert listed[0] == {"path": "/r/20261124T231500Z-scale.json", "problem": "holds no result"}


def test_an_empty_list_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    results_terminal.show_results([], as_json=False)
    assert capsys.readouterr().out == "no results\n"
