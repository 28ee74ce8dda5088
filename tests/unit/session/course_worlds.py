"""A lab in memory, and exercises on it that fail, are interrupted or end when a test wants them to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pairlab.circumstances import Environment, RunSet
from pairlab.errors import LabError
from pairlab.exercise import Declaration, Log
from pairlab.model import SideName
from pairlab.results import Conclusion, Figure, RunResult, Variant
from pairlab.session.course import Course, Ran
from pairlab.session.resume import Planned
from tests.report_worlds import environment

READY = Figure(key="ready", title="Ready", unit="s", method="From the request to the first good answer.")
VARIANTS = [Variant(key=side, title=f"the {side}", side=side) for side in SideName]
SET = RunSet(id="20261125T020000Z-trial", exercises=["one", "two", "three"], repeat=None)


@dataclass
class FakeLive:
    """A lab that does what it is told, and writes that down."""

    done: list[str]
    name: str = "trial"
    configured: Declaration = field(default_factory=lambda: Declaration(1, 1))

    def await_commands(self) -> None:
        """Commands can be run at once."""

    def put_back(self) -> None:
        self.done.append("put back")


@dataclass
class FakeStage:
    """A lab to be: another run may have taken its name, and it may fail to come up or to be restored."""

    name: str = "trial"
    done: list[str] = field(default_factory=list)
    broken: LabError | None = None
    taken: LabError | None = None
    broken_up: LabError | None = None
    surroundings: Environment = field(default_factory=environment)

    def up(self, on_created: Callable[[], None]) -> None:
        if self.taken:
            raise self.taken
        on_created()
        self.done.append("up")
        if self.broken_up:
            raise self.broken_up

    def down(self) -> None:
        self.done.append("down")

    def live(self) -> Any:
        return FakeLive(self.done)

    def environment(self) -> Environment:
        return self.surroundings

    def restore(self) -> None:
        self.done.append("restore")
        if self.broken:
            raise self.broken


Trouble = Callable[[], BaseException]


class Script:
    """What exercises do: (exercise, repetition) -> what it raises once, in the middle of its samples."""

    def __init__(self, trouble: Mapping[tuple[str, int], Trouble] | None = None) -> None:
        self.trouble = dict(trouble or {})
        self.ran: list[tuple[str, int]] = []
        self.worked_on = "the same as ever"
        self.titled = ""

    def load(self, name: str) -> Any:
        """Takes the place of `exercise.load`."""
        script = self

        class Made:
            title, question, section, repeat = name.capitalize(), "How?", "A section", 3
            is_long = name == "two"
            vms = replicas = 1
            figures: ClassVar[Sequence[Figure]] = [READY]
            variants: Sequence[Variant] = VARIANTS
            summary: ClassVar[Sequence[Any]] = []
            example: ClassVar[Mapping[str, Any]] = {}

            def __init__(self, lab: Any, log: Log) -> None:
                self.log = log
                if script.titled:
                    self.variants = [v.model_copy(update={"title": script.titled}) for v in VARIANTS]

            def prepare(self) -> str:
                with self.log.doing(VARIANTS[0]):
                    self.log.finding("told in the beginning?", "yes", "fact")
                return script.worked_on

            def repetition(self, number: int) -> None:
                script.ran.append((name, number))
                for variant in VARIANTS:
                    with self.log.doing(variant):
                        self.log.sample(READY, float(number))
                        if trouble := script.trouble.pop((name, number), None):
                            raise trouble()

            def conclude(self, result: RunResult) -> list[Conclusion]:
                return [Conclusion(text=f"{len(result.samples)} samples", carried=True, basis="")]

        return Made


@dataclass
class Trial:
    """Runs courses on one fake lab, with results in one folder."""

    out: Path
    script: Script
    stage: FakeStage = field(default_factory=FakeStage)
    told: list[str] = field(default_factory=list)

    @property
    def elsewhere(self) -> Path:
        """What ran on another machine."""
        return self.out.with_name("elsewhere")

    def run(self, planned: Sequence[Planned], *, ephemeral: bool = True, run_set: RunSet = SET) -> Ran:
        course = Course(
            self.stage, run_set, planned, self.out, [self.out], self.elsewhere, self.told.append, _Nobody()
        )
        return course.run(ephemeral=ephemeral)


class _Nobody:
    def before(self, section: Any) -> None:
        """Nobody waits."""

    def after(self, section: Any, changes: list[str]) -> None:
        """Nobody reads."""
