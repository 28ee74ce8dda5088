"""A daemon that carries one side of a lab, as somebody who may end it ends it, and starts it again."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from pairlab.errors import HostError
from pairlab.host.daemons import Daemon, daemon_step, daemons, is_ours, running_process
from pairlab.host.steps import Host
from pairlab.progress import Progress

GONE_TIMEOUT_S = 10.0
POLL_S = 0.05


@dataclass(frozen=True)
class EngineSwitch:
    """Ends a daemon as a crash would, and starts it again.

    Args:
        host: This machine.
        daemon: Of it.
        progress: Told how a start goes.
    """

    host: Host
    daemon: Daemon
    progress: Progress

    @property
    def name(self) -> str:
        """The daemon's program."""
        return self.daemon.name

    @property
    def supervisor(self) -> str:
        """Who is told to start it again; empty for nobody."""
        return "systemd" if self.host.systemd else ""

    @property
    def refusal(self) -> str:
        """Why it is not to be ended, in words; empty where nothing is against it."""
        if self._process() is None:
            return f"no process of {self.name} is known by its pid file"
        entry = self.host.ledger.entries().get(self.name)
        if entry is None or not is_ours(self.name, entry):
            return f"{self.name} was there before pairlab, which ends only what it has started itself"
        return ""

    def answers(self) -> bool:
        """Whether it serves."""
        return self.daemon.answers()

    def kill(self) -> None:
        """End its process at once; returns when that is gone.

        Raises:
            HostError: It may not be ended, or does not end.
        """
        if why := self.refusal:
            raise HostError(f"it is left alone: {why}", hint="`invoke lab.doctor` says what runs")
        process = self._process()
        assert process is not None
        self.host.admin.run(["kill", "-KILL", str(process["pid"])])
        deadline = time.monotonic() + GONE_TIMEOUT_S
        while self._process() == process:
            if time.monotonic() > deadline:
                raise HostError(
                    f"process {process['pid']} of {self.name} does not end",
                    hint="it waits in the kernel: the host's log may say for what",
                )
            time.sleep(POLL_S)

    def start(self) -> None:
        """Start it, and wait until it answers; fine if it does.

        Raises:
            HostError: It does not come up.
        """
        daemon_step(self.host, self.daemon).apply(self.progress)

    def _process(self) -> dict[str, int] | None:
        return running_process(self.name, Path(self.daemon.pid_file))


def engine_switch(host: Host, name: str, progress: Progress) -> EngineSwitch | None:
    """The switch of a daemon; None where it is another machine's.

    Args:
        host: This machine, with the settings that say where a lab's daemons are.
        name: Its program, such as `dockerd`.
        progress: Told how a start goes.
    """
    found = {daemon.name: daemon for daemon in daemons(host)}
    return EngineSwitch(host, found[name], progress) if name in found else None
