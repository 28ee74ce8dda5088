"""Setting the host up and back says what it will change, also where it does not ask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from answering_runner import AnsweringRunner

from pairlab.errors import UsageError
from pairlab.host.steps import Step
from pairlab.model import Settings
from pairlab.session import host
from pairlab.session.workbench import Workbench

PLACE = "/nowhere/cgroup"


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[str]) -> Workbench:
    monkeypatch.setenv("PAIRLAB_STATE", str(tmp_path / "state"))
    return Workbench(told.append, AnsweringRunner({"sudo": ""}), tmp_path / "cache")


def answering(answer: bool, told: list[str]) -> Callable[[str], bool]:
    """Answers a question, before which nothing is done."""

    def ask(question: str) -> bool:
        told.append(question)
        return answer

    return ask


def test_the_plan_is_told_before_it_is_agreed_to(
    bench: Workbench, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Step("x", "change x", lambda: False, lambda progress: progress("did x"), admin=False)
    monkeypatch.setattr(host, "plan", lambda *_: [step])
    assert host.setup(bench, Settings(), answering(True, told))
    said = ["setting this host up for labs will:", "  - change x", "set this host up for labs?"]
    assert told == [*said, "did x"]
    told.clear()
    with pytest.raises(UsageError, match="was not set up"):
        host.setup(bench, Settings(), answering(False, told))
    assert told == said


def test_what_is_undone_is_told_before_it_is_agreed_to(bench: Workbench, told: list[str]) -> None:
    ledger = bench.host(Settings()).ledger
    ledger.record("cgroups", PLACE)
    with pytest.raises(UsageError, match="nothing was undone"):
        host.undo_setup(bench, answering(False, told))
    assert told[-2:] == [f"  - unmount {PLACE}", "undo that?"]
    assert set(ledger.entries()) == {"cgroups"}
    (done,) = host.undo_setup(bench, answering(True, told))
    assert done.endswith("gone already")
    assert ledger.entries() == {}


def test_where_nothing_is_to_be_undone_nobody_is_asked(bench: Workbench, told: list[str]) -> None:
    assert host.undo_setup(bench, answering(False, told)) == []
    assert told == []
