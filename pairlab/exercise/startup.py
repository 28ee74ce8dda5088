"""How long instances take to start: fresh ones, stopped ones and all at once, phase by phase.

Every start is timed from the request to the first good answer at the front door, then taken apart by what the
host knows of the instance's process and by the clocks inside the instance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from pairlab.exercise import Declaration, Lab, Log
from pairlab.exercise import _startup_figures as plan
from pairlab.exercise._client import Client
from pairlab.exercise._fleet import Fleet
from pairlab.exercise._log import now
from pairlab.exercise._start_course import follow, keep
from pairlab.model import Accelerator, SideName
from pairlab.results import Conclusion, RunResult

ANSWER_TIMEOUT_S = 180.0
STEADY = 4
STARTS, EMULATED_STARTS = 4, 1
"""Fresh starts in each repetition, and as many stopped ones: emulated VMs are slow."""
MARKER = "/var/tmp/pairlab-startup"


class LabExercise:
    """See `Exercise`."""

    title = "Startup time"
    question = "How long does it take from the request until an instance answers, and where does the time go?"
    section = "Startup time"
    repeat = 3
    is_long = True
    vms = 2
    replicas = 2
    example: ClassVar[Mapping[str, Any]] = {
        "lab": "dev",
        "side": "vm",
        "instance": "vm/0",
        "service": "pairlab-dev-web",
        "starts": STARTS,
        "emulated_starts": EMULATED_STARTS,
    }
    figures = plan.FIGURES
    variants = plan.VARIANTS
    summary = plan.SUMMARY

    def __init__(self, lab: Lab, log: Log) -> None:
        self._lab = lab
        self._log = log
        self._base = lab.declared

    def prepare(self) -> str:
        """Two instances a side at least: one alone cannot show what many at once cost."""
        lab, declared = self._lab, self._lab.declared
        self._log.values |= {
            "lab": lab.name,
            "service": f"pairlab-{lab.name}-{lab.workload.name}",
            "starts": STARTS,
            "emulated_starts": EMULATED_STARTS,
        }
        self._base = Declaration(max(declared.vms, self.vms), max(declared.replicas, self.replicas))
        if declared != self._base:
            lab.declare(self._base)
        return (
            f"{lab.workload.name}, images at hand, page cache as it is; {self._base.vms} VMs and"
            f" {self._base.replicas} containers at once"
        )

    def repetition(self, number: int) -> None:
        """Some fresh instances, some stopped ones, and all at once, on each side."""
        for start in range(max(map(self._starts, SideName))):
            for side in SideName:
                if start < self._starts(side):
                    self._start_fresh(Fleet(self._lab, side))
            with self._log.step("shrink"):
                self._lab.declare(self._base)
        for side in SideName:
            self._start_stopped(Fleet(self._lab, side), number)
            self._start_all(Fleet(self._lab, side))

    def conclude(self, result: RunResult) -> list[Conclusion]:
        """See `Exercise.conclude`."""
        return plan.conclude(result)

    def _starts(self, side: SideName) -> int:
        emulated = side is SideName.VM and self._lab.accelerator is Accelerator.TCG
        return EMULATED_STARTS if emulated else STARTS

    def _start_fresh(self, fleet: Fleet) -> None:
        lab, log, index = self._lab, self._log, len(fleet.indexes)
        grown = replace(
            lab.declared,
            vms=lab.declared.vms + (fleet.side is SideName.VM),
            replicas=lab.declared.replicas + (fleet.side is SideName.CONTAINER),
        )
        fleet.await_rest()
        with (
            log.doing(plan.COLD[fleet.side]),
            self._client(fleet) as client,
            log.step("fresh", side=fleet.side) as changes,
        ):
            client.await_without(fleet.name(index), fleet.calm(STEADY))  # the last one of that name is gone
            asked = now()
            outcome = lab.declare(grown)
            answered = self._answer(client, fleet, index, asked)
            course = follow(fleet, index, asked, answered, provider=asked + outcome.engine_s)
            changes.append(keep(log, course, fleet.name(index)))

    def _start_stopped(self, fleet: Fleet, number: int) -> None:
        """One instance after the other is stopped and started; the first of them shows whose disk it has."""
        cycles = self._starts(fleet.side)
        fleet.await_rest()
        with self._log.doing(plan.WARM[fleet.side]), self._client(fleet) as client:
            for cycle in range(cycles):
                index = fleet.indexes[(number * cycles + cycle) % len(fleet.indexes)]
                if cycle:
                    fleet.await_rest()
                with self._log.step("stopped", side=fleet.side, instance=fleet.name(index)) as changes:
                    if cycle == 0:
                        fleet.admin(index).run(["touch", MARKER])
                    changes += self._stop_and_start(client, fleet, [index])
                    if cycle == 0:
                        self._tell_disk(fleet, index)

    def _start_all(self, fleet: Fleet) -> None:
        fleet.await_rest()
        with (
            self._log.doing(plan.TOGETHER[fleet.side]),
            self._client(fleet) as client,
            self._log.step("all", side=fleet.side) as changes,
        ):
            changes += self._stop_and_start(client, fleet, fleet.indexes)

    def _stop_and_start(self, client: Client, fleet: Fleet, indexes: Sequence[int]) -> list[str]:
        """Stop some instances, see them started again, and keep what that took."""
        log, side = self._log, self._lab.sides[fleet.side]

        def stop(index: int) -> tuple[float, float]:
            begun = now()
            side.stop(index)
            return begun, now()

        def start(index: int) -> float:
            asked = now()
            side.start(index)
            return asked

        # To log in costs an emulated guest seconds, which are no part of stopping it.
        fleet.at_once(lambda index: fleet.admin(index).run(["true"]), indexes)
        stops = fleet.at_once(stop, indexes)
        # Where somebody supervises instances, an end is the request to start another.
        asked = [ended for _, ended in stops] if side.supervisor else fleet.at_once(start, indexes)
        answered = [self._answer(client, fleet, index, at) for index, at in zip(indexes, asked, strict=True)]
        changes = []
        for index, stopped, at, answer in zip(indexes, stops, asked, answered, strict=True):
            name = fleet.name(index)
            log.sample(plan.STOP, stopped[1] - stopped[0], instance=name)
            log.sample(plan.RESTART, answer - stopped[0], instance=name)
            changes.append(f"{name} stopped after {stopped[1] - stopped[0]:.2f} s")
            changes.append(keep(log, follow(fleet, index, at, answer), name))
        if len(indexes) > 1:
            log.sample(plan.ALL, max(answered) - min(asked))
        return changes

    def _tell_disk(self, fleet: Fleet, index: int) -> None:
        """Whether an instance that was started again has the disk that it had, and who started it."""
        supervisor = self._lab.sides[fleet.side].supervisor
        told = fleet.admin(index).run(["sh", "-c", 'rm "$1" 2>/dev/null && echo kept || true', "sh", MARKER])
        kept = told.stdout.strip() == "kept"
        self._log.finding(
            plan.SAME_DISK,
            "yes: what was written is still there" if kept else "no: it begins with its image again",
            "fact",
        )
        question = plan.STAYS_STOPPED
        if supervisor:
            self._log.finding(
                question, f"{supervisor} starts another in its place: fewer must be declared", "cannot"
            )
        else:
            self._log.finding(question, "yes: nobody else starts it", "yes")

    def _client(self, fleet: Fleet) -> Any:
        return self._log.client(fleet.side, self._lab.port(fleet.side), self._lab.workload.health_path)

    def _answer(self, client: Client, fleet: Fleet, index: int, since: float) -> float:
        found = client.await_answer(fleet.name(index), since=since, timeout_s=ANSWER_TIMEOUT_S)
        return found.ended
