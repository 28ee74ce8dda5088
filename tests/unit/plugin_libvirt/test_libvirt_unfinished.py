"""A daemon that goes away, or refuses, halfway: what it made is replaced, what it has stays as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import libvirt
import pytest

from pairlab.errors import PluginError
from pairlab.plugin.checks import changed_paths, check_values
from pairlab.plugin.libvirt import cloud_init_disk, domain, network, pool, volume
from pairlab.plugin.libvirt.client import Client
from pairlab.plugin.resource import UNFINISHED, Context, PartialError, Values
from tests.contract.plugin_libvirt import libvirt_fake as fake

STEPS = [
    (network.Served, fake.FakeNetwork, "create"),
    (network.Served, fake.FakeNetwork, "autostart"),
    (pool.Served, fake.FakePool, "build"),
    (pool.Served, fake.FakePool, "info"),
    (volume.Served, fake.FakeStream, "finish"),
    (cloud_init_disk.Served, fake.FakeStream, "finish"),
    (domain.Served, fake.FakeDomain, "create"),
    (domain.Served, fake.FakeDomain, "autostart"),
]


class Daemon:
    """A daemon that can be away, and a client of it."""

    def __init__(self) -> None:
        self.connection = fake.FakeLibvirt()
        self.client = Client("qemu:///x", self._open)

    def _open(self, uri: str) -> Any:
        if not self.connection.alive:
            raise PluginError(f"libvirt does not answer at {uri}", hint="start it")
        return self.connection

    def leave(self, *_: Any) -> None:
        self.connection.alive = False
        raise fake.refusal(libvirt.VIR_ERR_INTERNAL_ERROR, "client socket is closed")


def inputs_for(served: Any, folder: Path) -> Values:
    source = folder / "source"
    source.write_bytes(b"content")
    every: dict[Any, Values] = {
        network.Served: {"name": "x", "addresses": ["10.215.1.0/24"]},
        pool.Served: {"name": "x", "type": "dir", "path": str(folder / "x")},
        volume.Served: {"name": "x", "pool": "p", "source": str(source)},
        cloud_init_disk.Served: {"name": "x", "pool": "p", "userData": "#cloud-config\n"},
        domain.Served: {
            "name": "x",
            "networkInterfaces": [{"networkName": "n", "addresses": ["10.215.2.5"]}],
        },
    }
    inputs = every[served]
    assert check_values(inputs, served.properties, "libvirt") == []
    return inputs


@pytest.mark.parametrize(("served", "holder", "step"), STEPS)
def test_what_a_daemon_that_went_away_made_is_recorded_and_replaced(
    served: Any, holder: type, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = Daemon()
    where = {"name": "p", "type": "dir", "path": str(tmp_path / "p")}
    pool.Served(daemon.client).create(where, Context())
    lan = {"name": "n", "mode": "nat", "addresses": ["10.215.2.0/24"]}
    network.Served(daemon.client).create(lan, Context())
    resource, inputs = served(daemon.client), inputs_for(served, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(holder, step, daemon.leave)
        with pytest.raises(PartialError, match="could not be removed: libvirt does not answer") as told:
            resource.create(inputs, Context())
    assert told.value.hint == "start it; what was made is then replaced"
    state = told.value.outputs
    assert changed_paths(served, state, inputs, inputs) == {UNFINISHED: ("delete", True)}
    daemon.connection.alive = True
    resource.delete(told.value.resource_id, state, Context())
    resource_id, _ = resource.create(inputs, Context())
    assert resource.read(resource_id, {**inputs}, Context()) is not None
    [there] = [one for one in daemon.connection.networks.values() if one.name() == "n"]
    assert there.XMLDesc().count("10.215.2.5") == (served is domain.Served)


def test_an_update_that_lacks_something_leaves_the_domain_as_it_was() -> None:
    daemon = Daemon()
    for number, name in enumerate("ab"):
        lan = {"name": name, "mode": "nat", "addresses": [f"10.215.{number}.0/24"]}
        network.Served(daemon.client).create(lan, Context())
    resource = domain.Served(daemon.client)
    here: Values = {"name": "x", "networkInterfaces": [{"networkName": "a", "addresses": ["10.215.0.5"]}]}
    there: Values = {"name": "x", "networkInterfaces": [{"networkName": "b"}]}
    for inputs in (here, there):
        assert check_values(inputs, domain.Served.properties, "libvirt") == []
    resource_id, outputs = resource.create(here, Context())
    with pytest.raises(PluginError, match="there is no volume '/gone'"):
        resource.update(resource_id, outputs, {**there, "disks": [{"volumeId": "/gone"}]}, Context())
    assert daemon.connection.lookupByUUIDString(resource_id).isActive()
    assert "10.215.0.5" in daemon.connection.networkLookupByName("a").XMLDesc()


def test_a_name_that_moves_to_another_address_leads_somewhere_all_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    daemon, seen = Daemon(), list[list[str]]()
    served = network.Served(daemon.client)

    def checked(*addresses: str) -> Values:
        hosts = [{"hostname": "web", "ip": address} for address in addresses]
        inputs: Values = {"name": "x", "addresses": ["10.215.1.0/24"], "dns": {"hosts": hosts}}
        assert check_values(inputs, network.Served.properties, "libvirt") == []
        return inputs

    update = fake.FakeNetwork.update

    def watched(self: Any, *how: Any) -> None:
        update(self, *how)
        seen.append([str(host.get("ip")) for host in self.root.findall("dns/host")])

    monkeypatch.setattr(fake.FakeNetwork, "update", watched)
    identity, outputs = served.create(checked("10.215.1.10", "10.215.1.11"), Context())
    changed = served.update(identity, outputs, checked("10.215.1.12", "10.215.1.13"), Context())
    assert [host["ip"] for host in changed["dns"]["hosts"]] == ["10.215.1.12", "10.215.1.13"]
    assert all(seen)
    assert len(seen) == 4
