"""What a `file://` address means, and which files below it are this project's."""

from __future__ import annotations

import json
import os
import pwd
from pathlib import Path

import pytest

from pairlab.engine.state_files import StateFiles, resolved
from pairlab.errors import UsageError


@pytest.fixture
def files(tmp_path: Path) -> StateFiles:
    """A backend where another project has stacks of the same names."""
    for project in ("pairlab", "other"):
        for name in ("trial.json", "trial.json.bak", "trial.json.attrs", "packed.json.gz"):
            write(tmp_path / ".pulumi/stacks" / project / name, "{}")
        write(tmp_path / ".pulumi/locks/organization" / project / "trial/1.json", "{}")
    write(tmp_path / ".pulumi/stacks/trial.json", "{}")
    return StateFiles(resolved(f"file://{tmp_path}"))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_an_address_of_files_means_what_pulumi_makes_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    home = pwd.getpwuid(os.getuid()).pw_dir
    for address, whole, folder in (
        ("file:///srv/state", "file:///srv/state", "/srv/state"),
        ("file://~", f"file://{home}", home),
        ("file://~/state/", f"file://{home}/state", f"{home}/state"),
        ("file://state", f"file://{tmp_path}/state", f"{tmp_path}/state"),
        ("file://./a/../b?metadata=skip", f"file://{tmp_path}/b?metadata=skip", f"{tmp_path}/b"),
        ("file:///srv/my%20state", "file:///srv/my%20state", "/srv/my state"),
    ):
        assert (resolved(address), str(StateFiles(resolved(address)).folder)) == (whole, folder)
    assert resolved("s3://bucket/labs?region=x") == "s3://bucket/labs?region=x"


def test_an_address_of_no_known_kind_is_refused_and_its_password_not_told() -> None:
    for wrong in ("/srv/state", "ftp://me:secret@host/x", "state"):
        with pytest.raises(UsageError, match="no address of a state backend") as told:
            resolved(wrong)
        assert "file://" in told.value.hint
        assert "secret" not in told.value.message


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    StateFiles(f"file://{tmp_path}/made/on/demand").make_folder()
    assert (tmp_path / "made/on/demand").is_dir()
    write(tmp_path / "file", "")
    for wrong in ("file", "file/below"):
        with pytest.raises(UsageError, match="the state cannot be kept in") as told:
            StateFiles(f"file://{tmp_path}/{wrong}").make_folder()
        assert "PULUMI_BACKEND_URL" in told.value.hint


def test_only_this_projects_stacks_are_labs(files: StateFiles) -> None:
    assert files.labs() == ["packed", "trial"]
    assert files.state("trial") == files.folder / ".pulumi/stacks/pairlab/trial.json"
    assert files.state("tria") is None
    (lock,) = files.locks("trial")
    assert lock.parent.parent.name == "pairlab"


def test_a_state_that_is_just_being_written_is_not_whole(files: StateFiles) -> None:
    assert files.are_whole("trial")
    assert files.are_whole("never-made")
    state = files.state("trial")
    assert state is not None
    for path, half in ((state.with_name("trial.json.attrs"), ""), (state, '{"version": 3, "che')):
        before = path.read_text()
        path.write_text(half)
        assert not files.are_whole("trial")
        path.write_text(before)
    state.write_text(json.dumps({"version": 3}))
    assert files.are_whole("trial")


def test_a_dropped_state_takes_what_is_the_labs_alone_with_it(files: StateFiles) -> None:
    pulumi = files.folder / ".pulumi"
    for project in ("pairlab", "other"):
        for lab in ("trial", "trial-b"):
            write(pulumi / "history" / project / lab / "1.json", "{")
            write(pulumi / "backups" / project / lab / "1.json", "{")
            write(pulumi / "stacks" / project / f"{lab}.json", "{")
    before = {path for path in pulumi.rglob("*") if path.is_file()}
    files.drop("trial")
    gone = before - {*pulumi.rglob("*")}
    assert {path.relative_to(pulumi).as_posix() for path in gone} == {
        *(f"stacks/pairlab/trial.json{ending}" for ending in ("", ".bak", ".attrs")),
        "history/pairlab/trial/1.json",
        "backups/pairlab/trial/1.json",
        "locks/organization/pairlab/trial/1.json",
    }


def test_tidying_up_leaves_what_is_another_projects_or_another_runs(files: StateFiles) -> None:
    pulumi = files.folder / ".pulumi"
    for kind in ("history", "backups", "stacks"):
        for project in ("pairlab", "other"):
            (pulumi / kind / project / "trial").mkdir(parents=True)
    write(pulumi / "stacks/pairlab/trial.json.18a.tmp", "{")
    kept = {path for path in pulumi.rglob("*") if "other" in path.parts or path.suffix in (".json", ".gz")}
    files.tidy("trial")
    left = {*pulumi.rglob("*")}
    assert kept <= left
    assert not {path for path in left if path.suffix == ".tmp"}
    assert not (pulumi / "history/pairlab/trial").exists()
    assert not (pulumi / "backups/pairlab/trial").exists()
