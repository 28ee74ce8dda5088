"""What instances take of their host: memory, disk, processes, open files; at rest, serving, and many of them.

Every repetition begins with one fresh instance a side, goes on to two and four, each time at rest, and ends
while all of them serve.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pairlab.errors import ExerciseError, SideError
from pairlab.exercise import Declaration, Lab, Log
from pairlab.exercise import _footprint_figures as plan
from pairlab.exercise._fleet import Fleet
from pairlab.exercise._line import line
from pairlab.host.space import free_memory_bytes
from pairlab.model import SideName
from pairlab.results import Conclusion, Figure, RunResult
from pairlab.side import Footprint

SERVED = 100
"""Good answers before and while serving instances are looked at: five seconds at the client's rate."""


@dataclass(frozen=True)
class Weighed:
    """The instances of a side at one moment.

    Attributes:
        each: Name -> its footprint.
    """

    each: Mapping[str, Footprint]

    @property
    def memory_bytes(self) -> int:
        """Host memory of all of them, with what the host's kernel keeps for them."""
        kernel = sum(found.charge.kernel_bytes for found in self.each.values() if found.charge)
        return kernel + sum(found.memory_bytes for found in self.each.values())

    @property
    def disk_bytes(self) -> int:
        """Disk of all of them; what they share counts once."""
        shared = max(found.shared_disk_bytes for found in self.each.values())
        return shared + sum(found.own_disk_bytes for found in self.each.values())


