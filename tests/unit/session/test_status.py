"""What counts as drift of a lab."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pairlab import side as sides
from pairlab.model import Instance, Settings, SideName, placeholder_spec
from pairlab.session import status
from pairlab.side import Answer
from stacks.pair import tiers


class FakeSide:
    """Has what it is told."""

    def __init__(self, instances: list[Instance]) -> None:
        self._instances = instances

    def instances(self) -> list[Instance]:
        return self._instances


def drift(monkeypatch: pytest.MonkeyPatch, settings: Settings, answers: Mapping[SideName, int]) -> list[str]:
    """Of a lab whose instances are as declared, and whose front doors answer so."""
    spec = placeholder_spec("dev", settings, tiers)
    made = tiers("dev", settings, spec.keys)
    image = spec.images["web"]
    versions = {SideName.VM: image.vm.version, SideName.CONTAINER: image.container.version}
    lab_sides: dict[SideName, Any] = {
        side: FakeSide(
            [Instance(side, index, "running", image=versions[side]) for index in range(made[0].count(side))]
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
