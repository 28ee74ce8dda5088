"""Images of all labs: build, list, prune."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from pairlab.errors import SettingError
from pairlab.model import LabSpec, Settings, load_spec, placeholder_spec, state_dir
from pairlab.session.exclusive import removing_images
from pairlab.session.settings import declared_labs, load_settings
from pairlab.session.spec import load_stack, tiers_of
from pairlab.session.workbench import Workbench

Listing = list[dict[str, Any]]


def build_images(bench: Workbench, stack_name: str, lab: str) -> Listing:
    """Build both forms of each workload of a stack, and the front door's image; what is built is kept.

    Args:
        bench: The tools of this run.
        stack_name: A program in `stacks/`.
        lab: Whose Docker gets the container images.
    """
    stack = load_stack(stack_name)
    store = bench.images_for(load_settings(lab, {}))
    keys = placeholder_spec("dev", Settings(), stack.tiers).keys
    for tier in tiers_of(stack, "dev", Settings(), keys):
        store.ensure(tier.workload, progress=bench.progress)
    store.ensure_front_door(progress=bench.progress)
    return list_images(bench)


def list_images(bench: Workbench) -> Listing:
    """All built images: name, form, version, digests, size, age, and the labs that use each."""
    users = _users()
    return [
        _listed(record, users.get(record.version, [])) for record in bench.images_for(Settings()).records()
    ]


def prune_images(bench: Workbench) -> Listing:
    """Remove the images that no lab uses, and return them.

    Raises:
        ConflictError: Exercises run, on whatever lab.
    """
    with removing_images():
        removed = bench.images_for(Settings()).prune(
            _users().keys(), progress=bench.progress, docker_hosts=_docker_hosts()
        )
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


def _docker_hosts() -> set[str]:
    """Wherever a lab has its containers, or would have them as far as its settings can be read."""
    settings = [spec.settings for spec in _specs()]
    for lab in declared_labs():
        with suppress(SettingError):
            settings.append(load_settings(lab, {}))
    return {each.docker_host for each in settings}


def _users() -> dict[str, list[str]]:
    """Image version -> labs that were last brought up with it."""
    users: dict[str, list[str]] = {}
    for spec in _specs():
        for version in _versions(spec):
            users.setdefault(version, []).append(spec.name)
    return users


def _specs() -> list[LabSpec]:
    found = [load_spec(path.name) for path in sorted((state_dir() / "labs").glob("*"))]
    return [spec for spec in found if spec]


def _versions(spec: LabSpec) -> list[str]:
    forms = [form.version for images in spec.images.values() for form in (images.vm, images.container)]
    return [*forms, spec.front_door.version, *([spec.updates.version] if spec.updates else [])]
