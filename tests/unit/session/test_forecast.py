"""The time that is left: as earlier runs took, as this one's repetitions took, or unknown."""

from __future__ import annotations

from pathlib import Path

import pytest

from pairlab.result_files import write_result
from pairlab.session.forecast import Forecast, Part, Past, expected_s, read_past
from tests.report_worlds import cut_short, patch_result


class Clock:
    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def clock() -> Clock:
    return Clock()


PAST = [Past("patch", "tcg", 3, 600.0), Past("patch", "tcg", 3, 660.0), Past("patch", "kvm", 3, 60.0),
        Past("scale", "tcg", 1, 100.0)]  # fmt: skip


def test_earlier_runs_by_the_same_accelerator_tell() -> None:
    assert expected_s(PAST, "patch", 3, "tcg") == 630.0
    assert expected_s(PAST, "patch", 3, "kvm") == 60.0
    assert expected_s(PAST, "patch", 3) == 600.0
    assert expected_s(PAST, "scale", 3, "tcg") == 300.0  # in proportion
    assert expected_s(PAST, "scale", 3, "kvm") is None
    assert expected_s([*PAST, Past("scale", "tcg", 3, 240.0)], "scale", 3, "tcg") == 240.0


def test_only_complete_runs_tell(tmp_path: Path) -> None:
    write_result(patch_result(), tmp_path / "20261124T211500Z-patch.json")
    write_result(cut_short(patch_result()), tmp_path / "20261124T221500Z-patch.json")
    (tmp_path / "20261124T231500Z-patch.json").write_text("{")
    assert read_past([tmp_path, tmp_path]) == [Past("patch", "tcg", 3, patch_result().took_s)]


def test_without_anything_measured_it_is_unknown(clock: Clock) -> None:
    forecast = Forecast([Part("patch", 3, None)], clock)
    forecast.begin()
    forecast.repetitions_begin()
    clock.s += 30
    assert forecast.left_s() == (None, "it has not run here to its end yet")
    assert forecast.lines() == ["patch: 30 s so far, time left unknown: it has not run here to its end yet"]


def test_the_time_of_earlier_runs_is_counted_down(clock: Clock) -> None:
    forecast = Forecast([Part("patch", 3, 120.0)], clock)
    forecast.begin()
    clock.s += 50
    assert forecast.left_s() == (70.0, "as earlier runs took")
    assert forecast.lines() == ["patch: 50 s so far, about 1 min 10 s left: as earlier runs took"]
    clock.s += 71
    assert forecast.left_s() == (None, "longer than earlier runs")


def test_its_own_repetitions_tell_where_nothing_else_does(clock: Clock) -> None:
    for expected in (None, 30.0):
        forecast = Forecast([Part("patch", 3, expected)], clock)
        forecast.begin()
        clock.s += 7  # to prepare is no part of a repetition
        forecast.repetitions_begin()
        clock.s += 40
        forecast.repetition_ends()
        clock.s += 10
        assert forecast.left_s() == (70.0, "as its finished repetitions took")
        clock.s += 90
        assert forecast.left_s()[0] == 0.0


def test_runs_on_another_machine_tell_until_a_repetition_ran_here(clock: Clock) -> None:
    forecast = Forecast([Part("patch", 3, 120.0, elsewhere=True)], clock)
    forecast.begin()
    forecast.repetitions_begin()
    clock.s += 50
    assert forecast.left_s() == (70.0, "as runs on another machine took")
    forecast.repetition_ends()
    assert forecast.left_s() == (100.0, "as its finished repetitions took")
    slow = Forecast([Part("scale", 1, 10.0, elsewhere=True)], clock)
    slow.begin()
    clock.s += 11
    assert slow.left_s() == (None, "longer than runs on another machine")


def test_of_several_it_is_told_where_another_machine_counts(clock: Clock) -> None:
    own, other = Part("patch", 3, 120.0), Part("scale", 1, 60.0, elsewhere=True)
    for parts in ([own, other], [other, own]):
        forecast = Forecast(parts, clock)
        forecast.begin()
        left = "exercise 1 of 2; about 3 min 00 s left for all of them"
        assert forecast.lines()[1] == f"{left}; for those new here, as runs on another machine took"
    clock.s += 61
    assert forecast.lines()[1].endswith("about 2 min 00 s left for all but scale, of which it is unknown")


def test_of_several_all_are_told_and_what_is_unknown_by_name(clock: Clock) -> None:
    forecast = Forecast([Part("patch", 3, 120.0), Part("scale", 1, 60.0), Part("stack", 3, None)], clock)
    forecast.begin()
    clock.s += 20
    assert forecast.lines()[1] == (
        "exercise 1 of 3; about 2 min 40 s left for all but stack, of which it is unknown"
    )
    forecast.begin()
    forecast.begin()
    assert forecast.lines()[1] == "exercise 3 of 3; time left for all of them unknown"
    forecast = Forecast([Part("patch", 3, 120.0), Part("scale", 1, 60.0)], clock)
    forecast.begin()
    assert forecast.lines()[1] == "exercise 1 of 2; about 3 min 00 s left for all of them"
