"""The Docker engine's API by an address: a local socket, or another machine's by ssh."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from typing import Any

import requests
from docker import APIClient
from docker.errors import DockerException
from docker.transport.unixconn import UnixHTTPAdapter, UnixHTTPConnection, UnixHTTPConnectionPool

from pairlab.errors import HostError
from pairlab.run import LocalRunner
from pairlab.ssh import way_to

TIMEOUT_S = 120
OLDEST_API = "1.24"
"""Only asks for the version: docker-py's own minimum."""
SAYS_WHY_WITHIN_S = 2.0


def open_api(host: str, ssh_opts: Sequence[str] = ()) -> APIClient:
    """Open the engine's API.

    Args:
        host: `unix:///var/run/docker.sock`, `tcp://…`, or `ssh://user@machine:port`.
        ssh_opts: Arguments for ssh, such as `-i key` or `-o UserKnownHostsFile=…`.

    Raises:
        HostError: The engine does not answer.
    """
    tunnel = _SshTunnel(ssh_argv(host, ssh_opts)) if host.startswith("ssh://") else None
    try:
        if tunnel is None:
            return APIClient(base_url=host, version="auto", timeout=TIMEOUT_S)
        probe = _through(tunnel, OLDEST_API)
        return _through(tunnel, probe.version(api_version=False)["ApiVersion"])
    except (DockerException, requests.RequestException) as error:
        raise no_answer(host, error, tunnel.complaint() if tunnel else "") from error


def ssh_argv(host: str, ssh_opts: Sequence[str]) -> list[str]:
    """The command that leads to the engine's socket there.

    Source: docker/cli, cli/connhelper/connhelper.go
    """
    return ["ssh", *ssh_opts, "-T", "-o", "BatchMode=yes", *way_to(host), "docker system dial-stdio"]


def no_answer(host: str, error: Exception, said: str = "") -> HostError:
    """The error for an engine that does not answer.

    Args:
        host: Its address.
        error: How a request failed.
        said: Why, where something says it better than the error.
    """
    why = said or _cause(error)
    return HostError(f"Docker does not answer at {host}: {why}", hint=_remedy(host, why))


def _cause(error: BaseException) -> str:
    """The innermost reason of a failed request, in words: what wraps around it says nothing to a reader."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(getattr(error, "strerror", None) or error)


def _remedy(host: str, said: str) -> str:
    if host.startswith("ssh://"):
        return "does `ssh` reach it without a question, and may that account use Docker there?"
    if "Permission denied" in said:
        return "add this account to the group `docker` and log in again, or use sudo"
    return "start it with `invoke lab.setup`"


def _through(tunnel: _SshTunnel, version: str) -> APIClient:
    api = APIClient(base_url="unix:///ssh", version=version, timeout=TIMEOUT_S)
    api.mount("http+docker://", tunnel)
    return api


class _SshTunnel(UnixHTTPAdapter):
    """Gives each connection an ssh of its own, which gets one end of a pair of sockets."""

    def __init__(self, argv: list[str]) -> None:
        super().__init__("http+unix:///ssh")
        self._argv = argv
        self._last: threading.Thread | None = None
        self._said = ""

    def get_connection(self, url: Any, proxies: Any = None) -> Any:
        with self.pools.lock:
            if url not in self.pools:
                self.pools[url] = _Pool(self)
            return self.pools[url]

    def connect(self, timeout_s: float) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.settimeout(timeout_s)
        self._last = threading.Thread(target=self._run, args=(theirs,), daemon=True)
        self._last.start()
        return ours

    def complaint(self) -> str:
        """What ssh said last when it ended."""
        if self._last is not None:
            self._last.join(SAYS_WHY_WITHIN_S)
        return self._said

    def _run(self, theirs: socket.socket) -> None:
        with theirs:
            said = LocalRunner().relay(self._argv, theirs).strip()
        self._said = said.splitlines()[-1] if said else ""


class _Pool(UnixHTTPConnectionPool):
    def __init__(self, tunnel: _SshTunnel) -> None:
        super().__init__("http+unix:///ssh", "/ssh", TIMEOUT_S)
        self._ssh = tunnel

    def _new_conn(self) -> Any:
        return _Connection(self._ssh)


class _Connection(UnixHTTPConnection):
    def __init__(self, tunnel: _SshTunnel) -> None:
        super().__init__("http+unix:///ssh", "/ssh", TIMEOUT_S)
        self._ssh = tunnel

    def connect(self) -> None:
        self.sock = self._ssh.connect(TIMEOUT_S)