class LabExercise:
    """See `Exercise`."""

    title = "Resource footprint"
    question = "What does one more instance take of its host, and how many fit?"
    section = "Resource footprint"
    repeat = 3
    is_long = True
    vms = max(plan.COUNTS)
    replicas = max(plan.COUNTS)
    example: ClassVar[Mapping[str, Any]] = {"lab": "dev", "count": 2, "side": "vm", "port": 8081}
    figures = plan.FIGURES
    variants = plan.VARIANTS
    summary = plan.SUMMARY

    def __init__(self, lab: Lab, log: Log) -> None:
        self._lab = lab
        self._log = log
        self._fresh = 0

    def prepare(self) -> str:
        """Say what is worked on."""
        self._log.values |= {"lab": self._lab.name}
        counts = ", ".join(map(str, plan.COUNTS[:-1]))
        return f"{self._lab.workload.name}, {counts} and {plan.COUNTS[-1]} instances a side"

    def repetition(self, number: int) -> None:
        """One, two and four instances a side at rest; then all of them serving."""
        memory: dict[SideName, dict[int, int]] = {side: {} for side in SideName}
        for count in plan.COUNTS:
            self._fresh += 1  # a guest's memory grows with its age: all of them begin anew
            with self._log.step("declare", count=count) as changes:
                self._lab.declare(
                    Declaration(count, count, fresh_vms=self._fresh, fresh_containers=self._fresh)
                )
                for side in SideName:
                    Fleet(self._lab, side).await_rest()
                    weighed = self._weigh_rest(side, count)
                    if weighed:
                        memory[side][count] = weighed.memory_bytes
                        changes += _told(weighed)
        for side in SideName:
            if memory[side]:
                self._tell_room(side, memory[side])
                self._weigh_serving(side)

    def conclude(self, result: RunResult) -> list[Conclusion]:
        """See `Exercise.conclude`."""
        return plan.conclude(result)

    def _weigh_rest(self, side: SideName, count: int) -> Weighed | None:
        with self._log.doing(plan.REST[side]):
            weighed = self._weigh(side)
            if weighed is None:
                return None
            self._log.sample(plan.TOTAL[count], weighed.memory_bytes)
            self._log.sample(plan.DISK[count], weighed.disk_bytes)
            if count == max(plan.COUNTS):
                self._keep(side, weighed)
                self._log.sample(plan.IMAGE, self._lab.image_bytes(side))
        return weighed

    def _weigh_serving(self, side: SideName) -> None:
        lab = self._lab
        with (
            self._log.doing(plan.SERVING[side]),
            self._log.client(side, lab.port(side), lab.workload.health_path) as client,
            self._log.step("serve", side=side, port=lab.port(side)) as changes,
        ):
            client.await_good(SERVED)
            weighed = self._weigh(side)
            client.await_good(SERVED)
            silent = set(Fleet(lab, side).names) - {request.instance for request in client.requests}
            if weighed is None or silent:
                raise ExerciseError(
                    f"{', '.join(sorted(silent)) or side} served nothing while it was looked at",
                    hint="`invoke lab.status` shows the front doors",
                )
            self._keep(side, weighed)
            changes += _told(weighed)

    def _weigh(self, side: SideName) -> Weighed | None:
        """Look at all instances of a side; None where they cannot be seen."""
        fleet = Fleet(self._lab, side)
        if side is SideName.VM:
            # What a guest wrote is on its disk only when it says so.
            fleet.at_once(lambda index: fleet.usual(index).run(["sync"]))
        try:
            found = {fleet.name(i): self._lab.sides[side].footprint(i) for i in fleet.indexes}
        except SideError as error:
            self._log.finding(
                "what do its processes take of the host?", f"{error.message}: {error.hint}", "cannot"
            )
            return None
        # The sanity check: more than none of what runs must be seen.
        for name, footprint in found.items():
            if footprint.memory_bytes <= footprint.holder_bytes or not footprint.descriptors:
                raise ExerciseError(
                    f"no memory of {name} was seen", hint="it may have been restarted meanwhile: try again"
                )
        return Weighed(found)

    def _keep(self, side: SideName, weighed: Weighed) -> None:
        """Keep every figure of every instance."""
        fleet = Fleet(self._lab, side)
        for index, (name, found) in enumerate(weighed.each.items()):
            values: dict[Figure, float | None] = {
                plan.MEMORY: found.memory_bytes,
                plan.HOLDER: found.holder_bytes or None,
                plan.TRANSLATED: found.translated_bytes,
                plan.KERNEL: found.charge.kernel_bytes if found.charge else None,
                plan.CHARGED: found.charge.memory_bytes if found.charge else None,
                plan.CACHE: found.charge.cache_bytes if found.charge else None,
                plan.GUEST: found.guest_bytes,
                plan.MOST: _most_bytes(found),
                plan.PROCESSES: found.processes,
                plan.THREADS: found.threads,
                plan.INSIDE: _processes_inside(fleet, index),
                plan.DESCRIPTORS: found.descriptors,
                plan.OWN_DISK: found.own_disk_bytes,
                plan.SHARED_DISK: found.shared_disk_bytes,
            }
            for figure, value in values.items():
                if value is not None:
                    self._log.sample(figure, value, instance=name)

    def _tell_room(self, side: SideName, memory: Mapping[int, int]) -> None:
        """How many more would fit, by what each further instance takes at rest."""
        slope = line(list(memory), list(memory.values())).slope
        available = free_memory_bytes()
        with self._log.doing(plan.REST[side]):
            self._log.sample(plan.FURTHER, slope)
            self._log.sample(plan.AVAILABLE, available)
            if slope > 0:
                self._log.sample(plan.FIT, available // slope)


def _most_bytes(found: Footprint) -> int | None:
    """What an instance takes that uses all that it may, with what is beside; None for no limit."""
    guest = found.guest_bytes
    beside = found.holder_bytes if guest is None else found.memory_bytes - guest
    return found.given_bytes + beside if found.given_bytes else None


def _told(weighed: Weighed) -> list[str]:
    mib = 1024**2
    return [
        f"{name}: {found.memory_bytes / mib:.1f} MiB of memory, {found.own_disk_bytes / mib:.1f} MiB of disk,"
        f" {found.processes} processes"
        for name, found in weighed.each.items()
    ]


def _processes_inside(fleet: Fleet, index: int) -> int:
    """Processes that an instance sees in itself, but for those that look: a shell and its ssh session."""
    return int(fleet.usual(index).run(["sh", "-c", _COUNT]).stdout)


# The shell lists names itself, so that no other process looks. What it descends from came with it, but for
# the first process and that one's children: the ssh server stays.
_COUNT = r"""
count=0
for process in /proc/[0-9]*; do count=$((count + 1)); done
pid=$$
while [ "$pid" -gt 1 ]; do
    read -r stat < /proc/$pid/stat || break
    set -- ${stat##*) }
    [ "$2" -ne 1 ] || break
    count=$((count - 1))
    pid=$2
done
echo $count
"""
