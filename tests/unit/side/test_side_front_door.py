"""The front door's questions, put to a small HTTP server on loopback."""

import itertools
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pairlab.errors import SideError
from pairlab.side import Answer, await_all, probe


class Door(ThreadingHTTPServer):
    """Answers with the next of a list of (status, instance), over and over."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.turns: Iterator[tuple[int, str]] = iter(())
        self.connections = 0

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, instance = next(self.server.turns)  # type: ignore[attr-defined]
        self.send_response(status)
        if instance:
            self.send_header("X-Pairlab-Side", instance.split("/")[0])
            self.send_header("X-Pairlab-Instance", instance)
            self.send_header("X-Pairlab-Image", "0123456789ab")
            self.send_header("X-Pairlab-Version", "1.22.1")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args: Any) -> None: ...


@pytest.fixture
def door() -> Iterator[Door]:
    server = Door()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_probe_tells_who_answered(door: Door) -> None:
    door.turns = iter([(200, "vm/1")])
    assert probe(door.server_port) == Answer(200, "vm", "vm/1", "0123456789ab", "1.22.1")


def test_a_proxy_without_instances_is_an_answer_too(door: Door) -> None:
    door.turns = iter([(503, "")])
    assert probe(door.server_port, "/") == Answer(503, "", "", "", "")


def test_nobody_there_is_an_error_with_its_cause() -> None:
    server = Door()
    port = server.server_port
    server.server_close()
    with pytest.raises(SideError, match=rf"127\.0\.0\.1:{port}/healthz: Connection refused"):
        probe(port)


def test_all_are_awaited_over_new_connections(door: Door) -> None:
    door.turns = iter([(503, ""), (200, "vm/0"), (200, "vm/0"), (503, "vm/1"), (200, "vm/1")])
    told: list[str] = []
    times = await_all(door.server_port, ["vm/0", "vm/1"], timeout_s=20, progress=told.append)
    assert list(times) == ["vm/0", "vm/1"]
    assert 0 < times["vm/0"] <= times["vm/1"] < 20
    assert [line.split(" answers")[0] for line in told] == ["vm/0", "vm/1"]
    assert door.connections == 5


def test_those_that_never_answer_are_named(door: Door) -> None:
    door.turns = itertools.cycle([(200, "vm/0"), (500, "vm/2")])
    with pytest.raises(SideError, match=r"^vm/1, vm/2 never answered .* within 0\.5 s") as late:
        await_all(door.server_port, ["vm/0", "vm/1", "vm/2"], timeout_s=0.5, progress=lambda line: None)
    assert "vm/2 answered 500" in late.value.details


def test_nothing_expected_is_no_wait() -> None:
    assert await_all(1, [], timeout_s=0, progress=lambda line: None) == {}


def test_a_cancelled_wait_ends(door: Door) -> None:
    door.turns = itertools.repeat((503, ""))
    cancelled = threading.Event()
    threading.Timer(0.2, cancelled.set).start()
    with pytest.raises(SideError, match="interrupted while waiting for vm/0"):
        await_all(door.server_port, ["vm/0"], timeout_s=60, progress=lambda line: None, cancelled=cancelled)
