"""The executables by which the engine starts embedded plugins. Imports nothing slow."""

from __future__ import annotations

import hashlib
import shlex
import sys
from pathlib import Path

from pairlab.files import replace_at_once

VERSIONS = {"docker": "5.2.0", "libvirt": "0.5.4"}
"""Provider package -> version of its Python SDK, whose tokens its plugin serves."""


def write_launchers(folder: Path) -> dict[str, Path]:
    """Write an executable for each package, where the engine looks for it.

    Each has a folder named by its content: that of another checkout may be in use at the time.

    Args:
        folder: Where; created if need be.

    Returns:
        Package -> folder with its `pulumi-resource-<package>`, for the project manifest.
    """
    root = Path(__file__).resolve().parent.parent.parent
    launchers: dict[str, Path] = {}
    for package in VERSIONS:
        script = (
            "#!/bin/sh\n"
            f"PYTHONPATH={shlex.quote(str(root))} "
            f'exec {shlex.quote(sys.executable)} -m pairlab.plugin {package} "$@"\n'
        )
        launchers[package] = folder / hashlib.sha256(script.encode()).hexdigest()[:12]
        path = launchers[package] / f"pulumi-resource-{package}"
        if not path.is_file():
            replace_at_once(path, script, mode=0o755)
    return launchers
