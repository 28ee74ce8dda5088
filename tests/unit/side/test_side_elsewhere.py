"""Sides whose daemons are on another machine: how they are reached, and what is told where they are not."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import libvirt
import pytest

from pairlab.errors import HostError
from pairlab.model import Instance, Settings, SideName
from pairlab.side import SideContext
from pairlab.side import libvirt as vms
from pairlab.side import swarm as containers
from tests.unit.host.answering_runner import AnsweringRunner

ENGINE = """
import json, sys
asked = sys.stdin.readline().split()[1]
while sys.stdin.readline().strip():
    pass
update = {"State": "rollback_completed", "Message": "it failed", "CompletedAt": "now"}
services = [{"Spec": {"Name": "web"}, "UpdateStatus": update}]
body = json.dumps(services if "/services" in asked else {"ApiVersion": "1.43"})
print("HTTP/1.1 200 OK", "Connection: close", f"Content-Length: {len(body)}", "", body, sep="\\r\\n", end="")
"""
REFUSAL = "import sys; sys.exit('far: Permission denied (publickey).')"
PINNED = "qemu+ssh://me@far/system?known_hosts=/pinned"


def context(local: Any = None, **settings: str) -> SideContext:
    its: Any = settings
    runner = local or AnsweringRunner()
    return SideContext("dev", Settings(**its), Path("/k"), Path("/h"), "pl-0", "/nowhere", runner)


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a program in the place of ssh; returns the file with its arguments, a line for each call."""

    def put(program: str) -> Path:
        calls, path = tmp_path / "calls", tmp_path / "ssh"
        note = f"import json, sys; print(json.dumps(sys.argv[1:]), file=open({str(calls)!r}, 'a'))\n"
        path.write_text(f"#!{sys.executable}\n{note}{program}")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        return calls

    return put


def test_docker_is_reached_by_the_ssh_command(ssh: Callable[[str], Path]) -> None:
    calls = ssh(ENGINE)
    side = containers.LabSide(context(docker_host="ssh://me@far:2222"))
    assert side.rollbacks() == ["service web: it failed (now)"]
    side.close()
    to_far = ["-T", "-o", "BatchMode=yes", "-l", "me", "-p", "2222", "--", "far", "docker system dial-stdio"]
    assert [json.loads(line) for line in calls.read_text().splitlines()] == [to_far, to_far]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_ssh_says_is_why_docker_does_not_answer(ssh: Callable[[str], Path]) -> None:
    ssh(REFUSAL)
    with pytest.raises(HostError, match=r"does not answer at ssh://far: far: Permission denied") as away:
        containers.LabSide(context(docker_host="ssh://far")).instances()
    assert "does `ssh` reach it without a question" in away.value.hint


def test_libvirts_machine_is_known_by_the_host_key_that_its_address_pins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def refuse(uri: str) -> Any:
        asked.append(uri)
        raise libvirt.libvirtError("Host key verification failed")

    monkeypatch.setattr(libvirt, "open", refuse)
    local = AnsweringRunner()
    side = vms.LabSide(context(local, libvirt_uri=PINNED))
    with pytest.raises(HostError, match=r"libvirt does not answer at qemu\+ssh://me@far") as away:
        side.instances()
    assert "the host key (known_hosts=) must fit" in away.value.hint
    there = Instance(SideName.VM, 0, "running", handle="pairlab-dev-vm-0")
    monkeypatch.setattr(side, "instances", lambda: [there])
    side.console(0)
    ((virsh, connect, uri, *words),) = local.asked
    assert (virsh, connect, words) == ("virsh", "--connect", ["console", "pairlab-dev-vm-0"])
    for dialled in (*asked, uri):
        assert dialled.startswith("qemu+ssh://me@far/system?command=/")
        assert "known_hosts" not in dialled
