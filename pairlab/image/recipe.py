"""What goes into an image: packages and rendered files, as data with a digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from pairlab.model import Workload
from pairlab.render import render

FORMAT = 1
"""Raised when the way of building changes what comes out."""

VM_PACKAGES = (
    "linux-image-cloud-amd64",
    "systemd",
    "systemd-sysv",
    "openssh-server",
    "iproute2",
    "iputils-ping",
    "sudo",
)
MODULES = (
    "virtio",
    "virtio_ring",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_blk",
    "failover",
    "net_failover",
    "virtio_net",
    "cdrom",
    "isofs",
)
"""In the order in which the initial RAM file system loads them; ext4 is in Debian's cloud kernel itself."""

MASKED = (
    "apparmor.service",
    "getty-static.service",
    "systemd-ask-password-console.path",
    "systemd-binfmt.service",
    "systemd-hwdb-update.service",
    "systemd-journal-catalog-update.service",
    "systemd-machine-id-commit.service",
    "systemd-modules-load.service",
    "systemd-pstore.service",
    "systemd-udev-trigger.service",
    "systemd-udevd.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "systemd-update-utmp.service",
)
CMDLINE = (
    "root=/dev/vda",
    "rw",
    "console=ttyS0",
    "quiet",
    "net.ifnames=0",
    "no_timer_check",
    "systemd.show_status=false",
)


@dataclass(frozen=True)
class File:
    """A file in an image."""

    content: str
    mode: int = 0o644


@dataclass(frozen=True)
class Recipe:
    """One image.

    Attributes:
        name: The workload's name, or `front-door`.
        form: `vm` or `container`.
        base: Packages of the base that it is built upon, beside the minimal system.
        packages: Packages of its own, `name` or `name=version`.
        files: Path -> file.
        commands: Run in its root at the end, as argument lists.
        pocket: `release`, or `security` to take updates too.
        config: The container's run-time configuration.
    """

    name: str
    form: str
    base: tuple[str, ...]
    packages: tuple[str, ...]
    files: Mapping[str, File]
    commands: tuple[tuple[str, ...], ...] = ()
    pocket: str = "release"
    config: Mapping[str, object] = field(default_factory=dict[str, object])

    @property
    def digest(self) -> str:
        """16 hexadecimal digits over all of it."""
        return short_digest([FORMAT, asdict(self)], 16)


def short_digest(value: object, length: int) -> str:
    """The first hexadecimal digits of the SHA-256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def _pinned(packages: Sequence[str], pins: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"{name}={pins[name]}" if name in pins else name for name in packages)


def _workload_files(workload: Workload, side: str) -> dict[str, File]:
    executable = set(workload.executable)
    return {
        path: File(render(template, side=side, port=workload.port), 0o755 if path in executable else 0o644)
        for path, template in workload.files.items()
    }


def vm_recipe(workload: Workload, *, pocket: str, pins: Mapping[str, str]) -> Recipe:
    """The VM disk of a workload: a kernel's worth of system, started by as few units as it takes."""
    units = (workload.unit, *workload.enable)
    files = _workload_files(workload, "vm") | {
        "/usr/local/sbin/pairlab-seed": File(render("guest/pairlab-seed.pl.j2"), 0o755),
        "/etc/systemd/system/pairlab-seed.service": File(
            render("guest/pairlab-seed.service.j2", unit=" ".join(units))
        ),
        "/etc/systemd/system/pairlab.target": File(
            render("guest/pairlab.target.j2", unit=workload.unit, enable=workload.enable)
        ),
    }
    for unit in units:
        drop_in = render("guest/drop-in.conf.j2", after="", lines=workload.unit_lines)
        files[f"/etc/systemd/system/{unit}.d/pairlab.conf"] = File(drop_in)
    quick_ssh = render("guest/drop-in.conf.j2", after=workload.unit, lines=("ExecStartPre=",))
    files["/etc/systemd/system/ssh.service.d/pairlab.conf"] = File(quick_ssh)
    commands = (
        ("systemctl", "--quiet", "mask", *MASKED),
        ("systemctl", "--quiet", "set-default", "pairlab.target"),
        ("useradd", "--create-home", "--shell", "/bin/bash", "lab"),
        ("rm", "-f", "/etc/fstab", "/etc/machine-id"),
        ("systemd-machine-id-setup",),
        ("sh", "-c", "rm -f /etc/ssh/ssh_host_*"),
    )
    return Recipe(workload.name, "vm", VM_PACKAGES, _pinned(workload.packages, pins), files, commands, pocket)


def container_recipe(workload: Workload, *, pocket: str, pins: Mapping[str, str]) -> Recipe:
    """The container image of a workload: user space only, one process, no root."""
    files = _workload_files(workload, "container") | {
        "/usr/local/bin/entrypoint": File(render("workload/entrypoint.sh.j2"), 0o755),
        "/usr/local/bin/healthcheck": File(
            render("workload/healthcheck.pl.j2", port=workload.port, health_path=workload.health_path), 0o755
        ),
    }
    commands = (("install", "-d", "-o", workload.user, "-g", workload.user, "/run/pairlab"),)
    config = {
        "Entrypoint": ["/usr/local/bin/entrypoint"],
        "Cmd": list(workload.command),
        "User": workload.user,
        "ExposedPorts": {f"{workload.port}/tcp": {}},
        "StopSignal": workload.stop_signal,
    }
    return Recipe(
        workload.name,
        "container",
        (),
        _pinned(workload.packages, pins),
        files,
        commands,
        pocket,
        config,
    )


def front_door_recipe() -> Recipe:
    """The proxy's container image; its configuration is put in when it is deployed."""
    config = {
        "Cmd": ["/usr/sbin/haproxy", "-W", "-db", "-f", "/etc/haproxy/haproxy.cfg"],
        "User": "haproxy",
        "StopSignal": "SIGUSR1",
    }
    return Recipe("front-door", "container", (), ("haproxy",), {}, config=config)
