"""The ways in which the patch exercise brings an update in, and takes it out again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pairlab.exercise import _inside
from pairlab.exercise import _patch_figures as plan
from pairlab.exercise._client import Client
from pairlab.exercise._fleet import Fleet
from pairlab.model import SideName, Update
from pairlab.results import Variant

if TYPE_CHECKING:
    from pairlab.exercise import Lab

RESTART_TIMEOUT_S = 120.0
STEADY = 20
"""Good answers before and after a change: a second of calm at the client's rate."""


@dataclass(frozen=True)
class Strategy:
    """One way to bring an update in.

    Attributes:
        rolling: One instance after the other.
        naive: All at once.
        in_place: Installed in the running instances; otherwise they are replaced by a rebuilt image's.
    """

    rolling: Variant
    naive: Variant
    in_place: bool

    @property
    def side(self) -> SideName:
        """Whose way it is."""
        assert self.rolling.side is not None
        return self.rolling.side


STRATEGIES = (
    Strategy(plan.VM_IN_PLACE, plan.VM_IN_PLACE_AT_ONCE, in_place=True),
    Strategy(plan.VM_REBUILD, plan.VM_REBUILD_AT_ONCE, in_place=False),
    Strategy(plan.CONTAINER_IN_PLACE, plan.CONTAINER_IN_PLACE_AT_ONCE, in_place=True),
    Strategy(plan.CONTAINER_REBUILD, plan.CONTAINER_REBUILD_AT_ONCE, in_place=False),
)


class Way:
    """Carries one strategy out on a lab.

    Args:
        lab: The lab.
        strategy: How.
        update: What.

    Attributes:
        fleet: The instances.
        building_s: Seconds that the rebuilt image took; none in place.
    """

    def __init__(self, lab: Lab, strategy: Strategy, update: Update) -> None:
        self._lab = lab
        self._strategy = strategy
        self._update = update
        self.fleet = Fleet(lab, strategy.side)
        self.building_s = 0.0

    @property
    def activates(self) -> bool:
        """Whether the running processes become those of the update.

        In a container the first process is the container: to start it anew ends the container.
        """
        return not self._strategy.in_place or self.fleet.side is SideName.VM

    def bring_in(self, client: Client) -> None:
        """One instance after the other."""
        if not self._strategy.in_place:
            self._roll(client, updated=True)
            return
        for index in self.fleet.indexes:
            self._lab.use_updates(self.fleet.admin(index))
            self._install(index)

    def fetched_bytes(self) -> int:
        """Bytes of package files that this fetched; looked up afterwards, so that no time has it in."""
        if not self._strategy.in_place:
            return self._lab.update_bytes()
        packages = self._update.packages
        return sum(self.fleet.at_once(lambda i: _inside.fetched_bytes(self.fleet.admin(i), packages)))

    def bring_in_at_once(self) -> None:
        """All instances at the same time; in place they know the repository already."""
        declared = self._lab.declared
        if self._strategy.in_place:
            self.fleet.at_once(self._install)
        elif self.fleet.side is SideName.VM:
            everything = frozenset(self.fleet.indexes)
            self._lab.declare(replace(declared, updated_vms=everything), commands=False)
        else:
            self._lab.declare(replace(declared, updated_containers=True, at_once=True))

    def take_out(self, client: Client) -> None:
        """Back to the version before, one instance after the other."""
        if self._strategy.in_place:
            for index in self.fleet.indexes:
                self._install(index, back=True)
        else:
            self._roll(client, updated=False)

    def grow(self) -> None:
        """One instance more, declared as the others are; what was killed comes back with it."""
        declared = self._lab.declared
        if self.fleet.side is SideName.CONTAINER:
            grown = replace(declared, replicas=declared.replicas + 1)
        else:
            grown = replace(declared, vms=declared.vms + 1)
            if not self._strategy.in_place:
                grown = replace(grown, updated_vms=frozenset(range(grown.vms)))
        self._lab.declare(grown, refresh=True)

    def _roll(self, client: Client, *, updated: bool) -> None:
        if self.fleet.side is SideName.CONTAINER:
            rolling = replace(self._lab.declared, updated_containers=updated, at_once=False)
            self._lab.declare(rolling)
            return
        for index in self.fleet.indexes:
            # Out of the front door's hands first, so that no request meets a VM that goes.
            self.fleet.admin(index).run(["systemctl", "stop", self._lab.workload.unit])
            client.await_without(self.fleet.name(index), STEADY)
            before = self._lab.declared.updated_vms
            after = before | {index} if updated else before - {index}
            self._lab.declare(replace(self._lab.declared, updated_vms=after), commands=False)

    def _install(self, index: int, *, back: bool = False) -> None:
        admin = self.fleet.admin(index)
        packages = self._update.before if back else self._update.packages
        _inside.install(admin, packages, downgrade=back)
        if self.activates:
            admin.run(["systemctl", "restart", self._lab.workload.unit], timeout_s=RESTART_TIMEOUT_S)
