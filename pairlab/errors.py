"""The one error tree. Every error says what went wrong and what to do next."""

from __future__ import annotations

import errno

NEXT_STEPS = {
    errno.ENOSPC: "free some disk space, then run the command again",
    errno.EACCES: "run it as an account that may do that, or choose another place",
    errno.EPERM: "run it as an account that may do that, or choose another place",
}
"""Cause, by its number -> the next step."""


class LabError(Exception):
    """Base of every error that pairlab raises for a person to read.

    Args:
        message: What went wrong, in one sentence that names the cause.
        hint: The next step that the reader can take.
        details: Longer material, such as the tail of a log; may be empty.
    """

    def __init__(self, message: str, *, hint: str, details: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details


class UsageError(LabError):
    """The command line or a setting is wrong; nothing was touched. Exit status 2."""


class SettingError(UsageError):
    """A setting is unknown, or its value is not allowed."""


class CommandError(LabError):
    """A command that pairlab ran failed, was not found, or ran out of time."""


class TemplateError(LabError):
    """A template is missing, or a value that it needs is."""


class HostError(LabError):
    """This host lacks something that a lab needs."""


class ImageError(LabError):
    """An image could not be built, found, or trusted."""


class PluginError(LabError):
    """A provider plugin refused a request, or its daemon did."""


class EngineError(LabError):
    """The Pulumi engine failed."""


class StateLockedError(EngineError):
    """Another run holds the lab's state."""


class RolledBackError(EngineError):
    """The orchestrator took a release back by itself: what ran before runs again."""


class SideError(LabError):
    """One side of a lab could not be reached or did not do what was asked."""


class ExerciseError(LabError):
    """An exercise failed: what it measured did not really happen, or a step of it did not work."""


class ResultError(LabError):
    """A result cannot be read."""


class ConflictError(LabError):
    """A port, subnet or name that the lab needs is held by something else."""


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP came. It ends a command as Ctrl-C does, and reaches no other process by itself.

    Attributes:
        number: Of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def system_error(error: OSError) -> LabError:
    """What the operating system refused, for a person: the cause and the file, if it is about one."""
    file = f"{error.filename}: " if error.filename else ""
    return LabError(
        f"{file}{error.strerror or error}",
        hint=NEXT_STEPS.get(error.errno or 0, "mend that, then run the command again"),
    )
