"""Saying that a long step is still at work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[str], None]


@contextmanager
def heartbeat(progress: Progress, told: Callable[[], str], *, every_s: float = 5.0) -> Iterator[None]:
    """Report again and again while the block runs, for steps that may be silent for long.

    Args:
        progress: Where to report; called from another thread.
        told: Gives what is going on now.
        every_s: Seconds between two reports.
    """
    over = threading.Event()
    began = time.monotonic()

    def beat() -> None:
        while not over.wait(every_s):
            progress(f"{told()} ({time.monotonic() - began:.0f} s)")

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
