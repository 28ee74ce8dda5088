"""Speeds in the hybrid exercise: the same programs in all four, with stand-ins for them and the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from stack_worlds import Reader, log_of
from test_overhead import FakeSide, Inside, tools

from pairlab.exercise import ContainerArchive, Log, _hybrid_speed, _overhead_place
from pairlab.exercise import _hybrid_figures as plan
from pairlab.exercise._guest_engine import EachInContainer, GuestEngine
from pairlab.exercise._hybrid_look import Nest
from pairlab.exercise._hybrid_speed import compare_speeds
from pairlab.model import SideName, Tools
from pairlab.run import Completed, LocalRunner
from tests.unit.host.answering_runner import AnsweringRunner

IMAGE = "ab" * 32


@dataclass
class Engine(Inside):
    """A VM whose engine runs each command as its host would."""

    started: list[list[str]] = field(default_factory=list[list[str]])

    def run(self, argv: Sequence[str], **options: Any) -> Completed:
        if argv[0] != "podman":
            return super().run(argv, **options)
        words = list(argv)
        self.started.append(words)
        after = words.index(IMAGE)
        env = dict(words[n + 1].split("=", 1) for n, word in enumerate(words[:after]) if word == "--env")
        cwd = Path(words[words.index("--workdir") + 1]) if "--workdir" in words else None
        program = [words[words.index("--entrypoint") + 1], *words[after + 1 :]]
        return super().run(program, **options, cwd=cwd, env=env)


@dataclass
class NestedLab:
    programs: Tools
    inner: Inside
    sides: dict[SideName, FakeSide]

    def tools(self) -> Tools:
        return self.programs

    def machine(self) -> Inside:
        return self.inner


@dataclass
class World:
    """All that is nested, on this machine."""

    lab: NestedLab
    engine: Engine

    def compare(self) -> tuple[list[str], Log]:
        log = log_of("hybrid", Reader())
        image = ContainerArchive(Path("image.tar"), IMAGE)
        nest = Nest(self.lab, 1, GuestEngine(self.engine), image)  # type: ignore[arg-type]
        return compare_speeds(nest, log), log


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(_hybrid_speed, "IN_MEMORY", str(tmp_path))
    sides = {
        SideName.VM: FakeSide(SideName.VM, Inside("vm-0", slow=True)),
        SideName.CONTAINER: FakeSide(SideName.CONTAINER, Inside("host")),
    }
    return World(NestedLab(tools(tmp_path), Inside("machine", slow=True), sides), Engine("vm-1", slow=True))


def test_the_same_programs_run_in_all_four_and_are_held_against_the_host(world: World) -> None:
    lines, log = world.compare()
    assert len(lines) == len(plan.SPEEDS) == 5
    values = {(s.figure, s.variant): s.value for s in log.samples}
    for speed, share in zip(plan.SPEEDS, plan.SHARES, strict=True):
        assert {variant for figure, variant in values if figure == speed.key} == {
            v.key for v in plan.VARIANTS
        }
        assert {variant for figure, variant in values if figure == share.key} == {v.key for v in plan.FOUR}
    assert values["integer-share", "container"] == pytest.approx(100)
    for variant in ("vm", "container-in-vm", "vm-in-container"):
        assert values["integer-share", variant] == pytest.approx(10), variant
    folders = [*world.engine.folders, *world.lab.inner.folders]
    folders += [folder for side in world.lab.sides.values() for folder in side.inside.folders]
    assert len(folders) == 4
    assert not [folder for folder in folders if Path(folder).exists()]


def test_each_command_is_a_container_that_goes_and_reaches_nothing(world: World) -> None:
    world.compare()
    (folder,) = world.engine.folders
    assert len(world.engine.started) >= len(plan.SPEEDS)
    for words in world.engine.started:
        assert words[:3] == ["podman", "run", "--rm"]
        assert words[words.index("--network") + 1] == "none"
        assert [words[n + 1] for n, word in enumerate(words) if word == "--volume"] == [f"{folder}:{folder}"]
        assert "--privileged" not in words


def test_what_a_container_is_given_goes_in(tmp_path: Path) -> None:
    admin = AnsweringRunner({"podman run": "said"})
    runner = EachInContainer(admin, IMAGE, "/dev/shm/x")  # type: ignore[arg-type]
    assert runner.run(["sh", "-c", "cat"], input_text="in", env={"A": "b c"}, cwd=tmp_path).stdout == "said"
    (line,) = admin.lines()
    assert f"--interactive --env A=b c --workdir {tmp_path} --entrypoint sh {IMAGE} -c cat" in line


def test_what_is_elsewhere_cannot_be_compared(world: World) -> None:
    world.lab.sides[SideName.VM].far = True
    lines, log = world.compare()
    assert (lines, log.samples) == ([], [])
    told = {(each.variant, each.verdict) for each in log.findings}
    assert told == {(variant.key, "cannot") for variant in plan.FOUR}


def test_programs_that_differ_are_no_comparison(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter("aaaba")
    monkeypatch.setattr(_overhead_place, "digest", lambda *_: next(found))
    with pytest.raises(Exception, match="not the same files in every place"):
        world.compare()
    assert LocalRunner().run(["ls", *world.engine.folders], check=False).returncode != 0
