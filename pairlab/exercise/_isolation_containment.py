"""Attacks from inside on what all instances share: memory, processes, disk, and a kernel's life.

A limit is seen to be in force before each attack; what the attack left is taken away after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from pairlab.errors import ExerciseError, LabError, SideError
from pairlab.exercise import _inside
from pairlab.exercise import _isolation_attacked as plan
from pairlab.exercise._client import GOOD
from pairlab.exercise._fleet import Fleet
from pairlab.exercise._isolation_bounded import (
    EXHAUST,
    FORK,
    KILLED,
    NO_LIMIT,
    Attack,
    Ended,
    Target,
    available_bytes,
    bounded,
    check_process_limit,
    detached,
    memory_limit_bytes,
    oom_kills,
    perl,
    process_limit,
)
from pairlab.exercise._isolation_figures import HOST_KERNEL
from pairlab.exercise._isolation_place import Tried
from pairlab.exercise._log import now
from pairlab.exercise._stack_inside import boot_id
from pairlab.model import SideName
from pairlab.results import Verdict

if TYPE_CHECKING:
    from pairlab.exercise import Lab, Log

MORE_THAN_LIMIT = 2.5
"""How much an attacker asks for, in limits: where this host swaps, an engine allows twice the limit."""
HOST_SHARE = 0.5
"""The most of this host's free memory that may be asked for."""
MEMORY_LIFE_S = 60.0
STEADY = 20
BACK_TIMEOUT_S = 90.0
MOST_PROCESSES, PROCESS_LIMIT = 150, 64
HOLD_S = 2
PROCESSES_LIFE_S = 40.0
DISK_LIFE_S = 60.0
LOOK = "cat /proc/loadavg && :"
"""To look around takes one more process than to be there."""
FLOOD = "/var/tmp/pairlab-flood"
VIRTUAL_HARDWARE = "the virtual hardware"


