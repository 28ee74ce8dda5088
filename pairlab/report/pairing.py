"""Two results of one exercise side by side: two runs, or two hosts; and two sets of results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pairlab.errors import UsageError
from pairlab.model import SideName
from pairlab.report import comparison, figures
from pairlab.results import Figure, RunResult, Variant, enough, is_less, spread

Keyed = TypeVar("Keyed", bound=Figure | Variant)


@dataclass(frozen=True)
class Pair:
    """One figure of one variant in both.

    Attributes:
        figure: Its title.
        better: Which way is better, in words; empty for neither.
        variant: The variant's title.
        baseline: It is a naive way, measured to stand beside.
        cells: In A and in B.
        change: What became of it from A to B, and whether the samples carry that.
    """

    figure: str
    better: str
    variant: str
    baseline: bool
    cells: tuple[comparison.Cell, comparison.Cell]
    change: str


@dataclass(frozen=True)
class Disagreement:
    """A question that was answered with other verdicts in the other."""

    question: str
    variant: str
    answers: tuple[tuple[comparison.Answer, ...], tuple[comparison.Answer, ...]]


@dataclass(frozen=True)
class Pairing:
    """Two results side by side.

    Attributes:
        exercise: Of both.
        title: Of the first.
        heads: Which A and B are, in a line each.
        incomplete: Why A and B are incomplete; empty where they are complete.
        notes: What a reader must know before any figure of VMs.
        pairs: The figures.
        disagreements: Questions with other verdicts.
        agreed: Number of questions, a variant each, with the same verdicts.
        surroundings: What differs between where they were measured: what, in A, in B.
    """

    exercise: str
    title: str
    heads: tuple[str, str]
    incomplete: tuple[str, str]
    notes: tuple[str, ...]
    pairs: tuple[Pair, ...]
    disagreements: tuple[Disagreement, ...]
    agreed: int
    surroundings: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class SetPairing:
    """Two sets of results side by side.

    Attributes:
        pairings: Of each exercise that both have, in A's order.
        only: Exercises that A alone has, and those that B alone has.
    """

    pairings: tuple[Pairing, ...]
    only: tuple[tuple[str, ...], tuple[str, ...]]


def pair_sets(a: Sequence[RunResult], b: Sequence[RunResult]) -> SetPairing:
    """Set two sets side by side, each with one result of an exercise.

    Raises:
        UsageError: They have no exercise in common.
    """
    ours, theirs = ({result.exercise: result for result in each} for each in (a, b))
    both = [name for name in ours if name in theirs]
    if not both:
        raise UsageError(
            f"A has results of {', '.join(ours)}, B of {', '.join(theirs)}: none of the same exercise",
            hint="`invoke report.list` shows what can be compared",
        )
    only = (tuple(n for n in ours if n not in theirs), tuple(n for n in theirs if n not in ours))
    return SetPairing(tuple(pair(ours[name], theirs[name]) for name in both), only)


def pair(a: RunResult, b: RunResult) -> Pairing:
    """Set two results side by side.

    Raises:
        UsageError: They are of different exercises.
    """
    if a.exercise != b.exercise:
        raise UsageError(
            f"A is a result of {a.exercise}, B of {b.exercise}: they measure different things",
            hint=f"`invoke report.list --exercise {a.exercise}` shows what A can be compared with",
        )
    asked = [each for each in _asked(a, b) if each.answers[0] or each.answers[1]]
    disagreements = tuple(each for each in asked if len({_verdicts(found) for found in each.answers}) > 1)
    return Pairing(
        a.exercise,
        a.title,
        (comparison.extent(a), comparison.extent(b)),
        (_reason(a), _reason(b)),
        _notes(a, b),
        tuple(_pairs(a, b)),
        disagreements,
        len(asked) - len(disagreements),
        tuple(_surroundings(a, b)),
    )


def _reason(result: RunResult) -> str:
    return "" if result.complete else result.incomplete_reason or "no reason is told"


def _notes(a: RunResult, b: RunResult) -> tuple[str, ...]:
    notes = []
    if not _same_accelerator(a, b):
        ran = f"VMs ran by {a.environment.accelerator} in A and by {b.environment.accelerator} in B"
        notes.append(f"{ran}: their figures can not be compared.")
    if comparison.emulation_note(a) or comparison.emulation_note(b):
        notes.append(comparison.EMULATION)
    return tuple(notes)


def _same_accelerator(a: RunResult, b: RunResult) -> bool:
    return a.environment.accelerator == b.environment.accelerator


def _pairs(a: RunResult, b: RunResult) -> Iterator[Pair]:
    """Every figure of every variant of which either has samples; those of A come first."""
    for figure in _either(a.figures, b.figures):
        for variant in _either(a.variants, b.variants):
            values = a.values(figure.key, variant.key), b.values(figure.key, variant.key)
            if any(values):
                yield Pair(
                    figure.title,
                    comparison.BETTER[figure.better],
                    variant.title,
                    variant.baseline,
                    (_cell(a, figure, variant), _cell(b, figure, variant)),
                    _change(a, b, figure, variant),
                )


def _either(first: Sequence[Keyed], second: Sequence[Keyed]) -> list[Keyed]:
    known = {each.key for each in first}
    return [*first, *(each for each in second if each.key not in known)]


def _cell(result: RunResult, figure: Figure, variant: Variant) -> comparison.Cell:
    own = next((each for each in result.figures if each.key == figure.key), figure)
    return comparison.cell(result, own, variant)


def _change(a: RunResult, b: RunResult, figure: Figure, variant: Variant) -> str:
    """How many times A's median B's is, and which is less if the samples carry that."""
    old, new = a.samples_of(figure.key, variant.key), b.samples_of(figure.key, variant.key)
    short, other = (spread([sample.value for sample in each]) for each in (old, new))
    if not short or not other:
        return f"only in {'A' if short else 'B'}"
    if len({each.unit for result in (a, b) for each in result.figures if each.key == figure.key}) > 1:
        return "not comparable: the units differ"
    if variant.side is SideName.VM and not _same_accelerator(a, b):
        return f"not comparable: {a.environment.accelerator} in A, {b.environment.accelerator} in B"
    times = f"{figures.number(other.median / short.median)} times; " if short.median else ""
    if len({sample.value for sample in (*old, *new)}) == 1:
        return "equal"
    if is_less(new, old):
        return f"{times}less in B: the ranges are apart"
    if is_less(old, new):
        return f"{times}less in A: the ranges are apart"
    return f"{times}no claim: {'the ranges overlap' if enough(old, new) else 'too few repetitions'}"


def _asked(a: RunResult, b: RunResult) -> Iterator[Disagreement]:
    questions = dict.fromkeys(finding.question for finding in (*a.findings, *b.findings))
    for question in questions:
        for variant in _either(a.variants, b.variants):
            found = (
                tuple(comparison.answers(a, question, variant)),
                tuple(comparison.answers(b, question, variant)),
            )
            yield Disagreement(question, variant.title, found)


def _verdicts(answers: Sequence[comparison.Answer]) -> frozenset[str]:
    return frozenset(answer.verdict for answer in answers)


def _surroundings(a: RunResult, b: RunResult) -> Iterator[tuple[str, str, str]]:
    ours, theirs = _facts(a), _facts(b)
    for what in dict.fromkeys((*ours, *theirs)):
        one, other = ours.get(what, figures.NONE), theirs.get(what, figures.NONE)
        if one != other:
            yield what, one, other


def _facts(result: RunResult) -> dict[str, str]:
    own = result.environment
    return {
        "subject": result.subject,
        "processor": own.processor,
        "logical CPUs": str(own.cores),
        "memory": figures.value("B", own.memory_bytes),
        "system": own.system,
        "kernel": own.kernel,
        "VMs ran by": own.accelerator,
        "load average before": f"{own.load_before:.2f}",
        "load average after": f"{own.load_after:.2f}",
        **{f"program {name}": text for name, text in own.versions.items()},
        **{f"provider plugin {name}": text for name, text in own.plugins.items()},
        **{f"image {name}": text for name, text in own.images.items()},
        **{f"setting {name}": text for name, text in own.settings.items()},
    }
