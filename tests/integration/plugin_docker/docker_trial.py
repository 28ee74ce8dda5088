"""A stack of one test under a real engine."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pulumi import automation

from pairlab.plugin.launchers import write_launchers

Program = Callable[[], None]


class Trial:
    """A stack of one test, in a project of its own, that uses the embedded plugin."""

    def __init__(self, pulumi_root: Path, folder: Path) -> None:
        plugin = write_launchers(folder / "plug ins")["docker"]
        self.folder = folder
        (folder / "state").mkdir()
        self.work = folder / "work"
        self.work.mkdir()
        self.backend = f"file://{folder}/state"
        (self.work / "Pulumi.yaml").write_text(
            "name: pldocker\nruntime: python\n"
            f"plugins:\n  providers:\n  - name: docker\n    path: {plugin}\n    version: 5.2.0\n"
        )
        self._command = automation.PulumiCommand(root=str(pulumi_root), skip_version_check=True)
        self._home = folder / "home"
        self.output: list[str] = []

    def stack(self, program: Program) -> automation.Stack:
        options = automation.LocalWorkspaceOptions(
            work_dir=str(self.work),
            pulumi_command=self._command,
            env_vars={
                "PULUMI_CONFIG_PASSPHRASE": "test",
                "PULUMI_HOME": str(self._home),
                "PULUMI_SKIP_UPDATE_CHECK": "true",
                "PULUMI_BACKEND_URL": self.backend,
            },
        )
        return automation.create_or_select_stack(
            "test", project_name="pldocker", program=program, opts=options
        )

    def up(self, program: Program) -> dict[str, int]:
        return _counts(self.stack(program).up(on_output=self.output.append).summary.resource_changes)

    def fails(self, program: Program) -> str:
        """Words of an `up` that must fail."""
        with pytest.raises(automation.CommandError) as caught:
            self.up(program)
        words = str(caught.value)
        del caught
        gc.collect()  # the SDK leaves the failed program's coroutine to the garbage collector: warn here
        return words

    def preview(self, program: Program) -> dict[str, int]:
        return _counts(self.stack(program).preview(on_output=self.output.append).change_summary)

    def refresh(self, program: Program) -> dict[str, int]:
        return _counts(self.stack(program).refresh(on_output=self.output.append).summary.resource_changes)

    def destroy(self) -> dict[str, int]:
        stack = self.stack(lambda: None)
        return _counts(stack.destroy(on_output=self.output.append).summary.resource_changes)

    def kept(self) -> str:
        """The state and its history as they lie on the disk."""
        files = (self.folder / "state").rglob("*.json")
        return "".join(path.read_text() for path in files)


def _counts(summary: Any) -> dict[str, int]:
    return {
        str(getattr(kind, "value", kind)): n for kind, n in (summary or {}).items() if "same" not in str(kind)
    }
