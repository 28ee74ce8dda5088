"""Runs a lab's program in a real Pulumi engine: up, preview, refresh, destroy, and what it remembers."""

from __future__ import annotations

import json
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pulumi.automation import errors as automation_errors

from pairlab.engine.cli import PulumiCli
from pairlab.engine.interrupt import interruptible, write_apart
from pairlab.engine.plugins import PluginUse
from pairlab.engine.recorder import Recorder, plain
from pairlab.engine.sdk import Command, Stack, Workspace
from pairlab.engine.state_files import LockHolder, StateFiles, backend_address
from pairlab.engine.work_dirs import forget_lab, make_work_dir
from pairlab.errors import ConflictError, EngineError, LabError, StateLockedError
from pairlab.files import write_first
from pairlab.model import Outcome
from pairlab.progress import Progress

Program = Callable[[], None]
HALF_WRITTEN = re.compile(
    r"^error: (?:.*(?:failed to load checkpoint|\.pulumi/(?:stacks|locks)/).*)?"
    r"(?:unexpected )?(?:EOF|end of JSON input)$"
    r"|^error: .*\.pulumi/locks/.*NotFound",
    re.MULTILINE,
)
"""What the CLI says of a state file, or a lock, that another one writes or removes at that moment."""
INCORRECT_PASSPHRASE = "incorrect passphrase"
"""What the CLI says of a state, or a lab's salt, that another passphrase belongs to."""


