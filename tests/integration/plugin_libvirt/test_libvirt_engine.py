"""The embedded libvirt plugin under a real engine, with real guests."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import libvirt
import pulumi
import pulumi_libvirt as lv
import pytest
from conftest import SAYS, changes
from pulumi import automation

from pairlab.render import render

pytestmark = [
    pytest.mark.integration,
    # Of the Automation API: it leaves event loops and coroutines of failed programs to the collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

Stacks = Callable[[Callable[[], None]], automation.Stack]


def lab(
    prefix: str, kernel: Path, initrd: Path, base: Path, subnet: int, **options: Any
) -> Callable[[], None]:
    """A lab's vm side in small: network, pool, base, overlay, seed, domain."""

    def program() -> None:
        network = lv.Network(
            "network",
            name=prefix,
            mode="nat",
            addresses=[f"10.216.{subnet}.0/24"],
            bridge=f"plv-{prefix[-6:]}",
            dhcp={"enabled": False},
            dns={"enabled": True},
        )
        pool = lv.Pool("pool", name=prefix, type="dir", target={"path": f"/var/lib/libvirt/{prefix}/pool"})
        in_pool = {"pool": pool.name}
        kernel_volume = lv.Volume("kernel", name="kernel", source=str(kernel), **in_pool)
        initrd_volume = lv.Volume("initrd", name="initrd", source=str(initrd), **in_pool)
        disk = lv.Volume("base", name="base.qcow2", source=str(base), **in_pool)
        overlay = lv.Volume("overlay", name="vm-0.qcow2", base_volume_id=disk.id, size=1 << 30, **in_pool)
        user_data = options.get("user_data", "#cloud-config\n")
        name = f"seed-{len(user_data)}.img"
        seed = lv.CloudInitDisk(
            "seed", name=name, user_data=user_data, meta_data="instance-id: a\n", **in_pool
        )
        domain = lv.Domain(
            "vm",
            name=prefix,
            type="qemu",
            memory=options.get("memory", 128),
            kernel=kernel_volume.id,
            initrd=initrd_volume.id,
            cmdlines=[{"console": "ttyS0", "_": "quiet"}],
            disks=[{"file": overlay.id}, {"file": seed.id.apply(lambda text: text.split(";")[0])}],
            network_interfaces=[{"network_id": network.id, "mac": "52:54:00:0a:0b:0c"}],
            consoles=[{"type": "pty", "target_type": "serial", "target_port": "0"}],
            metadata=f'<lab xmlns="urn:pairlab:lab" name="{options.get("label", prefix)}"/>',
            running=options.get("running", True),
        )
        pulumi.export("domain", domain.id)
        pulumi.export("seed", seed.id)

    return program


def names_of_everything() -> set[str]:
    connection = libvirt.open("qemu:///system")
    listed = [*connection.listAllDomains(), *connection.listAllNetworks(), *connection.listAllStoragePools()]
    return {one.name() for one in listed}


def test_a_lab_lives(
    stack: Stacks, prefix: str, kernel: Path, initrd: Path, base: Path, console: Callable[[str, float], str]
) -> None:
    subnet = secrets.randbelow(250)
    one = stack(lab(prefix, kernel, initrd, base, subnet))
    assert changes(one.preview()) == {"create": 9}
    first = one.up()
    assert SAYS in console(prefix, 90)

    assert changes(one.preview(expect_no_changes=True)) == {}
    assert changes(one.refresh(expect_no_changes=True)) == {}
    assert changes(one.up(expect_no_changes=True)) == {}

    two = stack(lab(prefix, kernel, initrd, base, subnet, label="other", running=False))
    second = two.up()
    assert changes(second) == {"update": 1}
    assert second.outputs["domain"].value == first.outputs["domain"].value
    assert not libvirt.open("qemu:///system").lookupByName(prefix).isActive()
    assert changes(two.refresh(expect_no_changes=True)) == {}

    three = stack(lab(prefix, kernel, initrd, base, subnet, user_data="#cloud-config\nhostname: a\n"))
    third = three.up()
    assert changes(third) == {"replace": 2}
    assert third.outputs["seed"].value != first.outputs["seed"].value
    assert changes(three.preview(expect_no_changes=True)) == {}

    sentinel = Path(f"/var/lib/libvirt/{prefix}/pool/sentinel")
    sentinel.write_text("mine")
    three.destroy()
    assert sentinel.read_text() == "mine"
    assert [file.name for file in sentinel.parent.iterdir()] == ["sentinel"]
    assert prefix not in names_of_everything()


def test_another_subnet_moves_the_domain(
    stack: Stacks, prefix: str, kernel: Path, initrd: Path, base: Path
) -> None:
    subnet = secrets.randbelow(120)
    stack(lab(prefix, kernel, initrd, base, subnet)).up()
    moved = stack(lab(prefix, kernel, initrd, base, subnet + 120))
    moved.up()
    assert changes(moved.preview(expect_no_changes=True)) == {}
    running = ET.fromstring(libvirt.open("qemu:///system").lookupByName(prefix).XMLDesc())
    [tap] = running.findall("./devices/interface/target")
    assert Path(f"/sys/class/net/plv-{prefix[-6:]}/brif/{tap.get('dev')}").exists()


