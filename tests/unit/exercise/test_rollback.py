"""The rollback exercise on a lab in memory, at a real HTTP server: each way, and what it refuses."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from slow_server import Handler
from unguided_log import unguided_log

from pairlab.errors import EngineError, ExerciseError, HostError, RolledBackError, SideError
from pairlab.exercise import Declaration, Log, _rollback_ways
from pairlab.exercise import _rollback_figures as plan
from pairlab.exercise._client import Request
from pairlab.exercise._rollback_ways import NOTE_BEFORE, NOTE_SINCE, Beside, Kept, Rollout, Switched, Way
from pairlab.exercise.rollback import LabExercise, served
from pairlab.model import Instance, Outcome, SideName
from pairlab.results import Conclusion, Finding, RunResult, Sample
from pairlab.run import Completed
from pairlab.session.rollbacks import telling_rollbacks
from stacks.pair import WEB
from tests.report_worlds import patch_result

GOOD_IMAGE, BAD_IMAGE = "0123456789ab", "ba0ba0ba0ba0"
VM, CONTAINER = SideName.VM, SideName.CONTAINER


@dataclass
class MemoryInstance:
    """Its files, whether it is well, and what was kept of it."""

    files: set[str] = field(default_factory=set)
    well: bool = True
    image: str = GOOD_IMAGE
    kept: set[str] | None = None
    boot: str = field(default_factory=lambda: uuid.uuid4().hex)

    def run(self, argv: list[str], **_: Any) -> Completed:
        code, out = 0, ""
        if argv[0] == "bash":
            out = "200" if self.well else "500"
        elif argv[0] == "test":
            code = 0 if argv[-1] in self.files else 1
        elif argv[0] == "cat":
            out = f"{self.boot}\n1 (init) {'0 ' * 30}\n"
        elif argv[0] == "rm":
            self.files -= set(argv[2:])
        elif argv[:2] == ["date", "+%s.%N"]:
            out = "0"
        elif argv[0] == "sh":
            self.files.add(argv[-1])
        elif argv[:2] == ["systemctl", "restart"]:
            self.well = "/etc/nginx/nginx.conf" not in self.files
        return Completed(tuple(argv), code, out, "")


class MemorySide:
    supervisor = "Memory"
    keeps_memory = True

    def __init__(self, name: SideName) -> None:
        self.name = name
        self.there = [MemoryInstance(), MemoryInstance()]

    def runner(self, index: int, *, admin: bool = False) -> Any:
        return self.there[index]

    def instances(self) -> list[Instance]:
        return [Instance(self.name, n, "running", image=each.image) for n, each in enumerate(self.there)]

    def keep(self, index: int) -> None:
        if self.name is CONTAINER:
            raise SideError("container/0 cannot be kept", hint="")
        self.there[index].kept = set(self.there[index].files)

    def put_back(self, index: int) -> None:
        kept = self.there[index].kept
        assert kept is not None
        boot = self.there[index].boot if self.keeps_memory else "another"
        self.there[index] = MemoryInstance(kept, boot=boot)


@dataclass
class MemoryLab:
    """Enough of a lab for every way; a rollout is taken back when somebody has worked on meanwhile."""

    front_door: int
    name: str = "dev"
    workload: Any = WEB
    declared: Declaration = Declaration(2, 2)  # noqa: RUF009
    takes_back: bool = True
    switches: bool = True
    left: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sides: dict[SideName, Any] = {name: MemorySide(name) for name in SideName}

    def port(self, side: SideName) -> int:
        def answering() -> Iterator[str]:
            while True:
                for index in range(self.declared.count(side)):
                    if not self.switches or index not in self.declared.standby_vms:
                        yield Instance(side, index, "").name

        Handler.instances = answering()
        return self.front_door

    def broken_images(self) -> dict[SideName, str]:
        return dict.fromkeys(SideName, BAD_IMAGE)

    def broken_files(self) -> dict[str, str]:
        return {"/etc/nginx/nginx.conf": "bad"}

    def declare(
        self, declaration: Declaration, *, refresh: bool = False, commands: bool = True, ready: bool = True
    ) -> Outcome:
        self.declared = declaration
        well = set(range(declaration.vms)) - declaration.broken_vms - declaration.standby_vms
        Handler.status = 200 if well or not self.switches else 500
        if declaration.broken_containers and self.takes_back:
            raise RolledBackError("Memory took it back", hint="")
        vms = self.sides[VM].there
        del vms[declaration.vms :]
        while len(vms) < declaration.vms:
            assert not ready
            vms.append(MemoryInstance(well=len(vms) not in declaration.broken_vms, image=BAD_IMAGE))
        return Outcome([], 0.1, 0.2)

    def drift(self) -> list[str]:
        return self.left


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    monkeypatch.setattr(plan, "LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(plan, "WATCH_S", 0.2)
    monkeypatch.setattr(_rollback_ways, "UNDER_WAY", 5)
    return unguided_log("rollback")


def attempt(kind: type[Way], lab: Any, log: Log) -> tuple[dict[str, float], dict[str, str]]:
    """Go one way; returns figure -> sample, and question -> verdict."""
    exercise, way = LabExercise(lab, log), kind(lab, log)
    with log.doing(way.variant):
        exercise._try(way)
    return (
        {sample.figure: sample.value for sample in log.samples},
        {finding.question: finding.verdict for finding in log.findings},
    )


def test_an_orchestrator_goes_back_by_itself_and_the_declaration_is_put_right(port: int, log: Log) -> None:
    lab = MemoryLab(port, declared=Declaration(2, 2, at_once=True))
    measured, found = attempt(Rollout, lab, log)
    assert 0 < measured["good-again"] < 5
    assert "back" not in measured
    assert measured["failed"] == measured["served"] == 0
    assert found[plan.WHO] == "yes"
    assert found[plan.DECLARED] == "no"
    assert (found[plan.BEFORE], found[plan.SINCE], found[plan.DRIFT]) == ("yes", "yes", "yes")
    assert lab.declared == Declaration(2, 2)  # one after the other, whatever the lab's settings say
    assert not any(each.files & {NOTE_BEFORE, NOTE_SINCE} for each in lab.sides[CONTAINER].there)


def test_a_vm_that_is_put_back_knows_nothing_of_the_release_nor_of_anything_since(
    port: int, log: Log
) -> None:
    lab = MemoryLab(port)
    measured, found = attempt(Kept, lab, log)
    assert 0 < measured["back"] < measured["good-again"] < 5
    assert {"ready", "lost"} <= measured.keys()
    assert (found[plan.WHO], found[plan.PUTS_BACK]) == ("no", "yes")
    assert (found[plan.BEFORE], found[plan.SINCE]) == ("yes", "no")
    (since,) = (finding.answer for finding in log.findings if finding.question == plan.SINCE)
    assert since == "not in vm/0"
    assert lab.sides[VM].there[0].well
    assert lab.sides[VM].there[0].kept is None


def test_a_new_vm_beside_is_declared_away_and_the_others_keep_what_they_have(port: int, log: Log) -> None:
    lab = MemoryLab(port)
    lab.left = ["Domain vm-0: running differs"]
    measured, found = attempt(Beside, lab, log)
    assert 0 < measured["back"] < measured["good-again"] < 5
    assert (found[plan.WHO], found[plan.NEW_HAS]) == ("no", "no")
    assert (found[plan.BEFORE], found[plan.SINCE], found[plan.DRIFT]) == ("yes", "yes", "no")
    assert lab.declared == Declaration(2, 2)
    assert len(lab.sides[VM].there) == 2


def test_blue_green_moves_everybody_and_back_and_what_was_written_meanwhile_is_lost(
    port: int, log: Log
) -> None:
    lab = MemoryLab(port)
    declared: list[Declaration] = []
    declare = lab.declare
    lab.declare = lambda to, **how: (declared.append(to), declare(to, **how))[1]  # type: ignore[method-assign]
    measured, found = attempt(Switched, lab, log)
    assert [(sorted(each.standby_vms), each.vms) for each in declared] == [
        ([2, 3], 4), ([0, 1], 4), ([2, 3], 4), ([], 2),
    ]  # fmt: skip
    assert all(each.broken_vms == {2, 3} for each in declared[:3])
    assert 0 < measured["back"] < measured["good-again"] < 10
    assert measured["failed"] > 0
    assert measured["served"] > 0
    assert (found[plan.WHO], found[plan.NEW_HAS], found[plan.DECLARED]) == ("untried", "no", "yes")
    assert (found[plan.BEFORE], found[plan.SINCE]) == ("yes", "no")
    assert lab.declared == Declaration(2, 2)
    assert not any(each.files for each in lab.sides[VM].there)


def test_a_switch_that_moves_nobody_is_an_error(port: int, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_rollback_ways, "SWITCH_TIMEOUT_S", 1.0)
    with pytest.raises(ExerciseError, match="did not see answers from others than vm/0 within 1 s"):
        attempt(Switched, MemoryLab(port, switches=False), log)


def test_a_vm_that_had_to_boot_anew_was_not_put_back(port: int, log: Log) -> None:
    lab = MemoryLab(port)
    lab.sides[VM].keeps_memory = False
    assert attempt(Kept, lab, log)[1][plan.PUTS_BACK] == "no"


@pytest.mark.parametrize(("kind", "bad"), [(Kept, 0), (Beside, 2)])
def test_who_goes_back_is_seen_and_does_not_count_as_the_way_back(
    kind: type[Way], bad: int, port: int, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "WATCH_S", 2.0)
    start = time.monotonic()
    measured, _ = attempt(kind, MemoryLab(port), log)
    took_s = time.monotonic() - start
    (seen,) = (finding for finding in log.findings if finding.question == plan.WHO)
    assert seen.verdict == "no"
    assert seen.answer.startswith(f"nobody within 2 s: vm/{bad} still answers its health check with 500; who")
    assert measured["good-again"] < took_s - 2


def test_somebody_who_goes_back_is_noticed(port: int, log: Log) -> None:
    lab = MemoryLab(port)

    class Helped(Kept):
        def watch(self, index: int, who_must: str) -> str:
            lab.sides[VM].there[index].well = True
            return super().watch(index, who_must)

    assert attempt(Helped, lab, log)[1][plan.WHO] == "yes"


def test_a_release_that_is_not_bad_is_an_error_and_the_vm_is_put_back(port: int, log: Log) -> None:
    lab = MemoryLab(port, takes_back=False)
    with pytest.raises(ExerciseError, match="a release was rolled out whose health check should fail"):
        attempt(Rollout, lab, log)
    lab.broken_files = dict  # type: ignore[method-assign,assignment]
    with pytest.raises(ExerciseError, match="vm/0 is well"):
        attempt(Kept, lab, log)
    assert lab.sides[VM].there[0].kept is None
    assert log.samples == [sample for sample in log.samples if sample.figure == "ready"]


def test_a_container_of_the_release_that_stays_is_an_error(port: int, log: Log) -> None:
    lab = MemoryLab(port)
    lab.sides[CONTAINER].there[1].image = BAD_IMAGE
    with pytest.raises(ExerciseError, match=f"image {BAD_IMAGE} of the release still runs"):
        attempt(Rollout, lab, log)


def test_it_begins_with_two_of_each_and_tries_what_a_side_cannot_do(port: int, log: Log) -> None:
    class Growing(MemoryLab):
        def declare(self, declaration: Declaration, **_: Any) -> Outcome:
            self.declared = declaration
            return Outcome([], 0.1, 0.2)

    lab = Growing(port, declared=Declaration(1, 1))
    assert LabExercise(lab, log).prepare().startswith("a release of web")  # type: ignore[arg-type]
    assert lab.declared == Declaration(2, 2)
    (finding,) = log.findings
    assert (finding.variant, finding.question, finding.verdict) == (
        plan.CONTAINERS.key,
        plan.PUTS_BACK,
        "cannot",
    )


def test_a_second_set_needs_room(port: int, log: Log) -> None:
    lab = MemoryLab(port, declared=Declaration(26, 2))
    with pytest.raises(ExerciseError, match="the 26 that are declared: there is room for 50"):
        LabExercise(lab, log).prepare()  # type: ignore[arg-type]
    assert not log.findings


def test_how_long_a_bad_instance_was_served() -> None:
    def request(sent: float, status: int, instance: str = "vm/0") -> Request:
        return Request(sent, sent + 0.5, status, instance, "")

    assert served([]) == (0, 0)
    assert served([request(1, 200), request(2, 503, ""), request(3, 0, "")]) == (0, 0)
    bad = [request(1, 200), request(2, 500), request(3, 200), request(4, 500), request(9, 503, "")]
    assert served(bad) == (2, 4.5)


# What may be concluded


def result(
    values: dict[tuple[str, str], list[float]], verdicts: dict[tuple[str, str], list[str]]
) -> RunResult:
    """A result with samples of (figure, variant), and verdicts of (question, variant), one a repetition."""
    samples = [
        Sample(figure=figure, variant=variant, repetition=number, value=value)
        for (figure, variant), listed in values.items()
        for number, value in enumerate(listed)
    ]
    findings = [
        Finding(variant=variant, repetition=number, question=question, answer="", verdict=verdict)  # type: ignore[arg-type]
        for (question, variant), listed in verdicts.items()
        for number, verdict in enumerate(listed)
    ]
    given = {"samples": samples, "findings": findings, "figures": list(plan.FIGURES)}
    return patch_result().model_copy(update=given | {"variants": list(plan.VARIANTS)})


def told(found: list[Conclusion], part: str) -> Conclusion:
    (one,) = [conclusion for conclusion in found if part in conclusion.text]
    return one


def test_the_quicker_way_is_told_in_the_direction_that_was_measured() -> None:
    figures = {("good-again", "container-rollout"): [30.0, 31, 32], ("good-again", "vm-kept"): [9.0, 8, 9.5]}
    claim = told(plan.conclude(result(figures, {})), "all is good again sooner than with containers")
    assert claim.carried
    assert claim.text.startswith("With a VM that is put back ")


def test_what_is_lost_is_a_claim_only_if_every_repetition_agrees() -> None:
    key = (plan.SINCE, "vm-kept")
    lost = "snapshot put back: what was written since the release is lost."
    for verdicts, carried in ((["no"] * 3, True), (["no"] * 2, False)):
        assert told(plan.conclude(result({}, {key: verdicts})), lost).carried is carried
    mixed = told(
        plan.conclude(result({}, {key: ["no", "yes", "no"]})), "snapshot put back: what was written since"
    )
    assert not mixed.carried
    assert "differ" in mixed.basis


# How a rollback is told, whichever plugin asked


@dataclass
class Watched:
    """A side whose orchestrator takes releases back."""

    told: list[list[str] | Exception]
    supervisor: str = "Memory"

    def rollbacks(self) -> list[str]:
        said = self.told.pop(0)
        if isinstance(said, Exception):
            raise said
        return said


def fail(side: Any) -> None:
    with telling_rollbacks(side, "dev"):
        raise EngineError("service rollback completed", hint="mend it", details="more")


def test_a_release_that_was_taken_back_is_told_as_such() -> None:
    side = Watched([["service web (12:00)"], ["service web (12:01)"]])
    said = r"'dev': Memory took the release back.*service web \(12:01\)"
    with pytest.raises(RolledBackError, match=said) as caught:
        fail(side)
    assert "service rollback completed\nmore" in caught.value.details
    assert "invoke lab.up --lab dev" in caught.value.hint


@pytest.mark.parametrize("after", [["service web (12:00)"], [], HostError("away", hint="")])
def test_other_failures_stay_what_they_are(after: Any) -> None:
    with pytest.raises(EngineError, match="service rollback completed") as caught:
        fail(Watched([["service web (12:00)"], after]))
    assert not isinstance(caught.value, RolledBackError)
