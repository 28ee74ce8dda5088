"""What the engine tells while it works: changes, problems, and when the first step began."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import Any

from pairlab.model import ENGINES_OWN, KEPT_OPS, PROJECT, Change, Outcome
from pairlab.progress import Progress

VERBS = {
    "create": "creating",
    "update": "changing",
    "delete": "deleting",
    "replace": "replacing",
    "create-replacement": "creating anew",
    "delete-replaced": "deleting the old",
}
REPLACING = ("create-replacement", "delete-replaced")


class Recorder:
    """Collects engine events: changes, drift, errors, and the time of the first step.

    A refresh announces every resource by the same word, and says only afterwards what it found.

    Args:
        progress: Told each step in words.
    """

    def __init__(self, progress: Progress) -> None:
        self.changes: dict[str, Change] = {}
        self.drifted: list[Change] = []
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
        elif event.res_outputs_event is not None:
            self._found(event.res_outputs_event.metadata)
        elif event.diagnostic_event is not None and event.diagnostic_event.severity == "error":
            self.problems.append(plain(event.diagnostic_event.message))

    def _step(self, step: Any) -> None:
        if step.type.startswith("pulumi:pulumi:Stack"):
            return
        change = _change(step)
        # A replacement is told in three steps: the whole is what counts.
        if not (change.op in REPLACING and step.urn in self.changes):
            self.changes[step.urn] = replace(change, op="replace") if change.op in REPLACING else change
        if change.op in VERBS and not step.type.startswith(f"{PROJECT}:"):
            self._progress(f"{VERBS[change.op]} {step.type.rsplit(':', 1)[-1]} {change.name}")

    def _found(self, step: Any) -> None:
        """Take what a refresh found of a resource."""
        announced = self.changes.get(step.urn)
        found = _change(step)
        if announced is not None and announced.op == "refresh" and found.op not in KEPT_OPS:
            self.drifted.append(found)

    def outcome(self) -> Outcome:
        """What the operation came to."""
        total = time.monotonic() - self.started
        return Outcome(list(self.changes.values()), self.first_step_s or total, total, self.drifted)


def _change(step: Any) -> Change:
    """A step as the engine tells it."""
    detailed = {path: diff.diff_kind.value for path, diff in (step.detailed_diff or {}).items()}
    return Change(
        step.op.value if hasattr(step.op, "value") else str(step.op),
        step.type,
        step.urn.rsplit("::", 1)[-1],
        detailed or dict.fromkeys(step.diffs or [], "update"),
        dict(step.old.inputs) if step.old else {},
        dict(step.new.inputs) if step.new else {},
    )


def plain(text: str) -> str:
    """A text without the engine's marks for colour."""
    return re.sub(r"<\{%[^%]*%\}>|\x1b\[[0-9;]*m", "", text).strip()
