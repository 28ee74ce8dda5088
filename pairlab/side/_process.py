"""What this machine's kernel knows of processes: age, memory, files, and what a control group used.

Reading files takes microseconds, where the engine's statistics answer once a second at best.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
PARENT_FIELD = 4
START_TIME_FIELD = 22


@dataclass(frozen=True)
class Usage:
    """What a control group used: CPU seconds so far, and memory bytes now without idle file cache."""

    cpu_s: float
    memory_bytes: int


def age_s(pid: int, *, proc: Path = PROC) -> float | None:
    """Seconds since a process started; None if there is none.

    Source: proc_pid_stat(5), field 22, in clock ticks after boot.
    """
    try:
        started_s = int(fields_of(pid, proc=proc)[START_TIME_FIELD - 3]) / os.sysconf("SC_CLK_TCK")
        since_boot_s = float((proc / "uptime").read_text().split()[0])
    except (FileNotFoundError, ProcessLookupError):
        return None
    return max(0.0, since_boot_s - started_s)


def fields_of(pid: int, *, proc: Path = PROC) -> list[str]:
    """What the kernel tells of a process, from field 3 of its `stat` on.

    Raises:
        FileNotFoundError: There is none.
        ProcessLookupError: It ended meanwhile.
    """
    # The second field, the name in parentheses, may itself hold spaces: count from its end.
    return (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()


def status(pid: int, *, proc: Path = PROC) -> dict[str, str]:
    """Name -> value of a process's status, which everybody may read; empty if there is none.

    Source: proc_pid_status(5).
    """
    try:
        lines = (proc / str(pid) / "status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def named(names: Iterable[str], *, proc: Path = PROC) -> list[int]:
    """Processes of these names on this machine, without those in containers, which count anew inside."""
    # The kernel keeps 15 characters of a program's name.
    wanted, found = {name[:15] for name in names}, list[int]()
    for path in proc.iterdir():
        known = status(int(path.name), proc=proc) if path.name.isdigit() else {}
        if known.get("Name") in wanted and len(known.get("NSpid", "").split()) <= 1:
            found.append(int(path.name))
    return sorted(found)


def usage(pid: int, *, proc: Path = PROC, cgroups: Path = CGROUPS) -> Usage | None:
    """What the control group of a process used; None if it is gone or not visible from here.

    Source: cgroups(7) for both hierarchies; the Docker CLI's rule that memory in use is the charge
    less the inactive file cache.
    """
    try:
        if (cgroups / "cgroup.controllers").exists():
            return _usage_v2(_paths(pid, proc, cgroups)[""])
        paths = _paths(pid, proc, cgroups)
        return _usage_v1(paths["cpuacct"], paths["memory"])
    except (FileNotFoundError, ProcessLookupError, NotADirectoryError, KeyError):
        return None


def group_of(pid: int, controller: str, *, proc: Path = PROC, cgroups: Path = CGROUPS) -> Path | None:
    """Folder of the control group in which a controller accounts for a process; None for the host's own.

    Of the unified hierarchy it is the nearest one that has the controller: libvirt keeps threads of a VM in
    groups below, which have none for memory.

    Source: cgroups(7).
    """
    try:
        unified = (cgroups / "cgroup.controllers").exists()
        top = cgroups if unified else cgroups / controller
        group = _paths(pid, proc, cgroups)["" if unified else controller]
    except (FileNotFoundError, ProcessLookupError, KeyError):
        return None
    while unified and group != top and not (group / f"{controller}.stat").exists():
        group = group.parent
    return None if group == top else group


def _paths(pid: int, proc: Path, cgroups: Path) -> dict[str, Path]:
    """Controller -> folder of a process's group; the unified hierarchy has an empty name."""
    unified = (cgroups / "cgroup.controllers").exists()
    found = {}
    for line in (proc / str(pid) / "cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        for name in names.split(","):
            found[name] = (cgroups if unified else cgroups / name) / path.lstrip("/")
    return found


def _usage_v2(group: Path) -> Usage:
    cpu = _fields(group / "cpu.stat")
    idle = _fields(group / "memory.stat")["inactive_file"]
    return Usage(cpu["usage_usec"] / 1e6, max(0, int((group / "memory.current").read_text()) - idle))


def _usage_v1(cpu_group: Path, memory_group: Path) -> Usage:
    cpu_ns = int((cpu_group / "cpuacct.usage").read_text())
    charged = int((memory_group / "memory.usage_in_bytes").read_text())
    idle = _fields(memory_group / "memory.stat")["total_inactive_file"]
    return Usage(cpu_ns / 1e9, max(0, charged - idle))


def _fields(path: Path) -> dict[str, int]:
    return {name: int(value) for name, value in (line.split() for line in path.read_text().splitlines())}
