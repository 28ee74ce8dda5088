"""A client's requests over time: latencies, who answered, failures, and what happened meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pairlab.report import comparison, figures
from pairlab.report.plot import Axis, log_axis, time_axis
from pairlab.results import HELD_S, RunResult, Timeline, Variant

WIDTH, HEIGHT = 2000, 150
"""Grid of a plot; its height is in pixels, its width is stretched to that of the page."""
FASTEST_MS = 0.01
"""The least latency that a logarithmic axis shows."""
NARROWEST = 250.0
"""Pixels of a plot's width on a phone."""
MARK_WIDTH = 18.0
"""Pixels that a mark's number needs."""
NEIGHBOURS = 1.6
"""Intervals of the schedule within which one request follows another with none between."""
LOOKS = 4
"""Ways in which versions look, in their order of appearance; a fifth one looks like the first."""
SHARED_FROM = 3.0
"""How many times longer than the shortest the longest timeline may be, and still share its axis."""


@dataclass(frozen=True)
class Lane:
    """When one version answered, or when requests failed.

    Attributes:
        name: The version, or `failed`.
        look: Number of its colour and shape; `failed` for failures.
        told: How often and from when to when.
        runs: SVG path of a bar for each run of such requests, of height 1.
        points: SVG path of a point for each answer; empty for failures.
    """

    name: str
    look: str
    told: str
    runs: str
    points: str


@dataclass(frozen=True)
class PlacedMark:
    """A mark, numbered from 1, with per cent of the time axis and the row that its number stands in."""

    number: int
    at: float
    row: int
    when: str
    text: str


@dataclass(frozen=True)
class TimelinePlot:
    """One repetition of one variant.

    Attributes:
        variant: Whose.
        mark: How its VMs ran; empty for others.
        repetition: From 1.
        time: Its axis, in seconds.
        latency: Its axis, in milliseconds.
        lanes: One a version that answered, then the failures, if any.
        marks: What happened.
        failed: How many requests failed, in words.
        told: What it shows, in words.
        client: What the client itself cost.
    """

    variant: Variant
    mark: str
    repetition: int
    time: Axis
    latency: Axis
    lanes: tuple[Lane, ...]
    marks: tuple[PlacedMark, ...]
    failed: str
    told: str
    client: str


@dataclass(frozen=True)
class Timelines:
    """All of a result.

    Attributes:
        groups: The plots of each variant, by repetition.
        shared: They have one time axis, so that their lengths compare.
    """

    groups: tuple[tuple[TimelinePlot, ...], ...]
    shared: bool


def timelines(result: RunResult) -> Timelines:
    """Plots of all timelines; all with one latency axis, and with one time axis if that shows enough."""
    lengths = [_length(line) for line in result.timelines]
    shared = bool(lengths) and max(lengths) <= SHARED_FROM * min(lengths)
    good = [
        max(ms, FASTEST_MS)
        for line in result.timelines
        for ms, status in zip(line.latency_ms, line.status, strict=True)
        if status == 200
    ]
    latency = log_axis("ms", good or [1.0])
    looks = {name: str(n % LOOKS) for n, name in enumerate(_versions(result.timelines))}
    groups = []
    for variant in (*comparison.compared(result), *comparison.baselines(result)):
        mark = comparison.mark_of(variant, result.environment)
        own = [line for line in result.timelines if line.variant == variant.key]
        plots = []
        for line in sorted(own, key=lambda line: line.repetition):
            time = time_axis(max(lengths) if shared else _length(line))
            plots.append(_plot(variant, mark, line, time, latency, looks))
        if plots:
            groups.append(tuple(plots))
    return Timelines(tuple(groups), shared)


def _length(line: Timeline) -> float:
    return max((*line.at_s, *(mark.at_s for mark in line.marks)), default=0.0)


def _versions(lines: Iterable[Timeline]) -> list[str]:
    """Those that answered anywhere, by their first appearance in a timeline."""
    return list(dict.fromkeys(name for line in lines for name in line.version if name))


def _plot(
    variant: Variant, mark: str, line: Timeline, time: Axis, latency: Axis, looks: dict[str, str]
) -> TimelinePlot:
    return TimelinePlot(
        variant=variant,
        mark=mark,
        repetition=line.repetition + 1,
        time=time,
        latency=latency,
        lanes=tuple(_lanes(line, time, latency, looks)),
        marks=_placed(line, time),
        failed=_failed(line),
        told=_told(line),
        client=(
            f"The client itself used {figures.value('%', line.client_cpu_percent)} of a core and was at worst"
            f" {figures.value('ms', line.client_worst_gap_ms)} behind its schedule."
        ),
    )


