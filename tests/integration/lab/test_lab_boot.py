"""A VM that starts from its own disk owns its kernel: one that is installed inside it is what boots next."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from lab_commands import Commands, doors, get, left_of, until

from pairlab.run import LocalRunner
from pairlab.ssh import SshRunner

pytestmark = pytest.mark.integration

REBOOT_TIMEOUT_S = 240


@pytest.fixture(scope="module")
def newer_kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The security pocket's kernel package: images are built from the release pocket.

    Without modules that the guest never loads, and not compressed: an emulated guest unpacks it in seconds.
    """
    folder, runner = tmp_path_factory.mktemp("kernel"), LocalRunner()
    depends = runner.run(["apt-cache", "depends", "--important", "linux-image-cloud-amd64"]).stdout
    package = re.findall(r"Depends: (linux-image-\S+)", depends)[0]
    runner.run(["apt-get", "download", package], cwd=folder, timeout_s=120)
    (whole,) = folder.glob("*.deb")
    runner.run(["dpkg-deb", "--raw-extract", str(whole), str(folder / "tree")], timeout_s=60)
    for module in (folder / "tree" / "lib" / "modules").rglob("*.ko"):
        if not re.match("virtio|isofs|cdrom|failover|net_failover", module.stem):
            module.unlink()
    small = folder / "small" / whole.name
    small.parent.mkdir()
    runner.run(["dpkg-deb", "-Znone", "--build", str(folder / "tree"), str(small)], timeout_s=60)
    return small


def inside(commands: Commands, lab: str, command: str) -> str:
    """What a command in the VM prints; nothing if the VM is away."""
    done = commands.run("lab.exec", "vm/0", command, "--lab", lab, check=False)
    return "" if done.returncode else done.stdout.strip()


def install(commands: Commands, lab: str, package: Path) -> None:
    directory = commands.state / "labs" / lab
    (vm,) = [i for i in commands.json("lab.status", "--lab", lab)["instances"] if i["side"] == "vm"]
    ssh = SshRunner(vm["address"], "lab", directory / "id_ed25519", directory / "known_hosts")
    with package.open("rb") as content:
        copy = ssh.argv(["dd", "of=/var/tmp/kernel.deb", "status=none"])
        subprocess.run(copy, stdin=content, check=True, timeout=REBOOT_TIMEOUT_S)
    commands.run("lab.exec", "vm/0", "sudo dpkg --install /var/tmp/kernel.deb", "--lab", lab)


def reboot(commands: Commands, lab: str) -> None:
    def boot() -> str:
        return inside(commands, lab, "cat /proc/sys/kernel/random/boot_id")

    before = boot()
    assert before
    inside(commands, lab, "sudo systemctl reboot")
    until(lambda: boot() not in ("", before), timeout_s=REBOOT_TIMEOUT_S)


def test_a_kernel_installed_inside_is_what_boots_next(
    commands: Commands, lab: str, newer_kernel: Path
) -> None:
    chosen = ["--lab", lab, "--replicas", "0", "--set", "boot=disk"]
    commands.run("lab.up", *chosen)
    port = doors(commands, lab)["vm"]
    assert get(port)[1]["x-pairlab-instance"] == "vm/0"
    old, new = inside(commands, lab, "uname -r"), newer_kernel.name.split("_")[0].removeprefix("linux-image-")
    assert old != new
    assert inside(commands, lab, "findmnt -no SOURCE /") == "/dev/vda1"
    install(commands, lab, newer_kernel)
    reboot(commands, lab)
    assert inside(commands, lab, "uname -r") == new
    until(lambda: get(port)[0] == 200, timeout_s=REBOOT_TIMEOUT_S)
    assert "nothing had to change" in commands.run("lab.up", *chosen).stdout


def test_down_leaves_nothing(commands: Commands, lab: str) -> None:
    commands.run("lab.down", "--lab", lab, "--yes")
    assert left_of(lab) == set()
