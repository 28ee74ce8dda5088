"""The stack exercise on a lab that answers from a table: what it reads, draws, and concludes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pairlab.errors import ExerciseError
from pairlab.exercise import Declaration
from pairlab.exercise import _stack_figures as plan
from pairlab.exercise._stack_inside import Process, sort_out
from pairlab.exercise.stack import LabExercise
from pairlab.model import SideName
from pairlab.results import RunResult
from tests.report_worlds import patch_result
from tests.unit.exercise.stack_worlds import HOST_BOOT, MIB, FakeLab, FakeSide, Reader, log_of

KIB = 1024


def run(lab: FakeLab, repetitions: int = 1) -> tuple[RunResult, Reader]:
    reader = Reader()
    log = log_of("stack", reader)
    exercise = LabExercise(lab, log)  # type: ignore[arg-type]
    exercise.prepare()
    for number in range(repetitions):
        log.repetition = number
        exercise.repetition(number)
    result = RunResult.model_validate(
        {
            **patch_result().model_dump(),
            "figures": [figure.model_dump() for figure in exercise.figures],
            "variants": [variant.model_dump() for variant in exercise.variants],
            "samples": [sample.model_dump() for sample in log.samples],
            "findings": [finding.model_dump() for finding in log.findings],
            "layers": [layer.model_dump() for layer in log.layers],
            "timelines": [],
            "summary": [],
            "conclusions": [],
        }
    )
    return result.model_copy(update={"conclusions": exercise.conclude(result)}), reader


def test_each_layer_is_read_where_it_is() -> None:
    result, _ = run(FakeLab())
    assert result.values("memory-init", "vm") == [4000 * KIB] * 2
    assert result.values("memory-services", "vm") == [4000 * KIB] * 2
    assert result.values("memory-app", "vm") == [2000 * KIB] * 2
    assert result.values("processes-kernel", "vm") == [2, 2]
    assert result.values("processes-services", "vm") == [2, 2]
    ram_kib = (0x0C800000 - 0x1000) // KIB
    assert result.values("memory-kernel", "vm") == [(ram_kib - 200000 + 13100) * KIB] * 2
    assert result.values("memory-cache", "vm") == [31000 * KIB] * 2
    assert result.values("memory-app", "container") == [2000 * KIB] * 2
    for figure in ("memory-init", "memory-services", "memory-kernel", "memory-cache"):
        assert result.values(figure, "container") == []
    assert result.values("memory-engine", "vm") == [30 * MIB]
    assert result.values("packages", "vm") == [2, 2]


def test_one_more_instance_costs_what_is_not_shared() -> None:
    result, _ = run(FakeLab())
    assert result.values("instance-memory", "vm") == [160 * MIB] * 2
    assert result.values("instance-memory", "container") == [63 * MIB] * 2
    assert result.values("instance-processes", "vm") == [1 + 1 + 2 + 2] * 2
    assert result.values("instance-processes", "container") == [1 + 2] * 2
    assert {s.instance for s in result.samples if s.figure == "instance-memory"} == {
        "vm/0", "vm/1", "container/0", "container/1",
    }  # fmt: skip


def test_kernels_are_told_apart_by_their_boot_ids() -> None:
    result, _ = run(FakeLab())
    found = {f.variant: f for f in result.findings if f.question == plan.OWN_KERNEL}
    assert (found["vm"].verdict, found["container"].verdict) == ("yes", "no")
    assert "vm/1 vm-1-boot" in found["vm"].answer
    assert HOST_BOOT in found["container"].answer
    (namespaces,) = [f for f in result.findings if "namespaces" in f.question]
    assert (namespaces.variant, namespaces.answer) == ("container", "pid; it shares with the host: user")
    roots = {f.variant: f.answer for f in result.findings if "root file system" in f.question}
    assert roots == {"vm": "ext4 on /dev/vda", "container": "overlay of 2 layers"}


def test_the_layers_are_drawn_with_what_is_there_for_each_instance() -> None:
    result, reader = run(FakeLab())
    assert reader.read == ["vm-outside", "vm-inside", "container-outside", "container-inside", "compare"]
    picture = "\n".join(reader.told["compare"])
    bottom = reader.told["compare"][-2]
    assert bottom.count("host kernel") == 2
    assert picture.count("engine") == 2
    assert picture.count("init ×2") == 1
    assert "orchestrator" not in picture
    assert "memory 100 MiB" in picture
    assert "31.2 MiB" not in picture
    by_variant = {
        key: [layer for layer in result.layers if layer.variant == key] for key in ("vm", "container")
    }
    assert [layer.name for layer in by_variant["vm"]] == list(plan.PARTS.values())
    absent = [layer.name for layer in by_variant["container"] if layer.scope == "none"]
    assert absent == ["orchestrator", "kernel of its own", "init", "other services"]


def test_claims_need_three_repetitions() -> None:
    once, _ = run(replace_counts(FakeLab(), 1, 1))
    assert not any(conclusion.carried for conclusion in once.conclusions)
    thrice, _ = run(FakeLab(), repetitions=3)
    carried = {conclusion.text for conclusion in thrice.conclusions if conclusion.carried}
    basis = {conclusion.text: conclusion.basis for conclusion in thrice.conclusions}
    assert "VMs 6 (6 to 6, n = 6)" in basis["One more container is fewer processes than one more VM."]
    assert "VMs: each runs a kernel of its own." in carried
    assert "Containers: each runs on this host's kernel, as all containers on it do." in carried


def test_what_grows_by_each_look_is_weighed_once_and_what_is_counted_each_time() -> None:
    result, _ = run(FakeLab(), repetitions=3)
    repetitions = {
        figure: {s.repetition for s in result.samples if (s.figure, s.variant) == (figure, "vm")}
        for figure in ("instance-memory", "instance-disk", "memory-boundary", "memory-engine", "packages")
    }
    assert repetitions == {
        "instance-memory": {0},
        "instance-disk": {0},
        "memory-boundary": {0},
        "memory-engine": {0, 1, 2},
        "packages": {0, 1, 2},
    }


def replace_counts(lab: FakeLab, vms: int, replicas: int) -> FakeLab:
    return replace(lab, declared=Declaration(vms, replicas))


def test_a_lab_without_instances_is_refused() -> None:
    with pytest.raises(ExerciseError, match="no instance on its container side") as refused:
        run(replace_counts(FakeLab(), 1, 0))
    assert "lab.up" in refused.value.hint


def test_what_cannot_be_of_one_instance_is_no_measurement() -> None:
    lab = FakeLab()
    mixed = FakeSide(SideName.CONTAINER, [HOST_BOOT, "other"])
    with pytest.raises(ExerciseError, match="only some instances of the container side"):
        run(replace(lab, sides={**lab.sides, SideName.CONTAINER: mixed}))


def test_the_workload_must_run() -> None:
    with pytest.raises(ExerciseError, match="no nginx process"):
        sort_out([Process(1, 0, "systemd", 1, of_kernel=False)], 9, "nginx")


def test_processes_that_die_meanwhile_make_no_endless_line() -> None:
    loop = [Process(5, 6, "a", 1, of_kernel=False), Process(6, 5, "b", 1, of_kernel=False)]
    crew = sort_out([Process(1, 0, "nginx", 1, of_kernel=False), *loop], 9, "nginx")
    assert [each.pid for each in crew.app] == [1]
    assert crew.services == []
