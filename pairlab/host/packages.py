"""The Debian packages and the compiled Python binding that a lab's host needs."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from shutil import which

from pairlab.errors import HostError
from pairlab.host.steps import Host, Step
from pairlab.progress import Progress, heartbeat

LIBVIRT_LOCK = Path(__file__).resolve().parent.parent.parent / "requirements-libvirt.lock"
LOCK_WAIT_S = 300
INSTALL_TIMEOUT_S = 3600.0

DAEMON_PACKAGES = ("docker.io", "iptables", "libvirt-daemon-system", "libvirt-clients", "dnsmasq-base")
QEMU_PACKAGES = ("qemu-system-x86", "qemu-utils")
IMAGE_PACKAGES = (
    "mmdebstrap",
    "e2fsprogs",
    "busybox-static",
    "cpio",
    "xz-utils",
    "zstd",
    "uidmap",
    "apt-utils",
    "sqop",
)
BOOT_PACKAGES = ("grub-common", "grub-pc-bin")
BUILD_PACKAGES = ("libvirt-dev", "pkg-config", "gcc", "libc6-dev")
OTHER_PACKAGES = ("openssh-client", "ca-certificates", "curl", "iproute2", "xsltproc")
REAPER_PACKAGES = ("tini",)
"""What daemons are started under by hand, where no systemd does it."""
TEST_PACKAGES = ("chromium", "chromium-driver")
"""What only the tests need: a browser that opens the reports."""


def wanted_packages(host: Host, more: Sequence[str] = ()) -> list[str]:
    """Debian packages for this host, whether installed or not; `more` are wanted besides what labs need."""
    wanted = [
        *DAEMON_PACKAGES,
        *QEMU_PACKAGES,
        *IMAGE_PACKAGES,
        *BOOT_PACKAGES,
        *BUILD_PACKAGES,
        *OTHER_PACKAGES,
        *(() if host.systemd else REAPER_PACKAGES),
        *more,
    ]
    if which("dockerd") and not _installed(host, ["docker.io"]):
        wanted.remove("docker.io")  # another edition of Docker is here, and would be replaced
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        wanted.append(f"python3.{sys.version_info.minor}-dev")
    return wanted


def missing_packages(host: Host, more: Sequence[str] = ()) -> list[str]:
    """Those of `wanted_packages` that are not installed."""
    wanted = wanted_packages(host, more)
    present = _installed(host, wanted)
    return [package for package in wanted if package not in present]


def packages_step(host: Host, more: Sequence[str] = ()) -> Step:
    """Installs the Debian packages that labs need, and `more`."""
    missing = missing_packages(host, more)

    def apply(progress: Progress) -> None:
        if not which("apt-get"):
            raise HostError(
                "this is not a Debian system, and packages are missing: " + ", ".join(missing),
                hint="install what they hold by other means, or use Debian 12 or newer",
            )
        last = ["apt-get is at work"]

        def keep(line: str) -> None:
            last[0] = line.strip()[:100] or last[0]

        frontend = {"DEBIAN_FRONTEND": "noninteractive"}
        apt = ["apt-get", "-q", "-y", "-o", f"DPkg::Lock::Timeout={LOCK_WAIT_S}"]
        with heartbeat(progress, lambda: last[0]):
            progress("reading the lists of Debian packages")
            host.admin.run([*apt, "update"], env=frontend, timeout_s=INSTALL_TIMEOUT_S, on_line=keep)
            progress(f"installing {len(missing)} Debian packages and what they need")
            install = [*apt, "install", "--no-install-recommends", *missing]
            host.admin.run(install, env=frontend, timeout_s=INSTALL_TIMEOUT_S, on_line=keep)

    return Step(
        "Debian packages",
        "install " + " ".join(missing),
        done=lambda: not missing,
        apply=apply,
    )


def _installed(host: Host, packages: list[str]) -> set[str]:
    """Source: dpkg-query(1): the status abbreviation `ii` is `installed, as wanted`."""
    if not which("dpkg-query"):
        return set()
    argv = ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Abbrev}\\n", *packages]
    lines = host.runner.run(argv, check=False, timeout_s=15).stdout.splitlines()
    return {line.split()[0] for line in lines if line.split()[1:] in (["ii"], ["hi"])}


def binding_version() -> str | None:
    """Version of the installed libvirt-python; None if there is none."""
    importlib.invalidate_caches()
    try:
        return importlib.metadata.version("libvirt-python")
    except importlib.metadata.PackageNotFoundError:
        return None


def locked_binding_version() -> str:
    """Version of libvirt-python in its lock."""
    match = re.search(r"^libvirt-python==(\S+)", LIBVIRT_LOCK.read_text(), re.MULTILINE)
    if match is None:
        raise HostError(f"{LIBVIRT_LOCK} lacks libvirt-python", hint="restore it from version control")
    return match[1]


def binding_step(host: Host) -> Step:
    """Builds libvirt-python, which has no wheels, into the running environment."""
    told = "building libvirt-python against this host's libvirt"

    def apply(progress: Progress) -> None:
        progress(told)
        pip = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--no-deps",
            "--require-hashes",
            "--progress-bar",
            "off",
        ]
        # Its build needs setuptools only, which the environment's own lock has.
        argv = [*pip, "--no-build-isolation", "-r", str(LIBVIRT_LOCK)]
        with heartbeat(progress, lambda: told):
            host.runner.run(argv, timeout_s=INSTALL_TIMEOUT_S)
        importlib.invalidate_caches()

    return Step(
        "libvirt-python",
        f"build libvirt-python {locked_binding_version()} into {sys.prefix}",
        done=lambda: binding_version() == locked_binding_version(),
        apply=apply,
        admin=False,
    )
