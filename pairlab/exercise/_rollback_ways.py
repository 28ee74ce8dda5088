"""The ways in which the rollback exercise releases something bad, and gets back."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from pairlab.errors import ExerciseError, RolledBackError, SideError
from pairlab.exercise import _inside
from pairlab.exercise import _rollback_figures as plan
from pairlab.exercise._client import Client
from pairlab.exercise._fleet import Fleet
from pairlab.exercise._log import now
from pairlab.results import Variant
from pairlab.run import Runner

if TYPE_CHECKING:
    from pairlab.exercise import Lab, Log

INDEX = 0
"""Number of the instance that is released to in place: a careful person begins with one."""
NOTE_BEFORE, NOTE_SINCE = "/var/tmp/pairlab-before-release", "/var/tmp/pairlab-since-release"
"""On the instance's own disk."""
LOOK_TIMEOUT_S = 60.0
SWITCH_TIMEOUT_S = 60.0
ALONE = 10
"""Answers in a row that come from nobody of the first set, once all are led to the second."""
UNDER_WAY = 80
"""Good answers until something is written while a declaration is at work: four seconds."""


class Way(ABC):
    """One way to release, and the way back that goes with it.

    Attributes:
        variant: Its key is also that of the step that teaches the release.
        began: When the release began, on the clock of all measurements.
        names: The instances that serve before and after.
        decided: When it was decided to go back; None where somebody else decides, and does not tell.
        watched_s: For how long nothing was done after it was found bad, to see whether anybody goes back.
    """

    variant: ClassVar[Variant]

    def __init__(self, lab: Lab, log: Log) -> None:
        assert self.variant.side is not None
        self.lab, self.log = lab, log
        self.side = lab.sides[self.variant.side]
        self.fleet = Fleet(lab, self.variant.side)
        self.names = self.fleet.names
        self.began = 0.0
        self.decided: float | None = None
        self.watched_s = 0.0

    @contextmanager
    def arranged(self) -> Iterator[None]:
        """While open, all is as the way needs it; nothing of that stays."""
        yield

    @abstractmethod
    def release(self, client: Client) -> None:
        """Release what is bad, from `began` on; ends when that is known."""

    @abstractmethod
    def go_back(self) -> None:
        """Go back; ends when nothing of the release is left."""

    @abstractmethod
    def settle(self) -> None:
        """Do what is left to do when every instance is good again."""

    def admins(self) -> list[Runner]:
        """Run commands in what serves now as administrator, whatever takes its place later."""
        return [self.fleet.admin(index) for index in self.fleet.indexes]

    @contextmanager
    def meanwhile(self, do: Callable[[], None]) -> Iterator[None]:
        """Do something while the block goes on; its errors are told at the end."""
        with ThreadPoolExecutor(1) as pool:
            done: Future[None] = pool.submit(do)
            yield
        done.result()

    def find_bad(self, index: int) -> None:
        """Look at the health of an instance of the release until it counts as bad.

        Raises:
            ExerciseError: It is well, or it never answers.
        """
        for look in range(plan.LOOKS):
            if look:
                time.sleep(plan.LOOK_EVERY_S)
            if self.await_status(index) == _inside.WELL:
                raise ExerciseError(
                    f"{self.fleet.name(index)} is well, with a release that was made to be bad",
                    hint="the figures would be of a release that needs no way back",
                )

    def await_status(self, index: int) -> int:
        """HTTP status of an instance's health path, once it answers: one that does not yet is starting.

        Raises:
            ExerciseError: It never answers.
        """
        usual, deadline = self.fleet.usual(index), now() + LOOK_TIMEOUT_S
        while not (status := _inside.health_status(usual, self.lab.workload)):
            if now() > deadline:
                raise ExerciseError(f"{self.fleet.name(index)} never answered", hint="see `invoke lab.logs`")
        return status

    def look_for_note(self, index: int) -> None:
        """See whether a new instance has what was written into the others before."""
        has = _inside.has_file(self.fleet.usual(index), NOTE_BEFORE)
        told = "yes" if has else "no: its disk is new, and holds what its image holds"
        self.log.finding(plan.NEW_HAS, told, "yes" if has else "no")

    def watch(self, index: int, who_must: str) -> str:
        """See whether anybody goes back from an instance of the release that was found bad.

        Args:
            index: Number of the instance.
            who_must: Who has to go back where nobody does, and how.

        Returns:
            What was seen.
        """
        usual, start, status = self.fleet.usual(index), now(), 0
        while status != _inside.WELL and now() < start + plan.WATCH_S:
            time.sleep(plan.LOOK_EVERY_S)
            status = _inside.health_status(usual, self.lab.workload)
        self.decided = now()
        self.watched_s = self.decided - start
        if status == _inside.WELL:
            seen = f"{self.fleet.name(index)} was well again after {self.watched_s:.0f} s"
            self.log.finding(plan.WHO, seen, "yes")
        else:
            health = f"answers its health check with {status}" if status else "answers no health check"
            seen = f"nobody within {plan.WATCH_S:g} s: {self.fleet.name(index)} still {health}"
            self.log.finding(plan.WHO, f"{seen}; {who_must}", "no")
        return seen


