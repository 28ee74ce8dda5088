"""A lab whose libvirt is reached over ssh, with the key and the host key that its address names."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab_commands import Commands, doors, get, inventory, own_lab
from ssh_server import far_side

pytestmark = pytest.mark.integration


def test_vms_behind_another_machine_come_up_are_reached_and_go(commands: Commands, tmp_path: Path) -> None:
    before = inventory()
    with far_side(tmp_path) as far:
        uri = far.libvirt_uri(far.known_hosts)
        with own_lab(commands, "t-elsewhere", libvirtUri=uri) as lab:
            commands.run("lab.up", "--lab", lab)
            assert get(doors(commands, lab)["vm"])[1]["x-pairlab-instance"] == "vm/0"
            hostname = commands.run("lab.exec", "vm/0", "cat /etc/hostname", "--lab", lab).stdout
            assert hostname.strip() == "vm-0"
            assert commands.run("lab.logs", "vm/0", "--lines", "5", "--lab", lab).stdout.strip()
            status = commands.json("lab.status", "--lab", lab)
            assert status["problems"] == status["drift"] == []
    assert inventory() == before
