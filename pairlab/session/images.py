"""Images of all labs: build, list, prune."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from pairlab.errors import LabError, UsageError
from pairlab.image.store import ImageStore
from pairlab.model import (
    ContainerImage,
    LabSpec,
    Settings,
    Tier,
    VmImage,
    WorkloadImages,
    load_spec,
    placeholder_spec,
)
from pairlab.progress import Progress
from pairlab.session.exclusive import removing_images
from pairlab.session.settings import declared_labs, load_settings
from pairlab.session.spec import load_stack, tiers_of
from pairlab.session.workbench import Workbench, known_labs

Listing = list[dict[str, Any]]


def build_images(bench: Workbench, lab: str, stack_name: str = "") -> Listing:
    """Build all images that a lab comes up with by its settings; what is built is kept.

    Args:
        bench: The tools of this run.
        lab: Whose settings say how its VMs start, and whose Docker gets the container images.
        stack_name: A program in `stacks/` in the place of the lab's own.
    """
    settings = load_settings(lab, {"stack": stack_name or None})
    stack = load_stack(settings.stack)
    tiers = tiers_of(stack, lab, settings, placeholder_spec(lab, settings, stack.tiers).keys)
    ensure_images(bench.images_for(settings), settings, tiers, bench.progress)
    return list_images(bench)


def ensure_images(
    store: ImageStore, settings: Settings, tiers: Sequence[Tier], progress: Progress
) -> tuple[dict[str, WorkloadImages], ContainerImage]:
    """Both forms of each workload, by its name, and the front door's image; what there is not, is built."""
    images = {
        tier.workload.name: store.ensure(tier.workload, progress=progress, boot=settings.boot)
        for tier in tiers
    }
    door = store.ensure_front_door(progress=progress)
    if settings.guest_image_url:
        guest = store.ensure_guest(settings.guest_image_url, settings.guest_image_sha256, progress=progress)
        images = with_guest(images, guest)
    return images, door


def with_guest(images: Mapping[str, WorkloadImages], guest: VmImage) -> dict[str, WorkloadImages]:
    """The same images, with VMs that start from another disk."""
    return {name: replace(both, vm=guest) for name, both in images.items()}


def list_images(bench: Workbench) -> Listing:
    """All built images: name, form, version, digests, size, age, and the labs that use each."""
    specs = list[LabSpec]()
    for lab in known_labs():
        try:
            specs += _specs([lab])
        except LabError as error:
            bench.progress(f"{error.message}; which images it uses is not known")
    users = _users(specs)
    return [
        _listed(record, users.get(record.version, [])) for record in bench.images_for(Settings()).records()
    ]


def prune_images(bench: Workbench) -> Listing:
    """Remove the images that no lab uses, and return them.

    Raises:
        ConflictError: Exercises run, or a lab is brought up or taken down.
        LabError: The record of a lab, and so which images it uses, cannot be read; nothing was removed.
    """
    with removing_images():
        specs = _specs(known_labs())
        removed = bench.images_for(Settings()).prune(
            _users(specs).keys(), progress=bench.progress, docker_hosts=_docker_hosts(specs)
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


def _docker_hosts(specs: Iterable[LabSpec]) -> set[str]:
    """Wherever a lab has its containers, or would have them as far as its settings can be read."""
    settings = [spec.settings for spec in specs]
    for lab in declared_labs():
        with suppress(UsageError):
            settings.append(load_settings(lab, {}))
    return {each.docker_host for each in settings}


def _users(specs: Iterable[LabSpec]) -> dict[str, list[str]]:
    """Image version -> labs that were last brought up with it."""
    users: dict[str, list[str]] = {}
    for spec in specs:
        for version in _versions(spec):
            users.setdefault(version, []).append(spec.name)
    return users


def _specs(labs: Iterable[str]) -> list[LabSpec]:
    return [spec for lab in labs if (spec := load_spec(lab))]


def _versions(spec: LabSpec) -> list[str]:
    forms = [form.version for images in spec.images.values() for form in (images.vm, images.container)]
    return [*forms, spec.front_door.version, *([spec.updates.version] if spec.updates else [])]
