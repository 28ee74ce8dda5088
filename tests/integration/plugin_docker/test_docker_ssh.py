"""The provider's `host` reaches an engine over ssh: a private server, a throw-away key, a pinned host key."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from pathlib import Path

import docker
import pulumi
import pulumi_docker as pd
import pytest
from docker_trial import Program, Trial
from ssh_server import FarSide, far_side

pytestmark = pytest.mark.integration


@pytest.fixture
def far(tmp_path: Path) -> Iterator[FarSide]:
    folder = tmp_path / "far"
    folder.mkdir()
    with far_side(folder) as served:
        yield served


def over_ssh(prefix: str, far: FarSide, known_hosts: Path) -> Program:
    """A network and a volume of an engine that is reached by ssh."""
    given = {
        "UserKnownHostsFile": str(known_hosts),
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
    }
    options = [word for name, value in given.items() for word in ("-o", f"{name}={value}")]

    def program() -> None:
        engine = pd.Provider(
            "engine",
            host=f"ssh://{getpass.getuser()}@127.0.0.1:{far.port}",
            ssh_opts=["-F", "none", "-i", str(far.user_key), *options],
        )
        opts = pulumi.ResourceOptions(provider=engine)
        pd.Network("network", name=prefix, driver="bridge", opts=opts)
        pd.Volume("volume", name=f"{prefix}-data", opts=opts)

    return program


def test_what_is_declared_is_made_kept_and_removed_over_ssh(
    trial: Trial, far: FarSide, api: docker.APIClient, prefix: str
) -> None:
    program = over_ssh(prefix, far, far.known_hosts)
    assert trial.up(program)["create"] == 4  # the stack and its provider too
    assert api.inspect_network(prefix)["Driver"] == "bridge"
    assert api.inspect_volume(f"{prefix}-data")["Driver"] == "local"
    assert trial.up(program) == {}
    assert trial.refresh(program) == {}
    assert trial.destroy()["delete"] == 4
    assert api.networks(names=[prefix]) == []
    assert api.volumes(filters={"name": f"{prefix}-data"})["Volumes"] in (None, [])


def test_an_unknown_host_key_is_refused_with_the_next_step_and_nothing_is_made(
    trial: Trial, far: FarSide, api: docker.APIClient, prefix: str
) -> None:
    words = trial.fails(over_ssh(prefix, far, far.wrong_hosts))
    assert "Host key verification failed" in words
    assert "does `ssh` reach it without a question" in words
    assert api.networks(names=[prefix]) == []
