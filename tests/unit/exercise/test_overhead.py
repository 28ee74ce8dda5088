"""The overhead exercise: what programs print, who else used CPUs, and its course with stand-ins for them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pairlab.errors import ExerciseError, SideError
from pairlab.exercise import Declaration, Log, _fleet, _overhead_facts, _overhead_tasks
from pairlab.exercise import _overhead_figures as plan
from pairlab.exercise._overhead_place import NAME, SCRATCH, CpuTime, Place, usable_cpus
from pairlab.exercise.overhead import LabExercise
from pairlab.model import Accelerator, Instance, Layer, SideName, Tools
from pairlab.results import Conclusion, Figure, Sample
from pairlab.run import Completed, LocalRunner
from tests.report_worlds import patch_result
from tests.unit.exercise.stack_worlds import Reader, log_of
from tests.unit.host.answering_runner import AnsweringRunner

CASES = Path(__file__).parents[2] / "cases" / "overhead"
EXPECTED: dict[str, tuple[str, float]] = json.loads((CASES / "expected.json").read_text())


@pytest.mark.parametrize("case", sorted(path.name for path in CASES.glob("*.txt")))
def test_what_a_program_prints_is_read(case: str) -> None:
    name, value = EXPECTED[case]
    read = getattr(_overhead_tasks, name)
    text = (CASES / case).read_text()
    assert read(text) == pytest.approx(value, rel=1e-6)
    with pytest.raises(ExerciseError, match="told no speed"):
        read("Segmentation fault\n")
    with pytest.raises(ExerciseError, match="told no speed"):
        read(text + text)


def test_workers_that_failed_are_no_measurement() -> None:
    text = (CASES / "stress-fork.txt").read_text().replace("successful run", "unsuccessful run was")
    with pytest.raises(ExerciseError, match="stress-ng told no speed"):
        _overhead_tasks.stress_rate(text)


def test_cpu_time_of_guests_counts_once_and_stolen_time_apart() -> None:
    before = CpuTime.read("cpu  100 0 50 800 50 0 0 0 30 0\n")
    passed = CpuTime.read("cpu  160 10 70 860 60 5 5 30 90 10\n") - before
    assert (passed.busy, passed.idle, passed.stolen) == pytest.approx((1.0, 0.7, 0.3))
    assert passed.percent(passed.stolen) == pytest.approx(15)


def test_cpus_are_those_that_a_process_may_use() -> None:
    assert usable_cpus(AnsweringRunner({"cat": "Cpus_allowed:\t10f\nCpus_allowed_list:\t0-3,8\n"})) == (
        0,
        1,
        2,
        3,
        8,
    )


def place(variant: Any, runner: Any, cpus: tuple[int, ...] = (0, 1)) -> Place:
    return Place(variant, runner, "/x", cpus, runner)


@pytest.mark.parametrize(
    ("printed", "answer", "verdict"),
    [
        ("", "2 CPUs, no limit of a control group", "yes"),
        ("max 100000\n", "2 CPUs, no limit of a control group", "yes"),
        ("-1\n100000\n", "2 CPUs, no limit of a control group", "yes"),
        ("200000 100000\n", "2 CPUs, of which its control group may use 2 at once", "yes"),
        ("150000\n100000\n", "2 CPUs, of which its control group may use 1.5 at once", "no"),
    ],
)
def test_a_limit_of_cpus_is_told(printed: str, answer: str, verdict: str) -> None:
    there = place(plan.CONTAINER, AnsweringRunner({"sh -c": printed}))
    assert _overhead_facts.cpu_limit(there, 2) == (answer, verdict)
    assert _overhead_facts.cpu_limit(place(plan.VM, AnsweringRunner({"sh -c": ""}), (0,)), 2)[1] == "no"


HASH = '[ -z "$SLOW" ] || {{ echo "+F:25:sha256:38482540.61"; exit; }}\ncat {cases}/openssl-hash.txt'
STRESS = """case "$*" in
    *--stream*) cat {cases}/stress-stream.txt ;;
    *--switch*) cat {cases}/stress-switch.txt ;;
    *--fork*) cat {cases}/stress-fork.txt ;;
    *) cat {cases}/stress-matrix.txt ;;
