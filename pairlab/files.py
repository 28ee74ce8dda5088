"""Files that several processes may write at once: each is whole, or not there; and locks among them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pairlab.progress import Progress, heartbeat


def replace_at_once(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Write a file that takes the place of an earlier one."""
    with _beside(path, text, mode) as written:
        os.replace(written, path)


def write_first(path: Path, text: str) -> None:
    """Write a file that only this user reads, unless it is there: the first run's stays."""
    with _beside(path, text, 0o600) as written, contextlib.suppress(FileExistsError):
        os.link(written, path)


@contextmanager
def alone(path: Path, progress: Progress, *, waiting: str) -> Iterator[None]:
    """Hold a lock while the block runs; first wait for the process that holds it.

    Args:
        path: The lock: a file in a folder that is there.
        progress: Told that it waits, and for which process.
        waiting: What for, such as `waiting for another image build`.
    """
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            said = f"{waiting}, of process {lock.read().strip() or 'unknown'}"
            progress(said)
            with heartbeat(progress, lambda: said):
                fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextmanager
def _beside(path: Path, text: str, mode: int) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(name, mode)
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
