"""The ways to bring an update in, as a lab in memory is declared by them."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pairlab.exercise import Declaration
from pairlab.exercise import _patch_figures as plan
from pairlab.exercise._client import Client
from pairlab.exercise._patch_ways import STRATEGIES, Strategy, Way
from pairlab.exercise.patch import LabExercise
from pairlab.model import Settings, SideName, Tier, Update
from pairlab.session.live_lab import configured, settings_of
from stacks.pair import WEB
from tests.unit.exercise.stack_worlds import Reader, log_of

UPDATE = Update("nginx", "1", "2", {"nginx": "2"}, "security", "", {"nginx": "1"})
CONTAINERS = next(each for each in STRATEGIES if each.rolling == plan.CONTAINER_REBUILD)
VMS_IN_PLACE = next(each for each in STRATEGIES if each.rolling == plan.VM_IN_PLACE)


@dataclass
class DeclaredLab:
    """A lab that is only declared; its own settings replace containers all at once."""

    declared: Declaration = Declaration(2, 2, at_once=True)  # noqa: RUF009
    history: list[Declaration] = field(default_factory=list)

    def declare(self, declaration: Declaration, **_: Any) -> None:
        self.declared = declaration
        self.history.append(declaration)

    def update_bytes(self) -> int:
        return 10


def test_only_the_naive_way_replaces_containers_all_at_once_whatever_the_lab_does() -> None:
    lab: Any = DeclaredLab()
    client: Any = None  # the orchestrator rolls: nobody waits for answers
    way = Way(lab, CONTAINERS, UPDATE)
    way.bring_in(client)
    assert way.fetched_bytes() == 10
    way.take_out(client)
    way.bring_in_at_once()
    way.take_out(client)
    assert [(each.updated_containers, each.at_once) for each in lab.history] == [
        (True, False),
        (False, False),
        (True, True),
        (False, False),
    ]


@pytest.mark.parametrize(("strategy", "in_all"), [(CONTAINERS, 67.0), (VMS_IN_PLACE, 7.0)])
def test_a_rebuilt_image_is_in_all_instances_no_sooner_than_it_is_built(
    strategy: Strategy, in_all: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab: Any = DeclaredLab()
    log = log_of("patch", Reader())
    way = Way(lab, strategy, UPDATE)
    if not strategy.in_place:
        way.building_s = 60.0
    exercise = LabExercise(lab, log)
    exercise._update = UPDATE
    monkeypatch.setattr(exercise, "_await_served", lambda *_: [(5.0, "0"), (7.0, "1")])
    monkeypatch.setattr(
        way,
        "fleet",
        SimpleNamespace(
            side=strategy.side, indexes=(), await_commands=lambda: None, at_once=lambda do: [*map(do, ())]
        ),
    )
    with log.doing(strategy.rolling):
        exercise._see_it_run(cast(Client, None), strategy, way, 0.0)
    found = {sample.figure: sample.value for sample in log.samples}
    assert (found["patched-last"], found["patched-in-all"]) == (7.0, in_all)


def test_to_begin_anew_on_one_side_leaves_the_instances_of_the_other() -> None:
    grown = Declaration(3, 3, updated_vms=frozenset({0, 1, 2}), updated_containers=True, fresh_vms=4)
    exercise = LabExercise(cast(Any, DeclaredLab(grown)), log_of("patch", Reader()))
    vms, containers = (exercise._with_fresh(side) for side in (SideName.VM, SideName.CONTAINER))
    assert (vms.vms, vms.updated_vms, vms.fresh_vms) == (2, frozenset(), 5)
    assert (vms.replicas, vms.updated_containers, vms.fresh_containers) == (2, True, 0)
    assert (containers.vms, containers.updated_vms, containers.fresh_vms) == (2, frozenset({0, 1}), 4)
    assert (containers.replicas, containers.updated_containers) == (2, False)
    assert containers.fresh_containers == 1


@pytest.mark.parametrize("rollout", ["rolling", "at-once"])
def test_a_lab_is_declared_as_its_settings_say_until_somebody_declares_otherwise(rollout: str) -> None:
    declared = configured(Settings.model_validate({"rollout": rollout}), Tier(WEB, 3, 4))
    assert (declared.count(SideName.VM), declared.count(SideName.CONTAINER)) == (3, 4)
    assert settings_of(declared) == {"vms": 3, "replicas": 4, "rollout": rollout}
