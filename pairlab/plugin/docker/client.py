"""The connection to the Docker engine: opened when first needed, shared by threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pairlab.errors import LabError, PluginError
from pairlab.plugin.resource import Context, Property, Values

DEFAULT_HOST = "unix:///var/run/docker.sock"
POLL_S = 0.1
NOT_FOUND, CONFLICT, NO_SWARM = 404, 409, 503

CONFIG: Mapping[str, Property] = {"host": Property(str, replace=True), "sshOpts": Property(list)}
"""The provider's settings. Official: https://www.pulumi.com/registry/packages/docker/installation-configuration/"""


def _open(host: str, ssh_opts: Sequence[str]) -> Any:
    from pairlab.docker_api import open_api

    return open_api(host, ssh_opts)


class InterruptedWaitError(Exception):
    """The run was interrupted during a wait; `Client.doing` says what for."""


class Client:
    """One Docker engine.

    Args:
        host: Its address.
        ssh_opts: Arguments for ssh, where the address is an `ssh://` one.
        opener: Opens its API.
    """

    def __init__(
        self,
        host: str,
        ssh_opts: Sequence[str] = (),
        opener: Callable[[str, Sequence[str]], Any] = _open,
    ) -> None:
        self.host = host
        self._ssh_opts = ssh_opts
        self._opener = opener
        self._api: Any = None
        self._guard = threading.Lock()

    @contextmanager
    def doing(self, what: str) -> Iterator[Any]:
        """Lend the engine's API to a block; the engine's errors become a `PluginError`.

        Args:
            what: The deed, as a noun phrase that begins the message: "creating network 'x'".
        """
        import requests
        from docker.errors import APIError, DockerException

        try:
            with self._guard:
                if self._api is None:
                    self._api = self._opener(self.host, self._ssh_opts)
            yield self._api
        except APIError as error:
            raise PluginError(f"{what} failed: {said(error)}", hint=_hint(error)) from error
        except (DockerException, requests.RequestException, OSError) as error:
            raise PluginError(
                f"{what} failed: Docker does not answer at {self.host}: {error}",
                hint="`invoke lab.doctor` checks the engine; run it again once that is mended",
            ) from error
        except InterruptedWaitError as error:
            raise interrupted(what) from error
        except LabError as error:
            if isinstance(error, PluginError):
                raise
            raise PluginError(f"{what} failed: {error.message}", hint=error.hint) from error


def interrupted(what: str) -> PluginError:
    """The error for a wait that the engine's interruption ended."""
    return PluginError(f"{what} was interrupted", hint="run it again")


def said(error: Any) -> str:
    """The engine's own words."""
    return str(error.explanation or error).strip()


def found(look: Callable[..., Any], *arguments: Any) -> Any | None:
    """What an inspection finds; None if the object is not there."""
    from docker.errors import NotFound

    try:
        return look(*arguments)
    except NotFound:
        return None


def wait_until(condition: Callable[[], Any], timeout_s: float, context: Context) -> Any:
    """Ask until the answer is true; its last answer when time is up.

    Args:
        condition: What is asked.
        timeout_s: Seconds to wait at most.
        context: Of the request; tells of an interruption.

    Raises:
        InterruptedWaitError: The run was interrupted before the answer was true.
    """
    import time

    deadline = time.monotonic() + timeout_s
    while True:
        answer = condition()
        if answer or time.monotonic() >= deadline:
            return answer
        if context.cancelled.wait(POLL_S):
            raise InterruptedWaitError


def name_taken(kind: str, name: str) -> PluginError:
    """The error for a name that an object holds which is not in this stack's state."""
    return PluginError(
        f"the {kind} name {name!r} is taken by a {kind} that is not in this stack's state",
        hint=f"if an interrupted run left it, `docker {kind} rm {name}` and run again; else use another name",
    )


def _hint(error: Any) -> str:
    words = said(error)
    if error.status_code == NO_SWARM and "swarm" in words.lower():
        return "make this engine a Swarm manager with `invoke lab.setup`"
    if "port is already allocated" in words or "address already in use" in words:
        return "another program holds that port: stop it, or choose another port"
    if "No such image" in words:
        return "no registry is asked: build the image first, with `invoke image.build` or `docker build`"
    if "no space left" in words.lower():
        return "free some space, for instance with `invoke image.prune`"
    if "ool overlaps" in words:
        return "choose another subnet for this network"
    return "correct what it names; `docker events` and the daemon's log tell more"


def connect(config: Values) -> Client:
    """A client by the provider's settings; the engine is not touched before it is needed."""
    host = config.get("host") or os.environ.get("DOCKER_HOST") or DEFAULT_HOST
    return Client(str(host), [str(word) for word in config.get("sshOpts") or []])
