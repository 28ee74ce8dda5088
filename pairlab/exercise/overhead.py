"""What virtualisation costs a running program: the same files run on this host, in a container and in a VM.

Every measurement is taken in all places one after the other before the next one, so that whatever else this
host does, or its own host takes from it, falls on all of them alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar

from pairlab.errors import ExerciseError, SideError
from pairlab.exercise import Declaration, Lab, Log
from pairlab.exercise import _overhead_figures as plan
from pairlab.exercise import _overhead_tasks as tasks
from pairlab.exercise._fleet import Fleet
from pairlab.exercise._overhead_facts import (
    cpu_limit,
    last_cache,
    processor,
    storage,
    system_call_filter,
)
from pairlab.exercise._overhead_place import Place, Ran, check_same, unpack, unpacked_here, usable_cpus
from pairlab.exercise._stack_inside import boot_id
from pairlab.model import SideName, Tools
from pairlab.results import Conclusion, Figure, RunResult, Variant, Verdict
from pairlab.run import Runner

MEMORY_MIB, MIB_A_CPU = 512, 32
"""Of each instance: enough for a system and its programs, and for each CPU the arrays of STREAM."""
MOST_CPUS = 64
"""The most that a lab's settings give an instance."""


class LabExercise:
    """See `Exercise`."""

    title = "Performance overhead"
    question = "How much of its host's speed has a program in a container, and in a VM?"
    section = "Performance overhead; HPC"
    repeat = 3
    is_long = True
    vms = 1
    replicas = 1
    example: ClassVar[Mapping[str, Any]] = {"lab": "dev", "accelerator": "tcg", "cores": 2}
    figures = plan.FIGURES
    variants: Sequence[Variant] = plan.VARIANTS
    summary = plan.SUMMARY

    def __init__(self, lab: Lab, log: Log) -> None:
        self._lab = lab
        self._log = log
        self._inside: dict[SideName, Place] = {}
        self._cores, self._direct = 0, False
        self._disturbed: dict[str, dict[Figure, str]] = {}
        self.variants = plan.variants(lab.accelerator)

    def prepare(self) -> str:
        """One instance a side with all CPUs of this host, and the programs in it."""
        lab, log, hosts = self._lab, self._log, self._hosts()
        self._host = next(iter(hosts.values()))
        cpus = usable_cpus(self._host)[:MOST_CPUS]
        log.values |= {"lab": lab.name, "accelerator": str(lab.accelerator), "cores": len(cpus)}
        self._tools: Tools = lab.tools()
        with log.step("declare"):
            count, memory_mib = len(cpus), MEMORY_MIB + MIB_A_CPU * len(cpus)
            lab.declare(Declaration(1, 1, fresh_vms=1, fresh_containers=1, cpus=count, memory_mib=memory_mib))
            for side in hosts:
                Fleet(lab, side).await_rest()
        with log.step("bring") as changes, self._here() as host:
            self._inside = {side: self._enter(side) for side in hosts}
            changes += self._compare(host)
        self._cores = min(len(cpus), *(len(place.cpus) for place in self._inside.values()))
        packages = self._tools.packages
        named = ", ".join(f"{name} {packages[name]}" for name in ("openssl", "stress-ng", "sysbench"))
        return f"{named}: the same files in every place; on one CPU, and on {self._cores}"

    def repetition(self, number: int) -> None:
        """Every task in every place, one place after the other."""
        self._disturbed = {}
        with self._here() as host:
            places = [host, *self._inside.values()]
            with self._log.step("compute") as changes:
                changes += self._measure(tasks.COMPUTE, places)
            with self._log.step("kernel") as changes:
                changes += self._measure(tasks.KERNEL, places)
            with self._log.step("cores") as changes:
                changes += self._measure(tasks.CORES, places)
            with self._log.step("disk") as changes:
                for place in places:
                    place.do(tasks.file_task("prepare", direct=self._direct))
                changes += self._measure(tasks.disk_tasks(direct=self._direct), places)
                for place in places:
                    place.do(tasks.file_task("cleanup", direct=self._direct))
        for place in places:
            self._tell(place, plan.QUIET, *self._quiet(place.variant))

    def conclude(self, result: RunResult) -> list[Conclusion]:
        """See `Exercise.conclude`."""
        return list(plan.conclude(result))

    # Places

    def _hosts(self) -> dict[SideName, Runner]:
        """The sides whose instances run on this host: others cannot be compared with it."""
        found = dict[SideName, Runner]()
        for side, variant in plan.PLACES.items():
            try:
                found[side] = self._lab.sides[side].host()
            except SideError as error:
                with self._log.doing(variant):
                    self._log.finding(plan.SAME, f"{error.message}: {error.hint}", "cannot")
        if not found:
            raise ExerciseError(
                "no instance of this lab runs on this host, so there is nothing to compare it with",
                hint="run pairlab on the machine of the daemons",
            )
        return found

    @contextmanager
    def _here(self) -> Iterator[Place]:
        """This host, with the programs unpacked meanwhile."""
        with unpacked_here(self._host, self._tools) as folder:
            yield Place(plan.HOST, self._host, folder, usable_cpus(self._host), self._host)

    def _enter(self, side: SideName) -> Place:
        """An instance, with the programs brought into it; they go when the lab is put back, with it."""
        fleet, variant = Fleet(self._lab, side), plan.PLACES[side]
        runner, is_vm = fleet.usual(0), side is SideName.VM
        if (boot_id(runner) != boot_id(self._host)) != is_vm:
            wrong = "runs on the kernel of this host" if is_vm else "has a kernel of its own"
            raise ExerciseError(
                f"{fleet.name(0)} {wrong}",
                hint="`invoke lab.status` shows the instances; `invoke lab.up` puts them right",
            )
        folder = unpack(runner, self._tools)
        spent_s = partial(self._spent_s, fleet) if is_vm else None
        return Place(variant, runner, folder, usable_cpus(runner), self._host, spent_s)

    def _spent_s(self, fleet: Fleet) -> float:
        """CPU seconds of this host that the first instance of a side has used."""
        instances = self._lab.sides[fleet.side].instances()
        return sum(each.cpu_s or 0.0 for each in instances if each.name == fleet.name(0))

    def _compare(self, host: Place) -> list[str]:
        """Look at what all places have alike, and at what differs besides their speed."""
        places = [host, *self._inside.values()]
        digests = check_same(places)
        self._direct = all(place.can_bypass_cache() for place in places)
        self._tell(host, plan.CACHE, last_cache(self._host), "fact")
        for place in places:
            self._tell(place, plan.SAME, f"SHA-256 of their digests: {digests[place.variant.title]}", "yes")
            self._tell(place, plan.CPUS, *cpu_limit(place, len(host.cpus[:MOST_CPUS])))
            self._tell(place, plan.PROCESSOR, processor(place.runner, self._host), "fact")
            self._tell(place, plan.FILTER, system_call_filter(place.runner), "fact")
            self._tell(place, plan.STORAGE, storage(place, self._lab.sides, direct=self._direct), "fact")
        return [f"{name}: {value}" for name, value in digests.items()]

    # Measuring

    def _measure(self, group: Sequence[tasks.Task], places: Sequence[Place]) -> list[str]:
        """Do each task in all places before the next; returns a line for each."""
        lines = []
        for task in group:
            values = {place.variant.key: self._once(task, place).value for place in places}
            shares = {key: 100 * value / values[plan.HOST.key] for key, value in values.items()}
            for place in places[1:]:
                with self._log.doing(place.variant):
                    self._log.sample(plan.SHARES[task.figure.key], shares[place.variant.key])
            shown = ", ".join(f"{place.variant.title} {shares[place.variant.key]:.3g} %" for place in places)
            lines.append(f"{task.figure.title}: {shown}")
        return lines

    def _once(self, task: tasks.Task, place: Place) -> Ran:
        ran = place.measure(task, self._cores)
        with self._log.doing(place.variant):
            self._log.sample(task.figure, ran.value)
            self._log.sample(plan.OTHERS, ran.others_percent)
            self._log.sample(plan.STOLEN, ran.stolen_percent)
            if ran.stolen_inside_percent is not None:
                self._log.sample(plan.STOLEN_INSIDE, ran.stolen_inside_percent)
        if ran.others_percent > plan.BUSY_PERCENT or ran.stolen_percent > plan.STOLEN_PERCENT:
            told = f"{task.figure.title} ({ran.others_percent:.0f} % used, {ran.stolen_percent:.1f} % taken)"
            self._disturbed.setdefault(place.variant.key, {})[task.figure] = told
        return ran

    def _quiet(self, variant: Variant) -> tuple[str, Verdict]:
        """Whether anything else used this host's CPUs in this repetition."""
        limits = f"{plan.BUSY_PERCENT:g} % of its CPU time used by others or {plan.STOLEN_PERCENT:g} % taken"
        runs = self._disturbed.get(variant.key)
        if not runs:
            return f"never {limits}", "yes"
        told = [*runs.values(), *([plan.KERNEL_WORKS] if runs.keys() & {*plan.DISK} else [])]
        return f"more than {limits} during: {'; '.join(told)}", "no"

    def _tell(self, place: Place, question: str, answer: str, verdict: Verdict) -> None:
        with self._log.doing(place.variant):
            self._log.finding(question, answer, verdict)
