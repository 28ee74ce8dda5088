"""What exercises do and look at inside an instance, the same over ssh and in a container."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from pairlab.errors import ExerciseError
from pairlab.model import Workload
from pairlab.run import Runner

APT_TIMEOUT_S = 300.0
NONINTERACTIVE = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
LOCKS = ["-o", "DPkg::Lock::Timeout=60"]
MARKER = "/run/pairlab/fresh"
"""A file whose time says when the instance was fresh; /run is not part of the image."""
LOOKED_AT = ("/bin", "/etc", "/home", "/lib", "/opt", "/root", "/sbin", "/usr", "/var")


def manifest(runner: Runner) -> dict[str, str]:
    """Package -> version, as installed now."""
    listed = runner.run(["dpkg-query", "--show", "--showformat", "${Package} ${Version}\\n"]).stdout
    return dict(line.split(" ", 1) for line in listed.splitlines())


def package_version(runner: Runner, package: str) -> str:
    """The installed version of a package."""
    return runner.run(["dpkg-query", "--show", "--showformat", "${Version}", package]).stdout.strip()


def mark_fresh(admin: Runner) -> None:
    """Remember now as the time from which changed files count."""
    admin.run(["touch", MARKER])


def changed_files(admin: Runner) -> list[str]:
    """Paths of files that were made or changed since `mark_fresh`, on the instance's own disk."""
    found = admin.run(["find", "-H", *LOOKED_AT, "-xdev", "-type", "f", "-cnewer", MARKER]).stdout
    return sorted(set(found.split()))


def download_bytes(admin: Runner, packages: Sequence[str]) -> int:
    """Bytes of package files that installing these would fetch.

    Source: apt-get(8), `--print-uris`: URI, file name, size and digest of each file, a line each.
    """
    argv = ["apt-get", *LOCKS, "--quiet=2", "--print-uris", "install", "--only-upgrade", *packages]
    lines = admin.run(argv, env=NONINTERACTIVE, timeout_s=APT_TIMEOUT_S).stdout.splitlines()
    found = [re.fullmatch(r"'[^']+' \S+ (\d+) \S+", line.strip()) for line in lines]
    return sum(int(match[1]) for match in found if match)


def install(admin: Runner, packages: Mapping[str, str], *, downgrade: bool = False) -> None:
    """Install packages at exactly these versions, keeping changed configuration files."""
    options = ["--quiet=2", "--yes", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold"]
    options += ["--allow-downgrades"] if downgrade else []
    wanted = [f"{name}={version}" for name, version in packages.items()]
    admin.run(["apt-get", *LOCKS, *options, "install", *wanted], env=NONINTERACTIVE, timeout_s=APT_TIMEOUT_S)


def stale_servers(runner: Runner, workload: Workload) -> list[int]:
    """Process ids of the workload's serving processes that run files which were since replaced.

    Serving processes run the workload's program and have no child that runs it too. The kernel marks a
    mapped file that has no name any more as `(deleted)`.
    Source: proc_pid_maps(5).

    Args:
        runner: May look into the workload's processes: the administrator's in a VM, the usual one in a
            container, where an administrator has no right to trace.
        workload: What runs.

    Raises:
        ExerciseError: No process of the workload runs.
    """
    # The kernel keeps 15 characters of a program's name.
    name = PurePosixPath(workload.command[0]).name[:15]
    listed = runner.run(["sh", "-c", _PROCESSES, "sh", name]).stdout
    parents, stale = dict[int, int](), set[int]()
    for line in listed.splitlines():
        pid, parent, replaced = (int(word) for word in line.split())
        parents[pid] = parent
        stale |= {pid} if replaced else set()
    serving = parents.keys() - parents.values()
    if not serving:
        raise ExerciseError(f"no {name} process runs in the instance", hint="`invoke lab.logs` may show why")
    return sorted(serving & stale)


# Process id, parent's id, number of mapped program files that are gone; of each process named $1.
_PROCESSES = r"""
for process in /proc/[0-9]*; do
    read -r name 2>/dev/null < $process/comm && [ "$name" = "$1" ] || continue
    parent=$(sed 's/.*) . //; s/ .*//' $process/stat)
    echo "${process#/proc/} $parent $(grep -cE ' /(usr|bin|sbin|lib).* \(deleted\)$' $process/maps)"
done
"""


def identity(runner: Runner) -> str:
    """Differs after every start of an instance: its kernel's boot id, and when its first process began.

    Source: random(4), boot_id; proc_pid_stat(5), field 22.
    """
    shown = runner.run(["cat", "/proc/sys/kernel/random/boot_id", "/proc/1/stat"]).stdout.splitlines()
    return f"{shown[0]} {shown[1].rpartition(')')[2].split()[19]}"