class Rollout(Way):
    """The orchestrator replaces containers one after the other, and goes back by itself."""

    variant = plan.CONTAINERS

    def release(self, client: Client) -> None:
        """See `Way.release`; what declares it is not free until it was taken back."""
        admins = self.admins()

        def work_on() -> None:
            client.await_good(UNDER_WAY)
            write_all(admins, NOTE_SINCE)

        with self.log.step("container-rollout") as changes, self.meanwhile(work_on):
            self.began = now()
            try:
                self.lab.declare(replace(self.lab.declared, broken_containers=True, at_once=False))
            except RolledBackError as error:
                said = error.message
            else:
                raise ExerciseError(
                    "a release was rolled out whose health check should fail",
                    hint="the figures would be of a release that needs no way back",
                )
            changes.append(said)
        self.log.finding(plan.WHO, said, "yes")

    def go_back(self) -> None:
        """See `Way.go_back`: it is done; only the declaration does not know."""
        bad = self.lab.broken_images()[plan.CONTAINER]
        running = sorted({each.image for each in self.side.instances() if not each.tier})
        if bad in running:
            raise ExerciseError(
                f"taken back, and image {bad} of the release still runs", hint="see `invoke lab.status`"
            )
        told = f"declared is image {bad}, and {', '.join(running)} runs, until somebody declares it back"
        self.log.finding(plan.DECLARED, told, "no")

    def settle(self) -> None:
        """See `Way.settle`: declare what runs."""
        with self.log.step("declare-what-runs") as changes:
            outcome = self.lab.declare(replace(self.lab.declared, broken_containers=False), refresh=True)
            changes += [f"{change.op} {change.name}" for change in outcome.changed]


class Kept(Way):
    """A VM is kept as it is, then released to in place, then put back."""

    variant = plan.VM_KEPT

    @contextmanager
    def arranged(self) -> Iterator[None]:
        """See `Way.arranged`: keeps it, and puts it back whatever happens."""
        name = self.fleet.name(INDEX)
        self._identity = self.fleet.identity(INDEX)
        self._ahead_s = _inside.clock_ahead_s(self.fleet.usual(INDEX))
        with self.log.step("keep", name=name) as changes:
            start = now()
            self.side.keep(INDEX)
            self.log.sample(plan.READY, now() - start, instance=name)
            changes.append(f"{name} is kept after {now() - start:.1f} s, and goes on")
        self._is_kept = True
        try:
            yield
        finally:
            if self._is_kept:
                self.side.put_back(INDEX)

    def release(self, client: Client) -> None:
        """See `Way.release`: write the files, restart the service, look at its health."""
        admin, all_admins, name = self.fleet.admin(INDEX), self.admins(), self.fleet.name(INDEX)
        with self.log.step("vm-kept", name=name) as changes:
            self.began = now()
            for path, text in self.lab.broken_files().items():
                admin.run(["sh", "-c", 'cat > "$1"', "sh", path], input_text=text)
            admin.run(["systemctl", "restart", self.lab.workload.unit])
            with self.meanwhile(lambda: write_all(all_admins, NOTE_SINCE)):
                self.find_bad(INDEX)
            changes.append(f"{name} has failed {plan.LOOKS} health checks")
            changes.append(self.watch(INDEX, "who releases must look, and put it back"))

    def go_back(self) -> None:
        """See `Way.go_back`."""
        with self.log.step("put-back", name=self.fleet.name(INDEX)):
            self.side.put_back(INDEX)
            self._is_kept = False
        self.log.finding(plan.DECLARED, "it never said that there was another release", "yes")

    def settle(self) -> None:
        """See `Way.settle`: its clock was put back too."""
        if self.fleet.identity(INDEX) == self._identity:
            told = "yes: it goes on without a boot, on its disk as that was when it was kept"
            self.log.finding(plan.PUTS_BACK, told, "yes")
        else:
            self.log.finding(plan.PUTS_BACK, "no: it was booted anew, and its memory is lost", "no")
        lost_s = self._ahead_s - _inside.clock_ahead_s(self.fleet.usual(INDEX))
        self.log.sample(plan.LOST, lost_s - self.watched_s, instance=self.fleet.name(INDEX))
        self.fleet.admin(INDEX).run(["date", f"--set=@{time.time():.3f}"])


