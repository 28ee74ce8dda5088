"""Everyday operations on a container by Docker's own command."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pairlab.model import COPIED_NOTE, LABEL, ROLE_LABEL, Operation
from pairlab.side._swarm_objects import SNAPSHOT, SwarmObjects

MARK = "org.pairlab.manage"


def read_operations(objects: SwarmObjects, container: str, lab: str, folder: Path) -> Mapping[str, Operation]:
    """See `Side.operations`.

    Args:
        objects: The lab's.
        container: Id of the container.
        lab: The lab's name.
        folder: See there.
    """
    with objects.mapped() as api:
        found = api.inspect_container(container)
    service = found["Config"]["Labels"]["com.docker.swarm.service.name"]
    memory = str(found["HostConfig"]["Memory"])
    copy, image = f"pairlab/manage:{lab}", folder / "image"
    labels = f"LABEL {LABEL}={lab} {ROLE_LABEL}={SNAPSHOT}"

    def docker(*words: str) -> tuple[str, ...]:
        return ("docker", "--host", objects.host, *words)

    return {
        "list": Operation(docker("ps", "--all")),
        "log": Operation(docker("logs", "--tail", "100", container)),
        "shell": Operation(docker("exec", container, "uname", "--nodename")),
        "copy": Operation(
            docker("cp", str(folder / "note"), f"{container}:{COPIED_NOTE}"),
            undo=(docker("exec", "--user", "root", container, "rm", COPIED_NOTE),),
            declared="files of a tier, as configs and secrets of the service",
        ),
        "limit": Operation(
            docker("update", "--memory", memory, container),
            asked=docker("inspect", "--format", "memory {{.HostConfig.Memory}} B", container),
            told=f"memory {memory} B",
            declared="the settings containerMemoryMib and containerCpus",
        ),
        "pause": Operation(docker("pause", container), undo=(docker("unpause", container),)),
        "inspect": Operation(docker("inspect", container)),
        "metrics": Operation(docker("stats", "--no-stream", container)),
        "snapshot": Operation(
            docker("commit", "--change", labels, container, copy), undo=(docker("rmi", copy),)
        ),
        "export": Operation(
            docker("save", "--output", str(image), found["Config"]["Image"]),
            files=(image,),
            declared="the image's recipe, from which another host builds the same",
        ),
        "events": Operation(
            docker("events", "--since", "10m", "--until", "0s", "--filter", f"container={container}")
        ),
        "update": Operation(
            docker(
                "service", "update", "--detach", "--no-resolve-image", "--label-add", f"{MARK}=1", service
            ),
            undo=(
                docker("service", "update", "--detach", "--no-resolve-image", "--label-rm", MARK, service),
            ),
            declared="all of the service's definition, its image too",
        ),
    }
