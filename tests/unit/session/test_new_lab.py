"""A lab that must be new is this run's own before anything is built for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pairlab.errors import ConflictError, StateLockedError, UsageError
from pairlab.model import Settings, lab_dir, load_spec, placeholder_spec
from pairlab.session import lab as labs
from pairlab.session.exclusive import changing, removing_images, running_exercises
from pairlab.session.images import prune_images
from pairlab.session.spec import record_spec
from pairlab.session.workbench import Workbench

HELD = ConflictError("lab 'dev' is there already", hint="wait")


class Bench:
    """Tools with which nothing is on this host yet; what is built ends the test."""

    def __init__(self, held: ConflictError | None) -> None:
        self.done: list[str] = []
        self._held = held
        self.is_locked = False
        self.progress = self.done.append

    def engine(self, _: Settings) -> Any:
        return self

    def refuse_locked(self, _: str) -> None:
        if self.is_locked:
            raise StateLockedError("locked", hint="wait")

    def create(self, lab: str) -> None:
        if self._held:
            raise self._held
        self.done.append(f"created {lab}")

    def side(self, *_: Any) -> Any:
        return SimpleNamespace(leftovers=list, close=lambda: None)


@pytest.fixture(autouse=True)
def free_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAIRLAB_STATE", str(tmp_path))
    monkeypatch.setattr(labs, "check_conflicts", lambda *_: None)

    def build(bench: Any, *_: Any) -> Any:
        bench.done.append("built")
        raise KeyboardInterrupt

    monkeypatch.setattr(labs, "_make_spec", build)


def bring_up(bench: Bench) -> None:
    labs.bring_up(cast(Workbench, bench), "dev", Settings(), on_created=lambda: bench.done.append("ours"))


def test_it_is_made_before_anything_is_built() -> None:
    bench = Bench(None)
    with pytest.raises(KeyboardInterrupt):
        bring_up(bench)
    assert bench.done == ["created dev", "ours", "built"]


def test_one_that_another_run_made_is_left_alone() -> None:
    bench = Bench(HELD)
    with pytest.raises(ConflictError, match="there already"):
        bring_up(bench)
    lab_dir("dev").mkdir(parents=True)
    record_spec(placeholder_spec("dev", Settings(), lambda *_: []), [])
    assert load_spec("dev") is not None
    free = Bench(None)
    with pytest.raises(ConflictError, match="is up, and --ephemeral"):
        bring_up(free)
    assert bench.done == free.done == []


@pytest.mark.parametrize("early", [True, False])
def test_what_is_recorded_of_a_lab_stays_while_another_run_holds_its_state(
    early: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, before = Bench(None), placeholder_spec("dev", Settings(), lambda *_: [])
    lab_dir("dev").mkdir(parents=True)
    record_spec(before, [])
    bench.is_locked = early

    def build(*_: Any) -> Any:
        assert not early
        bench.is_locked = True
        return replace(before, settings=Settings(vms=3)), [], ""

    monkeypatch.setattr(labs, "_make_spec", build)
    with pytest.raises(StateLockedError):
        labs.up(cast(Workbench, bench), "dev", {})
    kept = load_spec("dev")
    assert kept is not None
    assert kept.settings.vms == before.settings.vms


def test_a_wrong_backend_is_refused_before_anything_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", "nowhere://x")
    with pytest.raises(UsageError, match="no address of a state backend"):
        labs.check("dev", {})


def test_of_two_commands_at_once_on_one_lab_the_second_is_refused(tmp_path: Path) -> None:
    bench = Bench(None)
    for holder, told in (
        (changing("dev", "lab.down"), r"process \d+ runs lab\.down on lab 'dev'"),
        (running_exercises("dev"), r"process \d+ runs exercises on lab 'dev'"),
        (removing_images(), r"process \d+ removes images"),
    ):
        with holder, pytest.raises(ConflictError, match=told):
            labs.up(cast(Workbench, bench), "dev", {})
    assert bench.done == []
    with changing("other", "lab.up"):
        with pytest.raises(ConflictError, match=r"process \d+ runs lab\.up on lab 'other'"):
            prune_images(Workbench(print, cache=tmp_path))
        with pytest.raises(KeyboardInterrupt):
            labs.up(cast(Workbench, bench), "dev", {})
    assert bench.done == ["built"]
