"""Waiting until a lab serves, and what is told of it where it does not."""

from __future__ import annotations

import threading
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

from pairlab import side as sides
from pairlab.errors import LabError
from pairlab.model import LabSpec, SideName, Tier
from pairlab.session.workbench import Workbench


def await_ready(
    bench: Workbench,
    spec: LabSpec,
    tiers: list[Tier],
    vm_side: sides.Side,
    *,
    timeout_s: int | None = None,
    silent: Collection[str] = (),
) -> dict[str, float]:
    """Wait until every instance of the front tier has answered through its front door.

    Args:
        bench: The tools of this run.
        spec: What was declared.
        tiers: What runs.
        vm_side: The vm side, whose consoles are being watched.
        timeout_s: Seconds to wait; None takes the lab's setting.
        silent: Names of instances that are not meant to answer yet.

    Returns:
        Instance name -> seconds from the call to its first answer.

    Raises:
        SideError: Some never answered; its details hold the ends of the serial consoles.
    """
    front = next(tier for tier in tiers if tier.front)
    cancelled = threading.Event()

    def wait(side: SideName) -> dict[str, float]:
        return sides.await_all(
            spec.port(side),
            set(front.instance_names(side)).difference(silent),
            timeout_s=timeout_s or spec.settings.ready_timeout_s,
            progress=bench.progress,
            cancelled=cancelled,
            path=front.workload.health_path,
        )

    with ThreadPoolExecutor() as pool:
        waits = {side: pool.submit(wait, side) for side in SideName}
        try:
            return waits[SideName.VM].result() | waits[SideName.CONTAINER].result()
        except LabError as error:
            tails = [_console_tail(vm_side, front, index) for index in range(front.vms)]
            error.details = "\n".join([error.details, *tails]).strip()
            raise
        finally:
            cancelled.set()


def _console_tail(vm_side: sides.Side, tier: Tier, index: int) -> str:
    name = tier.instance_names(SideName.VM)[index]
    try:
        tail = vm_side.console_tail(index, tier=tier.group)
    except LabError as error:  # it must not take the place of what went wrong before
        return f"{name}'s serial console: {error.message}; {error.hint}"
    return f"the end of {name}'s serial console:\n{tail}" if tail else f"{name}'s serial console is empty"
