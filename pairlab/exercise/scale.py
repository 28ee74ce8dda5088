"""From few instances to many and back, under load; what spares cost while idle, and what they are good for.

On each side: a short spike of requests on few instances; then more are declared while a client asks the front
door; then they stand idle; then the same spike on many; then few are declared again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from statistics import quantiles
from typing import Any, ClassVar

from pairlab.errors import ExerciseError
from pairlab.exercise import Declaration, Lab, Log
from pairlab.exercise import _scale_figures as plan
from pairlab.exercise._client import Client
from pairlab.exercise._fleet import POLL_S, Fleet
from pairlab.exercise._log import now
from pairlab.exercise._scale_figures import FEW, MANY
from pairlab.exercise._spike import FEWEST, spike
from pairlab.host.space import free_memory_bytes
from pairlab.model import Instance, SideName
from pairlab.results import Conclusion, Figure, RunResult, Timeline, Variant
from pairlab.side import Side

STEADY = 10
"""Good answers before and after a change: half a second of calm at the client's rate."""
READY_TIMEOUT_S = 60.0
GONE_TIMEOUT_S = 60.0
IDLE_S = 4.0


class LabExercise:
    """See `Exercise`."""

    title = "Growing, shrinking and spikes"
    question = (
        "How soon do more instances help, what do they cost while they idle, and how soon are they gone?"
    )
    section = "Scaling and elasticity"
    repeat = 3
    is_long = True
    vms = FEW
    replicas = FEW
    example: ClassVar[Mapping[str, Any]] = {
        "lab": "dev", "side": "vm", "setting": "vms", "count": FEW, "few": FEW, "many": MANY,
        "port": 8081,
    }  # fmt: skip
    figures = plan.FIGURES
    variants = plan.VARIANTS
    summary = plan.SUMMARY

    def __init__(self, lab: Lab, log: Log) -> None:
        self._lab = lab
        self._log = log

    def prepare(self) -> str:
        """Begin with few instances on each side."""
        self._log.values |= {"lab": self._lab.name, "few": FEW, "many": MANY}
        with self._log.step("few"):
            self._lab.declare(Declaration(FEW, FEW))
        return f"{FEW} to {MANY} instances and back, one side after the other"

    def repetition(self, number: int) -> None:
        """Both sides, one after the other."""
        for side, own in plan.OF_SIDE.items():
            fleet = Fleet(self._lab, side)
            self._spike(fleet, own.spike_few)
            known = set(self._lab.sides[side].leftovers())
            self._grow(fleet, own.out)
            self._spike(fleet, own.spike_many)
            self._shrink(fleet, own.back, known)

    def conclude(self, result: RunResult) -> list[Conclusion]:
        """See `Exercise.conclude`."""
        return plan.conclude(result)

    def _grow(self, fleet: Fleet, variant: Variant) -> None:
        log, side = self._log, self._lab.sides[fleet.side]
        new = [fleet.name(index) for index in range(FEW, MANY)]
        free_bytes = _free_bytes(side)
        with log.doing(variant):
            with self._loaded(fleet) as client, log.step("grow", **_words(fleet)) as changes:
                start = now()
                outcome = self._lab.declare(_declared(self._lab.declared, fleet.side, MANY), commands=False)
                answers = {
                    name: client.await_answer(name, since=start, timeout_s=READY_TIMEOUT_S) for name in new
                }
                took = sorted((answer.ended - start, name) for name, answer in answers.items())
                log.sample(plan.FIRST, took[0][0])
                log.sample(plan.LAST, took[-1][0])
                log.sample(plan.ENGINE, outcome.engine_s)
                changes += [f"{name} answers after {seconds:.1f} s" for seconds, name in took]
            with log.step("idle", **_words(fleet)) as changes:
                changes += self._idle(fleet)
                self._host_memory(plan.HOST_TAKEN, free_bytes, _free_bytes(side), less=True)

    def _idle(self, fleet: Fleet) -> list[str]:
        """What the new instances cost while nobody asks."""
        log, side, told = self._log, self._lab.sides[fleet.side], list[str]()
        fleet.await_rest()
        before, start = _spares(side.instances()), now()
        time.sleep(IDLE_S)  # the time over which it is measured: nothing is awaited
        after, took_s = _spares(side.instances()), now() - start
        for name, instance in after.items():
            log.sample(plan.SPARE_DISK, side.written_bytes(instance.index), instance=name)
            if instance.memory_bytes is not None:
                log.sample(plan.SPARE_MEMORY, instance.memory_bytes, instance=name)
                told.append(f"{name} holds {instance.memory_bytes / 1024**2:.0f} MiB and serves nobody")
            if instance.cpu_s is not None and (earlier := before[name].cpu_s) is not None:
                log.sample(plan.SPARE_CPU, 100 * (instance.cpu_s - earlier) / took_s, instance=name)
        return told

    def _shrink(self, fleet: Fleet, variant: Variant, known: set[str]) -> None:
        log, side = self._log, self._lab.sides[fleet.side]
        free_bytes = _free_bytes(side)
        with log.doing(variant):
            with self._loaded(fleet) as client, log.step("shrink", **_words(fleet)) as changes:
                start = now()
                self._lab.declare(_declared(self._lab.declared, fleet.side, FEW), commands=False)
                gone_s = self._await_gone(fleet, known) - start
                log.sample(plan.GONE, gone_s)
                changes.append(f"nothing is left of the spares after {gone_s:.1f} s")
                since = now()
                client.await_good(STEADY)
                late = {r.instance for r in client.requests if r.sent >= since} - set(fleet.names) - {""}
                if late:
                    raise ExerciseError(
                        f"{', '.join(sorted(late))} still answered when it was gone",
                        hint="they are still there: `invoke lab.status` shows them",
                    )
            self._host_memory(plan.HOST_BACK, free_bytes, _free_bytes(side), less=False)

    def _await_gone(self, fleet: Fleet, known: set[str]) -> float:
        """Wait until the lab has no more on the host than it had before it grew; returns when that was so."""
        deadline = now() + GONE_TIMEOUT_S
        while left := set(self._lab.sides[fleet.side].leftovers()) - known:
            if now() > deadline:
                raise ExerciseError(
                    f"not given back within {GONE_TIMEOUT_S:g} s: {', '.join(sorted(left))}",
                    hint="`invoke lab.up` declares anew what the lab is to be",
                )
            time.sleep(POLL_S / 2)
        return now()

    def _host_memory(self, figure: Figure, before: int | None, after: int | None, *, less: bool) -> None:
        if before is not None and after is not None:
            changed = before - after if less else after - before
            self._log.sample(figure, changed / (MANY - FEW))

    def _spike(self, fleet: Fleet, variant: Variant) -> None:
        log = self._log
        with log.doing(variant):
            words = _words(fleet) | {"count": len(fleet.indexes), "port": self._lab.port(fleet.side)}
            with self._loaded(fleet, sampled=False) as client, log.step("spike", **words) as changes:
                found = spike(client)
                changes.append(f"latencies are normal again {found.normal_s:.1f} s after the spike")
            log.keep(found.client)
            self._losses(log.timelines[-2:])
            for figures, latencies in (
                (plan.BEFORE, found.before),
                (plan.DURING, found.during),
                (plan.AFTER, found.after),
            ):
                if len(latencies) < FEWEST:
                    continue  # nearly all failed, which is told apart
                hundredths = quantiles(latencies, n=100, method="inclusive")
                log.sample(figures[0], 1000 * hundredths[49])
                log.sample(figures[1], 1000 * hundredths[98])
            log.sample(plan.NORMAL, found.normal_s)

    @contextmanager
    def _loaded(self, fleet: Fleet, *, sampled: bool = True) -> Iterator[Client]:
        """The steady client, with a second of calm before and after."""
        log = self._log
        with log.client(fleet.side, self._lab.port(fleet.side), self._lab.workload.health_path) as client:
            client.await_good(STEADY)
            yield client
            client.await_good(STEADY)
        if sampled:
            self._losses(log.timelines[-1:])

    def _losses(self, timelines: Sequence[Timeline]) -> None:
        """What users of all these clients suffered, and the first one's longest wait."""
        log = self._log
        log.sample(plan.FAILED, sum(timeline.failed() for timeline in timelines))
        log.sample(plan.HELD, sum(timeline.held() for timeline in timelines))
        log.sample(plan.GAP, timelines[0].longest_gap_s())


def _declared(declared: Declaration, side: SideName, count: int) -> Declaration:
    return replace(declared, vms=count) if side is SideName.VM else replace(declared, replicas=count)


def _words(fleet: Fleet) -> dict[str, Any]:
    """What the text of a step names."""
    return {"side": fleet.side, "setting": "vms" if fleet.side is SideName.VM else "replicas"}


def _spares(instances: Sequence[Instance]) -> dict[str, Instance]:
    """Those of the front tier that were not there before."""
    return {each.name: each for each in instances if not each.tier and each.index >= FEW}


def _free_bytes(side: Side) -> int | None:
    """Memory that the instances' host could still give; None where that is not this one."""
    return free_memory_bytes() if side.is_local else None
