"""What every served libvirt resource keeps, on a daemon in memory and on the real one."""

from __future__ import annotations

import contextlib
import secrets
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import libvirt
import pytest
from libvirt_fake import FakeLibvirt

from pairlab.errors import PluginError
from pairlab.plugin.checks import changed_paths, check_values, refreshed_inputs
from pairlab.plugin.libvirt import cloud_init_disk, domain, network, pool, volume
from pairlab.plugin.libvirt._storage import find_volume
from pairlab.plugin.libvirt.client import DEFAULT_URI, Client
from pairlab.plugin.resource import Context, PartialError, Resource, Values

QCOW2 = b"QFI\xfb" + (3).to_bytes(4, "big") + bytes(16) + (1 << 24).to_bytes(8, "big")


@dataclass
class Lab:
    """A daemon, names of this test's own, and what it made."""

    client: Client
    prefix: str
    directory: Path
    made: list[tuple[Resource[Client], str, Values]] = field(default_factory=list)

    def checked(self, kind: type[Resource[Client]], **inputs: Any) -> Values:
        assert check_values(inputs, kind.properties, "libvirt") == []
        assert kind.validate(inputs) == []
        return inputs

    def make(self, kind: type[Resource[Client]], **inputs: Any) -> tuple[str, Values]:
        resource = kind(self.client)
        resource_id, outputs = resource.create(self.checked(kind, **inputs), Context(timeout_s=120))
        self.made.append((resource, resource_id, outputs))
        return resource_id, outputs

    def network(self, **more: Any) -> tuple[str, Values]:
        addresses = [f"10.215.{secrets.randbelow(250)}.0/24"]
        return self.make(network.Served, **{"name": f"{self.prefix}n", "addresses": addresses, **more})

    def pool(self) -> tuple[str, Values]:
        target = {"path": str(self.directory)}
        return self.make(pool.Served, name=f"{self.prefix}p", type="dir", target=target)

    def volume(self, name: str, **more: Any) -> tuple[str, Values]:
        return self.make(volume.Served, name=name, pool=f"{self.prefix}p", **more)

    def domain(self, **more: Any) -> tuple[str, Values]:
        return self.make(domain.Served, **{"name": f"{self.prefix}d", "type": "qemu", "memory": 32, **more})


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.integration)])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    prefix = f"pllibvirt-{secrets.token_hex(3)}-"
    if request.param == "fake":
        connection = FakeLibvirt()
        made = Lab(Client(DEFAULT_URI, lambda _uri: connection), prefix, tmp_path / "pools" / prefix)
    else:
        made = Lab(Client(DEFAULT_URI), prefix, Path("/var/lib/libvirt/pllibvirt") / prefix)
    yield made
    for resource, resource_id, outputs in reversed(made.made):
        resource.delete(resource_id, outputs, Context(timeout_s=60))
    with contextlib.suppress(OSError):
        made.directory.parent.rmdir()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "disk.qcow2"
    path.write_bytes(QCOW2 + secrets.token_bytes(700_000) + bytes(600_000))
    return path


def make_one(lab: Lab, kind: str, source: Path) -> tuple[type[Resource[Client]], str, Values, Values]:
    """One resource of a kind: its class, id, outputs and checked inputs."""
    if kind == "network":
        inputs: Values = {
            "name": f"{lab.prefix}n",
            "addresses": ["10.214.77.1/24"],
            "domain": "lab.test",
            "dhcp": {"enabled": True},
            "dns": {"localOnly": True, "hosts": [{"hostname": "b", "ip": "10.214.77.3"}]},
        }
        served: type[Resource[Client]] = network.Served
    elif kind == "pool":
        inputs, served = {"name": f"{lab.prefix}p", "type": "dir", "path": f"{lab.directory}/"}, pool.Served
    else:
        lab.pool()
        of_pool = {"pool": f"{lab.prefix}p"}
        if kind == "volume":
            inputs, served = {**of_pool, "name": "disk.qcow2", "source": str(source)}, volume.Served
        elif kind == "seed":
            texts = {"userData": "#cloud-config\n# ü\n", "metaData": "instance-id: a\n", "networkConfig": ""}
            inputs, served = {**of_pool, "name": "seed.img", **texts}, cloud_init_disk.Served
        else:
            disk, _ = lab.volume("vm.raw", size=1 << 20, format="raw")
            net, _ = lab.network()
            inputs = {
                "name": f"{lab.prefix}d",
                "type": "qemu",
                "memory": 32,
                "metadata": '<lab xmlns="urn:pairlab:lab" name="x &amp; y"/>',
                "cmdlines": [{"console": "ttyS0"}, {"_": "quiet"}],
                "kernel": disk,
                "disks": [{"file": disk}],
                "networkInterfaces": [{"networkId": net, "mac": "52:54:00:ab:cd:ef"}],
                "consoles": [{"type": "pty", "targetType": "serial", "targetPort": "0"}],
                "running": False,
            }
            served = domain.Served
    checked = lab.checked(served, **inputs)
    resource_id, outputs = lab.make(served, **dict(checked))
    return served, resource_id, outputs, checked


