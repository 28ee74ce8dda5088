"""Ctrl-C while the engine works: it ends its current step and saves the state, and only then is it over."""

from __future__ import annotations

import os
import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from pairlab.engine.own_files import replace_at_once

Progress = Callable[[str], None]
Result = TypeVar("Result")


def write_apart(cli: Path, root: Path) -> None:
    """Write `bin/pulumi` that is the CLI in a session of its own, where no Ctrl-C but ours reaches it.

    A second one would end it at once, and a terminal sends one to each process that it started.

    Args:
        cli: The CLI.
        root: Directory of the `bin`.
    """
    replace_at_once(
        root / "bin" / "pulumi", f'#!/bin/sh\nexec setsid {shlex.quote(str(cli))} "$@"\n', mode=0o700
    )


def interruptible(operate: Callable[[], Result], progress: Progress) -> Result:
    """Run in a thread, so that Ctrl-C or SIGTERM reaches the engine, which ends its step and saves the state.

    It reaches the engine once, however often it comes.
    """
    results: list[Result] = []
    failures: list[BaseException] = []
    over = threading.Event()  # a `join` that Ctrl-C interrupts takes the thread for ended

    def work() -> None:
        try:
            results.append(operate())
        except BaseException as error:
            failures.append(error)
        finally:
            over.set()

    threading.Thread(target=work).start()
    interrupted: KeyboardInterrupt | None = None
    passed_on = False
    while not over.is_set():
        try:
            if interrupted and not passed_on:  # again and again while the CLI is only starting
                passed_on = _pass_on()
            over.wait(0.5)
        except KeyboardInterrupt as stop:
            if not interrupted:
                progress("stopping: the engine ends its current step and saves the state")
            interrupted = interrupted or stop
    if interrupted:
        raise interrupted
    if failures:
        raise failures[0]
    return results[0]


def _pass_on() -> bool:
    """Interrupt the CLI; returns whether there was one."""
    children = list(_children())
    for pid in children:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
    return bool(children)


def _children() -> Iterator[int]:
    for path in Path("/proc/self/task").glob("*/children"):
        with suppress(FileNotFoundError):  # it ended meanwhile
            for word in path.read_text().split():
                if Path(f"/proc/{word}/comm").read_text().strip() == "pulumi":
                    yield int(word)
