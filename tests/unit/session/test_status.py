"""What counts as drift of a lab."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from pairlab import side as sides
from pairlab.model import ContainerImage, Instance, Settings, SideName, placeholder_spec
from pairlab.session import status
from pairlab.side import Answer
from stacks.pair import tiers


class FakeSide:
    """Has what it is told."""

    def __init__(self, instances: list[Instance], helpers: Mapping[str, str]) -> None:
        self._instances = instances
        self._helpers = helpers

    def instances(self) -> list[Instance]:
        return self._instances

    def helpers(self) -> Mapping[str, str]:
        return self._helpers


def drift(
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    answers: Mapping[SideName, int],
    *,
    helpers: Mapping[str, str] | None = None,
    updates: ContainerImage | None = None,
) -> list[str]:
    """Of a lab whose instances are as declared, whose front doors answer so, and that has helpers."""
    spec = replace(placeholder_spec("dev", settings, tiers), updates=updates)
    made = tiers("dev", settings, spec.keys)
    image = spec.images["web"]
    versions = {SideName.VM: image.vm.version, SideName.CONTAINER: image.container.version}
    lab_sides: dict[SideName, Any] = {
        side: FakeSide(
            [Instance(side, index, "running", image=versions[side]) for index in range(made[0].count(side))],
            helpers if helpers and side is SideName.CONTAINER else {},
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
