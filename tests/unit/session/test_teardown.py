"""Taking a lab down whose engine or daemons fail: what can be reached goes, and what is left is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pairlab.errors import ConflictError, EngineError, HostError, LabError, SideError, StateLockedError
from pairlab.model import Outcome, Settings, SideName, lab_dir, placeholder_spec, spec_file
from pairlab.session.exclusive import changing
from pairlab.session.spec import record_spec
from pairlab.session.teardown import down
from pairlab.session.workbench import Workbench
from pairlab.side import kind_of, load

Failure = Callable[[], LabError]


def away() -> LabError:
    return HostError("Docker does not answer at ssh://gone", hint="look at it")


def broken() -> LabError:
    return EngineError("lab 'dev': unexpected end of JSON input", hint="mend it")


def locked() -> LabError:
    return StateLockedError("locked", hint="lab.unlock")


class Bench:
    """A lab with a VM and a container, behind an engine and daemons that may fail."""

    def __init__(
        self, failure: Failure | None = None, away: Failure | None = None, *, drops: bool = True
    ) -> None:
        self.told: list[str] = []
        self.progress = self.told.append
        self.settings: list[Settings] = []
        self.dropped: list[str] = []
        self.pending: list[tuple[str, str]] = []
        self.discarded: dict[SideName, set[str]] = {}
        self._failure, self._away, self._drops = failure, away, drops

    def engine(self, settings: Settings) -> Any:
        self.settings.append(settings)
        return self

    def clear_pending(self, _: str) -> list[tuple[str, str]]:
        return self.pending

    def destroy(self, _: str, progress: Any) -> Outcome | None:
        if self._failure:
            raise self._failure()
        return None

    def drop_state(self, lab: str) -> bool:
        self.dropped.append(lab)
        return self._drops

    def side(self, lab: str, name: SideName, settings: Settings | None = None) -> Any:
        def sweep(progress: Any) -> list[str]:
            if name is SideName.CONTAINER and self._away:
                raise self._away()
            return [f"a {name} of {lab}"]

        def discard(names: set[str], progress: Any) -> None:
            self.discarded[name] = names

        package = load(kind_of(name)).package  # type: ignore[attr-defined]
        return SimpleNamespace(package=package, sweep=sweep, discard=discard, close=lambda: None)

    def down(self, *, orphans: bool) -> list[str]:
        return down(cast(Workbench, self), "dev", orphans=orphans)


@pytest.fixture(autouse=True)
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lab has records here."""
    monkeypatch.setenv("PAIRLAB_STATE", str(tmp_path))
    lab_dir("dev").mkdir(parents=True)
    record_spec(placeholder_spec("dev", Settings(docker_host="ssh://gone"), lambda *_: []), [])


@pytest.mark.parametrize("bench", [Bench(broken), Bench(away), Bench(None, away)])
def test_an_engine_or_a_daemon_that_fails_leaves_the_records_and_says_how_to_go_on(bench: Bench) -> None:
    with pytest.raises(LabError) as told:
        bench.down(orphans=False)
    assert told.value.hint.count("lab.down --lab dev --orphans") == 1
    assert bench.dropped == []
    assert lab_dir("dev").is_dir()


def test_with_orphans_all_that_can_be_reached_goes_without_the_engine() -> None:
    bench = Bench(broken)
    by_sides = ["a vm of dev", "a container of dev"]
    assert bench.down(orphans=True) == ["its state", *by_sides, "its keys and records"]
    assert bench.dropped == ["dev"]
    assert bench.told == [f"going on without the engine: {broken().message}"]
    assert not lab_dir("dev").exists()


@pytest.mark.parametrize("failure", [away, None])
def test_with_orphans_one_side_goes_while_the_others_daemon_is_gone(failure: Failure | None) -> None:
    bench = Bench(failure, away)
    with pytest.raises(SideError, match=r"gone but for what its container side has .*ssh://gone") as told:
        bench.down(orphans=True)
    assert "removed: a vm of dev" in told.value.details
    assert "org.pairlab.lab=dev" in told.value.hint
    assert bench.dropped == ["dev"] * (failure is not None)
    assert not lab_dir("dev").exists()


def test_a_state_that_no_files_hold_is_told_as_left() -> None:
    with pytest.raises(SideError, match="its state, which `pulumi stack rm --force"):
        Bench(broken, drops=False).down(orphans=True)


@pytest.mark.parametrize("orphans", [True, False])
def test_what_another_run_is_at_work_on_stays(orphans: bool) -> None:
    bench = Bench(locked)
    with pytest.raises(StateLockedError, match="locked") as told:
        bench.down(orphans=orphans)
    assert told.value.hint == "lab.unlock"
    with changing("dev", "lab.up"), pytest.raises(ConflictError, match=r"process \d+ runs lab\.up"):
        bench.down(orphans=orphans)
    assert bench.dropped == []
    assert lab_dir("dev").is_dir()


def test_a_lab_whose_record_cannot_be_read_goes_by_what_can_be_read() -> None:
    damaged = spec_file("dev").read_text().replace('"front_door"', '"old_door"')
    spec_file("dev").write_text(damaged)
    bench = Bench()
    assert bench.down(orphans=False)[-1] == "its keys and records"
    assert bench.settings[0].docker_host == "ssh://gone"


def test_what_a_killed_run_had_begun_is_cleared_away_by_the_side_that_made_it() -> None:
    bench = Bench()
    bench.pending = [("libvirt:index/volume:Volume", "disk"), ("docker:index/network:Network", "net")]
    bench.down(orphans=False)
    assert bench.told == ["an earlier run was cut off while creating disk, net"]
    assert bench.discarded == {SideName.VM: {"disk"}, SideName.CONTAINER: {"net"}}
