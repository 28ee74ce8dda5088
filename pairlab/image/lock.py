"""One builder at a time: a lock on the image cache."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pairlab.errors import ImageError
from pairlab.progress import Progress


@contextmanager
def locked(cache: Path, progress: Progress) -> Iterator[None]:
    """Hold the cache while the block runs; first wait for whoever holds it, and say for whom.

    Raises:
        ImageError: The cache cannot be written.
    """
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = (cache / "lock").open("a+")
    except OSError as error:
        raise ImageError(
            f"{cache} cannot be written: {error.strerror}",
            hint="set PAIRLAB_CACHE to a directory of yours",
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            progress(f"waiting for another image build, of process {lock.read().strip() or 'unknown'}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
