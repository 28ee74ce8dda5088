"""What counts as drift of a lab."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from pairlab import side as sides
from pairlab.model import ContainerImage, Instance, Settings, SideName, placeholder_spec
from pairlab.session import status
from pairlab.side import Answer, Given
from stacks.pair import tiers

MIB = 1024**2


class FakeSide:
    """Has what it is told."""

    def __init__(
        self, instances: list[Instance], helpers: Mapping[str, str], given: Mapping[str, Given]
    ) -> None:
        self._instances = instances
        self._helpers = helpers
        self._given = given

    def instances(self) -> list[Instance]:
        return self._instances

    def helpers(self) -> Mapping[str, str]:
        return self._helpers

    def given(self, instances: list[Instance]) -> Mapping[str, Given]:
        return self._given


def drift(
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    answers: Mapping[SideName, int],
    *,
    helpers: Mapping[str, str] | None = None,
    updates: ContainerImage | None = None,
    given: Mapping[str, Given] | None = None,
    state: str = "running",
) -> list[str]:
    """Of a lab with instances of that state that are given so much, helpers, and such front doors."""
    spec = replace(placeholder_spec("dev", settings, tiers), updates=updates)
    made = tiers("dev", settings, spec.keys)
    image = spec.images["web"]
    versions = {SideName.VM: image.vm.version, SideName.CONTAINER: image.container.version}
    lab_sides: dict[SideName, Any] = {
        side: FakeSide(
            [Instance(side, index, state, image=versions[side]) for index in range(made[0].count(side))],
            helpers if helpers and side is SideName.CONTAINER else {},
            {name: each for name, each in (given or {}).items() if name.startswith(f"{side}/")},
        )
        for side in SideName
    }
    by_port = {spec.port(side): status_code for side, status_code in answers.items()}
    monkeypatch.setattr(sides, "probe", lambda port, path: Answer(by_port[port], "", "", "", ""))
    return status.read_status(spec, made, lab_sides, lambda image, package: "").drift


@pytest.mark.parametrize(("setting", "side"), [("vms", SideName.VM), ("replicas", SideName.CONTAINER)])
def test_a_side_that_is_declared_without_instances_is_no_drift(
    monkeypatch: pytest.MonkeyPatch, setting: str, side: SideName
) -> None:
    none, good = Settings(**{setting: 0}), dict.fromkeys(SideName, 200)
    assert drift(monkeypatch, none, good | {side: 503}) == []
    assert drift(monkeypatch, none, good) == [f"the {side} side's front door answers 200"]
    assert drift(monkeypatch, Settings(), good) == []
    assert drift(monkeypatch, Settings(), good | {side: 503}) == [f"the {side} side's front door answers 503"]


def test_what_an_interrupted_exercise_leaves_is_drift_until_it_is_declared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good = dict.fromkeys(SideName, 200)
    there = {"pairlab-dev-vm-door": "front-door", "pairlab-dev-vm-packages": "packages"}
    left = drift(monkeypatch, Settings(), good, helpers=there)
    assert left == ["pairlab-dev-vm-packages exists and is not declared"]
    image = placeholder_spec("dev", Settings(), tiers).front_door
    assert drift(monkeypatch, Settings(), good, helpers=there, updates=image) == []


def test_an_instance_that_was_given_more_or_less_than_declared_is_drift(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good = dict.fromkeys(SideName, 200)
    settings = Settings(vm_memory_mib=256, vm_cpus=1, container_memory_mib=64, container_cpus=0.7)
    as_declared = {"vm/0": Given(256 * MIB, 1.0), "container/0": Given(64 * MIB, 0.7)}
    assert drift(monkeypatch, settings, good, given=as_declared) == []
    changed = {"vm/0": Given(128 * MIB, 2.0), "container/0": Given(None, None), "container/7": Given(1, 1.0)}
    assert drift(monkeypatch, settings, good, given=changed) == [
        "vm/0 has 128 MiB of memory, declared 256 MiB",
        "vm/0 has 2 processors, declared 1",
        "container/0 has all memory, declared 64 MiB",
        "container/0 has all processors, declared 0.7",
    ]


@pytest.mark.parametrize(("state", "drifted"), [("idle", False), ("paused", True)])
def test_an_instance_that_waits_for_something_runs(
    monkeypatch: pytest.MonkeyPatch, state: str, drifted: bool
) -> None:
    told = drift(monkeypatch, Settings(vms=1, replicas=1), dict.fromkeys(SideName, 200), state=state)
    assert told == ([f"{side}/0 is {state}, declared running" for side in SideName] if drifted else [])
