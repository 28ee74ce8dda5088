"""Risky system calls: that they are made as written down, and whose kernel they are said to reach."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Any

import pytest

from pairlab.errors import ExerciseError
from pairlab.exercise import _isolation_calls as probed
from pairlab.exercise import _isolation_figures as plan
from pairlab.exercise._isolation_place import SYSCALLS, Place
from pairlab.exercise.isolation import PROBES, LabExercise
from pairlab.run import LocalRunner
from tests.unit.host.answering_runner import AnsweringRunner

NO_CALL = 99999
"""A number that no machine has a system call for."""
MIXED = {"mount": "EPERM", "bpf": "ENOSYS", "ptrace": "ESRCH", "keyctl": "EOPNOTSUPP", "acct": ""}


def place(calls: Mapping[str, str], *, own_kernel: bool = False) -> Place:
    nobody: Any = AnsweringRunner()
    return Place(
        plan.CONTAINER_ADMIN,
        "container/0",
        True,
        nobody,
        nobody,
        own_kernel,
        frozenset(),
        not own_kernel,
        calls,
    )


def test_about_twenty_calls_have_a_number_and_words() -> None:
    assert len(probed.RISKY) >= 20
    assert probed.RISKY.keys() <= SYSCALLS.keys()
    assert all(probed.RISKY.values())
    # With these, nothing at all would be switched off or restarted.
    assert probed.RISKY["acct"] != (0,)
    assert probed.RISKY["reboot"] == (0, 0, 0, 0)


def test_each_call_is_made_by_its_number_and_its_error_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probed, "SYSCALLS", dict.fromkeys(probed.RISKY, NO_CALL))
    assert probed.make_calls(LocalRunner()) == dict.fromkeys(probed.RISKY, "ENOSYS")

    def refuse(argv: tuple[str, ...]) -> str:
        assert argv[3:] == tuple(",".join(map(str, (NO_CALL, *words))) for words in probed.RISKY.values())
        return f"{errno.EPERM}\n0\n" + f"{errno.EFAULT}\n" * (len(probed.RISKY) - 2)

    assert [*probed.make_calls(AnsweringRunner({"perl": refuse})).values()][:3] == ["EPERM", "", "EFAULT"]


def test_calls_of_which_some_were_not_made_are_an_error() -> None:
    with pytest.raises(ExerciseError, match="of 21 system calls 2 told"):
        probed.make_calls(AnsweringRunner({"perl": "1\n1\n"}))


def test_what_is_refused_for_who_makes_it_reaches_no_kernel() -> None:
    assert probed.reaching(MIXED) == ["ptrace", "keyctl", "acct"]
    tried = probed.system_calls(place(MIXED))
    assert tried.verdict == "no"
    assert "3 reached this host's kernel (ptrace, keyctl, acct), 2 were refused" in tried.answer
    assert "(mount, bpf); a filter decides about each first. Held by: nobody" in tried.answer


def test_a_kernel_of_its_own_is_all_that_calls_reach() -> None:
    tried = probed.system_calls(place(MIXED, own_kernel=True))
    assert (tried.verdict, "its own kernel" in tried.enforcer) == ("yes", True)
    assert "3 reached its own kernel" in tried.happened
    strict = probed.system_calls(place({"mount": "EPERM"}))
    assert (strict.verdict, strict.enforcer.startswith(plan.HOST_KERNEL)) == ("yes", True)


def test_counts_of_probes_name_what_they_are_of_and_which() -> None:
    crossed = next(cell for cell in LabExercise.summary if cell.figure == plan.CROSSED.key)
    assert crossed.label == f"probes that crossed the boundary, of {PROBES}"
    assert plan.WHICH_CROSSED in {cell.question for cell in LabExercise.summary}
    asked = ["the network: a?", "mounting: safe?", "the network: b?"]
    assert plan.topics(asked) == "the network (2), mounting"
    assert plan.topics([]) == ""
