"""A state directory and settings of the tests' own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab_commands import Commands, own_lab


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    return Commands(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module")
def lab(commands: Commands, request: pytest.FixtureRequest) -> Iterator[str]:
    name = "t-" + request.module.__name__.rsplit("test_", 1)[-1].removeprefix("lab_").replace("_", "-")
    with own_lab(commands, name) as lab:
        yield lab
