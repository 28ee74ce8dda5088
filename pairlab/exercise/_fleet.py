"""All instances of one side of a lab, as exercises handle them."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pairlab.errors import LabError
from pairlab.exercise import _inside
from pairlab.model import Instance, SideName
from pairlab.run import Runner

if TYPE_CHECKING:
    from pairlab.exercise import Lab

POLL_S = 0.2
COMMANDS_TIMEOUT_S = 90.0


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

    def await_commands(self, timeout_s: float = COMMANDS_TIMEOUT_S) -> None:
        """Wait until commands can be run in every instance: one may serve before it lets anybody in.

        Raises:
            LabError: In one they still can not.
        """
        deadline = time.monotonic() + timeout_s
        for index in self.indexes:
            while True:
                try:
                    self.usual(index).run(["true"])
                    break
                except LabError:
                    if time.monotonic() > deadline:
                        raise
                time.sleep(POLL_S)

    def at_once(self, do: Callable[[int], object]) -> None:
        """Do something to every instance at the same time."""
        with ThreadPoolExecutor() as pool:
            for done in [pool.submit(do, index) for index in self.indexes]:
                done.result()

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
