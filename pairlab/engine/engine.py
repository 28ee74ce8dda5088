"""Runs a lab's program in a real Pulumi engine: up, preview, refresh, destroy, and what it remembers."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from pulumi import automation
from pulumi.automation import errors as automation_errors

from pairlab.engine.interrupt import interruptible
from pairlab.engine.plugins import PluginUse
from pairlab.engine.recorder import Progress, Recorder, plain
from pairlab.errors import EngineError, LabError, StateLockedError
from pairlab.model import Outcome

Program = Callable[[], None]


class Engine:
    """Pulumi for this project, in a directory of its own.

    Args:
        cli_root: Directory with `bin/pulumi`, or None for the one on PATH.
        state: pairlab's state directory; holds the default backend, the passphrase and the manifest.
        manifest: The project's `Pulumi.yaml`.
        plugins: Package -> the plugin that serves it.
        launchers: Package -> folder of its embedded plugin's executable.
    """

    def __init__(
        self,
        cli_root: Path | None,
        state: Path,
        manifest: Path,
        plugins: Mapping[str, PluginUse],
        launchers: Mapping[str, Path],
    ) -> None:
        self._state = state
        self._work_dir = state / "engine"
        self._work_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._write_manifest(manifest, plugins, launchers)
        self._command = automation.PulumiCommand(str(cli_root) if cli_root else None, skip_version_check=True)

    @property
    def backend(self) -> str:
        """Address of the state backend."""
        return os.environ.get("PULUMI_BACKEND_URL") or f"file://{self._state / 'pulumi'}"

    def labs(self) -> list[str]:
        """Names of the labs in this backend."""
        return sorted(stack.name.rsplit("/", 1)[-1] for stack in self._workspace(None).list_stacks())

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
        known = self._exists(lab)
        try:
            return self._run(
                lab, program, progress, lambda stack, on: stack.preview(on_event=on, color="never")
            )
        finally:
            if not known and self._exists(lab):
                self._workspace(None).remove_stack(lab)
                self._forget(lab)

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
        self._workspace(None).remove_stack(lab)
        self._forget(lab)
        return outcome

    def resources(self, lab: str) -> list[dict[str, Any]]:
        """The resources that the state records, as Pulumi exports them; secrets stay encrypted."""
        deployment = self._workspace(None).export_stack(lab).deployment
        return list((deployment or {}).get("resources") or [])

    def clear_pending(self, lab: str) -> list[tuple[str, str]]:
        """Take out of the state what an interrupted engine had begun and not recorded.

        Returns:
            Type token and physical name of what it was creating, which may or may not exist.
        """
        if not self._has_pending(lab):
            return []
        workspace = self._workspace(None)
        exported = workspace.export_stack(lab)
        deployment = dict(exported.deployment or {})
        pending = deployment.pop("pending_operations", None) or []
        if pending:
            # Refused while another run holds the state: then it is that run's, and not cut off.
            with self._explained(lab):
                workspace.import_stack(lab, automation.Deployment(exported.version, deployment))
        begun = [entry["resource"] for entry in pending if entry["type"] == "creating"]
        names = [(str(resource["type"]), (resource.get("inputs") or {}).get("name")) for resource in begun]
        return [(token, str(name)) for token, name in names if name]

    def _exists(self, lab: str) -> bool:
        return bool(self._state_files(lab)) if self._is_local else lab in self.labs()

    def _has_pending(self, lab: str) -> bool:
        if not self._is_local:
            return self._exists(lab)
        # Asking the CLI takes as long as all else that `up` of an unchanged lab does: look at the file.
        return any(b'"pending_operations"' in path.read_bytes() for path in self._state_files(lab))

    @property
    def _is_local(self) -> bool:
        return self.backend.startswith("file://")

    @property
    def _local_root(self) -> Path:
        return Path(self.backend.removeprefix("file://")) / ".pulumi"

    def _state_files(self, lab: str) -> list[Path]:
        return list((self._local_root / "stacks").glob(f"**/{lab}.json"))

    def lock_holder(self, lab: str) -> str | None:
        """Who holds the lab's state, in words; None if nobody does. File backends only."""
        for path in self._locks(lab):
            try:
                lock = json.loads(path.read_text())
            except (OSError, ValueError):
                return f"an unreadable lock {path}"
            pid, host = lock.get("pid"), lock.get("hostname")
            alive = host == os.uname().nodename and Path(f"/proc/{pid}").exists()
            ended = "still running" if alive else "no longer running here"
            return (
                f"process {pid} of {lock.get('username')} on {host}, {ended}, since {lock.get('timestamp')}"
            )
        return None

    def unlock(self, lab: str) -> None:
        """Clear the lab's state lock."""
        self._stack(lab, lambda: None).cancel()

    def _locks(self, lab: str) -> list[Path]:
        return sorted((self._local_root / "locks").glob(f"**/{lab}/*.json")) if self._is_local else []

    def _forget(self, lab: str) -> None:
        (self._work_dir / f"Pulumi.{lab}.yaml").unlink(missing_ok=True)
        if not self._is_local:
            return
        for kind in ("history", "backups", "stacks", "locks"):
            for found in (self._local_root / kind).glob(f"**/{lab}"):
                shutil.rmtree(found, ignore_errors=True)
            for found in (self._local_root / kind).glob(f"**/{lab}.json*"):
                found.unlink(missing_ok=True)

    def _write_manifest(
        self, manifest: Path, plugins: Mapping[str, PluginUse], launchers: Mapping[str, Path]
    ) -> None:
        project = yaml.safe_load(manifest.read_text())
        # The program runs inline: the schema of its settings is checked by pairlab, with better errors.
        project = {key: project[key] for key in ("name", "description")} | {"runtime": "python"}
        embedded = [
            {"name": use.name, "version": use.version, "path": str(launchers[use.name])}
            for use in plugins.values()
            if use.origin == "embedded"
        ]
        if embedded:
            project["plugins"] = {"providers": embedded}
        (self._work_dir / "Pulumi.yaml").write_text(yaml.safe_dump(project, sort_keys=False))

    def _environment(self) -> dict[str, str]:
        environment = {"PULUMI_BACKEND_URL": self.backend, "PULUMI_SKIP_UPDATE_CHECK": "true"}
        if self._is_local:
            self._local_root.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not {"PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"} & os.environ.keys():
            environment["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(self._passphrase_file())
        return environment

    def _passphrase_file(self) -> Path:
        path = self._state / "passphrase"
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(32))
        return path

    def _workspace(self, program: Program | None) -> automation.LocalWorkspace:
        return automation.LocalWorkspace(
            work_dir=str(self._work_dir),
            program=program,
            env_vars=self._environment(),
            pulumi_command=self._command,
        )

    def _stack(self, lab: str, program: Program) -> automation.Stack:
        with self._explained(lab):
            return automation.Stack.create_or_select(lab, self._workspace(program))

    @contextmanager
    def _explained(self, lab: str, problems: Sequence[str] = ()) -> Iterator[None]:
        """Turn the SDK's errors into ours; `problems` may still grow meanwhile."""
        try:
            yield
        except automation_errors.ConcurrentUpdateError as error:
            holder = self.lock_holder(lab) or "another run"
            raise StateLockedError(
                f"the state of lab {lab!r} is locked by {holder}",
                hint=f"wait for it; if it is dead, run `invoke lab.unlock --lab {lab}`",
            ) from error
        except automation_errors.CommandError as error:
            raise _engine_error(error, problems, lab) from error

    def _run(
        self, lab: str, program: Program, progress: Progress, operate: Callable[[Any, Any], Any]
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


def _engine_error(error: automation_errors.CommandError, problems: Sequence[str], lab: str) -> LabError:
    """The engine's own words, without its noise."""
    told = [line for problem in problems for line in problem.splitlines() if line.strip()]
    told = [line for line in told if not line.startswith(("update failed", "preview failed"))]
    text = plain(str(error))
    if not told:
        told = [
            line.removeprefix("error: ") for line in text.splitlines() if line.strip().startswith("error:")
        ]
    first = told[0].strip() if told else "Pulumi failed"
    return EngineError(
        f"lab {lab!r}: {first}",
        hint=f"mend the cause, then run `invoke lab.up --lab {lab}` again, or `invoke lab.down --lab {lab}`",
        details="\n".join(told[1:]) or ("" if told else text),
    )
