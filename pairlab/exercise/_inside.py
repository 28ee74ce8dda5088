"""What exercises do and look at inside an instance, the same over ssh and in a container."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from pairlab.errors import CommandError, ExerciseError
from pairlab.model import Workload
from pairlab.run import Runner

APT_TIMEOUT_S = 300.0
END_TIMEOUT_S = 60.0
SILENT_S = 5.0
"""After so long without an answer nothing runs inside any more."""
POLL_S = 0.2
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


def fetched_bytes(admin: Runner, packages: Mapping[str, str]) -> int:
    """Bytes of the package files by which these versions were installed.

    Source: apt-cache(8), `show`: the field `Size` of each version.

    Raises:
        ExerciseError: apt does not tell each of them once.
    """
    argv = ["apt-cache", "show", *_exactly(packages)]
    sizes = re.findall(r"^Size: (\d+)$", admin.run(argv, timeout_s=APT_TIMEOUT_S).stdout, re.MULTILINE)
    if len(sizes) != len(packages):
        raise ExerciseError(
            f"apt tells {len(sizes)} sizes for the files of {', '.join(packages)}",
            hint="`apt-cache policy` inside the instance shows where it has them from",
        )
    return sum(int(size) for size in sizes)


def install(admin: Runner, packages: Mapping[str, str], *, downgrade: bool = False) -> None:
    """Install packages at exactly these versions, keeping changed configuration files."""
    options = ["--quiet=2", "--yes", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold"]
    options += ["--allow-downgrades"] if downgrade else []
    argv = ["apt-get", *LOCKS, *options, "install", *_exactly(packages)]
    admin.run(argv, env=NONINTERACTIVE, timeout_s=APT_TIMEOUT_S)


def _exactly(packages: Mapping[str, str]) -> list[str]:
    return [f"{name}={version}" for name, version in packages.items()]


def stale_servers(runner: Runner, workload: Workload) -> list[int]:
    """Process ids of the workload's serving processes that run files which were since replaced.

    The kernel marks a mapped file that has no name any more as `(deleted)`.
    Source: proc_pid_maps(5).

    Args:
        runner: May look into the workload's processes: the administrator's in a VM, the usual one in a
            container, where an administrator has no right to trace.
        workload: What runs.

    Raises:
        ExerciseError: No process of the workload runs.
    """
    found = processes(runner, workload)
    return sorted(found.serving & found.stale)


@dataclass(frozen=True)
class Processes:
    """Process ids of a workload in one instance.

    Attributes:
        main: The process that the others are children of.
        serving: Those that have no child which runs the workload's program too.
        stale: Those that run files which were since replaced.
    """

    main: int
    serving: set[int]
    stale: set[int]


def processes(runner: Runner, workload: Workload) -> Processes:
    """The workload's processes.

    Args:
        runner: May look into them, as for `stale_servers`.
        workload: What runs.

    Raises:
        ExerciseError: There are none.
    """
    # The kernel keeps 15 characters of a program's name.
    name = PurePosixPath(workload.command[0]).name[:15]
    listed = runner.run(["sh", "-c", _PROCESSES, "sh", name]).stdout
    parents, stale = dict[int, int](), set[int]()
    for line in listed.splitlines():
        pid, parent, replaced = (int(word) for word in line.split())
        parents[pid] = parent
        stale |= {pid} if replaced else set()
    if not parents:
        raise ExerciseError(f"no {name} process runs in the instance", hint="`invoke lab.logs` may show why")
    main = min(pid for pid, parent in parents.items() if parent not in parents)
    return Processes(main, parents.keys() - parents.values(), stale)


# Process id, parent's id, number of mapped program files that are gone; of each process named $1.
_PROCESSES = r"""
for process in /proc/[0-9]*; do
    read -r name 2>/dev/null < $process/comm && [ "$name" = "$1" ] || continue
    ! grep -q '^State:.Z' $process/status || continue
    parent=$(sed 's/.*) . //; s/ .*//' $process/stat)
    echo "${process#/proc/} $parent $(grep -cE ' /(usr|bin|sbin|lib).* \(deleted\)$' $process/maps)"
