"""The parts of a sample: which sample is shown, and that its parts stand one after the other."""

from __future__ import annotations

import pytest

from pairlab.report import figures
from pairlab.report.breakdown import breakdowns
from pairlab.report.html import page
from pairlab.results import Figure, RunResult, Sample, Unit
from tests.report_worlds import patch_result


def figure(key: str, title: str, part_of: str = "") -> Figure:
    seconds: Unit = "s"
    return Figure(key=key, title=title, unit=seconds, method="By a clock.", part_of=part_of)


def seconds(amount: float) -> str:
    return figures.value("s", amount)


def starts(variant: str, *each: tuple[float, ...]) -> list[Sample]:
    """Samples as an exercise keeps them: a start, then its parts; one start a repetition."""
    keys = ("kernel", "app", "door")
    return [
        Sample(figure=key, variant=variant, repetition=number, value=value)
        for number, parts in enumerate(each)
        for key, value in (("start", sum(parts)), *zip(keys, parts, strict=False))
    ]


@pytest.fixture
def result() -> RunResult:
    all_figures = [
        figure("start", "start to first good answer"),
        figure("kernel", "phase: kernel", "start"),
        figure("app", "phase: the workload", "start"),
        figure("door", "phase: the front door", "start"),
    ]
    # In turns, as repetitions go.
    vm = starts("vm-rebuild", (7.0, 2.0, 1.0), (5.0, 2.0, 1.0), (4.0, 9.0, 1.0))
    container = starts("container-rebuild", (0.5, 2.5, -1.0))
    samples = [*vm[:4], *container, *vm[4:]]
    return patch_result().model_copy(update={"figures": all_figures, "samples": samples, "conclusions": []})


def test_the_start_of_median_length_is_taken_apart(result: RunResult) -> None:
    vm, container = breakdowns(result)
    assert (vm.variant.key, container.variant.key) == ("vm-rebuild", "container-rebuild")
    assert vm.whole == f"start to first good answer: {seconds(10)}, the median of 3"
    assert [(part.title, part.value) for part in vm.parts] == [
        ("kernel", seconds(7)),
        ("the workload", seconds(2)),
        ("the front door", seconds(1)),
    ]
    assert [(part.at, part.width) for part in vm.parts] == [(0, 70), (70, 20), (90, 10)]
    assert (vm.look, vm.mark, container.look, container.mark) == ("vm", "emulated", "container", "")


def test_a_part_that_goes_back_ends_before_it_began(result: RunResult) -> None:
    _, container = breakdowns(result)
    assert container.whole.endswith(f": {seconds(2)}")
    assert [(part.at, part.width) for part in container.parts] == [(0, 5), (5, 25), (20, 10)]


def test_a_figure_without_parts_has_none() -> None:
    assert breakdowns(patch_result()) == []
    assert "Where the time goes" not in page([patch_result()])


def test_parts_that_are_not_all_there_are_not_shown(result: RunResult) -> None:
    short = result.model_copy(update={"samples": [s for s in result.samples if s.figure != "kernel"]})
    assert breakdowns(short) == []


def test_a_page_has_each_with_its_parts(result: RunResult) -> None:
    text = page([result])
    assert text.count('<ol class="parts">') == 2
    assert text.count("Where the time goes") == 1
