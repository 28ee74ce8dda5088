"""What must not run at the same time, in any process of this user: locks that end with their process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TextIO

from pairlab.errors import ConflictError
from pairlab.model import check_lab_name, state_dir

LAB, PRUNE = "lab-{lab}", "prune"


def changing(lab: str, command: str) -> AbstractContextManager[None]:
    """Be the only one that changes a lab, its keys and its records, or measures on it. Images stay meanwhile.

    Args:
        lab: Its name.
        command: What does it, such as `lab.up`: told whoever comes meanwhile.

    Raises:
        UsageError: No lab can have this name.
        ConflictError: Another process does, or one removes images.
    """
    return _exclusive(LAB.format(lab=check_lab_name(lab)), f"runs {command} on lab {lab!r}", against=PRUNE)


def running_exercises(lab: str) -> AbstractContextManager[None]:
    """Be the only one at a lab, as `changing` has it: two exercises would measure each other."""
    return changing(lab, "exercises")


def removing_images() -> AbstractContextManager[None]:
    """Be the only one that removes images, while no lab is changed: it may need one that nothing uses yet.

    Raises:
        ConflictError: Another process removes images, or is at work on a lab.
    """
    return _exclusive(PRUNE, "removes images", against=LAB.format(lab="*"))


@contextmanager
def _exclusive(name: str, doing: str, *, against: str) -> Iterator[None]:
    """Hold the lock `name` while nobody holds one whose name matches the pattern `against`."""
    folder = state_dir() / "running"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("a+") as own:
        _take(own, fcntl.LOCK_EX)
        own.truncate(0)
        own.write(f"process {os.getpid()} {doing}")
        own.flush()
        # Only now: of two that begin at once, at least one sees the other.
        for path in folder.glob(f"{against}.lock"):
            with path.open() as other:
                _take(other, fcntl.LOCK_SH)
        try:
            yield
        finally:
            own.truncate(0)


def _take(lock: TextIO, kind: int) -> None:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.seek(0)
        holder = lock.read() or "another process holds it"
        raise ConflictError(holder, hint="wait until it is done, then run this again") from error
