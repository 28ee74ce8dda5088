"""A VM's kernel crashes, and not its QEMU: without a supervisor, and with the hypervisor as one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from pairlab.exercise import _inside
from pairlab.exercise import _recovery_figures as plan
from pairlab.exercise._recovery_faults import INDEX, SILENT_S, Fault

if TYPE_CHECKING:
    from pairlab.exercise import Lab, Log

RESET_S = 240.0
"""How long libvirt is watched. It resets the guest within its QEMU, which under emulation takes longer than a
start, likely as a kernel is unpacked over code that was translated before.
"""
PANIC_DRIVER = "pvpanic-mmio"
"""Of the panic device. QEMU tells the guest of that by ACPI, but nothing in the lab's guests loads drivers.

Source: drivers/misc/pvpanic/pvpanic-mmio.c of the kernel: it is for QEMU0001, whatever the bus.
"""


class VmPanic(Fault):
    """A VM's kernel crashes; its QEMU goes on."""

    variant = plan.VM_PANIC
    watch_s = SILENT_S

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        self._is_dead = False

    @contextmanager
    def arranged(self, log: Log) -> Iterator[None]:
        """See `Fault.arranged`: libvirt is told nothing any more that `VmPanicTold` left."""
        if self.lab.declared.restarting_vms:
            self.lab.declare(replace(self.lab.declared, restarting_vms=frozenset()))
        try:
            yield
        except BaseException:  # to declare a lab mends a VM that is off, and not one whose kernel is dead
            if self._is_dead:
                self.side.kill(INDEX)
            raise

    def strike(self) -> None:
        """See `Fault.strike`."""
        self._is_dead = True
        _inside.crash_kernel(self.fleet.admin(INDEX), self.fleet.name(INDEX))

    def repair(self) -> None:
        """See `Fault.repair`: switch it off, and declare what is declared already."""
        self.side.kill(INDEX)
        self._is_dead = False
        self.lab.declare(self.lab.declared, refresh=True)


class VmPanicTold(VmPanic):
    """The same, where libvirt is told of the panic, and to start the VM again."""

    variant = plan.VM_PANIC_TOLD
    watch_s = RESET_S
    supervisor = "libvirt"

    @contextmanager
    def arranged(self, log: Log) -> Iterator[None]:
        """See `Fault.arranged`: another definition makes that VM anew, on the disk that it has.

        It stays until something needs the one before, or the lab is put back: it matters to no other fault.
        """
        with super().arranged(log):
            with log.step("restarting"):
                self.lab.declare(replace(self.lab.declared, restarting_vms=frozenset({INDEX})))
                self.fleet.admin(INDEX).run(["modprobe", PANIC_DRIVER])
            yield
