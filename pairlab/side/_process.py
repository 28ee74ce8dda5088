"""What this machine's kernel knows of a process: its age, and what its control group used.

Reading files takes microseconds, where the engine's statistics answer once a second at best.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
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
        stat = (proc / str(pid) / "stat").read_text()
        since_boot_s = float((proc / "uptime").read_text().split()[0])
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field, the name in parentheses, may itself hold spaces: count from its end.
    after_name = stat.rpartition(")")[2].split()
    started_s = int(after_name[START_TIME_FIELD - 3]) / os.sysconf("SC_CLK_TCK")
    return max(0.0, since_boot_s - started_s)


def usage(pid: int, *, proc: Path = PROC, cgroups: Path = CGROUPS) -> Usage | None:
    """What the control group of a process used; None if it is gone or not visible from here.

    Source: cgroups(7) for both hierarchies; the Docker CLI's rule that memory in use is the charge
    less the inactive file cache.
    """
    try:
        lines = (proc / str(pid) / "cgroup").read_text().splitlines()
        paths = {
            name: path
            for _, names, path in (line.split(":", 2) for line in lines)
            for name in names.split(",")
        }
        if (cgroups / "cgroup.controllers").exists():
            return _usage_v2(_inside(cgroups, paths[""]))
        return _usage_v1(
            _inside(cgroups / "cpuacct", paths["cpuacct"]), _inside(cgroups / "memory", paths["memory"])
        )
    except (FileNotFoundError, ProcessLookupError, NotADirectoryError, KeyError):
        return None


def _inside(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


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
