"""The faults of the recovery exercise: how each is done, who could notice, and how a person repairs it."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from pairlab.errors import ExerciseError
from pairlab.exercise import _inside
from pairlab.exercise import _recovery_figures as plan
from pairlab.exercise._fleet import Fleet
from pairlab.results import Variant
from pairlab.run import Runner
from pairlab.side import pick

if TYPE_CHECKING:
    from pairlab.exercise import Lab, Log

INDEX = 0
"""Number of the instance that each fault is done to."""
NOBODY_S = 4.0
"""How long one is watched that nobody is told to bring back; a service manager takes about a second."""
SILENT_S = 7.0
"""The same where the front door is still to find out: its health checks and its clients wait for answers."""
HANG_S = 40.0
"""The same where an orchestrator is told to bring it back, but may not notice. It brings back one that hangs
after half a minute: three health checks, each of 5 s and 2 s after the one before; 5 s to end; 1 s; a start.
"""
ALONE_S = 8.0
"""The same where an orchestrator is told to do nothing; otherwise it takes about half of that."""
SUPERVISOR_S = 90.0
"""How long a supervisor gets; an orchestrator awaits several failed health checks and a grace period."""
ORCHESTRATOR = "the orchestrator"
DROP_IN = "/run/systemd/system/{unit}.d/pairlab-recovery.conf"
"""Below /run: gone after a reboot in any case."""


class Fault(ABC):
    """One fault, of one instance.

    Attributes:
        variant: Its key is also that of the step that teaches it.
        watch_s: How long to wait whether the instance comes back by itself.
        supervisor: Who is told to bring it back; empty for nobody.
        renews: Whoever serves afterwards was started anew.
    """

    variant: ClassVar[Variant]
    watch_s: ClassVar[float] = NOBODY_S
    supervisor: ClassVar[str] = ""
    renews: ClassVar[bool] = True

    def __init__(self, lab: Lab) -> None:
        assert self.variant.side is not None
        self.lab = lab
        self.side = lab.sides[self.variant.side]
        self.fleet = Fleet(lab, self.variant.side)

    @contextmanager
    def arranged(self, log: Log) -> Iterator[None]:
        """While open, all is as the fault needs it; nothing of that stays."""
        yield

    @abstractmethod
    def strike(self) -> None:
        """Do it; when this returns, nothing of the instance before answers any more."""

    @abstractmethod
    def repair(self) -> None:
        """What a person does, who knows."""

    def is_coming_back(self) -> bool:
        """Whether somebody has begun to bring it back, which no client can see yet."""
        return False

    def stack_says(self) -> tuple[str, bool]:
        """What its stack tells of the instance, now; and whether that tells of the fault."""
        found = pick(self.side.instances(), self.side.name, "", INDEX)
        return f"{self.side.kind} says {found.state!r}", not found.is_running

    def start(self) -> str:
        """Differs after every start of what serves."""
        return _inside.start_of_workload(self.fleet.tracer(INDEX), self.lab.workload)


class VmApp(Fault):
    """The workload's main process crashes in a VM whose unit is as its package ships it."""

    variant = plan.VM_APP

    def strike(self) -> None:
        """See `Fault.strike`."""
        _inside.end_workload(self._admin, self.lab.workload, "KILL")

    def repair(self) -> None:
        """See `Fault.repair`: log in, start the service."""
        self._admin.run(["systemctl", "start", self.lab.workload.unit])

    def stack_says(self) -> tuple[str, bool]:
        """See `Fault.stack_says`: the service manager inside supervises it."""
        names = ("ActiveState", "Result", "Restart", "WatchdogUSec")
        flags = [f"--property={name}" for name in names]
        shown = self._admin.run(["systemctl", "show", *flags, self.lab.workload.unit]).stdout
        told = dict(line.split("=", 1) for line in shown.splitlines())
        said = ", ".join(f"{name}={told[name]}" for name in names)
        return f"systemd says {said}", told["ActiveState"] != "active"

    @property
    def _admin(self) -> Runner:
        return self.fleet.admin(INDEX)


class VmAppTold(VmApp):
    """The same, where the unit says that it is to be restarted."""

    variant = plan.VM_APP_TOLD
    watch_s = SUPERVISOR_S
    supervisor = "systemd"

    @contextmanager
    def arranged(self, log: Log) -> Iterator[None]:
        """See `Fault.arranged`: a drop-in for the unit."""
        drop_in = DROP_IN.format(unit=self.lab.workload.unit)
        write = 'mkdir -p "${1%/*}" && cat > "$1" && systemctl daemon-reload'
        self._admin.run(["sh", "-c", write, "sh", drop_in], input_text="[Service]\nRestart=always\n")
        try:
            yield
        finally:
            remove = 'rm "$1" && rmdir "${1%/*}" && systemctl daemon-reload'
            self._admin.run(["sh", "-c", remove, "sh", drop_in])


