"""What breaks, who notices, who repairs it, and how long that takes: faults of one instance, on both sides.

Each fault is done while a client asks the front door. Then the instance is watched: where its supervisor
brings it back, that is timed; where nobody does, what its stack and Pulumi know is noted, and what a person
would do is done and timed apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, ClassVar

from pairlab.errors import ExerciseError
from pairlab.exercise import Lab, Log
from pairlab.exercise import _recovery_figures as plan
from pairlab.exercise._client import GOOD, Client, Request
from pairlab.exercise._log import now
from pairlab.exercise._recovery_engine import try_engine
from pairlab.exercise._recovery_faults import (
    INDEX,
    SUPERVISOR_S,
    ContainerAlone,
    ContainerApp,
    ContainerFrozen,
    ContainerHung,
    ContainerKilled,
    Fault,
    VmApp,
    VmAppTold,
    VmFrozen,
    VmHung,
    VmKilled,
)
from pairlab.exercise._recovery_panic import VmPanic, VmPanicTold
from pairlab.model import SideName
from pairlab.results import HELD_S, Conclusion, RunResult

STEADY = 10
"""Good answers before and after, at least: half a second of calm at the client's rate."""
BACK_TIMEOUT_S = 240.0
FAULTS: tuple[type[Fault], ...] = (
    VmApp, VmAppTold, VmHung, VmKilled, VmFrozen, VmPanic, VmPanicTold,
    ContainerApp, ContainerHung, ContainerKilled, ContainerFrozen, ContainerAlone,
)  # fmt: skip


