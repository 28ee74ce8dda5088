"""Where the time of one sample went: its parts, one after the other, on an axis that all variants share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isclose
from statistics import median_low

from pairlab.report import comparison, figures
from pairlab.report.plot import Axis, linear_axis
from pairlab.results import Figure, RunResult, Sample, Variant


@dataclass(frozen=True)
class PlacedPart:
    """A part, with per cent of the axis where it begins and that it takes."""

    title: str
    value: str
    at: float
    width: float


@dataclass(frozen=True)
class Breakdown:
    """The parts of one sample.

    Attributes:
        variant: Whose.
        look: Its side, for colour and shape: `vm`, `container` or `host`.
        mark: How its VMs ran; empty for others.
        whole: The sample, and which one of how many it is.
        parts: In their order.
        axis: From zero, in the figure's unit.
    """

    variant: Variant
    look: str
    mark: str
    whole: str
    parts: tuple[PlacedPart, ...]
    axis: Axis


def breakdowns(result: RunResult) -> list[Breakdown]:
    """For each figure that has parts and each variant: that of the sample in the middle, whose parts add up.

    The medians of all parts would not add up to anything.
    """
    whole_keys = {figure.part_of for figure in result.figures if figure.part_of}
    found = []
    for figure in (each for each in result.figures if each.key in whole_keys):
        chosen = {variant: _middle(result, figure, variant) for variant in result.variants}
        ends = [end for own in chosen.values() if own for _, _, end in _placed(own[1:])]
        axis = linear_axis(figure.unit, ends)
        found += [_breakdown(result, figure, variant, own, axis) for variant, own in chosen.items() if own]
    return found


def _middle(result: RunResult, figure: Figure, variant: Variant) -> Sequence[Sample]:
    """The sample of median value and its parts; empty where none has all of them, as in a short result."""
    whole = [own for own in _samples(result, figure, variant) if _adds_up(own)]
    if not whole:
        return ()
    middle = median_low(own[0].value for own in whole)
    return next(own for own in whole if own[0].value == middle)


def _adds_up(own: Sequence[Sample]) -> bool:
    return isclose(own[0].value, sum(part.value for part in own[1:]), rel_tol=1e-6)


def _samples(result: RunResult, figure: Figure, variant: Variant) -> Iterator[Sequence[Sample]]:
    """Each sample of a figure, and those of its parts, which follow it."""
    parts = {each.key for each in result.figures if each.part_of == figure.key}
    own: list[Sample] = []
    for sample in result.samples:
        if sample.variant == variant.key and sample.figure == figure.key:
            if own:
                yield own
            own = [sample]
        elif own and sample.variant == variant.key and sample.figure in parts:
            own.append(sample)
    if own:
        yield own


def _placed(parts: Sequence[Sample]) -> Iterator[tuple[Sample, float, float]]:
    """Each part, and where it begins and ends."""
    end = 0.0
    for part in parts:
        yield part, end, end + part.value
        end += part.value


def _breakdown(
    result: RunResult, figure: Figure, variant: Variant, own: Sequence[Sample], axis: Axis
) -> Breakdown:
    titles = {each.key: each.title.rpartition(": ")[2] for each in result.figures}
    count = len(result.values(figure.key, variant.key))
    middle = "the median" if count % 2 else "the lower of the two in the middle"
    which = f", {middle} of {count}" if count > 1 else ""
    return Breakdown(
        variant=variant,
        look=variant.side or "host",
        mark=comparison.mark_of(variant, result.environment),
        whole=f"{figure.title}: {figures.value(figure.unit, own[0].value)}{which}",
        parts=tuple(
            PlacedPart(
                titles[part.figure],
                figures.value(figure.unit, part.value),
                axis.at(min(begin, end)),
                round(abs(axis.at(end) - axis.at(begin)), 2),
            )
            for part, begin, end in _placed(own[1:])
        ),
        axis=axis,
    )
