"""The executables by which the engine starts embedded plugins."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pairlab.plugin.launchers import write_launchers


def test_a_launcher_in_use_is_not_changed_by_another_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pythons = ("/first/bin/python", "/second/bin/python")
    written: list[dict[str, Path]] = []
    for python in pythons:
        monkeypatch.setattr(sys, "executable", python)
        written.append(write_launchers(tmp_path))
    for python, launchers in zip(pythons, written, strict=True):
        for package, folder in launchers.items():
            launcher = folder / f"pulumi-resource-{package}"
            assert f"exec {python} -m pairlab.plugin {package} " in launcher.read_text()
            assert launcher.stat().st_mode & 0o777 == 0o755
