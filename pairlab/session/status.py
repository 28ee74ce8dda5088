"""Both sides of a lab as they are now, and how that differs from what was declared."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from pairlab import side as sides
from pairlab.errors import LabError
from pairlab.model import Accelerator, Instance, LabSpec, SideName, Tier

RUNNING = "running"


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


def read_status(spec: LabSpec, tiers: list[Tier], lab_sides: Mapping[SideName, sides.Side]) -> LabStatus:
    """Ask both sides and both front doors, all at once."""
    with ThreadPoolExecutor() as pool:
        asked = {name: pool.submit(side.instances) for name, side in lab_sides.items()}
        doors = [pool.submit(_door, spec, name) for name in SideName]
        found: list[Instance] = []
        drift: list[str] = []
        problems: list[str] = []
        for name, future in asked.items():
            try:
                instances = future.result()
            except LabError as error:
                problems.append(f"{name}: {error.message} ({error.hint})")
                continue
            found += instances
            drift += _drift(spec, tiers, name, instances)
        door_statuses = [door.result() for door in doors]
    drift += [
        f"the {door.side} side's front door answers {door.answer}"
        for door in door_statuses
        if door.answer != "200"
    ]
    return LabStatus(spec.name, spec.accelerator, found, door_statuses, drift, problems)


def _door(spec: LabSpec, side: SideName) -> DoorStatus:
    port = spec.port(side)
    url = f"http://127.0.0.1:{port}"
    try:
        return DoorStatus(side, url, str(sides.probe(port).status))
    except LabError as error:
        return DoorStatus(side, url, f"nothing: {error.message}")


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
            elif instance.state != RUNNING:
                told.append(f"{name} is {instance.state}, declared running")
            elif instance.image != version:
                told.append(f"{name} runs image {instance.image}, declared {version}")
    return told + [f"{name} exists and is not declared" for name in sorted(found.keys() - declared)]
