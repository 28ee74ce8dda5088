"""What is shown while an exercise runs: the guide's steps, and both sides' requests."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from pairlab.exercise._guide import Section
from pairlab.exercise._log import Log
from pairlab.model import SideName
from pairlab.report import progress
from tests.hostile_texts import TERMINAL

SECTION = Section(
    "vm-in-place",
    "Patch the VMs in place",
    "The administrator's way.\n\n```console\n$ invoke lab.exec vm/0 'sudo apt-get update'\n```",
)
LEFT = ["patch: 50 s so far, about 1 min 10 s left: as earlier runs took", "exercise 1 of 2; unknown left"]


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    target = io.StringIO()
    monkeypatch.setattr(progress, "Console", lambda **_: Console(file=target, width=100))
    return target


def log(variant: str = "", step: str = "") -> Log:
    made = Log(
        lambda _: {"vm-in-place": SECTION}, SimpleNamespace(before=lambda _: None), print, lambda: None
    )
    made.variant, made.step_title = variant, step
    return made


def test_a_step_is_taught_with_its_command_before_and_told_after(printed: io.StringIO) -> None:
    guide = progress.Guide()
    guide.before(SECTION)
    guide.after(SECTION, ["vm/0 serves 2 after 3.1 s"])
    text = printed.getvalue()
    assert text.index("Patch the VMs in place") < text.index("The administrator's way.")
    assert "invoke lab.exec vm/0 'sudo apt-get update'" in text
    assert text.rstrip().endswith("vm/0 serves 2 after 3.1 s")


def test_on_a_terminal_the_guide_waits_for_enter(
    printed: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(progress.sys, "stdin", SimpleNamespace(isatty=lambda: True))
    guide = progress.Guide()
    monkeypatch.setattr(guide._console, "input", lambda prompt: asked.append(prompt) or "")
    guide.before(SECTION)
    assert len(asked) == 1
    assert "Enter" in asked[0]


def test_what_changed_is_text_and_neither_markup_nor_a_terminals_command(printed: io.StringIO) -> None:
    progress.Guide().after(SECTION, [TERMINAL])
    assert "[red]not red[/red]" in printed.getvalue()
    assert "\x1b" not in printed.getvalue()


def test_both_sides_requests_and_the_step_are_shown(printed: io.StringIO) -> None:
    running = log("vm-rebuild", "Go back")
    running.answered[SideName.VM], running.failed[SideName.VM] = 41, 2
    Console(file=printed, width=100).print(progress._Now(running, "Patching", 3, lambda: LEFT))
    text = printed.getvalue()
    assert "Patching, repetition 1 of 3" in text
    assert [line for line in text.splitlines() if "left" in line] == LEFT
    assert "vm-rebuild  Go back" in text
    assert [line.split()[:3] for line in text.splitlines() if line.startswith(("vm ", "container"))] == [
        ["vm", "41", "2"],
        ["container", "0", "0"],
    ]


def test_where_there_is_no_terminal_the_lines_of_the_log_do(printed: io.StringIO) -> None:
    with progress.follow(log(), SimpleNamespace(title="Patching", repetitions=3), lambda: LEFT):
        pass
    assert printed.getvalue() == ""