KINDS = ["network", "pool", "volume", "seed", "domain"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_look_changes_nothing(lab: Lab, kind: str, source: Path) -> None:
    served, resource_id, outputs, inputs = make_one(lab, kind, source)
    again = served(lab.client).read(resource_id, outputs, Context())
    assert again == outputs
    assert changed_paths(served, outputs, inputs, inputs) == {}
    assert refreshed_inputs(served, inputs, again or {}) == inputs


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_gone_after_delete_and_stays_so(lab: Lab, kind: str, source: Path) -> None:
    served, resource_id, outputs, _ = make_one(lab, kind, source)
    for _ in range(2):
        served(lab.client).delete(resource_id, outputs, Context())
        assert served(lab.client).read(resource_id, outputs, Context()) is None


@pytest.mark.parametrize("kind", KINDS)
def test_import_by_id_gives_inputs_that_fit(lab: Lab, kind: str, source: Path) -> None:
    served, resource_id, _, inputs = make_one(lab, kind, source)
    found = served(lab.client).read(resource_id, {}, Context())
    assert found is not None
    imported = served.inputs_of(found)
    wanted = {name: value for name, value in inputs.items() if name != "source"}
    if kind == "pool":
        wanted |= {"target": {"path": wanted.pop("path")}}
    assert changed_paths(served, found, imported, wanted) == {}


@pytest.mark.parametrize("kind", KINDS)
def test_a_taken_name_is_told_with_its_holder_and_the_next_step(lab: Lab, kind: str, source: Path) -> None:
    served, resource_id, _, inputs = make_one(lab, kind, source)
    with pytest.raises(PluginError, match=f"{inputs['name']}' is taken by") as told:
        served(lab.client).create(dict(inputs), Context())
    holder = resource_id.partition(";")[0]
    assert holder in told.value.message
    assert "virsh" in told.value.hint
    assert served(lab.client).read(resource_id, {}, Context()) is not None


def test_foreign_files_beside_a_pool_survive_it(lab: Lab) -> None:
    resource_id, outputs = lab.pool()
    sentinel = lab.directory / "sentinel"
    sentinel.write_text("mine")
    pool.Served(lab.client).delete(resource_id, outputs, Context())
    assert sentinel.read_text() == "mine"
    sentinel.unlink()
    lab.directory.rmdir()


def test_an_empty_pool_takes_its_directory_along(lab: Lab) -> None:
    resource_id, outputs = lab.pool()
    pool.Served(lab.client).delete(resource_id, outputs, Context())
    assert not lab.directory.exists()


def test_a_pool_whose_directory_went_away_is_deleted(lab: Lab) -> None:
    resource_id, outputs = lab.pool()
    lab.directory.rmdir()
    pool.Served(lab.client).delete(resource_id, outputs, Context())
    assert pool.Served(lab.client).read(resource_id, outputs, Context()) is None


def test_a_pool_that_cannot_be_leaves_nothing(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    inputs = lab.checked(
        pool.Served, name=f"{lab.prefix}p", type="dir", target={"path": f"{tmp_path}/file/below"}
    )
    with pytest.raises(PluginError, match="creating pool"):
        pool.Served(lab.client).create(inputs, Context())
    with pytest.raises(libvirt.libvirtError):
        lab.client.connection().storagePoolLookupByName(f"{lab.prefix}p")


def test_an_upload_arrives_whole_and_with_its_own_format(lab: Lab, source: Path) -> None:
    lab.pool()
    key, outputs = lab.volume("disk", source=str(source))
    assert Path(key).read_bytes() == source.read_bytes()
    assert (outputs["format"], outputs["size"]) == ("qcow2", 1 << 24)


def test_an_overlay_is_as_large_as_its_base_at_least(lab: Lab, source: Path) -> None:
    lab.pool()
    base, _ = lab.volume("base.qcow2", source=str(source))
    inputs = lab.checked(volume.Served, name="o", pool=f"{lab.prefix}p", baseVolumeId=base, size=4096)
    with pytest.raises(PluginError, match="less than its base"):
        volume.Served(lab.client).create(inputs, Context())


def test_what_a_guest_writes_or_is_given_is_for_nobody_else_to_read(lab: Lab, source: Path) -> None:
    lab.pool()
    image, _ = lab.volume("image.qcow2", source=str(source))
    disk, _ = lab.volume("disk.qcow2", size=1 << 20)
    overlay, _ = lab.volume("overlay.qcow2", baseVolumeId=disk)
    in_pool = {"pool": f"{lab.prefix}p", "userData": "#cloud-config"}
    seed, _ = lab.make(cloud_init_disk.Served, name="seed.img", **in_pool)
    modes = [stat.S_IMODE(Path(key.partition(";")[0]).stat().st_mode) for key in (image, disk, overlay, seed)]
    assert modes == [0o644, 0o600, 0o600, 0o600]


@pytest.mark.parametrize("trouble", ["ends early", "interrupted"])
def test_a_volume_that_fails_half_way_is_deleted(
    lab: Lab, source: Path, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.pool()
    context = Context()
    if trouble == "interrupted":
        context.cancelled.set()
    else:
        # The file shrinks between the look at its size and its reading.
        from pairlab.plugin.libvirt import _source

        open_file = _source._open_file

        def longer(path: str) -> tuple[Any, int]:
            opened, size = open_file(path)
            return opened, size + 5

        monkeypatch.setattr(_source, "_open_file", longer)
    inputs = lab.checked(volume.Served, name="half", pool=f"{lab.prefix}p", source=str(source))
    words = "bytes early" if trouble == "ends early" else "interrupted"
    with pytest.raises(PluginError, match=words):
        volume.Served(lab.client).create(inputs, context)
    assert not (lab.directory / "half").exists()
    key = str(lab.directory / "half")
    assert find_volume(lab.client, lab.client.connection(), key, f"{lab.prefix}p", Context()) is None


def test_volumes_may_be_made_at_once(lab: Lab, source: Path) -> None:
    lab.pool()
    failures: list[BaseException] = []

    def make(number: int) -> None:
        try:
            lab.volume(f"v{number}", source=str(source))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(list(lab.directory.iterdir())) == 6


@pytest.mark.parametrize("kind", ["volume", "seed"])
def test_a_file_removed_by_hand_is_gone(lab: Lab, kind: str, source: Path) -> None:
    served, resource_id, outputs, _ = make_one(lab, kind, source)
    Path(resource_id.partition(";")[0]).unlink()
    for state in (outputs, {}):
        assert served(lab.client).read(resource_id, state, Context()) is None
    served(lab.client).delete(resource_id, outputs, Context())


@pytest.mark.parametrize("declared", ["raw", "qcow2"])
def test_a_source_of_another_format_than_declared_is_refused(lab: Lab, source: Path, declared: str) -> None:
    lab.pool()
    if declared == "qcow2":
        source.write_bytes(b"neither")
    inputs = lab.checked(volume.Served, name="v", pool=f"{lab.prefix}p", source=str(source), format=declared)
    with pytest.raises(PluginError, match=f"but format is '{declared}'") as told:
        volume.Served(lab.client).create(inputs, Context())
    assert "leave format out" in told.value.hint


def test_dns_hosts_change_in_place(lab: Lab) -> None:
    resource_id, outputs = lab.network(
        addresses=["10.214.78.0/24"], dns={"hosts": [{"hostname": "a", "ip": "10.214.78.9"}]}
    )
    inputs = lab.checked(
        network.Served,
        name=f"{lab.prefix}n",
        addresses=["10.214.78.0/24"],
        autostart=True,
        dns={"hosts": [{"hostname": "c", "ip": "10.214.78.9"}, {"hostname": "b", "ip": "10.214.78.8"}]},
    )
    changed = network.Served(lab.client).update(resource_id, outputs, inputs, Context())
    assert changed["autostart"] is True
    found = network.Served(lab.client).read(resource_id, changed, Context()) or {}
    assert sorted(host["hostname"] for host in found["dns"]["hosts"]) == ["b", "c"]
    refused = {**inputs, "dns": {"enabled": False}}
    with pytest.raises(PluginError, match=r"only dns\.hosts"):
        network.Served(lab.client).update(resource_id, changed, refused, Context())


def test_a_domain_reserves_its_address_and_gives_it_back(lab: Lab) -> None:
    net, net_outputs = lab.network(addresses=["10.214.79.0/24"])
    one = {"networkId": net, "mac": "52:54:00:00:79:05", "addresses": ["10.214.79.5"]}
    resource_id, outputs = lab.domain(networkInterfaces=[one], running=False)
    described = lab.client.connection().networkLookupByUUIDString(net)
    assert "10.214.79.5" in described.XMLDesc(0)
    again = domain.Served(lab.client).read(resource_id, outputs, Context())
    assert again == outputs
    moved = lab.checked(
        domain.Served,
        name=f"{lab.prefix}d",
        type="qemu",
        memory=32,
        running=False,
        networkInterfaces=[{**one, "addresses": ["10.214.79.6"]}],
    )
    outputs = domain.Served(lab.client).update(resource_id, outputs, moved, Context())
    assert "10.214.79.5" not in described.XMLDesc(0)
    assert "10.214.79.6" in described.XMLDesc(0)
    domain.Served(lab.client).delete(resource_id, outputs, Context())
    assert "10.214.79.6" not in described.XMLDesc(0)
    assert network.Served(lab.client).read(net, net_outputs, Context()) == net_outputs


def test_a_domain_that_does_not_start_is_undefined(lab: Lab) -> None:
    inputs = lab.checked(
        domain.Served, name=f"{lab.prefix}d", type="qemu", memory=32, disks=[{"file": "/nonexistent/disk"}]
    )
    with pytest.raises(PluginError, match="creating domain"):
        domain.Served(lab.client).create(inputs, Context())
    with pytest.raises(libvirt.libvirtError):
        lab.client.connection().lookupByName(f"{lab.prefix}d")


def test_a_lease_that_never_comes_is_told_and_the_domain_recorded(lab: Lab) -> None:
    net, _ = lab.network()
    one = {"networkId": net, "mac": "52:54:00:00:81:01", "waitForLease": True}
    inputs = lab.checked(
        domain.Served, name=f"{lab.prefix}d", type="qemu", memory=32, networkInterfaces=[one]
    )
    with pytest.raises(PartialError, match=r"no address for 52:54:00:00:81:01 within 0\.5 s") as told:
        domain.Served(lab.client).create(inputs, Context(timeout_s=0.5))
    assert "DHCP" in told.value.hint
    served = domain.Served(lab.client)
    lab.made.append((served, told.value.resource_id, told.value.outputs))
    assert served.read(told.value.resource_id, told.value.outputs, Context()) == told.value.outputs


def test_a_domain_changes_in_place(lab: Lab) -> None:
    old_net, _ = lab.network()
    new_net, _ = lab.network(name=f"{lab.prefix}m", addresses=["10.214.80.0/24"])
    resource_id, outputs = lab.domain(
        networkInterfaces=[{"networkId": old_net}], metadata='<a xmlns="urn:a"/>', running=True
    )
    assert outputs["running"] is True
    inputs = lab.checked(
        domain.Served,
        name=f"{lab.prefix}d",
        type="qemu",
        memory=32,
        running=False,
        autostart=True,
        metadata='<b xmlns="urn:b" n="1"/>',
        networkInterfaces=[{"networkId": new_net}],
    )
    changed = domain.Served(lab.client).update(resource_id, outputs, inputs, Context())
    found = domain.Served(lab.client).read(resource_id, changed, Context()) or {}
    assert changed == found
    assert (found["running"], found["autostart"], found["metadata"]) == (False, True, inputs["metadata"])
    assert found["networkInterfaces"][0]["networkId"] == new_net
    assert found["networkInterfaces"][0]["mac"] == outputs["networkInterfaces"][0]["mac"]


def test_a_network_that_is_off_is_started_for_its_domain(lab: Lab) -> None:
    net, _ = lab.network()
    there = lab.client.connection().networkLookupByUUIDString(net)
    there.destroy()
    one = {"networkId": net, "mac": "52:54:00:00:83:01"}
    resource_id, outputs = lab.domain(networkInterfaces=[one])
    assert there.isActive()
    lab.client.connection().lookupByUUIDString(resource_id).destroy()
    there.destroy()
    inputs = lab.checked(
        domain.Served, name=f"{lab.prefix}d", type="qemu", memory=32, networkInterfaces=[one]
    )
    domain.Served(lab.client).update(resource_id, outputs, inputs, Context())
    assert there.isActive()


@pytest.mark.parametrize("letter", ["n", "m"], ids=["same name", "another name"])
def test_a_network_made_anew_gets_the_running_domain(lab: Lab, letter: str) -> None:
    old, net_outputs = lab.network()
    one = {"networkId": old, "mac": "52:54:00:00:84:01"}
    resource_id, outputs = lab.domain(networkInterfaces=[one])
    network.Served(lab.client).delete(old, net_outputs, Context())
    bridge = f"pl{secrets.token_hex(4)}"
    new, _ = lab.network(name=f"{lab.prefix}{letter}", bridge=bridge)
    # A run that ended here is followed by a refresh.
    state = domain.Served(lab.client).read(resource_id, outputs, Context()) or {}
    inputs = lab.checked(
        domain.Served,
        name=f"{lab.prefix}d",
        type="qemu",
        memory=32,
        networkInterfaces=[{**one, "networkId": new}],
    )
    before = refreshed_inputs(domain.Served, {**inputs, "networkInterfaces": [one]}, state)
    assert changed_paths(domain.Served, state, before, inputs) == {
        "networkInterfaces[0].networkId": ("update", False)
    }
    changed = domain.Served(lab.client).update(resource_id, state, inputs, Context())
    running = lab.client.connection().lookupByUUIDString(resource_id)
    assert running.isActive()
    assert bridge in running.XMLDesc()
    assert changed["networkInterfaces"][0]["networkId"] == new
    assert changed_paths(domain.Served, changed, inputs, inputs) == {}


def test_a_start_by_itself_that_nobody_declared_is_put_right(lab: Lab) -> None:
    resource_id, outputs = lab.domain(running=False)
    made = lab.client.connection().lookupByUUIDString(resource_id)
    made.setAutostart(1)
    found = domain.Served(lab.client).read(resource_id, outputs, Context()) or {}
    inputs = lab.checked(domain.Served, name=f"{lab.prefix}d", type="qemu", memory=32, running=False)
    assert changed_paths(domain.Served, found, inputs, inputs) == {"autostart": ("delete", False)}
    domain.Served(lab.client).update(resource_id, found, inputs, Context())
    assert not made.autostart()


def test_a_domain_takes_its_saved_memory_and_its_snapshots_along(lab: Lab) -> None:
    lab.pool()
    disk, _ = lab.volume("disk.qcow2", size=1 << 20)
    resource_id, outputs = lab.domain(disks=[{"file": disk}], running=False)
    found = lab.client.connection().lookupByUUIDString(resource_id)
    found.snapshotCreateXML("<domainsnapshot><name>before</name></domainsnapshot>")
    found.create()
    found.managedSave()
    assert (found.hasManagedSaveImage(), found.snapshotNum()) == (1, 1)
    with pytest.raises(libvirt.libvirtError):
        found.undefine()  # libvirt itself keeps it then
    domain.Served(lab.client).delete(resource_id, outputs, Context())
    assert domain.Served(lab.client).read(resource_id, outputs, Context()) is None


def test_a_paused_domain_is_drift(lab: Lab) -> None:
    resource_id, outputs = lab.domain()
    lab.client.connection().lookupByUUIDString(resource_id).suspend()
    found = domain.Served(lab.client).read(resource_id, outputs, Context()) or {}
    assert found["running"] is False
    inputs = lab.checked(domain.Served, name=f"{lab.prefix}d", type="qemu", memory=32)
    assert domain.Served(lab.client).update(resource_id, outputs, inputs, Context())["running"] is True


def test_what_a_domain_needs_must_be_there(lab: Lab) -> None:
    for needs, words in (
        ({"networkInterfaces": [{"networkName": "pllibvirt-none"}]}, "no network"),
        ({"disks": [{"volumeId": "/nonexistent/volume"}]}, "no volume"),
        ({"cloudinit": "/nonexistent/seed;1"}, "no volume"),
    ):
        inputs = lab.checked(domain.Served, name=f"{lab.prefix}d", type="qemu", **needs)
        with pytest.raises(PluginError, match=words):
            domain.Served(lab.client).create(inputs, Context())