done
"""


def end_workload(runner: Runner, workload: Workload, signal: Literal["KILL", "TERM"]) -> None:
    """Signal the workload's main process, and wait until no process of it is left.

    In a container that process is the first one, with which the container ends, and this command too.

    Raises:
        ExerciseError: It goes on.
    """
    found = processes(runner, workload)
    every = [str(pid) for pid in (found.main, *sorted(found.serving - {found.main}))]
    done = runner.run(["sh", "-c", _END, "sh", signal, *every], check=False, timeout_s=END_TIMEOUT_S)
    if done.returncode == WENT_ON:
        raise ExerciseError(
            f"process {found.main} got SIG{signal}, and its processes go on",
            hint="`invoke lab.logs` may show why",
        )


WENT_ON = 99
"""Exit status of `_END`; others come from a shell that ends with its container."""
_END = f"""
kill -s "$1" "$2" || exit {WENT_ON}
shift
tries=200
for pid; do
    while [ -d /proc/$pid ] && ! grep -qs '^State:.Z' /proc/$pid/status; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || exit {WENT_ON}
        sleep 0.05
    done
done
"""


def stop_servers(runner: Runner, workload: Workload) -> None:
    """Let the workload's serving processes hang: they stay, and do nothing any more."""
    serving = sorted(processes(runner, workload).serving)
    runner.run(["sh", "-c", _STOP, "sh", *map(str, serving)], timeout_s=END_TIMEOUT_S)


_STOP = r"""
kill -s STOP "$@"
for pid; do
    until grep -q '^State:.T' /proc/$pid/status; do sleep 0.05; done
done
"""


def start_of_workload(runner: Runner, workload: Workload) -> str:
    """Differs after every start of the workload's main process, in a new instance and in the same one.

    Source: random(4), boot_id; proc_pid_stat(5), field 22.
    """
    return _started(runner, processes(runner, workload).main)


def health_status(runner: Runner, workload: Workload) -> int:
    """HTTP status that an instance itself gets from its workload's health path; 0 where nothing answers."""
    words = [str(workload.port), workload.health_path]
    done = runner.run(["bash", "-c", _ASK, "bash", *words], check=False, timeout_s=END_TIMEOUT_S)
    return int(done.stdout or 0) if done.returncode == 0 else 0


WELL = 200
_ASK = r"""
exec 3<> "/dev/tcp/127.0.0.1/$1" || exit
printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$2" >&3
read -r _ status _ <&3 && echo "$status"
"""


def crash_kernel(admin: Runner, name: str) -> None:
    """Crash the kernel of an instance, which must be its own; wait until nothing runs on it any more.

    Its console would tell of the panic, but libvirt locks up when a domain goes whose console is read.

    Source: Documentation/admin-guide/sysrq.rst of the kernel: `c` crashes the system.

    Args:
        admin: Runs commands in it as its administrator.
        name: Of the instance.

    Raises:
        ExerciseError: It goes on.
    """
    before = identity(admin)
    admin.run(["sh", "-c", _CRASH])
    deadline = time.monotonic() + END_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            if _started(admin, 1, SILENT_S) != before:
                return  # somebody has started it again already
        except CommandError:
            return
        time.sleep(POLL_S)
    raise ExerciseError(
        f"{name} still runs commands after its kernel was to crash",
        hint=f"has its kernel sysrq? `invoke lab.exec {name} 'cat /proc/sys/kernel/sysrq'`",
    )


# What was written is on the disk first; the crash comes when the command that ordered it has ended.
_CRASH = "sync; (sleep 0.5; echo c > /proc/sysrq-trigger) > /dev/null 2>&1 < /dev/null &"


def write_note(admin: Runner, path: str) -> None:
    """Write a small file so that it is on the disk."""
    admin.run(["sh", "-c", 'date > "$1" && sync "$1"', "sh", path])


def has_file(runner: Runner, path: str) -> bool:
    """Whether there is a file in an instance."""
    return runner.run(["test", "-e", path], check=False).returncode == 0


def clock_ahead_s(runner: Runner) -> float:
    """Seconds that the instance's clock is ahead of this host's, as exact as asking it is quick."""
    asked = time.time()
    shown = float(runner.run(["date", "+%s.%N"]).stdout)
    return shown - (asked + time.time()) / 2


def identity(runner: Runner) -> str:
    """Differs after every start of an instance: its kernel's boot id, and when its first process began.

    Source: random(4), boot_id; proc_pid_stat(5), field 22.
    """
    return _started(runner, 1)


def _started(runner: Runner, pid: int, timeout_s: float | None = None) -> str:
    """A kernel's boot id, and when one of its processes began."""
    argv = ["cat", "/proc/sys/kernel/random/boot_id", f"/proc/{pid}/stat"]
    shown = runner.run(argv, timeout_s=timeout_s).stdout.splitlines()
    return f"{shown[0]} {shown[1].rpartition(')')[2].split()[19]}"
