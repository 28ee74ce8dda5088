"""The kernel step of the patch exercise: what it takes on each side, and who cannot do it at all."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from pairlab.errors import LabError
from pairlab.exercise import _inside
from pairlab.exercise import _patch_figures as plan
from pairlab.model import SideName
from pairlab.results import Verdict

if TYPE_CHECKING:
    from pairlab.exercise import Lab, Log

REBOOT_TIMEOUT_S = 180.0


def try_kernel(lab: Lab, log: Log) -> None:
    """Upgrade the kernel in a VM that owns its kernel and in one that does not, and try it in a container."""
    update = lab.kernel_update()
    with log.doing(plan.VM_KERNEL), log.step("kernel") as changes:
        if isinstance(update, str):
            log.finding("is there a newer kernel package?", update, "fact")
            changes.append(update)
        else:
            lab.declare(
                replace(lab.declared, own_kernel_vms=frozenset({0}), fresh_vms=lab.declared.fresh_vms + 1)
            )
            for index, question in enumerate((plan.OWN_KERNEL, plan.GIVEN_KERNEL)):
                told = _upgrade(lab, index, update.packages)
                changes.append(f"{question.partition(':')[0]}: {told[0]}")
                log.finding(question, *told)
    with log.doing(plan.CONTAINER_KERNEL), log.step("kernel-container") as changes:
        usual = lab.sides[SideName.CONTAINER].runner(0)
        release = usual.run(["uname", "-r"]).stdout.strip()
        boot_id = usual.run(["cat", "/proc/sys/kernel/random/boot_id"]).stdout.strip()
        log.finding(
            plan.CONTAINERS_KERNEL,
            f"it has none; it runs on its host's, {release} (boot id {boot_id[:8]}…), and only"
            " a reboot of the host, which ends every container on it, changes that",
            "cannot",
        )
        changes.append(f"container/0 runs on {release}, the kernel of its host")


def _upgrade(lab: Lab, index: int, packages: Mapping[str, str]) -> tuple[str, Verdict]:
    """Install a kernel package in a VM, reboot it, and say what runs then."""
    side = lab.sides[SideName.VM]
    admin = side.runner(index, admin=True)
    before, identity = admin.run(["uname", "-r"]).stdout.strip(), _inside.identity(admin)
    lab.use_updates(admin)
    start = time.monotonic()
    _inside.install(admin, packages)
    installed_s = time.monotonic() - start
    side.restart(index)
    deadline = time.monotonic() + REBOOT_TIMEOUT_S
    after, rebooted_s = before, 0.0
    while time.monotonic() < deadline:
        try:
            runner = side.runner(index)
            if _inside.identity(runner) != identity:
                after, rebooted_s = runner.run(["uname", "-r"]).stdout.strip(), time.monotonic() - start
                break
        except LabError:
            time.sleep(0.2)  # it is on its way: ask again
    took = f"{installed_s:.0f} s to install, {rebooted_s - installed_s:.0f} s to reboot"
    if after != before:
        return f"yes: {before} -> {after}; {took}", "yes"
    return f"no: it still runs {before}; {took}. The image's kernel starts it, whatever is installed", "no"
