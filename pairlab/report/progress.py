"""What an exercise is at, while it runs: both sides, the step, requests answered and failed so far."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.markdown import Markdown
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from pairlab.model import SideName
from pairlab.report.results_terminal import plain

REFRESH_HZ = 4


class _Now:
    """Renders the state of a log at the moment it is drawn."""

    def __init__(self, log: Any, title: str, repetitions: int, left: Callable[[], list[str]]) -> None:
        self._log, self._title, self._repetitions, self._left = log, title, repetitions, left

    def __rich__(self) -> Group:
        log = self._log
        head = Text(f"{self._title}, repetition {log.repetition + 1} of {self._repetitions}")
        left = Text("\n").join(Text(line, "dim") for line in self._left())
        step = Text(
            "  ".join(part for part in (log.variant, log.step_title) if part) or "between two steps", "bold"
        )
        table = Table("side", "answered", "failed", "", box=None, pad_edge=False)
        for side in SideName:
            answered, failed = log.requests(side)
            asking = "asking now" if side in log.clients else ""
            table.add_row(side.value, str(answered), Text(str(failed), "red" if failed else ""), asking)
        return Group(head, left, step, table)


@contextmanager
def follow(log: Any, result: Any, left: Callable[[], list[str]]) -> Iterator[None]:
    """Show an exercise's progress on the terminal until the block ends; elsewhere its log lines do.

    Args:
        log: What it tells while it runs.
        result: What is known of it at its begin.
        left: Gives lines on the time that is left.
    """
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield
        return
    with Live(
        _Now(log, result.title, result.repetitions, left),
        console=console,
        refresh_per_second=REFRESH_HZ,
        transient=True,
        redirect_stderr=True,
    ):
        yield


class Guide:
    """Leads a person through an exercise: what will happen and why, Enter, and what changed."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)

    def before(self, section: Any) -> None:
        """Show the text of a step, and wait for Enter."""
        self._console.print(Panel(Markdown(section.text), title=section.title, title_align="left"))
        if sys.stdin.isatty():
            self._console.input("[dim]Enter goes on, Ctrl-C stops [/dim]")

    def after(self, section: Any, changes: list[str]) -> None:
        """Say what a step changed."""
        for line in changes or ["done"]:
            self._console.print(plain(f"  {section.title}: {line}"))
