"""Directories that the engine works in, each with a manifest that names the plugins.

There is one for each manifest: another lab, with other plugins, or those of another checkout, may be at work
at the same time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import yaml

from pairlab.engine.plugins import PluginUse
from pairlab.files import replace_at_once


def make_work_dir(
    root: Path, manifest: Path, plugins: Mapping[str, PluginUse], launchers: Mapping[str, Path]
) -> Path:
    """Make the directory for a choice of plugins.

    Args:
        root: Holds all of them.
        manifest: The project's `Pulumi.yaml`.
        plugins: Package -> the plugin that serves it.
        launchers: Package -> folder of its embedded plugin's executable.

    Returns:
        The directory; only this user may look into it.
    """
    embedded = [use for use in plugins.values() if use.origin == "embedded"]
    project = yaml.safe_load(manifest.read_text())
    # The program runs inline: the schema of its settings is checked by pairlab, with better errors.
    project = {key: project[key] for key in ("name", "description")} | {"runtime": "python"}
    if embedded:
        providers = [
            {"name": use.name, "version": use.version, "path": str(launchers[use.name])} for use in embedded
        ]
        project["plugins"] = {"providers": providers}
    text = yaml.safe_dump(project, sort_keys=False)
    folder = root / hashlib.sha256(text.encode()).hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace_at_once(folder / "Pulumi.yaml", text)
    return folder


def forget_lab(root: Path, lab: str) -> None:
    """Remove what the CLI keeps of a lab in any of them: the salt of its passphrase."""
    for path in root.rglob(f"Pulumi.{lab}.yaml"):
        path.unlink(missing_ok=True)
