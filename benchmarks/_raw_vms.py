"""The lab's VMs, started with QEMU by hand: the same disks, seeds, kernel, memory and processor."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks._trial import Trial, answers, await_true, processes, seconds
from pairlab.model import Accelerator, LabSpec, VmImage

FIRST_PORT = 20970


@dataclass(frozen=True)
class RawVms:
    """What is needed to start a lab's VMs without it.

    Attributes:
        spec: The lab they are taken from.
        image: Their image.
        seeds: Copies of their seeds, by index.
    """

    spec: LabSpec
    image: VmImage
    seeds: list[Path]

    def start_s(self, trial: Trial, count: int) -> float:
        """Seconds from the first `qemu-img create` until each VM has answered HTTP 200."""
        with processes() as running:

            def start() -> None:
                for index in range(count):
                    disk = trial.scratch / f"raw-{index}.qcow2"
                    disk.unlink(missing_ok=True)
                    backing = ["-b", str(self.image.disk), "-F", "qcow2"]
                    trial.runner.run(["qemu-img", "create", "-q", "-f", "qcow2", *backing, str(disk)])
                    argv = self._argv(disk, index)
                    running.append(
                        subprocess.Popen(argv, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
                    )
                for index in range(count):
                    await_true(partial(answers, FIRST_PORT + index), f"HTTP 200 of VM {index}")

            return seconds(start)

    def _argv(self, disk: Path, index: int) -> list[str]:
        spec, address = self.spec, self.spec.address(0, index)
        forward = f"hostfwd=tcp:127.0.0.1:{FIRST_PORT + index}-{address}:8080"
        return [
            *machine(spec.accelerator),
            *("-m", str(spec.settings.vm_memory_mib), "-smp", str(spec.settings.vm_cpus)),
            *self._kernel(),
            *("-drive", f"file={disk},if=virtio,format=qcow2"),
            *("-drive", f"file={self.seeds[index]},if=virtio,format=raw,readonly=on"),
            *("-netdev", f"user,id=n,net={spec.subnet},host={spec.gateway},{forward}"),
            *("-device", f"virtio-net-pci,netdev=n,mac={spec.mac(0, index)}"),
            *("-serial", "null"),
        ]

    def _kernel(self) -> list[str]:
        image = self.image
        if not image.kernel.name:
            return []
        files = ["-kernel", str(image.kernel), "-initrd", str(image.initrd)]
        return [*files, "-append", " ".join(image.cmdline)]


def machine(accelerator: Accelerator) -> list[str]:
    """QEMU with the machine and processor that the labs' domains have."""
    base = ["qemu-system-x86_64", "-machine", f"pc,accel={accelerator.value}", "-cpu", accelerator.qemu_cpu]
    return [*base, "-nodefaults", "-display", "none"]


def take_from_lab(trial: Trial) -> RawVms:
    """Copy the seeds of the lab that is up."""
    spec, seeds = trial.spec(), []
    for index in range(spec.settings.vms):
        (seed,) = Path(spec.pool_path).glob(f"vm-{index}-*-seed.img")
        seeds.append(trial.scratch / f"seed-{index}.img")
        shutil.copyfile(seed, seeds[-1])
    return RawVms(spec, spec.images["web"].vm, seeds)
