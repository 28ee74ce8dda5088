"""Trouble on the way up: each ends with its cause and the next step, and leaves a state that goes on."""

from __future__ import annotations

import hashlib
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from lab_commands import Commands, left_of

from pairlab.errors import ImageError
from pairlab.image.store import ImageStore
from pairlab.run import LocalRunner
from pairlab.session.workbench import cache_dir
from stacks.pair import WEB

pytestmark = pytest.mark.integration
EMPTY_DISK_BYTES = 1 << 20
END_TIMEOUT_S = 60
BUILD_END_TIMEOUT_S = 15
"""A build left alone would take longer by far."""


@pytest.fixture
def nothing_left(commands: Commands, lab: str) -> Iterator[None]:
    """Whatever the test did, `lab.down` removes all of it."""
    yield
    commands.run("lab.down", "--lab", lab, "--yes")
    assert left_of(lab) == set()


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("dockerHost=unix:///nowhere.sock", "Docker does not answer at unix:///nowhere.sock"),
        ("libvirtUri=qemu+unix:///system?socket=/nowhere", "libvirt does not answer at qemu+unix:"),
    ],
)
def test_a_daemon_that_does_not_answer_is_named(
    commands: Commands, lab: str, setting: str, told: str
) -> None:
    refused = commands.run("lab.up", "--lab", lab, "--set", setting, check=False)
    assert refused.returncode == 1
    assert told in refused.stderr
    assert "next:" in refused.stderr
    assert left_of(lab) == set()
    assert commands.run("lab.status", "--lab", lab, check=False).returncode == 2  # nothing was recorded


def test_a_guest_that_never_answers_is_told_with_its_console(
    commands: Commands, lab: str, tmp_path: Path, nothing_left: None
) -> None:
    disk = tmp_path / "empty.img"
    disk.write_bytes(bytes(EMPTY_DISK_BYTES))
    digest = hashlib.sha256(disk.read_bytes()).hexdigest()
    guest = ["--set", f"guestImageUrl=file://{disk}", "--set", f"guestImageSha256={digest}"]
    failed = commands.run("lab.up", "--lab", lab, *guest, "--set", "readyTimeoutS=5", check=False)
    assert failed.returncode == 1
    assert "vm/0 never answered" in failed.stderr
    assert "vm/0's serial console" in failed.stderr
    # The next run finds another image declared, and the lab comes up.
    commands.run("lab.up", "--lab", lab)


def test_an_image_with_another_digest_is_refused(commands: Commands, lab: str, tmp_path: Path) -> None:
    disk = tmp_path / "other.img"
    disk.write_bytes(bytes(EMPTY_DISK_BYTES))
    guest = ["--set", f"guestImageUrl=file://{disk}", "--set", f"guestImageSha256={'0' * 64}"]
    refused = commands.run("lab.up", "--lab", lab, *guest, check=False)
    assert refused.returncode == 1
    assert f"not {'0' * 64}" in refused.stderr
    assert left_of(lab) == set()


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("creating Network", signal.SIGINT),
        ("creating Domain", signal.SIGTERM),
        ("container/0 answers", signal.SIGINT),
    ],
)
def test_interrupted_at_any_moment_the_next_run_finishes(
    commands: Commands, lab: str, moment: str, number: signal.Signals, nothing_left: None
) -> None:
    running = commands.start("lab.up", "--lab", lab)
    assert running.stderr is not None
    seen = []
    for line in running.stderr:
        seen.append(line)
        if moment in line:
            break
    assert moment in seen[-1], "".join(seen)
    running.send_signal(number)
    try:
        _, rest = running.communicate(timeout=END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        running.kill()
        raise
    assert running.returncode in (1, 128 + number)
    assert "Traceback" not in rest
    assert "lab.up" in rest
    commands.run("lab.up", "--lab", lab)
    status = commands.json("lab.status", "--lab", lab)
    assert status["drift"] == []
    assert len(status["instances"]) == 2


def test_an_interrupted_lab_can_also_be_taken_down(commands: Commands, lab: str, nothing_left: None) -> None:
    running = commands.start("lab.up", "--lab", lab)
    assert running.stderr is not None
    assert any("creating Domain" in line for line in running.stderr)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=END_TIMEOUT_S)
    assert running.returncode in (1, 130)


def test_a_package_that_does_not_exist_is_named() -> None:
    store = ImageStore(cache_dir() / "images", LocalRunner())
    wrong = replace(WEB, name="wrong", packages=("no-such-package",))
    with pytest.raises(ImageError, match="no-such-package") as refused:
        store.ensure(wrong, progress=lambda _: None)
    assert "apt-cache policy" in refused.value.hint
    assert not [record for record in store.records() if record.name == "wrong"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_ends_soon_and_leaves_nothing(
    commands: Commands, tmp_path: Path, number: signal.Signals
) -> None:
    cache = tmp_path / "cache"
    running = replace(commands, env=commands.env | {"PAIRLAB_CACHE": str(cache)}).start("image.build")
    assert running.stderr is not None
    assert any("bootstrapping Debian" in line for line in running.stderr)
    running.send_signal(number)
    try:
        running.communicate(timeout=BUILD_END_TIMEOUT_S)
    finally:
        running.kill()
    assert running.returncode == 128 + number
    assert list((cache / "images" / "making").iterdir()) == []
    assert [line for line in command_lines() if "mmdebstrap" in line and str(cache) in line] == []


def command_lines() -> Iterator[str]:
    """Of all processes that run."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it ended meanwhile
            yield path.read_text(errors="replace").replace("\0", " ")
