"""Results as one HTML file that needs nothing else: no network, no script, no font."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pairlab.circumstances import Environment
from pairlab.model import SideName
from pairlab.render import render
from pairlab.report import breakdown, comparison, dots, figures, stacks, timeline
from pairlab.report.comparison import Answer, Cell
from pairlab.report.overview import overview
from pairlab.report.summary import Summary, told
from pairlab.results import Figure, RunResult, Variant

SIDES = {SideName.VM: "VM", SideName.CONTAINER: "container", None: "this host"}


@dataclass(frozen=True)
class Column:
    """A variant as a table's head.

    Attributes:
        title: The variant's.
        look: For colour and shape: `vm`, `container` or `host`.
        side: Its side in words.
        mark: How its VMs ran; empty for others.
    """

    title: str
    look: str
    side: str
    mark: str


@dataclass(frozen=True)
class FiguresTable:
    """Rows of figures, a column a variant."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Figure, str, tuple[Cell, ...]], ...]


@dataclass(frozen=True)
class FindingsTable:
    """Rows of questions, a column a variant."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, tuple[tuple[Answer, ...], ...]], ...]


@dataclass(frozen=True)
class Lesson:
    """What teaches an exercise, in Markdown.

    Attributes:
        introduction: What is tried, and why.
        limits: What it cannot show.
    """

    introduction: str
    limits: str


def page(
    results: Sequence[RunResult],
    summary: Summary | None = None,
    lesson_of: Callable[[RunResult], Lesson | None] = lambda _: None,
) -> str:
    """An HTML document with a section for each result, in their order.

    Args:
        results: What it is about.
        summary: The key differences, made from them: they stand at its top, at a glance.
        lesson_of: What teaches a result's exercise; None where nothing does.
    """
    return render(
        "report/page.html.j2",
        sections=[_section(result) | {"lesson": lesson_of(result)} for result in results],
        overview=overview(results, summary) if summary else None,
        columns=summary.columns if summary else (),
        targets={result.exercise: f"result-{number}" for number, result in enumerate(results, 1)},
        told=told,
        busy=comparison.BUSY,
        how_to_read=comparison.HOW_TO_READ,
        verdicts=comparison.VERDICTS,
        plot_width=timeline.WIDTH,
        plot_height=timeline.HEIGHT,
    )


def _section(result: RunResult) -> dict[str, object]:
    groups = (comparison.compared(result), comparison.baselines(result))
    return {
        "result": result,
        "extent": comparison.extent(result),
        "emulation": comparison.emulation_note(result),
        "busy": comparison.overload(result),
        "conclusions": [(each, comparison.rests_on_emulation(each, result)) for each in result.conclusions],
        "figures": [_figures_table(result, comparison.with_samples(result, group)) for group in groups],
        "findings": [
            [_findings_table(result, inquiry) for inquiry in comparison.inquiries(result, group)]
            for group in groups
        ],
        "stacks": stacks.stacks(result),
        "breakdowns": breakdown.breakdowns(result),
        "dots": dots.dot_plots(result),
        "timelines": timeline.timelines(result),
        "environment": _environment(result.environment),
    }


def _columns(result: RunResult, variants: Sequence[Variant]) -> tuple[Column, ...]:
    return tuple(
        Column(
            variant.title,
            variant.side or "host",
            SIDES[variant.side],
            comparison.mark_of(variant, result.environment),
        )
        for variant in variants
    )


def _figures_table(result: RunResult, variants: Sequence[Variant]) -> FiguresTable:
    rows = tuple(
        (
            figure,
            comparison.BETTER[figure.better],
            tuple(comparison.cell(result, figure, variant) for variant in variants),
        )
        for figure in comparison.measured(result, variants)
    )
    return FiguresTable(_columns(result, variants), rows)


def _findings_table(result: RunResult, inquiry: comparison.Inquiry) -> FindingsTable:
    rows = tuple(
        (question, tuple(tuple(comparison.answers(result, question, v)) for v in inquiry.variants))
        for question in inquiry.questions
    )
    return FindingsTable(_columns(result, inquiry.variants), rows)


def _environment(environment: Environment) -> list[tuple[str, str]]:
    """What is worth knowing of the host, as terms and their descriptions."""
    accelerator = environment.accelerator
    if comparison.is_emulated(environment):
        accelerator += " (software emulation)"
    if environment.accelerator_reason:
        accelerator += f": {environment.accelerator_reason}"
    return [
        ("Processor", f"{environment.processor}, {figures.counted(environment.cores, 'logical CPU')}"),
        ("Memory", figures.value("B", environment.memory_bytes)),
        ("System", f"{environment.system}, kernel {environment.kernel}"),
        ("VMs ran by", accelerator),
        ("Load average", f"{environment.load_before:.2f} before, {environment.load_after:.2f} after"),
        ("Programs", _pairs(environment.versions)),
        ("Provider plugins", _pairs(environment.plugins)),
        ("Images", _pairs(environment.images)),
        *([("Settings of its own", _pairs(environment.settings))] if environment.settings else []),
    ]


def _pairs(named: dict[str, str]) -> str:
    return "; ".join(f"{name} {text}" for name, text in named.items()) or figures.NONE
