"""Limits of running containers: which they have, and others set by Docker's own command and taken back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from pairlab.errors import CommandError
from pairlab.model import Instance
from pairlab.run import Runner
from pairlab.side import Given
from pairlab.side._swarm_objects import SwarmObjects

NO_LIMIT = "-1"


def given(objects: SwarmObjects, instances: Iterable[Instance]) -> dict[str, Given]:
    """See `Side.given`."""
    import docker.errors

    found = {}
    with objects.mapped() as api:
        for instance in instances:
            try:
                container = api.inspect_container(instance.handle)
            except (docker.errors.NotFound, docker.errors.NullResource):
                continue  # there is none yet, or none any more
            if container["State"]["Running"]:
                limits = container["HostConfig"]
                found[instance.name] = Given(limits["Memory"] or None, limits["NanoCpus"] / 1e9 or None)
    return found


@contextmanager
def limited(
    objects: SwarmObjects, local: Runner, container: str, cpus: float | None, processes: int | None
) -> Iterator[None]:
    """See `Side.limited`.

    Args:
        objects: The lab's.
        local: Runs the Docker CLI; the engine's API library has no parameter for these limits.
        container: Id of the container.
        cpus: See there.
        processes: See there.
    """
    with objects.mapped() as api:
        before = api.inspect_container(container)["HostConfig"]
        all_cpus = api.info()["NCPU"]
    # The engine takes 0 as `leave it`: no limit is as many as there are.
    cpus_before = before["NanoCpus"] / 1e9 or all_cpus
    processes_before = str(before["PidsLimit"] or NO_LIMIT)
    wanted, undo = list[str](), list[str]()
    if cpus is not None:
        wanted += ["--cpus", f"{cpus:g}"]
        undo += ["--cpus", f"{cpus_before:g}"]
    if processes is not None:
        wanted += ["--pids-limit", str(processes)]
        undo += ["--pids-limit", processes_before]

    def update(flags: list[str]) -> None:
        local.run(["docker", "--host", objects.host, "update", *flags, container])

    try:
        update(wanted)
        yield
    finally:
        try:
            update(undo)
        except CommandError:
            if _is_there(objects, container):  # otherwise its limits went with it
                raise


def _is_there(objects: SwarmObjects, container: str) -> bool:
    with objects.mapped() as api:
        return bool(api.containers(filters={"id": container}))
