"""Docker's Swarm mode on this host: one manager on loopback, and never a Swarm that is somebody else's."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pairlab.errors import HostError
from pairlab.host.steps import Host, Step
from pairlab.progress import Progress

# Loopback for all three: nothing of the Swarm listens to the network.
LOOPBACK = "127.0.0.1"
INIT = (
    "swarm", "init", "--advertise-addr", LOOPBACK, "--listen-addr", f"{LOOPBACK}:2377",
    "--data-path-addr", LOOPBACK,
)  # fmt: skip
_START_DOCKER = "start Docker with `invoke lab.setup`, then undo again"


@dataclass(frozen=True)
class Swarm:
    """Docker's Swarm state.

    Attributes:
        state: Docker's word: `active`, `inactive`, `pending`, `locked` or `error`.
        manager: This node manages it.
        node: This node's id.
        nodes: How many nodes it has, as far as this one knows.
        address: Where this node tells the others that it is.
    """

    state: str
    manager: bool
    node: str
    nodes: int
    address: str

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
    found = json.loads(said or "{}")
    if not found.get("LocalNodeState"):  # the client may tell of an empty one where no daemon answers
        return None
    return Swarm(
        state=found["LocalNodeState"],
        manager=found["ControlAvailable"],
        node=found["NodeID"],
        nodes=found.get("Nodes", 0),
        address=found.get("NodeAddr", ""),
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
        node: The node's id in it; empty where setup was interrupted before it knew.

    Returns:
        What was done, in one sentence.

    Raises:
        HostError: Something remains in it, or its state cannot be told.
    """
    found = swarm(host)
    if found is None:
        raise HostError("Docker does not answer, so its Swarm cannot be left", hint=_START_DOCKER)
    if found.state == "inactive":
        return "the Swarm that pairlab initialised is gone already"
    # One that was interrupted is known by what others hardly choose: to be heard by nobody.
    ours = found.node == node or (not node and found.address == LOOPBACK)
    if found.state == "active" and not ours:
        return "left the Swarm alone: it is not the one that pairlab initialised"
    if found.problem:
        raise HostError(f"{found.problem}, and was not left", hint="mend it, or leave it yourself")
    if remains := _remains(host, found):
        raise HostError(
            f"the Swarm still holds {', '.join(remains)}",
            hint="take the labs down first with `invoke lab.down --all`, and remove what is not pairlab's",
        )
    host.admin.run(["docker", "-H", host.settings.docker_host, "swarm", "leave", "--force"], timeout_s=60)
    return "left the Swarm that pairlab had initialised"


def _remains(host: Host, found: Swarm) -> list[str]:
    """What a Swarm holds, such as `service web`, besides this node and what every Swarm has."""
    remains = [f"{found.nodes - 1} more nodes"] if found.nodes > 1 else []
    for kind in ("service", "network", "config", "secret"):
        scope = ["--filter", "scope=swarm"] if kind == "network" else []
        names = host.docker(kind, "ls", *scope, "--format", "{{.Name}}")
        if names is None:
            raise HostError(f"Docker does not tell what {kind}s the Swarm holds", hint=_START_DOCKER)
        remains += [f"{kind} {name}" for name in names.split()]
    return [each for each in remains if each != "network ingress"]
