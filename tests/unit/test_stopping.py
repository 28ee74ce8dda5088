"""A command that is told to stop, by Ctrl-C or as a CI runner does, cleans up and says so."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tasks import command


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_command_after_its_cleaning_up(
    number: signal.Signals, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    done = []

    @command
    def body() -> None:
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        finally:
            done.append("cleaned up")

    before = signal.getsignal(signal.SIGTERM)
    interrupts = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(SystemExit) as ended:
            body()
    finally:
        signal.signal(signal.SIGINT, interrupts)
    assert (ended.value.code, done) == (status, ["cleaned up"])
    assert "`invoke lab.down` undoes it" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before
