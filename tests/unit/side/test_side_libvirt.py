"""The vm side on libvirt, with domains that only remember."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pairlab.model import Instance, Settings, SideName
from pairlab.run import Completed
from pairlab.side import SideContext
from pairlab.side._libvirt_operations import read_operations
from pairlab.side.libvirt import LabSide
from pairlab.ssh import SshRunner


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


BOOT = "<kernel>/pool/web-kernel-1.img</kernel><initrd>/pool/web-initrd-1.img</initrd>"


@pytest.mark.parametrize(
    ("boot", "parts"), [(BOOT, ["base", "kernel", "initrd"]), ("<boot dev='hd'/>", ["base"])]
)
def test_a_vm_s_image_is_all_that_it_starts_from(boot: str, parts: list[str]) -> None:
    described = (
        f"<domain><currentMemory unit='KiB'>262144</currentMemory><os>{boot}</os><devices><disk>"
        "<source file='/pool/vm-0.qcow2'/><target dev='vda'/>"
        "<backingStore><source file='/pool/web-base-1.img'/></backingStore></disk></devices></domain>"
    )
    domain = SimpleNamespace(XMLDesc=lambda: described)
    connection = SimpleNamespace(lookupByName=lambda _: domain)
    objects: Any = SimpleNamespace(
        mapped=nullcontext, connection=lambda _: connection, virsh=lambda *words: ["virsh", *words]
    )
    vm = SshRunner("10.0.0.9", "lab", Path("/k"), Path("/h"))
    known = read_operations(objects, "lab-vm-0", "lab", vm, Path("/out"))
    export = known["export"]
    commands = (export.argv, *export.then)
    assert [command[-4] for command in commands] == [f"web-{part}-1.img" for part in parts]
    assert tuple(command[-3] for command in commands) == tuple(map(str, export.files))
    assert known["limit"].told in described
    assert "keeps no events" in known["events"].cannot
    assert known["log"].shown == "ssh lab@10.0.0.9 journalctl --no-pager --lines=100"
    assert known["log"].argv[-1] == "journalctl --no-pager --lines=100"
