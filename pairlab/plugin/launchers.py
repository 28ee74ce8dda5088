"""The executables by which the engine starts embedded plugins. Imports nothing slow."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

VERSIONS = {"docker": "5.2.0", "libvirt": "0.5.4"}
"""Provider package -> version of its Python SDK, whose tokens its plugin serves."""


def write_launchers(folder: Path) -> dict[str, Path]:
    """Write an executable for each package, where the engine looks for it.

    Args:
        folder: Where; created if need be.

    Returns:
        Package -> folder with its `pulumi-resource-<package>`, for the project manifest.
    """
    root = Path(__file__).resolve().parent.parent.parent
    launchers: dict[str, Path] = {}
    for package in VERSIONS:
        launchers[package] = folder / package
        launchers[package].mkdir(parents=True, exist_ok=True)
        script = (
            "#!/bin/sh\n"
            f"PYTHONPATH={shlex.quote(str(root))} "
            f'exec {shlex.quote(sys.executable)} -m pairlab.plugin {package} "$@"\n'
        )
        path = launchers[package] / f"pulumi-resource-{package}"
        if not path.is_file() or path.read_text() != script:
            path.write_text(script)
            path.chmod(0o755)
    return launchers
