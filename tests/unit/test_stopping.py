"""A command that is told to stop, by Ctrl-C or as a CI runner does, cleans up and says so."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from invoke.context import Context

import tasks
from pairlab.errors import SideError
from pairlab.session import lab as labs
from tasks import command, lab_command

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

    @lab_command
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


def interrupted() -> None:
    raise KeyboardInterrupt


def no_room() -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "/somewhere/spec.json")


def gone() -> None:
    raise TimeoutError("timed out")


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (interrupted, 130, ["interrupted"]),
        (
            no_room,
            1,
            [
                "error: /somewhere/spec.json: No space left on device",
                "  next: free some disk space",
            ],
        ),
        (gone, 1, ["error: timed out", "  next: mend that, then run"]),
    ],
)
def test_how_a_command_ends_that_makes_nothing(
    body: Callable[[], None], status: int, told: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command(body)()
    assert ended.value.code == status
    lines = capsys.readouterr().err.splitlines()
    assert [line[: len(start)] for line, start in zip(lines, told, strict=True)] == told


def test_a_reader_that_went_away_is_no_error_to_tell(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "dup2", lambda *_: None)

    def body() -> None:
        raise BrokenPipeError

    with pytest.raises(SystemExit):
        command(body)()
    assert capfd.readouterr().err == ""


def test_one_lab_that_does_not_go_leaves_none_of_the_others(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(_: object, lab: str, *, orphans: bool) -> list[str]:
        if lab == "one":
            raise SideError("it would not go", hint="look")
        if lab == "two":
            raise PermissionError(errno.EACCES, "Permission denied", "/kept")
        return ["a network"]

    monkeypatch.setattr(labs, "labs", lambda _: ["one", "two", "three"])
    monkeypatch.setattr(labs, "down", down)
    with pytest.raises(SystemExit) as ended:
        tasks.down(Context(), all_=True, yes=True)
    out, err = capsys.readouterr()
    assert ended.value.code == 1
    assert "lab three: removed 1 things" in out
    assert [line for line in err.splitlines() if line.startswith("error")] == [
        "error: it would not go",
        "error: /kept: Permission denied",
    ]


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
