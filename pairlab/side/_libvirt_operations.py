"""Everyday operations on a VM by libvirt's own command, and by ssh where libvirt ends."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from pairlab.model import COPIED_NOTE, Operation
from pairlab.side._libvirt_objects import LibvirtObjects
from pairlab.ssh import SshRunner

SNAPSHOT = f"manage-{'0' * 12}.qcow2"
"""Named as the lab's volumes are, so that what an interrupted run leaves goes with the lab."""


def read_operations(
    objects: LibvirtObjects, domain: str, pool: str, runner: SshRunner, folder: Path
) -> Mapping[str, Operation]:
    """See `Side.operations`.

    Args:
        objects: The lab's.
        domain: Name of the domain.
        pool: Name of the lab's pool.
        runner: Runs commands in the VM.
        folder: See there.
    """
    with objects.mapped() as libvirt:
        found = objects.connection(libvirt).lookupByName(domain)
        description = ElementTree.fromstring(found.XMLDesc())
    memory_kib = description.findtext("currentMemory", "")

    def virsh(*words: str) -> tuple[str, ...]:
        return tuple(objects.virsh(*words))

    def inside(*words: str) -> Operation:
        told = f"ssh {runner.user}@{runner.address} {shlex.join(words)}"
        return Operation(tuple(runner.argv(words)), shown=told)

    return {
        "list": Operation(virsh("list", "--all")),
        # libvirt keeps nothing of what a guest logs.
        "log": inside("journalctl", "--no-pager", "--lines=100"),
        "shell": inside("uname", "--nodename"),
        "copy": Operation(
            tuple(runner.copy_argv(folder / "note", COPIED_NOTE)),
            undo=(tuple(runner.argv(["rm", COPIED_NOTE])),),
            shown=f"scp note {runner.user}@{runner.address}:{COPIED_NOTE}",
            declared="files of a tier, which a new VM gets in its seed",
        ),
        "limit": Operation(
            virsh("setmem", domain, memory_kib, "--live"),
            asked=virsh("dumpxml", domain),
            told=f"<currentMemory unit='KiB'>{memory_kib}</currentMemory>",
            declared="the settings vmMemoryMib and vmCpus, for a VM that starts anew",
        ),
        "pause": Operation(virsh("suspend", domain), undo=(virsh("resume", domain),)),
        "inspect": Operation(virsh("dumpxml", domain)),
        "metrics": Operation(virsh("domstats", domain)),
        "snapshot": _snapshot(description, domain, pool, virsh),
        "export": _export(description, pool, folder, virsh),
        "events": Operation(
            cannot="libvirt keeps no events; it tells them to whoever listens while they happen"
        ),
        "update": Operation(
            virsh("desc", domain, "--live", "--title", "updated"),
            undo=(virsh("desc", domain, "--live", "--title", ""),),
            declared="all of the VM's definition; most of it needs a new VM",
        ),
    }


def _export(
    description: ElementTree.Element, pool: str, folder: Path, virsh: Callable[..., tuple[str, ...]]
) -> Operation:
    """The image that its disk stands on, and the kernel that its host gives it, if it does."""
    backing = description.find("devices/disk/backingStore/source")
    if backing is None:
        return Operation(cannot="its disk stands on no image")
    sources = {"disk": backing.get("file", "")}
    sources |= {part: description.findtext(f"os/{part}", "") for part in ("kernel", "initrd")}
    files = {folder / part: PurePosixPath(source).name for part, source in sources.items() if source}
    first, *rest = (
        virsh("vol-download", volume, str(file), "--pool", pool) for file, volume in files.items()
    )
    return Operation(
        first,
        then=tuple(rest),
        files=tuple(files),
        declared="the image's recipe, from which another host builds the same",
    )


def _snapshot(
    description: ElementTree.Element, domain: str, pool: str, virsh: Callable[..., tuple[str, ...]]
) -> Operation:
    """A new top on the first disk; to undo it, the top is merged into the disk below, and goes."""
    source = description.find("devices/disk/source")
    if source is None:
        return Operation(cannot="it has no disk")
    top = str(PurePosixPath(source.get("file", "")).with_name(SNAPSHOT))
    first, *rest = (each.get("dev", "") for each in description.iterfind("devices/disk/target"))
    others = [word for name in rest for word in ("--diskspec", f"{name},snapshot=no")]
    return Operation(
        virsh(
            "snapshot-create-as", domain, "--no-metadata", "--disk-only", "--atomic",
            "--diskspec", f"{first},snapshot=external,file={top}", *others,
        ),
        undo=(
            virsh("blockcommit", domain, first, "--active", "--shallow", "--pivot", "--wait"),
            virsh("pool-refresh", pool),
            virsh("vol-delete", SNAPSHOT, "--pool", pool),
        ),
    )  # fmt: skip
