"""Ctrl-C while the engine works: it ends its current step and saves the state, and only then is it over."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from pairlab.errors import Terminated

Progress = Callable[[str], None]
Result = TypeVar("Result")


def interruptible(operate: Callable[[], Result], progress: Progress) -> Result:
    """Run in a thread, so that Ctrl-C reaches the engine, which then ends its step and saves the state.

    A terminal sends it to the engine too; otherwise, as with SIGTERM, it is passed on.
    """
    results: list[Result] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            results.append(operate())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    interrupted: KeyboardInterrupt | None = None
    while thread.is_alive():
        try:
            thread.join(0.5)
        except KeyboardInterrupt as stop:
            if interrupted:
                continue
            interrupted = stop
            progress("stopping: the engine ends its current step and saves the state")
            if isinstance(stop, Terminated) or not sys.stdin.isatty():
                for pid in _children():
                    os.kill(pid, signal.SIGINT)
    if interrupted:
        raise interrupted
    if failures:
        raise failures[0]
    return results[0]


def _children() -> Iterator[int]:
    for path in Path("/proc/self/task").glob("*/children"):
        for word in path.read_text().split():
            if Path(f"/proc/{word}/comm").read_text().strip() == "pulumi":
                yield int(word)
