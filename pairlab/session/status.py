"""Both sides of a lab as they are now, and how that differs from what was declared."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from pairlab import side as sides
from pairlab.errors import LabError
from pairlab.model import FRONT_DOOR, PACKAGES, Accelerator, Instance, LabSpec, SideName, Tier

MIB = 1024**2
NANO = 1e-9
"""Engines count processors in billionths."""
GOOD = "200"
NO_INSTANCE = "503"
"""What a front door answers for a side that is declared without instances."""


@dataclass(frozen=True)
class DoorStatus:
    """A side's front door.

    Attributes:
        side: Which half it leads to.
        url: Its address.
        answer: HTTP status of one request through it, or why there was none.
    """

    side: SideName
    url: str
    answer: str


@dataclass(frozen=True)
class LabStatus:
    """A lab as found.

    Attributes:
        lab: Its name.
        accelerator: How its VMs run.
        instances: Of both sides.
        doors: One a side.
        drift: Differences from what is declared, a sentence each.
        problems: Sides that could not be asked, and why.
    """

    lab: str
    accelerator: Accelerator
    instances: list[Instance]
    doors: list[DoorStatus]
    drift: list[str]
    problems: list[str]

    def as_json(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        plain = asdict(self)
        for instance, entry in zip(self.instances, plain["instances"], strict=True):
            entry["name"] = instance.name
        return plain


def read_status(
    spec: LabSpec,
    tiers: list[Tier],
    lab_sides: Mapping[SideName, sides.Side],
    built_version: Callable[[str, str], str],
) -> LabStatus:
    """Ask both sides and both front doors, all at once.

    Args:
        spec: What is declared.
        tiers: What runs.
        lab_sides: Both sides.
        built_version: Image version and package -> the package's version in it; empty if unknown.
    """
    front = next(tier for tier in tiers if tier.front)
    with ThreadPoolExecutor() as pool:
        asked = {name: pool.submit(_found_on, side) for name, side in lab_sides.items()}
        doors = [pool.submit(_ask_door, spec, front, name) for name in SideName]
        found: list[Instance] = []
        drift: list[str] = []
        problems: list[str] = []
        for name, future in asked.items():
            try:
                instances, helpers, given = future.result()
            except LabError as error:
                problems.append(f"{name}: {error.message} ({error.hint})")
                continue
            found += instances
            drift += _drift(spec, tiers, name, instances)
            drift += _given_otherwise(spec, tiers, name, given)
            drift += _needless(spec, helpers)
        answers = [door.result() for door in doors]
    door_statuses = [status for status, _ in answers]
    for name, (_, served) in zip(SideName, answers, strict=True):
        images = spec.images[front.workload.name]
        image = images.vm.version if name is SideName.VM else images.container.version
        drift += _patched(served, front.workload.packages[0], image, built_version)
    drift += [
        f"the {door.side} side's front door answers {door.answer}"
        for door in door_statuses
        if door.answer != (GOOD if front.count(door.side) else NO_INSTANCE)
    ]
    return LabStatus(spec.name, spec.accelerator, found, door_statuses, drift, problems)


def _found_on(side: sides.Side) -> tuple[list[Instance], Mapping[str, str], Mapping[str, sides.Given]]:
    instances = side.instances()
    return instances, side.helpers(), side.given(instances)


def _needless(spec: LabSpec, helpers: Mapping[str, str]) -> list[str]:
    """Helpers that the lab is declared without, such as an interrupted exercise leaves."""
    declared = {FRONT_DOOR, *([PACKAGES] if spec.updates else [])}
    return [f"{name} exists and is not declared" for name in sorted(helpers) if helpers[name] not in declared]


def _ask_door(spec: LabSpec, front: Tier, side: SideName) -> tuple[DoorStatus, list[sides.Answer]]:
    """The door's status, and answers of as good as all its instances: it takes them in turn."""
    port = spec.port(side)
    url = f"http://127.0.0.1:{port}"
    path = front.workload.health_path
    try:
        answers = [sides.probe(port, path) for _ in range(max(1, 2 * front.count(side)))]
    except LabError as error:
        return DoorStatus(side, url, f"nothing: {error.message}"), []
    return DoorStatus(side, url, str(answers[-1].status)), answers


def _patched(
    answers: list[sides.Answer], package: str, image: str, built_version: Callable[[str, str], str]
) -> list[str]:
    """What instances serve that is not what their image was built with: somebody changed it in place."""
    told = {}
    for answer in answers:
        built = built_version(answer.image, package) if answer.image == image else ""
        if built and answer.version and answer.version != built:
            told[answer.instance] = (
                f"{answer.instance} serves {package} {answer.version}, its image holds {built}"
            )
    return [told[name] for name in sorted(told)]


def _drift(spec: LabSpec, tiers: list[Tier], side: SideName, instances: list[Instance]) -> list[str]:
    found = {instance.name: instance for instance in instances}
    told = []
    declared: set[str] = set()
    for tier in tiers:
        images = spec.images[tier.workload.name]
        version = images.vm.version if side is SideName.VM else images.container.version
        for name in tier.instance_names(side):
            declared.add(name)
            instance = found.get(name)
            if instance is None:
                told.append(f"{name} is declared and does not exist")
            elif not instance.is_running:
                told.append(f"{name} is {instance.state}, declared running")
            elif instance.image != version:
                told.append(f"{name} runs image {instance.image}, declared {version}")
    return told + [f"{name} exists and is not declared" for name in sorted(found.keys() - declared)]


def _given_otherwise(
    spec: LabSpec, tiers: list[Tier], side: SideName, given: Mapping[str, sides.Given]
) -> list[str]:
    """Declared instances that have more or less of the host than declared: somebody changed it by hand."""
    settings = spec.settings
    if side is SideName.VM:
        memory_mib, cpus = settings.vm_memory_mib, float(settings.vm_cpus)
    else:
        memory_mib, cpus = settings.container_memory_mib, settings.container_cpus
    told = []
    for name in (name for tier in tiers for name in tier.instance_names(side) if name in given):
        found = given[name]
        if found.memory_bytes != memory_mib * MIB:
            has = (
                "all memory" if found.memory_bytes is None else f"{found.memory_bytes / MIB:g} MiB of memory"
            )
            told.append(f"{name} has {has}, declared {memory_mib} MiB")
        if found.cpus is None or not math.isclose(found.cpus, cpus, abs_tol=NANO):
            has = "all processors" if found.cpus is None else f"{found.cpus:g} processors"
            told.append(f"{name} has {has}, declared {cpus:g}")
    return told
