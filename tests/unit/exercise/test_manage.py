"""The manage exercise on sides whose tools answer from a table: what it runs, takes back, and counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pairlab.errors import CommandError, ExerciseError
from pairlab.exercise import Declaration, Log, _fleet, manage
from pairlab.exercise import _manage_figures as plan
from pairlab.exercise.manage import NOTE, LabExercise
from pairlab.model import Operation, SideName
from stacks.pair import WEB
from tests.unit.exercise.stack_worlds import Reader, log_of
from tests.unit.host.answering_runner import AnsweringRunner


class Tool(AnsweringRunner):
    """Answers every command with two lines; `export` lays a file down where it was told to."""

    def __init__(self, failing: str = "", unwritten: str = "", limit: str = "64") -> None:
        super().__init__({"tool": "one\ntwo\n", "tool ask": f"limit {limit}\n", "other": "one\n"})
        self.unwritten = unwritten
        if failing:
            self.answers[failing] = 1

    def run(self, argv: Any, **options: Any) -> Any:
        if "export" in argv:
            file = Path(argv[-1])
            file.write_text("" if file.name == self.unwritten else "x" * 1024**2)
        return super().run(argv, **options)


@dataclass
class FakeSide:
    name: SideName
    tool: Tool
    unknown: str = ""
    inside: str = NOTE

    def operations(self, index: int, folder: Path, *, tier: str = "") -> Mapping[str, Operation]:
        assert (folder / "note").read_text() == NOTE
        known = {name: Operation(("tool", name, "it")) for name in plan.OPERATIONS if name != self.unknown}
        known["pause"] = Operation(("tool", "pause"), undo=(("tool", "go on"), ("tool", "look")))
        disk, kernel = folder / "disk", folder / "kernel"
        known["limit"] = Operation(("tool", "limit", "64"), asked=("tool", "ask"), told="limit 64")
        known["export"] = Operation(
            ("tool", "export", str(disk)),
            then=(("tool", "export", str(kernel)),),
            files=(disk, kernel),
            declared="a recipe",
        )
        known["shell"] = Operation(("other", "--key", "long"), shown="other uname")
        if self.name is SideName.VM:
            known["log"] = Operation(("other", "--key", "log"), shown="other journal")
            known["events"] = Operation(cannot="nothing is kept")
        return known

    def host(self) -> Tool:
        return self.tool

    def runner(self, index: int, *, tier: str = "", admin: bool = False) -> AnsweringRunner:
        return AnsweringRunner({"cat /tmp/pairlab-note": self.inside})


@dataclass
class FakeLab:
    name: str = "dev"
    workload: Any = WEB
    declared: Declaration = field(default_factory=lambda: Declaration(1, 1))
    sides: dict[SideName, FakeSide] = field(
        default_factory=lambda: {name: FakeSide(name, Tool()) for name in SideName}
    )

    def port(self, side: SideName) -> int:
        return 1 if side is SideName.VM else 2


@pytest.fixture(autouse=True)
def visits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """A front door that always answers, by one instance and then by the other; what it was asked for."""
    asked: list[tuple[int, str]] = []

    def probe(port: int, path: str) -> Any:
        asked.append((port, path))
        return SimpleNamespace(instance=f"{'vm' if port == 1 else 'container'}/{len(asked) % 2}")

    @contextmanager
    def client(port: int, path: str) -> Iterator[Any]:
        yield SimpleNamespace(await_good=lambda count: None)

    monkeypatch.setattr(manage, "Client", client)
    monkeypatch.setattr(_fleet, "probe", probe)
    return asked


def run(lab: FakeLab) -> tuple[Log, Reader]:
    reader = Reader()
    log = log_of("manage", reader)
    exercise = LabExercise(lab, log)  # type: ignore[arg-type]
    exercise.prepare()
    exercise.repetition(0)
    return log, reader


def samples(log: Log, figure: str) -> dict[str, float]:
    return {s.variant: s.value for s in log.samples if s.figure == figure}


def test_an_instance_whose_log_is_read_was_asked_for_its_page(visits: list[tuple[int, str]]) -> None:
    run(FakeLab())
    assert visits == [(1, "/"), (1, "/"), (2, "/"), (2, "/")]


def test_every_operation_is_done_counted_and_told() -> None:
    log, reader = run(FakeLab())
    assert reader.read == ["look", "reach", "change", "carry"]
    assert samples(log, "possible") == {"vm": 11, "container": 12}
    assert samples(log, "tools") == {"vm": 2, "container": 2}
    assert samples(log, "declared") == {"vm": 1, "container": 1}
    assert samples(log, "lines-list") == {"vm": 2, "container": 2}
    assert samples(log, "lines-shell") == {"vm": 1, "container": 1}
    assert samples(log, "lines-log") == {"vm": 1, "container": 2}
    assert all(value >= 0 for value in samples(log, "time-pause").values())
    assert samples(log, "time-events").keys() == {"container"}
    assert samples(log, "lines-export") == {"vm": 4, "container": 4}
    found = {(f.variant, f.question): f for f in log.findings}
    assert found["vm", plan.how("log")].answer == "other journal"
    assert found["vm", plan.how("events")].verdict == "cannot"
    assert found["vm", plan.how("shell")].answer == "other uname"
    assert found["vm", plan.how("export")].answer == "tool export ./disk && tool export ./kernel: 2.0 MiB"
    assert found["vm", plan.whether_declared("export")].verdict == "yes"
    assert found["vm", plan.whether_declared("pause")].verdict == "fact"


def test_what_was_done_is_taken_back_in_order_and_also_when_it_failed() -> None:
    lab = FakeLab()
    run(lab)
    asked = lab.sides[SideName.VM].tool.lines()
    at = asked.index("tool pause")
    assert asked[at : at + 3] == ["tool pause", "tool go on", "tool look"]
    broken = FakeLab()
    broken.sides[SideName.CONTAINER].tool = Tool(failing="tool pause")
    with pytest.raises(CommandError):
        run(broken)
    assert broken.sides[SideName.CONTAINER].tool.lines()[-2:] == ["tool go on", "tool look"]


def test_what_did_not_really_happen_is_no_measurement() -> None:
    lab = FakeLab()
    lab.sides[SideName.VM].inside = ""
    with pytest.raises(ExerciseError, match="copied to the vm side is not there"):
        run(lab)
    empty = FakeLab()
    empty.sides[SideName.CONTAINER].tool = Tool(unwritten="kernel")
    with pytest.raises(ExerciseError, match="the container side's image are missing or empty: kernel"):
        run(empty)
    unheard = FakeLab()
    unheard.sides[SideName.VM].tool = Tool(limit="128")
    with pytest.raises(ExerciseError, match="after `tool limit 64` the vm side tells another limit"):
        run(unheard)


def test_both_sides_say_how_they_do_the_same_operations() -> None:
    lab = FakeLab()
    lab.sides[SideName.VM].unknown = "inspect"
    with pytest.raises(
        ExerciseError, match="the vm side does not say how it does the same operations: inspect"
    ):
        run(lab)


def test_the_steps_hold_every_operation_once() -> None:
    done = [*manage.LOOK, *manage.REACH, *manage.CHANGE, *manage.CARRY]
    assert sorted(done) == sorted(plan.OPERATIONS)
    assert len(done) == 12
