"""Runs commands on a machine reached by ssh."""

from __future__ import annotations

import shlex
import urllib.parse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pairlab.run import Completed, LocalRunner, Runner, checked

CONNECT_TIMEOUT_S = 10
KEY_EXCHANGE = "curve25519-sha256"
"""By lattices, as OpenSSH would by default, an exchange takes an emulated guest a fifth of a second more."""
SSH_FAILED = 255
LOOPBACK = ("localhost", "127.0.0.1", "::1")
BROKEN_SHARE = ("mux_client_", "control master")
"""What ssh says when a shared connection broke before it took a command. Source: OpenSSH, mux.c."""
SHARED_S = 5
"""How long a connection waits for the next command."""
ASK_ALIVE_S, ASK_ALIVE_COUNT = 3, 10
"""A shared connection is given up when so many questions, so far apart, got no answer.

Under emulation a guest that unpacks a kernel, or makes processes without end, answers nobody for seconds.
Whoever ends a machine gives its connection up by `unshare`, and need not wait for this.
"""


@dataclass(frozen=True)
class SshRunner:
    """Runs commands on a machine reached by ssh, with a key of its own and pinned host keys.

    Args:
        address: Where the machine answers.
        user: The account there.
        key: Private key file, mode 0600.
        known_hosts: File with the machine's pinned host key.
        local: Runner that starts ssh.
        port: TCP port of its ssh server.
        prefix: Begins every command there, such as `sudo`.
        control: Folder of this account's alone for sockets by which commands that follow one another share
            a connection; None connects anew each time. Under emulation a connection costs a guest seconds.
        proxy: Command whose input and output are the connection, for a machine that has no address here.
    """

    address: str
    user: str
    key: Path
    known_hosts: Path
    local: Runner = field(default_factory=LocalRunner)
    port: int = 22
    prefix: tuple[str, ...] = ()
    control: Path | None = None
    proxy: tuple[str, ...] = ()

    def argv(self, argv: Sequence[str], *, tty: bool = False) -> list[str]:
        """The ssh command line that runs `argv` there; no `argv` means a login shell."""
        command = ["ssh", *self._flags("-p", tty=tty), *(["-t"] if tty else [])]
        # ssh joins its arguments with spaces for the remote shell: quote them for it.
        return [*command, f"{self.user}@{self.address}", *([shlex.join(argv)] if argv else [])]

    def copy_argv(self, source: Path, target: str) -> list[str]:
        """The scp command line that copies a local file to a path there."""
        return ["scp", "-q", *self._flags("-P"), str(source), f"{self.user}@{self.address}:{target}"]

    def _flags(self, port: str, *, tty: bool = False) -> list[str]:
        """What ssh and scp are told alike; they differ in the letter for the port."""
        options = [
            f'UserKnownHostsFile="{self.known_hosts}"',
            "GlobalKnownHostsFile=/dev/null",
            "StrictHostKeyChecking=yes",
            "IdentitiesOnly=yes",
            f"KexAlgorithms={KEY_EXCHANGE}",
            "PasswordAuthentication=no",
            f"ConnectTimeout={CONNECT_TIMEOUT_S}",
            "LogLevel=ERROR",
        ]
        options += [] if tty else ["BatchMode=yes"]
        if self.proxy:
            # ssh gives it to a shell, and takes what begins with % for itself.
            options.append(f"ProxyCommand={shlex.join(self.proxy).replace('%', '%%')}")
        if self.control is not None:
            # %C: a digest of machine, port and account.
            options += [
                "ControlMaster=auto",
                f"ControlPersist={SHARED_S}",
                f'ControlPath="{self.control}/%C"',
                f"ServerAliveInterval={ASK_ALIVE_S}",
                f"ServerAliveCountMax={ASK_ALIVE_COUNT}",
            ]
        flags = [word for option in options for word in ("-o", option)]
        return ["-F", "none", "-i", str(self.key), port, str(self.port), *flags]

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
        """See `Runner.run`; `env` and `cwd` hold on the far machine."""
        where = ["env", f"--chdir={cwd}"] if cwd is not None else []
        remote = [*self.prefix, *where, *_with_env(argv, env)]
        given = {"input_text": input_text, "timeout_s": timeout_s, "on_line": on_line}
        done = self.local.run(self.argv(remote), check=False, **given)  # type: ignore[arg-type]
        said = done.stderr + done.stdout
        if self.control and done.returncode == SSH_FAILED and any(told in said for told in BROKEN_SHARE):
            return replace(self, control=None).run(argv, check=check, env=env, cwd=cwd, **given)  # type: ignore[arg-type]
        return checked(done) if check else done

    def unshare(self) -> None:
        """Give up the shared connection, as the machine is about to know nothing of it any more."""
        if self.control is not None:
            self.local.run([*self.argv(())[:-1], "-O", "exit", f"{self.user}@{self.address}"], check=False)

    def interactive(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> int:
        """See `Runner.interactive`."""
        remote = [*self.prefix, *_with_env(argv, env)] if argv else []
        return self.local.interactive(self.argv(remote, tty=True))


def is_another_machine(address: str) -> bool:
    """Whether a daemon's address leads over ssh to another machine: `ssh://localhost` is this one."""
    parts = urllib.parse.urlsplit(address)
    return parts.scheme == "ssh" and parts.hostname not in LOOPBACK


def way_to(address: str) -> list[str]:
    """The options of ssh that lead to the machine of a daemon's address, and its name: these come last.

    Args:
        address: Such as `ssh://user@machine:port` or `qemu+ssh://user@machine/system`.
    """
    parts = urllib.parse.urlsplit(address)
    options = ["-l", parts.username] if parts.username else []
    options += ["-p", str(parts.port)] if parts.port else []
    return [*options, "--", parts.hostname or ""]


def tunnel_command(host: str, ports: Iterable[int]) -> str:
    """The command that leads ports of this machine's loopback to the same ones of another machine's.

    Args:
        host: Its address, such as `ssh://user@machine:port`.
        ports: TCP ports.
    """
    address = urllib.parse.urlsplit(host)
    led = [word for port in ports for word in ("-L", f"127.0.0.1:{port}:127.0.0.1:{port}")]
    way = ["-p", str(address.port)] if address.port else []
    account = f"{address.username}@" if address.username else ""
    return shlex.join(["ssh", "-N", *led, *way, f"{account}{address.hostname}"])


def _with_env(argv: Sequence[str], env: Mapping[str, str] | None) -> list[str]:
    return ["env", *(f"{name}={value}" for name, value in env.items()), *argv] if env else list(argv)
