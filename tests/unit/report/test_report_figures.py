"""How values, units and axes are written."""

from __future__ import annotations

import pytest

from pairlab.report import figures
from pairlab.report.figures import Unit
from pairlab.report.plot import axis_for, linear_axis, log_axis, nice_step, time_axis
from pairlab.results import spread


def plain(text: str) -> str:
    """A text with ordinary spaces."""
    return text.replace(figures.BOUND, " ").replace(figures.THIN, " ")


@pytest.mark.parametrize(
    ("unit", "amount", "text"),
    [
        ("s", 0.04123, "0.0412 s"),
        ("s", 1.2345, "1.23 s"),
        ("s", 18.0, "18.0 s"),
        ("s", 143.4, "143 s"),
        ("s", 0.0, "0 s"),
        ("s", -1.5, "-1.50 s"),
        ("ms", 0.41, "0.410 ms"),
        ("ms", 9999.4, "9 999 ms"),
        ("ms", 34034.0, "34.0 s"),
        ("B", 0, "0 B"),
        ("B", 1, "1 B"),
        ("B", 1023, "1 023 B"),
        ("B", 1536, "1.50 KiB"),
        ("B", 97 * 1024**2, "97.0 MiB"),
        ("B", 5 * 1024**5, "5 120 TiB"),
        ("1", 0, "0"),
        ("1", 3, "3"),
        ("1", 1.5, "1.50"),
        ("1", 12480, "12 480"),
        ("%", 99.94, "99.9 %"),
        ("%", 100, "100 %"),
    ],
)
def test_a_value_has_three_digits_and_the_unit_that_suits_it(unit: Unit, amount: float, text: str) -> None:
    assert plain(figures.value(unit, amount)) == text


@pytest.mark.parametrize(
    ("unit", "amounts", "middle", "ends"),
    [
        ("s", [17.9, 18.4, 19.2], "18.4 s", "17.9–19.2"),
        ("B", [900 * 1024, 2 * 1024**2, 3 * 1024**2], "2.00 MiB", "0.879–3.00"),
        ("B", [0, 0, 4096], "0 KiB", "0–4.00"),
        ("1", [0, 0, 0], "0", "all equal"),
        ("1", [4], "4", ""),
    ],
)
def test_a_range_has_the_unit_of_its_median(unit: Unit, amounts: list[float], middle: str, ends: str) -> None:
    found = spread(amounts)
    assert found is not None
    assert tuple(map(plain, figures.parts(unit, found))) == (middle, ends)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (725, "12 min 05 s"), (3780, "1 h 03 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert plain(figures.duration(seconds)) == text


def test_counted() -> None:
    assert plain(figures.counted(1, "VM")) == "1 VM"
    assert plain(figures.counted(0, "VM")) == "0 VMs"
    assert plain(figures.counted(12480, "request")) == "12 480 requests"


@pytest.mark.parametrize(
    ("span", "count", "step"),
    [
        (10, 5, 2),
        (10, 4, 5),
        (7, 5, 2),
        (1, 4, 0.5),
        (0.03, 5, 0.01),
        (99, 5, 20),
        (60, 3, 20),
        (1000, 5, 200),
    ],
)
def test_steps_are_nice_numbers(span: float, count: int, step: float) -> None:
    assert nice_step(span, count) == pytest.approx(step)


def labels(axis: object) -> list[str]:
    return [plain(tick.label) for tick in axis.ticks]  # type: ignore[attr-defined]


def test_a_linear_axis_begins_at_zero_and_ends_beyond_the_values() -> None:
    axis = linear_axis("s", [18.2, 44.0])
    assert (axis.low, axis.high) == (0, 60)
    assert labels(axis) == ["0", "20", "40", "60"]
    assert [tick.at for tick in axis.ticks] == [0, 33.33, 66.67, 100]
    assert axis.unit == "s"
    assert axis.at(30) == 50
    assert axis.at(-5) == 0
    assert axis.at(1e9) == 100


def test_bytes_have_nice_numbers_in_their_own_unit() -> None:
    axis = linear_axis("B", [0, 214 * 1024**2])
    assert labels(axis) == ["0", "100", "200", "300"]
    assert axis.unit == "MiB"


def test_counts_have_whole_ticks() -> None:
    assert labels(linear_axis("1", [0, 0])) == ["0", "1"]
    assert labels(linear_axis("1", [2])) == ["0", "1", "2"]
    assert labels(linear_axis("B", [3])) == ["0", "1", "2", "3"]


def test_values_below_zero_are_on_the_axis() -> None:
    axis = linear_axis("s", [-1.0, 2.0])
    assert labels(axis) == ["-1", "0", "1", "2"]


@pytest.mark.parametrize(
    ("unit", "values", "expected"),
    [
        ("ms", [0.7, 2300.0], ["1 ms", "10 ms", "100 ms", "1 s"]),
        ("s", [0.004, 0.2], ["10 ms", "100 ms"]),
        ("ms", [3.0, 3.0], ["2 ms", "5 ms"]),
        ("1", [5, 12480], ["10", "100", "1 000", "10 000"]),
        ("B", [1500, 3e8], ["1 KiB", "10 KiB", "100 KiB", "1 MiB", "10 MiB", "100 MiB"]),
    ],
)
def test_a_logarithmic_axis_is_labelled_at_powers_of_ten(
    unit: Unit, values: list[float], expected: list[str]
) -> None:
    axis = log_axis(unit, values)
    assert labels(axis) == expected
    assert axis.low <= min(values) <= max(values) <= axis.high
    assert axis.low < axis.high
    assert all(0 <= tick.at <= 100 for tick in axis.ticks)


def test_a_long_logarithmic_axis_has_few_labels() -> None:
    axis = log_axis("s", [1e-6, 1e6])
    assert len(axis.ticks) == 13
    assert sum(bool(tick.label) for tick in axis.ticks) <= 6


def test_equal_ratios_are_equal_distances() -> None:
    axis = log_axis("ms", [1.0, 1000.0])
    assert axis.at(10) - axis.at(1) == pytest.approx(axis.at(100) - axis.at(10), abs=0.02)


def test_only_values_that_differ_much_are_on_a_logarithmic_axis() -> None:
    assert axis_for("ms", [1.0, 40.0]).log
    assert not axis_for("ms", [1.0, 20.0]).log
    assert not axis_for("1", [0.0, 4000.0]).log  # there is no zero on it
    assert not axis_for("s", []).log


def test_a_time_axis_ends_with_what_it_shows() -> None:
    axis = time_axis(78.4)
    assert labels(axis) == ["0", "20", "40", "60"]
    assert axis.at(78.4) == 100
    assert time_axis(0).ticks
