"""What setting up a host is made of: steps that say what they change, and a ledger of what was started."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pairlab.errors import CommandError, HostError
from pairlab.files import replace_at_once
from pairlab.host.groups import account_name
from pairlab.libvirt_api import dialled
from pairlab.model import Settings
from pairlab.progress import Progress
from pairlab.run import Completed, Runner


@dataclass(frozen=True)
class Step:
    """One change to this host.

    Attributes:
        name: A few words, such as `Debian packages`.
        change: What it will change, in one sentence.
        done: Whether it is in place; cheap, changes nothing.
        apply: Brings it in place; fine to call when it is.
        admin: It needs root's rights.
    """

    name: str
    change: str
    done: Callable[[], bool]
    apply: Callable[[Progress], None]
    admin: bool = True


LOCAL_DOCKER = ("unix:///var/run/docker.sock", "unix:///run/docker.sock")
"""Addresses of the daemon that setup installs and starts; another one is somebody else's to start."""


class Ledger:
    """Remembers what pairlab started on this host, so that exactly that can be stopped.

    Args:
        path: A JSON file in pairlab's state directory.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def entries(self) -> dict[str, Any]:
        """What was started: kind or daemon -> what is needed to stop it.

        Raises:
            HostError: The file is not readable as such.
        """
        try:
            return dict(json.loads(self._path.read_text()))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise HostError(
                f"{self._path} is damaged", hint="remove it, and stop by hand what it stood for"
            ) from error

    def record(self, name: str, entry: Any) -> None:
        """Remember one thing."""
        self._change(lambda entries: {**entries, name: entry})

    def forget(self, name: str) -> None:
        """It is no longer there."""
        self._change(lambda entries: {key: value for key, value in entries.items() if key != name})

    def _change(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # commands may run side by side; closing the file unlocks it
            replace_at_once(self._path, json.dumps(change(self.entries()), indent=2) + "\n", mode=0o644)


@dataclass(frozen=True)
class SudoRunner:
    """Runs commands as root through sudo, which must not need to ask: see `Host.unlock`."""

    local: Runner

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        input_text: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout_s: float | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        """See `Runner.run`. Variables go on the command line, as sudo drops them: no secrets here."""
        words = [f"{name}={value}" for name, value in (env or {}).items()]
        return self.local.run(
            ["sudo", "-n", "--", *(["env", *words] if words else []), *argv],
            check=check, input_text=input_text, cwd=cwd, timeout_s=timeout_s, on_line=on_line,
        )  # fmt: skip

    def interactive(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> int:
        """See `Runner.interactive`."""
        return self.local.interactive(["sudo", "--", *argv], env=env)


@dataclass(frozen=True)
class Host:
    """This machine, and how to act on it.

    Attributes:
        runner: Runs commands as this account.
        admin: Runs commands as root.
        state: pairlab's state directory: logs of daemons, the ledger.
        settings: Whose daemons are meant: `dockerHost` and `libvirtUri`.
        account: This account's name, or empty for root.
        systemd: Units are managed by systemd.
    """

    runner: Runner
    admin: Runner
    state: Path
    settings: Settings
    account: str
    systemd: bool

    @property
    def ledger(self) -> Ledger:
        """What pairlab started here."""
        return Ledger(self.state / "host.json")

    @property
    def local_docker(self) -> bool:
        """The Docker daemon is this machine's."""
        return self.settings.docker_host in LOCAL_DOCKER

    @property
    def local_libvirt(self) -> bool:
        """The libvirt daemon is this machine's."""
        return self.settings.libvirt_uri == "qemu:///system"

    def docker(self, *words: str) -> str | None:
        """What the Docker client prints; None if the daemon does not answer."""
        return self._ask(["docker", "-H", self.settings.docker_host, *words], self.local_docker)

    def virsh(self, *words: str) -> str | None:
        """What virsh prints; None if libvirt does not answer."""
        return self._ask(["virsh", "-c", dialled(self.settings.libvirt_uri), *words], self.local_libvirt)

    def _ask(self, argv: list[str], local: bool) -> str | None:
        # An account that has just joined the daemons' groups is not yet let in: root asks for it.
        for runner in (self.runner, self.admin) if self.account and local else (self.runner,):
            try:
                return runner.run(argv, timeout_s=15).stdout.strip()
            except CommandError:
                continue
        return None

    def unlock(self, *, interactive: bool) -> None:
        """Make sure that `admin` works.

        Args:
            interactive: sudo may ask for a password on this terminal.

        Raises:
            HostError: There is neither root nor sudo.
        """
        if not self.account:
            return
        hint = "run it as root, or let an administrator set this host up with `invoke lab.setup`"
        try:
            if self.runner.run(["sudo", "-n", "true"], check=False, timeout_s=15).returncode == 0:
                return
            if interactive and self.runner.interactive(["sudo", "-v"]) == 0:
                return
        except CommandError as error:
            raise HostError(f"{self.account} is not root, and sudo is not installed", hint=hint) from error
        raise HostError(f"{self.account} is not root, and sudo does not let it become root", hint=hint)


def this_host(settings: Settings, state: Path, runner: Runner) -> Host:
    """The machine that this process runs on."""
    root = os.geteuid() == 0
    return Host(
        runner=runner,
        admin=runner if root else SudoRunner(runner),
        state=state,
        settings=settings,
        account="" if root else account_name(),
        systemd=Path("/run/systemd/system").is_dir(),
    )
