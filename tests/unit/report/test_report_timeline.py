"""What a plot of requests shows: who answered when, what failed, and where marks stand."""

from __future__ import annotations

import re

import pytest

from pairlab.report.timeline import WIDTH, timelines
from pairlab.results import Mark, RunResult, Timeline
from tests.report_worlds import patch_result


def with_lines(*lines: Timeline) -> RunResult:
    return patch_result().model_copy(update={"timelines": list(lines)})


def a_line(
    statuses: list[int], versions: list[str], *, marks: list[Mark] | None = None, variant: str = "vm-rebuild"
) -> Timeline:
    """One request a second."""
    count = len(statuses)
    return Timeline(
        variant=variant,
        repetition=0,
        rate_hz=1,
        at_s=[float(n) for n in range(count)],
        latency_ms=[10.0] * count,
        status=statuses,
        version=versions,
        marks=marks or [],
        client_cpu_percent=4,
        client_worst_gap_ms=12,
    )


def runs(path: str) -> list[tuple[float, float]]:
    """Begin and end of each bar, in per cent."""
    found = re.findall(r"M(\d+) 0h(\d+)", path)
    return [
        (100 * int(start) / WIDTH, 100 * (int(start) + int(length) - 1) / WIDTH) for start, length in found
    ]


def test_each_version_and_the_failures_have_a_lane() -> None:
    line = a_line([200, 200, 503, 0, 200, 200], ["a", "a", "", "", "b", ""])
    ((plot,),) = timelines(with_lines(line)).groups
    assert [(lane.name, lane.look) for lane in plot.lanes] == [
        ("a", "0"),
        ("b", "1"),
        ("no version told", "unnamed"),
        ("failed", "failed"),
    ]
    old, new, _, failed = plot.lanes
    assert old.told == "2\u00a0answers, 0.0\u00a0s to 1.0\u00a0s"
    assert new.told == "1\u00a0answer, 4.0\u00a0s to 4.0\u00a0s"
    assert failed.told == "2\u00a0requests, 2.0\u00a0s to 3.0\u00a0s: 1 with status 503, 1 with no answer"
    assert runs(old.runs) == [(0, 20)]
    assert runs(failed.runs) == [(40, 60)]
    assert old.points.count("M") == 2
    assert failed.points == ""


def test_answers_in_turn_are_bars_with_gaps() -> None:
    line = a_line([200] * 5, ["a", "b", "a", "b", "a"])
    ((plot,),) = timelines(with_lines(line)).groups
    assert runs(plot.lanes[0].runs) == [(0, 0), (50, 50), (100, 100)]


def test_a_version_looks_the_same_in_every_plot() -> None:
    first = a_line([200], ["a"])
    second = a_line([200], ["b"], variant="container-rebuild")
    third = a_line([200, 200], ["b", "a"], variant="vm-in-place")
    groups = timelines(with_lines(first, second, third)).groups
    looks = {(lane.name, lane.look) for (plot,) in groups for lane in plot.lanes}
    assert looks == {("a", "0"), ("b", "1")}


def test_the_words_say_what_the_plot_shows() -> None:
    line = a_line([200, 503, 503, 200], ["a", "", "", "a"])
    ((plot,),) = timelines(with_lines(line)).groups
    assert plot.told == (
        "4\u00a0requests at 1 a second, 2 failed (2 with status 503)."
        " Nobody was answered with 200 for at most 2\u202f010\u00a0ms."
        " The slowest of the good answers took 10.0\u00a0ms."
    )
    assert "4.00\u00a0% of a core" in plot.client
    assert "12.0\u00a0ms behind" in plot.client
    assert plot.failed == "2 failed"


def test_numbers_of_marks_do_not_hide_each_other() -> None:
    marks = [Mark(at_s=at, text=str(at)) for at in (9.0, 0.0, 0.1, 0.2, 5.0)]
    line = a_line([200] * 11, ["a"] * 11, marks=marks)
    ((plot,),) = timelines(with_lines(line)).groups
    assert [(mark.number, mark.text, mark.row) for mark in plot.marks] == [
        (1, "0.0", 0),
        (2, "0.1", 1),
        (3, "0.2", 2),
        (4, "5.0", 0),
        (5, "9.0", 0),
    ]


@pytest.mark.parametrize("requests", [0, 1])
def test_hardly_any_requests_can_be_shown(requests: int) -> None:
    line = a_line([200] * requests, ["a"] * requests, marks=[Mark(at_s=0, text="begin")])
    ((plot,),) = timelines(with_lines(line)).groups
    assert len(plot.lanes) == requests
    assert "none failed" in plot.told


def test_a_common_time_axis_only_where_it_shows_enough() -> None:
    short, long = a_line([200] * 10, ["a"] * 10), a_line([200] * 20, ["a"] * 20, variant="vm-in-place")
    shared = timelines(with_lines(short, long))
    assert shared.shared
    assert {plot.time for (plot,) in shared.groups} == {shared.groups[0][0].time}
    own = timelines(with_lines(short, a_line([200] * 90, ["a"] * 90, variant="vm-in-place")))
    assert not own.shared
    assert len({plot.time for (plot,) in own.groups}) == 2
    assert len({plot.latency for (plot,) in own.groups}) == 1


def test_baselines_come_last_and_repetitions_in_order() -> None:
    result = patch_result()
    backwards = result.model_copy(update={"timelines": result.timelines[::-1]})
    groups = timelines(backwards).groups
    assert [plots[0].variant.baseline for plots in groups] == [False] * 4 + [True] * 2
    assert {tuple(plot.repetition for plot in plots) for plots in groups} == {(1, 2, 3)}
    assert groups[0][0].mark == "emulated"
