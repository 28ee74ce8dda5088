"""Waiting until a service is what was asked for, and until it is gone."""

from __future__ import annotations

from collections.abc import Set
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pairlab.errors import PluginError
from pairlab.plugin.docker.client import CONFLICT, found, wait_until
from pairlab.plugin.resource import Context, Values

SERVICE_LABEL = "com.docker.swarm.service.id"
GIVEN_UP = ("paused", "rollback_paused", "rollback_completed")
UNDER_WAY = ("updating", "rollback_started")
HOPELESS = "No such image"
ALIVE = ("new", "pending", "assigned", "accepted", "preparing", "ready", "starting", "running")
MOST_AT_ONCE = 16
CLEAN_UP_S = 30.0
"""Seconds beyond its containers' grace that a removed service may take."""
PLACES = ("ContainerSpec", "Networks", "Resources", "RestartPolicy", "LogDriver", "ForceUpdate")
"""Of a task's specification, what makes Swarm start it anew.

Source: swarmkit, manager/orchestrator/task.go, IsTaskDirty
"""


def task_ids(api: Any, service_id: str) -> set[str]:
    """Ids of a service's tasks, with those that Swarm keeps as its history."""
    return {task["ID"] for task in api.tasks(filters={"service": service_id})}


def wait_converged(
    api: Any, service_id: str, timeout_s: float, context: Context, earlier: Set[str] = frozenset()
) -> None:
    """Wait until as many tasks run as are wanted, all of the service's present specification.

    Args:
        api: The engine.
        service_id: The service.
        timeout_s: Seconds to wait at most.
        context: Of the request.
        earlier: Ids of tasks whose errors are of before.

    Raises:
        PluginError: Swarm gave up, or time is up; names the tasks' error.
    """
    if wait_until(lambda: _converged(api, service_id, earlier), timeout_s, context):
        return
    service = api.inspect_service(service_id)
    tasks = api.tasks(filters={"service": service_id})
    running = sum(task["Status"]["State"] == "running" for task in tasks)
    raise PluginError(
        f"service {service['Spec']['Name']!r} did not converge within {timeout_s:g} s: "
        f"{running} running, {_wanted(service)} wanted" + _told(_errors(tasks, earlier)),
        hint=f"`docker service ps --no-trunc {service['Spec']['Name']}` and `docker service logs` show why",
    )


def _converged(api: Any, service_id: str, earlier: Set[str]) -> bool:
    service = api.inspect_service(service_id)
    tasks = api.tasks(filters={"service": service_id})
    name = service["Spec"]["Name"]
    update = service.get("UpdateStatus") or {}
    errors = _errors(tasks, earlier)
    if update.get("State") in GIVEN_UP:
        deed = "was rolled back" if update["State"].startswith("rollback") else "was paused"
        raise PluginError(
            f"the update of service {name!r} {deed}: {update.get('Message', '')}" + _told(errors),
            hint=f"`docker service ps --no-trunc {name}` shows why; correct it and run again",
        )
    if any(HOPELESS in error for error in errors):
        raise PluginError(
            f"service {name!r} cannot start" + _told(errors),
            hint="no registry is asked: build the image first, with `invoke image.build` or `docker build`",
        )
    wanted = [task for task in tasks if task.get("DesiredState") == "running"]
    running = [task for task in wanted if task["Status"]["State"] == "running"]
    present = [task for task in running if _is_present(task, service)]
    if update.get("State") in UNDER_WAY or len(wanted) != len(running):
        return False
    return len(present) == len(running) == _wanted(service, len(wanted))


def _is_present(task: Values, service: Values) -> bool:
    old, new = task["Spec"], service["Spec"]["TaskTemplate"]
    return all((old.get(place) or None) == (new.get(place) or None) for place in PLACES)


def _wanted(service: Values, of_global: int = 1) -> int:
    """Number of tasks; a global service has as many as Swarm finds nodes for, and one at least."""
    replicated = service["Spec"]["Mode"].get("Replicated")
    return max(1, of_global) if replicated is None else int(replicated.get("Replicas", 1))


def _errors(tasks: list[Values], earlier: Set[str]) -> list[str]:
    """What the youngest failed tasks said, but for earlier ones, each message once."""
    failed = [task for task in tasks if task["Status"].get("Err") and task["ID"] not in earlier]
    failed.sort(key=lambda task: str(task["Status"].get("Timestamp")), reverse=True)
    return list(dict.fromkeys(task["Status"]["Err"] for task in failed))[:3]


def _told(errors: list[str]) -> str:
    return f"; tasks say: {'; '.join(errors)}" if errors else ""


def remove_service(api: Any, service_id: str, grace_s: float, context: Context) -> None:
    """Remove a service and wait until its containers are gone.

    Swarm takes seconds to begin with that and seconds to clean up, so its containers are stopped here, as
    gently as it would, and removed.

    Args:
        api: The engine.
        service_id: The service; fine if it is gone.
        grace_s: Seconds that a container gets to end by itself.
        context: Of the request.

    Raises:
        PluginError: Some are left.
    """
    found(api.remove_service, service_id)
    ended: set[str] = set()
    with ThreadPoolExecutor(max_workers=MOST_AT_ONCE) as pool:

        def gone() -> bool:
            containers = _containers(api, service_id)
            # A task that was about to start may bring its container yet.
            starting = [task for task in api.tasks() if task["ServiceID"] == service_id and _is_alive(task)]
            new = [container for container in containers if container not in ended]
            ended.update(new)
            list(pool.map(lambda container: _end(api, container, grace_s), new))
            return not containers and not starting

        if not wait_until(gone, grace_s + CLEAN_UP_S, context):
            left = ", ".join(_containers(api, service_id)) or "tasks"
            raise PluginError(
                f"service {service_id} was removed, but of it is left: {left}",
                hint="the engine's log says what it waits for; run it again",
            )


def _containers(api: Any, service_id: str) -> list[str]:
    listed = api.containers(all=True, filters={"label": f"{SERVICE_LABEL}={service_id}"})
    return [container["Id"] for container in listed]


def _is_alive(task: Values) -> bool:
    return task["Status"]["State"] in ALIVE


def _end(api: Any, container: str, grace_s: float) -> None:
    from docker.errors import APIError

    found(lambda: api.stop(container, timeout=round(grace_s)))
    try:
        found(lambda: api.remove_container(container, v=True, force=True))
    except APIError as error:
        if error.status_code != CONFLICT:  # Swarm is removing it already
            raise