class Containment:
    """The attacks of one run.

    Args:
        lab: The lab.
        log: Takes what is measured.
    """

    def __init__(self, lab: Lab, log: Log) -> None:
        self._lab, self._log = lab, log
        self._disk_before: dict[str, int] = {}
        self._alive: dict[str, str] = {}
        self._lost: dict[str, set[str]] = {}

    def targets(self) -> list[Target]:
        """The first instance of each side."""
        found = []
        for variant in plan.VARIANTS:
            assert variant.side is not None
            side, fleet = self._lab.sides[variant.side], Fleet(self._lab, variant.side)
            own_kernel = boot_id(fleet.usual(0)) != boot_id(side.host())
            found.append(Target(variant, side, fleet, own_kernel))
        return found

    def begin(self, targets: list[Target]) -> None:
        """Look at everybody before the attacks of a repetition."""
        self._alive = self.census()
        self._lost = {target.name: set() for target in targets}
        for target in targets:
            self._disk_before.setdefault(target.name, target.side.written_bytes(0))

    def end(self, targets: list[Target]) -> None:
        """Tell how many others were lost."""
        for target in targets:
            with self._log.doing(target.variant):
                self._log.sample(plan.LOST, len(self._lost[target.name] - {target.name}))

    def census(self, *, but: str = "") -> dict[str, str]:
        """Instance of either side -> what differs after every start of it; without one of them."""
        found: dict[str, str] = {}
        for side in SideName:
            fleet = Fleet(self._lab, side)
            asked = [index for index in fleet.indexes if fleet.name(index) != but]
            told = fleet.at_once(partial(_known, fleet), asked) if asked else []
            found |= zip(map(fleet.name, asked), told, strict=True)
        return found

    def missing(self, target: Target, *, itself: bool = True) -> list[str]:
        """Instances that are not those that were there before; they count as lost by this attack.

        Args:
            target: Who was attacked.
            itself: Look also whether it goes on.
        """
        there = self.census(but="" if itself else target.name)
        lost = sorted(name for name, told in there.items() if told != self._alive[name])
        self._lost[target.name] |= set(lost)
        self._alive |= there
        return lost

    def memory(self, target: Target) -> Iterator[str]:
        """One process takes memory until the kernel that owns the limit ends it."""
        limit = memory_limit_bytes(target)
        most = int(limit * MORE_THAN_LIMIT)
        free = available_bytes(target.side.host())
        if most > free * HOST_SHARE:
            raise ExerciseError(
                f"{target.name} may take {limit // plan.MIB} MiB, and {free // plan.MIB} MiB are free here",
                hint="end something else on this host, or give the lab less memory",
            )
        held, kills = target.side.footprint(0).memory_bytes, oom_kills(target.usual)
        ended = self._exhaust(target, most)
        taken = max([0, *(int(line) for line in ended.said if line.isdigit())])
        if ended.status != KILLED or oom_kills(target.usual) == kills:
            raise ExerciseError(
                f"a process in {target.name} took {taken} MiB of {limit // plan.MIB} and ended by itself"
                f" (status {ended.status})",
                hint="no memory was exhausted: there would be nothing to compare",
            )
        self._log.sample(plan.TAKEN, taken * plan.MIB)
        self._log.sample(plan.MEMORY_KEPT, target.side.footprint(0).memory_bytes - held)
        holder = (
            VIRTUAL_HARDWARE if target.own_kernel else f"{HOST_KERNEL} (a control group's limit of memory)"
        )
        whose = "its own kernel ended it" if target.own_kernel else "this host's kernel ended it"
        tried = f"took memory, under a limit of {limit // plan.MIB} MiB"
        happened = f"got {taken} MiB, then {whose} by SIGKILL"
        yield self._who_goes_on(target, plan.MEMORY_ALONE, tried, happened, holder)

    def _exhaust(self, target: Target, most: int) -> Ended:
        """Have all memory taken, while a client asks the front door."""
        lab, side = self._lab, target.fleet.side
        with self._log.client(side, lab.port(side), lab.workload.health_path) as client:
            client.await_good(STEADY)
            began = now()
            ended = detached(target.usual, perl(EXHAUST, most // plan.MIB), MEMORY_LIFE_S)
            client.await_answer(target.name, since=now(), timeout_s=BACK_TIMEOUT_S)
        own = (each for each in client.requests if each.instance == target.name and each.status == GOOD)
        ends = sorted(each.ended for each in own)
        gaps = [after - before for before, after in pairwise(ends) if after > began]
        self._log.sample(plan.SILENT, max(gaps))
        self._log.sample(plan.MEMORY_FAILED, self._log.timelines[-1].failed())
        return ended

    def processes(self, target: Target) -> Iterator[str]:
        """One process makes many, under a limit of its host or in a kernel of its own."""
        yield self._as_declared(target)
        with ExitStack() as stack:
            try:
                stack.enter_context(target.side.limited(0, processes=PROCESS_LIMIT))
            except SideError as error:
                if not target.own_kernel:
                    raise  # without a limit it would be this host that runs out of processes
                yield self._find(plan.PROCESSES_LIMIT, Tried("asked for a limit", error.message, "cannot"))
            else:
                check_process_limit(target, PROCESS_LIMIT)
                held = f"a limit of {PROCESS_LIMIT} is in force, added for this attack"
                tried = Tried("asked for a limit", held, "yes", f"{HOST_KERNEL} (a control group)")
                yield self._find(plan.PROCESSES_LIMIT, tried)
            yield from self._bomb(target)

    def _as_declared(self, target: Target) -> str:
        tried = "read the limit of its processes"
        if target.own_kernel:
            told = "none is declared; every process is one of its own kernel's"
            return self._find(plan.PROCESSES_DECLARED, Tried(tried, told, "yes", VIRTUAL_HARDWARE))
        limit = process_limit(target.usual)
        if limit in ("", NO_LIMIT):
            told = "none: it could use up the process numbers of this host"
            return self._find(plan.PROCESSES_DECLARED, Tried(tried, told, "no", "nobody"))
        held = Tried(tried, limit, "yes", f"{HOST_KERNEL} (a control group)")
        return self._find(plan.PROCESSES_DECLARED, held)

    def _bomb(self, target: Target) -> Iterator[str]:
        before, bomb = target.side.footprint(0).threads, perl(FORK, MOST_PROCESSES, HOLD_S)
        admin = target.fleet.admin(0)
        with Attack(target.usual, bomb, PROCESSES_LIFE_S) as attack:
            made, error = (int(word) for word in attack.first_line().split())
            threads = target.side.footprint(0).threads - before
            got_in = admin.run(["sh", "-c", LOOK], check=False, timeout_s=PROCESSES_LIFE_S).returncode == 0
        if not made:
            raise ExerciseError(
                f"a process in {target.name} could make no other one", hint="`invoke lab.exec` may show why"
            )
        self._log.sample(plan.MADE, made)
        self._log.sample(plan.THREADS, threads)
        whose = "its own kernel" if target.own_kernel else HOST_KERNEL
        holder = VIRTUAL_HARDWARE if target.own_kernel else f"{HOST_KERNEL} (a control group's limit)"
        refused = f"then {whose} refused more (error {error})" if error else "all that were asked for"
        happened = f"{refused}; {HOST_KERNEL} got {threads} threads by that"
        yield self._who_goes_on(target, plan.PROCESSES_ALONE, f"made {made} processes", happened, holder)
        way_in = Tried(
            "looked around by a shell of its administrator meanwhile",
            "it worked" if got_in else "the shell could start nothing: that takes a process too",
            "yes" if got_in else "no",
            whose if got_in else "nobody",
        )
        yield self._find(plan.PROCESSES_WAY_IN, way_in)

    def disk(self, target: Target) -> Iterator[str]:
        """A file of bounded size; what its host has less by it, and after it is removed."""
        size = plan.DISK_BYTES
        _, free = _room(target)[0]
        if free < 2 * size:
            raise ExerciseError(
                f"{target.name} has no room for {size // plan.MIB} MiB", hint="free some of its disk"
            )
        before = self._disk_before[target.name]
        flood = ["dd", "if=/dev/zero", f"of={FLOOD}", "bs=1M", f"count={size // plan.MIB}", "conv=fsync"]
        try:
            ended = bounded(target.usual, flood, DISK_LIFE_S)
            taken = target.side.written_bytes(0) - before
        finally:
            target.usual.run(["rm", "-f", FLOOD])
        if ended.status or taken < size:
            raise ExerciseError(
                f"{size // plan.MIB} MiB were written in {target.name} (status {ended.status}), and its disk"
                f" on this host grew by {taken // plan.MIB} MiB",
                hint="the figures would be of another disk; `invoke lab.exec` may show what holds /var/tmp",
            )
        kept = max(0, target.side.written_bytes(0) - before)
        self._log.sample(plan.DISK_TAKEN, taken)
        self._log.sample(plan.DISK_KEPT, kept)
        yield self._find(plan.DISK_BOUNDED, self._bounds(target))
        told = f"this host had {taken // plan.MIB} MiB less, and {kept // plan.MIB} MiB less after removal"
        yield self._who_goes_on(
            target, plan.DISK_ALONE, f"wrote {size // plan.MIB} MiB and removed them", told,
            VIRTUAL_HARDWARE if target.own_kernel else "nobody: the attack itself was bounded",
        )  # fmt: skip

    def _bounds(self, target: Target) -> Tried:
        (own_size, own_free), hosts = _room(target)[0], _room(target, of_host=True)
        tried = "read the size of its root file system"
        if own_size in [size for size, _ in hosts]:
            told = f"it is this host's: {own_free // plan.MIB} MiB more could be filled, for everybody on it"
            return Tried(tried, told, "no", "nobody")
        told = f"{own_size // plan.MIB} MiB of its own, {own_free // plan.MIB} MiB of it free"
        return Tried(tried, told, "yes", "the virtual hardware (the size of its virtual disk)")

    def _who_goes_on(self, target: Target, question: str, tried: str, happened: str, holder: str) -> str:
        lost = self.missing(target)
        told = f"{happened}; {', '.join(lost)} did not go on" if lost else f"{happened}; all others go on"
        verdict: Verdict = "no" if lost else "yes"
        return self._find(question, Tried(tried, told, verdict, "nobody" if lost else holder))

    def _find(self, question: str, tried: Tried) -> str:
        self._log.finding(question, tried.answer, tried.verdict)
        return f"{question} {tried.verdict}: {tried.answer}"


def _known(fleet: Fleet, index: int) -> str:
    """What differs after every start of an instance, and of the first one's workload; empty for no answer."""
    try:
        if index:
            return fleet.identity(index)
        runner, workload = fleet.tracer(index), fleet.lab.workload
        return f"{fleet.identity(index)} {_inside.start_of_workload(runner, workload)}"
    except LabError:
        return ""


def _room(target: Target, *, of_host: bool = False) -> list[tuple[int, int]]:
    """Size and free bytes of the file system that an attack fills, or of all of this host's."""
    runner = target.side.host() if of_host else target.usual
    where = [] if of_host else ["/var/tmp"]
    # It fails for a file system that it may not look at, and tells all others.
    told = runner.run(["df", "--block-size=1", "--output=size,avail", *where], check=False).stdout
    words = [line.split() for line in told.splitlines()[1:]]
    return [(int(size), int(free)) for size, free in words if size.isdigit() and free.isdigit()]
