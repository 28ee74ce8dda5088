"""What exercises measured: one versioned document a run, which reports read and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, model_validator

from pairlab.circumstances import Environment, RunSet, Stretch
from pairlab.differences import SummaryCell
from pairlab.model import Scope, SideName

FORMAT = 2
"""Raised when a reader of an older version would misread the document."""
CLAIM_REPETITIONS = 3
"""Fewest repetitions that a claim may rest on; several samples of one repetition are not independent."""
HELD_S = 1.0
"""A request that is answered later was held: somebody has noticed."""
Unit = Literal["s", "ms", "B", "1", "%", "1/s", "B/s"]
Verdict = Literal["yes", "no", "cannot", "untried", "fact"]
"""As one would wish; not so; this side has no way to do it; not tried here; nothing to wish for."""
SCOPES = {
    "host": "one for everything on this host",
    "side": "one for all instances",
    "instance": "one for each instance",
}
"""Scope of a layer that is there -> how it is told."""


class _Record(BaseModel):
    # JSON knows neither NaN nor infinity: what could not be read again is refused when it is made.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Figure(_Record):
    """One kind of measurement.

    Attributes:
        key: Short name that samples refer to, such as `patched-last`.
        title: What it is, for a table's head.
        unit: `s`, `ms`, `B`, `1` (a count), `%`, or a rate: `1/s`, `B/s`; of every sample of it.
        method: How it is obtained, with both ends of every clock.
        better: Which way is better.
        part_of: Key of the figure whose sample this one's and its fellows' follow, and add up to; empty
            where there is none.
    """

    key: str
    title: str
    unit: Unit
    method: str
    better: Literal["lower", "higher", "neither"] = "lower"
    part_of: str = ""


class Variant(_Record):
    """One way of doing it, which the exercise compares with others.

    Attributes:
        key: Short name that samples refer to, such as `vm-in-place`.
        title: For a person.
        side: Whose way it is; None for this host itself.
        baseline: A naive way, measured to stand beside the others.
        emulated: It holds an emulated VM, however the lab's own VMs run.
    """

    key: str
    title: str
    side: SideName | None
    baseline: bool = False
    emulated: bool = False


class Sample(_Record):
    """One raw measurement, in the unit of its figure.

    Attributes:
        figure: Key of the figure.
        variant: Key of the variant.
        repetition: From 0.
        value: The measurement.
        instance: Name of the instance that it is of, such as `vm/0`; empty for the side as a whole.
    """

    figure: str
    variant: str
    repetition: int
    value: float
    instance: str = ""


class Finding(_Record):
    """Something that was found and is no number.

    Attributes:
        variant: Key of the variant.
        repetition: From 0.
        question: What was asked, such as `killed: which version comes back?`.
        answer: What was found, in words.
        verdict: What that means; where it is `cannot` or `untried`, the answer says why.
    """

    variant: str
    repetition: int
    question: str
    answer: str
    verdict: Verdict


class Mark(_Record):
    """A moment of a timeline.

    Attributes:
        at_s: Seconds from the timeline's first request.
        text: What happened then.
    """

    at_s: float
    text: str


class Timeline(_Record):
    """Every request that a client sent to one front door at a steady rate; four lists of equal length.

    Attributes:
        variant: Key of the variant.
        repetition: From 0.
        rate_hz: Requests a second that were due.
        at_s: When each was sent, in seconds from the first.
        latency_ms: How long each took until its answer or failure.
        status: HTTP status; 0 where there was no answer.
        version: Version of the workload's package that answered; empty where none did.
        marks: What happened meanwhile.
        client_cpu_percent: CPU that the client itself used, of one core.
        client_worst_gap_ms: The furthest that the client fell behind its own schedule.
    """

    variant: str
    repetition: int
    rate_hz: float
    at_s: list[float]
    latency_ms: list[float]
    status: list[int]
    version: list[str]
    marks: list[Mark]
    client_cpu_percent: float
    client_worst_gap_ms: float

    @model_validator(mode="after")
    def _one_entry_a_request(self) -> Timeline:
        if not len(self.at_s) == len(self.latency_ms) == len(self.status) == len(self.version):
            raise ValueError("at_s, latency_ms, status and version must be of one length")
        return self

    def failed(self) -> int:
        """Number of requests that did not get a 200."""
        return sum(status != 200 for status in self.status)

    def held(self) -> int:
        """Number of requests that got a 200, and waited longer than `HELD_S` for it."""
        return sum(
            status == 200 and ms > 1000 * HELD_S
            for ms, status in zip(self.latency_ms, self.status, strict=True)
        )

    def longest_gap_s(self) -> float:
        """Longest wait for a 200 of somebody who asked, and asked again until it worked.

        For each request: from when it was sent until it or a later one was answered with 200, or until the
        timeline's end where none was. Requests that are held count as failed ones do; one slow answer beside
        fast ones does not. Where nothing fails or stalls it is an ordinary latency.
        """
        ends = [at + ms / 1000 for at, ms in zip(self.at_s, self.latency_ms, strict=True)]
        good = [status == 200 for status in self.status]
        longest, answered = 0.0, max(ends, default=0.0)
        # From the last one back; of those sent at once, the first to be answered first.
        for at, is_good, less in sorted(
            zip(self.at_s, good, (-end for end in ends), strict=True), reverse=True
        ):
            if is_good:
                answered = min(answered, -less)
            longest = max(longest, answered - at)
        return longest


class StackLayer(_Record):
    """One layer of a variant's stack, as it is drawn; a stack's layers stand from the bottom up.

    Attributes:
        variant: Key of the variant whose stack it is part of.
        name: What it is, in a few words.
        found: What was found there, in words.
        scope: How many there are of it; `none` where this stack has no such layer.
        costs: Keys of the figures of what it costs; their samples hold how much.
    """

    variant: str
    name: str
    found: str
    scope: Scope
    costs: list[str]


class Conclusion(_Record):
    """A sentence that the samples carry, or do not.

    Attributes:
        text: The sentence.
        carried: Enough repetitions, and the ranges do not overlap; otherwise no claim is made.
        basis: The medians and ranges that it rests on, or why it is not carried.
        variants: Keys of the variants that it is about.
    """

    text: str
    carried: bool
    basis: str
    variants: list[str] = []


class RunResult(_Record):
    """One run of one exercise.

    Attributes:
        format: Version of this document's form.
        exercise: The exercise's name.
        title: Its title.
        question: The question that it answers.
        section: Section of the course that it teaches.
        lab: The lab's name.
        vms: Instances on the vm side when it began.
        replicas: Instances on the container side.
        started: When, with time zone.
        ended: When, or when this was last saved.
        repetitions: How many were asked for.
        complete: It ran to its end, and what it measured really happened.
        incomplete_reason: Why it is not complete; empty if it is.
        subject: What was worked on, in a sentence, such as the update with both versions.
        environment: Where and with what.
        figures: Kinds of measurement.
        variants: What is compared.
        samples: All raw measurements.
        findings: What is no number.
        timelines: Requests at the front doors.
        conclusions: What can be said.
        summary: What of it stands in the table of key differences.
        layers: What the stacks stand on, variant by variant.
        stretches: When it was at work, in their order; more than one where it was interrupted and went on.
            Empty in those from before results told.
        run_set: The command that it belongs to.
    """

    format: int = FORMAT
    exercise: str
    title: str
    question: str
    section: str
    lab: str
    vms: int
    replicas: int
    started: AwareDatetime
    ended: AwareDatetime
    repetitions: int
    complete: bool
    incomplete_reason: str
    subject: str
    environment: Environment
    figures: list[Figure]
    variants: list[Variant]
    samples: list[Sample]
    findings: list[Finding]
    timelines: list[Timeline]
    conclusions: list[Conclusion]
    summary: list[SummaryCell] = []
    layers: list[StackLayer] = []
    stretches: list[Stretch] = []
    run_set: RunSet | None = None

    @model_validator(mode="after")
    def _names_only_what_it_declares(self) -> RunResult:
        figures, variants = {f.key for f in self.figures}, {v.key for v in self.variants}
        if len(figures) + len(variants) < len(self.figures) + len(self.variants):
            raise ValueError("two figures or two variants have the same key")
        named = [e.variant for e in self.samples] + [e.variant for e in self.findings]
        named += [e.variant for e in self.timelines]
        named += [key for e in self.conclusions for key in e.variants]
        named += [key for e in self.summary for key in e.variants]
        named += [e.variant for e in self.layers]
        shown = {s.figure for s in self.samples} | {c.figure for c in self.summary if c.figure}
        shown |= {key for e in self.layers for key in e.costs}
        if unknown := {*named} - variants | shown - figures:
            raise ValueError(f"{min(unknown)!r} is no figure or variant that it declares")
        return self

    @property
    def took_s(self) -> float:
        """Seconds at work, without what lies between an interruption and its going on."""
        spans = [(each.started, each.ended) for each in self.stretches] or [(self.started, self.ended)]
        return sum((ended - started).total_seconds() for started, ended in spans)

    @property
    def finished(self) -> int:
        """Number of repetitions that ran to their end, the first ones; 0 if it does not tell."""
        return sum(stretch.repetitions for stretch in self.stretches)

    def samples_of(self, figure: str, variant: str) -> list[Sample]:
        """The samples of one figure and variant, as measured."""
        return [s for s in self.samples if s.figure == figure and s.variant == variant]

    def values(self, figure: str, variant: str) -> list[float]:
        """The same, nothing but their values."""
        return [s.value for s in self.samples_of(figure, variant)]


@dataclass(frozen=True)
class Spread:
    """Samples in short: their median and range, and how many they are."""

    median: float
    low: float
    high: float
    count: int


def spread(values: Sequence[float]) -> Spread | None:
    """The median with its range; None if there are no samples."""
    return Spread(median(values), min(values), max(values), len(values)) if values else None


def enough(*groups: Sequence[Sample | Finding]) -> bool:
    """Whether a claim may rest on some samples or findings: each group of them is of enough repetitions."""
    return all(len({each.repetition for each in group}) >= CLAIM_REPETITIONS for group in groups)


def is_less(smaller: Sequence[Sample], larger: Sequence[Sample]) -> bool:
    """Whether samples carry the claim that one is less: enough of each, and no overlap of their ranges."""
    return enough(smaller, larger) and max(s.value for s in smaller) < min(s.value for s in larger)
