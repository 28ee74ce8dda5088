"""What an instance shows of itself from inside: its kernel, its processes, its root file system."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from pairlab.errors import ExerciseError
from pairlab.run import Runner

KIB = 1024
KERNEL_FIELDS = ("Slab", "KernelStack", "PageTables", "Percpu")
CACHE_FIELDS = ("Cached", "Buffers")
BOOT_ID = "/proc/sys/kernel/random/boot_id"
# What ends meanwhile is not of interest.
_STATUS = "echo $$; for each in /proc/[0-9]*; do cat $each/status $each/smaps_rollup; done 2>/dev/null; :"
_NAMESPACES = "for each in /proc/$$/ns/*; do readlink $each; done"


@dataclass(frozen=True)
class Process:
    """A process as seen from inside.

    Attributes:
        pid: Its number inside.
        parent: Number of its parent; 0 where that is outside, or it is the first.
        name: The kernel's name for it, 15 characters.
        anonymous_bytes: Memory that is of no file; of a page that several share, its part.
        of_kernel: It is a thread of the kernel.
    """

    pid: int
    parent: int
    name: str
    anonymous_bytes: int
    of_kernel: bool


@dataclass(frozen=True)
class Crew:
    """The processes of an instance by what they do.

    Attributes:
        kernel: Threads of its own kernel; none where it has no kernel.
        init: Process 1, unless that is the workload itself.
        services: All others.
        app: The workload's.
    """

    kernel: list[Process]
    init: list[Process]
    services: list[Process]
    app: list[Process]


def crew(runner: Runner, command: Sequence[str]) -> Crew:
    """The processes of an instance, without those that look.

    Args:
        runner: Runs commands in the instance that may look into its processes.
        command: The workload's.

    Raises:
        ExerciseError: The workload does not run.
    """
    printed = runner.run(["sh", "-c", _STATUS]).stdout
    own, _, text = printed.partition("\n")
    return sort_out(list(_parse(text)), int(own), PurePosixPath(command[0]).name[:15])


def _parse(text: str) -> Iterator[Process]:
    """Blocks of /proc/PID/status and smaps_rollup. Source: proc_pid_status(5), proc_pid_smaps(5)."""
    for block in re.split(r"^(?=Name:)", text, flags=re.MULTILINE):
        lines = (line.partition(":") for line in block.splitlines())
        fields = {name: value.strip() for name, _, value in lines}
        if "PPid" not in fields or fields.get("State", "Z")[:1] == "Z":
            continue
        of_kernel = "VmSize" not in fields
        if not of_kernel and "Pss_Anon" not in fields:
            continue  # it ended before all of it was read
        anonymous = [fields.get(name, "0").split()[0] for name in ("Pss_Anon", "Pss_Shmem")]
        yield Process(
            int(fields["Pid"]),
            int(fields["PPid"]),
            fields["Name"],
            KIB * sum(map(int, anonymous)),
            of_kernel=of_kernel,
        )


def sort_out(processes: Sequence[Process], own: int, app: str) -> Crew:
    """Processes by what they do.

    Args:
        processes: All that are seen.
        own: Number of the one that looks.
        app: Name of the workload's program.

    Raises:
        ExerciseError: No process has that name.
    """
    parents = {each.pid: each.parent for each in processes}

    def ancestry(pid: int) -> list[int]:
        """From the process up to the first one that has no parent here."""
        line = [pid]
        while (parent := parents.get(line[-1], 0)) and parent not in line:
            line.append(parent)
        return line

    # What looks came in by a server of init's: all below that server is of the visit. In a container it came
    # from outside, as health checks do: nothing of these stands below process 1.
    visit = ancestry(own)[:-2][-1:]
    user = [each for each in processes if not each.of_kernel and ancestry(each.pid)[-1] == 1]
    resident = [each for each in user if not {*visit} & {*ancestry(each.pid)}]
    workload = [each for each in resident if each.name == app]
    if not workload:
        raise ExerciseError(f"no {app} process runs in the instance", hint="`invoke lab.logs` may show why")
    others = [each for each in resident if each not in workload]
    return Crew(
        kernel=[each for each in processes if each.of_kernel],
        init=[each for each in others if each.pid == 1],
        services=[each for each in others if each.pid != 1],
        app=workload,
    )


def boot_id(runner: Runner) -> str:
    """Differs after every start of a kernel. Source: random(4)."""
    return runner.run(["cat", BOOT_ID]).stdout.strip()


def release(runner: Runner) -> str:
    """The kernel's name and release."""
    return runner.run(["uname", "-sr"]).stdout.strip()


def kernel_memory(admin: Runner) -> tuple[int, int]:
    """Bytes that a guest's kernel has for itself, and those of its file cache.

    Source: proc_iomem(5), addresses in hexadecimal; proc_meminfo(5), in kibibytes.
    """
    text = admin.run(["cat", "/proc/iomem", "/proc/meminfo"]).stdout
    ranges = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) : System RAM$", text, re.MULTILINE)
    ram = sum(int(last, 16) - int(first, 16) + 1 for first, last in ranges)
    told = {name: KIB * int(amount) for name, amount in re.findall(r"^(\w+): +(\d+) kB$", text, re.MULTILINE)}
    own = ram - told["MemTotal"] + sum(told[name] for name in KERNEL_FIELDS)
    return own, sum(told[name] for name in CACHE_FIELDS)


def root_file_system(runner: Runner) -> str:
    """Such as `ext4 on /dev/vda`, or `overlay of 3 layers`. Source: proc_pid_mountinfo(5)."""
    text = runner.run(["cat", "/proc/self/mountinfo"]).stdout
    for line in text.splitlines():
        mounted, _, rest = line.partition(" - ")
        if mounted.split()[4] == "/":
            kind, source, options = rest.split(maxsplit=2)
            lower = re.search(r"lowerdir=([^,]+)", options)
            return f"{kind} of {lower[1].count(':') + 1} layers" if lower else f"{kind} on {source}"
    raise ExerciseError("the instance has no root file system", hint="`invoke lab.exec` may show why")


def namespaces(runner: Runner) -> set[str]:
    """Such as `pid:[4026531836]`; equal numbers are one namespace, where the kernel is one.

    Source: namespaces(7).
    """
    return set(runner.run(["sh", "-c", _NAMESPACES]).stdout.split())
