"""The layers of the libvirt stack below and around one domain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from pairlab.model import Layer
from pairlab.run import Runner
from pairlab.side import _process
from pairlab.side._footprint import Processes
from pairlab.side._layers import files_bytes, host_kernel, mib
from pairlab.side._libvirt_holdings import holdings
from pairlab.side._libvirt_objects import LibvirtObjects

DAEMONS = (
    "libvirtd", "virtqemud", "virtnetworkd", "virtstoraged", "virtsecretd", "virtnodedevd", "virtproxyd",
    "virtlogd", "virtlockd",
)  # fmt: skip
"""One daemon for everything, or one for each driver, and their helpers."""
ACCELERATION = {"kvm": "hardware virtualisation (kvm)", "qemu": "software emulation (tcg)"}
KEPT = ("domain", "volume", "pool", "network")
"""What libvirt keeps account of; bridges and directories are the host's."""


def read_layers(objects: LibvirtObjects, domain: str, pid: int, host: Runner) -> list[Layer]:
    """See `Side.layers`.

    Args:
        objects: The lab's.
        domain: Name of the domain.
        pid: Of its QEMU.
        host: Runs commands on this machine.
    """
    with objects.mapped() as libvirt:
        connection = objects.connection(libvirt)
        description = ElementTree.fromstring(connection.lookupByName(domain).XMLDesc())
        qemu, daemon = _version(connection.getVersion()), _version(connection.getLibVersion())
        given = holdings(connection, domain)
    network = description.find("devices/interface/source")
    own = _paths(description, "devices/disk/source")
    image = _paths(description, "devices/disk//backingStore/source")
    image += [path for name in ("kernel", "initrd") if (path := description.findtext(f"os/{name}", ""))]
    processes = Processes.seen_by(host)
    held = processes.mapped([pid], guest_bytes=given.memory_bytes)
    kind = description.get("type", "")
    return [
        host_kernel(host),
        _engine(objects, processes, daemon, pid, "" if network is None else network.get("network", "")),
        Layer("orchestrator", "none: no program of this stack watches over the number of its VMs", "none"),
        Layer("image", _names(image), "side", disk_bytes=given.shared_disk_bytes),
        Layer(
            "runner",
            f"QEMU {qemu}, one process for each VM; {ACCELERATION.get(kind, kind)}",
            "instance",
            memory_bytes=held.bytes - held.guest_bytes,
            processes=1,
        ),
        Layer(
            "boundary", _hardware(description, given.memory_bytes), "instance", memory_bytes=held.guest_bytes
        ),
        Layer("own-disk", _names(own), "instance", disk_bytes=given.own_disk_bytes),
    ]


def _engine(objects: LibvirtObjects, processes: Processes, version: str, qemu: int, network: str) -> Layer:
    daemons = _process.named(DAEMONS)
    # Each network has a DNS server of its own, whose configuration has the network's name.
    daemons += [pid for pid in _process.named(["dnsmasq"]) if _serves(pid, network)]
    names = sorted({_process.status(pid).get("Name", "") for pid in daemons} - {""})
    kept = [each for each in objects.leftovers() if each.startswith(KEPT)]
    return Layer(
        "engine",
        f"libvirt {version} ({', '.join(names)}), with QEMU's program on disk",
        "side",
        disk_bytes=files_bytes(processes.programs([*daemons, qemu])),
        memory_bytes=processes.mapped(daemons).bytes,
        processes=len(daemons),
        objects=len(kept),
    )


def _serves(pid: int, network: str) -> bool:
    try:
        words = (_process.PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return any(word.endswith(f"/{network}.conf".encode()) for word in words)


def _hardware(description: ElementTree.Element, given_bytes: int) -> str:
    kind = description.find("os/type")
    machine = "" if kind is None else kind.get("machine", "")
    devices = sum(each.get("type") == "pci" for each in description.iterfind("devices/*/address"))
    loader = description.findtext("os/loader")
    firmware = Path(loader).name if loader else "BIOS"
    handed = description.find("os/kernel") is not None
    starts = "the kernel that it is handed" if handed else "what its disk holds"
    cpus = description.findtext("vcpu", "1")
    return (
        f"virtual hardware {machine}; devices on PCI: {devices}, CPUs: {cpus}, memory: {mib(given_bytes)};"
        f" its firmware ({firmware}) starts {starts}"
    )


def _paths(description: ElementTree.Element, where: str) -> list[str]:
    return [path for each in description.iterfind(where) if (path := each.get("file", ""))]


def _names(paths: Sequence[str]) -> str:
    return ", ".join(PurePosixPath(path).name for path in dict.fromkeys(paths)) or "none"


def _version(number: int) -> str:
    """7002022 -> 7.2.22."""
    return f"{number // 10**6}.{number // 1000 % 1000}.{number % 1000}"
