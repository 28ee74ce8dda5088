"""The Pulumi SDK without the questions whose answers nobody here uses: each costs a start of the CLI.

What an operation did is told by its events, and every command names its stack.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pulumi import automation
from pulumi.automation._stack import StackInitMode  # `Stack.select` of a subclass makes a plain `Stack`
from semver import VersionInfo


class Command(automation.PulumiCommand):
    """A CLI whose version is known.

    Args:
        executable: The CLI.
        version: Its version, such as `3.259.0`.
    """

    def __init__(self, executable: Path, version: str) -> None:
        # The SDK's own would ask the CLI for its version.
        self.command = str(executable)
        self.version = VersionInfo.parse(version)


class Workspace(automation.LocalWorkspace):
    """A workspace in which no stack is the selected one."""

    def select_stack(self, stack_name: str) -> None:
        """Nothing: whether there is such a stack, the first command on it says."""


class Stack(automation.Stack):
    """A stack that is there; its outputs and history are not read after each operation.

    Args:
        name: Its name.
        workspace: Its workspace.
    """

    def __init__(self, name: str, workspace: Workspace) -> None:
        super().__init__(name, workspace, StackInitMode.SELECT)

    def outputs(self) -> automation.OutputMap:
        """None."""
        return {}

    def info(self, show_secrets: bool = True) -> automation.UpdateSummary:
        """A summary that tells nothing of the operation."""
        now = datetime.now(UTC)
        return automation.UpdateSummary("", now, "", environment={}, config={}, result="not-asked")
