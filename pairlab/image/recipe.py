"""What goes into an image: packages and rendered files, as data with a digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pairlab.image.container_archive import file_digest
from pairlab.model import GUEST_USER, HEALTHCHECK, BootKind, Repository, Workload
from pairlab.render import TEMPLATES, render

FORMAT = 4
"""Raised when the way of building changes what comes out."""

BUILD_SCRIPT = "image/build.sh.j2"
BOOT_SCRIPT = "image/grub.cfg.j2"
BASE_PACKAGES = ("apt",)
"""Beside Debian's essential ones; apt stays in the images, so that they can be patched in place."""
KERNEL_PACKAGE = "linux-image-cloud-amd64"
"""Depends on the newest kernel; has no files of its own."""
VM_PACKAGES = (
    KERNEL_PACKAGE,
    "tiny-initramfs",
    "systemd",
    "systemd-sysv",
    "openssh-server",
    "iproute2",
    "iputils-ping",
    "sudo",
)
MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "isofs")
"""What the initial RAM file system loads: the rest of the guest needs no module and no udev."""

TOOL_PACKAGES = ("openssl", "stress-ng", "sysbench")
TOOLS = ("dd", "openssl", "stress-ng", "sysbench", "taskset", "timeout")
TREE = "/opt/pairlab-tools"
"""Where the programs are gathered in the root file system that they are taken from."""

GENERATORS = (
    "systemd-cryptsetup-generator",
    "systemd-debug-generator",
    "systemd-fstab-generator",
    "systemd-getty-generator",
    "systemd-gpt-auto-generator",
    "systemd-hibernate-resume-generator",
    "systemd-integritysetup-generator",
    "systemd-rc-local-generator",
    "systemd-run-generator",
    "systemd-system-update-generator",
    "systemd-sysv-generator",
    "systemd-veritysetup-generator",
)
"""They look for what this guest never has, each a process before the first unit starts."""
MASKED = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "dev-hugepages.mount",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "proc-sys-fs-binfmt_misc.automount",
    "getty-static.service",
    "getty@tty1.service",
    "kmod-static-nodes.service",
    "systemd-ask-password-console.path",
    "systemd-ask-password-wall.path",
    "systemd-binfmt.service",
    "systemd-logind.service",
    "systemd-modules-load.service",
    "systemd-pstore.service",
    "systemd-repart.service",
    "systemd-update-utmp.service",
    "systemd-update-utmp-runlevel.service",
    "dev-mqueue.mount",
    "systemd-random-seed.service",
    "systemd-sysusers.service",
    "systemd-tmpfiles-setup-dev.service",
    "systemd-user-sessions.service",
)
"""Units that need hardware, udev or D-Bus, that would change the guest behind an experiment's back, or that
have nothing to do here: accounts come with the packages, device nodes and random numbers from the kernel.
"""
QUICK_KERNEL = ("cryptomgr.notests", "no_timer_check", "noreplace-smp")
"""What a kernel need not do at its start in a QEMU guest; emulated, that takes half a second.

Source: the kernel's documentation, admin-guide/kernel-parameters.
"""
CMDLINE = (
    *QUICK_KERNEL,
    "rw",
    "rootfstype=ext4",
    "console=ttyS0",
    "quiet",
    "net.ifnames=0",
    "systemd.show_status=false",
)
ROOT_DEVICES = {"direct": "/dev/vda", "disk": "/dev/vda1"}
"""How a VM starts -> its root: the whole disk, or the partition that leaves place for a boot loader."""


@dataclass(frozen=True)
class File:
    """A file in an image."""

    content: str
    mode: int = 0o644


@dataclass(frozen=True)
class HostFile:
    """A file of this host that an image gets. What it holds makes a recipe, not where it lies."""

    source: Path
    sha256: str
    mode: int = 0o644


Files = Mapping[str, File | HostFile]
"""Path in the image -> file."""


@dataclass(frozen=True)
class Recipe:
    """One image.

    Attributes:
        name: The workload's name, or `front-door`.
        form: `vm`, `container`, or `tree` for files of which no instance is made.
        packages: Packages beside those of its base.
        files: Path -> file.
        commands: Run in its root at the end, as argument lists.
        config: The container's run-time configuration.
        updates: Packages that take the place of the release pocket's.
        boot: How a VM starts: `direct`, by the image's kernel files; `disk`, by a boot loader on the disk.
    """

    name: str
    form: str
    packages: tuple[str, ...]
    files: Files
    commands: tuple[tuple[str, ...], ...] = ()
    config: Mapping[str, object] = field(default_factory=dict[str, object])
    updates: Repository | None = None
    boot: BootKind = "direct"

    @property
    def boots_itself(self) -> bool:
        """Whether its disk has a boot loader, and so owns its kernel."""
        return self.form == "vm" and self.boot == "disk"

    @property
    def cmdline(self) -> tuple[str, ...]:
        """Kernel parameters of a VM."""
        return (f"root={ROOT_DEVICES[self.boot]}", *CMDLINE)

    @property
    def digest(self) -> str:
        """16 hexadecimal digits over all of it, and over the base that it stands on."""
        base = [BASE_PACKAGES, VM_PACKAGES if self.form == "vm" else (), MODULES]
        scripts = (BUILD_SCRIPT, BOOT_SCRIPT) if self.boots_itself else (BUILD_SCRIPT,)
        way = [(TEMPLATES / name).read_text() for name in scripts]
        line = self.cmdline if self.boots_itself else ()
        return short_digest([FORMAT, way, base, line, asdict(self, dict_factory=_without_place)], 16)


