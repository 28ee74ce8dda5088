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
SEED_UNITS = (
    "pairlab-seed.service",
    "cloud-init-local.service",
    "cloud-init.service",
    "cloud-init-network.service",
    "cloud-config.service",
    "cloud-final.service",
)
"""What applies a seed: of the built guest, and cloud-init's stages, which begin one after the other's end.

Source: cloud-init, systemd/*.service; newer versions call `cloud-init.service` `cloud-init-network.service`.
"""


@dataclass(frozen=True)
class Inside:
    """Steps of a start, in seconds of this host's `time.monotonic`.

    Attributes:
        serving: The process that serves began.
        kernel: The clock of its own kernel began; None where it has no kernel of its own.
        init: Its init began to run; None where it has none.
        unit: The workload's unit was begun; None where there is no init.
        seed_s: Seconds that it took before that to apply its seed; None where nothing has applied one.
    """

    serving: float
    kernel: float | None = None
    init: float | None = None
    unit: float | None = None
    seed_s: float | None = None


def look_inside(
    runner: Runner, workload: Workload, *, machine: bool, now: Callable[[], float] = time.monotonic
) -> Inside:
    """Ask an instance for the steps of its start.

    Its clock is set against this host's by lines that carry its uptime: none arrives before it was written,
    so the least difference of arrival and uptime is the closest. What is left is the way of one line and the
    hundredths of a second in which uptimes count.

    Source: proc_uptime(5); proc_pid_stat(5), field 22; org.freedesktop.systemd1(5),
    UserspaceTimestampMonotonic, and of each unit InactiveExitTimestampMonotonic and
    ActiveEnterTimestampMonotonic, in microseconds of the kernel's clock; 0 where that never was.

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
    units = [workload.unit, *SEED_UNITS] if machine else []
    runner.run(
        ["sh", "-c", _TELL, "sh", name, *units],
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
        key, *words = line.replace("=", " ").split() or [""]
        told.setdefault(key, []).append((at, words))
    boot = min(at - float(words[0]) for at, words in told["uptime"])
    ticks = int(told["ticks"][0][1][0])
    processes = {int(words[0]): (int(words[1]), int(words[2])) for _, words in told["process"]}
    parents = {parent for parent, _ in processes.values()}
    # Serving are those that have no child of the same program; the first of them to begin counts.
    serving = boot + min(began for pid, (_, began) in processes.items() if pid not in parents) / ticks
    if _INIT not in told:
        return Inside(serving)
    (init_s,), (unit_s, *begins_s), (_, *ends_s) = (
        [int(words[0]) / 1e6 for _, words in told[key]] for key in (_INIT, _BEGUN, _ENDED)
    )
    # The workload has waited only for those that had ended by then; a unit may be known by two names.
    spans = {span for span in zip(begins_s, ends_s, strict=True) if 0 < span[0] <= span[1] <= unit_s}
    seed_s = sum(ended - begun for begun, ended in spans) if spans else None
    return Inside(serving, boot, boot + init_s, boot + unit_s, seed_s)


_INIT, _BEGUN, _ENDED = (
    f"{moment}TimestampMonotonic" for moment in ("Userspace", "InactiveExit", "ActiveEnter")
)
# $1: name of the workload's processes; then its unit and those of seeds, none where there is no init.
_TELL = rf"""
wanted=$1
shift
ticks=$(getconf CLK_TCK) && echo "ticks $ticks" || exit
for each in 1 2 3 4 5; do
    read -r uptime _ < /proc/uptime && echo "uptime $uptime"
done
if [ $# -gt 0 ]; then
    systemctl show --property={_INIT} && systemctl show --property={_BEGUN},{_ENDED} "$@" || exit
fi
for process in /proc/[0-9]*; do
    read -r name 2>/dev/null < $process/comm && [ "$name" = "$wanted" ] || continue
    read -r stat 2>/dev/null < $process/stat || continue
    set -- ${{stat##*) }}
    echo "process ${{process#/proc/}} $2 ${{20}}"
done
"""
