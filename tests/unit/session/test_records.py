"""Records of a lab that are damaged, or another version's: each is named, and the lab can still go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from pairlab.errors import LabError
from pairlab.model import Settings, lab_dir, load_spec, placeholder_spec, spec_file
from pairlab.run import Runner
from pairlab.session import neighbours
from pairlab.session.conflicts import own_ports
from pairlab.session.images import list_images, prune_images
from pairlab.session.keys import HOST_KEYS, KEY, ensure_keys
from pairlab.session.spec import record_spec
from pairlab.session.workbench import Workbench, last_settings
from tests.unit.image.image_worlds import BuildingRunner

FAR = "ssh://me@far"
OWN = Settings(docker_host=FAR, vms=5)


@pytest.fixture(autouse=True)
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The record of lab `dev`, with settings of its own."""
    monkeypatch.setenv("PAIRLAB_STATE", str(tmp_path / "state"))
    monkeypatch.setattr("pairlab.session.settings.ROOT", tmp_path)
    lab_dir("dev").mkdir(parents=True)
    record_spec(placeholder_spec("dev", OWN, lambda *_: []), [])
    return spec_file("dev")


def damage(path: Path, change: Callable[[str], str]) -> None:
    path.write_text(change(path.read_text()))


def test_a_record_that_cannot_be_read_is_named_with_the_next_step(recorded: Path) -> None:
    damage(recorded, lambda text: text.replace('"front_door"', '"old_door"'))
    for ask in (load_spec, lambda lab: own_ports(Workbench(print), lab)):
        with pytest.raises(LabError, match=r"record of lab 'dev' .*/labs/dev/spec\.json") as told:
            ask("dev")
        assert "front_door" in told.value.details
        assert "lab.down --lab dev" in told.value.hint


@pytest.mark.parametrize(
    ("change", "left"),
    [
        (lambda text: text.replace('"front_door"', '"old_door"'), OWN),
        (lambda text: text.replace('"vms": 5', '"vms": "many", "old": 1'), Settings(docker_host=FAR)),
        (lambda text: text[: text.index('"images"')], OWN),
        (lambda text: "", Settings()),
        (lambda text: "[1]", Settings()),
        (lambda text: '{"settings": 1}', Settings()),
    ],
)
def test_settings_are_taken_from_a_damaged_record_as_far_as_they_can_be_read(
    recorded: Path, change: Callable[[str], str], left: Settings
) -> None:
    assert last_settings("dev") == OWN
    damage(recorded, change)
    assert last_settings("dev") == left


def test_images_are_listed_and_none_removed_while_a_record_cannot_be_read(
    recorded: Path, tmp_path: Path
) -> None:
    told: list[str] = []
    bench = Workbench(told.append, BuildingRunner(), tmp_path / "cache")
    damage(recorded, lambda _: "{")
    assert list_images(bench) == []
    assert "spec.json; which images it uses is not known" in told[0]
    with pytest.raises(LabError, match="record of lab 'dev'"):
        prune_images(bench)


def test_a_neighbour_whose_record_cannot_be_read_stops_nobody(recorded: Path) -> None:
    damage(recorded, lambda _: "{")
    assert neighbours.others_up(cast(Workbench, None), "other") == {}


@pytest.mark.parametrize("text", ["{", '{"vm-0": {"public": "x"}}', "[]"])
def test_host_keys_that_cannot_be_read_are_named_and_kept(text: str) -> None:
    folder = lab_dir("dev")
    for name in (KEY, f"{KEY}.pub"):
        (folder / name).touch()
    (folder / HOST_KEYS).write_text(text)
    with pytest.raises(LabError, match=r"host_keys\.json are damaged") as told:
        ensure_keys(folder, ["vm-0"], cast(Runner, None))
    assert "remove that file" in told.value.hint
    assert (folder / HOST_KEYS).read_text() == text


def test_host_keys_are_kept_for_when_their_hosts_come_back() -> None:
    class Keygen:
        made = 0

        def run(self, argv: list[str], **_: Any) -> None:
            self.made += 1
            path = Path(argv[argv.index("-f") + 1])
            path.write_text(f"private {self.made}")
            path.with_suffix(".pub").write_text(f"public {self.made}\n")

    runner: Any = Keygen()
    both = ensure_keys(lab_dir("dev"), ["vm-0", "vm-1"], runner)
    assert ensure_keys(lab_dir("dev"), ["vm-0"], runner).hosts == {"vm-0": both.hosts["vm-0"]}
    assert ensure_keys(lab_dir("dev"), ["vm-0", "vm-1"], runner) == both
    assert runner.made == 3
    assert (lab_dir("dev") / HOST_KEYS).stat().st_mode & 0o777 == 0o600
