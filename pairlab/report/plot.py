"""Axes: scales, nice ticks and their labels. Positions are per cent of an axis' length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from pairlab.report import figures
from pairlab.results import Unit

LOG_FROM = 30.0
"""Ratio of the largest to the smallest value from which a logarithmic axis shows them better."""
LOG_TICKS = 6


@dataclass(frozen=True)
class Tick:
    """A mark on an axis.

    Attributes:
        at: Per cent of the axis.
        label: Its value; empty for one that has a line only.
    """

    at: float
    label: str


@dataclass(frozen=True)
class Axis:
    """Maps values to per cent of a length.

    Attributes:
        low: Value at 0 per cent.
        high: Value at 100 per cent.
        log: Equal distances are equal ratios.
        unit: Unit of the labels, if they do not name it themselves.
        ticks: Its marks, ascending.
    """

    low: float
    high: float
    log: bool
    unit: str
    ticks: tuple[Tick, ...]

    def at(self, value: float) -> float:
        """Per cent of the axis; values beyond its ends are put there."""
        return position(value, self.low, self.high, log=self.log)


def position(value: float, low: float, high: float, *, log: bool) -> float:
    """Where a value lies between two others, in per cent, to hundredths."""
    value = min(max(value, low), high)
    if log:
        value, low, high = log10(value), log10(low), log10(high)
    return round(100 * (value - low) / (high - low), 2)


def nice_step(span: float, count: int) -> float:
    """The step of 1, 2 or 5 times a power of ten that makes about `count` parts of a span.

    Source: Paul Heckbert, Nice Numbers for Graph Labels, in Graphics Gems, 1990, with R's thresholds.
    """
    raw = span / max(count, 1)
    power = 10.0 ** floor(log10(raw))
    for nice in (1.0, 2.0, 5.0):
        if raw <= nice * power * (1 + 1e-9):
            return nice * power
    return 10.0 * power


def linear_axis(unit: Unit, values: Sequence[float], *, count: int = 4) -> Axis:
    """An axis from zero, so that lengths compare, to the next nice number."""
    low, high = min(*values, 0.0, 0.0), max(*values, 0.0, 0.0)
    divisor, name = figures.scale(unit, max(high, -low))
    step = nice_step((high - low) / divisor or 1.0, count)
    if unit == "1" or name == "B":
        step = max(step, 1.0)
    first = floor(low / divisor / step + 1e-9)
    last = max(ceil(high / divisor / step - 1e-9), first + 1)
    ends = (first * step * divisor, last * step * divisor)
    return Axis(*ends, log=False, unit=name, ticks=_ticks(first, last, step, divisor, ends))


def time_axis(end_s: float, *, count: int = 5) -> Axis:
    """An axis in seconds from zero to just where something ends; its last tick may come before that."""
    step = nice_step(end_s, count) if end_s > 0 else 1.0
    ends = (0.0, end_s or 1.0)
    return Axis(*ends, log=False, unit="s", ticks=_ticks(0, floor(ends[1] / step + 1e-9), step, 1.0, ends))


def _ticks(first: int, last: int, step: float, divisor: float, ends: tuple[float, float]) -> tuple[Tick, ...]:
    form = f".{max(0, -floor(log10(step) + 1e-9))}f"
    return tuple(
        Tick(position(n * step * divisor, *ends, log=False), _plain(n * step, form))
        for n in range(first, last + 1)
    )


def _plain(value: float, form: str = ".12g") -> str:
    return f"{value:,{form}}".replace(",", figures.THIN)


def log_axis(unit: Unit, values: Sequence[float]) -> Axis:
    """An axis around values that are all greater than zero, labelled at whole powers of ten (of the unit)."""
    low, high = min(values), max(values)
    steps = _steps(unit, low, high)
    first = max(n for n, (value, _) in enumerate(steps) if value <= low)
    last = min(n for n, (value, _) in enumerate(steps) if value >= high and n > first)
    ends = (steps[first][0], steps[last][0])
    within = steps[first : last + 1]
    powers = [value for value, is_power in within if is_power]
    # Of less than two powers of ten, ticks between them tell more.
    shown = powers if len(powers) > 1 else [value for value, _ in within]
    every = ceil(len(shown) / LOG_TICKS)
    ticks = tuple(
        Tick(position(value, *ends, log=True), _short(unit, value) if n % every == 0 else "")
        for n, value in enumerate(shown)
    )
    return Axis(*ends, log=True, unit="", ticks=ticks)


def _steps(unit: Unit, low: float, high: float) -> list[tuple[float, bool]]:
    """1, 2 and 5 times each power of ten around some values, and whether it is the power itself."""
    if unit in ("B", "B/s"):
        powers = [10.0**n * 1024**k for k in range(len(figures.BINARY)) for n in range(3)]
        powers += [10.0**n * 1024 ** (len(figures.BINARY) - 1) for n in range(3, 20)]
    else:
        powers = [10.0**n for n in range(floor(log10(low) - 1e-9), ceil(log10(high) + 1e-9) + 2)]
    return [(nice * power, nice == 1) for power in powers for nice in (1, 2, 5)]


def _short(unit: Unit, power: float) -> str:
    """A power of ten with the unit that suits it: 1000 ms is `1 s`."""
    if unit == "s" and power < 1:
        return _short("ms", power * 1000)
    if unit == "ms" and power >= 1000:
        return figures.with_unit(_plain(power / 1000), "s")
    divisor, name = figures.scale(unit, power)
    return figures.with_unit(_plain(power / divisor), name)


def axis_for(unit: Unit, values: Sequence[float]) -> Axis:
    """A linear axis from zero; a logarithmic one where values that differ much would crowd at its start."""
    if values and min(values) > 0 and max(values) / min(values) >= LOG_FROM:
        return log_axis(unit, values)
    return linear_axis(unit, values)
