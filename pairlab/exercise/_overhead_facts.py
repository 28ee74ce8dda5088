"""What differs between the places besides their speed: CPUs, processor, filters, and disks."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pairlab.exercise import _overhead_figures as plan
from pairlab.exercise._overhead_place import Place
from pairlab.exercise._overhead_tasks import MIB
from pairlab.model import SideName
from pairlab.results import Verdict
from pairlab.run import Runner
from pairlab.side import Side

WORTH_NAMING = ("avx", "avx2", "avx512f", "sha_ni", "aes", "fma", "bmi2", "erms")
"""Extensions that make much of a difference to programs that use them. Source: Linux, cpufeatures.h."""
FILTER_MODE = "2"
"""Value of `Seccomp` in a process's status. Source: proc_pid_status(5)."""


def cpu_limit(place: Place, wanted: int) -> tuple[str, Verdict]:
    """Whether a place may use as many CPUs as are compared, and by what it is limited.

    Source: Linux, cgroup-v2.rst (cpu.max) and sched-bwc.rst (cpu.cfs_quota_us, cpu.cfs_period_us).
    """
    printed = place.runner.run(["sh", "-c", _QUOTA]).stdout.split()
    quota, period = (printed[0], int(printed[1])) if len(printed) > 1 else ("max", 1)
    count = len(place.cpus)
    told = f"{count} CPU" if count == 1 else f"{count} CPUs"
    if quota in ("max", "-1"):
        return f"{told}, no limit of a control group", "yes" if count >= wanted else "no"
    limit = int(quota) / period
    verdict: Verdict = "yes" if min(count, limit) >= wanted else "no"
    return f"{told}, of which its control group may use {limit:g} at once", verdict


# Version 2 of control groups, or 1; the root of either has none.
_QUOTA = (
    "cat /sys/fs/cgroup/cpu.max 2>/dev/null"
    " || cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us 2>/dev/null || :"
)


def last_cache(host: Runner) -> str:
    """Whether the arrays of STREAM's one worker fit into the last cache of this host.

    Source: Linux, ABI/testing/sysfs-devices-system-cpu: `size`, such as `8192K`, of each cache of a CPU, of
    which the last is the largest; McCalpin, STREAM: each array at least four times that.
    """
    sizes = host.run(["sh", "-c", "cat /sys/devices/system/cpu/cpu0/cache/index*/size || :"]).stdout
    cache_bytes = 1024 * max(map(int, re.findall(r"^(\d+)K$", sizes, re.MULTILINE)), default=0)
    if not cache_bytes:
        return "unknown: this host does not tell how large it is"
    sized = f"{cache_bytes / MIB:g} MiB, three arrays of {plan.ARRAY_BYTES // MIB} MiB on one CPU"
    if cache_bytes >= 3 * plan.ARRAY_BYTES:
        return f"{sized}: all of them may, and then that cache is measured, not memory"
    if 4 * cache_bytes > plan.ARRAY_BYTES:
        return f"{sized}: part of them may, and memory alone be slower than what is measured"
    return f"{sized}: hardly anything of them, it is memory that is measured"


def processor(runner: Runner, host: Runner) -> str:
    """Which processor programs see, and what of the host's it lacks."""
    name, flags = _processor(runner)
    missing = _processor(host)[1] - flags
    if not missing:
        return f"{name}, with all that this host's can"
    named = ", ".join(sorted(missing & {*WORTH_NAMING}))
    return f"{name}, without {len(missing)} features of this host's" + (
        f", among them {named}" if named else ""
    )


def _processor(runner: Runner) -> tuple[str, set[str]]:
    text = runner.run(["cat", "/proc/cpuinfo"]).stdout
    name = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    flags = re.search(r"^flags\s*: (.+)$", text, re.MULTILINE)
    return name[1] if name else "unknown", set(flags[1].split()) if flags else set()


def system_call_filter(runner: Runner) -> str:
    """Whether a seccomp filter looks at each system call."""
    status = runner.run(["cat", "/proc/self/status"]).stdout
    mode = re.search(r"^Seccomp:\s*(\d)$", status, re.MULTILINE)
    return "a seccomp filter looks at each" if mode and mode[1] == FILTER_MODE else "none"


def storage(place: Place, sides: Mapping[SideName, Side], *, direct: bool) -> str:
    """What the test file goes through, from the place's own file system down."""
    argv = ["df", "--output=source,fstype", place.folder]
    source, kind = place.runner.run(argv).stdout.splitlines()[-1].split()
    bypass = "opened past its kernel's page cache (O_DIRECT)" if direct else "through its kernel's page cache"
    told = f"{kind}, {bypass}" if source == kind else f"{kind} on {source}, {bypass}"
    if place.variant.side is None:
        return told
    below = next(layer for layer in sides[place.variant.side].layers(0) if layer.part == "own-disk")
    if place.variant.side is SideName.VM:
        return f"{told}; below that, through this host's page cache, its files: {below.found}"
    return f"{told}; that is {below.found} in a folder of this host"
