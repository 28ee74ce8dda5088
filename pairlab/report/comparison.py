"""What a result compares, arranged as both the terminal and the page show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pairlab.circumstances import Environment
from pairlab.model import Accelerator, SideName
from pairlab.report import figures
from pairlab.results import (
    CLAIM_REPETITIONS,
    Conclusion,
    Figure,
    Finding,
    RunResult,
    Variant,
    Verdict,
    spread,
)

EMULATION = (
    "VMs ran by software emulation (tcg): their figures say nothing of hardware virtualisation, and must not"
    " be read as how fast VMs are."
)
EMULATED = "emulated"
"""Stands with each figure of a VM that ran by software emulation."""
BUSY = (
    "By the load average of the minute before, which has in it what brought the lab up, the host had more to"
    " do than its CPUs could: times, and claims of them, may be those of a busy host."
)
VERDICTS = {"yes": "✓ yes", "no": "✗ no", "cannot": "⊘ cannot", "untried": "– not tried", "fact": "• fact"}
"""Verdict -> sign and word: never a colour alone."""
BETTER = {"lower": "lower is better", "higher": "higher is better", "neither": ""}
HOW_TO_READ = (
    "Each figure is the median of n samples, with their range. A claim is made only where each side was"
    f" measured in {CLAIM_REPETITIONS} repetitions or more and the ranges do not overlap. By chance alone the"
    " ranges of 3 against 3 are apart in 10 % of cases (2·3!·3!/6!), and many are compared; what is only"
    " counted (packages, operations, programs) is the same each time."
)


@dataclass(frozen=True)
class Cell:
    """One figure of one variant.

    Attributes:
        median: With its unit; a dash where nothing was measured.
        range: Lowest and highest sample, in the same unit; empty where there are no two samples.
        count: Number of samples.
        mark: How VMs ran; empty for another variant, and where nothing was measured.
    """

    median: str
    range: str
    count: int
    mark: str


@dataclass(frozen=True)
class Inquiry:
    """Questions in the order in which they were first answered, and the variants that they were asked of."""

    questions: tuple[str, ...]
    variants: tuple[Variant, ...]


@dataclass(frozen=True)
class Answer:
    """What was found to a question, by repetitions that agree.

    Attributes:
        verdict: Key of `VERDICTS`.
        text: The answer.
        repetitions: Which ones, such as `repetition 1`; empty where all agree.
    """

    verdict: str
    text: str
    repetitions: str


def is_emulated(environment: Environment) -> bool:
    """Whether VMs ran by software emulation."""
    return environment.accelerator == Accelerator.TCG


def accelerator_of(variant: Variant, environment: Environment) -> str:
    """How the VM of a variant ran; empty where it has none."""
    if variant.emulated:
        return Accelerator.TCG
    return environment.accelerator if variant.side is SideName.VM else ""


def mark_of(variant: Variant, environment: Environment) -> str:
    """What stands with every figure of a variant: how VMs ran; nothing for others."""
    ran = accelerator_of(variant, environment)
    return EMULATED if ran == Accelerator.TCG else ran


def emulation_note(result: RunResult) -> str:
    """What a reader must know before any figure of an emulated VM; empty where there is none."""
    # A VM that is emulated whatever the others are has its mark, and says nothing of them.
    emulated = is_emulated(result.environment) and any(
        mark_of(variant, result.environment) == EMULATED for variant in result.variants
    )
    reason = result.environment.accelerator_reason
    return (EMULATION + (f" Why: {reason}." if reason else "")) if emulated else ""


def load(result: RunResult) -> str:
    """How busy its host was: `load average 0.31 before, 1.87 after, on 2 logical CPUs`."""
    own = result.environment
    cpus = figures.counted(own.cores, "logical CPU")
    return f"load average {own.load_before:.2f} before, {own.load_after:.2f} after, on {cpus}"


def overload(result: RunResult) -> str:
    """The load before it, where its host had more to do than it has CPUs; otherwise empty."""
    own = result.environment
    cpus = figures.counted(own.cores, "logical CPU")
    return f"{own.load_before:.2f} on {cpus}" if own.load_before > own.cores else ""


def rests_on_emulation(conclusion: Conclusion, result: RunResult) -> bool:
    """Whether a conclusion is about emulated VMs, alone or beside others."""
    about = [v for v in result.variants if v.key in conclusion.variants or not conclusion.variants]
    return any(mark_of(variant, result.environment) == EMULATED for variant in about)


def compared(result: RunResult) -> list[Variant]:
    """Its variants but for baselines, in their order."""
    return [variant for variant in result.variants if not variant.baseline]


def baselines(result: RunResult) -> list[Variant]:
    """The naive ways that stand beside."""
    return [variant for variant in result.variants if variant.baseline]


def cell(result: RunResult, figure: Figure, variant: Variant) -> Cell:
    """One figure of one variant."""
    found = spread(result.values(figure.key, variant.key))
    if found is None:
        return Cell(figures.NONE, "", 0, "")
    middle, ends = figures.parts(figure.unit, found)
    return Cell(middle, ends, found.count, mark_of(variant, result.environment))


def with_samples(result: RunResult, variants: Sequence[Variant]) -> list[Variant]:
    """Those of which anything was measured."""
    found = {sample.variant for sample in result.samples}
    return [variant for variant in variants if variant.key in found]


def measured(result: RunResult, variants: Sequence[Variant]) -> list[Figure]:
    """The figures of which there is a sample of any of some variants."""
    keys = {variant.key for variant in variants}
    found = {sample.figure for sample in result.samples if sample.variant in keys}
    return [figure for figure in result.figures if figure.key in found]


def inquiries(result: RunResult, variants: Sequence[Variant]) -> list[Inquiry]:
    """Questions with the variants that they were asked of; those that share no variant are apart."""
    asked: dict[str, set[str]] = {}
    for finding in result.findings:
        asked.setdefault(finding.question, set()).add(finding.variant)
    order = list(asked)
    groups: list[tuple[list[str], set[str]]] = []
    for question, of in asked.items():
        joined, whose = [question], of & {variant.key for variant in variants}
        for group in [group for group in groups if group[1] & whose]:
            groups.remove(group)
            joined, whose = joined + group[0], whose | group[1]
        groups.append((sorted(joined, key=order.index), whose))
    groups.sort(key=lambda group: order.index(group[0][0]))
    return [
        Inquiry(tuple(joined), tuple(variant for variant in variants if variant.key in whose))
        for joined, whose in groups
        if whose
    ]


def answers(result: RunResult, question: str, variant: Variant) -> list[Answer]:
    """What was found; one answer where all repetitions agree."""
    found = [f for f in result.findings if (f.question, f.variant) == (question, variant.key)]
    groups: dict[tuple[Verdict, str], list[Finding]] = {}
    for finding in found:
        groups.setdefault((finding.verdict, finding.answer), []).append(finding)
    return [
        Answer(
            verdict,
            text.removeprefix(f"{verdict}: "),  # the verdict stands before it anyway
            _repetitions(group) if len(groups) > 1 else "",
        )
        for (verdict, text), group in groups.items()
    ]


def _repetitions(group: Sequence[Finding]) -> str:
    numbers = sorted({finding.repetition + 1 for finding in group})
    return ("repetition " if len(numbers) == 1 else "repetitions ") + ", ".join(map(str, numbers))


def when(result: RunResult) -> str:
    """When it ran, in UTC: `24 Nov 2026, 21:15 UTC`."""
    from datetime import UTC

    started = result.started.astimezone(UTC)
    return f"{started.day} {started:%b %Y, %H:%M} UTC"


def extent(result: RunResult) -> str:
    """Where, how much and how long: one line."""
    parts = f" in {len(result.stretches)} parts: it was interrupted" if len(result.stretches) > 1 else ""
    return "; ".join(
        (
            f"lab {result.lab}, {figures.counted(result.vms, 'VM')} and"
            f" {figures.counted(result.replicas, 'container')}",
            figures.counted(result.repetitions, "repetition"),
            f"{when(result)}, took {figures.duration(result.took_s)}{parts}",
        )
    )
