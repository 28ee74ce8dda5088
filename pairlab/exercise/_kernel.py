"""The kernel step of the patch exercise: what it takes on each side, and who cannot do it at all."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from pairlab.errors import ExerciseError
from pairlab.exercise import _inside
from pairlab.exercise import _patch_figures as plan
from pairlab.exercise._fleet import Fleet
from pairlab.model import SideName
from pairlab.results import Verdict
from pairlab.run import Runner

if TYPE_CHECKING:
    from pairlab.exercise import Lab, Log

REBOOT_TIMEOUT_S = 180.0


def try_kernel(lab: Lab, log: Log) -> None:
    """Upgrade the kernel in a VM that owns it and in one that does not, at once; try it in a container."""
    update = lab.kernel_update()
    with log.doing(plan.VM_KERNEL), log.step("kernel") as changes:
        if isinstance(update, str):
            log.finding("is there a newer kernel package?", update, "fact")
            changes.append(update)
        else:
            # Where every VM starts from its own disk, there is none to whom its host gives a kernel.
            questions = (plan.OWN_KERNEL,) if lab.owns_kernels else (plan.OWN_KERNEL, plan.GIVEN_KERNEL)
            fresh = lab.declared.fresh_vms + 1
            lab.declare(
                replace(lab.declared, updated_vms=frozenset(), own_kernel_vms=frozenset({0}), fresh_vms=fresh)
            )
            fleet = Fleet(lab, SideName.VM)
            told = fleet.at_once(partial(_upgrade, fleet, update.packages), range(len(questions)))
            for question, (answer, verdict) in zip(questions, told, strict=True):
                changes.append(f"{question.partition(':')[0]}: {answer}")
                log.finding(question, answer, verdict)
    with log.doing(plan.CONTAINER_KERNEL), log.step("kernel-container") as changes:
        usual = lab.sides[SideName.CONTAINER].runner(0)
        release = _release(usual)
        boot_id = usual.run(["cat", "/proc/sys/kernel/random/boot_id"]).stdout.strip()
        log.finding(
            plan.CONTAINERS_KERNEL,
            f"it has none; it runs on its host's, {release} (boot id {boot_id[:8]}…), and only"
            " a reboot of the host, which ends every container on it, changes that",
            "cannot",
        )
        changes.append(f"container/0 runs on {release}, the kernel of its host")


def _upgrade(fleet: Fleet, packages: Mapping[str, str], index: int) -> tuple[str, Verdict]:
    """Install a kernel package in a VM, reboot it, and say what runs then."""
    admin = fleet.admin(index)
    before, identity = _release(admin), fleet.identity(index)
    fleet.lab.use_updates(admin)
    start = time.monotonic()
    _inside.install(admin, packages)
    installed = time.monotonic()
    fleet.lab.sides[fleet.side].restart(index)
    if not fleet.await_new(index, identity, REBOOT_TIMEOUT_S):
        raise ExerciseError(
            f"{fleet.name(index)} did not come back within {REBOOT_TIMEOUT_S:g} s of its reboot",
            hint=f"its console tells why: `invoke lab.console {fleet.name(index)}`",
        )
    took = f"{installed - start:.0f} s to install, {time.monotonic() - installed:.0f} s to reboot"
    after = _release(fleet.usual(index))
    if after != before:
        return f"yes: {before} -> {after}; {took}", "yes"
    return f"no: it still runs {before}; {took}. The image's kernel starts it, whatever is installed", "no"


def _release(runner: Runner) -> str:
    return runner.run(["uname", "-r"]).stdout.strip()
