"""The provider's `uri` reaches a daemon over ssh: a private server, a throw-away key, a pinned host key."""

from __future__ import annotations

import getpass
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ssh_server import ssh_server

from pairlab.errors import PluginError
from pairlab.plugin.libvirt import pool, volume
from pairlab.plugin.libvirt.client import Client, connect
from pairlab.plugin.resource import Context

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class FarSide:
    """An ssh server: its port, and the folder with keys."""

    port: int
    keys: Path

    def uri(self, known_hosts: str = "known_hosts") -> str:
        where = f"qemu+ssh://{getpass.getuser()}@127.0.0.1:{self.port}/system"
        return f"{where}?keyfile={self.keys / 'user'}&known_hosts={self.keys / known_hosts}"


@pytest.fixture
def far_side(tmp_path: Path) -> Iterator[FarSide]:
    for name in ("host", "user", "stranger"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True
        )
    with ssh_server(tmp_path / "host", tmp_path / "user.pub") as port:
        for known, key in (("known_hosts", "host"), ("wrong_hosts", "stranger")):
            (tmp_path / known).write_text(f"[127.0.0.1]:{port} {(tmp_path / f'{key}.pub').read_text()}")
        yield FarSide(port, tmp_path)


def test_a_volume_is_made_over_ssh(far_side: FarSide, tmp_path: Path) -> None:
    client: Client = connect({"uri": far_side.uri()})
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


def test_an_unknown_host_key_is_refused_with_the_next_step(far_side: FarSide) -> None:
    with pytest.raises(PluginError, match="does not answer at qemu\\+ssh") as told:
        connect({"uri": far_side.uri("wrong_hosts")}).connection()
    assert "known_hosts" in told.value.hint
