"""A daemon is ended only as the process that pairlab started."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pairlab.errors import HostError
from pairlab.host import daemons
from pairlab.host.daemons import Daemon, running_process
from pairlab.host.engine_switch import EngineSwitch, engine_switch
from pairlab.host.steps import Host, this_host
from pairlab.model import Settings
from pairlab.run import LocalRunner

NAME = "plab-engine"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return replace(
        this_host(Settings(), tmp_path / "state", LocalRunner()), admin=LocalRunner(), systemd=False
    )


@pytest.fixture
def switch(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EngineSwitch]:
    """Of a program that sleeps, started by nobody known."""
    program, pid_file = tmp_path / NAME, tmp_path / "pid"
    shutil.copy(shutil.which("sleep") or "", program)
    started = subprocess.Popen([str(program), "60"])
    reaper = threading.Thread(target=started.wait)  # or its process would stay, as a zombie
    reaper.start()
    pid_file.write_text(str(started.pid))
    monkeypatch.setattr(daemons, "_pid_file", lambda name: pid_file)
    daemon = Daemon(NAME, (), str(pid_file), (), lambda: started.poll() is None)
    yield EngineSwitch(host, daemon, lambda line: None)
    started.kill()
    reaper.join()


def test_what_pairlab_started_may_be_ended_and_is_gone_then(switch: EngineSwitch, host: Host) -> None:
    process = running_process(NAME, Path(switch.daemon.pid_file))
    host.ledger.record(NAME, {"process": process})
    assert (switch.refusal, switch.answers(), switch.supervisor) == ("", True, "")
    switch.kill()
    assert running_process(NAME, Path(switch.daemon.pid_file)) is None
    assert switch.refusal == f"no process of {NAME} is known by its pid file"


def test_what_was_there_before_is_left_alone(switch: EngineSwitch, host: Host) -> None:
    for entry in (None, {"process": {"pid": 1, "started": 1}}):
        if entry is not None:
            host.ledger.record(NAME, entry)
        assert "was there before pairlab" in switch.refusal
        with pytest.raises(HostError, match="was there before pairlab"):
            switch.kill()
        assert switch.answers()


def test_a_daemon_of_another_machine_has_no_switch(host: Host) -> None:
    far = replace(host, settings=Settings(docker_host="ssh://root@far.example"))
    assert engine_switch(far, "dockerd", print) is None
    near = engine_switch(far, "libvirtd", print)
    assert near is not None
    assert near.name == "libvirtd"
