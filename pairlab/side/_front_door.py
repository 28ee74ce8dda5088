"""Questions to a front door: who answers, and has everybody answered."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pairlab.errors import SideError

LOOPBACK = "127.0.0.1"
POLL_S = 0.1
PROBE_TIMEOUT_S = 5.0
REMIND_S = 10.0


@dataclass(frozen=True)
class Answer:
    """One response through a front door.

    Attributes:
        status: HTTP status.
        side: What the header `X-Pairlab-Side` says; empty where the proxy itself answered.
        instance: Name of the instance, such as `vm/0`, from `X-Pairlab-Instance`.
        image: Version of its image, from `X-Pairlab-Image`.
        version: Version of the workload's package that serves, from `X-Pairlab-Version`.
    """

    status: int
    side: str
    instance: str
    image: str
    version: str


def probe(port: int, path: str = "/healthz", *, timeout_s: float = PROBE_TIMEOUT_S) -> Answer:
    """Ask a front door once, over a new connection, so that the proxy chooses anew.

    Args:
        port: Loopback port of the front door.
        path: HTTP path to get.
        timeout_s: Seconds for each step: to connect, and to read.

    Raises:
        SideError: Nothing answered in HTTP.
    """
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=timeout_s)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise SideError(
            f"no answer from the front door at http://{LOOPBACK}:{port}{path}: {reason}",
            hint="`invoke lab.status` shows whether the front door and its instances run",
        ) from error
    finally:
        connection.close()

    def header(name: str) -> str:
        return response.headers.get(f"X-Pairlab-{name}", "")

    return Answer(response.status, header("Side"), header("Instance"), header("Image"), header("Version"))


def await_all(
    port: int,
    expected: Iterable[str],
    *,
    timeout_s: float,
    progress: Callable[[str], None],
    cancelled: threading.Event | None = None,
    path: str = "/healthz",
) -> dict[str, float]:
    """Wait until every expected instance has answered 200 through a front door.

    Args:
        port: Loopback port of the front door.
        expected: Instance names, such as `vm/0`.
        timeout_s: Seconds until it gives up.
        progress: Told of each first answer, and now and then who is awaited.
        cancelled: Set from outside to stop waiting.
        path: HTTP path to get.

    Returns:
        Instance name -> seconds from the call to its first answer.

    Raises:
        SideError: Some never answered, or the wait was cancelled; it names them.
    """
    stop = cancelled or threading.Event()
    awaited, first_answers = set(expected), dict[str, float]()
    start = time.monotonic()
    remind_at, last = start + REMIND_S, "nothing answered yet"
    while awaited:
        left_s = timeout_s - (time.monotonic() - start)
        if stop.is_set() or left_s <= 0:
            raise _silent(awaited, port, timeout_s, last, interrupted=stop.is_set())
        answer, last = _try(port, path, min(PROBE_TIMEOUT_S, left_s), last)
        now = time.monotonic()
        if answer is not None and answer.status == 200 and answer.instance in awaited:
            awaited.remove(answer.instance)
            first_answers[answer.instance] = now - start
            progress(f"{answer.instance} answers after {now - start:.1f} s")
            continue  # the next one in turn may be ready too
        if now >= remind_at:
            progress(f"waiting for {_listed(awaited)} ({now - start:.0f} s)")
            remind_at = now + REMIND_S
        stop.wait(POLL_S)
    return first_answers


def _try(port: int, path: str, timeout_s: float, last: str) -> tuple[Answer | None, str]:
    try:
        answer = probe(port, path, timeout_s=timeout_s)
    except SideError as error:
        return None, error.message
    who = answer.instance or "the proxy itself"
    return answer, f"{who} answered {answer.status}" if answer.status != 200 or not answer.instance else last


def _silent(awaited: set[str], port: int, timeout_s: float, last: str, *, interrupted: bool) -> SideError:
    if interrupted:
        return SideError(
            f"interrupted while waiting for {_listed(awaited)}",
            hint="`invoke lab.up` goes on from here; `invoke lab.down` removes the lab",
        )
    return SideError(
        f"{_listed(awaited)} never answered through the front door on port {port} within {timeout_s:g} s",
        hint="see `invoke lab.logs` and `invoke lab.console`; a slow host may need a larger readyTimeoutS",
        details=f"last seen at the front door: {last}",
    )


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))
