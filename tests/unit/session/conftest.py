"""A trial of exercises on a lab in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from course_worlds import Script, Trial

from pairlab import exercise


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Script], Trial]:
    """Makes a trial whose exercises do what a script says."""

    def make(script: Script) -> Trial:
        monkeypatch.setattr(exercise, "load", script.load)
        return Trial(tmp_path / "results", script)

    return make
