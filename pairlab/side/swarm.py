"""The container side on Docker Swarm: tasks of one lab's services."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pairlab.errors import SideError
from pairlab.model import IMAGE_LABEL, MAX_INSTANCES, TIER_LABEL, Instance, Layer, Operation, SideName
from pairlab.run import Runner
from pairlab.side import Footprint, Given, SideContext, Started, _process, pick
from pairlab.side._docker_exec import DockerExecRunner
from pairlab.side._footprint import Processes, elsewhere, ended, living
from pairlab.side._layers import here
from pairlab.side._process import Usage
from pairlab.side._swarm_layers import read_layers
from pairlab.side._swarm_limits import given, limited
from pairlab.side._swarm_objects import SwarmObjects
from pairlab.side._swarm_operations import read_operations
from pairlab.side._swarm_tasks import (
    Task,
    address_of,
    container_of,
    current_tasks,
    local_figures,
    moment,
    remote_figures,
)

SHORT_ID = 12


class LabSide:
    """See `Side`. An instance is a slot of a service; the task in it changes, its number does not."""

    name: SideName = SideName.CONTAINER
    kind: str = "swarm"
    package: str = "docker"
    engine: str = "dockerd"
    supervisor: str = "Swarm"

    def __init__(self, context: SideContext) -> None:
        self._context = context
        self._objects = SwarmObjects(context)

    @property
    def is_local(self) -> bool:
        """See `Side`."""
        return self._objects.is_local

    def instances(self) -> list[Instance]:
        """See `Side.instances`; memory is that of the container's control group, without idle file cache."""
        with self._objects.mapped() as api:
            services = {service["ID"]: service for service in self._objects.services(api)}
            tasks = current_tasks(services, self._objects.tasks(api))
            figures = self._figures(api, tasks)
        found = [
            self._instance(services[task["ServiceID"]], task, usage, uptime_s)
            for task, (usage, uptime_s) in zip(tasks, figures, strict=True)
        ]
        return sorted(found, key=lambda instance: (instance.tier, instance.index))

    def strangers(self) -> list[str]:
        """See `Side.strangers`."""
        with self._objects.mapped() as api:
            return self._objects.strange_containers(api)

    def helpers(self) -> Mapping[str, str]:
        """See `Side.helpers`; those of the VMs' side too."""
        with self._objects.mapped() as api:
            return self._objects.helpers(api)

    def given(self, instances: Iterable[Instance]) -> Mapping[str, Given]:
        """See `Side.given`: its container's limits, which may differ from its service's."""
        return given(self._objects, instances)

    def runner(self, index: int, *, tier: str = "", admin: bool = False) -> Runner:
        """See `Side.runner`."""
        return self._exec(index, tier, admin=admin)

    def _exec(self, index: int, tier: str, *, admin: bool = False) -> DockerExecRunner:
        instance = pick(self.instances(), self.name, tier, index)
        if instance.state not in ("running", "starting"):
            raise SideError(
                f"{instance.name} does not run: it is {instance.state}",
                hint="`invoke lab.logs` may show why; `invoke lab.up` brings it back",
            )
        user = "root" if admin else ""
        return DockerExecRunner(self._objects.host, instance.handle, self._context.local, user)

    def argv(self, index: int, words: Sequence[str], *, tier: str = "") -> list[str]:
        """See `Side.argv`."""
        return self._exec(index, tier).argv(words, ["--interactive"])

    def copy_in(self, index: int, source: Path, target: str, *, tier: str = "") -> None:
        """See `Side.copy_in`."""
        inside = self._exec(index, tier)
        inside.local.run(["docker", "--host", inside.host, "cp", str(source), f"{inside.container}:{target}"])

    def restart(self, index: int, *, tier: str = "") -> None:
        """See `Side.restart`: the engine restarts the container, if the orchestrator does not step in."""
        container = pick(self.instances(), self.name, tier, index).handle
        with self._objects.mapped() as api:
            api.restart(container)

    def stop(self, index: int, *, tier: str = "") -> None:
        """See `Side.stop`."""
        container = pick(self.instances(), self.name, tier, index).handle
        with self._objects.mapped() as api:
            api.stop(container)

    def start(self, index: int, *, tier: str = "") -> None:
        """See `Side.start`."""
        raise SideError(
            f"{Instance(self.name, index, '', tier=tier).name} cannot be started by hand",
            hint="Swarm starts another container in the place of one that ended",
        )

    def started(self, index: int, *, tier: str = "") -> Started | None:
        """See `Side.started`; Swarm trusts a container once its health check is good."""
        task = self._running_task(index, tier)
        if not self._objects.is_local:
            return None
        age_s = _process.age_s(task["Status"]["ContainerStatus"]["PID"])
        if age_s is None:
            raise ended(Instance(self.name, index, "", tier=tier).name)
        process = time.monotonic() - age_s
        since_s = (datetime.now(UTC) - moment(task["Status"]["Timestamp"])).total_seconds()
        return Started(process, time.monotonic() - since_s)

    def footprint(self, index: int, *, tier: str = "") -> Footprint:
        """See `Side.footprint`: the processes of its control group, and the shim that holds them."""
        task, name = self._running_task(index, tier), Instance(self.name, index, "", tier=tier).name
        if not self._objects.is_local:
            raise elsewhere(name)
        pid = task["Status"]["ContainerStatus"]["PID"]
        processes = Processes.seen_by(self._context.local)
        with self._objects.mapped() as api:
            (sizes,) = api.containers(filters={"id": container_of(task)}, size=True)
            limit = api.inspect_container(container_of(task))["HostConfig"]["Memory"]
        own = int(sizes.get("SizeRw", 0))
        with living(name):
            shim = processes.parent(pid)
            everything = [*processes.members(pid), shim]
            return Footprint(
                memory_bytes=processes.mapped(everything).bytes,
                holder_bytes=processes.mapped([shim]).bytes,
                guest_bytes=None,
                translated_bytes=None,
                charge=processes.charge(pid),
                given_bytes=limit,
                processes=len(everything),
                threads=processes.threads(everything),
                descriptors=processes.descriptors(everything),
                own_disk_bytes=own,
                shared_disk_bytes=int(sizes["SizeRootFs"]) - own,
            )

    def kill(self, index: int, *, tier: str = "") -> None:
        """See `Side.kill`."""
        container = pick(self.instances(), self.name, tier, index).handle
        with self._objects.mapped() as api:
            api.kill(container)

    def freeze(self, index: int, *, tier: str = "") -> None:
        """See `Side.freeze`: the kernel schedules its processes no more, but still takes in connections."""
        container = pick(self.instances(), self.name, tier, index).handle
        with self._objects.mapped() as api:
            if not _is_paused(api, container):
                api.pause(container)

    def thaw(self, index: int, *, tier: str = "") -> None:
        """See `Side.thaw`."""
        container = pick(self.instances(), self.name, tier, index).handle
        with self._objects.mapped() as api:
            if container and _is_paused(api, container):
                api.unpause(container)

    def keep(self, index: int, *, tier: str = "") -> None:
        """See `Side.keep`."""
        raise SideError(
            f"{Instance(self.name, index, '', tier=tier).name} cannot be kept to be put back: an engine makes"
            " an image of a container's files, from which others start, but puts no running one back",
            hint="declare the image before again: what starts from it begins afresh",
        )

    def put_back(self, index: int, *, tier: str = "") -> None:
        """See `Side.put_back`."""
        self.keep(index, tier=tier)

    def rollbacks(self) -> list[str]:
        """See `Side.rollbacks`."""
        with self._objects.mapped() as api:
            return self._objects.rollbacks(api)

    def limited(
        self, index: int, *, tier: str = "", cpus: float | None = None, processes: int | None = None
    ) -> AbstractContextManager[None]:
        """See `Side.limited`; one that takes the place of this container has none of it."""
        container = container_of(self._running_task(index, tier))
        return limited(self._objects, self._context.local, container, cpus, processes)

    def written_bytes(self, index: int, *, tier: str = "") -> int:
        """See `Side.written_bytes`: the container's writable layer."""
        container = pick(self.instances(), self.name, tier, index).handle
        with self._objects.mapped() as api:
            (found,) = api.containers(filters={"id": container}, size=True)
        return int(found.get("SizeRw", 0))

    def host(self) -> Runner:
        """See `Side.host`."""
        return here(self._objects.is_local, self._context.local)

    def layers(self, index: int, *, tier: str = "") -> list[Layer]:
        """See `Side.layers`."""
        host, container = self.host(), pick(self.instances(), self.name, tier, index).handle
        return read_layers(self._objects, container, self.written_bytes(index, tier=tier), host)

    def operations(self, index: int, folder: Path, *, tier: str = "") -> Mapping[str, Operation]:
        """See `Side.operations`."""
        self.host()
        container = pick(self.instances(), self.name, tier, index).handle
        return read_operations(self._objects, container, self._context.lab, folder)

    def logs(
        self,
        index: int,
        *,
        tier: str = "",
        lines: int = 100,
        follow: bool = False,
        on_line: Callable[[str], None],
    ) -> None:
        """See `Side.logs`: what the container's main process printed."""
        container = pick(self.instances(), self.name, tier, index).handle
        if not container:
            return  # Swarm has not started it yet: there is no log
        follow_flag = ["--follow"] if follow else []
        self._context.local.run(
            ["docker", "--host", self._objects.host, "logs", "--tail", str(lines), *follow_flag, container],
            on_line=on_line,
        )

    def console(self, index: int, *, tier: str = "") -> int:
        """See `Side.console`."""
        name = pick(self.instances(), self.name, tier, index).name
        raise SideError(
            f"{name} is a container, and containers have no serial console",
            hint=f"`invoke lab.logs {name}` shows what it printed; `invoke lab.shell {name}` goes inside",
        )

    def watching(self) -> AbstractContextManager[None]:
        """See `Side.watching`: the engine itself keeps what containers print."""
        return nullcontext()

    def console_tail(self, index: int, lines: int = 30, *, tier: str = "") -> str:
        """See `Side.console_tail`."""
        tail: list[str] = []
        self.logs(index, tier=tier, lines=lines, on_line=tail.append)
        return "\n".join(tail)

    def leftovers(self) -> list[str]:
        """See `Side.leftovers`."""
        return self._objects.leftovers()

    def sweep(self, *, progress: Callable[[str], None]) -> list[str]:
        """See `Side.sweep`."""
        return self._objects.sweep(progress)

    def discard(self, names: Collection[str], *, progress: Callable[[str], None]) -> list[str]:
        """See `Side.discard`."""
        return self._objects.discard(names, progress)

    def close(self) -> None:
        """See `Side.close`."""
        self._objects.close()

    def _running_task(self, index: int, tier: str) -> Task:
        """The task of a running instance."""
        wanted = pick(self.instances(), self.name, tier, index)
        with self._objects.mapped() as api:
            for task in self._objects.tasks(api):
                if container_of(task)[:SHORT_ID] == wanted.handle and task["Status"]["State"] == "running":
                    return task
        raise SideError(
            f"{wanted.name} does not run: it is {wanted.state}",
            hint="`invoke lab.logs` may show why; `invoke lab.up` brings it back",
        )

    def _instance(
        self, service: Mapping[str, Any], task: Task, usage: Usage | None, uptime_s: float | None
    ) -> Instance:
        labels = task["Spec"]["ContainerSpec"].get("Labels") or {}
        return Instance(
            self.name,
            task["Slot"] - 1,
            task["Status"]["State"],
            address=address_of(task),
            image=labels.get(IMAGE_LABEL, ""),
            uptime_s=uptime_s,
            cpu_s=usage.cpu_s if usage else None,
            memory_bytes=usage.memory_bytes if usage else None,
            handle=container_of(task)[:SHORT_ID],
            tier=service["Spec"]["Labels"].get(TIER_LABEL, ""),
        )

    def _figures(self, api: Any, tasks: list[Task]) -> list[tuple[Usage | None, float | None]]:
        """Use of resources and age of each task's container; None for what does not run."""
        if self._objects.is_local:
            return [local_figures(task) for task in tasks]
        # The engine answers with its next sample, up to a second later: ask for all at once.
        with ThreadPoolExecutor(MAX_INSTANCES) as pool:
            return list(pool.map(lambda task: remote_figures(api, task), tasks))


def _is_paused(api: Any, container: str) -> bool:
    return bool(api.inspect_container(container)["State"]["Paused"])
