"""What a log keeps while a person is waited for: no time, and no requests."""

from __future__ import annotations

import time

import pytest

from pairlab.exercise._guide import Section
from pairlab.exercise._log import Log, now
from pairlab.model import SideName

READING_S = 4.0


class Reader:
    """Reads each step for a while before it goes on."""

    def before(self, section: Section) -> None:
        time.sleep(READING_S)

    def after(self, section: Section, changes: list[str]) -> None: ...


@pytest.fixture
def log() -> Log:
    section = Section("change", "A change", "What it is.")
    return Log(lambda _: {"change": section}, Reader(), lambda line: None, lambda: None)


@pytest.mark.parametrize(
    ("start", "end", "seconds"),
    [(0.0, 1.0, 1.0), (1.0, 5.0, 2.0), (2.5, 4.5, 0.5), (2.2, 2.8, 0.0), (0.0, 10.0, 7.0), (8.0, 8.0, 0.0)],
)
def test_time_stands_still_while_a_person_is_waited_for(
    log: Log, start: float, end: float, seconds: float
) -> None:
    log.waits += [(2.0, 3.0), (3.0, 4.0), (6.0, 7.0)]
    assert log.elapsed(start, end) == pytest.approx(seconds)


def test_what_a_person_reads_is_no_part_of_a_timeline_nor_of_a_duration(port: int, log: Log) -> None:
    with log.client(SideName.VM, port, "/") as client:
        client.await_good(4)
        began = now()
        with log.step("change"):
            client.await_good(4)
        took = now() - began
    assert log.elapsed(began, began + took) <= took - READING_S
    (timeline,) = log.timelines
    pauses = [after - before for before, after in zip(timeline.at_s, timeline.at_s[1:], strict=False)]
    assert max(pauses) < READING_S / 2
    assert timeline.longest_gap_s() < READING_S / 2
    (mark,) = timeline.marks
    assert timeline.at_s[3] - 0.1 < mark.at_s < timeline.at_s[-1]


def test_a_client_of_which_nothing_is_kept_is_counted_and_leaves_no_timeline(port: int, log: Log) -> None:
    with log.client(SideName.VM, port, "/", kept=False) as client:
        client.await_good(2)
    assert log.timelines == []
    assert log.requests(SideName.VM) == (client.answered, 0)
