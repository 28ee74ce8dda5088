"""What the engine tells while it works: changes, problems, and when the first step began."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from pairlab.model import ENGINES_OWN, PROJECT, Change, Outcome

Progress = Callable[[str], None]
VERBS = {
    "create": "creating",
    "update": "changing",
    "delete": "deleting",
    "replace": "replacing",
    "create-replacement": "creating anew",
    "delete-replaced": "deleting the old",
}


class Recorder:
    """Collects engine events: changes, errors, and the time of the first step.

    Args:
        progress: Told each step in words.
    """

    def __init__(self, progress: Progress) -> None:
        self.changes: dict[str, Change] = {}
        self.problems: list[str] = []
        self.started = time.monotonic()
        self.first_step_s: float | None = None
        self._progress = progress

    def __call__(self, event: Any) -> None:
        """Take one of the engine's events."""
        if event.resource_pre_event is not None:
            step = event.resource_pre_event.metadata
            # The stack and its components are the engine's own: its start ends when a provider gets to work.
            if self.first_step_s is None and not step.type.startswith(ENGINES_OWN):
                self.first_step_s = time.monotonic() - self.started
            self._step(step)
        elif event.diagnostic_event is not None and event.diagnostic_event.severity == "error":
            self.problems.append(plain(event.diagnostic_event.message))

    def _step(self, step: Any) -> None:
        if step.type.startswith("pulumi:pulumi:Stack"):
            return
        name = step.urn.rsplit("::", 1)[-1]
        op = step.op.value if hasattr(step.op, "value") else str(step.op)
        detailed = {path: diff.diff_kind.value for path, diff in (step.detailed_diff or {}).items()}
        old, new = step.old, step.new
        # A replacement is told in three steps: the whole is what counts.
        if not (op in ("create-replacement", "delete-replaced") and step.urn in self.changes):
            self.changes[step.urn] = Change(
                "replace" if op in ("create-replacement", "delete-replaced") else op,
                step.type,
                name,
                detailed or dict.fromkeys(step.diffs or [], "update"),
                dict(old.inputs) if old else {},
                dict(new.inputs) if new else {},
            )
        if op in VERBS and not step.type.startswith(f"{PROJECT}:"):
            self._progress(f"{VERBS[op]} {step.type.rsplit(':', 1)[-1]} {name}")

    def outcome(self) -> Outcome:
        """What the operation came to."""
        total = time.monotonic() - self.started
        return Outcome(list(self.changes.values()), self.first_step_s or total, total)


def plain(text: str) -> str:
    """A text without the engine's marks for colour."""
    return re.sub(r"<\{%[^%]*%\}>|\x1b\[[0-9;]*m", "", text).strip()
