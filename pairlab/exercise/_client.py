"""A client at a front door, in a process of its own: new connections at a steady rate, whatever happens.

It keeps to its schedule also when answers are late (an open loop), since a client that waits for each answer
would send fewer requests just when they fail.
"""

from __future__ import annotations

import http.client
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from math import ceil
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from pairlab.errors import ExerciseError

RATE_HZ = 20.0
REQUEST_TIMEOUT_S = 5.0
MOST_REQUESTS = 40_000
"""It ends by itself after half an hour."""
SPARE_WORKERS = 28
"""Beyond those that can be waiting at once: the rate times the time-out."""
MOST_WORKERS = 1000
"""More would weigh on this host, and not on the front door."""
GOOD = 200
PAUSE, GO_ON, STOP = "pause", "go on", "stop"
"""What its process is told."""


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        sent: When, in seconds of `time.monotonic`.
        ended: When it was answered or failed.
        status: HTTP status; 0 for none.
        instance: Who answered.
        version: Version of the workload's package that answered.
    """

    sent: float
    ended: float
    status: int
    instance: str
    version: str


def latencies_s(requests: Iterable[Request]) -> list[float]:
    """Seconds of each good answer: to refuse is quick, and says nothing of how fast a side serves."""
    return [request.ended - request.sent for request in requests if request.status == GOOD]


@dataclass
class Client:
    """Use it in a `with` block; it asks until the block ends.

    Args:
        port: Loopback port of the front door.
        path: HTTP path to get.
        rate_hz: Requests a second.
        most: After so many it asks no more; unless they are given, that is untimely.
    """

    port: int
    path: str
    rate_hz: float = RATE_HZ
    most: int | None = None
    requests: list[Request] = field(default_factory=list[Request])
    marks: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    answered: int = 0
    failed: int = 0
    cpu_percent: float = 0.0
    worst_gap_s: float = 0.0
    ended: str = field(default="", init=False)
    """Why it asks no more, though nobody told it to end."""

    def __enter__(self) -> Client:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_ask_steadily,
            args=(self.port, self.path, self.rate_hz, self.most or MOST_REQUESTS, theirs),
            daemon=True,
        )
        self._changed = threading.Condition()
        self._process.start()
        theirs.close()
        self._reader = threading.Thread(target=self._read, name="client-reader", daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        untimely = self.ended
        self._tell(STOP)
        self._reader.join()
        self._process.join()
        self._pipe.close()
        if untimely and error is None:
            raise _ended(untimely)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Nothing is asked while the block goes on; its schedule moves by as much."""
        self._tell(PAUSE)
        try:
            yield
        finally:
            self._tell(GO_ON)

    def mark(self, text: str, at: float | None = None) -> None:
        """Note that something happens now, or happened at another moment, in seconds of `time.monotonic`."""
        self.marks.append((time.monotonic() if at is None else at, text))

    def await_good(self, count: int, *, timeout_s: float = 60.0) -> None:
        """Wait until so many more requests were answered 200."""
        start = self.answered
        self._await(lambda: self.answered >= start + count, timeout_s, f"{count} answers of 200")

    def await_ended(self, count: int, *, timeout_s: float = 60.0) -> None:
        """Wait until so many requests were answered or failed since the client began."""
        self._await(lambda: len(self.requests) >= count, timeout_s, f"the end of {count} requests")

    def await_version(
        self, version: str, instances: set[str], *, since: float, timeout_s: float
    ) -> dict[str, float]:
        """Wait until each instance has answered with a version.

        Args:
            version: Of the workload's package.
            instances: Names of those awaited.
            since: Only requests sent after this count, in seconds of `time.monotonic`.
            timeout_s: Seconds until it gives up.

        Returns:
            Instance -> when the first such request ended, on the same clock.

        Raises:
            ExerciseError: Some never did.
        """

        def first_answers() -> dict[str, float]:
            first: dict[str, float] = {}
            for request in self.requests:
                if request.sent >= since and request.version == version and request.status == GOOD:
                    first[request.instance] = min(request.ended, first.get(request.instance, request.ended))
            return first

        self._await(
            lambda: instances <= first_answers().keys(),
            timeout_s,
            f"version {version} served by {', '.join(sorted(instances))}",
        )
        return {name: first_answers()[name] for name in instances}

    def await_answer(self, instance: str, *, since: float, timeout_s: float) -> Request:
        """The first good answer of an instance to a request sent after `since`.

        Raises:
            ExerciseError: There was none in time.
        """
        self._await(lambda: bool(self._answers(instance, since)), timeout_s, f"an answer of {instance}")
        return self._answers(instance, since)[0]

    def saw_answer(self, instance: str, *, since: float, timeout_s: float) -> bool:
        """Whether an instance gives a good answer in time to a request sent after `since`."""
        return self._happens(lambda: bool(self._answers(instance, since)), timeout_s)

    def _answers(self, instance: str, since: float) -> list[Request]:
        own = [request for request in self.requests if request.instance == instance]
        return [request for request in own if request.sent >= since and request.status == GOOD]

    def await_without(self, instance: str, count: int, *, timeout_s: float = 60.0) -> None:
        """Wait until so many answers in a row came from other instances than one."""

        def drained() -> bool:
            last = self.requests[-count:]
            return len(last) == count and all(request.instance != instance for request in last)

        self._await(drained, timeout_s, f"answers from others than {instance}")

    def _await(self, happened: Callable[[], bool], timeout_s: float, what: str) -> None:
        if not self._happens(happened, timeout_s):
            raise ExerciseError(
                f"the client did not see {what} within {timeout_s:g} s",
                hint="`invoke lab.status` shows the lab; `invoke lab.up` puts it back",
            )

    def _happens(self, happened: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until something has happened; returns whether it has, in time.

        Raises:
            ExerciseError: The client has ended before.
        """
        with self._changed:
            self._changed.wait_for(lambda: happened() or bool(self.ended), timeout_s)
            if happened():
                return True
            if self.ended:
                raise _ended(self.ended)
            return False

    def _tell(self, word: str) -> None:
        with suppress(OSError):  # where its process has ended, `ended` says why
            self._pipe.send(word)

    def _read(self) -> None:
        """Take in what its process tells, until that ends."""
        while True:
            try:
                told: Any = self._pipe.recv()
            except (EOFError, OSError):
                return self._end("its process was ended")  # what it told so far stays
            if isinstance(told, str):
                self._end(told)
            elif isinstance(told, Request):
                with self._changed:
                    self.requests.append(told)
                    self.answered += told.status == GOOD
                    self.failed += told.status != GOOD
                    self._changed.notify_all()
            else:
                self.cpu_percent, self.worst_gap_s = told
                return self._end("" if self.most else f"it asks {MOST_REQUESTS} times at most")

    def _end(self, why: str) -> None:
        with self._changed:
            self.ended = self.ended or why  # the first reason is the cause of the others
            self._changed.notify_all()


def _ended(why: str) -> ExerciseError:
    return ExerciseError(
        f"the client at the front door has ended: {why}",
        hint="run the exercise again, with `--resume` where earlier repetitions are to stay",
    )


def _ask_steadily(port: int, path: str, rate_hz: float, most: int, pipe: Connection) -> None:
    """The process: ask until told to stop; then tell what the asking itself cost."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the process that stops this one
    lock = threading.Lock()

    def tell(told: object) -> None:
        with lock, suppress(OSError):  # who listened may be gone
            pipe.send(told)

    def ask() -> None:
        try:
            tell(_request(port, path))
        except Exception as error:  # nobody else would hear of it: the pool keeps it to itself
            tell(_reason(error))

    worst_gap_s, start, cpu = 0.0, time.monotonic(), time.process_time()
    workers = min(ceil(rate_hz * REQUEST_TIMEOUT_S) + SPARE_WORKERS, MOST_WORKERS)
    try:
        with ThreadPoolExecutor(workers) as pool:
            for due in _due(rate_hz, most, pipe):
                worst_gap_s = max(worst_gap_s, time.monotonic() - due)
                pool.submit(ask)
    except Exception as error:  # such as too many threads on this host
        tell(_reason(error))
    took_s = time.monotonic() - start
    tell((100 * (time.process_time() - cpu) / took_s, worst_gap_s))
    pipe.close()


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _due(rate_hz: float, most: int, pipe: Connection) -> Iterator[float]:
    """When each request is due, at that moment, until the pipe tells to stop or its other end is gone."""
    start = time.monotonic()
    for number in range(most):
        while pipe.poll(max(0.0, start + number / rate_hz - time.monotonic())):
            told_at = time.monotonic()
            try:
                if pipe.recv() != PAUSE or pipe.recv() != GO_ON:
                    return
            except EOFError:
                return
            start += time.monotonic() - told_at
        yield start + number / rate_hz


def _request(port: int, path: str) -> Request:
    """Ask once, over a new connection. A failure of any kind is an answer of status 0."""
    sent = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REQUEST_TIMEOUT_S)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        response.read()
        status, headers = response.status, response.headers
    except (OSError, http.client.HTTPException):
        return Request(sent, time.monotonic(), 0, "", "")
    finally:
        connection.close()
    instance = headers.get("X-Pairlab-Instance", "")
    return Request(sent, time.monotonic(), status, instance, headers.get("X-Pairlab-Version", ""))
