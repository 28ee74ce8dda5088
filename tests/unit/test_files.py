"""Files and locks that several processes share."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from pairlab.files import alone, replace_at_once


def test_what_cannot_be_written_whole_leaves_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    replace_at_once(path, "grün", mode=0o644)
    with pytest.raises(UnicodeEncodeError):
        replace_at_once(path, "\udc80")
    assert [(each, each.read_text("utf-8")) for each in path.parent.iterdir()] == [(path, "grün")]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_second_one_is_told_for_whom_it_waits(tmp_path: Path) -> None:
    told: list[str] = []
    waits, holds = threading.Event(), threading.Event()

    def progress(line: str) -> None:
        told.append(line)
        waits.set()

    def second() -> None:
        with alone(tmp_path / "lock", progress, waiting="waiting for the first"):
            holds.set()

    thread = threading.Thread(target=second)
    with alone(tmp_path / "lock", progress, waiting="waiting for nobody"):
        thread.start()
        assert waits.wait(10)
        assert not holds.is_set()
    thread.join(10)
    assert holds.is_set()
    assert told[0] == f"waiting for the first, of process {os.getpid()}"
