"""Docker's Swarm mode on this host: one manager on loopback, and never a Swarm that is somebody else's."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pairlab.errors import HostError
from pairlab.host.steps import Host, Step
from pairlab.progress import Progress

# Loopback for all three: nothing of the Swarm listens to the network.
INIT = (
    "swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1:2377",
    "--data-path-addr", "127.0.0.1",
)  # fmt: skip


@dataclass(frozen=True)
class Swarm:
    """Docker's Swarm state.

    Attributes:
        state: Docker's word: `active`, `inactive`, `pending`, `locked` or `error`.
        manager: This node manages it.
        node: This node's id.
        nodes: How many nodes it has, as far as this one knows.
    """

    state: str
    manager: bool
    node: str
    nodes: int

    @property
    def problem(self) -> str | None:
        """Why a lab cannot use it and pairlab must not change it; None if neither is so."""
        if self.state == "inactive" or (self.state == "active" and self.manager):
            return None
        if self.state == "active":
            return "this node is a worker in somebody's Swarm"
        return f"this node's Swarm is {self.state}"


def swarm(host: Host) -> Swarm | None:
    """The Swarm's state; None if Docker does not answer.

    Source: Docker Engine API, `GET /info`, field `Swarm`.
    """
    said = host.docker("info", "--format", "{{json .Swarm}}")
    if not said:
        return None
    found = json.loads(said)
    return Swarm(
        state=found["LocalNodeState"],
        manager=found["ControlAvailable"],
        node=found["NodeID"],
        nodes=found.get("Nodes", 0),
    )


def swarm_step(host: Host) -> Step:
    """Initialises Swarm mode."""

    def done() -> bool:
        found = swarm(host)
        return found is not None and found.state == "active" and found.manager

    def apply(progress: Progress) -> None:
        found = swarm(host)
        if found is not None and found.problem:
            raise HostError(
                f"{found.problem}, which pairlab does not touch",
                hint="leave it yourself if it is yours to leave, or set dockerHost to another daemon",
            )
        if done():
            return
        progress("initialising Docker's Swarm mode on loopback")
        host.ledger.record("swarm", {"node": ""})  # before, so that an interrupted one is known
        docker = ["docker", "-H", host.settings.docker_host]
        host.admin.run([*docker, *INIT], timeout_s=60)
        made = swarm(host)
        host.ledger.record("swarm", {"node": made.node if made else ""})

    return Step("Swarm", "initialise Docker's Swarm mode, on loopback only", done=done, apply=apply)


def leave_swarm(host: Host, node: str) -> str:
    """Leave the Swarm that `swarm_step` made.

    Args:
        host: This machine.
        node: The node's id in it.

    Returns:
        What was done, in one sentence.

    Raises:
        HostError: Services remain in it.
    """
    found = swarm(host)
    if found is None or found.state != "active" or found.node != node:
        return "the Swarm that pairlab initialised is gone already"
    services = host.docker("service", "ls", "--format", "{{.Name}}")
    if services:
        raise HostError(
            f"services remain in the Swarm: {', '.join(services.split())}",
            hint="take the labs down first with `invoke lab.down --all`, and remove what is not pairlab's",
        )
    host.admin.run(["docker", "-H", host.settings.docker_host, "swarm", "leave", "--force"], timeout_s=60)
    return "left the Swarm that pairlab had initialised"
