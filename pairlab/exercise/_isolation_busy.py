"""A busy neighbour: how others answer while one instance burns all the CPU that it can get."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from statistics import quantiles
from typing import TYPE_CHECKING

from pairlab.errors import ExerciseError, SideError
from pairlab.exercise import _isolation_attacked as plan
from pairlab.exercise._client import GOOD, Client, Request
from pairlab.exercise._isolation_bounded import BURN, Attack, Target, perl
from pairlab.exercise._isolation_place import Tried
from pairlab.exercise._log import now

if TYPE_CHECKING:
    from pairlab.exercise import Lab, Log

LIFE_S = len(plan.BUSY) * plan.WINDOW_S + 5.0
"""How long the burning may last; setting limits takes a part of it."""
AT_LEAST = 0.5
"""Share of the CPUs that it may use which the busy one must get, for the attack to have happened."""
AT_MOST = 1.5
"""Times its limit that it may seem to use: the host's account of it is a little late."""
OWN_SHARE = 0.1
"""CPUs that an instance uses beside what is limited: its machine's own threads, under a VM."""
Span = tuple[float, float]


class Neighbour:
    """One target that is busy, and a client that asks its side's front door meanwhile.

    Args:
        lab: The lab.
        log: Takes what is measured.
        target: Who is busy.
    """

    def __init__(self, lab: Lab, log: Log, target: Target) -> None:
        self._lab, self._log, self._target = lab, log, target
        self._spans: dict[str, Span] = {}
        self._cpus = int(target.side.host().run(["nproc"]).stdout)

    def attack(self) -> Iterator[str]:
        """All conditions one after the other, while it burns; tells each in a line."""
        side = self._target.fleet.side
        client = Client(self._lab.port(side), self._lab.workload.health_path, plan.RATE_HZ)
        findings: list[str] = []
        with client:
            client.await_good(1)
            self._watch(client, "calm")
            burn = perl(BURN, self._cpus, LIFE_S)
            with Attack(self._target.usual, burn, LIFE_S + 2) as attack:
                group = attack.first_line()
                self._burned(client, attack, "declared", None)
                for key, question, cpus in (
                    ("raised", plan.BUSY_RAISE, float(self._cpus)),
                    ("limited", plan.BUSY_LIMIT, plan.LIMIT_CPUS),
                ):
                    findings.append(self._held(client, attack, key, question, cpus))
                attack.end_group(group)
            client.await_good(1)
        self._log.keep(client)
        self._log.sample(plan.BUSY_FAILED, client.failed)
        yield from findings
        yield from self._tell(client.requests)

    def _held(self, client: Client, attack: Attack, key: str, question: str, cpus: float) -> str:
        """One condition, by another limit than is declared."""
        with ExitStack() as stack:
            try:
                stack.enter_context(self._target.side.limited(0, cpus=cpus))
            except SideError as error:
                tried = Tried(f"asked for {cpus:g} CPUs", error.message, "cannot")
            else:
                burned = self._burned(client, attack, key, cpus)
                tried = Tried(
                    f"asked for {cpus:g} CPUs",
                    f"it burned {burned:.2f} of them",
                    "yes" if key == "limited" else "fact",
                    "this host's kernel (a control group)" if key == "limited" else "",
                )
        self._log.finding(question, tried.answer, tried.verdict)
        return f"{question} {tried.verdict}: {tried.answer}"

    def _burned(self, client: Client, attack: Attack, key: str, cpus: float | None) -> float:
        """CPUs that it used over a window.

        Raises:
            ExerciseError: It was not busy all the time, or its limit was not in force.
        """
        before, start = self._cpu_s(), now()
        self._watch(client, key)
        burned = (self._cpu_s() - before) / (now() - start)
        name, expected = self._target.name, plan.LIMIT_CPUS if key == "limited" else 1.0
        if not attack.goes_on:
            raise ExerciseError(
                f"{name} ended its burning, {LIFE_S:g} s at most, before all was seen {plan.CONDITIONS[key]}",
                hint="this host was slow to look: is something else at work on it?",
            )
        if burned < AT_LEAST * min(expected, self._cpus):
            raise ExerciseError(
                f"{name} was to be busy, and used {burned:.2f} CPUs {plan.CONDITIONS[key]}",
                hint="is something else at work on this host? `invoke lab.status` shows the lab",
            )
        if cpus is not None and burned > AT_MOST * cpus + OWN_SHARE:
            raise ExerciseError(
                f"{name} was limited to {cpus:g} CPUs, and used {burned:.2f}",
                hint="`invoke lab.doctor` looks at the engine",
            )
        self._log.sample(plan.BURNED[key], burned)
        return burned

    def _cpu_s(self) -> float:
        return self._target.found().cpu_s or 0.0

    def _watch(self, client: Client, key: str) -> None:
        client.mark(plan.CONDITIONS[key])
        start = now()
        client.await_ended(len(client.requests) + int(plan.RATE_HZ * plan.WINDOW_S))
        self._spans[key] = (start, now())

    def _tell(self, requests: Iterable[Request]) -> Iterator[str]:
        """Take the samples of all windows; only now have all of their requests ended."""
        asked = list(requests)
        for key, (start, end) in self._spans.items():
            took = [
                1000 * (each.ended - each.sent)
                for each in asked
                if start <= each.sent <= end and each.status == GOOD and each.instance != self._target.name
            ]
            if len(took) < 2:
                raise ExerciseError(
                    f"nobody but {self._target.name} answered {plan.CONDITIONS[key]}",
                    hint="there must be others: give the lab two instances a side",
                )
            hundredths = quantiles(took, n=100, method="inclusive")
            self._log.sample(plan.P50[key], hundredths[49])
            self._log.sample(plan.P99[key], hundredths[98])
            yield (
                f"others {plan.CONDITIONS[key]}: median {hundredths[49]:.1f} ms,"
                f" 99th percentile {hundredths[98]:.1f} ms"
            )