class Engine:
    """Pulumi for this project, in directories of its own.

    Args:
        cli: The Pulumi CLI.
        state: pairlab's state directory; holds the default backend, the passphrase and the manifest.
        manifest: The project's `Pulumi.yaml`.
        plugins: Package -> the plugin that serves it.
        launchers: Package -> folder of its embedded plugin's executable.

    Attributes:
        backend: Address of the state backend.

    Raises:
        UsageError: `PULUMI_BACKEND_URL` is no address of a backend, or its folder cannot be used.
    """

    def __init__(
        self,
        cli: PulumiCli,
        state: Path,
        manifest: Path,
        plugins: Mapping[str, PluginUse],
        launchers: Mapping[str, Path],
    ) -> None:
        self._state = state
        self.backend = backend_address(state)
        self._files = StateFiles.of(self.backend)
        self._work_dirs = state / "engine"
        self._work_dir = make_work_dir(self._work_dirs, manifest, plugins, launchers)
        self._command = Command(write_apart(cli.path, self._work_dir), cli.version)

    def labs(self) -> list[str]:
        """Names of the labs in this backend.

        Raises:
            EngineError: The backend cannot be asked.
        """
        if self._files:
            return self._files.labs()
        with self._explained():
            return sorted(stack.name.rsplit("/", 1)[-1] for stack in self._workspace(None).list_stacks())

    def create(self, lab: str) -> None:
        """Begin the state of a lab that has none: it is then this run's own.

        Raises:
            ConflictError: It has one: another run made it.
            EngineError: It cannot be made.
        """
        with self._explained(lab):
            try:
                self._workspace(None).create_stack(lab)
            except automation_errors.StackAlreadyExistsError as error:
                raise ConflictError(
                    f"lab {lab!r} is there already: another run made it, or one that was cut short",
                    hint=f"give another --lab; `invoke lab.down --lab {lab}` removes it, if nobody uses it",
                ) from error

    def up(self, lab: str, program: Program, *, progress: Progress, refresh: bool) -> Outcome:
        """Make the lab what the program declares.

        Args:
            lab: The lab's name.
            program: Declares its resources.
            progress: Told each step.
            refresh: Look at what is really there first, so that drift is put right.

        Raises:
            StateLockedError: Another run is at work on this lab.
            EngineError: The engine or a plugin failed.
        """
        return self._run(
            lab,
            program,
            progress,
            lambda stack, on: stack.up(on_event=on, refresh=refresh, color="never", parallel=16),
        )

    def preview(self, lab: str, program: Program, *, progress: Progress) -> Outcome:
        """What `up` would change; touches nothing."""
        made = not self._exists(lab)
        if made:
            self.create(lab)
        try:
            return self._run(
                lab, program, progress, lambda stack, on: stack.preview(on_event=on, color="never")
            )
        finally:
            if made:
                with suppress(EngineError):  # another run has made it a lab meanwhile
                    self._remove(lab)

    def refresh(self, lab: str, program: Program, *, progress: Progress) -> Outcome:
        """Compare the state with what is really there and correct the state."""
        return self._run(lab, program, progress, lambda stack, on: stack.refresh(on_event=on, color="never"))

    def destroy(self, lab: str, *, progress: Progress) -> Outcome | None:
        """Delete all that the state knows of the lab, then the state. None if there is no such state."""
        if not self._exists(lab):
            return None
        outcome = self._run(
            lab,
            lambda: None,
            progress,
            lambda stack, on: stack.destroy(on_event=on, color="never", parallel=16, refresh=True),
        )
        self._remove(lab)
        return outcome

    def drop_state(self, lab: str) -> bool:
        """Remove the state of a lab whose engine cannot work by it; whatever that knows, stays.

        Returns:
            Whether it is gone: only a backend of files lets a state go that it cannot read.
        """
        if self._files is None:
            return False
        self._files.drop(lab)
        forget_lab(self._work_dirs, lab)
        return True

    def clear_pending(self, lab: str) -> list[tuple[str, str]]:
        """Take out of the state what an interrupted engine had begun and not recorded.

        Returns:
            Type token and physical name of what it was creating, which may or may not exist.
        """
        if not self._has_pending(lab):
            return []
        self.refuse_locked(lab)
        exported = json.loads(self._cli(lab, "stack", "export"))  # secrets stay encrypted
        pending = exported["deployment"].pop("pending_operations", None) or []
        if pending:
            with tempfile.NamedTemporaryFile("w", dir=self._work_dir, suffix=".json") as file:
                json.dump(exported, file)
                file.flush()
                # Refused while another run holds the state: then it is that run's, and not cut off.
                self._cli(lab, "stack", "import", "--file", file.name)
        begun = [entry["resource"] for entry in pending if entry["type"] == "creating"]
        names = [(str(resource["type"]), (resource.get("inputs") or {}).get("name")) for resource in begun]
        return [(token, str(name)) for token, name in names if name]

    def _exists(self, lab: str) -> bool:
        return self._files.state(lab) is not None if self._files else lab in self.labs()

    def _has_pending(self, lab: str) -> bool:
        # Asking the CLI takes as long as all else that `up` of an unchanged lab does: look at the file.
        path = self._files.state(lab) if self._files else None
        if path is None or path.suffix != ".json":
            return self._exists(lab)
        return b'"pending_operations"' in path.read_bytes()

    @property
    def tells_lock_holders(self) -> bool:
        """The backend tells who holds a lab's state; one that is not of files does not."""
        return self._files is not None

    def lock_holder(self, lab: str) -> LockHolder | None:
        """Who holds the lab's state; None if nobody does, or the backend does not tell."""
        return self._files.lock_holder(lab) if self._files else None

    def refuse_locked(self, lab: str) -> None:
        """Refuse to begin what another run would disturb.

        Raises:
            StateLockedError: One holds the lab's state.
        """
        if self.lock_holder(lab) is not None:
            raise self._locked(lab)

    def unlock(self, lab: str) -> None:
        """Clear the lab's state lock, and what its holder left half written."""
        if self._files:
            self._files.drop_half_written(lab)
        self._cli(lab, "cancel", "--yes")

    def _remove(self, lab: str) -> None:
        """Remove an emptied state and its backups; the CLI knows which files are this stack's."""
        self._cli(lab, "stack", "rm", "--yes", "--remove-backups")
        forget_lab(self._work_dirs, lab)
        if self._files:
            self._files.tidy(lab)

    def _cli(self, lab: str, *words: str) -> str:
        """Run the CLI on a stack, where no call of the SDK does just that; returns what it printed."""
        with self._explained(lab):
            argv = [*words, "--stack", lab]
            return self._command.run(argv, str(self._work_dir), self._environment()).stdout

    def _environment(self) -> dict[str, str]:
        environment = {
            "PULUMI_BACKEND_URL": self.backend,
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            # A lab's key is in its state: in another directory than the last time, that one goes on.
            "PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER": "true",
        }
        if not {"PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"} & os.environ.keys():
            environment["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(self._passphrase_file())
        return environment

    def _passphrase_file(self) -> Path:
        path = self._state / "passphrase"
        # Others' labs may be in this backend too. Asked first: another run may begin with both just now.
        labs = self._files.labs() if self._files else []
        ours = [lab for lab in labs if (self._state / "labs" / lab).is_dir()]
        if not path.exists():
            if ours:
                raise EngineError(
                    f"the passphrase is lost that encrypts the state of {', '.join(ours)}: "
                    f"{path} is gone, and PULUMI_CONFIG_PASSPHRASE is not set",
                    hint="put it back; if there is no copy, `invoke lab.down --lab NAME --orphans` takes "
                    "down each of them without it",
                )
            write_first(path, secrets.token_urlsafe(32))
        return path

    def _workspace(self, program: Program | None) -> Workspace:
        return Workspace(
            work_dir=str(self._work_dir),
            program=program,
            env_vars=self._environment(),
            pulumi_command=self._command,
        )

    def _stack(self, lab: str, program: Program) -> Stack:
        workspace = self._workspace(program)
        with self._explained(lab):
            if not self._exists(lab):
                with suppress(automation_errors.StackAlreadyExistsError):  # another run made it meanwhile
                    workspace.create_stack(lab)
            return Stack(lab, workspace)

    @contextmanager
    def _explained(self, lab: str = "", problems: Sequence[str] = ()) -> Iterator[None]:
        """Turn the SDK's errors into ours; `problems` may still grow meanwhile."""
        try:
            yield
        except automation_errors.ConcurrentUpdateError as error:
            raise self._locked(lab) from error
        except automation_errors.CommandError as error:
            if self._was_half_written(lab, said_by(error)):
                raise self._locked(lab) from error
            raise _engine_error(error, problems, lab) from error

    def _locked(self, lab: str) -> StateLockedError:
        return StateLockedError(
            f"the state of lab {lab!r} is locked by {self.lock_holder(lab) or 'another run'}",
            hint=f"wait for it; if it is dead, run `invoke lab.unlock --lab {lab}`",
        )

    def _was_half_written(self, lab: str, text: str) -> bool:
        """Whether the CLI met a state that another run was just writing, rather than one that is broken."""
        if not (lab and self._files and HALF_WRITTEN.search(text)):
            return False
        return self.lock_holder(lab) is not None or self._files.are_whole(lab)

    def _run(
        self, lab: str, program: Program, progress: Progress, operate: Callable[[Stack, Recorder], object]
    ) -> Outcome:
        recorder = Recorder(progress)
        stack = self._stack(lab, program)
        with self._explained(lab, recorder.problems), _quiet_engine_logs():
            interruptible(lambda: operate(stack, recorder), progress)
        return recorder.outcome()


@contextmanager
def _quiet_engine_logs() -> Iterator[None]:
    """The SDK reports a failing inline program on stderr with a traceback; the error says it already."""
    import logging

    loggers = [logging.getLogger(name) for name in ("pulumi", "grpc", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def said_by(error: automation_errors.CommandError) -> str:
    """What the CLI wrote on its standard error; the SDK keeps it only in the error's text."""
    return plain(str(error).partition("\n stderr: ")[2])


def _engine_error(error: automation_errors.CommandError, problems: Sequence[str], lab: str) -> LabError:
    """The engine's own words, without its noise."""
    told = [line for problem in problems for line in problem.splitlines() if line.strip()]
    told = [line for line in told if not line.startswith(("update failed", "preview failed"))]
    said = said_by(error)
    if not told:
        told = [
            line.removeprefix("error: ") for line in said.splitlines() if line.strip().startswith("error:")
        ]
    if is_other_passphrase := INCORRECT_PASSPHRASE in str(error):
        told.insert(0, "its state was encrypted with another passphrase than is set now")
    first = told[0].strip() if told else "Pulumi failed"
    hint = f"mend the cause, then run `invoke lab.up --lab {lab}` again, or `invoke lab.down --lab {lab}`"
    if is_other_passphrase:
        hint = f"put that one back; if it is lost, `invoke lab.down --lab {lab} --orphans` takes the lab down"
    elif not problems and "PULUMI_BACKEND_URL" in os.environ:
        hint = "see whether PULUMI_BACKEND_URL is right and can be reached, or unset it"
    return EngineError(
        f"lab {lab!r}: {first}" if lab else first,
        hint=hint,
        details="\n".join(told[1:]) or ("" if told else plain(str(error))),
    )