def _lanes(line: Timeline, time: Axis, latency: Axis, looks: dict[str, str]) -> Iterable[Lane]:
    answers = list(zip(line.at_s, line.latency_ms, line.status, line.version, strict=True))
    for name, look in looks.items():
        own = [(at, ms) for at, ms, status, version in answers if status == 200 and version == name]
        if own:
            told = f"{figures.counted(len(own), 'answer')}, {_span([at for at, _ in own])}"
            yield Lane(name, look, told, _runs(own, time, line.rate_hz), _points(own, time, latency))
    if unnamed := [(at, ms) for at, ms, status, version in answers if status == 200 and not version]:
        told = f"{figures.counted(len(unnamed), 'answer')}, {_span([at for at, _ in unnamed])}"
        yield Lane(
            "no version told",
            "unnamed",
            told,
            _runs(unnamed, time, line.rate_hz),
            _points(unnamed, time, latency),
        )
    if failed := [(at, ms) for at, ms, status, _ in answers if status != 200]:
        told = (
            f"{figures.counted(len(failed), 'request')}, {_span([at for at, _ in failed])}: {_failures(line)}"
        )
        yield Lane("failed", "failed", told, _runs(failed, time, line.rate_hz), "")


def _span(moments: Sequence[float]) -> str:
    return f"{figures.moment(min(moments))} to {figures.moment(max(moments))}"


def _failures(line: Timeline) -> str:
    counts = Counter(status for status in line.status if status != 200)
    return ", ".join(
        f"{figures.number(count, whole=True)} with " + (f"status {status}" if status else "no answer")
        for status, count in sorted(counts.items(), reverse=True)
    )


def _x(at: float, time: Axis) -> int:
    return round(time.at(at) * WIDTH / 100)


def _runs(requests: Sequence[tuple[float, float]], time: Axis, rate_hz: float) -> str:
    """Bars over requests that follow each other in the schedule with none between."""
    near = max(_x(NEIGHBOURS / rate_hz, time), 2) if rate_hz > 0 else 2
    runs: list[list[int]] = []
    for x in sorted({_x(at, time) for at, _ in requests}):
        if runs and x - runs[-1][1] <= near:
            runs[-1][1] = x
        else:
            runs.append([x, x])
    return "".join(f"M{start} 0h{end - start + 1}v1h-{end - start + 1}z" for start, end in runs)


def _points(requests: Sequence[tuple[float, float]], time: Axis, latency: Axis) -> str:
    """A stroke of hardly any length for each place on the grid: one sees its round or square ends."""
    places = {
        (_x(at, time), round(HEIGHT * (1 - latency.at(max(ms, FASTEST_MS)) / 100))) for at, ms in requests
    }
    return "".join(f"M{x} {y}h1" for x, y in sorted(places))


def _placed(line: Timeline, time: Axis) -> tuple[PlacedMark, ...]:
    """Marks in their order, each number in the first row where it hides no other, also on a phone."""
    placed: list[PlacedMark] = []
    ends: list[float] = []
    for number, mark in enumerate(sorted(line.marks, key=lambda mark: mark.at_s), start=1):
        at = time.at(mark.at_s)
        pixel = at * NARROWEST / 100
        row = next((n for n, end in enumerate(ends) if end <= pixel), len(ends))
        ends[row : row + 1] = [pixel + MARK_WIDTH]
        placed.append(PlacedMark(number, at, row, figures.moment(mark.at_s), mark.text))
    return tuple(placed)


def _failed(line: Timeline) -> str:
    return f"{figures.number(line.failed(), whole=True)} failed" if line.failed() else "none failed"


def _told(line: Timeline) -> str:
    requests = f"{figures.counted(len(line.at_s), 'request')} at {line.rate_hz:g} a second"
    kinds = f" ({_failures(line)})" if line.failed() else ""
    nobody = figures.value("ms", line.longest_gap_s() * 1000)
    told = f"{requests}, {_failed(line)}{kinds}. Nobody was answered with 200 for at most {nobody}"
    good = [ms for ms, status in zip(line.latency_ms, line.status, strict=True) if status == 200]
    if not good:
        return f"{told}."
    held = line.held()
    slow = f"; {figures.number(held, whole=True)} took more than {HELD_S:g} s" if held else ""
    return f"{told}. The slowest of the good answers took {figures.value('ms', max(good))}{slow}."
