"""Clearing a lock: only one that nobody needs, and only after a yes."""

from __future__ import annotations

from typing import Any, cast

import pytest

from pairlab.engine.state_files import LockHolder
from pairlab.errors import ConflictError
from pairlab.session.lab import unlock
from pairlab.session.workbench import Workbench

GONE = LockHolder("process 7 of me, no longer running here")
AT_WORK = LockHolder("process 7 of me, still running", runs=True)


class Bench:
    """An engine whose backend says this of the lock."""

    def __init__(self, holder: LockHolder | None, *, tells: bool = True) -> None:
        self.tells_lock_holders = tells
        self.cleared: list[str] = []
        self.asked: list[str] = []
        self._holder = holder

    def engine(self, *_: Any) -> Any:
        return self

    def lock_holder(self, _: str) -> LockHolder | None:
        return self._holder

    def clear(self, *, answer: bool) -> str:
        def confirm(question: str) -> bool:
            self.asked.append(question)
            return answer

        return unlock(cast(Workbench, self), "dev", confirm)

    def unlock(self, lab: str) -> None:
        self.cleared.append(lab)


def test_the_lock_of_one_that_is_at_work_is_not_cleared() -> None:
    bench = Bench(AT_WORK)
    with pytest.raises(ConflictError, match="locked by process 7 of me, still running"):
        bench.clear(answer=True)
    assert bench.asked == bench.cleared == []


@pytest.mark.parametrize(
    ("answer", "told"), [(True, "cleared; the lock was held by"), (False, "the lock stays")]
)
def test_it_is_said_whether_the_lock_was_cleared(answer: bool, told: str) -> None:
    bench = Bench(GONE)
    assert bench.clear(answer=answer).startswith(told)
    assert "locked by process 7" in bench.asked[0]
    assert bench.cleared == ["dev"] * answer


def test_where_there_is_no_lock_nobody_is_asked() -> None:
    bench = Bench(None)
    assert bench.clear(answer=True) == "no lock"
    assert bench.asked == bench.cleared == []


def test_a_backend_that_tells_no_holder_is_asked_to_clear_what_it_has() -> None:
    bench = Bench(None, tells=False)
    assert "does not tell whose it was" in bench.clear(answer=True)
    assert "by whom this backend does not tell" in bench.asked[0]
    assert bench.cleared == ["dev"]
