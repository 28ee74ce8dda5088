"""A short burst of requests beside the steady client, and what it does to that client's latency."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from statistics import quantiles

from pairlab.errors import ExerciseError
from pairlab.exercise._client import GOOD, RATE_HZ, Client, Request, latencies_s

SPIKE_HZ = 30 * RATE_HZ
"""More than two emulated VMs can bear, and less than what would keep a core of this host busy with asking."""
SPIKE_S = 3.0
CALM_S = 3.0
"""How long latency is looked at before the spike, and after it."""
WINDOW = int(RATE_HZ)
"""Requests of the steady client in a second."""
USUAL = 95
"""Percentile of the latencies before up to which one counts as usual."""
FEWEST = 2
"""Good answers that latencies are told of."""
MOST = 0.9
"""Share of a second's requests that must be usual."""
NORMAL_TIMEOUT_S = 60.0
BEGINS, ENDS = "the spike begins", "the spike is over"
"""Marks in the steady client's timeline."""


@dataclass(frozen=True)
class Spike:
    """What a spike did to the steady client.

    Attributes:
        before: Latencies of its good answers before, in seconds.
        during: Between the spike's first and last request.
        after: For a while after that.
        normal_s: Seconds from the spike's last request until latencies are normal again.
        client: Who sent the spike.
    """

    before: list[float]
    during: list[float]
    after: list[float]
    normal_s: float
    client: Client


def spike(steady: Client) -> Spike:
    """Send a burst to the steady client's front door, and wait until its latencies are normal again.

    Raises:
        ExerciseError: They did not become so in time, or hardly any answer was good before.
    """
    steady.await_ended(len(steady.requests) + int(CALM_S * RATE_HZ))
    calm_end = time.monotonic()
    most = int(SPIKE_HZ * SPIKE_S)
    with Client(steady.port, steady.path, SPIKE_HZ, most) as burst:
        burst.await_ended(most)
    sent = [request.sent for request in burst.requests]
    start, end = min(sent), max(sent)
    # The step began with calm: where the spike was, only these tell.
    steady.mark(BEGINS, start)
    steady.mark(ENDS, end)
    before = _sent_between(steady.requests, calm_end - CALM_S, calm_end)
    if len(latencies_s(before)) < FEWEST:
        raise ExerciseError(
            "hardly any answer was good before the spike began",
            hint="`invoke lab.status` shows the lab; `invoke lab.up` puts it back",
        )
    steady.await_ended(len(steady.requests) + int(CALM_S * RATE_HZ))
    deadline = time.monotonic() + NORMAL_TIMEOUT_S
    while (normal_s := seconds_to_normal(before, steady.requests, end)) is None:
        if time.monotonic() > deadline:
            raise ExerciseError(
                f"latencies were not normal again within {NORMAL_TIMEOUT_S:g} s after a spike",
                hint="is something else at work on this host? `invoke lab.status` shows the lab",
            )
        steady.await_ended(len(steady.requests) + WINDOW)
    during = latencies_s(_sent_between(steady.requests, start, end))
    after = latencies_s(_sent_between(steady.requests, end, end + CALM_S))
    return Spike(latencies_s(before), during, after, normal_s, burst)


def seconds_to_normal(before: Sequence[Request], requests: Iterable[Request], end: float) -> float | None:
    """Seconds from a spike's end until latencies are normal again.

    They are normal from a request on, if nine of ten of a second's requests from there take no longer than
    was usual before. A failed request takes for ever.

    Args:
        before: The steady client's requests before the spike.
        requests: All of its requests.
        end: When the spike's last request was sent.

    Returns:
        None as long as they are not.
    """
    limit = quantiles(latencies_s(before), n=100, method="inclusive")[USUAL - 1]
    later = sorted((r for r in requests if r.sent >= end), key=lambda request: request.sent)
    took = [r.ended - r.sent if r.status == GOOD else inf for r in later]
    for number in range(len(later) - WINDOW + 1):
        usual = sum(each <= limit for each in took[number : number + WINDOW])
        if usual >= MOST * WINDOW:
            return max(0.0, later[number].sent - end) if number else 0.0
    return None


def _sent_between(requests: Iterable[Request], start: float, end: float) -> list[Request]:
    return [request for request in requests if start <= request.sent <= end]
