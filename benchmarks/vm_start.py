"""One VM from QEMU's start to HTTP 200, beside the floor of this machine and accelerator.

The floor is the same kernel with an init that prints one line and powers off, from QEMU's start to its end.
Shown beside it: the same guest by a boot loader on its own disk, and a guest like Debian's cloud images, with
cloud-init, from the same seed and started by the same means.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks._figures import Figure
from benchmarks._raw_vms import machine, take_from_lab
from benchmarks._trial import SAMPLES, Trial, say, seconds
from pairlab.errors import LabError
from pairlab.host.tiny_guest import READY_LINE, initramfs
from pairlab.image.recipe import QUICK_KERNEL
from pairlab.image.record import DISK
from pairlab.model import VmImage
from tests.cloud_image import build


def measure(trial: Trial) -> Iterator[Figure]:
    """Yields the ratio."""
    with trial.lab():
        raw = take_from_lab(trial)
    initrd = trial.scratch / "floor"
    initrd.write_bytes(initramfs())
    argv = [*machine(raw.spec.accelerator), "-m", str(raw.spec.settings.vm_memory_mib), "-no-reboot"]
    argv += ["-serial", "stdio", "-kernel", str(raw.image.kernel), "-initrd", str(initrd)]
    argv += ["-append", " ".join(("console=ttyS0", "quiet", "panic=-1", *QUICK_KERNEL))]
    others = {
        "VM start to HTTP 200 by its own boot loader": replace(raw, image=trial.boot_disk_image),
        "a guest with cloud-init": replace(raw, image=_with_cloud_init(trial)),
    }
    starts, floors = [], []
    shown: dict[str, list[float]] = {name: [] for name in others}
    for number in range(SAMPLES):
        say(f"vm_start: run {number + 1} of {SAMPLES}")
        starts.append(raw.start_s(trial, 1))
        lines: list[str] = []
        floors.append(seconds(trial.runner.run, argv, timeout_s=120, on_line=lines.append))
        if not any(READY_LINE in line for line in lines):
            raise LabError("the floor's guest did not print its line", hint="see `invoke lab.doctor`")
        for name, other in others.items():
            shown[name].append(other.start_s(trial, 1))
    accelerator = raw.spec.accelerator.value
    yield Figure("VM start to HTTP 200", starts, 4, "kernel and a static init", floors, accelerator)
    for name, samples in shown.items():
        yield Figure(name, samples, None, "VM start to HTTP 200", starts, accelerator)


def _with_cloud_init(trial: Trial) -> VmImage:
    record = build(trial.store, say)
    return VmImage(record.version, record.folder / DISK, Path(), Path())
