"""What nested instances and plain ones take of the host, whose kernel they have, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pairlab.errors import ExerciseError, SideError
from pairlab.exercise import _hybrid_figures as plan
from pairlab.exercise._fleet import Fleet
from pairlab.exercise._guest_engine import HOLDER, GuestEngine
from pairlab.exercise._stack_inside import boot_id, crew
from pairlab.model import MACHINE, Instance, SideName
from pairlab.results import Figure, Variant, Verdict
from pairlab.run import Runner

if TYPE_CHECKING:
    from pairlab.exercise import ContainerArchive, Lab, Log

VM, CONTAINER = SideName.VM, SideName.CONTAINER
MIB = 1024**2
_POWER = """
sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status
id -u
test -e /dev/kvm && echo kvm || echo none
"""


@dataclass(frozen=True)
class Nest:
    """A lab with both stacks one inside the other.

    Attributes:
        lab: The lab.
        host: Number of the VM that has an engine.
        engine: That engine.
        archive: The image that it was given.
    """

    lab: Lab
    host: int
    engine: GuestEngine
    archive: ContainerArchive


def weigh(nest: Nest, log: Log) -> list[str]:
    """Keep what each of the four takes of its host; returns it in lines."""
    lab, lines = nest.lab, list[str]()
    vms = Fleet(lab, VM)
    vms.at_once(lambda index: vms.usual(index).run(["sync"]), (0, nest.host))
    images = {
        plan.VM: lab.image_bytes(VM),
        plan.CONTAINER: lab.image_bytes(CONTAINER),
        plan.IN_VM: lab.nested_bytes(VM) + nest.archive.size_bytes,
        plan.IN_CONTAINER: lab.nested_bytes(CONTAINER),
    }
    for variant, side, index, tier in (
        (plan.VM, VM, 0, ""),
        (plan.CONTAINER, CONTAINER, 0, ""),
        (plan.IN_VM, VM, nest.host, ""),
        (plan.IN_CONTAINER, CONTAINER, 0, MACHINE),
    ):
        name = Instance(side, index, "", tier=tier).name
        with log.doing(variant):
            log.sample(plan.IMAGE, images[variant])
            try:
                found = lab.sides[side].footprint(index, tier=tier)
            except SideError as error:
                log.finding("what does it take of its host?", f"{error.message}: {error.hint}", "cannot")
                continue
            charged = found.charge.memory_bytes if found.charge else None
            values: dict[Figure, int | None] = {
                plan.MEMORY: found.memory_bytes,
                plan.CHARGED: charged,
                plan.DISK: found.own_disk_bytes,
                plan.PROCESSES: found.processes,
            }
            for figure, value in values.items():
                if value is not None:
                    log.sample(figure, value, instance=name)
            lines.append(
                f"{variant.title}: {found.memory_bytes / MIB:.0f} MiB of memory,"
                f" {found.own_disk_bytes / MIB:.1f} MiB of disk, {found.processes} processes"
            )
    inside = crew(nest.engine.admin, lab.workload.command)
    with log.doing(plan.IN_VM):
        log.sample(plan.ENGINE, sum(p.anonymous_bytes for p in inside.services if p.name == HOLDER))
    return lines


def tell_kernels(nest: Nest, log: Log) -> list[str]:
    """Whose kernel each has, by boot ids; and what the container that holds a VM may do to its host.

    Raises:
        ExerciseError: What nests is not where it is meant to be.
    """
    lab = nest.lab
    hosts = boot_id(lab.sides[VM].host())
    plain = {side: boot_id(lab.sides[side].runner(0)) for side in SideName}
    outer, inner = boot_id(nest.engine.admin), nest.engine.boot_id()
    holder = lab.sides[CONTAINER].runner(0, tier=MACHINE)
    held, machine = boot_id(holder), boot_id(lab.machine())
    others = {hosts, plain[VM], outer}
    if inner != outer or held != hosts or machine in others or outer in (hosts, plain[VM]):
        raise ExerciseError(
            f"the kernels are not whose they should be: host {hosts}, VM with engine {outer}, container in it"
            f" {inner}; container that holds a VM {held}, its VM {machine}",
            hint="the figures would be of something else: `invoke lab.up` puts the lab right",
        )
    told: list[tuple[Variant, str, Verdict]] = [
        (plan.VM, "its own", "yes"),
        (plan.CONTAINER, "this host's", "no"),
        (plan.IN_VM, f"its VM's, boot id {inner[:8]}…; a flaw in it opens that VM, not this host", "yes"),
        (
            plan.IN_CONTAINER,
            f"its own, boot id {machine[:8]}…; QEMU, which holds it, runs on this host's",
            "yes",
        ),
    ]
    for variant, answer, verdict in told:
        with log.doing(variant):
            log.finding(plan.THE_KERNEL, answer, verdict)
    lines = [f"{variant.title}: the kernel is {answer}" for variant, answer, _ in told]
    with log.doing(plan.IN_VM):
        log.finding(
            plan.WATCHED,
            "nobody on this host: libvirt sees a VM that runs, and the VM's engine has no daemon; the front"
            " door asks it",
            "no",
        )
    with log.doing(plan.IN_CONTAINER):
        supervisor = lab.sides[CONTAINER].supervisor or "nobody"
        log.finding(
            plan.WATCHED,
            f"{supervisor}, as any container: its health check asks the workload in the VM",
            "yes",
        )
        lines += _tell_power(holder, log)
    return lines


def _tell_power(holder: Runner, log: Log) -> list[str]:
    """What the container that holds a VM has of its host.

    Source: proc_pid_status(5), CapEff.
    """
    capabilities, user, device = holder.run(["sh", "-c", _POWER]).stdout.split()
    has_none = int(capabilities, 16) == 0 and user != "0"
    power = f"user {user}, capabilities {capabilities}, device /dev/kvm: {device}"
    log.finding(
        plan.PRIVILEGES,
        f"yes: QEMU emulates and passes connections on as any program could ({power})"
        if has_none
        else f"no: it has some ({power})",
        "yes" if has_none else "no",
    )
    if device == "none":
        answer = (
            "there is no /dev/kvm in it, as its orchestrator gives it no device: so QEMU emulates, also where"
            " the VMs beside it need not"
        )
        log.finding(plan.HARDWARE, answer, "cannot")
    else:
        log.finding(plan.HARDWARE, "it was given /dev/kvm", "yes")
    return [power]