class VmHung(VmApp):
    """The serving processes hang in a VM: they stay, and answer nothing."""

    variant = plan.VM_HUNG
    watch_s = SILENT_S

    def strike(self) -> None:
        """See `Fault.strike`."""
        _inside.stop_servers(self._admin, self.lab.workload)

    def repair(self) -> None:
        """See `Fault.repair`: log in, restart the service."""
        self._admin.run(["systemctl", "restart", self.lab.workload.unit])


class VmKilled(Fault):
    """The power of a VM fails."""

    variant = plan.VM_KILLED

    def strike(self) -> None:
        """See `Fault.strike`."""
        self.side.kill(INDEX)

    def repair(self) -> None:
        """See `Fault.repair`: declare what is declared already, so that drift is put right."""
        self.lab.declare(self.lab.declared, refresh=True)

    def is_coming_back(self) -> bool:
        """See `Fault.is_coming_back`: to boot takes longer than it is watched."""
        _, knows = self.stack_says()
        return not knows


class Frozen(Fault):
    """An instance stops where it is."""

    watch_s = SILENT_S
    renews = False

    @contextmanager
    def arranged(self, log: Log) -> Iterator[None]:
        """See `Fault.arranged`; also thaws it whatever happens, and puts a VM's clock right."""
        before_s = _inside.clock_ahead_s(self.fleet.usual(INDEX))
        try:
            yield
        finally:
            self.side.thaw(INDEX)
        behind_s = before_s - _inside.clock_ahead_s(self.fleet.usual(INDEX))
        log.sample(plan.CLOCK, behind_s, instance=self.fleet.name(INDEX))
        if self.variant.side is plan.VM:  # a container has no clock of its own
            self.fleet.admin(INDEX).run(["date", f"--set=@{time.time():.3f}"])

    def strike(self) -> None:
        """See `Fault.strike`."""
        self.side.freeze(INDEX)

    def repair(self) -> None:
        """See `Fault.repair`."""
        self.side.thaw(INDEX)


class VmFrozen(Frozen):
    """A VM's processors stop, and its network with them."""

    variant = plan.VM_FROZEN


class ContainerFrozen(Frozen):
    """A container's processes stop; the host's kernel still takes in connections for them."""

    variant = plan.CONTAINER_FROZEN
    watch_s = HANG_S
    supervisor = ORCHESTRATOR


class ContainerFault(Fault):
    """One that an orchestrator is there for."""

    watch_s = SUPERVISOR_S
    supervisor = ORCHESTRATOR

    def repair(self) -> None:
        """See `Fault.repair`: have all containers replaced."""
        declared = self.lab.declared
        self.lab.declare(replace(declared, fresh_containers=declared.fresh_containers + 1))


class ContainerApp(ContainerFault):
    """The workload's main process ends in a container; it is the container's first process."""

    variant = plan.CONTAINER_APP

    @contextmanager
    def arranged(self, log: Log) -> Iterator[None]:
        """See `Fault.arranged`; tries what is possible in a VM."""
        usual, start = self.fleet.usual(INDEX), self.start()
        main = _inside.processes(usual, self.lab.workload).main
        usual.run(["sh", "-c", 'kill -s KILL "$1"', "sh", str(main)])
        if self.start() != start:
            raise ExerciseError(
                f"{self.fleet.name(INDEX)} ended by SIGKILL from inside, which its kernel should refuse",
                hint="is the workload its first process? `invoke lab.exec container/0 'cat /proc/1/comm'`",
            )
        log.finding(
            "can its main process be killed from inside?",
            f"the kernel protects process {main} of a container from those inside it: SIGKILL did nothing; it"
            " can be asked to end, by SIGTERM, and its container ends with it",
            "cannot",
        )
        yield

    def strike(self) -> None:
        """See `Fault.strike`."""
        _inside.end_workload(self.fleet.usual(INDEX), self.lab.workload, "TERM")


class ContainerHung(ContainerFault):
    """The serving processes hang in a container."""

    variant = plan.CONTAINER_HUNG

    def strike(self) -> None:
        """See `Fault.strike`."""
        _inside.stop_servers(self.fleet.usual(INDEX), self.lab.workload)


class ContainerKilled(ContainerFault):
    """A container is killed."""

    variant = plan.CONTAINER_KILLED

    def strike(self) -> None:
        """See `Fault.strike`."""
        self.side.kill(INDEX)


class ContainerAlone(ContainerKilled):
    """A container is killed whose orchestrator is told not to bring it back."""

    variant = plan.CONTAINER_ALONE
    watch_s = ALONE_S
    supervisor = ""

    @contextmanager
    def arranged(self, log: Log) -> Iterator[None]:
        """See `Fault.arranged`."""
        with log.step("alone"):
            self.lab.declare(replace(self.lab.declared, supervised=False, at_once=True))
        yield
        if not self.lab.declared.supervised:
            self.repair()

    def repair(self) -> None:
        """See `Fault.repair`: declare that it is supervised, which starts all containers anew."""
        self.lab.declare(replace(self.lab.declared, supervised=True, at_once=False))
