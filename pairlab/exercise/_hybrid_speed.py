"""What programs keep of the speed of this host in each of the four: some of those of `overhead`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from pairlab.errors import SideError
from pairlab.exercise import _hybrid_figures as plan
from pairlab.exercise import _overhead_tasks as tasks
from pairlab.exercise._guest_engine import EachInContainer
from pairlab.exercise._hybrid_look import Nest
from pairlab.exercise._overhead_figures import SHARES
from pairlab.exercise._overhead_place import SCRATCH, Place, check_same, unpack, unpacked_here, usable_cpus
from pairlab.model import SideName, Tools
from pairlab.results import Variant
from pairlab.run import Runner

if TYPE_CHECKING:
    from pairlab.exercise import Log

IN_MEMORY = "/dev/shm"
"""Of a VM: what lies there takes nothing of its disk, which is another figure of this exercise."""
TASKS = [task for task in (*tasks.COMPUTE, *tasks.KERNEL) if task.figure in plan.SPEEDS]
VM, CONTAINER = SideName.VM, SideName.CONTAINER


def compare_speeds(nest: Nest, log: Log) -> list[str]:
    """Do each task on this host and in all four before the next; returns a line for each.

    Args:
        nest: The lab.
        log: Takes each speed, and its share of this host's.

    Raises:
        ExerciseError: The programs did not arrive whole, or one of them failed.
    """
    try:
        host = nest.lab.sides[VM].host()
    except SideError as error:
        for variant in plan.FOUR:
            with log.doing(variant):
                log.finding(plan.COMPARED, f"{error.message}: {error.hint}", "cannot")
        return []
    sides, tools = nest.lab.sides, nest.lab.tools()
    with ExitStack() as stack:
        here = stack.enter_context(unpacked_here(host, tools))

        inside: dict[Variant, tuple[Runner, str]] = {
            plan.VM: (sides[VM].runner(0), IN_MEMORY),
            plan.CONTAINER: (sides[CONTAINER].runner(0), SCRATCH),
            plan.IN_VM: (nest.engine.admin, IN_MEMORY),
            plan.IN_CONTAINER: (nest.lab.machine(), IN_MEMORY),
        }
        folders = stack.enter_context(_brought(tools, inside.values()))
        places = [Place(plan.HOST, host, here, usable_cpus(host), host)]
        for (variant, (runner, _)), folder in zip(inside.items(), folders, strict=True):
            if variant is plan.IN_VM:
                runner = EachInContainer(runner, nest.archive.image_id, folder)
            places.append(Place(variant, runner, folder, usable_cpus(runner), host))
        check_same(places)
        return [_do(task, places, log) for task in TASKS]


@contextmanager
def _brought(tools: Tools, where: Collection[tuple[Runner, str]]) -> Iterator[list[str]]:
    """The programs in a folder of each instance, brought to all at once; gone afterwards."""
    with ThreadPoolExecutor() as pool:
        coming = [pool.submit(unpack, runner, tools, scratch) for runner, scratch in where]
    try:
        yield [each.result() for each in coming]
    finally:
        for (runner, _), each in zip(where, coming, strict=True):
            if each.exception() is None:
                runner.run(["rm", "-r", each.result()])


def _do(task: tasks.Task, places: list[Place], log: Log) -> str:
    speeds = {place.variant.key: place.measure(task, cores=1).value for place in places}
    shares = {key: 100 * speed / speeds[plan.HOST.key] for key, speed in speeds.items()}
    for place in places:
        with log.doing(place.variant):
            log.sample(task.figure, speeds[place.variant.key])
            if place.variant is not plan.HOST:
                log.sample(SHARES[task.figure.key], shares[place.variant.key])
    told = ", ".join(f"{place.variant.title} {shares[place.variant.key]:.3g} %" for place in places[1:])
    return f"{task.figure.title}: {told}"
