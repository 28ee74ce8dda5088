"""A command that is told to stop, by Ctrl-C or as a CI runner does, cleans up and says so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks import command

ROOT = Path(__file__).resolve().parents[2]
ENGINE = """#!/bin/sh
stopped=
trap 'stopped=1; echo interrupted >> "$1"' INT
echo started >> "$1"
for _ in $(seq 600); do [ -z "$stopped" ] || break; sleep 0.1; done
for _ in $(seq 10); do sleep 0.1; done
echo saved >> "$1"
"""
RUN = """
import subprocess, sys
from pathlib import Path
from pairlab.engine.interrupt import interruptible, write_apart
cli, root, notes = map(Path, sys.argv[1:])
write_apart(cli, root)
interruptible(lambda: subprocess.run([root / "bin/pulumi", notes], check=True), print)
"""


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_a_command_after_its_cleaning_up(
    number: signal.Signals,
    status: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = []
    monkeypatch.setattr(os, "dup2", lambda *_: None)  # where a terminal is gone, its streams are too

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


@pytest.mark.parametrize("to_group", [True, False])
def test_an_interruption_reaches_the_engine_once_and_waits_for_it(tmp_path: Path, to_group: bool) -> None:
    cli, notes = tmp_path / "pulumi", tmp_path / "notes"
    cli.write_text(ENGINE)
    cli.chmod(0o700)
    run = subprocess.Popen(
        [sys.executable, "-c", RUN, cli, tmp_path / "own", notes],
        cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        for awaited in ("started", "interrupted"):
            while awaited not in (notes.read_text() if notes.exists() else ""):
                time.sleep(0.05)
                assert run.poll() is None
            (os.killpg if to_group else os.kill)(run.pid, signal.SIGINT)
        out, _ = run.communicate(timeout=60)
    finally:
        run.kill()
    assert run.returncode == -signal.SIGINT
    assert out.count("stopping: the engine ends its current step") == 1
    assert notes.read_text().split() == ["started", "interrupted", "saved"]
