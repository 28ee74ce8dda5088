"""What is kept of the engine's events; their form is that of its Automation API."""

from __future__ import annotations

from typing import Any

import pytest
from pulumi.automation import OpType
from pulumi.automation.events import (
    DiffKind,
    EngineEvent,
    PropertyDiff,
    ResourcePreEvent,
    ResOutputsEvent,
    StepEventMetadata,
)

from pairlab.engine.recorder import Recorder

DOMAIN = "libvirt:index/domain:Domain"


def step(op: OpType, name: str, kind: str = DOMAIN, *, differs: tuple[str, ...] = ()) -> StepEventMetadata:
    diff = {each: PropertyDiff(diff_kind=DiffKind.UPDATE, input_diff=False) for each in differs}
    return StepEventMetadata(
        op=op, urn=f"urn:pulumi:dev::pairlab::{kind}::{name}", type=kind, provider="", detailed_diff=diff
    )


def announced(*given: Any, **more: Any) -> EngineEvent:
    return EngineEvent(0, 0, resource_pre_event=ResourcePreEvent(metadata=step(*given, **more)))


def ended(*given: Any, **more: Any) -> EngineEvent:
    return EngineEvent(0, 0, res_outputs_event=ResOutputsEvent(metadata=step(*given, **more)))


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def recorder(told: list[str]) -> Recorder:
    return Recorder(told.append)


def test_a_refresh_says_afterwards_what_it_found(recorder: Recorder, told: list[str]) -> None:
    for name in ("vm-0", "vm-1", "vm-2"):
        recorder(announced(OpType.REFRESH, name))
    recorder(ended(OpType.SAME, "vm-2"))
    recorder(ended(OpType.UPDATE, "vm-0", differs=("running",)))
    recorder(ended(OpType.DELETE, "vm-1"))
    outcome = recorder.outcome()
    assert [(found.name, found.op, list(found.properties)) for found in outcome.drifted] == [
        ("vm-0", "update", ["running"]),
        ("vm-1", "delete", []),
    ]
    assert outcome.changed == []
    assert told == []


def test_what_is_changed_is_no_drift(recorder: Recorder, told: list[str]) -> None:
    recorder(announced(OpType.REFRESH, "vm-0"))
    recorder(ended(OpType.SAME, "vm-0"))
    recorder(announced(OpType.UPDATE, "vm-0", differs=("memory",)))
    recorder(ended(OpType.UPDATE, "vm-0", differs=("memory",)))
    outcome = recorder.outcome()
    assert outcome.drifted == []
    assert [(change.name, change.op) for change in outcome.changed] == [("vm-0", "update")]
    assert told == ["changing Domain vm-0"]


def test_a_replacement_is_one_change(recorder: Recorder, told: list[str]) -> None:
    for op in (OpType.CREATE_REPLACEMENT, OpType.REPLACE, OpType.DELETE_REPLACED):
        recorder(announced(op, "vm-0"))
        recorder(ended(op, "vm-0"))
    assert [(change.name, change.op) for change in recorder.outcome().changed] == [("vm-0", "replace")]
    assert told == ["creating anew Domain vm-0", "replacing Domain vm-0", "deleting the old Domain vm-0"]


def test_the_engines_own_start_ends_with_the_first_resource(recorder: Recorder) -> None:
    recorder(announced(OpType.CREATE, "dev", "pairlab:lab:PairedLab"))
    assert recorder.first_step_s is None
    recorder(announced(OpType.CREATE, "vm-0"))
    assert recorder.first_step_s is not None
