"""The vm side on libvirt, with domains that only remember."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pairlab.model import Instance, Settings, SideName
from pairlab.run import Completed
from pairlab.side import SideContext
from pairlab.side.libvirt import LabSide


class Domains:
    """Remembers what became of a domain, beside what was asked of this host."""

    uri = "qemu:///system"

    def __init__(self, happened: list[str]) -> None:
        self.happened = happened

    def destroy(self, domain: str) -> None:
        self.happened.append(f"{domain} is gone")

    def start(self, domain: str) -> None:
        self.happened.append(f"{domain} starts")

    def run(self, argv: list[str], **_: Any) -> Completed:
        self.happened.append(" ".join(argv[-3:]))
        return Completed(tuple(argv), 255, "", "")  # nobody shares one


@pytest.mark.parametrize("state", ["running", "shut off"])
def test_no_connection_outlives_the_vm_that_it_led_to(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    local: Any = Domains(happened)
    vms = LabSide(SideContext("dev", Settings(), Path("/k"), Path("/h"), "pl-0", "/nowhere", local))
    monkeypatch.setattr(vms, "_objects", Domains(happened))
    there = Instance(SideName.VM, 0, state, address="10.0.0.9", handle="lab-vm-0")
    monkeypatch.setattr(vms, "instances", lambda: [there])
    if state == "running":
        vms.kill(0)
        assert happened == ["lab-vm-0 is gone", "-O exit lab@10.0.0.9"]
    else:
        vms.start(0)  # it may have ended by itself
        assert happened == ["-O exit lab@10.0.0.9", "lab-vm-0 starts"]
