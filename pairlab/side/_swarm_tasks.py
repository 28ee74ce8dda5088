"""What Swarm tells of the tasks of a lab's services, and what their containers use."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pairlab.side import _process
from pairlab.side._process import Usage

WANTED = ("running", "ready")
"""Desired states of a task that Swarm keeps or is about to start."""

Task = Mapping[str, Any]


def current_tasks(services: Mapping[str, Any], tasks: list[dict[str, Any]]) -> list[Task]:
    """The task of each slot: the newest that Swarm wants; where it gave up, the newest of a declared slot."""
    slots: dict[tuple[str, int], list[Task]] = {}
    for task in tasks:
        if task["ServiceID"] in services and "Slot" in task:
            slots.setdefault((task["ServiceID"], task["Slot"]), []).append(task)
    current = []
    for (service, slot), candidates in slots.items():
        wanted = [task for task in candidates if task["DesiredState"] in WANTED]
        if wanted or slot <= replicas(services[service]):
            # A task in `ready` waits for the one before it: what runs is what people mean.
            live = [task for task in wanted if task["DesiredState"] == "running"]
            current.append(max(live or wanted or candidates, key=lambda task: str(task["CreatedAt"])))
    return current


def replicas(service: Mapping[str, Any]) -> int:
    """The declared number of a service's tasks."""
    return int(service["Spec"]["Mode"].get("Replicated", {}).get("Replicas", 0))


def container_of(task: Task) -> str:
    """Id of a task's container; empty where there is none yet."""
    return str(task["Status"].get("ContainerStatus", {}).get("ContainerID", ""))


def address_of(task: Task) -> str:
    """Its address on the lab's network; empty if none is known."""
    attached = task.get("NetworksAttachments") or []
    return next((address.split("/")[0] for each in attached for address in each["Addresses"] or []), "")


def local_figures(task: Task) -> tuple[Usage | None, float | None]:
    """Use of resources and age of a task's container on this machine; None for what does not run."""
    pid = task["Status"].get("ContainerStatus", {}).get("PID", 0)
    return (_process.usage(pid), _process.age_s(pid)) if pid else (None, None)


def remote_figures(api: Any, task: Task) -> tuple[Usage | None, float | None]:
    """The same by the engine's API, of a container on another machine."""
    import docker.errors

    try:
        started = api.inspect_container(container_of(task))["State"]["StartedAt"]
        sample = api.stats(container_of(task), stream=False, one_shot=True)
    except (docker.errors.NotFound, docker.errors.NullResource):
        return None, None
    memory = sample["memory_stats"]
    if "usage" not in memory:
        return None, None  # it stopped
    idle = memory["stats"].get("total_inactive_file", memory["stats"].get("inactive_file", 0))
    usage = Usage(sample["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9, max(0, memory["usage"] - idle))
    # Both times are of the engine's own clock, which may differ from ours.
    return usage, (moment(sample["read"]) - moment(started)).total_seconds()


def moment(text: str) -> datetime:
    """A time as the engine writes it, with nanoseconds, which `fromisoformat` cuts."""
    return datetime.fromisoformat(text).astimezone(UTC)
