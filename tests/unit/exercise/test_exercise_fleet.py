"""A side's instances handled together: commands are awaited in each, and a signal to stop is heeded."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from pairlab.errors import SideError
from pairlab.exercise import Declaration, _fleet
from pairlab.model import SideName


class Door:
    """An instance that lets nobody in for the first times that a command is given to it."""

    def __init__(self, refusals: float) -> None:
        self.refusals, self.tries = refusals, 0

    def run(self, argv: list[str]) -> None:
        assert argv == ["true"]
        self.tries += 1
        if self.tries <= self.refusals:
            raise SideError("Connection refused", hint="wait")


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """A CI runner's background job ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_fleet, "POLL_S", 0.01)


def fleet(*doors: Door) -> _fleet.Fleet:
    class Side:
        def runner(self, index: int, *, admin: bool = False) -> Door:
            return doors[index]

    lab: Any = SimpleNamespace(declared=Declaration(len(doors), 1), sides={SideName.VM: Side()})
    return _fleet.Fleet(lab, SideName.VM)


def test_each_instance_is_tried_until_it_lets_somebody_in() -> None:
    doors = Door(0), Door(3), Door(1)
    fleet(*doors).await_commands()
    assert [door.tries for door in doors] == [1, 4, 2]


def test_what_still_refuses_at_the_deadline_is_told() -> None:
    doors = Door(0), Door(float("inf"))
    with pytest.raises(SideError, match="Connection refused"):
        fleet(*doors).await_commands(0.1)
    assert doors[0].tries == 1
    assert doors[1].tries > 1


@pytest.mark.usefixtures("_interruptible")
def test_a_signal_to_stop_is_heeded_long_before_the_deadline() -> None:
    began = time.monotonic()
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        fleet(Door(float("inf"))).await_commands(60)
    assert time.monotonic() - began < 10


def test_all_sides_come_to_rest_at_the_same_time_and_one_that_does_not_is_told() -> None:
    both = threading.Barrier(2, timeout=10)
    at_rest: Any = SimpleNamespace(await_rest=both.wait)
    _fleet.await_rest_of_all([at_rest, at_rest])

    def goes_on() -> None:
        raise SideError("vm/0 did not come to rest", hint="wait")

    with pytest.raises(SideError, match="vm/0"):
        _fleet.await_rest_of_all([SimpleNamespace(await_rest=goes_on)])  # type: ignore[list-item]
