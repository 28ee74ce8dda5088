"""Labs for the contract of `Side`: one in memory, one of real domains, one of real Swarm services."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from side_packages import debian_package
from side_worlds import FakeWorld, LibvirtWorld, SwarmWorld, World

from pairlab.run import LocalRunner

TEST_IMAGE = "plside-test:contract"
APPLETS = ("sh", "sleep", "cat", "echo", "env", "pwd", "printf", "true", "false", "head")


@pytest.fixture(scope="session")
def busybox_image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A container image of nothing but a static busybox, made without a registry."""
    where = tmp_path_factory.mktemp("busybox")
    root = where / "image"
    (root / "bin").mkdir(parents=True)
    shutil.copy(
        debian_package("busybox-static", where / "package") / "bin" / "busybox", root / "bin" / "busybox"
    )
    for applet in APPLETS:
        (root / "bin" / applet).symlink_to("busybox")
    local = LocalRunner()
    archive = where / "image.tar"
    local.run(["tar", "-C", str(root), "-cf", str(archive), "."])
    local.run(["docker", "import", str(archive), TEST_IMAGE])
    yield TEST_IMAGE
    local.run(["docker", "rmi", TEST_IMAGE])


@pytest.fixture(
    params=[
        "fake",
        pytest.param("libvirt", marks=pytest.mark.integration),
        pytest.param("swarm", marks=pytest.mark.integration),
    ]
)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A lab that can be filled, beside things of others that must survive."""
    made: World
    if request.param == "fake":
        made = FakeWorld()
    elif request.param == "libvirt":
        made = LibvirtWorld(tmp_path)
    else:
        made = SwarmWorld(tmp_path, request.getfixturevalue("busybox_image"))
    try:
        yield made
    finally:
        made.clear()
