"""The hybrid exercise: the engine in a VM, whose kernel is whose, and what may be concluded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from slow_server import Handler
from stack_worlds import HOST_BOOT, VM_PROCESSES, Reader, log_of, status

from pairlab.errors import CommandError, ExerciseError, SideError
from pairlab.exercise import ContainerArchive, Declaration, Log, hybrid
from pairlab.exercise import _hybrid_figures as plan
from pairlab.exercise._guest_engine import GuestEngine
from pairlab.exercise._hybrid_look import Nest, tell_kernels, weigh
from pairlab.exercise.hybrid import LabExercise
from pairlab.model import SideName
from pairlab.results import Conclusion, Finding, RunResult, Sample
from pairlab.side import Footprint
from stacks.pair import WEB
from tests.report_worlds import patch_result
from tests.unit.host.answering_runner import AnsweringRunner

IMAGE = "ab" * 32
BOOT = "cat /proc/sys/kernel/random/boot_id"
HELD = status(500, 1, "conmon", 700) + status(510, 500, "nginx", 800)


def engine_host(**answers: Any) -> AnsweringRunner:
    known: dict[str, Any] = {
        BOOT: "vm-1-boot\n",
        f"podman exec guest {BOOT}": "vm-1-boot\n",
        "podman": "",
        "podman image ls": f"sha256:{IMAGE}\n",
        "rm": "",
        "sync": "",
        "sh -c echo $$": VM_PROCESSES + HELD,
    }
    return AnsweringRunner(known | answers)


def booted(boot: str) -> AnsweringRunner:
    power = "0000000000000000\n65534\nnone\n"
    return AnsweringRunner({BOOT: f"{boot}\n", "sync": "", "sh -c \nsed": power})


@dataclass
class NestedSide:
    """One half: what each instance answers, and what it weighs."""

    name: SideName
    runners: Mapping[tuple[int, str], AnsweringRunner]
    supervisor: str = ""
    local: bool = True

    def runner(self, index: int, *, tier: str = "", admin: bool = False) -> AnsweringRunner:
        return self.runners[index, tier]

    def host(self) -> AnsweringRunner:
        return booted(HOST_BOOT)

    def footprint(self, index: int, *, tier: str = "") -> Footprint:
        if not self.local:
            raise SideError("it is elsewhere", hint="go there")
        return Footprint(1000 + index, 0, None, None, None, 0, 1, 1, 1, 10, 0)


@dataclass
class NestedLab:
    """vm/1 has an engine, container/machine/0 holds a VM."""

    archive: ContainerArchive
    machine_boot: str = "machine-boot"
    workload: Any = WEB
    declared: Declaration = field(
        default_factory=lambda: Declaration(2, 1, engine_vms=frozenset({1}), machine=True)
    )

    def __post_init__(self) -> None:
        self.engine_host = engine_host()
        containers = {(0, ""): booted(HOST_BOOT), (0, "machine"): booted(HOST_BOOT)}
        vms = {(0, ""): booted("vm-0-boot"), (1, ""): self.engine_host}
        self.sides = {
            SideName.VM: NestedSide(SideName.VM, vms),
            SideName.CONTAINER: NestedSide(SideName.CONTAINER, containers, supervisor="Swarm"),
        }

    def machine(self) -> AnsweringRunner:
        return booted(self.machine_boot)

    def image_bytes(self, side: SideName) -> int:
        return 100 if side is SideName.VM else 50

    def nested_bytes(self, side: SideName) -> int:
        return 300 if side is SideName.VM else 400


@pytest.fixture
def lab(tmp_path: Path) -> NestedLab:
    archive = tmp_path / "image.tar"
    archive.write_bytes(b"x" * 7)
    return NestedLab(ContainerArchive(archive, IMAGE))


def nest(lab: NestedLab) -> tuple[Nest, Log]:
    made = Nest(lab, 1, GuestEngine(lab.engine_host), lab.archive)  # type: ignore[arg-type]
    return made, log_of("hybrid", Reader())


def test_who_asks_the_plain_and_the_nested_one_is_told_within_the_step(
    lab: NestedLab, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hybrid, "SERVED", 3)
    monkeypatch.setattr(lab, "port", lambda side: port, raising=False)
    Handler.instances = cycle(["vm/0", hybrid.IN_VM])
    reader = Reader()
    log = log_of("hybrid", reader)
    log.values |= LabExercise.example
    LabExercise(lab, log)._serve(SideName.VM)  # type: ignore[arg-type]
    assert [line.partition(":")[0] for line in reader.told["serve"]] == ["vm/0", hybrid.IN_VM]
    assert [sample.variant for sample in log.samples] == [plan.VM.key, plan.IN_VM.key]
    assert [timeline.variant for timeline in log.timelines] == [plan.VM.key]


def found(log: Log, question: str) -> dict[str, Finding]:
    return {finding.variant: finding for finding in log.findings if finding.question == question}


def test_an_image_is_taken_in_and_its_copy_goes_also_where_that_fails() -> None:
    host = engine_host()
    GuestEngine(host).load()
    assert host.lines() == [
        "podman pull --quiet docker-archive:/var/tmp/pairlab-image.tar",
        "rm -f /var/tmp/pairlab-image.tar",
    ]
    full = engine_host(**{"podman pull": 125})
    with pytest.raises(CommandError):
        GuestEngine(full).load()
    assert full.lines()[-1].startswith("rm -f ")


def test_another_image_than_the_containers_is_an_error() -> None:
    GuestEngine(engine_host()).check(IMAGE)
    with pytest.raises(ExerciseError, match="has no image cdcdcdcdcdcd"):
        GuestEngine(engine_host()).check("cd" * 32)


def test_the_container_is_named_and_sees_what_was_deployed_and_may_not_change_it() -> None:
    host = engine_host()
    GuestEngine(host).run(IMAGE, ["/etc/pairlab/page.html"])
    (line,) = host.lines()
    assert line.endswith(f" --volume /etc/pairlab/page.html:/etc/pairlab/page.html:ro {IMAGE}")
    assert "--hostname container-guest-1 " in line
    assert "--privileged" not in line


def test_a_container_in_a_vm_has_the_vms_kernel_and_a_vm_in_a_container_its_own(lab: NestedLab) -> None:
    made, log = nest(lab)
    tell_kernels(made, log)
    kernels = found(log, plan.THE_KERNEL)
    assert {variant: finding.verdict for variant, finding in kernels.items()} == {
        "vm": "yes",
        "container": "no",
        "container-in-vm": "yes",
        "vm-in-container": "yes",
    }
    assert "vm-1-boo" in kernels["container-in-vm"].answer
    assert "machine-" in kernels["vm-in-container"].answer
    power = found(log, plan.PRIVILEGES)["vm-in-container"]
    assert (power.verdict, power.answer.partition(":")[0]) == ("yes", "yes")
    assert found(log, plan.HARDWARE)["vm-in-container"].verdict == "cannot"
    watched = found(log, plan.WATCHED)
    assert (watched["container-in-vm"].verdict, watched["vm-in-container"].verdict) == ("no", "yes")


def test_a_container_with_power_over_its_host_is_told(lab: NestedLab) -> None:
    holder = lab.sides[SideName.CONTAINER].runners[0, "machine"]
    holder.answers["sh -c \nsed"] = "00000000a80425fb\n0\nkvm\n"
    made, log = nest(lab)
    tell_kernels(made, log)
    power = found(log, plan.PRIVILEGES)["vm-in-container"]
    assert (power.verdict, power.answer.partition(":")[0]) == ("no", "no")
    assert found(log, plan.HARDWARE)["vm-in-container"].verdict == "yes"


@pytest.mark.parametrize("machine", [HOST_BOOT, "vm-0-boot", "vm-1-boot"])
def test_a_vm_in_a_container_with_a_kernel_of_others_is_an_error(lab: NestedLab, machine: str) -> None:
    lab.machine_boot = machine
    made, log = nest(lab)
    with pytest.raises(ExerciseError, match="the kernels are not whose they should be"):
        tell_kernels(made, log)
    assert log.findings == []


def test_a_container_beside_its_vm_is_an_error(lab: NestedLab) -> None:
    lab.engine_host.answers[f"podman exec guest {BOOT}"] = HOST_BOOT
    made, log = nest(lab)
    with pytest.raises(ExerciseError, match="the kernels are not whose they should be"):
        tell_kernels(made, log)


def test_each_is_weighed_by_its_own_side(lab: NestedLab) -> None:
    made, log = nest(lab)
    weigh(made, log)
    values = {(each.figure, each.variant): (each.value, each.instance) for each in log.samples}
    assert values["memory", "vm"] == (1000, "vm/0")
    assert values["memory", "container-in-vm"] == (1001, "vm/1")
    assert values["memory", "vm-in-container"] == (1000, "container/machine/0")
    assert values["image", "container-in-vm"] == (307, "")
    assert values["image", "vm-in-container"] == (400, "")
    assert values["engine-inside", "container-in-vm"] == (700 * 1024, "")


def test_what_is_elsewhere_cannot_be_weighed(lab: NestedLab) -> None:
    lab.sides[SideName.CONTAINER].local = False
    made, log = nest(lab)
    weigh(made, log)
    assert {each.variant for each in log.samples if each.figure == "memory"} == {"vm", "container-in-vm"}
    verdicts = {each.variant: each.verdict for each in log.findings}
    assert verdicts == {"container": "cannot", "vm-in-container": "cannot"}


# Conclusions

STARTS = {
    ("start", "vm"): [10, 11, 10.5],
    ("start", "container"): [4, 4.1, 4.2],
    ("start", "container-in-vm"): [15, 16, 15.5],
    ("start", "vm-in-container"): [14, 15, 14.5],
    ("start-inner", "container-in-vm"): [5, 6, 5.5],
}


def conclude(values: Mapping[tuple[str, str], Sequence[float]], verdicts: str = "") -> list[Conclusion]:
    samples = [
        Sample(figure=figure, variant=variant, repetition=number, value=value)
        for (figure, variant), listed in values.items()
        for number, value in enumerate(listed)
    ]
    findings = [
        Finding.model_validate(
            {
                "variant": "container-in-vm",
                "repetition": number,
                "question": plan.THE_KERNEL,
                "answer": "",
                "verdict": verdict,
            }
        )
        for number, verdict in enumerate(verdicts.split())
    ]
    changes = {
        "figures": list(plan.FIGURES),
        "variants": list(plan.VARIANTS),
        "samples": samples,
        "findings": findings,
    }
    result: RunResult = patch_result().model_copy(update=changes)
    return plan.conclude(result)


def carried(found: Sequence[Conclusion]) -> set[str]:
    return {each.text for each in found if each.carried}


def test_starts_are_compared_with_the_plain_ones() -> None:
    assert carried(conclude(STARTS)) == {
        "A container starts sooner in a VM that runs than a VM starts.",
        "A VM that must start a container answers later than a plain one.",
        "A container that holds a VM answers later than a plain one.",
    }


def test_latency_is_claimed_in_the_direction_in_which_it_was_measured() -> None:
    slow = {("p50", "container"): [5, 6, 5], ("p50", "vm-in-container"): [50, 60, 55]}
    assert carried(conclude(slow)) == {
        "A request to a container takes less time than one to a VM in a container."
    }
    fast = {("p50", "vm-in-container"): [5, 6, 5], ("p50", "container"): [50, 60, 55]}
    assert carried(conclude(fast)) == {
        "A request to a VM in a container takes less time than one to a container."
    }


@pytest.mark.parametrize(
    ("verdicts", "claimed"),
    [
        ("yes yes yes", {"Container in a VM: the workload runs on another kernel than this host's."}),
        ("yes yes no", set()),
        ("yes yes", set()),
    ],
)
def test_whose_kernel_it_is_must_be_found_in_each_repetition(verdicts: str, claimed: set[str]) -> None:
    found = conclude({}, verdicts)
    assert carried(found) == claimed
    assert "Container in a VM: the workload runs on another kernel than this host's." in {
        each.text for each in found
    }


def test_it_needs_one_of_each() -> None:
    assert (LabExercise.vms, LabExercise.replicas) == (1, 1)
