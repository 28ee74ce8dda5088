"""Probes of what an instance sees of this host, and of another instance, in which a mark is put."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pairlab.errors import ExerciseError
from pairlab.exercise._isolation_place import Place, Probe, Tried
from pairlab.run import Runner

SAME_UPTIME_S = 5.0
"""Two kernels' uptimes that are closer are one."""
MARK_LIFE_S = 300
"""Seconds after which the marked process ends by itself, should nobody end it."""
ON_DISK = ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs")
_COMMANDS = "for each in /proc/[0-9]*; do tr '\\0' ' ' < $each/cmdline; echo; done 2>/dev/null; :"
_NODES = 'for each in /dev/*; do [ -b "$each" ] && echo "b $each"; [ -c "$each" ] && echo "c $each"; done; :'
# The mark stands in the process's environment and in the file's name, not in the command line of who looks.
_MARK = 'touch "/tmp/$1"; PAIRLAB_MARK=$1 setsid sleep "$2" > /dev/null 2>&1 < /dev/null & echo $!'
_FIND_MARK = 'grep -l -a -s "PAIRLAB_MARK=$1" /proc/[0-9]*/environ; :'
_FIND_FILE = 'find / -xdev -name "$1" 2>/dev/null; find /tmp /run /dev/shm -name "$1" 2>/dev/null; :'


@dataclass(frozen=True)
class Neighbour:
    """Another instance of the same side, in which something waits to be found.

    Attributes:
        name: Its name.
        mark: What to look for.
    """

    name: str
    mark: str


@contextmanager
def marked(name: str, runner: Runner) -> Iterator[Neighbour]:
    """Put a marked process and file into an instance, and take them away in the end.

    Args:
        name: Of the instance.
        runner: Runs commands in it as its usual account.

    Raises:
        ExerciseError: They cannot be found even from inside of that instance.
    """
    mark = f"pairlab-{secrets.token_hex(8)}"
    pid = runner.run(["sh", "-c", _MARK, "sh", mark, str(MARK_LIFE_S)]).stdout.strip()
    try:
        if not (_found(runner, _FIND_MARK, mark) and _found(runner, _FIND_FILE, mark)):
            raise ExerciseError(
                f"what was put into {name} to be looked for is not found there itself",
                hint="that it is not found from elsewhere would say nothing; `invoke lab.status` may say why",
            )
        yield Neighbour(name, mark)
    finally:
        runner.run(["kill", pid], check=False)  # it may have ended by itself
        runner.run(["rm", "-f", f"/tmp/{mark}"])


def _found(runner: Runner, script: str, mark: str) -> str:
    return runner.run(["sh", "-c", script, "sh", mark], check=False).stdout.strip()


def _beyond(place: Place, fence: str) -> str:
    if place.own_kernel:
        return "the virtual hardware: only its own kernel's are there"
    return f"this host's kernel ({fence})"


