"""Operations on a lab's declared state: preview, up, down, unlock."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pairlab import side as sides
from pairlab.engine.state_files import StateFiles, backend_address
from pairlab.errors import ConflictError, LabError
from pairlab.host.accelerator import accelerator
from pairlab.model import (
    ENGINES_OWN,
    ContainerImage,
    LabKeys,
    LabSpec,
    Outcome,
    Settings,
    SideName,
    Tier,
    check_lab_name,
    lab_dir,
    load_spec,
    placeholder_spec,
    state_dir,
)
from pairlab.session.conflicts import check_conflicts
from pairlab.session.images import ensure_images, with_guest
from pairlab.session.keys import ensure_keys
from pairlab.session.rollbacks import telling_rollbacks
from pairlab.session.settings import load_settings
from pairlab.session.spec import load_stack, record_spec, tiers_of
from pairlab.session.workbench import Confirm, Workbench, last_settings

if TYPE_CHECKING:
    from pairlab.engine.engine import Engine

PACKAGES = {SideName.VM: "libvirt", SideName.CONTAINER: "docker"}
"""Side -> the provider package whose objects it can find. Front doors are containers."""


@dataclass(frozen=True)
class UpResult:
    """A lab that is up.

    Attributes:
        spec: What was declared.
        outcome: What the engine did.
        urls: Side -> address of its front door.
        ready_s: Instance name -> seconds from the end of the engine's work to its first answer.
        total_s: Seconds of the whole operation.
        accelerator_reason: Why the VMs run as they do.
    """

    spec: LabSpec
    outcome: Outcome
    urls: Mapping[SideName, str]
    ready_s: Mapping[str, float]
    total_s: float
    accelerator_reason: str


def check(lab: str, overrides: Mapping[str, Any]) -> Settings:
    """Refuse wrong settings, or a wrong backend, before anything is touched; return the right ones."""
    settings = load_settings(lab, overrides)
    load_stack(settings.stack)
    backend_address(state_dir())
    return settings


def preview(bench: Workbench, lab: str, overrides: Mapping[str, Any]) -> Outcome:
    """What `up` would change. Needs no daemon, no image and no hypervisor."""
    settings = check(lab, overrides)
    stack = load_stack(settings.stack)
    spec = placeholder_spec(lab, settings, stack.tiers)
    previous = load_spec(lab)
    if previous is not None:
        store = bench.images_for(settings)
        tiers = tiers_of(stack, lab, settings, previous.keys)
        keys = ensure_keys(lab_dir(lab), _hosts(tiers), bench.runner)
        images = {t.workload.name: store.planned(t.workload, boot=settings.boot) for t in tiers}
        if settings.guest_image_url:
            images = with_guest(images, store.planned_guest(settings.guest_image_sha256))
        door = store.planned_front_door()
        chosen = previous.accelerator if settings.accelerator == "auto" else spec.accelerator
        spec = replace(spec, keys=keys, images=images, front_door=door, accelerator=chosen)
    return bench.engine(settings).preview(lab, lambda: stack.declare(spec), progress=lambda _: None)


def up(
    bench: Workbench,
    lab: str,
    overrides: Mapping[str, Any],
    *,
    updates: ContainerImage | None = None,
    on_created: Callable[[], None] | None = None,
) -> UpResult:
    """Bring a lab up, or make it what is declared now; ends when every instance answers.

    Args:
        bench: The tools of this run.
        lab: Its name.
        overrides: Settings that take the place of its file's.
        updates: Image of a package repository that both sides get; None for none.
        on_created: The lab must be a new one: called once it is this run's own. None takes any.

    Raises:
        SettingError: A setting is wrong; nothing was touched.
        ConflictError: A port or the subnet is taken, or the lab is not new; nothing was created.
        StateLockedError: Another run is at work on this lab; its records are as they were.
        RolledBackError: The orchestrator took a release back: containers are what they were before.
        EngineError: The engine failed; what was made is recorded, and the next `up` or `down` goes on.
        SideError: An instance never answered.
    """
    started = time.monotonic()
    settings = check(lab, overrides)
    stack = load_stack(settings.stack)
    engine = bench.engine(settings)
    engine.refuse_locked(lab)
    check_conflicts(bench, placeholder_spec(lab, settings, stack.tiers))
    if load_spec(lab) is None:
        _refuse_strangers(bench, engine, lab, settings)
    if on_created is not None:
        refuse_known(lab)
        engine.create(lab)
        on_created()
    spec, tiers, reason = _make_spec(bench, lab, settings, stack)
    spec = replace(spec, updates=updates)
    engine.refuse_locked(lab)  # building took its time, and what another run works by must stay as it is
    record_spec(spec, tiers)
    recover(bench, engine, lab)
    vm_side = bench.side(lab, SideName.VM)
    with vm_side.watching():
        with telling_rollbacks(bench.side(lab, SideName.CONTAINER), lab):
            outcome = engine.up(lab, lambda: stack.declare(spec), progress=bench.progress, refresh=True)
        ready = await_ready(bench, spec, tiers, vm_side)
    urls = {side: f"http://127.0.0.1:{spec.port(side)}" for side in SideName}
    return UpResult(spec, outcome, urls, ready, time.monotonic() - started, reason)


def down(bench: Workbench, lab: str, *, orphans: bool = False) -> list[str]:
    """Remove a lab and all that it made; fine on a half-made one, and when it is gone already.

    Args:
        bench: The tools of this run.
        lab: Its name.
        orphans: Remove what carries its name also when neither state nor records know it.

    Returns:
        What was removed, in words.

    Raises:
        ConflictError: Something carries its name that may be somebody else's lab; nothing was touched.
    """
    settings = last_settings(check_lab_name(lab))
    engine = bench.engine(settings)
    if not orphans and load_spec(lab) is None:
        _refuse_strangers(bench, engine, lab, settings)
    recover(bench, engine, lab)
    outcome = engine.destroy(lab, progress=bench.progress)
    changed = outcome.changed if outcome else []
    removed = [
        f"{change.type.rsplit(':', 1)[-1]} {change.name}"
        for change in changed
        if not change.type.startswith(ENGINES_OWN)
    ]
    for name in SideName:
        side = bench.side(lab, name)
        removed += side.sweep(progress=bench.progress)
        side.close()
    if lab_dir(lab).is_dir():
        shutil.rmtree(lab_dir(lab))
        removed.append("its keys and records")
    return removed


def unlock(bench: Workbench, lab: str, confirm: Confirm) -> str:
    """Clear a state lock after saying whose it is; returns what became of it, in words.

    Raises:
        ConflictError: Its holder is still at work on this host.
    """
    engine = bench.engine(last_settings(check_lab_name(lab)))
    holder = engine.lock_holder(lab)
    if holder is None and engine.tells_lock_holders:
        return "no lock"
    if holder is not None and holder.runs:
        raise ConflictError(
            f"the state of lab {lab!r} is not abandoned: it is locked by {holder}",
            hint="wait until that process ends, or stop it",
        )
    if holder is not None:
        question, cleared = f"is locked by {holder}", f"cleared; the lock was held by {holder}"
    else:
        question = "may be locked, by whom this backend does not tell"
        cleared = "a lock, if there was one, is cleared; this backend does not tell whose it was"
    if not confirm(f"the state of lab {lab!r} {question}; clear the lock?"):
        return "the lock stays"
    engine.unlock(lab)
    return cleared


def labs(bench: Workbench) -> list[str]:
    """Names of all labs in this state backend; one of files is read without the Pulumi CLI."""
    files = StateFiles.of(backend_address(state_dir()))
    return files.labs() if files else bench.engine(Settings()).labs()


def _refuse_strangers(bench: Workbench, engine: Engine, lab: str, settings: Settings) -> None:
    """Leave alone what has this lab's name and is not in this state: another account's lab, perhaps."""
    found: list[str] = []
    for name in SideName:
        side = bench.side(lab, name, settings)
        found += side.leftovers()
        side.close()
    if found and lab not in engine.labs():
        raise ConflictError(
            f"this host has a lab {lab!r} that this state does not know: {', '.join(sorted(found))}",
            hint="choose another name if it is somebody else's; if it is nobody's, "
            f"`invoke lab.down --lab {lab} --orphans` removes it",
        )


def refuse_known(lab: str) -> None:
    """Refuse to make, and to take down afterwards, a lab that a run has declared already.

    Raises:
        ConflictError: One has.
    """
    if load_spec(lab) is not None:
        raise ConflictError(
            f"lab {lab!r} is up, and --ephemeral would take it down at the end",
            hint="leave --ephemeral out, or give another --lab",
        )


def recover(bench: Workbench, engine: Engine, lab: str) -> None:
    """Clear away what a killed run had begun: the state does not know it, so nothing else would."""
    begun = engine.clear_pending(lab)
    if not begun:
        return
    told = ", ".join(name for _, name in begun)
    bench.progress(f"an earlier run was cut off while creating {told}")
    for side_name, package in PACKAGES.items():
        side = bench.side(lab, side_name)
        names = {name for token, name in begun if token.startswith(f"{package}:")}
        side.discard(names, progress=bench.progress)
        side.close()


def _make_spec(
    bench: Workbench, lab: str, settings: Settings, stack: ModuleType
) -> tuple[LabSpec, list[Tier], str]:
    draft = placeholder_spec(lab, settings, stack.tiers)
    keys = _keys_for(bench, lab, tiers_of(stack, lab, settings, draft.keys))
    tiers = tiers_of(stack, lab, settings, keys)
    store = bench.images_for(settings)
    images, door = ensure_images(store, settings, tiers, bench.progress)
    kernel = store.any_kernel()
    chosen, reason = accelerator(
        bench.cache, bench.runner, settings.accelerator, kernel=kernel, progress=bench.progress
    )
    spec = LabSpec(lab, settings, images, door, keys, chosen)
    return spec, tiers, reason


def _keys_for(bench: Workbench, lab: str, tiers: list[Tier]) -> LabKeys:
    return ensure_keys(lab_dir(lab), _hosts(tiers), bench.runner)


def _hosts(tiers: list[Tier]) -> list[str]:
    return [host for tier in tiers for host in tier.host_names()]


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
