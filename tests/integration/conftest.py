"""A state directory and settings of the tests' own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab_commands import Commands, write_settings


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    return Commands(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module")
def lab(commands: Commands, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a lab with settings of its own; down at the end, whatever happened."""
    name = "t-" + request.module.__name__.rsplit("test_", 1)[-1].removeprefix("lab_").replace("_", "-")
    # What a killed test run left would otherwise fail this one, and all later ones.
    commands.run("lab.down", "--lab", name, "--yes", "--orphans")
    path = write_settings(name, vms=1, replicas=1)
    try:
        yield name
    finally:
        commands.run("lab.down", "--lab", name, "--yes")
        path.unlink()
