"""One figure as a dot plot: every sample a point, the median a bar, a line a variant, one axis for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from pairlab.report import comparison, figures
from pairlab.report.plot import Axis, axis_for
from pairlab.results import Figure, RunResult, Variant


@dataclass(frozen=True)
class DotLine:
    """The samples of one variant.

    Attributes:
        title: The variant's.
        cell: What its numbers are.
        look: Its side, for colour and shape: `vm`, `container` or `host`.
        baseline: It is a naive way.
        points: Per cent of the axis, one a sample.
        middle: Per cent of their median.
        told: The samples in words.
    """

    title: str
    cell: comparison.Cell
    look: str
    baseline: bool
    points: tuple[float, ...]
    middle: float
    told: str


@dataclass(frozen=True)
class DotPlot:
    """One figure of all variants that have samples of it."""

    figure: Figure
    better: str
    axis: Axis
    lines: tuple[DotLine, ...]


def dot_plots(result: RunResult) -> list[DotPlot]:
    """One for each figure of which there are samples."""
    return [_plot(result, figure) for figure in comparison.measured(result, result.variants)]


def _plot(result: RunResult, figure: Figure) -> DotPlot:
    axis = axis_for(figure.unit, [s.value for s in result.samples if s.figure == figure.key])
    variants = [*comparison.compared(result), *comparison.baselines(result)]
    lines = tuple(
        _line(result, figure, variant, axis, values)
        for variant in variants
        if (values := result.values(figure.key, variant.key))
    )
    return DotPlot(figure, comparison.BETTER[figure.better], axis, lines)


def _line(
    result: RunResult, figure: Figure, variant: Variant, axis: Axis, values: Sequence[float]
) -> DotLine:
    cell = comparison.cell(result, figure, variant)
    return DotLine(
        title=variant.title,
        cell=cell,
        look=variant.side or "host",
        baseline=variant.baseline,
        points=tuple(axis.at(value) for value in values),
        middle=axis.at(median(values)),
        told=f"{variant.title}: {figures.values(figure.unit, values)}",
    )
