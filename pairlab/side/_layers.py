"""What the layers of both stacks have in common: this machine's kernel, and its programs on disk."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pairlab.errors import SideError
from pairlab.model import Layer
from pairlab.run import Runner

MIB = 1024**2
BOOT_ID = "/proc/sys/kernel/random/boot_id"


def here(is_local: bool, local: Runner) -> Runner:
    """The runner of the machine whose kernel carries the instances.

    Raises:
        SideError: It is another one.
    """
    if not is_local:
        raise SideError(
            "the daemon is on another machine, into whose kernel nobody can look from here",
            hint="run pairlab on the machine of the daemon",
        )
    return local


def host_kernel(host: Runner) -> Layer:
    """The kernel below both stacks.

    Source: random(4), boot_id: differs after every start of a kernel.
    """
    release = host.run(["uname", "--kernel-name", "--kernel-release"]).stdout.strip()
    boot_id = host.run(["cat", BOOT_ID]).stdout.strip()
    return Layer("host-kernel", f"{release}, boot id {boot_id}", "host")


def files_bytes(paths: Iterable[str]) -> int:
    """Bytes of those files that are still there; an upgrade may have removed one that runs."""
    return sum(Path(path).stat().st_size for path in set(paths) if Path(path).exists())


def mib(size_bytes: int) -> str:
    """Such as `256 MiB`."""
    return f"{size_bytes / MIB:g} MiB"
