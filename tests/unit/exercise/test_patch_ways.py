"""The ways to bring an update in, as a lab in memory is declared by them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from pairlab.exercise import Declaration
from pairlab.exercise import _patch_figures as plan
from pairlab.exercise._patch_ways import STRATEGIES, Way
from pairlab.model import Settings, SideName, Tier, Update
from pairlab.session.live_lab import configured, settings_of
from stacks.pair import WEB

UPDATE = Update("nginx", "1", "2", {"nginx": "2"}, "security", "", {"nginx": "1"})
CONTAINERS = next(each for each in STRATEGIES if each.rolling == plan.CONTAINER_REBUILD)


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
    assert way.bring_in(client) == 10
    way.take_out(client)
    way.bring_in_at_once()
    way.take_out(client)
    assert [(each.updated_containers, each.at_once) for each in lab.history] == [
        (True, False),
        (False, False),
        (True, True),
        (False, False),
    ]


@pytest.mark.parametrize("rollout", ["rolling", "at-once"])
def test_a_lab_is_declared_as_its_settings_say_until_somebody_declares_otherwise(rollout: str) -> None:
    declared = configured(Settings.model_validate({"rollout": rollout}), Tier(WEB, 3, 4))
    assert (declared.count(SideName.VM), declared.count(SideName.CONTAINER)) == (3, 4)
    assert settings_of(declared) == {"vms": 3, "replicas": 4, "rollout": rollout}
