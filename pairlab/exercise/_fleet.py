"""All instances of one side of a lab, as exercises handle them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pairlab.errors import ExerciseError, LabError
from pairlab.exercise import _inside
from pairlab.model import MAX_INSTANCES, Instance, SideName
from pairlab.run import Runner
from pairlab.side import Answer, probe

if TYPE_CHECKING:
    from pairlab.exercise import Lab

POLL_S = 0.2
COMMANDS_TIMEOUT_S = 90.0
REST_S = 1.0
REST_CPU = 0.1
"""An instance rests if it used less than this share of a CPU for `REST_S`."""
REST_TIMEOUT_S = 90.0

A = TypeVar("A")
T = TypeVar("T")


def at_once(do: Callable[[A], T], those: Iterable[A]) -> list[T]:
    """Do something to several at the same time; returns what came of each, or raises the first error."""
    with ThreadPoolExecutor(MAX_INSTANCES) as pool:
        return [done.result() for done in [pool.submit(do, each) for each in those]]


def await_rest_of_all(fleets: Iterable[Fleet]) -> None:
    """Wait until no instance of several sides has anything left to do; see `Fleet.await_rest`."""
    at_once(lambda fleet: fleet.await_rest(), fleets)


@dataclass(frozen=True)
class Fleet:
    """The declared instances of a side's front tier.

    Attributes:
        lab: The lab.
        side: Which half.
    """

    lab: Lab
    side: SideName

    @property
    def indexes(self) -> range:
        """Numbers of the declared instances."""
        return range(self.lab.declared.count(self.side))

    @property
    def names(self) -> list[str]:
        """Names of the declared instances."""
        return [self.name(index) for index in self.indexes]

    def calm(self, answers: int) -> int:
        """Good answers in a row that show a side at rest: each instance has had its turn twice.

        Args:
            answers: The fewest, however few instances there are.
        """
        return max(answers, 2 * len(self.indexes))

    def name(self, index: int) -> str:
        """Name of an instance."""
        return Instance(self.side, index, "").name

    def admin(self, index: int) -> Runner:
        """Runs commands in an instance as its administrator."""
        return self.lab.sides[self.side].runner(index, admin=True)

    def usual(self, index: int) -> Runner:
        """Runs commands in an instance as its usual account."""
        return self.lab.sides[self.side].runner(index)

    def tracer(self, index: int) -> Runner:
        """Runs commands that look into the workload's processes.

        A container's administrator has no right to trace processes of others; its usual account runs them.
        """
        return self.admin(index) if self.side is SideName.VM else self.usual(index)

    def answer_of(self, instance: str, path: str) -> Answer:
        """What an instance says, in its turn at the side's front door.

        Args:
            instance: Its name: a declared one, or one that an exercise has put beside them.
            path: What to ask for.

        Raises:
            ExerciseError: It does not answer.
            LabError: The front door does not.
        """
        for _ in range(2 * MAX_INSTANCES):
            answer = probe(self.lab.port(self.side), path)
            if answer.instance == instance:
                return answer
        raise ExerciseError(
            f"{instance} does not answer any more", hint="`invoke lab.status` shows the front doors"
        )

    def await_commands(self, timeout_s: float = COMMANDS_TIMEOUT_S) -> None:
        """Wait until commands can be run in every instance: one may serve before it lets anybody in.

        Raises:
            LabError: In one they still can not.
        """

        def refusal(index: int) -> LabError | None:
            try:
                self.usual(index).run(["true"])
            except LabError as error:
                return error
            return None

        deadline = time.monotonic() + timeout_s
        waiting = list(self.indexes)
        # Each thread tries once: a signal to stop is heeded after that, and not only at the deadline.
        while waiting:
            tried = zip(waiting, self.at_once(refusal, waiting), strict=True)
            refused = {index: why for index, why in tried if why}
            if refused and time.monotonic() > deadline:
                raise next(iter(refused.values()))
            time.sleep(POLL_S if refused else 0)
            waiting = list(refused)

    def at_once(self, do: Callable[[int], T], indexes: Iterable[int] | None = None) -> list[T]:
        """Do something to every instance, or to some, at the same time; returns what came of each."""
        return at_once(do, indexes or self.indexes)

    def await_rest(self, timeout_s: float = REST_TIMEOUT_S) -> None:
        """Wait until no instance has anything left to do of its start.

        Raises:
            ExerciseError: One keeps a CPU busy.
        """
        deadline = time.monotonic() + timeout_s
        before, busy = self._cpu_s(), [""]
        while busy:
            if time.monotonic() > deadline:
                raise ExerciseError(
                    f"{', '.join(busy)} did not come to rest within {timeout_s:g} s",
                    hint="`invoke lab.logs` may show what it does; end what else uses this lab",
                )
            time.sleep(REST_S)
            now = self._cpu_s()
            # An instance that is new here has used all that it used since.
            busy = [name for name, cpu_s in now.items() if cpu_s - before.get(name, 0) > REST_CPU * REST_S]
            before = now

    def _cpu_s(self) -> dict[str, float]:
        """Name of each running instance -> CPU seconds so far."""
        return {each.name: each.cpu_s for each in self.lab.sides[self.side].instances() if each.cpu_s}

    def written_bytes(self) -> int:
        """Bytes of disk that the instances have of their own."""
        return sum(self.lab.sides[self.side].written_bytes(index) for index in self.indexes)

    def identity(self, index: int) -> str:
        """Differs after every start of an instance."""
        return _inside.identity(self.usual(index))

    def await_new(self, index: int, before: str, timeout_s: float) -> bool:
        """Whether an instance has started anew in time.

        Args:
            index: Its number.
            before: Its identity before.
            timeout_s: Seconds until it counts as gone.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                if self.identity(index) != before:
                    return True
            except LabError:
                pass  # it is not there, or not yet
            time.sleep(POLL_S)
        return False