class Beside(Way):
    """A new VM of the release is declared beside those that serve, found bad, and declared away."""

    variant = plan.VM_BESIDE

    def release(self, client: Client) -> None:
        """See `Way.release`."""
        index, self._before, admins = self.lab.declared.vms, self.lab.declared, self.admins()

        def work_on() -> None:
            client.await_good(UNDER_WAY)
            write_all(admins, NOTE_SINCE)

        with self.log.step("vm-beside", new=self.fleet.name(index)) as changes:
            self.began = now()
            more = replace(self._before, vms=index + 1, broken_vms=frozenset({index}))
            with self.meanwhile(work_on):
                self.lab.declare(more, ready=False)
            with self.meanwhile(lambda: self.look_for_note(index)):
                self.find_bad(index)
            changes.append(f"{self.fleet.name(index)} has failed {plan.LOOKS} health checks")
            changes.append(self.watch(index, "who releases must look, and declare it back"))

    def go_back(self) -> None:
        """See `Way.go_back`."""
        with self.log.step("declare-back", new=self.fleet.name(self._before.vms)):
            self.lab.declare(self._before)
        self.log.finding(plan.DECLARED, "to go back is to declare it", "yes")

    def settle(self) -> None:
        """See `Way.settle`: the declaration is what runs."""


class Switched(Way):
    """Blue/green: a second set of VMs is declared out of sight, then in the place of the first, then back."""

    variant = plan.VM_SWITCHED

    def release(self, client: Client) -> None:
        """See `Way.release`; that the second set answers is looked at before the switch, and not how."""
        self._before = self.lab.declared
        count = self._before.vms
        blue, green = frozenset(range(count)), frozenset(range(count, 2 * count))
        both = replace(self._before, vms=2 * count, broken_vms=green)
        self._first_serves, second_serves = (replace(both, standby_vms=idle) for idle in (green, blue))
        names = " and ".join(map(self.fleet.name, sorted(green)))
        with self.log.step("second-set") as changes:
            self.began = now()
            self.lab.declare(self._first_serves, ready=False)
            self.fleet.at_once(self.await_status, green)
            changes.append(f"{names} answer, and nobody is sent to them")
        with self.log.step("vm-switched") as changes:
            self.lab.declare(second_serves, ready=False)
            for name in self.names:
                client.await_without(name, ALONE, timeout_s=SWITCH_TIMEOUT_S)
            changes.append(f"the front door leads to {names} alone")
            admins = [self.fleet.admin(index) for index in sorted(green)]
            with self.meanwhile(lambda: write_all(admins, NOTE_SINCE)):
                self.look_for_note(count)
                self.find_bad(count)
            self.decided = now()
            changes.append(f"{self.fleet.name(count)} has failed {plan.LOOKS} health checks")
        told = "not watched for: nothing else serves meanwhile; nobody is told to, as of the VM beside"
        self.log.finding(plan.WHO, told, "untried")

    def go_back(self) -> None:
        """See `Way.go_back`: those of before never ended."""
        with self.log.step("switch-back"):
            self.lab.declare(self._first_serves, ready=False)
        self.log.finding(plan.DECLARED, "to go back is to declare it", "yes")

    def settle(self) -> None:
        """See `Way.settle`: destroy the second set."""
        with self.log.step("second-set-away") as changes:
            outcome = self.lab.declare(self._before)
            changes += [f"{change.op} {change.name}" for change in outcome.changed]


def write_all(admins: list[Runner], path: str) -> None:
    """Write a small file into several instances."""
    for admin in admins:
        _inside.write_note(admin, path)


def try_to_keep_a_container(lab: Lab, log: Log) -> None:
    """Try on a container what is done to VMs: what a side cannot do is a finding."""
    side, name = lab.sides[plan.CONTAINER], Fleet(lab, plan.CONTAINER).name(INDEX)
    try:
        side.keep(INDEX)
    except SideError as error:
        log.finding(plan.PUTS_BACK, error.message, "cannot")
    else:
        side.put_back(INDEX)
        log.finding(plan.PUTS_BACK, f"yes: {name} was kept and put back", "yes")


WAYS: tuple[type[Way], ...] = (Rollout, Kept, Beside, Switched)
