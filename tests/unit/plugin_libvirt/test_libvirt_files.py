"""Files and pools that somebody damaged or stopped by hand, on a daemon in memory."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pairlab.errors import PluginError
from pairlab.plugin.checks import changed_paths, refreshed_inputs
from pairlab.plugin.libvirt import cloud_init_disk, pool, volume
from pairlab.plugin.libvirt._iso import make_iso
from pairlab.plugin.libvirt.client import Client
from pairlab.plugin.resource import Context, Values
from tests.contract.plugin_libvirt import libvirt_fake as fake

SEED: Values = {"name": "s", "pool": "p", "userData": "#cloud-config\n", "metaData": "instance-id: a\n"}


@pytest.fixture
def client(tmp_path: Path) -> Client:
    connection = fake.FakeLibvirt()
    made = Client("qemu:///x", lambda _uri: connection)
    pool.Served(made).create({"name": "p", "type": "dir", "path": str(tmp_path / "p")}, Context())
    return made


WHOLE = make_iso("cidata", {"user-data": b"x" * 5000})
DAMAGED = {
    "empty": b"",
    "overwritten": b"\xff" * len(WHOLE),
    "cut short": WHOLE[:-2048],
    "without a directory": WHOLE[: 20 * 2048] + b"\x05" * 2048 + WHOLE[21 * 2048 :],
    "not UTF-8": make_iso("cidata", {"user-data": b"\xff\xfe"}),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_seed_is_replaced_and_not_imported(client: Client, content: bytes) -> None:
    seed = cloud_init_disk.Served(client)
    resource_id, outputs = seed.create(dict(SEED), Context())
    Path(resource_id.partition(";")[0]).write_bytes(content)
    found = seed.read(resource_id, outputs, Context()) or {}
    inputs = refreshed_inputs(cloud_init_disk.Served, SEED, found)
    changes = changed_paths(cloud_init_disk.Served, found, inputs, SEED)
    assert changes == dict.fromkeys(("userData", "metaData"), ("update", True))
    with pytest.raises(PluginError, match="holds no seed"):
        seed.read(resource_id, {}, Context())


def test_readers_at_once_start_a_pool_once(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = volume.Served(client)
    inputs = {"name": "v", "pool": "p", "size": 4096, "format": "raw"}
    resource_id, outputs = disk.create(inputs, Context())
    create = fake.FakePool.create

    def slowly(made: fake.FakePool, flags: int = 0) -> None:
        time.sleep(0.05)
        create(made, flags)

    monkeypatch.setattr(fake.FakePool, "create", slowly)
    client.connection().storagePoolLookupByName("p").destroy()
    with ThreadPoolExecutor(4) as threads:
        reads = [threads.submit(disk.read, resource_id, outputs, Context()) for _ in range(4)]
    assert [read.result() for read in reads] == [outputs] * 4
