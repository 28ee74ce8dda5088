"""Mistakes on the command line and in settings: refused by name, before anything is touched."""

from __future__ import annotations

import pytest
from lab_commands import Commands, write_settings

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("name", ["a/b", "two words", "Capitals", "x" * 80, "-dash", ""])
def test_a_bad_lab_name_is_refused(commands: Commands, name: str) -> None:
    for command in ("lab.up", "lab.preview", "lab.status", "lab.down"):
        done = commands.run(command, f"--lab={name}", check=False)
        assert done.returncode == 2, (command, done.stderr)
        assert "lower-case letters" in done.stderr


def test_an_unknown_lab_lists_the_known_ones(commands: Commands) -> None:
    done = commands.run("lab.up", "--lab", "nosuch", check=False)
    assert done.returncode == 2
    assert "'nosuch'" in done.stderr
    assert "dev" in done.stderr


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"replica": 2}, ["'replica'", "did you mean 'replicas'?"]),
        ({"vms": 99}, ["'vms'", "99", "less than or equal to 50"]),
        ({"vms": "many"}, ["'vms'", "'many'", "valid integer"]),
        ({"subnet": "8.8.8.0/24"}, ["'subnet'", "private"]),
        ({"accelerator": "xen"}, ["'accelerator'", "'auto', 'kvm' or 'tcg'"]),
        ({"stack": "nosuch"}, ["'nosuch'", "pair"]),
        ({"guestImageUrl": "https://example.org/x.qcow2"}, ["guestImageSha256"]),
    ],
)
def test_a_wrong_setting_is_named(commands: Commands, settings: dict[str, object], told: list[str]) -> None:
    path = write_settings("t-wrong", **settings)
    try:
        done = commands.run("lab.up", "--lab", "t-wrong", check=False)
    finally:
        path.unlink()
    assert done.returncode == 2, done.stderr
    for words in told:
        assert words in done.stderr
    assert not (commands.state / "labs" / "t-wrong").exists()


def test_a_wrong_override_is_named_too(commands: Commands) -> None:
    done = commands.run("lab.up", "--lab", "ci", "--vms", "-1", check=False)
    assert done.returncode == 2
    assert "'vms'" in done.stderr
    done = commands.run("lab.up", "--lab", "ci", "--set", "vms", check=False)
    assert done.returncode == 2
    assert "KEY=VALUE" in done.stderr


def test_without_a_terminal_nothing_is_destroyed_unasked(commands: Commands) -> None:
    done = commands.run("lab.down", "--lab", "ci", check=False, env={"CI": ""})
    assert done.returncode == 2
    assert "--yes" in done.stderr


def test_every_task_has_one_line_of_help(commands: Commands) -> None:
    listed = commands.run("--list", "--list-format=json").stdout
    import json

    document = json.loads(listed)
    tasks = [*document["tasks"], *(task for one in document["collections"] for task in one["tasks"])]
    assert len(tasks) >= 18
    for task in tasks:
        assert task["help"], task["name"]
        assert len(task["help"]) <= 60, task["name"]
        assert task["help"].endswith("."), task["name"]
