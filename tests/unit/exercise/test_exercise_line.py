"""The line through points, against published tables and certified values."""

from __future__ import annotations

import pytest

from pairlab.exercise._line import line, student_quantile


@pytest.mark.parametrize(
    ("freedom", "confidence", "quantile"),
    [
        (1, 0.95, 12.706),
        (2, 0.95, 4.303),
        (3, 0.95, 3.182),
        (4, 0.99, 4.604),
        (7, 0.95, 2.365),
        (10, 0.9, 1.812),
        (30, 0.95, 2.042),
        (100, 0.95, 1.984),
    ],
)
def test_quantiles_are_those_of_the_tables(freedom: int, confidence: float, quantile: float) -> None:
    """NIST/SEMATECH e-Handbook, 1.3.6.7.2: critical values of Student's t distribution."""
    assert student_quantile(freedom, confidence) == pytest.approx(quantile, abs=6e-4)


def test_a_slope_and_its_interval_are_those_worked_out_by_hand() -> None:
    # Means 3 and 4; Sxx 10, Sxy 6; residuals -0.8, 0.6, 1, -0.6, -0.2, of which the squares add up to 2.4.
    found = line([1, 2, 3, 4, 5], [2, 4, 5, 4, 5])
    assert (found.slope, found.intercept) == (pytest.approx(0.6), pytest.approx(2.2))
    assert found.half_width == pytest.approx(3.1824 * (2.4 / 3 / 10) ** 0.5, rel=1e-4)


def test_points_on_a_line_leave_no_doubt_and_two_points_tell_nothing_of_it() -> None:
    exact = line([1, 2, 4], [10, 20, 40])
    assert (exact.slope, exact.intercept) == (pytest.approx(10), pytest.approx(0))
    assert exact.half_width == pytest.approx(0, abs=1e-9)
    assert line([1, 2], [1, 5]).half_width is None
