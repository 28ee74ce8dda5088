"""Shared by all tests: where the Pulumi CLI is."""

from __future__ import annotations

import gc
import os

import pytest

from pairlab.engine.cli import find_cli
from pairlab.run import LocalRunner
from pairlab.session.workbench import cache_dir


def pytest_configure() -> None:
    # Tests that need the CLI fail without one; `invoke lab.setup` brings it into the cache.
    cli = find_cli(cache_dir(), LocalRunner())
    if cli is not None:
        os.environ.setdefault("PAIRLAB_TEST_PULUMI", str(cli.path))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # What Pulumi's SDK leaves of a failed run is found by the garbage collector: in the test that failed it.
    for item in items:
        if item.get_closest_marker("integration"):
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    if item.get_closest_marker("integration"):
        gc.collect()
