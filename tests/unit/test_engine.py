"""The engine before a CLI that answers as told: whose state it touches, and what it says when it may not."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lab_commands import until

from pairlab.engine.cli import PulumiCli
from pairlab.engine.engine import Engine
from pairlab.engine.plugins import PluginUse
from pairlab.errors import ConflictError, EngineError, StateLockedError, UsageError
from pairlab.files import replace_at_once, write_first
from pairlab.run import running

ROOT = Path(__file__).resolve().parents[2]
PENDING = {"type": "creating", "resource": {"type": "docker:index/volume:Volume", "inputs": {"name": "data"}}}
HALF = "error: failed to load checkpoint: EOF"


@dataclass
class Cli:
    """A `pulumi` that notes how it is called.

    Attributes:
        home: Holds the answers, the notes and `bin/pulumi`.
    """

    home: Path

    def answer(self, words: str, *, out: str = "", error: str = "", then: str = "") -> None:
        """What it prints for a command; with `error` it fails, with `then` it runs that shell command."""
        code = 1 if error else 0
        (self.home / words.replace(" ", "-")).write_text(
            f"printf %s {shlex.quote(out)}; printf %s {shlex.quote(error)} >&2; {then or ':'}; exit {code}\n"
        )

    @property
    def found(self) -> PulumiCli:
        return PulumiCli(self.home / "bin/pulumi", "3.259.0", "cache")

    @property
    def calls(self) -> list[str]:
        return [line.removeprefix("--non-interactive ") for line in self._notes.read_text().splitlines()]

    @property
    def _notes(self) -> Path:
        return self.home / "notes"

    def install(self) -> None:
        script = self.home / "bin/pulumi"
        script.parent.mkdir(parents=True)
        script.write_text(
            f'#!/bin/sh\necho "$@" >> {self._notes}\n'
            f"for known in {self.home}/*-* {self.home}/preview {self.home}/up; do\n"
            '  [ -f "$known" ] || continue\n'
            '  case " $* " in *" $(basename "$known" | tr - " ") "*) . "$known";; esac\ndone\n'
        )
        script.chmod(0o755)
        self._notes.touch()
        self.answer("preview", error="error: no")


@dataclass
class World:
    """An engine, its CLI and its state."""

    cli: Cli
    engine: Engine
    pulumi: Path

    def lay(self, kind: str, project: str, name: str, document: Any) -> Path:
        path = self.pulumi / kind / project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document))
        return path

    def lock(self, pid: int = 0) -> Path:
        held = {
            "pid": pid or os.getpid(),
            "username": "me",
            "hostname": os.uname().nodename,
            "timestamp": "now",
        }
        return self.lay("locks/organization", "pairlab", "trial/1.json", held)

    def cut_off(self) -> dict[str, Any]:
        """Lay a state as an interrupted engine leaves it."""
        deployment = {"resources": [], "pending_operations": [PENDING]}
        self.lay("stacks", "pairlab", "trial.json", {"checkpoint": {"latest": deployment}})
        self.cli.answer("stack export", out=json.dumps({"version": 3, "deployment": deployment}))
        return deployment


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PULUMI_BACKEND_URL", raising=False)
    cli = Cli(tmp_path / "cli")
    cli.install()
    engine = Engine(cli.found, tmp_path / "state", ROOT / "Pulumi.yaml", {}, {})
    return World(cli, engine, tmp_path / "state/pulumi/.pulumi")


def nothing() -> None:
    """A program that declares nothing."""


def told(_: str) -> None:
    """Nobody listens."""


def test_what_is_removed_is_this_projects_alone(world: World) -> None:
    kept = [world.lay(kind, "other", "trial/1.json", {}) for kind in ("history", "backups", "locks")]
    kept += [world.lay("stacks", "other", "trial.json", {}), world.lay("stacks", ".", "trial.json", {})]
    state = world.pulumi / "stacks/pairlab/trial.json"
    world.cli.answer("stack init", then=f"mkdir -p {state.parent}; echo {{}} > {state}")
    world.cli.answer("stack rm", then=f"rm {state}")
    with pytest.raises(EngineError):
        world.engine.preview("trial", nothing, progress=told)
    assert world.cli.calls[-1] == "stack rm --yes --remove-backups --stack trial"
    assert all(path.is_file() for path in kept)


def test_each_operation_on_a_lab_that_is_there_starts_the_cli_once(world: World) -> None:
    world.lay("stacks", "pairlab", "trial.json", {})
    world.engine.up("trial", nothing, progress=told, refresh=True)
    world.engine.refresh("trial", nothing, progress=told)
    assert [call.split()[0] for call in world.cli.calls] == ["up", "refresh"]


def test_a_lab_that_another_run_has_is_not_made_anew_nor_removed(world: World) -> None:
    world.cli.answer("stack init", error="error: stack 'organization/pairlab/trial' already exists")
    with pytest.raises(ConflictError, match="another run made it"):
        world.engine.create("trial")
    with pytest.raises(ConflictError):
        world.engine.preview("trial", nothing, progress=told)
    assert not [call for call in world.cli.calls if "stack rm" in call]


@pytest.mark.parametrize("said", [HALF, "error: EOF", "error: unexpected end of JSON input"])
def test_a_state_that_another_run_is_writing_is_locked(world: World, said: str) -> None:
    attributes = world.lay("stacks", "pairlab", "trial.json", {}).with_name("trial.json.attrs")
    world.cli.answer("up", error=said)
    lock = world.lock()
    with pytest.raises(StateLockedError, match=rf"locked by process {os.getpid()} of me"):
        world.engine.up("trial", nothing, progress=told, refresh=True)
    lock.unlink()
    with pytest.raises(StateLockedError, match="locked by another run"):  # it is done by now
        world.engine.up("trial", nothing, progress=told, refresh=True)
    attributes.write_text("")
    with pytest.raises(EngineError, match="trial") as broken:  # and nobody is writing it
        world.engine.up("trial", nothing, progress=told, refresh=True)
    assert not isinstance(broken.value, StateLockedError)
    assert said.removeprefix("error: ") in broken.value.message


def test_a_lock_is_cleared_with_what_its_holder_left_half_written(world: World) -> None:
    state = world.lay("stacks", "pairlab", "trial.json", {})
    lock = world.lock()
    whole, half, other = (
        path.with_name(path.name + ".attrs")
        for path in (state.with_name("trial.json.bak"), state, state.with_name("trial2.json"))
    )
    of_lock = lock.with_name(lock.name + ".attrs")
    whole.write_text("{}")
    for path in (half, other, of_lock):
        path.write_text("")
    world.engine.unlock("trial")
    assert [path.exists() for path in (whole, half, other, of_lock)] == [True, False, True, False]
    assert world.cli.calls == ["cancel --yes --stack trial"]


def test_a_holder_that_ended_and_was_not_reaped_is_not_running(world: World) -> None:
    with subprocess.Popen(["true"]) as ended:
        until(lambda: running(ended.pid) is None, timeout_s=10)
        world.lock(ended.pid)
        assert "no longer running here" in str(world.engine.lock_holder("trial"))


def test_a_holder_runs_while_its_number_is_that_of_an_engine(world: World) -> None:
    engine = world.cli.home / "pulumi"
    engine.write_text("#!/bin/sh\nread end\n")
    engine.chmod(0o700)
    with subprocess.Popen([engine], stdin=subprocess.PIPE) as at_work:
        world.lock(at_work.pid)
        until(lambda: "pulumi" in (running(at_work.pid) or ""), timeout_s=10)
        holder = world.engine.lock_holder("trial")
        assert holder is not None
        assert (holder.runs, "still running" in str(holder)) == (True, True)
        assert at_work.stdin
        at_work.stdin.close()
    world.lock()  # as of this very process, which is none
    holder = world.engine.lock_holder("trial")
    assert holder is not None
    assert (holder.runs, "no longer running here" in str(holder)) == (False, True)


def test_an_engine_that_fails_in_other_words_is_not_taken_for_a_lock(world: World) -> None:
    world.cli.answer("up", error="error: rpc error: code = Unavailable desc = EOF\nmore")
    with pytest.raises(EngineError, match="rpc error") as told_so:
        world.engine.up("trial", nothing, progress=told, refresh=True)
    assert not isinstance(told_so.value, StateLockedError)


def test_what_was_cut_off_is_cleared_without_secrets_in_clear(world: World) -> None:
    assert world.engine.clear_pending("trial") == []
    deployment = world.cut_off()
    imported = world.cli.home / "imported.json"
    world.cli.answer("stack import", then=f'cp "$5" {imported}')
    assert world.engine.clear_pending("trial") == [("docker:index/volume:Volume", "data")]
    del deployment["pending_operations"]
    assert json.loads(imported.read_text()) == {"version": 3, "deployment": deployment}
    assert not [call for call in world.cli.calls if "--show-secrets" in call]
    assert [path.name for path in (world.pulumi.parents[1] / "engine").rglob("*.json")] == []


def test_nothing_is_cleared_while_another_run_is_at_work(world: World) -> None:
    world.cut_off()
    world.lock()
    with pytest.raises(StateLockedError, match="locked by process"):
        world.engine.clear_pending("trial")
    assert world.cli.calls == []


def make_elsewhere(world: World, address: str, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setenv("PULUMI_BACKEND_URL", address)
    return Engine(world.cli.found, world.pulumi.parents[1], ROOT / "Pulumi.yaml", {}, {})


def test_a_wrong_backend_is_told_with_the_next_step(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("nowhere://x", f"file://{world.cli.home}/bin/pulumi"):
        with pytest.raises(UsageError, match=r"state"):
            make_elsewhere(world, wrong, monkeypatch)
    engine = make_elsewhere(world, "s3://nowhere", monkeypatch)
    world.cli.answer("stack ls", error="error: unable to open bucket: no such host")
    asked: list[Callable[[], Any]] = [engine.labs, lambda: engine.destroy("trial", progress=told)]
    for ask in asked:
        with pytest.raises(EngineError, match="unable to open bucket: no such host") as reason:
            ask()
        assert "PULUMI_BACKEND_URL" in reason.value.hint


@pytest.fixture
def own_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)


def test_a_lost_passphrase_is_told_and_not_replaced(world: World, own_passphrase: None) -> None:
    state = world.pulumi.parents[1]
    for lab in ("trial", "others"):
        world.lay("stacks", "pairlab", f"{lab}.json", {})
    world.engine.up("trial", nothing, progress=told, refresh=True)
    (state / "passphrase").unlink()
    (state / "labs/trial").mkdir(parents=True)
    for lab in ("trial", "new"):
        with pytest.raises(EngineError, match=r"is lost .* of trial: .*/passphrase is gone") as lost:
            world.engine.up(lab, nothing, progress=told, refresh=True)
        assert "--orphans" in lost.value.hint
    assert not (state / "passphrase").exists()
    assert world.engine.drop_state("trial")
    world.engine.up("others", nothing, progress=told, refresh=True)
    assert (state / "passphrase").exists()


def test_a_state_that_another_passphrase_belongs_to_is_told(world: World) -> None:
    world.lay("stacks", "pairlab", "trial.json", {})
    world.cli.answer("up", error="error: failed to decrypt: incorrect passphrase, please set it")
    with pytest.raises(EngineError, match="was encrypted with another passphrase") as refused:
        world.engine.up("trial", nothing, progress=told, refresh=True)
    assert "lab.down --lab trial --orphans" in refused.value.hint
    assert "failed to decrypt" in refused.value.details


def test_a_state_is_dropped_unread_where_files_hold_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.lay("stacks", "pairlab", "trial.json", {}).write_text('{"check')
    folders = [world.pulumi.parents[1] / "engine" / choice for choice in ("official", "embedded-docker")]
    salts = [folder / "Pulumi.trial.yaml" for folder in folders]
    for salt in salts:
        salt.parent.mkdir(parents=True, exist_ok=True)
        salt.touch()
    assert world.engine.drop_state("trial")
    assert world.engine.labs() == []
    assert not [salt for salt in salts if salt.exists()]
    assert not make_elsewhere(world, "s3://nowhere", monkeypatch).drop_state("trial")


def test_a_lab_with_other_plugins_does_not_change_those_of_one_at_work(world: World) -> None:
    state = world.pulumi.parents[1]

    def manifests(origin: str, launcher: str = "plugins/docker") -> dict[Path, str]:
        used = {"docker": PluginUse("docker", "1.0.0", origin)}
        Engine(world.cli.found, state, ROOT / "Pulumi.yaml", used, {"docker": state / launcher})
        return {path: path.read_text() for path in (state / "engine").rglob("Pulumi.yaml")}

    before = manifests("embedded")
    assert before.items() <= manifests("official").items()
    assert [text for text in before.values() if "plugins/docker" in text]
    assert manifests("embedded") == manifests("official")
    both = manifests("embedded", "plugins/of another checkout")
    assert manifests("embedded") == both
    assert len(both) == len(manifests("official")) == 3


def test_the_passphrase_of_the_first_of_two_runs_stays(tmp_path: Path) -> None:
    passphrase = tmp_path / "passphrase"
    for text in ("first", "second"):
        write_first(passphrase, text)
    assert passphrase.read_text() == "first"
    assert passphrase.stat().st_mode & 0o777 == 0o600
    replace_at_once(passphrase, "third")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("passphrase", "third")]