class LabExercise:
    """See `Exercise`."""

    title = "Faults, supervisors and repair"
    question = "When something ends or hangs: who notices, who brings it back, and what does it cost?"
    section = "Operational and lifecycle"
    repeat = 3
    is_long = True
    vms = 2
    replicas = 2
    example: ClassVar[Mapping[str, Any]] = {
        "lab": "dev",
        "unit": "nginx.service",
        "name": "vm/0",
        "engine": "dockerd",
        "vm_port": 8081,
        "container_port": 8082,
    }
    figures = plan.FIGURES
    variants = plan.VARIANTS
    summary = plan.SUMMARY

    def __init__(self, lab: Lab, log: Log) -> None:
        self._lab = lab
        self._log = log

    def prepare(self) -> str:
        """Have two instances a side, so that there is somebody else to answer."""
        lab = self._lab
        self._log.values |= {
            "lab": lab.name,
            "unit": lab.workload.unit,
            **{f"{side}_port": lab.port(side) for side in SideName},
        }
        declared = self._lab.declared.at_least(self.vms, self.replicas)
        if declared != self._lab.declared:
            with self._log.step("enough"):
                self._lab.declare(declared)
        return f"instance {INDEX} of each side, of {declared.vms} VMs and {declared.replicas} containers"

    def repetition(self, number: int) -> None:
        """Every fault once; the longest ones, and the ends of engines, the first time only."""
        for kind in FAULTS:
            if number and kind.variant in plan.ONCE:
                continue
            fault = kind(self._lab)
            with self._log.doing(fault.variant), fault.arranged(self._log):
                self._try(fault)
        if number == 0:
            for variant in plan.ENGINES:
                with self._log.doing(variant):
                    try_engine(self._lab, self._log, variant, STEADY)

    def conclude(self, result: RunResult) -> list[Conclusion]:
        """See `Exercise.conclude`."""
        return plan.conclude(result)

    def _try(self, fault: Fault) -> None:
        lab, log = self._lab, self._log
        before, side, seen, calm = fault.start(), fault.fleet.side, False, fault.fleet.calm(STEADY)
        with log.client(side, lab.port(side), lab.workload.health_path) as client:
            client.await_good(calm)
            with log.step(fault.variant.key) as changes:
                began = now()
                fault.strike()
                struck = now()
                alone = self._await_supervisor(fault, client, struck)
                repaired = now()
                changes.append(self._tell_who(fault, alone))
            if not alone:
                # What they know does not depend on chance: to ask once is enough.
                seen = not log.repetition and self._look(fault)
                repaired = self._repair(fault, client)
            client.await_good(calm)
        if seen:
            lab.drift()  # what Pulumi took note of is repaired: otherwise the next look would see that
        self._check(fault, before, alone)
        self._measure(fault, client.requests, began, repaired, alone)

    def _await_supervisor(self, fault: Fault, client: Client, struck: float) -> bool:
        """Whether anybody brings the instance back; who has begun to in time gets as long as it takes."""
        name = fault.fleet.name(INDEX)
        if client.saw_answer(name, since=struck, timeout_s=fault.watch_s):
            return True
        return fault.is_coming_back() and client.saw_answer(name, since=struck, timeout_s=SUPERVISOR_S)

    def _tell_who(self, fault: Fault, alone: bool) -> str:
        if alone:
            answer = (
                f"{fault.supervisor}, as it is told" if fault.supervisor else "somebody else than pairlab"
            )
        else:
            told = f"though {fault.supervisor} is told to" if fault.supervisor else "and nobody is told to"
            answer = f"nobody within {fault.watch_s:g} s, {told}"
        self._log.finding(plan.WHO, answer, "yes" if alone else "no")
        return f"{fault.fleet.name(INDEX)} is brought back by {answer}"

    def _look(self, fault: Fault) -> bool:
        """Who knows of an instance that nobody brings back? Returns whether Pulumi does."""
        with self._log.step("look", name=fault.fleet.name(INDEX)) as changes:
            said, knows = fault.stack_says()
            self._log.finding(plan.KNOWS, said, "yes" if knows else "no")
            seen = "; ".join(self._lab.drift())
            self._log.finding(plan.SEES, seen or "all is as it is declared", "yes" if seen else "no")
            changes += [said, f"Pulumi's refresh: {seen or 'all is as it is declared'}"]
        return bool(seen)

    def _repair(self, fault: Fault, client: Client) -> float:
        """Do what a person would; returns when that began."""
        name = fault.fleet.name(INDEX)
        with self._log.step("repair", name=name) as changes:
            began = now()
            fault.repair()
            back = client.await_answer(name, since=began, timeout_s=BACK_TIMEOUT_S)
            self._log.sample(plan.HAND, back.ended - began)
            changes.append(f"{name} answers {back.ended - began:.1f} s after somebody began to repair it")
        return began

    def _check(self, fault: Fault, before: str, alone: bool) -> None:
        """The sanity check: the fault really happened."""
        name = fault.fleet.name(INDEX)
        renewed = fault.start() != before
        if fault.renews and not renewed:
            raise ExerciseError(
                f"{fault.variant.title}: {name} still runs what ran before",
                hint="the figures would be of a fault that did not happen",
            )
        if not fault.renews and (alone or renewed):
            raise ExerciseError(
                f"{fault.variant.title}: {name} {'was started anew' if renewed else 'answered all the time'}",
                hint="the figures would be of another fault",
            )

    def _measure(
        self, fault: Fault, requests: list[Request], began: float, repaired: float, alone: bool
    ) -> None:
        log, timeline, name = self._log, self._log.timelines[-1], fault.fleet.name(INDEX)
        silent, back = silence(requests, name, began)
        if alone:
            log.sample(plan.OUT, back - silent)
        late = name if fault.renews else None  # who was started anew is there, though it may answer late
        bad = [r.sent for r in requests if _is_bad(r) and r.sent <= repaired and r.instance != late]
        log.sample(plan.NOTICED, max([0.0, *(log.elapsed(silent, sent) for sent in bad)]))
        log.sample(plan.FAILED, timeline.failed())
        log.sample(plan.HELD, timeline.held())
        log.sample(plan.GAP, timeline.longest_gap_s())


def _is_bad(request: Request) -> bool:
    return request.status != GOOD or request.ended - request.sent > HELD_S


def silence(requests: Iterable[Request], instance: str, since: float) -> tuple[float, float]:
    """The longest time without a good answer of an instance, that ends after a moment.

    Args:
        requests: What a client asked.
        instance: Whose answers.
        since: The moment, on the clock of the requests.

    Returns:
        The end of its last good answer before, and of its first one after.

    Raises:
        ExerciseError: It never answered before, or never after.
    """
    own = (request for request in requests if request.instance == instance and request.status == GOOD)
    ends = sorted(request.ended for request in own)
    silences = [(after - before, before, after) for before, after in pairwise(ends) if after > since]
    if not silences:
        raise ExerciseError(
            f"{instance} did not answer both before and after the fault", hint="see `invoke lab.status`"
        )
    _, before, after = max(silences)
    return before, after