esac"""
SYSBENCH = """case "$*" in
    *seqrd*) cat {cases}/sysbench-read.txt ;;
    *seqwr*) cat {cases}/sysbench-write.txt ;;
    *rndrd*) cat {cases}/sysbench-fetch.txt ;;
    *rndwr*) cat {cases}/sysbench-commit.txt ;;
    *prepare) touch test_file.0 ;;
    *cleanup) rm test_file.0 ;;
esac"""
PROGRAMS = {
    "lib/ld-linux-x86-64.so.2": 'shift 3\nexec "$@"',
    "bin/taskset": 'echo "$2" >> cpus\nshift 2\nexec "$@"',
    "bin/timeout": 'shift 3\n"$@"\nexit 124',
    "bin/dd": "cat {cases}/dd-calls.txt",
    "bin/openssl": HASH,
    "bin/stress-ng": STRESS,
    "bin/sysbench": SYSBENCH,
}


def tools(folder: Path, **others: str) -> Tools:
    """Programs that print what real ones printed once, in an archive as real ones come in."""
    files = {
        name: ("#!/bin/sh\n" + body.format(cases=CASES) + "\n").encode()
        for name, body in (PROGRAMS | others).items()
    }
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items())
    archive = folder / "tree.tar.gz"
    with gzip.open(archive, "wb") as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in {**files, "SHA256SUMS": sums.encode()}.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    return Tools("0123456789ab", archive, {"openssl": "3", "stress-ng": "0.15", "sysbench": "1"})


@dataclass
class Inside:
    """Runs commands on this machine as though they ran in an instance with a kernel of a name."""

    boot: str
    slow: bool = False
    folders: list[str] = field(default_factory=list[str])

    def run(self, argv: Sequence[str], **options: Any) -> Completed:
        if argv[-1].endswith("boot_id"):
            return Completed(tuple(argv), 0, f"{self.boot}\n", "")
        done = LocalRunner({"SLOW": "1"} if self.slow else {}).run(argv, **options)
        if argv[0] == "mktemp":
            self.folders.append(done.stdout.strip())
        return done


@dataclass
class FakeSide:
    name: SideName
    inside: Inside
    far: bool = False

    def host(self) -> Inside:
        if self.far:
            raise SideError("the daemon is on another machine", hint="go there")
        return Inside("host")

    def runner(self, index: int, *, tier: str = "", admin: bool = False) -> Inside:
        return self.inside

    def instances(self) -> list[Instance]:
        return [Instance(self.name, 0, "running", cpu_s=1.0)]

    def layers(self, index: int, *, tier: str = "") -> list[Layer]:
        return [Layer("own-disk", "a disk of its own", "instance")]


@dataclass
class FakeLab:
    programs: Tools
    name: str = "dev"
    accelerator: Accelerator = Accelerator.TCG
    declared: Declaration = field(default_factory=lambda: Declaration(2, 2))
    sides: dict[SideName, FakeSide] = field(
        default_factory=lambda: {
            SideName.CONTAINER: FakeSide(SideName.CONTAINER, Inside("host")),
            SideName.VM: FakeSide(SideName.VM, Inside("guest", slow=True)),
        }
    )

    def declare(self, declaration: Declaration, **_: Any) -> None:
        self.declared = declaration

    def tools(self) -> Tools:
        return self.programs


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(_fleet, "REST_S", 0.01)
    made = FakeLab(tools(tmp_path))
    yield made
    for side in made.sides.values():
        for folder in side.inside.folders:
            LocalRunner().run(["rm", "-r", folder])


def start(lab: FakeLab) -> tuple[LabExercise, Log, Reader]:
    reader = Reader()
    log = log_of("overhead", reader)
    return LabExercise(lab, log), log, reader  # type: ignore[arg-type]


def values(log: Log, figure: Figure, variant: str) -> list[float]:
    return [s.value for s in log.samples if (s.figure, s.variant) == (figure.key, variant)]


def test_every_task_is_done_in_every_place_and_held_against_the_host(lab: FakeLab) -> None:
    exercise, log, reader = start(lab)
    before = set(Path(SCRATCH).glob(f"{NAME}*"))
    assert exercise.prepare().startswith("openssl 3, stress-ng 0.15, sysbench 1: the same files")
    exercise.repetition(0)
    assert reader.read == ["declare", "bring", "compute", "kernel", "cores", "disk"]
    count = len(usable_cpus(LocalRunner()))
    assert (lab.declared.vms, lab.declared.replicas, lab.declared.cpus) == (1, 1, count)
    for figure in plan.SPEEDS:
        for variant in ("host", "container", "vm"):
            assert len(values(log, figure, variant)) == 1, (figure.key, variant)
        share = plan.SHARES[figure.key]
        assert values(log, share, "host") == []
        assert values(log, share, "container") == [pytest.approx(100)]
        assert values(log, share, "vm") == [pytest.approx(10 if figure is plan.INTEGER else 100)]
    assert len(values(log, plan.OTHERS, "vm")) == len(plan.SPEEDS)
    assert len(values(log, plan.STOLEN_INSIDE, "vm")) == len(plan.SPEEDS)
    assert values(log, plan.STOLEN_INSIDE, "container") == []
    asked = {(f.variant, f.question) for f in log.findings}
    questions = (plan.SAME, plan.CPUS, plan.PROCESSOR, plan.FILTER, plan.STORAGE, plan.QUIET)
    of_all = {(variant.key, question) for variant in plan.VARIANTS for question in questions}
    assert asked == {("host", plan.CACHE)} | of_all
    # What was laid down on this host is gone; instances are replaced when the lab is put back.
    left = {folder for side in lab.sides.values() for folder in side.inside.folders}
    assert {str(path) for path in set(Path(SCRATCH).glob(f"{NAME}*")) - before} == left
    pinned = (Path(lab.sides[SideName.VM].inside.folders[0]) / "cpus").read_text().split()
    cpus = usable_cpus(LocalRunner())
    assert pinned.count(",".join(map(str, cpus))) >= 2
    assert pinned.count(str(cpus[-1])) >= len(plan.SPEEDS) - 2
    assert not (Path(lab.sides[SideName.VM].inside.folders[0]) / "test_file.0").exists()


def test_a_side_elsewhere_cannot_be_compared_with_this_host(lab: FakeLab) -> None:
    lab.sides[SideName.VM].far = True
    exercise, log, _ = start(lab)
    exercise.prepare()
    exercise.repetition(0)
    (cannot,) = (f for f in log.findings if f.variant == "vm")
    assert (cannot.verdict, cannot.answer) == ("cannot", "the daemon is on another machine: go there")
    assert values(log, plan.SHARES["integer"], "container") == [pytest.approx(100)]
    assert values(log, plan.INTEGER, "vm") == []
    lab.sides[SideName.CONTAINER].far = True
    with pytest.raises(ExerciseError, match="no instance of this lab runs on this host"):
        start(lab)[0].prepare()


def test_what_does_not_run_where_it_should_is_no_measurement(lab: FakeLab) -> None:
    lab.sides[SideName.VM].inside.boot = "host"
    with pytest.raises(ExerciseError, match="vm/0 runs on the kernel of this host"):
        start(lab)[0].prepare()


def test_programs_that_are_not_the_same_are_refused(lab: FakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = iter(["one", "one", "another"])
    monkeypatch.setattr("pairlab.exercise._overhead_place.digest", lambda runner, folder: next(digests))
    with pytest.raises(ExerciseError, match="not the same files in every place") as refused:
        start(lab)[0].prepare()
    assert "VM (tcg): another" not in refused.value.message
    assert "another" in refused.value.details


def test_a_program_that_fails_says_where(lab: FakeLab, tmp_path: Path) -> None:
    lab.programs = tools(tmp_path, **{"bin/openssl": "echo no such cipher\nexit 3"})
    exercise, _, _ = start(lab)
    exercise.prepare()
    with pytest.raises(
        ExerciseError, match="openssl failed in this host itself with exit status 3"
    ) as failed:
        exercise.repetition(0)
    assert "no such cipher" in failed.value.details


def test_a_disturbed_run_is_named(lab: FakeLab, monkeypatch: pytest.MonkeyPatch) -> None:
    exercise, log, _ = start(lab)
    exercise.prepare()
    monkeypatch.setattr(plan, "BUSY_PERCENT", -1.0)
    exercise.repetition(0)
    quiet = [f for f in log.findings if f.question == plan.QUIET]
    assert [f.verdict for f in quiet] == ["no", "no", "no"]
    assert all(figure.title in quiet[0].answer for figure in plan.SPEEDS)
    assert all(finding.answer.endswith(plan.KERNEL_WORKS) for finding in quiet)


def test_only_a_disturbed_test_of_the_disk_is_put_down_to_the_kernel(lab: FakeLab) -> None:
    exercise, _, _ = start(lab)
    exercise._disturbed["vm"] = {plan.INTEGER: "integer arithmetic (14 % used)"}
    answer, verdict = exercise._quiet(plan.VM)
    assert (answer.endswith("during: integer arithmetic (14 % used)"), verdict) == (True, "no")


def conclude(container: Sequence[float], vm: Sequence[float], accelerator: str) -> list[Conclusion]:
    samples = [
        Sample(figure=share.key, variant=variant, repetition=number, value=value)
        for share in plan.SHARES.values()
        for variant, listed in (("container", container), ("vm", vm))
        for number, value in enumerate(listed)
    ]
    result = patch_result()
    environment = result.environment.model_copy(update={"accelerator": accelerator})
    changes = {
        "figures": plan.FIGURES,
        "variants": plan.VARIANTS,
        "samples": samples,
        "environment": environment,
    }
    return list(plan.conclude(result.model_copy(update=changes)))


def test_claims_go_in_the_direction_that_was_measured_and_name_emulation() -> None:
    computes, calls, *others = conclude([97, 101, 99], [8, 9, 8.5], "tcg")
    assert (
        computes.text == "A container computes, and uses memory, at no less than 90 % of this host's speed."
    )
    assert computes.carried
    assert not calls.carried  # shares alone say nothing of calls
    assert len(others) == len(plan.SPEEDS)
    assert all(claim.carried for claim in others)
    assert others[0].text.startswith(
        "An emulated VM keeps less of this host's speed than a container in: integer"
    )
    (_, _, turned, *_) = conclude([60, 61, 62], [97, 98, 99], "kvm")
    assert turned.text.startswith("A container keeps less of this host's speed than a VM in: integer")


def test_too_little_or_too_scattered_carries_nothing() -> None:
    few = conclude([99, 98], [8, 9], "tcg")
    assert not any(claim.carried for claim in few)
    assert few[0].basis.endswith(": too few repetitions")
    computes, *others = conclude([89, 95, 99], [60, 80, 98], "kvm")
    assert not computes.carried
    assert computes.basis.endswith(": not all are 90 % or more")
    assert not any(claim.carried for claim in others)


def test_the_title_of_the_vm_says_how_it_runs() -> None:
    assert [variant.title for variant in plan.variants(Accelerator.TCG)][2] == "VM (tcg)"
    assert [variant.title for variant in plan.variants(Accelerator.KVM)][2] == "VM (kvm)"
