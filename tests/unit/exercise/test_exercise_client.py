"""The steady client, against a real HTTP server on loopback that misbehaves on demand."""

from __future__ import annotations

import os
import signal
import time

import pytest
from slow_server import Handler

from pairlab.errors import ExerciseError
from pairlab.exercise._client import Client, Request, latencies_s


def test_requests_come_at_a_steady_rate_and_tell_who_answered(port: int) -> None:
    with Client(port, "/", rate_hz=50) as client:
        client.await_good(25)
    sent = sorted(request.sent for request in client.requests)
    assert len(sent) >= 25
    assert 0.4 <= sent[24] - sent[0] <= 2
    assert {request.instance for request in client.requests} == {"vm/0", "vm/1"}
    assert {request.version for request in client.requests} == {"1"}
    assert client.failed == 0
    assert client.cpu_percent > 0
    assert client.worst_gap_s >= 0


def test_refusals_are_quick_and_in_no_latency() -> None:
    requests = [Request(0, 2, 200, "vm/0", "1"), Request(1, 1.01, 503, "", ""), Request(2, 7, 0, "", "")]
    assert latencies_s(requests) == [2]


def test_it_keeps_asking_while_answers_are_late(port: int) -> None:
    Handler.delay_s = 0.5
    with Client(port, "/", rate_hz=50) as client:
        client.await_good(50)
    sent = sorted(request.sent for request in client.requests)
    assert sent[40] - sent[0] < 3  # one after the other they would take 20 s


def test_failures_are_counted_and_the_first_answers_of_a_version_found(port: int) -> None:
    with Client(port, "/", rate_hz=50) as client:
        client.await_good(5)
        Handler.status = 503
        deadline = time.monotonic() + 10
        while client.failed < 5:
            assert time.monotonic() < deadline
        Handler.status, Handler.version = 200, "2"
        since = time.monotonic()
        firsts = client.await_version("2", {"vm/0", "vm/1"}, since=since, timeout_s=10)
        assert set(firsts) == {"vm/0", "vm/1"}
        assert min(firsts.values()) >= since
        assert client.await_answer("vm/1", since=since, timeout_s=10).version == "2"
        assert client.saw_answer("vm/0", since=since, timeout_s=10)
        assert not client.saw_answer("vm/7", since=since, timeout_s=0.2)
    assert {request.status for request in client.requests} == {200, 503}


def test_where_nothing_listens_every_request_fails_and_waiting_ends(port: int) -> None:
    with Client(1, "/", rate_hz=50) as client, pytest.raises(ExerciseError, match="3 answers of 200"):
        client.await_good(3, timeout_s=3)
    assert client.failed > 0
    assert {request.status for request in client.requests} == {0}


def test_a_fast_client_keeps_its_rate_while_every_answer_is_late(port: int) -> None:
    Handler.delay_s = 3.0
    with Client(port, "/", rate_hz=200) as client:
        client.await_ended(200)
    sent = sorted(request.sent for request in client.requests)
    assert sent[199] - sent[0] < 2.9  # with the workers of a slow client the last ones would wait for answers


def test_an_instance_is_out_when_others_answer_in_a_row(port: int) -> None:
    with Client(port, "/", rate_hz=50) as client:
        client.await_good(4)
        Handler.instances = iter(lambda: "vm/1", None)
        client.await_without("vm/0", 10, timeout_s=10)
        assert {request.instance for request in client.requests[-10:]} == {"vm/1"}


def test_nothing_is_asked_in_a_pause_and_the_rate_stays(port: int) -> None:
    with Client(port, "/", rate_hz=50) as client:
        client.await_good(5)
        with client.paused():
            begun = time.monotonic()
            time.sleep(3)
            over = time.monotonic()
        client.await_good(5)
    assert not [request for request in client.requests if begun + 1.5 < request.sent < over]
    assert client.worst_gap_s < 2


ENDED = "has ended: its process was ended"


def kill(client: Client) -> None:
    os.kill(client._process.pid or 0, signal.SIGKILL)
    with pytest.raises(ExerciseError, match=ENDED):
        client.saw_answer("vm/7", since=0, timeout_s=60)


def test_a_client_that_was_ended_says_so_at_once_and_in_the_end(port: int) -> None:
    started = time.monotonic()
    with pytest.raises(ExerciseError, match=ENDED), Client(port, "/") as client:
        kill(client)
    assert time.monotonic() - started < 30


def test_what_a_client_fails_of_is_told_to_whoever_waits(port: int) -> None:
    with pytest.raises(ExerciseError, match="has ended: UnicodeEncodeError"), Client(port, "/ü") as client:
        client.await_good(1, timeout_s=60)
