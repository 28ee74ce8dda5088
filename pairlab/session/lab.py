"""Operations on a lab's declared state: preview, up, unlock; `down` is in `teardown`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from pairlab.engine.state_files import StateFiles, backend_address
from pairlab.errors import ConflictError, UsageError
from pairlab.host.accelerator import accelerator
from pairlab.model import (
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
    spec_file,
    state_dir,
)
from pairlab.session.conflicts import check_conflicts
from pairlab.session.exclusive import changing
from pairlab.session.images import ensure_images, with_guest
from pairlab.session.keys import ensure_keys
from pairlab.session.readiness import await_ready
from pairlab.session.rollbacks import telling_rollbacks
from pairlab.session.settings import declared_labs, load_settings
from pairlab.session.spec import load_stack, record_spec, tiers_of
from pairlab.session.teardown import down as down
from pairlab.session.teardown import recover, refuse_strangers
from pairlab.session.workbench import Confirm, Workbench, known_labs, last_settings


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
        hosts = {host: previous.keys.hosts.get(host) or spec.keys.hosts[host] for host in _hosts(tiers)}
        images = {t.workload.name: store.planned(t.workload, boot=settings.boot) for t in tiers}
        if settings.guest_image_url:
            images = with_guest(images, store.planned_guest(settings.guest_image_sha256))
        door = store.planned_front_door()
        chosen = previous.accelerator if settings.accelerator == "auto" else spec.accelerator
        keys = replace(previous.keys, hosts=hosts)
        spec = replace(spec, keys=keys, images=images, front_door=door, accelerator=chosen)
    return bench.engine(settings).preview(lab, lambda: stack.declare(spec), progress=lambda _: None)


def up(
    bench: Workbench,
    lab: str,
    overrides: Mapping[str, Any],
    *,
    updates: ContainerImage | None = None,
) -> UpResult:
    """Bring a lab up, or make it what is declared now; ends when every instance answers.

    Args:
        bench: The tools of this run.
        lab: Its name.
        overrides: Settings that take the place of its file's.
        updates: Image of a package repository that both sides get; None for none.

    Raises:
        SettingError: A setting is wrong; nothing was touched.
        ConflictError: Another process is at work on this lab, or a port or the subnet is taken; nothing
            was touched.
        HostError: Its Docker is on another machine, and no tunnel leads there; nothing was touched.
        StateLockedError: Another machine is at work on this lab; its records are as they were.
        RolledBackError: The orchestrator took a release back: containers are what they were before.
        EngineError: The engine failed; what was made is recorded, and the next `up` or `down` goes on.
        SideError: An instance never answered.
    """
    settings = check(lab, overrides)
    with changing(lab, "lab.up"):
        return bring_up(bench, lab, settings, updates=updates)


def bring_up(
    bench: Workbench,
    lab: str,
    settings: Settings,
    *,
    updates: ContainerImage | None = None,
    on_created: Callable[[], None] | None = None,
) -> UpResult:
    """Do what `up` does, for one that is the only one at work on this lab already.

    Args:
        bench: The tools of this run.
        lab: Its name.
        settings: Its settings.
        updates: See `up`.
        on_created: The lab must be a new one: called once it is this run's own. None takes any.

    Raises:
        ConflictError: The lab is not new; or see `up`, as for all other errors.
    """
    started = time.monotonic()
    stack = load_stack(settings.stack)
    engine = bench.engine(settings)
    engine.refuse_locked(lab)
    check_conflicts(bench, placeholder_spec(lab, settings, stack.tiers))
    if load_spec(lab) is None:
        refuse_strangers(bench, engine, lab, settings)
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


def refuse_unknown(bench: Workbench, lab: str) -> None:
    """Refuse to take down what was never declared: its name is mistyped, most likely.

    Raises:
        UsageError: Neither settings, nor records, nor the state know such a lab.
    """
    known = {*declared_labs(), *known_labs(), *labs(bench)}
    if lab not in known:
        raise UsageError(
            f"there is no lab {lab!r}",
            hint=f"known labs: {', '.join(sorted(known))}; `invoke lab.down --lab {lab} --orphans` removes "
            "what has that name all the same",
        )


def refuse_known(lab: str) -> None:
    """Refuse to make, and to take down afterwards, a lab that a run has declared already.

    Raises:
        ConflictError: One has.
    """
    if spec_file(lab).is_file():
        raise ConflictError(
            f"lab {lab!r} is up, and --ephemeral would take it down at the end",
            hint="leave --ephemeral out, or give another --lab",
        )


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
        bench.cache,
        bench.runner,
        settings.accelerator,
        kernel=kernel,
        libvirt_uri=settings.libvirt_uri,
        progress=bench.progress,
    )
    spec = LabSpec(lab, settings, images, door, keys, chosen)
    return spec, tiers, reason


def _keys_for(bench: Workbench, lab: str, tiers: list[Tier]) -> LabKeys:
    return ensure_keys(lab_dir(lab), _hosts(tiers), bench.runner)


def _hosts(tiers: list[Tier]) -> list[str]:
    return [host for tier in tiers for host in tier.host_names()]
