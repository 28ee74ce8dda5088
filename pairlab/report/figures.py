"""Values with their units, as a person reads them: `18.4 s`, `7.31 MiB`, `12 480`."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10

from pairlab.results import Spread, Unit

DIGITS = 3
"""Significant digits: what a handful of repetitions can carry."""
MAX_DECIMALS = 6
MANY_MS = 10_000
"""Milliseconds that read better as seconds."""
BINARY = ("B", "KiB", "MiB", "GiB", "TiB")
THIN = "\u202f"
"""Narrow space that does not break: between groups of digits."""
BOUND = "\u00a0"
"""Space that does not break: between a number and its unit."""
NONE = "–"


def number(value: float, *, whole: bool = False) -> str:
    """A number with three significant digits, more if its whole part has more.

    Args:
        value: The number.
        whole: It counts something, so that 3 is exact and not `3.00`.

    Returns:
        Such as `0.0412`, `18.4`, `12 480`.
    """
    if value == 0 or (whole and value == int(value)):
        decimals = 0
    else:
        whole_digits = floor(log10(abs(value))) + 1
        decimals = min(max(DIGITS - whole_digits, 0), MAX_DECIMALS)
    return f"{value:,.{decimals}f}".replace(",", THIN)


def scale(unit: Unit, value: float) -> tuple[float, str]:
    """What to divide a value by, and the unit that it then has: (1048576.0, `MiB`); a count has none."""
    if unit == "ms" and abs(value) >= MANY_MS:
        return 1000.0, "s"
    if unit not in ("B", "B/s"):
        return 1.0, {"1": "", "1/s": "/s"}.get(unit, unit)
    power = 0
    while abs(value) >= 1024 ** (power + 1) and power < len(BINARY) - 1:
        power += 1
    return float(1024**power), BINARY[power] + unit.removeprefix("B")


def with_unit(text: str, unit: str) -> str:
    """A number and the unit that belongs to it, in one piece."""
    return f"{text}{BOUND}{unit}" if unit else text


def value(unit: Unit, amount: float) -> str:
    """One value with its unit."""
    divisor, name = scale(unit, amount)
    return with_unit(number(amount / divisor, whole=name in ("", "B")), name)


def parts(unit: Unit, found: Spread) -> tuple[str, str]:
    """Median with unit, and range in the same unit: (`18.4 s`, `17.9–19.2`); one sample has no range."""
    divisor, name = scale(unit, found.median or found.high)
    middle, low, high = (
        number(part / divisor, whole=name in ("", "B")) for part in (found.median, found.low, found.high)
    )
    if found.low == found.high:
        return with_unit(middle, name), "" if found.count == 1 else "all equal"
    return with_unit(middle, name), f"{low}–{high}"


def values(unit: Unit, amounts: Sequence[float]) -> str:
    """Several values, ascending."""
    return ", ".join(value(unit, amount) for amount in sorted(amounts))


def duration(seconds: float) -> str:
    """How long a run took: `48 s`, `12 min 05 s`, `1 h 03 min`."""
    whole = round(seconds)
    if whole < 60:
        return with_unit(str(whole), "s")
    if whole < 3600:
        return f"{with_unit(str(whole // 60), 'min')} {with_unit(f'{whole % 60:02}', 's')}"
    return f"{with_unit(str(whole // 3600), 'h')} {with_unit(f'{whole % 3600 // 60:02}', 'min')}"


def moment(at_s: float) -> str:
    """A moment of a timeline: `3.2 s`."""
    return with_unit(f"{at_s:.1f}", "s")


def counted(count: int, thing: str) -> str:
    """`1 request`, `12 requests`."""
    return with_unit(number(count, whole=True), thing if count == 1 else f"{thing}s")
