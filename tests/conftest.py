"""Shared by all tests: where the Pulumi CLI is."""

from __future__ import annotations

import os

from pairlab.engine.cli import find_cli
from pairlab.run import LocalRunner
from pairlab.session.workbench import cache_dir


def pytest_configure() -> None:
    # Tests that need the CLI fail without one; `invoke lab.setup` brings it into the cache.
    cli = find_cli(cache_dir(), LocalRunner())
    if cli is not None:
        os.environ.setdefault("PAIRLAB_TEST_PULUMI", str(cli.path))
