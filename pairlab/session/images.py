"""Images of all labs: build, list, prune."""

from __future__ import annotations

import time
from typing import Any

from pairlab.model import LabSpec, Settings, load_spec, placeholder_spec, state_dir
from pairlab.session.exclusive import removing_images
from pairlab.session.spec import load_stack, tiers_of
from pairlab.session.workbench import Workbench

Listing = list[dict[str, Any]]


def build_images(bench: Workbench, stack_name: str) -> Listing:
    """Build both forms of each workload of a stack, and the front door's image; what is built is kept."""
    stack = load_stack(stack_name)
    keys = placeholder_spec("dev", Settings(), stack.tiers).keys
    for tier in tiers_of(stack, "dev", Settings(), keys):
        bench.images.ensure(tier.workload, progress=bench.progress)
    bench.images.ensure_front_door(progress=bench.progress)
    return list_images(bench)


def list_images(bench: Workbench) -> Listing:
    """All built images: name, form, version, digests, size, age, and the labs that use each."""
    users = _users()
    return [_listed(record, users.get(record.version, [])) for record in bench.images.records()]


def prune_images(bench: Workbench) -> Listing:
    """Remove the images that no lab uses, and return them.

    Raises:
        ConflictError: Exercises run, on whatever lab.
    """
    with removing_images():
        removed = bench.images.prune(_users().keys(), progress=bench.progress)
    return [_listed(record, []) for record in removed]


def _listed(record: Any, users: list[str]) -> dict[str, Any]:
    return {
        "name": record.name,
        "form": record.form,
        "version": record.version,
        "digests": record.files,
        "size_bytes": record.size_bytes,
        "age_s": time.time() - record.created,
        "used_by": users,
    }


def _users() -> dict[str, list[str]]:
    """Image version -> labs that were last brought up with it."""
    users: dict[str, list[str]] = {}
    for path in sorted((state_dir() / "labs").glob("*")):
        spec = load_spec(path.name)
        for version in _versions(spec) if spec else []:
            users.setdefault(version, []).append(path.name)
    return users


def _versions(spec: LabSpec) -> list[str]:
    forms = [form.version for images in spec.images.values() for form in (images.vm, images.container)]
    return [*forms, spec.front_door.version, *([spec.updates.version] if spec.updates else [])]
