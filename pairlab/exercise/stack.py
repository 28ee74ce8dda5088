"""Both stacks, read live, layer by layer: what each layer costs, and who shares it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, ClassVar

from pairlab.errors import ExerciseError
from pairlab.exercise import Lab, Log, _inside, _stack_inside
from pairlab.exercise import _stack_figures as plan
from pairlab.exercise._conclude import scale
from pairlab.exercise._fleet import Fleet
from pairlab.exercise._stack_drawing import Drawn, draw
from pairlab.exercise._stack_inside import Crew, Process
from pairlab.model import Layer, SideName
from pairlab.results import SCOPES, Conclusion, Figure, RunResult, StackLayer, Variant

STEPS = {"vm": ("vm-outside", "vm-inside"), "container": ("container-outside", "container-inside")}
"""Variant -> the steps that look at it from outside and from inside."""


class LabExercise:
    """See `Exercise`."""

    title = "What a VM stands on, and what a container stands on"
    question = "Which layers lie between this host and the workload, what does each cost, and who shares it?"
    section = "Conceptual differences; architecture comparison"
    repeat = 3
    is_long = False
    vms = 1
    replicas = 1
    example: ClassVar[Mapping[str, Any]] = {"lab": "dev"}
    figures = plan.FIGURES
    variants = plan.VARIANTS
    summary = plan.SUMMARY

    def __init__(self, lab: Lab, log: Log) -> None:
        self._lab = lab
        self._log = log

    def prepare(self) -> str:
        """Nothing but a look: is there an instance on each side?"""
        self._log.values |= {"lab": self._lab.name}
        for name in SideName:
            if not self._lab.declared.count(name):
                raise ExerciseError(
                    f"the lab has no instance on its {name} side",
                    hint="bring it up with one at least: `invoke lab.up --vms 1 --replicas 1`",
                )
        counts = (f"{self._lab.declared.count(v.side)} {v.title}" for v in self.variants if v.side)
        return f"{' and '.join(counts)} of the workload {self._lab.workload.name}."

    def repetition(self, number: int) -> None:
        """Read both stacks, then draw them."""
        for variant in self.variants:
            with self._log.doing(variant):
                self._read(variant)
        with self._log.step("compare") as changes:
            stacks = {v: [self._drawn(each) for each in self._log.layers if each.variant == v.key]
                      for v in self.variants}  # fmt: skip
            counts = {v: self._lab.declared.count(v.side) for v in self.variants if v.side}
            changes += draw(stacks, counts)

    def conclude(self, result: RunResult) -> list[Conclusion]:
        """See `Exercise.conclude`."""
        return plan.conclude(result)

    def _read(self, variant: Variant) -> None:
        assert variant.side is not None
        fleet, log = Fleet(self._lab, variant.side), self._log
        outside, inside = list[list[Layer]](), list[list[Layer]]()
        outside_step, inside_step = STEPS[variant.key]
        with log.step(outside_step) as changes:
            for index in fleet.indexes:
                outside.append(self._lab.sides[fleet.side].layers(index))
            changes += [_told(layer) for layer in outside[0]]
        with log.step(inside_step) as changes:
            shared = self._compare_kernels(fleet)
            for index in fleet.indexes:
                inside.append(self._look_inside(fleet, index, shared))
            changes += [_told(layer) for layer in inside[0]]
            self._look_at_first(fleet, shared)
        for index in fleet.indexes:
            found = {layer.part: layer for layer in (*outside[index], *inside[index])}
            self._check(found, fleet.name(index))
            self._measure(found, fleet.name(index), first=not index)
        first = {layer.part: layer for layer in (*outside[0], *inside[0])}
        stack = [first[part] for part in plan.PARTS]
        for layer in stack:
            log.finding(plan.whose(layer.part), _scoped(layer), "fact")
        log.stack(_record(layer, variant) for layer in stack)

    def _compare_kernels(self, fleet: Fleet) -> bool:
        """Whether the instances run on this host's kernel.

        Raises:
            ExerciseError: Some do and some do not.
        """
        host = self._lab.sides[fleet.side].host()
        own = {fleet.name(index): _stack_inside.boot_id(fleet.usual(index)) for index in fleet.indexes}
        hosts = _stack_inside.boot_id(host)
        release = _stack_inside.release(fleet.usual(0))
        told = ", ".join(f"{name} {boot_id}" for name, boot_id in own.items())
        shared = set(own.values()) == {hosts}
        if hosts in own.values() and not shared:
            raise ExerciseError(
                f"only some instances of the {fleet.side} side run on this host's kernel: {told}",
                hint="they are not of one kind; `invoke lab.up` makes them anew",
            )
        answer = f"{release}; this host {_stack_inside.release(host)}. Boot ids: {told}; this host {hosts}"
        self._log.finding(plan.OWN_KERNEL, answer, "no" if shared else "yes")
        return shared

    def _look_inside(self, fleet: Fleet, index: int, shared: bool) -> list[Layer]:
        usual, name = fleet.usual(index), fleet.name(index)
        crew = _stack_inside.crew(fleet.tracer(index), self._lab.workload.command)
        release = _stack_inside.release(usual)
        kernel = Layer("kernel", f"none: it runs on this host's, {release}", "none")
        if not shared:
            kernel_bytes, cache_bytes = _stack_inside.kernel_memory(fleet.admin(index))
            if not self._log.repetition:
                self._log.sample(plan.CACHE, cache_bytes, instance=name)
            threads = len(crew.kernel)
            kernel = Layer("kernel", release, "instance", memory_bytes=kernel_bytes, processes=threads)
        self._log.sample(plan.PACKAGES, len(_inside.manifest(usual)), instance=name)
        return [kernel, *_crew_layers(crew)]

    def _look_at_first(self, fleet: Fleet, shared: bool) -> None:
        """What is no number, and the same in all instances."""
        usual = fleet.usual(0)
        self._log.finding(plan.ROOT, _stack_inside.root_file_system(usual), "fact")
        if not shared:
            return
        own = _stack_inside.namespaces(usual)
        hosts = _stack_inside.namespaces(self._lab.sides[fleet.side].host())
        kinds = [sorted({each.partition(":")[0] for each in found}) for found in (own - hosts, own & hosts)]
        if not kinds[0]:
            raise ExerciseError(
                f"{fleet.name(0)} has the host's kernel and all its namespaces: nothing parts them",
                hint="what was looked into is not an instance; `invoke lab.status` shows what there is",
            )
        answer = f"{', '.join(kinds[0])}; it shares with the host: {', '.join(kinds[1]) or 'none'}"
        self._log.finding(plan.NAMESPACES, answer, "fact")

    def _check(self, found: Mapping[str, Layer], name: str) -> None:
        """The sanity check, apart from the figures: the layers are all there, and fit into each other."""
        if missing := plan.PARTS.keys() - found.keys():
            raise ExerciseError(
                f"nothing was found of {', '.join(sorted(missing))} at {name}", hint="see `invoke lab.doctor`"
            )
        if not found["engine"].processes:
            raise ExerciseError(
                f"{name} runs, but no process of its engine was found", hint="see `invoke lab.doctor`"
            )
        holds, parts = found["boundary"].memory_bytes, [found[part].memory_bytes or 0 for part in plan.INSIDE]
        if holds is not None and max(parts) > holds:
            raise ExerciseError(
                f"{name} seems to hold more inside than its boundary does: {max(parts)} of {holds} bytes",
                hint="the figures cannot be of the same instance; run it again",
            )

    def _measure(self, found: Mapping[str, Layer], name: str, *, first: bool) -> None:
        # What an instance holds grows by each look; what all share is there once in each repetition.
        is_weighed = not self._log.repetition
        for part, figures in plan.LAYER_FIGURES.items():
            layer = found[part]
            for figure in figures:
                value, is_own = _cost(layer, figure), layer.scope == "instance"
                wanted = (is_weighed or figure.unit != "B") if is_own else first
                if value is not None and wanted:
                    self._log.sample(figure, value, instance=name if is_own else "")
        outer = [found[part].memory_bytes for part in ("runner", "boundary")]
        if is_weighed and None not in outer:
            self._log.sample(plan.INSTANCE_MEMORY, sum(each or 0 for each in outer), instance=name)
        processes = sum(found[part].processes or 0 for part in ("runner", "init", "services", "app"))
        self._log.sample(plan.INSTANCE_PROCESSES, processes, instance=name)
        if is_weighed and (own_bytes := found["own-disk"].disk_bytes) is not None:
            self._log.sample(plan.INSTANCE_DISK, own_bytes, instance=name)

    def _drawn(self, layer: StackLayer) -> Drawn:
        titles = {figure.key: figure for figure in self.figures}
        words = []
        for key in layer.costs:
            values = [s.value for s in self._log.samples if (s.figure, s.variant) == (key, layer.variant)]
            if values:
                words.append(f"{titles[key].title.split(': ')[-1]} {_amount(titles[key], median(values))}")
        return Drawn(layer, ", ".join(words))


def _crew_layers(crew: Crew) -> list[Layer]:
    init = _of_processes("init", crew.init)
    if not crew.init:
        init = Layer("init", "none: the workload itself is process 1", "none")
    services = _of_processes("services", crew.services)
    if not crew.services:
        services = Layer("services", "none: nothing runs beside the workload", "none")
    return [init, services, _of_processes("app", crew.app)]


def _of_processes(part: str, processes: Sequence[Process]) -> Layer:
    names = sorted({process.name for process in processes})
    memory = sum(process.anonymous_bytes for process in processes)
    return Layer(part, ", ".join(names), "instance", memory_bytes=memory, processes=len(processes))


def _cost(layer: Layer, figure: Figure) -> int | None:
    kind = figure.key.partition("-")[0]
    costs = {
        "disk": layer.disk_bytes,
        "memory": layer.memory_bytes,
        "processes": layer.processes,
        "objects": layer.objects,
    }
    return costs[kind]


def _record(layer: Layer, variant: Variant) -> StackLayer:
    costs = [figure.key for figure in plan.LAYER_FIGURES[layer.part] if _cost(layer, figure) is not None]
    return StackLayer(
        variant=variant.key,
        name=plan.PARTS[layer.part],
        found=layer.found,
        scope=layer.scope,
        costs=costs,
    )


def _scoped(layer: Layer) -> str:
    return layer.found if layer.scope == "none" else f"{SCOPES[layer.scope]}: {layer.found}"


def _told(layer: Layer) -> str:
    return f"{plan.PARTS[layer.part]}: {_scoped(layer)}"


def _amount(figure: Figure, value: float) -> str:
    divisor, unit = scale(figure, value)
    return f"{value / divisor:.4g}" + ("" if unit == "1" else f" {unit}")
