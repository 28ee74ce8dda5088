"""The operations on labs, each composed of the layers below; nothing here prints."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pairlab import side as sides
from pairlab.errors import ConflictError, LabError, UsageError
from pairlab.host.facts import accelerator_for
from pairlab.host.net import port_holder, subnet_holder
from pairlab.image.store import ImageStore
from pairlab.model import (
    PROJECT,
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
from pairlab.run import LocalRunner, Runner
from pairlab.session.keys import KEY, KNOWN_HOSTS, ensure_keys
from pairlab.session.settings import ROOT, load_settings
from pairlab.session.spec import load_stack, record_spec, tiers_of
from pairlab.session.status import LabStatus, read_status

Progress = Callable[[str], None]
KINDS = {SideName.VM: "libvirt", SideName.CONTAINER: "swarm"}


def cache_dir() -> Path:
    """Where images, the Pulumi CLI and probes are kept: `PAIRLAB_CACHE`, else the XDG cache directory."""
    chosen = os.environ.get("PAIRLAB_CACHE")
    if chosen:
        return Path(chosen).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / PROJECT


@dataclass(frozen=True)
class UpResult:
    """A lab that is up.

    Attributes:
        spec: What was declared.
        outcome: What the engine did.
        urls: Side -> address of its front door.
        ready_s: Instance name -> seconds from the end of the engine's work to its first answer.
        total_s: Seconds of the whole operation.
    """

    spec: LabSpec
    outcome: Outcome
    urls: Mapping[SideName, str]
    ready_s: Mapping[str, float]
    total_s: float


class Session:
    """Operations on the labs of one state directory.

    Args:
        progress: Told what happens, in short lines.
        runner: Runs local commands.
    """

    def __init__(self, progress: Progress, runner: Runner | None = None) -> None:
        self.progress = progress
        self.runner = runner or LocalRunner()
        self.cache = cache_dir()

    # Declared state

    def preview(self, lab: str, overrides: Mapping[str, Any]) -> Outcome:
        """What `up` would change. Needs no daemon, no image and no hypervisor."""
        settings = load_settings(lab, overrides)
        stack = load_stack(settings.stack)
        spec = load_spec(lab) or placeholder_spec(lab, settings, stack.tiers)
        tiers = tiers_of(stack, lab, settings, spec.keys)
        if lab_dir(lab).is_dir():
            keys = ensure_keys(lab_dir(lab), _hosts(tiers), self.runner)
            spec = self._with_images(spec, keys, tiers, build=False)
        return self._engine(settings).preview(lab, lambda: stack.declare(spec), progress=self.progress)

    def up(self, lab: str, overrides: Mapping[str, Any]) -> UpResult:
        """Bring a lab up, or make it what is declared now; ends when every instance answers."""
        started = time.monotonic()
        settings = load_settings(lab, overrides)
        stack = load_stack(settings.stack)
        engine = self._engine(settings)
        previous = load_spec(lab)
        spec, tiers = self._make_spec(lab, settings, stack)
        self._check_conflicts(spec, previous)
        record_spec(spec, tiers)
        vm_side = self.side(lab, SideName.VM)
        with vm_side.watching():
            outcome = engine.up(lab, lambda: stack.declare(spec), progress=self.progress, refresh=True)
            ready = self._await_ready(spec, tiers, vm_side)
        urls = {side: f"http://127.0.0.1:{spec.port(side)}" for side in SideName}
        return UpResult(spec, outcome, urls, ready, time.monotonic() - started)

    def down(self, lab: str) -> list[str]:
        """Remove a lab and all that it made; fine on a half-made one, and when it is gone already.

        Returns:
            What was removed, in words.
        """
        check_lab_name(lab)
        settings = self._last_settings(lab)
        outcome = self._engine(settings).destroy(lab, progress=self.progress)
        removed = (
            [f"{change.type.rsplit(':', 1)[-1]} {change.name}" for change in outcome.changed]
            if outcome
            else []
        )
        for name in SideName:
            side = self.side(lab, name)
            removed += side.sweep(progress=self.progress)
            side.close()
        if lab_dir(lab).is_dir():
            shutil.rmtree(lab_dir(lab))
            removed.append(f"keys and records in {lab_dir(lab)}")
        return removed

    def unlock(self, lab: str, confirm: Callable[[str], bool]) -> str | None:
        """Clear a state lock after saying whose it is; returns that, or None if there was none."""
        engine = self._engine(self._last_settings(check_lab_name(lab)))
        holder = engine.lock_holder(lab)
        if holder is not None and confirm(f"the state of lab {lab!r} is locked by {holder}; clear the lock?"):
            engine.unlock(lab)
        return holder

    # Live state

    def labs(self) -> list[str]:
        """Names of all labs in this state backend."""
        return self._engine(Settings()).labs()

    def status(self, lab: str) -> LabStatus:
        """Both sides of a lab as they are, and how that differs from what is declared."""
        spec = self.known_spec(lab)
        tiers = tiers_of(load_stack(spec.settings.stack), lab, spec.settings, spec.keys)
        return read_status(spec, tiers, {name: self.side(lab, name) for name in SideName})

    def side(self, lab: str, name: SideName) -> sides.Side:
        """One half of a lab."""
        settings = self._last_settings(lab)
        nowhere = placeholder_spec(lab, settings, lambda *_: [])
        context = sides.SideContext(
            lab=lab,
            settings=settings,
            key=lab_dir(lab) / KEY,
            known_hosts=lab_dir(lab) / KNOWN_HOSTS,
            bridge=nowhere.bridge,
            pool_path=nowhere.pool_path,
            local=self.runner,
        )
        return sides.load(KINDS[name])(context)

    def known_spec(self, lab: str) -> LabSpec:
        """What the lab's last `up` declared.

        Raises:
            UsageError: It was never brought up here.
        """
        check_lab_name(lab)
        spec = load_spec(lab)
        if spec is None:
            known = ", ".join(sorted(path.name for path in (state_dir() / "labs").glob("*"))) or "none"
            raise UsageError(
                f"there is no lab {lab!r} here", hint=f"labs: {known}; `invoke lab.up --lab {lab}` makes it"
            )
        return spec

    # Parts

    @cached_property
    def images(self) -> ImageStore:
        """The image cache."""
        return ImageStore(self.cache / "images", self.runner)

    def _engine(self, settings: Settings) -> Any:
        from pairlab.engine.cli import pulumi_cli
        from pairlab.engine.engine import Engine
        from pairlab.engine.plugins import choose_plugins
        from pairlab.plugin.server import write_launchers

        cli = pulumi_cli(self.cache, self.runner, progress=self.progress, allow_install=True)
        launchers = write_launchers(state_dir() / "plugins")
        return Engine(
            cli.root, state_dir(), ROOT / "Pulumi.yaml", choose_plugins(settings.plugins), launchers
        )

    def _last_settings(self, lab: str) -> Settings:
        spec = load_spec(lab)
        return spec.settings if spec else Settings()

    def _make_spec(self, lab: str, settings: Settings, stack: Any) -> tuple[LabSpec, list[Tier]]:
        draft = placeholder_spec(lab, settings, stack.tiers)
        hosts = _hosts(tiers_of(stack, lab, settings, draft.keys))
        keys = ensure_keys(lab_dir(lab), hosts, self.runner)
        tiers = tiers_of(stack, lab, settings, keys)
        return self._with_images(draft, keys, tiers, build=True), tiers

    def _with_images(self, draft: LabSpec, keys: Any, tiers: list[Tier], *, build: bool) -> LabSpec:
        if build:
            images = {
                tier.workload.name: self.images.ensure(tier.workload, progress=self.progress)
                for tier in tiers
            }
            door = self.images.ensure_front_door(progress=self.progress)
            kernel = next(iter(images.values())).vm.kernel
            accelerator = accelerator_for(
                draft.settings.accelerator, kernel, self.cache, self.runner, progress=self.progress
            )
        else:
            images = {tier.workload.name: self.images.planned(tier.workload) for tier in tiers}
            door = self.images.planned_front_door()
            accelerator = draft.accelerator
        return LabSpec(draft.name, draft.settings, images, door, keys, accelerator)

    def _check_conflicts(self, spec: LabSpec, previous: LabSpec | None) -> None:
        for side in SideName:
            port = spec.port(side)
            if previous is not None and previous.port(side) == port:
                continue
            if holder := port_holder(port):
                raise ConflictError(
                    f"port {port} on 127.0.0.1, for the {side} side's front door, is held by {holder}",
                    hint=f"stop it, or set {side}Port in Pulumi.{spec.name}.yaml",
                )
        if previous is not None and previous.subnet == spec.subnet:
            return
        if holder := subnet_holder(spec.subnet, spec.bridge):
            raise ConflictError(
                f"subnet {spec.subnet}, for the VMs, overlaps with {holder}",
                hint=f"set subnet in Pulumi.{spec.name}.yaml to a free private /24",
            )

    def _await_ready(self, spec: LabSpec, tiers: list[Tier], vm_side: sides.Side) -> dict[str, float]:
        front = next(tier for tier in tiers if tier.front)

        def wait(side: SideName) -> dict[str, float]:
            return sides.await_all(
                spec.port(side),
                front.instance_names(side),
                timeout_s=spec.settings.ready_timeout_s,
                progress=self.progress,
                path=front.workload.health_path,
            )

        with ThreadPoolExecutor() as pool:
            waits = {side: pool.submit(wait, side) for side in SideName}
            try:
                return waits[SideName.VM].result() | waits[SideName.CONTAINER].result()
            except LabError as error:
                tails = [vm_side.console_tail(index, tier=front.group) for index in range(front.vms)]
                error.details = "\n".join([error.details, *tails]).strip()
                raise


def _hosts(tiers: list[Tier]) -> list[str]:
    return [host for tier in tiers for host in tier.host_names()]
