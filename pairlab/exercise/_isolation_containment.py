"""Attacks from inside on what all instances share, and who goes on after any of them.

A limit is seen to be in force before each attack; what the attack left is taken away after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from pairlab.errors import CommandError, ExerciseError, LabError, SideError
from pairlab.exercise import _inside
from pairlab.exercise import _isolation_attacked as plan
from pairlab.exercise._fleet import Fleet
from pairlab.exercise._isolation_bounded import (
    BY_WATCHDOG,
    FORK,
    NO_LIMIT,
    Attack,
    Target,
    answers,
    bounded,
    check_process_limit,
    perl,
    process_limit,
    switch_off_and_on,
)
from pairlab.exercise._isolation_figures import HOST_KERNEL
from pairlab.exercise._isolation_place import Tried
from pairlab.exercise._stack_inside import boot_id
from pairlab.model import SideName
from pairlab.run import Runner

if TYPE_CHECKING:
    from pairlab.exercise import Lab, Log

BACK_TIMEOUT_S = 90.0
START_TIMEOUT_S = 240.0
SWITCHED = "it answered nobody any more, and had to be switched off and on"
MOST_PROCESSES, PROCESS_LIMIT = 150, 64
HOLD_S = 2
PROCESSES_LIFE_S = 40.0
DISK_LIFE_S = 60.0
LOOK = "cat /proc/loadavg && :"
"""To look around takes one more process than to be there."""
WAY_IN = "it worked"
NO_WAY_IN = f"the shell did not end within {PROCESSES_LIFE_S:g} s"
FLOOD = "/var/tmp/pairlab-flood"
_ASK = 'LC_ALL=C fallocate --length "$1" "$2" 2>&1'
NO_SPACE = "No space left on device"
VIRTUAL_HARDWARE = "the virtual hardware"


@dataclass
class Aftermath:
    """What an attack left, seen before anybody was brought back.

    Attributes:
        is_silent: The attacked one answered nobody, and was switched off and on.
        lost: Names of others who did not go on.
    """

    is_silent: bool = False
    lost: list[str] = field(default_factory=list[str])


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

    @contextmanager
    def brought_back(self, target: Target, is_well: Callable[[], bool] = lambda: True) -> Iterator[Aftermath]:
        """Whatever an attack in the block does, the attacked one can be worked in after it.

        If it answers nobody it is switched off and on, and that a command in it failed is no error then. Who
        else did not go on is looked at before that.

        Args:
            target: Who is attacked.
            is_well: What else must hold of it.
        """
        aftermath = Aftermath()
        failure: LabError | None = None
        try:
            yield aftermath
        except LabError as error:
            failure = error
        if not (answers(target, BACK_TIMEOUT_S) and is_well()):
            aftermath.is_silent = True
            aftermath.lost = self.missing(target, itself=False)
            switch_off_and_on(target)
            target.fleet.await_commands(START_TIMEOUT_S)
        if failure is not None and not (aftermath.is_silent and isinstance(failure, CommandError)):
            raise failure

    def processes(self, target: Target) -> Iterator[str]:
        """One process makes many, under a limit of its host or in a kernel of its own."""
        yield self._as_declared(target)
        with ExitStack() as stack:
            try:
                stack.enter_context(target.side.limited(0, processes=PROCESS_LIMIT))
            except SideError as error:
                if not target.own_kernel:
                    raise  # without a limit it would be this host that runs out of processes
                yield self.find(plan.PROCESSES_LIMIT, Tried("asked for a limit", error.message, "cannot"))
            else:
                check_process_limit(target, PROCESS_LIMIT)
                held = f"a limit of {PROCESS_LIMIT} is in force, added for this attack"
                tried = Tried("asked for a limit", held, "yes", f"{HOST_KERNEL} (a control group)")
                yield self.find(plan.PROCESSES_LIMIT, tried)
            yield from self._bomb(target)

    def _as_declared(self, target: Target) -> str:
        tried = "read the limit of its processes"
        if target.own_kernel:
            told = "none is declared; every process is one of its own kernel's"
            return self.find(plan.PROCESSES_DECLARED, Tried(tried, told, "yes", VIRTUAL_HARDWARE))
        limit = process_limit(target.usual)
        if limit in ("", NO_LIMIT):
            told = "none: it could use up the process numbers of this host"
            return self.find(plan.PROCESSES_DECLARED, Tried(tried, told, "no", "nobody"))
        held = Tried(tried, limit, "yes", f"{HOST_KERNEL} (a control group)")
        return self.find(plan.PROCESSES_DECLARED, held)

    def _bomb(self, target: Target) -> Iterator[str]:
        before = target.side.footprint(0).threads
        bomb = perl(FORK, MOST_PROCESSES, HOLD_S, PROCESSES_LIFE_S)
        made = error = threads = 0
        way_in = NO_WAY_IN
        with (
            self.brought_back(target) as aftermath,
            Attack(target.usual, bomb, PROCESSES_LIFE_S) as attack,
        ):
            made, error = (int(word) for word in attack.first_line().split())
            threads = target.side.footprint(0).threads - before
            way_in = _way_in(target.fleet.admin(0))
        if not made:
            why = SWITCHED if aftermath.is_silent else "a process could make no other one"
            raise ExerciseError(
                f"no bomb was seen in {target.name}: {why}", hint="`invoke lab.exec` may show why"
            )
        self._log.sample(plan.MADE, made)
        self._log.sample(plan.THREADS, threads)
        whose = "its own kernel" if target.own_kernel else HOST_KERNEL
        holder = VIRTUAL_HARDWARE if target.own_kernel else f"{HOST_KERNEL} (a control group's limit)"
        cut_short = not error and made < MOST_PROCESSES
        if error:
            refused = f"then {whose} refused more (error {error})"
        else:
            refused = f"of {MOST_PROCESSES} that were asked for" if cut_short else "all that were asked for"
        if not aftermath.is_silent and attack.ended.status in BY_WATCHDOG:
            refused += f"; its watchdog ended it after {PROCESSES_LIFE_S:g} s"
        # QEMU may have ended idle threads of its own meanwhile.
        happened = f"{refused}; {HOST_KERNEL} got {max(0, threads)} threads by that"
        tried = Tried(f"made {made} processes", happened, "yes", holder)
        yield self.tell_who_goes_on(target, plan.PROCESSES_ALONE, tried, aftermath)
        how = "looked around by a shell of its administrator meanwhile"
        if cut_short:
            seen = Tried("no shell of its administrator looked around", "the bomb had been ended", "untried")
        elif way_in != WAY_IN:
            seen = Tried(how, way_in, "no", "nobody")
        elif error:
            seen = Tried(how, way_in, "yes", whose)
        else:
            seen = Tried(how, f"{way_in}: no limit was reached by {made} processes", "fact")
        yield self.find(plan.PROCESSES_WAY_IN, seen)

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
        status = None
        try:
            with self.brought_back(target) as aftermath:
                status = bounded(target.usual, flood, DISK_LIFE_S).status
            taken = target.side.written_bytes(0) - before
        finally:
            target.usual.run(["rm", "-f", FLOOD])
        if status or taken < size:
            ended = SWITCHED if status is None else f"the attack ended with status {status}"
            raise ExerciseError(
                f"{size // plan.MIB} MiB were to be written in {target.name}, and its disk on this host grew"
                f" by {taken // plan.MIB} MiB; {ended}",
                hint="the figures would be of another disk; `invoke lab.exec` may show what holds /var/tmp",
            )
        kept = max(0, target.side.written_bytes(0) - before)
        self._log.sample(plan.DISK_TAKEN, taken)
        self._log.sample(plan.DISK_KEPT, kept)
        yield self.find(plan.DISK_BOUNDED, self._bounds(target))
        told = f"this host had {taken // plan.MIB} MiB less, and {kept // plan.MIB} MiB less after removal"
        holder = VIRTUAL_HARDWARE if target.own_kernel else "nobody: the attack itself was bounded"
        tried = Tried(f"wrote {size // plan.MIB} MiB and removed them", told, "yes", holder)
        yield self.tell_who_goes_on(target, plan.DISK_ALONE, tried, aftermath)

    def _bounds(self, target: Target) -> Tried:
        size, free = _room(target)[0]
        own = f"{size // plan.MIB} MiB are its own, {free // plan.MIB} MiB of them free"
        if target.own_kernel:
            _check_refused(target, size)
            tried = f"asked for {(size - free) // plan.MIB} MiB more than it has free"
            holder = f"{VIRTUAL_HARDWARE} (the size of its virtual disk)"
            return Tried(tried, f"refused (ENOSPC): {own}", "yes", holder)
        tried = "read the size of its root file system"
        if size in [each for each, _ in _room(target, of_host=True)]:
            told = f"it is this host's: {free // plan.MIB} MiB more could be filled, for everybody on it"
            return Tried(tried, told, "no", "nobody")
        return Tried(tried, own, "yes", f"{HOST_KERNEL} (a quota)")

    def tell_who_goes_on(self, target: Target, question: str, tried: Tried, aftermath: Aftermath) -> str:
        """Whether all others do, and the attacked one itself.

        Args:
            target: Who was attacked.
            question: Of the finding.
            tried: The attack, what came of it, and who held it back if all go on.
            aftermath: What was seen before anybody was brought back.
        """
        happened = tried.happened + (f"; {SWITCHED}" if aftermath.is_silent else "")
        lost = sorted({*aftermath.lost, *self.missing(target)})
        if lost:
            told = f"{happened}; {', '.join(lost)} did not go on"
            return self.find(question, Tried(tried.tried, told, "no", "nobody"))
        return self.find(question, replace(tried, happened=f"{happened}; all others go on"))

    def find(self, question: str, tried: Tried) -> str:
        """Keep what an attack showed; returns it in a line."""
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


def _way_in(admin: Runner) -> str:
    """What came of looking around."""
    try:
        done = admin.run(["sh", "-c", LOOK], check=False, timeout_s=PROCESSES_LIFE_S)
    except CommandError:
        return NO_WAY_IN
    return "the shell could start nothing: that takes a process too" if done.returncode else WAY_IN


def _check_refused(target: Target, size: int) -> None:
    """See that a file as large as its whole file system is refused; only where that is not this host's.

    The space is set aside inside without being written, so its disk on this host does not grow.

    Raises:
        ExerciseError: It was granted, or refused for another reason.
    """
    try:
        asked = bounded(target.usual, ["sh", "-c", _ASK, "sh", str(size), FLOOD], DISK_LIFE_S)
    finally:
        target.usual.run(["rm", "-f", FLOOD])
    if not (asked.status and any(NO_SPACE in line for line in asked.said)):
        raise ExerciseError(
            f"{target.name} was to be refused {size // plan.MIB} MiB, all of its disk, for want of space:"
            f" {'; '.join(asked.said)}",
            hint="its size is no bound then; `invoke lab.exec` may show what holds /var/tmp",
        )


def _room(target: Target, *, of_host: bool = False) -> list[tuple[int, int]]:
    """Size and free bytes of the file system that an attack fills, or of all of this host's."""
    runner = target.side.host() if of_host else target.usual
    where = [] if of_host else ["/var/tmp"]
    # It fails for a file system that it may not look at, and tells all others.
    told = runner.run(["df", "--block-size=1", "--output=size,avail", *where], check=False).stdout
    words = [line.split() for line in told.splitlines()[1:]]
    return [(int(size), int(free)) for size, free in words if size.isdigit() and free.isdigit()]
