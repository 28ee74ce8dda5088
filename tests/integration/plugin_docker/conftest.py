"""A real engine with the embedded docker plugin, and an image that is one small program."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker_trial import Trial

from tests.docker_test_image import built_image


@pytest.fixture(scope="session")
def pulumi_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with `bin/pulumi`. It must be there: without it these tests prove nothing."""
    place = os.environ.get("PAIRLAB_TEST_PULUMI") or shutil.which("pulumi")
    if not place:
        pytest.fail("no Pulumi CLI: run `invoke lab.setup`, or name one in PAIRLAB_TEST_PULUMI")
    root = tmp_path_factory.mktemp("pulumi")
    (root / "bin").mkdir()
    (root / "bin" / "pulumi").symlink_to(Path(place).resolve())
    return root


@pytest.fixture(scope="session")
def api() -> Iterator[docker.APIClient]:
    with_version = docker.APIClient(version="auto")
    yield with_version
    with_version.close()


@pytest.fixture
def prefix() -> str:
    return f"pldocker-{secrets.token_hex(3)}"


@pytest.fixture(scope="session")
def image(api: docker.APIClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Name of an image whose tags `1` and `2` are two versions of one program."""
    yield from built_image(api, tmp_path_factory.mktemp("image"))


@pytest.fixture
def trial(pulumi_root: Path, tmp_path: Path) -> Iterator[Trial]:
    made = Trial(pulumi_root, tmp_path)
    yield made
    made.destroy()
