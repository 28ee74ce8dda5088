"""Makes a lab's specification: program, images, keys and accelerator, as one piece of data."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Any, cast

from pairlab.errors import UsageError
from pairlab.files import replace_at_once
from pairlab.model import MACHINE_HOST, LabKeys, LabSpec, Settings, Tier, lab_dir, spec_file, spec_json
from pairlab.session.keys import write_known_hosts


def stack_names() -> list[str]:
    """Programs in `stacks/` that declare a lab: modules with `tiers` and `declare`."""
    package = importlib.import_module("stacks")
    names = [module.name for module in pkgutil.iter_modules(package.__path__)]
    return sorted(name for name in names if not name.startswith("_") and _declares(name))


def _declares(name: str) -> bool:
    module = importlib.import_module(f"stacks.{name}")
    return hasattr(module, "tiers") and hasattr(module, "declare")


def load_stack(name: str) -> ModuleType:
    """Import a program of `stacks/`.

    Raises:
        UsageError: There is none of that name; the hint lists the known ones.
    """
    if name not in stack_names():
        raise UsageError(f"no stack is named {name!r}", hint=f"known stacks: {', '.join(stack_names())}")
    return importlib.import_module(f"stacks.{name}")


def tiers_of(stack: ModuleType, lab: str, settings: Settings, keys: LabKeys) -> list[Tier]:
    """What a program runs, by these settings."""
    return cast(list[Tier], cast(Any, stack).tiers(lab, settings, keys))


def record_spec(spec: LabSpec, tiers: list[Tier]) -> None:
    """Keep the specification for later runs, and pin the VMs' host keys."""
    replace_at_once(spec_file(spec.name), spec_json(spec).decode())
    pin_hosts(spec, tiers)


def pin_hosts(spec: LabSpec, tiers: list[Tier]) -> None:
    """Pin the VMs' host keys by address; that of a VM in a container, which has none outside, by name."""
    pinned = [
        (str(spec.address(number, index)), spec.keys.hosts[host])
        for number, tier in enumerate(tiers)
        for index, host in enumerate(tier.host_names())
    ]
    if spec.machine is not None:
        pinned.append((MACHINE_HOST, spec.keys.hosts[MACHINE_HOST]))
    write_known_hosts(lab_dir(spec.name), pinned)
