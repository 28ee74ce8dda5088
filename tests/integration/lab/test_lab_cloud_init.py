"""A guest with cloud-init from the same seed: an image by URL, booted by its own boot loader."""

from __future__ import annotations

import subprocess

import pytest
from lab_commands import Commands, doors, get, left_of, until

from pairlab.image.record import DISK
from pairlab.image.store import ImageStore
from pairlab.run import LocalRunner
from pairlab.session.workbench import cache_dir
from tests.cloud_image import build

pytestmark = pytest.mark.integration

END_TIMEOUT_S = 300


@pytest.fixture(scope="module")
def chosen(lab: str) -> list[str]:
    """Options of a lab whose guest is the image."""
    image = build(ImageStore(cache_dir() / "images", LocalRunner()), print)
    settings = {
        "guestImageUrl": (image.folder / DISK).as_uri(),
        "guestImageSha256": image.files[DISK],
        "vmMemoryMib": "512",
    }
    options = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    return ["--lab", lab, "--replicas", "0", *options]


@pytest.fixture(scope="module")
def up(commands: Commands, lab: str, chosen: list[str]) -> str:
    commands.run("lab.up", *chosen)
    # It serves before it lets anybody in.
    until(lambda: enter(commands, lab).returncode == 0, timeout_s=END_TIMEOUT_S)
    return lab


def enter(commands: Commands, lab: str) -> subprocess.CompletedProcess[str]:
    return commands.run("lab.exec", "vm/0", "true", "--lab", lab, check=False)


def inside(commands: Commands, lab: str, command: str) -> str:
    return commands.run("lab.exec", "vm/0", command, "--lab", lab).stdout.strip()


def status(commands: Commands, lab: str) -> str:
    done = commands.run("lab.exec", "vm/0", "cloud-init status", "--lab", lab, check=False)
    return done.stdout.strip()


def test_it_serves_what_its_seed_says(commands: Commands, up: str) -> None:
    status, headers, page = get(doors(commands, up)["vm"])
    assert status == 200
    assert f"<title>pairlab: {up}</title>" in page
    assert headers["x-pairlab-side"] == "vm"
    assert headers["x-pairlab-instance"] == "vm/0"
    assert headers["x-pairlab-version"] == inside(commands, up, "dpkg-query -W -f ${Version} nginx")


def test_cloud_init_understood_all_of_the_seed(commands: Commands, up: str) -> None:
    # It restarts ssh on its way.
    until(lambda: status(commands, up) in ("status: done", "status: error"), timeout_s=END_TIMEOUT_S)
    assert status(commands, up) == "status: done"
    assert "/dev/vdb" in inside(commands, up, "cloud-init query subplatform")
    log = inside(commands, up, "sudo cat /var/log/cloud-init.log")
    assert [line for line in log.splitlines() if "WARNING" in line or "ERROR" in line] == []
    assert inside(commands, up, "hostname") == "vm-0"
    route = inside(commands, up, "ip route show default")
    assert f" {route.split()[2]}" in inside(commands, up, "resolvectl dns eth0")
    assert "unable to resolve" not in inside(commands, up, "sudo hostname")
    assert inside(commands, up, "sudo systemctl is-system-running --wait") == "running"


def test_it_has_the_pinned_host_key_and_no_other(commands: Commands, up: str) -> None:
    keys = inside(commands, up, "sudo sh -c 'cat /etc/ssh/ssh_host_*.pub'").splitlines()
    pinned = (commands.state / "labs" / up / "known_hosts").read_text().split()
    assert [key.split()[:2] for key in keys] == [pinned[1:3]]


def test_a_second_up_changes_nothing(commands: Commands, up: str, chosen: list[str]) -> None:
    assert "no changes" in commands.run("lab.preview", *chosen).stdout
    assert "nothing had to change" in commands.run("lab.up", *chosen).stdout


def test_down_leaves_nothing(commands: Commands, up: str) -> None:
    commands.run("lab.down", "--lab", up, "--yes")
    assert left_of(up) == set()
