"""A login that began before its account joined the daemons' groups."""

from __future__ import annotations

import grp
import os

import pytest
from answering_runner import Answer, AnsweringRunner
from invoke.context import Context

import tasks
from pairlab.errors import HostError
from pairlab.host import groups
from pairlab.host.facts import HostReport, Row
from pairlab.host.groups import enter_groups, with_new_groups
from pairlab.session import host as session_host

LINE = ["python", "invoke", "lab.exec", "vm/0", "a b"]
ASKING_DAEMONS = (
    "up", "status", "shell", "exec_", "logs", "console", "down", "build", "prune", "run_exercise",
    "bench",
)  # fmt: skip


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What this process goes on as. Its account is in docker by the host's files, and itself not."""
    numbers, members = {"docker": 990, "libvirt": 991}, {"docker": ["bob", "ada"]}

    def look(name: str) -> grp.struct_group:
        return grp.struct_group((name, "x", numbers[name], members.get(name, [])))

    lines: list[list[str]] = []
    monkeypatch.setattr(groups, "account_name", lambda: "ada")
    monkeypatch.setattr(grp, "getgrnam", look)
    monkeypatch.setattr(os, "getegid", lambda: 1000)
    monkeypatch.setattr(os, "getgroups", lambda: [1000, 24])
    monkeypatch.setattr(os, "execvp", lambda file, line: lines.append(line))
    return lines


def test_the_same_command_goes_on_in_the_new_groups(executed: list[list[str]]) -> None:
    enter_groups(AnsweringRunner({"sudo": "1000 24 990\n"}), LINE)
    assert executed == [with_new_groups(LINE)]
    assert executed[0][:5] == ["sudo", "-n", "--preserve-env", "--user", "ada"]
    assert executed[0][-len(LINE) :] == LINE


@pytest.mark.parametrize(
    "answers", [{}, {"sudo": 1}, {"sudo": "1000 24\n"}], ids=["no sudo", "a password", "the same groups"]
)
def test_where_sudo_does_not_help_one_is_told_to_log_in_anew(
    executed: list[list[str]], answers: dict[str, Answer]
) -> None:
    with pytest.raises(HostError, match="ada has joined docker since this login began") as told:
        enter_groups(AnsweringRunner(answers), LINE)
    assert "log in anew" in told.value.hint
    assert executed == []


def test_who_is_in_already_or_no_member_goes_on_without_a_question(
    executed: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = AnsweringRunner()
    monkeypatch.setattr(os, "getgroups", lambda: [1000, 990])
    enter_groups(runner, LINE)
    monkeypatch.setattr(os, "getgroups", lambda: [1000])
    monkeypatch.setattr(groups, "account_name", lambda: "eve")
    enter_groups(runner, LINE)
    assert (runner.asked, executed) == ([], [])


def test_an_account_without_a_name_is_told_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 2**31 - 7)
    assert groups.account_name() == str(2**31 - 7)


def refused(*_: object) -> None:
    raise HostError("not let in", hint="log in anew")


@pytest.mark.parametrize("name", ASKING_DAEMONS)
def test_a_command_that_asks_daemons_enters_their_groups_before_anything_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(groups, "enter_groups", refused)
    with pytest.raises(SystemExit) as ended:
        getattr(tasks, name)(Context())
    assert ended.value.code == 1
    assert "not let in" in capsys.readouterr().err


def test_the_doctor_tells_that_it_is_not_let_in_and_all_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(groups, "enter_groups", refused)
    monkeypatch.setattr(session_host, "doctor", lambda *_: HostReport((Row("libvirt", False, "no rights"),)))
    with pytest.raises(SystemExit) as ended:
        tasks.doctor(Context())
    told = capsys.readouterr()
    assert ended.value.code == 1
    assert "not let in" in told.err
    assert "no rights" in told.out


def test_neither_root_nor_a_command_that_asks_no_daemon_looks_at_groups(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(groups, "enter_groups", refused)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    tasks.daemon_command(lambda: None)()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    tasks.schema(Context())
