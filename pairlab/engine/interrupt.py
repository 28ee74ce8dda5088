"""Ctrl-C while the engine works: it ends its current step and saves the state, and only then is it over."""

from __future__ import annotations

import os
import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TypeVar

from pairlab.files import replace_at_once
from pairlab.progress import Progress
from pairlab.run import children_of

Result = TypeVar("Result")
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def write_apart(cli: Path, root: Path) -> Path:
    """Write `bin/pulumi` that is the CLI in a session of its own, where no Ctrl-C but ours reaches it.

    A second one would end it at once, and a terminal sends one to each process that it started.

    Args:
        cli: The CLI.
        root: Directory of the `bin`.

    Returns:
        What was written.
    """
    path = root / "bin" / "pulumi"
    replace_at_once(path, f'#!/bin/sh\nexec setsid {shlex.quote(str(cli))} "$@"\n', mode=0o700)
    return path


def interruptible(operate: Callable[[], Result], progress: Progress) -> Result:
    """Run in a thread, so that a signal to stop reaches the engine, which ends its step and saves the state.

    It reaches the engine once, however often it comes.

    Raises:
        KeyboardInterrupt: One came; the engine is done.
    """
    results: list[Result] = []
    failures: list[BaseException] = []
    over = threading.Event()

    def work() -> None:
        try:
            results.append(operate())
        except BaseException as error:
            failures.append(error)
        finally:
            over.set()

    with _noted() as stops:
        threading.Thread(target=work).start()
        is_announced = is_told = False
        while not over.wait(0.2):
            if stops and not is_announced:
                is_announced = True
                progress("stopping: the engine ends its current step and saves the state")
            if stops and not is_told:
                is_told = _pass_on()  # again and again while the CLI is only starting
    if stops:
        stops[0]()
    if failures:
        raise failures[0]
    return results[0]


@contextmanager
def _noted() -> Iterator[list[Callable[[], None]]]:
    """While open, a signal to stop does nothing; it is kept as what it would have done.

    One that is ignored stays so. In a thread, which gets none, nothing is changed.
    """
    noted: list[Callable[[], None]] = []

    def note(number: int, frame: FrameType | None) -> None:
        before = handlers[signal.Signals(number)]
        noted.append(lambda: before(number, frame))

    found = {number: signal.getsignal(number) for number in STOPS}
    handlers = {number: before for number, before in found.items() if callable(before)}
    is_main = threading.current_thread() is threading.main_thread()
    for number in handlers if is_main else ():
        signal.signal(number, note)
    try:
        yield noted
    finally:
        for number, before in handlers.items() if is_main else ():
            signal.signal(number, before)


def _pass_on() -> bool:
    """Interrupt the CLI; returns whether there was one."""
    found = [pid for pid in children_of(os.getpid()) if _is_cli(pid)]
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
    return bool(found)


def _is_cli(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == "pulumi"
    except OSError:
        return False  # it ended meanwhile
