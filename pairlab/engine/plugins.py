"""Which provider plugins serve a lab: the official ones where they are installed, else the embedded ones."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from pairlab.errors import PluginError
from pairlab.plugin.launchers import VERSIONS


@dataclass(frozen=True)
class PluginUse:
    """The plugin that serves one provider package.

    Attributes:
        name: `docker` or `libvirt`.
        version: Of the package that it serves.
        origin: `official` or `embedded`.
        path: The official binary; None for an embedded one.
    """

    name: str
    version: str
    origin: str
    path: Path | None = None


def official_plugin(name: str) -> Path | None:
    """The official plugin's binary if it is installed, where the Pulumi CLI looks: its home, then PATH."""
    home = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
    binary = home / "plugins" / f"resource-{name}-v{VERSIONS[name]}" / f"pulumi-resource-{name}"
    if binary.is_file():
        return binary
    found = shutil.which(f"pulumi-resource-{name}")
    return Path(found) if found else None


def choose_plugins(wanted: str) -> dict[str, PluginUse]:
    """Decide for each package.

    Args:
        wanted: The setting `plugins`: `auto`, `official` or `embedded`.

    Raises:
        PluginError: `official` is wanted and not installed.
    """
    chosen: dict[str, PluginUse] = {}
    for name, version in VERSIONS.items():
        path = None if wanted == "embedded" else official_plugin(name)
        if wanted == "official" and path is None:
            raise PluginError(
                f"the official {name} plugin {version} is not installed",
                hint=f"run `pulumi plugin install resource {name} {version}`, or set plugins to auto",
            )
        chosen[name] = PluginUse(name, version, "official" if path else "embedded", path)
    return chosen
