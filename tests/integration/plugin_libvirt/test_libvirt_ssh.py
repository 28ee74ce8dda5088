"""The provider's `uri` reaches a daemon over ssh: a private server, a throw-away key, a pinned host key."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from ssh_server import FarSide, far_side

from pairlab.errors import PluginError
from pairlab.plugin.libvirt import pool, volume
from pairlab.plugin.libvirt.client import Client, connect
from pairlab.plugin.resource import Context

pytestmark = pytest.mark.integration


@pytest.fixture
def far(tmp_path: Path) -> Iterator[FarSide]:
    with far_side(tmp_path) as served:
        yield served


def test_a_volume_is_made_over_ssh(far: FarSide, tmp_path: Path) -> None:
    client: Client = connect({"uri": far.libvirt_uri(far.known_hosts)})
    name = f"pllibvirt-{secrets.token_hex(3)}"
    path = f"/var/lib/libvirt/{name}"
    content = secrets.token_bytes(3_000_000)
    (tmp_path / "content").write_bytes(content)
    made = pool.Served(client)
    pool_id, pool_state = made.create({"name": name, "type": "dir", "target": {"path": path}}, Context())
    try:
        inputs = {"name": "v", "pool": name, "source": str(tmp_path / "content")}
        key, state = volume.Served(client).create(inputs, Context())
        assert Path(key).read_bytes() == content
        volume.Served(client).delete(key, state, Context())
    finally:
        made.delete(pool_id, pool_state, Context())
    assert not Path(path).exists()


def test_an_unknown_host_key_is_refused_with_the_next_step(far: FarSide) -> None:
    with pytest.raises(PluginError, match="does not answer at qemu\\+ssh") as told:
        connect({"uri": far.libvirt_uri(far.wrong_hosts)}).connection()
    assert "known_hosts" in told.value.hint
