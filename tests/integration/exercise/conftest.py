"""Exercises that share one lab: run once, by one command, for all tests that read their results."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab_commands import SHARED_TIMEOUT_S, Commands, inventory, own_lab

SHARED = ("stack", "manage", "footprint", "startup", "rollback", "scale")
"""The shorter ones, first those that look at fresh instances."""


@pytest.fixture(scope="session")
def shared_results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Result file of each, all complete, and nothing left of their lab."""
    out = tmp_path_factory.mktemp("shared-results")
    commands = Commands(tmp_path_factory.mktemp("shared-state"))
    with own_lab(commands, "t-shared") as lab:
        before = inventory()
        words = ["--ephemeral", "--repeat", "1", "--lab", lab, "--out", str(out)]
        commands.run("exercise.run", ",".join(SHARED), *words, timeout_s=SHARED_TIMEOUT_S)
        assert inventory() == before
    return {path.stem.rsplit("-", 1)[-1]: path for path in out.glob("*.json")}
