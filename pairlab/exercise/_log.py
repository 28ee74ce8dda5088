"""What an exercise tells while it runs: samples, findings, timelines, and the step that it is at."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from pairlab.exercise._client import Client
from pairlab.exercise._guide import Section
from pairlab.model import SideName
from pairlab.results import Figure, Finding, Mark, Sample, StackLayer, Timeline, Variant, Verdict


class Audience(Protocol):
    """Who follows an exercise: a guided person, or nobody."""

    def before(self, section: Section) -> None:
        """A step is about to begin; may wait for the person."""

    def after(self, section: Section, changes: list[str]) -> None:
        """It is over; the lines say what changed."""


@dataclass
class Log:
    """Collects one run's measurements; the exercise writes, a display may read.

    Attributes:
        sections: Step key -> the text that teaches it.
        audience: Told of each step.
        progress: Told of each step in a short line.
        saved: Called whenever something was measured, to keep it.
        repetition: Number of the repetition, from 0.
        variant: Key of what is being done; empty between.
        step_title: The step that goes on.
        clients: Side -> the client at its front door, while there is one.
        waits: When a person was waited for: from when, until when.
    """

    sections: Callable[[Mapping[str, Any]], Mapping[str, Section]]
    audience: Audience
    progress: Callable[[str], None]
    saved: Callable[[], None]
    repetition: int = 0
    variant: str = ""
    step_title: str = ""
    clients: dict[SideName, Client] = field(default_factory=dict[SideName, Client])
    waits: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    values: dict[str, Any] = field(default_factory=dict[str, Any])
    samples: list[Sample] = field(default_factory=list[Sample])
    findings: list[Finding] = field(default_factory=list[Finding])
    timelines: list[Timeline] = field(default_factory=list[Timeline])
    layers: list[StackLayer] = field(default_factory=list[StackLayer])
    answered: dict[SideName, int] = field(default_factory=dict[SideName, int])
    failed: dict[SideName, int] = field(default_factory=dict[SideName, int])

    @contextmanager
    def doing(self, variant: Variant) -> Iterator[None]:
        """Measurements meanwhile are of this variant."""
        self.variant = variant.key
        try:
            yield
        finally:
            self.variant = ""
            self.saved()

    @contextmanager
    def step(self, key: str, **values: Any) -> Iterator[list[str]]:
        """One step, taught by the section of that key; give the lines that say what it changed.

        Args:
            key: Of a section in the exercise's template.
            **values: What the section's text names, beside what all steps share.
        """
        section = self.sections(self.values | values)[key]
        with self._waiting():
            self.audience.before(section)
        self.step_title = section.title
        self.progress(" ".join(part for part in (self.variant, f"({section.title})") if part))
        for client in self.clients.values():
            client.mark(section.title)
        changes: list[str] = []
        try:
            yield changes
        finally:
            self.step_title = ""
            self.saved()
        with self._waiting():
            self.audience.after(section, changes)

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """A person may be waited for: meanwhile no client asks, and no time counts."""
        with ExitStack() as paused:
            for client in self.clients.values():
                paused.enter_context(client.paused())
            start = now()
            try:
                yield
            finally:
                self.waits.append((start, now()))

    def elapsed(self, start: float, end: float) -> float:
        """Seconds from a moment to another, without those in which a person was waited for."""
        waited = (min(end, until) - max(start, since) for since, until in self.waits)
        return end - start - sum(seconds for seconds in waited if seconds > 0)

    @contextmanager
    def client(self, side: SideName, port: int, path: str, *, kept: bool = True) -> Iterator[Client]:
        """A client that asks a front door at a steady rate.

        Args:
            side: Whose front door.
            port: Its loopback port.
            path: HTTP path to get.
            kept: Its requests become a timeline at the end.
        """
        with Client(port, path) as client:
            self.clients[side] = client
            client.await_good(1)
            try:
                yield client
            finally:
                del self.clients[side]
        self.answered[side] = self.answered.get(side, 0) + client.answered
        self.failed[side] = self.failed.get(side, 0) + client.failed
        if kept:
            self.keep(client)

    def keep(self, client: Client) -> None:
        """Keep the requests of a client that has ended, as a timeline."""
        self.timelines.append(self._timeline(client))

    def sample(self, figure: Figure, value: float, *, instance: str = "") -> None:
        """Keep a measurement, in the figure's unit."""
        self.samples.append(Sample(figure=figure.key, variant=self.variant, repetition=self.repetition,
                                   value=value, instance=instance))  # fmt: skip

    def finding(self, question: str, answer: str, verdict: Verdict) -> None:
        """Keep something that is no number."""
        self.findings.append(Finding(variant=self.variant, repetition=self.repetition, question=question,
                                     answer=answer, verdict=verdict))  # fmt: skip

    def stack(self, layers: Iterable[StackLayer]) -> None:
        """Keep what the variant's stack stands on, from the bottom up; it takes the place of one before."""
        others = [layer for layer in self.layers if layer.variant != self.variant]
        self.layers = [*others, *layers]

    def requests(self, side: SideName) -> tuple[int, int]:
        """Requests answered and failed so far at a side's front door."""
        client = self.clients.get(side)
        answered, failed = self.answered.get(side, 0), self.failed.get(side, 0)
        return (answered + client.answered, failed + client.failed) if client else (answered, failed)

    def _timeline(self, client: Client) -> Timeline:
        requests = sorted(client.requests, key=lambda request: request.sent)
        start = requests[0].sent
        return Timeline(
            variant=self.variant,
            repetition=self.repetition,
            rate_hz=client.rate_hz,
            at_s=[round(self.elapsed(start, request.sent), 4) for request in requests],
            latency_ms=[round((request.ended - request.sent) * 1000, 2) for request in requests],
            status=[request.status for request in requests],
            version=[request.version for request in requests],
            marks=[
                Mark(at_s=round(self.elapsed(start, max(start, at)), 3), text=text)
                for at, text in client.marks
            ],
            client_cpu_percent=round(client.cpu_percent, 2),
            client_worst_gap_ms=round(client.worst_gap_s * 1000, 2),
        )


def now() -> float:
    """Seconds on the clock of all measurements: monotonic, and the same in every process of this host."""
    return time.monotonic()