def processes(place: Place) -> Tried:
    """Look for the very process that makes these probes."""
    own = Path("/proc/self/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    seen = [line.strip() for line in place.runner.run(["sh", "-c", _COMMANDS]).stdout.splitlines()]
    told = f"{len(seen)} are to be seen"
    if own in seen:
        return Tried("listed all processes", f"{told}, this host's among them", "no", "nobody")
    return Tried(
        "listed all processes", f"{told}, none of this host's", "yes", _beyond(place, "its PID namespace")
    )


def memory(place: Place) -> Tried:
    """Compare the memory that it is told of with this host's."""

    def total(runner: Runner) -> int:
        text = runner.run(["cat", "/proc/meminfo"]).stdout
        return int(re.findall(r"^MemTotal: +(\d+) kB$", text, re.MULTILINE)[0])

    own, hosts = total(place.runner), total(place.host)
    told = f"{own // 1024} MiB; this host has {hosts // 1024} MiB"
    if own == hosts:
        return Tried("read the size of the memory", told, "no", "nobody: /proc/meminfo is not parted")
    return Tried("read the size of the memory", told, "yes", "the virtual hardware")


def uptime(place: Place) -> Tried:
    """Compare how long its kernel runs with this host's."""

    def uptime_s(runner: Runner) -> float:
        return float(runner.run(["cat", "/proc/uptime"]).stdout.split()[0])

    apart_s = abs(uptime_s(place.runner) - uptime_s(place.host))
    if apart_s < SAME_UPTIME_S:
        return Tried(
            "read since when it runs", "since this host does", "no", "nobody: /proc/uptime is not parted"
        )
    return Tried("read since when it runs", "another time than this host's", "yes", "the virtual hardware")


def disks(place: Place) -> Tried:
    """Compare the disks that it is told of with this host's."""

    def listed(runner: Runner) -> set[tuple[str, ...]]:
        lines = runner.run(["cat", "/proc/partitions"]).stdout.splitlines()[2:]
        return {tuple(line.split()) for line in lines}

    own, hosts = listed(place.runner), listed(place.host)
    names = ", ".join(sorted(line[3] for line in own)) or "none"
    if own & hosts:
        return Tried(
            "listed all disks", f"{names}: this host's", "no", "nobody: /proc/partitions is not parted"
        )
    return Tried("listed all disks", f"{names}: none of this host's", "yes", "the virtual hardware")


def mounts(place: Place) -> Tried:
    """Look for paths of this host in the table of mounts. Source: proc_pid_mountinfo(5)."""
    paths = set[str]()
    for line in place.runner.run(["cat", "/proc/self/mountinfo"]).stdout.splitlines():
        mounted, _, rest = line.partition(" - ")
        root, kind = mounted.split()[3], rest.split()[0]
        if kind in ON_DISK and root != "/":
            paths.add(root)
        paths |= set(re.findall(r"(?:upperdir|workdir)=([^,\s]+)", rest))
    if paths:
        told = f"it tells of {len(paths)} paths of this host, such as {min(paths)[:48]}…"
        return Tried("read the table of mounts", told, "no", "nobody: the table holds the host's paths")
    return Tried(
        "read the table of mounts", "no path of this host", "yes", _beyond(place, "its mount namespace")
    )


def devices(place: Place) -> Tried:
    """List the device nodes that it has."""
    nodes = place.runner.run(["sh", "-c", _NODES]).stdout.splitlines()
    blocks = [line[2:] for line in nodes if line[0] == "b"]
    told = f"{len(nodes)} nodes, of disks: {', '.join(blocks) or 'none'}"
    return Tried("listed /dev", told, "fact")


def others_memory(place: Place, neighbour: Neighbour) -> Tried:
    """Look for the mark in the memory of every process that it sees."""
    tried = f"looked for a mark in the environment of a process of {neighbour.name}"
    if found := _found(place.runner, _FIND_MARK, neighbour.mark):
        return Tried(tried, f"found it in {found.splitlines()[0]}", "no", "nobody")
    fence = "its PID namespace: it has no number for others' processes"
    return Tried(tried, "not found", "yes", _beyond(place, fence))


def others_files(place: Place, neighbour: Neighbour) -> Tried:
    """Look for the marked file on everything that it sees."""
    tried = f"looked for a marked file of {neighbour.name}"
    if found := _found(place.runner, _FIND_FILE, neighbour.mark):
        return Tried(tried, f"found {found.splitlines()[0]}", "no", "nobody")
    return Tried(
        tried, "not found", "yes", _beyond(place, "its mount namespace, with a writable layer of its own")
    )


VIEW = (
    Probe("processes: are this host's out of sight?", processes),
    Probe("the size of the memory: is this host's out of sight?", memory),
    Probe("since when it runs: is this host's start out of sight?", uptime),
    Probe("the list of disks: are this host's out of sight?", disks),
    Probe("paths of this host: are they out of sight?", mounts),
    Probe("which devices has it?", devices),
)
NEIGHBOUR = (
    ("another instance's memory: is it out of reach?", others_memory),
    ("another instance's files: are they out of reach?", others_files),
)
"""Questions and probes that need a marked instance."""
