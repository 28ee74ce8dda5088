"""When an instance's start got how far, as told by the clocks inside it and set against this host's."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from pairlab.errors import ExerciseError
from pairlab.model import Workload
from pairlab.run import Runner

READ_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Inside:
    """Steps of a start, in seconds of this host's `time.monotonic`.

    Attributes:
        serving: The process that serves began.
        kernel: The clock of its own kernel began; None where it has no kernel of its own.
        init: Its init began to run; None where it has none.
        unit: The workload's unit was begun; None where there is no init.
    """

    serving: float
    kernel: float | None = None
    init: float | None = None
    unit: float | None = None


def look_inside(
    runner: Runner, workload: Workload, *, machine: bool, now: Callable[[], float] = time.monotonic
) -> Inside:
    """Ask an instance for the steps of its start.

    Its clock is set against this host's by lines that carry its uptime: none arrives before it was written,
    so the least difference of arrival and uptime is the closest. What is left is the way of one line and the
    hundredths of a second in which uptimes count.

    Source: proc_uptime(5); proc_pid_stat(5), field 22; org.freedesktop.systemd1(5),
    UserspaceTimestampMonotonic and InactiveExitTimestampMonotonic, in microseconds of the kernel's clock.

    Args:
        runner: Runs commands in it; in a machine as its administrator.
        workload: What it runs.
        machine: It has a kernel and an init of its own.
        now: This host's clock.

    Raises:
        ExerciseError: What it told makes no sense, or no process of the workload serves.
        CommandError: It cannot be asked, or not yet.
    """
    lines: list[tuple[float, str]] = []
    name = PurePosixPath(workload.command[0]).name[:15]  # the kernel keeps so many characters
    unit = workload.unit if machine else ""
    runner.run(
        ["sh", "-c", _TELL, "sh", name, unit],
        timeout_s=READ_TIMEOUT_S,
        on_line=lambda line: lines.append((now(), line)),
    )
    try:
        return _understood(lines)
    except (KeyError, ValueError, IndexError) as error:
        raise ExerciseError(
            "an instance did not tell how it started", hint="`invoke lab.logs` may show why",
            details="\n".join(line for _, line in lines),
        ) from error  # fmt: skip


def _understood(lines: list[tuple[float, str]]) -> Inside:
    told: dict[str, list[tuple[float, list[str]]]] = {}
    for at, line in lines:
        key, *words = line.split() or [""]
        told.setdefault(key, []).append((at, words))
    boot = min(at - float(words[0]) for at, words in told["uptime"])
    ticks = int(told["ticks"][0][1][0])
    processes = {int(words[0]): (int(words[1]), int(words[2])) for _, words in told["process"]}
    parents = {parent for parent, _ in processes.values()}
    # Serving are those that have no child of the same program; the first of them to begin counts.
    serving = boot + min(began for pid, (_, began) in processes.items() if pid not in parents) / ticks
    if "unit" not in told:
        return Inside(serving)
    init, unit = (boot + int(told[key][0][1][0]) / 1e6 for key in ("init", "unit"))
    return Inside(serving, kernel=boot, init=init, unit=unit)


# $1: name of the workload's processes; $2: its unit, empty where there is no init.
_TELL = r"""
ticks=$(getconf CLK_TCK) && echo "ticks $ticks" || exit
for each in 1 2 3 4 5; do
    read -r uptime _ < /proc/uptime && echo "uptime $uptime"
done
if [ -n "$2" ]; then
    told=$(systemctl show --property=UserspaceTimestampMonotonic --value) && echo "init $told" || exit
    told=$(systemctl show --property=InactiveExitTimestampMonotonic --value "$2") && echo "unit $told" || exit
fi
wanted=$1
for process in /proc/[0-9]*; do
    read -r name 2>/dev/null < $process/comm && [ "$name" = "$wanted" ] || continue
    read -r stat 2>/dev/null < $process/stat || continue
    set -- ${stat##*) }
    echo "process ${process#/proc/} $2 ${20}"
done
"""