def test_what_was_removed_by_hand_comes_back(
    stack: Stacks, prefix: str, kernel: Path, initrd: Path, base: Path
) -> None:
    one = stack(lab(prefix, kernel, initrd, base, secrets.randbelow(250)))
    one.up()
    connection = libvirt.open("qemu:///system")
    connection.lookupByName(prefix).destroy()
    assert changes(one.refresh()) == {"update": 1}
    assert changes(one.up()) == {"update": 1}
    domain = connection.lookupByName(prefix)
    domain.destroy()
    domain.undefine()
    assert changes(one.refresh()) == {"delete": 1}
    assert changes(one.up()) == {"create": 1}


def test_a_taken_name_stops_up_and_leaves_the_holder(stack: Stacks, prefix: str) -> None:
    connection = libvirt.open("qemu:///system")
    held = connection.networkDefineXML(f"<network><name>{prefix}</name></network>")
    try:
        one = stack(lambda: lv.Network("network", name=prefix, mode="none") and None)
        with pytest.raises(automation.CommandError) as told:
            one.up()
        assert f"the network name '{prefix}' is taken by a network (UUID {held.UUIDString()}" in str(
            told.value
        )
        assert "net-undefine" in str(told.value)
        one.destroy()
        assert connection.networkLookupByName(prefix).UUIDString() == held.UUIDString()
    finally:
        held.undefine()


def test_a_failure_half_way_leaves_nothing(stack: Stacks, prefix: str, tmp_path: Path) -> None:
    def program() -> None:
        lv.Domain("vm", name=prefix, type="qemu", memory=32, disks=[{"file": str(tmp_path / "none.qcow2")}])

    one = stack(program)
    with pytest.raises(automation.CommandError, match="creating domain"):
        one.up()
    assert prefix not in names_of_everything()
    exported = one.export_stack().deployment or {}
    assert [r for r in exported.get("resources", []) if r["type"].startswith("libvirt:")] == []


def test_a_stylesheet_gives_a_domain_what_no_property_says(stack: Stacks, prefix: str) -> None:
    def program(sheet: str) -> Callable[[], None]:
        return lambda: (
            lv.Domain("vm", name=prefix, type="qemu", memory=32, cpu={"mode": "maximum"}, xml={"xslt": sheet})
            and None
        )

    one = stack(program(render("virtual_machines/domain.xslt.j2", without=["erms"], restarting=True)))
    one.up()
    found = ET.fromstring(libvirt.open("qemu:///system").lookupByName(prefix).XMLDesc())
    assert found.findtext("on_crash") == "restart"
    assert [device.get("model") for device in found.findall("./devices/panic")] == ["isa"]
    (feature,) = found.findall("./cpu[@mode='maximum']/feature")
    assert feature.attrib == {"policy": "disable", "name": "erms"}
    assert changes(one.refresh(expect_no_changes=True)) == {}
    assert changes(one.up(expect_no_changes=True)) == {}
    two = stack(program("<network/>"))
    with pytest.raises(automation.CommandError, match=r"xml\.xslt cannot be applied: xsltproc failed"):
        two.up()
    assert prefix not in names_of_everything()


def test_import_by_id_takes_over_without_a_change(stack: Stacks, prefix: str) -> None:
    connection = libvirt.open("qemu:///system")
    subnet = secrets.randbelow(250)
    made = connection.networkDefineXML(
        f"<network><name>{prefix}</name><forward mode='nat'/><bridge name='plv-{prefix[-6:]}'/>"
        f"<ip address='10.217.{subnet}.1' prefix='24'/></network>"
    )
    made.create()
    identity = made.UUIDString()

    def program(importing: bool) -> Callable[[], None]:
        def declare() -> None:
            options = pulumi.ResourceOptions(import_=identity) if importing else None
            lv.Network(
                "network",
                name=prefix,
                addresses=[f"10.217.{subnet}.0/24"],
                dhcp={"enabled": False},
                opts=options,
            )

        return declare

    assert changes(stack(program(True)).up()) == {"create": 1, "import": 1}  # the stack, the network
    one = stack(program(False))
    assert changes(one.preview(expect_no_changes=True)) == {}
    one.destroy()
    assert prefix not in names_of_everything()


def test_a_preview_asks_no_daemon(stack: Stacks, prefix: str, kernel: Path, initrd: Path, base: Path) -> None:
    declare = lab(prefix, kernel, initrd, base, 1)
    one = stack(declare)
    one.set_config("libvirt:uri", automation.ConfigValue("qemu+unix:///system?socket=/nonexistent"))
    assert changes(one.preview()) == {"create": 9}
    one.set_config("libvirt:uri", automation.ConfigValue("qemu:///system"))
