"""A straight line through points, by least squares, and how sure its slope is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import atan, cos, pi, sin, sqrt
from statistics import fmean, linear_regression

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Line:
    """y = intercept + slope x.

    Attributes:
        slope: What one more of x adds to y.
        intercept: y where x is 0.
        half_width: The slope's confidence interval reaches so far to each side; None where there are too few
            points to tell, which is two.
    """

    slope: float
    intercept: float
    half_width: float | None


def line(xs: Sequence[float], ys: Sequence[float]) -> Line:
    """The line through points that leaves the least squares.

    Source: Draper and Smith, Applied Regression Analysis, chapter 1: the slope's standard error is s divided
    by the root of the sum of squared distances of x from its mean, with s of n - 2 degrees of freedom.

    Args:
        xs: At least two that differ.
        ys: As many.
    """
    slope, intercept = linear_regression(xs, ys)
    freedom = len(xs) - 2
    if not freedom:
        return Line(slope, intercept, None)
    middle = fmean(xs)
    residual = sum((y - intercept - slope * x) ** 2 for x, y in zip(xs, ys, strict=True))
    error = sqrt(residual / freedom / sum((x - middle) ** 2 for x in xs))
    return Line(slope, intercept, student_quantile(freedom) * error)


def student_quantile(freedom: int, confidence: float = CONFIDENCE) -> float:
    """How many standard errors a value of Student's distribution stays within, so often.

    Args:
        freedom: Degrees of freedom, at least 1.
        confidence: How often.
    """
    low, high = 0.0, 1.0
    while _within(high, freedom) < confidence:
        high *= 2
    for _ in range(60):  # halved until no double lies between
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < confidence else (low, middle)
    return high


def _within(t: float, freedom: int) -> float:
    """Probability that a value of Student's distribution is within -t and t.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    angle = atan(t / sqrt(freedom))
    term = 1.0 if freedom % 2 == 0 else cos(angle)
    total = term if freedom > 1 else 0.0
    for k in range(2 + freedom % 2, freedom - 1, 2):
        term *= cos(angle) ** 2 * (k - 1) / k
        total += term
    even = sin(angle) * total
    return even if freedom % 2 == 0 else 2 / pi * (angle + even)
