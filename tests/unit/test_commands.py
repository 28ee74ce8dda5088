"""Command lines as invoke reads them: what is refused, with the next step, and what is passed on."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from invoke.program import Program

import tasks
from pairlab.model import Accelerator, Outcome, lab_dir
from pairlab.session import access, exercises, host, images
from pairlab.session import lab as labs
from pairlab.session.status import LabStatus

Invoke = Callable[..., int]


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Invoke]:
    """Runs a command line of pairlab, whose state, cache and data are empty; returns its exit status."""
    for name in ("STATE", "CACHE", "DATA"):
        monkeypatch.setenv(f"PAIRLAB_{name}", str(tmp_path / name.lower()))
    for name in ("CI", "PULUMI_BACKEND_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pairlab.session.settings.ROOT", tmp_path)
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {}")
    before = sys.dont_write_bytecode

    def run(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["invoke", *words])
        try:
            Program(namespace=tasks.ns).run()
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0

    yield run
    sys.dont_write_bytecode = before  # invoke sets it


@pytest.fixture
def taken_down(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the labs that were taken down."""
    names: list[str] = []

    def down(_: object, lab: str, *, orphans: bool) -> list[str]:
        names.append(lab)
        return []

    monkeypatch.setattr(labs, "down", down)
    return names


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("nosuch", "'nosuch'"),
        ("lab.status --nosuch", "'--nosuch'"),
        ("lab.shell", "'instance'"),
        ("report.compare patch", "'b'"),
        ("lab.logs vm/0 --lines abc", "--lines takes a whole number, not 'abc'"),
        ("lab.logs vm/0 --lines=-1", "--lines takes a whole number, not '-1'"),
        ("exercise.run patch --repeat abc", "--repeat takes a whole number, not 'abc'"),
        ("exercise.run patch --all", "patch and --all exclude each other"),
        ("exercise.run patch --step --json", "--step and --json exclude each other"),
        ("lab.up --vms 3 --set vms=1", "vms is set twice: 3 and 1"),
        ("lab.up --set vmCpus=1 --set vmCpus=2", "vmCpus is set twice: 1 and 2"),
        ("lab.down --lab dev --all --yes", "--lab and --all exclude each other"),
        ("lab.down --lab typo --yes", "there is no lab 'typo'"),
        ('test --only "it\'s"', "not well quoted: No closing quotation"),
        ('test.deep --only "it\'s"', "not well quoted: No closing quotation"),
        ("lab.exec vm/0", "'command'"),
        ("lab.exec vm/0 ls -la", "the command is not one word: ls -la"),
        ("lab.exec vm/0 ls -l", "the command is not one word: ls -l"),
        ("lab.exec vm/0 ls --all /tmp", "the command is not one word: ls --all /tmp"),
    ],
)
def test_bad_usage_is_refused_with_a_next_step(
    line: str, told: str, invoke: Invoke, taken_down: list[str], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for module, name in ((host, "setup"), (exercises, "run"), (access, "execute"), (access, "logs")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("something is done"))
    status = invoke(*shlex.split(line))
    out, err = capsys.readouterr()
    assert status == 2, err
    assert out == ""
    assert err.startswith("error: ")
    assert told in err
    assert "\n  next: " in err
    assert taken_down == []


@pytest.mark.parametrize(
    "words",
    [
        ["--", "sh", "-c", "echo 'a b'; exit 7"],
        ["sh -c \"echo 'a b'; exit 7\""],
        ["sh -c \"echo 'a b'; exit 7\"", "--lab", "three"],
    ],
)
def test_a_command_is_one_word_or_stands_after_two_dashes(
    words: list[str], invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[Any] = []

    def execute(_: object, lab: str, instance: str, command: str, on_line: object) -> int:
        ran.append((lab, instance, shlex.split(command)))
        return 7

    monkeypatch.setattr(access, "execute", execute)
    assert invoke("lab.exec", "vm/0", *words) == 7
    lab = "three" if "three" in words else tasks.DEFAULT_LAB
    assert ran == [(lab, "vm/0", ["sh", "-c", "echo 'a b'; exit 7"])]


def test_numbers_are_passed_on_as_such(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    monkeypatch.setattr(access, "logs", lambda *_, lines, **__: given.append(lines))
    assert [invoke("lab.logs", "vm/0"), invoke("lab.logs", "vm/0", "--lines", "5")] == [0, 0]
    assert given == [100, 5]


def test_a_lab_is_taken_down_that_anything_knows_or_whose_remains_are_meant(
    invoke: Invoke, taken_down: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lab_dir("recorded").mkdir(parents=True)
    state = tmp_path / "state/pulumi/.pulumi/stacks/pairlab"
    state.mkdir(parents=True)
    (state / "stated.json").write_text("{}")
    assert invoke("lab.down", "--lab", "lost", "--yes") == 2
    told = "known labs: dev, recorded, stated; `invoke lab.down --lab lost --orphans`"
    assert told in capsys.readouterr().err
    for words in (["dev"], ["dev"], ["recorded"], ["stated"], ["lost", "--orphans"]):
        assert invoke("lab.down", "--yes", "--lab", *words) == 0
    assert taken_down == ["dev", "dev", "recorded", "stated", "lost"]


def test_who_answers_no_is_told_that_all_stays(
    invoke: Invoke, taken_down: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "_confirm", lambda yes: lambda question: False)
    monkeypatch.setattr(images, "prune_images", lambda _: pytest.fail("images are removed"))
    assert invoke("lab.down", "--lab", "dev") == 0
    assert invoke("image.prune") == 0
    assert capsys.readouterr().out == "lab dev: it stays\nall images stay\n"
    assert taken_down == []


@pytest.mark.parametrize("json", [[], ["--json"]])
def test_a_side_that_cannot_be_asked_is_shown_and_fails_the_command(
    json: list[str], invoke: Invoke, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    problems: list[str] = []
    found = LabStatus("dev", Accelerator.KVM, [], [], ["vm/0 is paused"], problems)
    monkeypatch.setattr(access, "status", lambda *_: found)
    assert invoke("lab.status", *json) == 0
    problems.append("vm: libvirtd does not answer")
    capsys.readouterr()
    assert invoke("lab.status", *json) == 1
    shown = capsys.readouterr().out
    assert "vm/0 is paused" in shown
    assert "libvirtd does not answer" in shown


def test_a_preview_gets_the_pulumi_cli_once_its_settings_are_right(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def preview(*_: object) -> Outcome:
        done.append("shown")
        return Outcome([], 0.0, 0.0)

    monkeypatch.setattr(host, "get_cli", lambda *_: done.append("got"))
    monkeypatch.setattr(labs, "preview", preview)
    assert invoke("lab.preview", "--lab", "dev", "--vms", "-1") == 2
    assert done == []
    assert invoke("lab.preview", "--lab", "dev") == 0
    assert done == ["got", "shown"]
