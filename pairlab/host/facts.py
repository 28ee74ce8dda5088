"""What this host has, and lacks, for a lab: one row a component, each problem with its remedy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from ipaddress import IPv4Network
from pathlib import Path
from types import MappingProxyType

from pairlab.errors import LabError
from pairlab.host.accelerator import QEMU, accelerator
from pairlab.host.net import listening_inode, port_holder, subnet_holder
from pairlab.host.orchestrator import swarm
from pairlab.host.packages import binding_version, missing_packages
from pairlab.host.space import free_disk_bytes, free_memory_bytes
from pairlab.host.steps import Host
from pairlab.progress import Progress
from pairlab.ssh import is_another_machine, tunnel_command

MIB = 1024**2
GIB = 1024**3
# Two images of about 0.5 GB in two forms, the package cache, and room for the build's own files.
WANTED_DISK_BYTES = 4 * GIB
WANTED_MEMORY_BASE_BYTES = 512 * MIB

_SETUP = "run `invoke lab.setup`"


@dataclass(frozen=True)
class Row:
    """What was found of one component.

    Attributes:
        component: Its name.
        ok: A lab can run with it as it is.
        found: What was found, with versions.
        remedy: The next step where it is not ok.
    """

    component: str
    ok: bool
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class HostReport:
    """All rows."""

    rows: tuple[Row, ...]

    @property
    def ok(self) -> bool:
        """A lab could run here."""
        return all(row.ok for row in self.rows)

    def as_json(self) -> dict[str, object]:
        """For `--json`."""
        return {"ok": self.ok, "components": [asdict(row) for row in self.rows]}


@dataclass(frozen=True)
class LabNeeds:
    """What a lab wants of this host.

    Attributes:
        ports: Loopback ports of its front doors.
        subnet: Its VMs' network.
        bridge: Its own bridge, which may hold that already.
        own_ports: Ports that its own front doors hold already.
    """

    ports: tuple[int, ...]
    subnet: IPv4Network
    bridge: str
    own_ports: frozenset[int] = frozenset()


def examine(
    host: Host,
    needs: LabNeeds,
    *,
    cache: Path,
    kernel: Path | None,
    progress: Progress,
    extra: Mapping[str, Callable[[], Row]] = MappingProxyType({}),
) -> HostReport:
    """Look at everything, and change nothing.

    Args:
        host: This machine, and whose daemons are meant.
        needs: What the lab wants.
        cache: pairlab's cache directory.
        kernel: A guest kernel, to probe KVM with; None if none has been built yet.
        progress: Told what takes seconds.
        extra: Further components, such as the Pulumi CLI: name -> look. A LabError becomes its row.
    """
    looks: dict[str, Callable[[], Row]] = {
        "accelerator": lambda: _accelerator(host, cache, kernel, progress),
        "Debian packages": lambda: _packages(host),
        "Docker": lambda: _docker(host),
        "Swarm": lambda: _swarm(host),
        "libvirt": lambda: _libvirt(host),
        "QEMU": lambda: _qemu(host),
        **extra,
        "disk": lambda: _disk(cache),
        "memory": lambda: _memory(host),
        "ports": lambda: _ports(host, needs),
        "subnet": lambda: _subnet(host, needs),
    }
    with ThreadPoolExecutor(max_workers=8) as pool:
        return HostReport(tuple(pool.map(_row_of, looks.keys(), looks.values())))


def _row_of(component: str, look: Callable[[], Row]) -> Row:
    try:
        return look()
    except LabError as error:
        return Row(component, False, error.message, error.hint)


def _accelerator(host: Host, cache: Path, kernel: Path | None, progress: Progress) -> Row:
    found, reason = accelerator(
        cache,
        host.runner,
        host.settings.accelerator,
        kernel=kernel,
        libvirt_uri=host.settings.libvirt_uri,
        retry=True,
        progress=progress,
    )
    return Row("accelerator", True, f"{found}: {reason}")


def _packages(host: Host) -> Row:
    if missing := missing_packages(host):
        return Row("Debian packages", False, f"missing: {', '.join(missing)}", _SETUP)
    return Row("Debian packages", True, "all that building and reaching a lab needs")


def _docker(host: Host) -> Row:
    said = host.docker(
        "info", "--format", "{{.ServerVersion}}, cgroup v{{.CgroupVersion}} ({{.CgroupDriver}})"
    )
    # `docker info` exits 0 with an empty version where the daemon does not answer.
    if not said or said.startswith(","):
        return Row("Docker", False, f"no daemon answers at {host.settings.docker_host}", _SETUP)
    return Row("Docker", True, said)


def _swarm(host: Host) -> Row:
    found = swarm(host)
    if found is None or found.state == "inactive":
        return Row("Swarm", False, "not initialised", _SETUP)
    if found.problem:
        return Row("Swarm", False, found.problem, "leave it yourself, or set dockerHost to another daemon")
    return Row("Swarm", True, f"active, this node is a manager; nodes: {found.nodes}")


def _libvirt(host: Host) -> Row:
    uri = host.settings.libvirt_uri
    answered = host.virsh("uri")
    if not answered:
        return Row("libvirt", False, f"nothing answers at {uri}", _SETUP)
    binding = binding_version()
    if binding is None:
        return Row("libvirt", False, f"{uri} answers, but Python's binding is not installed", _SETUP)
    version = (host.virsh("--version") or "").strip()
    return Row("libvirt", True, f"{version}, {uri} answers; libvirt-python {binding}")


def _qemu(host: Host) -> Row:
    if not host.local_libvirt:
        return Row("QEMU", True, "on libvirt's machine")
    said = host.runner.run([QEMU, "--version"], timeout_s=10).stdout
    return Row("QEMU", True, said.splitlines()[0].removeprefix("QEMU emulator version "))


def _disk(cache: Path) -> Row:
    free = free_disk_bytes(cache)
    found = f"{free / GIB:.1f} GiB free for {cache}"
    if free < WANTED_DISK_BYTES:
        return Row("disk", False, found, f"free some: images and labs want {WANTED_DISK_BYTES / GIB:.0f} GiB")
    return Row("disk", True, found)


def _memory(host: Host) -> Row:
    settings = host.settings
    vms = settings.vms * settings.vm_memory_mib if host.local_libvirt else 0
    containers = settings.replicas * settings.container_memory_mib if host.local_docker else 0
    wanted = WANTED_MEMORY_BASE_BYTES + (vms + containers) * MIB
    free = free_memory_bytes()
    found = f"{free / GIB:.1f} GiB available, this lab may use {wanted / GIB:.1f} GiB"
    if free < wanted:
        return Row("memory", False, found, "use fewer or smaller instances, or free some")
    return Row("memory", True, found)


def _ports(host: Host, needs: LabNeeds) -> Row:
    told = ", ".join(f"127.0.0.1:{port}" for port in needs.ports)
    docker = host.settings.docker_host
    if is_another_machine(docker):
        led = all(listening_inode(port) for port in needs.ports)
        remedy = "" if led else f"run `{tunnel_command(docker, needs.ports)}` in another terminal"
        return Row("ports", led, f"{told} {'lead' if led else 'do not lead'} to Docker's machine", remedy)
    for port in needs.ports:
        if port not in needs.own_ports and (holder := port_holder(port, host.runner)):
            remedy = "stop that, or set vmPort or containerPort"
            return Row("ports", False, f"127.0.0.1:{port} is held by {holder}", remedy)
    return Row("ports", True, f"{told} are free" + (", or this lab's" if needs.own_ports else ""))


def _subnet(host: Host, needs: LabNeeds) -> Row:
    holder = subnet_holder(needs.subnet, needs.bridge, host.runner) if host.local_libvirt else None
    if holder:
        return Row("subnet", False, f"{needs.subnet} is held by {holder}", "set subnet to a free one")
    return Row("subnet", True, f"{needs.subnet} is free, or this lab's")
