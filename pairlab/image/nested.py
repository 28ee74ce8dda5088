"""Images that hold one stack in the other: a VM with a container engine, and a container with a VM."""

from __future__ import annotations

from dataclasses import replace

from pairlab.image.container_archive import file_digest
from pairlab.image.recipe import File, HostFile, Recipe, vm_recipe
from pairlab.image.store import ImageStore, container_image, vm_image
from pairlab.model import (
    GUEST_CONTAINER,
    HEALTHCHECK,
    VM_DISK_BYTES,
    Accelerator,
    ContainerImage,
    VmImage,
    Workload,
)
from pairlab.progress import Progress
from pairlab.render import render

ENGINE_PACKAGES = ("podman", "crun")
"""Docker's image format and ids, and no daemon: under emulation, Docker's own takes long to start."""
ENGINE_UNIT = "pairlab-container.service"
MACHINE_PACKAGES = ("qemu-system-x86", "qemu-utils", "genisoimage", "netcat-openbsd")
GIVEN, OWN = "/srv/machine", "/var/lib/machine"
"""Folders in the container: of the VM's image, and of what is made at each start."""
MACHINE_USER, MACHINE_GROUP = "nobody", "nogroup"


def engine_recipe(workload: Workload) -> Recipe:
    """The VM disk of a container host: an engine, and nothing of the workload, which comes in an image."""
    host = replace(
        workload,
        name="engine",
        packages=ENGINE_PACKAGES,
        unit=ENGINE_UNIT,
        enable=(),
        files={},
        executable=(),
        unit_lines=(),
    )
    recipe = vm_recipe(host)
    own = {
        f"/etc/systemd/system/{ENGINE_UNIT}": File(
            render("nested/engine.service.j2", container=GUEST_CONTAINER)
        ),
        "/etc/containers/containers.conf": File(render("nested/containers.conf.j2")),
    }
    return replace(recipe, files={**recipe.files, **own})


def machine_recipe(workload: Workload, vm: VmImage) -> Recipe:
    """A container image with QEMU and the VM image of a workload.

    Args:
        workload: What the VM runs.
        vm: Its image; its files become part of this one.
    """
    direct = bool(vm.kernel.name)
    sources = {"disk.qcow2": vm.disk, **({"vmlinuz": vm.kernel, "initrd": vm.initrd} if direct else {})}
    files: dict[str, File | HostFile] = {
        f"{GIVEN}/{name}": HostFile(path, file_digest(path)) for name, path in sources.items()
    }
    files[HEALTHCHECK] = File(
        render("workload/healthcheck.pl.j2", port=workload.port, health_path=workload.health_path), 0o755
    )
    start = render(
        "nested/machine.sh.j2",
        own=OWN,
        given=GIVEN,
        cpu=Accelerator.TCG.qemu_cpu,
        disk_bytes=VM_DISK_BYTES,
        cmdline=vm.cmdline if direct else None,
    )
    files["/usr/local/bin/machine"] = File(start, 0o755)
    config = {"Entrypoint": ["/usr/local/bin/machine"], "User": MACHINE_USER}
    commands = (("install", "-d", "-o", MACHINE_USER, "-g", MACHINE_GROUP, OWN),)
    return Recipe("machine", "container", MACHINE_PACKAGES, files, commands, config)


def ensure_nested(
    store: ImageStore, workload: Workload, vm: VmImage, *, progress: Progress
) -> tuple[VmImage, ContainerImage]:
    """A VM's disk with a container engine, and a container's image with a VM, both built at once if need be.

    Args:
        store: Holds images.
        workload: What the nested instances run.
        vm: Its VM image.
        progress: Told each phase.
    """
    engine = engine_recipe(workload)
    records = store.ensure_recipes([engine, machine_recipe(workload, vm)], progress=progress)
    return vm_image(engine, records[0]), container_image(records[1])
