"""What every operation works with: where things are kept, and the layers below, made when first needed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pairlab import side as sides
from pairlab.errors import LabError, UsageError
from pairlab.host.steps import Host, this_host
from pairlab.image.store import ImageStore
from pairlab.image.updates import Updates
from pairlab.model import (
    PROJECT,
    LabSpec,
    Settings,
    SideName,
    check_lab_name,
    lab_dir,
    load_spec,
    placeholder_spec,
    salvaged_settings,
    state_dir,
)
from pairlab.progress import Progress
from pairlab.run import LocalRunner, Runner
from pairlab.session.keys import KEY, KNOWN_HOSTS
from pairlab.session.settings import ROOT

if TYPE_CHECKING:
    from pairlab.engine.engine import Engine

Confirm = Callable[[str], bool]


def cache_dir() -> Path:
    """Where images, the Pulumi CLI and probes are kept: `PAIRLAB_CACHE`, else the XDG cache directory.

    Source: XDG Base Directory Specification 0.8, `$XDG_CACHE_HOME`.
    """
    chosen = os.environ.get("PAIRLAB_CACHE")
    if chosen:
        return Path(chosen).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / PROJECT


@dataclass
class Workbench:
    """The tools of one run.

    Attributes:
        progress: Told what happens, in short lines.
        runner: Runs local commands.
        cache: pairlab's cache directory.
    """

    progress: Progress
    runner: Runner = field(default_factory=LocalRunner)
    cache: Path = field(default_factory=cache_dir)

    def host(self, settings: Settings) -> Host:
        """This machine, with the daemons that these settings mean."""
        return this_host(settings, state_dir(), self.runner)

    def images_for(self, settings: Settings) -> ImageStore:
        """The image cache, whose container images the Docker of these settings gets."""
        return ImageStore(self.cache / "images", self.runner, settings.docker_host)

    @cached_property
    def updates(self) -> Updates:
        """Finds updates of what images hold."""
        return Updates(self.cache / "images", self.runner)

    def engine(self, settings: Settings) -> Engine:
        """Pulumi, with the plugins that the settings choose.

        Raises:
            EngineError: There is no Pulumi CLI: to get one is left to setting the host up, which asks first.
        """
        from pairlab.engine.cli import pulumi_cli
        from pairlab.engine.engine import Engine
        from pairlab.engine.plugins import choose_plugins
        from pairlab.plugin.server import write_launchers

        cli = pulumi_cli(self.cache, self.runner, progress=self.progress, allow_install=False)
        launchers = write_launchers(state_dir() / "plugins")
        plugins = choose_plugins(settings.plugins)
        return Engine(cli, state_dir(), ROOT / "Pulumi.yaml", plugins, launchers)

    def side(self, lab: str, name: SideName, settings: Settings | None = None) -> sides.Side:
        """One half of a lab; works also for a lab whose records are lost.

        Args:
            lab: The lab's name.
            name: Which half.
            settings: Where its daemons are; those of its last `up` if not given.
        """
        settings = settings or last_settings(lab)
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
        return sides.load(sides.kind_of(name))(context)


def last_settings(lab: str) -> Settings:
    """The settings of a lab's last `up`, as far as they can be read; the defaults if there was none."""
    try:
        spec = load_spec(lab)
    except LabError:
        return salvaged_settings(lab)
    return spec.settings if spec else Settings()


def known_labs() -> list[str]:
    """Names of the labs that have records here."""
    return sorted(path.name for path in (state_dir() / "labs").glob("*"))


def known_spec(lab: str) -> LabSpec:
    """What a lab's last `up` declared.

    Raises:
        UsageError: It was never brought up here; the hint names the labs that were.
    """
    spec = load_spec(check_lab_name(lab))
    if spec is None:
        known = ", ".join(known_labs()) or "none"
        raise UsageError(
            f"there is no lab {lab!r} here", hint=f"labs: {known}; `invoke lab.up --lab {lab}` makes it"
        )
    return spec
