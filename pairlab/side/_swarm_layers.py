"""The layers of the Docker and Swarm stack below and around one container."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

from pairlab.model import Layer
from pairlab.run import Runner
from pairlab.side import _process
from pairlab.side._footprint import Processes, ended
from pairlab.side._layers import files_bytes, host_kernel, mib
from pairlab.side._swarm_objects import SwarmObjects

DAEMONS = ("dockerd", "containerd")
FILTERED = "2"
"""Value of `Seccomp` in a process's status: a filter decides about each system call."""


def read_layers(objects: SwarmObjects, container: str, own_bytes: int, host: Runner) -> list[Layer]:
    """See `Side.layers`.

    Args:
        objects: The lab's.
        container: Id of the container.
        own_bytes: Bytes of its writable layer.
        host: Runs commands on this machine.

    Raises:
        SideError: The container ended meanwhile.
    """
    with objects.mapped() as api:
        found = api.inspect_container(container)
        image = api.inspect_image(found["Image"])
        versions = {part["Name"]: part["Version"] for part in api.version()["Components"]}
        runtime = api.info()["Runtimes"][found["HostConfig"]["Runtime"]]["path"]
        orchestrator = _orchestrator(objects, api)
    known, processes = _process.status(found["State"]["Pid"]), Processes.seen_by(host)
    if not known:
        raise ended(f"container {container}")
    used = _process.usage(found["State"]["Pid"])
    shim = int(known["PPid"])
    daemons = _process.named(DAEMONS)
    runtime_files = [path] if (path := shutil.which(runtime)) else []
    return [
        host_kernel(host),
        Layer(
            "engine",
            f"Docker Engine {versions['Engine']} ({', '.join(DAEMONS)}), with the programs"
            f" {_process.status(shim).get('Name', '')} and {runtime} on disk",
            "side",
            disk_bytes=files_bytes({*processes.programs([*daemons, shim]), *runtime_files}),
            memory_bytes=processes.mapped(daemons).bytes,
            processes=len(daemons),
        ),
        orchestrator,
        Layer(
            "image",
            f"{len(image['RootFS']['Layers'])} layers of files, no kernel; a layer is kept once, however"
            " many images and containers use it",
            "side",
            disk_bytes=int(image["Size"]),
        ),
        Layer(
            "runner",
            f"{_process.status(shim).get('Name', '')}, which holds its output; {runtime}"
            f" {versions.get(runtime, '')} started it, and is gone".replace("  ", " "),
            "instance",
            memory_bytes=processes.mapped([shim]).bytes,
            processes=1,
        ),
        Layer(
            "boundary",
            _fence(found["HostConfig"], known),
            "instance",
            memory_bytes=used.memory_bytes if used else None,
        ),
        Layer("own-disk", f"a writable layer ({found['Driver']})", "instance", disk_bytes=own_bytes),
    ]


def _orchestrator(objects: SwarmObjects, api: Any) -> Layer:
    counts = {
        "services": len(objects.services(api)),
        "tasks": sum(task["DesiredState"] == "running" for task in objects.tasks(api)),
        "networks": len(objects.networks(api)),
        "configs": len(objects.configs(api)),
        "secrets": len(objects.secrets(api)),
    }
    told = ", ".join(f"{name} ({count})" for name, count in counts.items() if count)
    return Layer(
        "orchestrator", f"Swarm, inside the engine, keeps {told}", "side", objects=sum(counts.values())
    )


def _fence(limits: Mapping[str, Any], known: Mapping[str, str]) -> str:
    memory, cpus = limits.get("Memory") or 0, (limits.get("NanoCpus") or 0) / 1e9
    rights = int(known["CapBnd"], 16).bit_count()
    calls = "a filter of system calls" if known.get("Seccomp") == FILTERED else "no filter of system calls"
    return (
        f"namespaces of the host's kernel, a control group (memory: {mib(memory) if memory else 'all'},"
        f" CPUs: {f'{cpus:g}' if cpus else 'all'}), {calls}, at most {rights} capabilities"
    )