def _without_place(fields: list[tuple[str, object]]) -> dict[str, object]:
    """Leaves out where something lies, and by which key a repository of equal packages was signed."""
    return {name: value for name, value in fields if name not in ("source", "folder", "public_key")}


def short_digest(value: object, length: int) -> str:
    """The first hexadecimal digits of the SHA-256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def workload_files(workload: Workload, side: str) -> dict[str, File]:
    """Path -> file, of what a workload's image gets on a side."""
    executable = set(workload.executable)
    return {
        path: File(render(template, side=side, port=workload.port), 0o755 if path in executable else 0o644)
        for path, template in workload.files.items()
    }


def vm_base_files() -> dict[str, File]:
    """What must be there before the kernel is installed: it makes its initial RAM file system then."""
    path = "/etc/tiny-initramfs/tiny-initramfs.conf"
    return {path: File(render("guest/tiny-initramfs.conf.j2", modules=MODULES))}


def vm_recipe(workload: Workload, updates: Repository | None = None, *, boot: BootKind = "direct") -> Recipe:
    """The VM disk of a workload: a whole system, of which only what the workload needs starts first."""
    units = (workload.unit, *workload.enable)
    first = " ".join((*units, "ssh.service"))
    files = workload_files(workload, "vm") | {
        "/usr/local/sbin/pairlab-seed": File(render("guest/pairlab-seed.pl.j2"), 0o755),
    }
    for name in ("pairlab.target", "pairlab-seed.service", "pairlab-settle.service"):
        files[f"/etc/systemd/system/{name}"] = File(render(f"guest/{name}.j2", units=first))
    for unit in units:
        drop_in = render("guest/drop-in.conf.j2", after="", lines=workload.unit_lines)
        files[f"/etc/systemd/system/{unit}.d/pairlab.conf"] = File(drop_in)
    quick_ssh = render("guest/drop-in.conf.j2", after=workload.unit, lines=("ExecStartPre=",))
    files["/etc/systemd/system/ssh.service.d/pairlab.conf"] = File(quick_ssh)
    generators = "/etc/systemd/system-generators"
    commands = (
        ("systemctl", "--quiet", "mask", *MASKED),
        ("mkdir", "-p", generators),
        *(("ln", "-s", "/dev/null", f"{generators}/{name}") for name in GENERATORS),
        # Otherwise nobody may log in between the first ssh and the end of the start.
        ("ln", "-s", "/dev/null", "/etc/tmpfiles.d/systemd-nologin.conf"),
        # A login's greeting, and word of mail, would be several processes more for every command by ssh.
        ("sed", "-i", "-E", "/pam_(motd|mail)\\.so/d", "/etc/pam.d/sshd"),
        ("systemctl", "--quiet", "set-default", "pairlab.target"),
        ("useradd", "--create-home", "--shell", "/bin/bash", "--groups", "systemd-journal", GUEST_USER),
        ("rm", "-f", "/etc/fstab"),
        ("sh", "-c", "rm -f /etc/ssh/ssh_host_*"),
    )
    return Recipe(workload.name, "vm", workload.packages, files, commands, updates=updates, boot=boot)


def container_recipe(workload: Workload, updates: Repository | None = None) -> Recipe:
    """The container image of a workload: user space only, one process, no root."""
    files = workload_files(workload, "container") | {
        "/usr/local/bin/entrypoint": File(render("workload/entrypoint.sh.j2"), 0o755),
        HEALTHCHECK: File(
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
        # The format counts in nanoseconds.
        "Healthcheck": {
            "Test": ["CMD", HEALTHCHECK],
            "Interval": 5 * 10**9,
            "Timeout": 5 * 10**9,
            "Retries": 3,
        },
    }
    return Recipe(workload.name, "container", workload.packages, files, commands, config, updates)


def front_door_recipe() -> Recipe:
    """The proxy's container image; its configuration is put in when it is deployed."""
    config = {
        "Cmd": ["/usr/sbin/haproxy", "-W", "-db", "-f", "/etc/haproxy/haproxy.cfg"],
        "User": "haproxy",
        "StopSignal": "SIGUSR1",
    }
    return Recipe("front-door", "container", ("haproxy",), {}, config=config)


def tools_recipe() -> Recipe:
    """A tree of programs to measure with, each with its libraries, that runs in any place."""
    gather = "/usr/local/sbin/gather"
    files = {gather: File(render("image/gather.sh.j2", tree=TREE, programs=TOOLS), 0o755)}
    return Recipe("tools", "tree", TOOL_PACKAGES, files, ((gather,),))


REPOSITORY_ROOT = "/srv/updates"


def repository_recipe(repository: Repository) -> Recipe:
    """A container image that serves a package repository; where it listens is put in when it is deployed."""
    files = {
        f"{REPOSITORY_ROOT}/{path.name}": HostFile(path, file_digest(path))
        for path in sorted(repository.folder.iterdir())
    }
    config = {
        "Cmd": ["/usr/sbin/nginx", "-g", "daemon off;"],
        "User": "www-data",
        "StopSignal": "SIGQUIT",
    }
    return Recipe("updates", "container", ("nginx",), files, config=config)
