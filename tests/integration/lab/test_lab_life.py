"""One small lab through its whole life, by the commands that a person types."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
from pathlib import Path

import pytest
from lab_commands import Commands, doors, get, inventory, own_lab, until

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def before() -> set[str]:
    return inventory()


@pytest.fixture(scope="module")
def up(before: set[str], commands: Commands, lab: str) -> str:
    """The lab, up: the first test that asks for it brings it up."""
    commands.run("lab.up", "--lab", lab)
    return lab


def test_a_preview_needs_no_daemon_and_makes_nothing(commands: Commands, lab: str) -> None:
    nowhere = ["--set", "libvirtUri=qemu+unix:///nowhere", "--set", "dockerHost=unix:///nowhere"]
    shown = commands.run("lab.preview", "--lab", lab, *nowhere).stdout
    assert "+ libvirt:index/domain:Domain" in shown
    assert "+ docker:index/service:Service" in shown
    assert "PRIVATE KEY" not in shown
    markdown = commands.run("lab.preview", "--lab", lab, "--markdown").stdout
    assert markdown.startswith(f"### Lab `{lab}`: ")
    assert "```diff\n+ " in markdown
    assert commands.json("lab.list") == []


def test_both_sides_answer_on_loopback_and_say_who_they_are(commands: Commands, up: str) -> None:
    for side, port in doors(commands, up).items():
        status, headers, page = get(port)
        assert status == 200
        assert f"<title>pairlab: {up}</title>" in page
        assert headers["x-pairlab-side"] == side
        assert headers["x-pairlab-instance"] == f"{side}/0"
        assert len(headers["x-pairlab-image"]) == 12
        assert get(port, "/healthz")[2] == "ok\n"
        listening = subprocess.run(
            ["ss", "-Hltn", f"sport = :{port}"], capture_output=True, text=True, check=True
        ).stdout
        assert {line.split()[3] for line in listening.splitlines()} == {f"127.0.0.1:{port}"}


def test_status_tells_each_instance_and_no_drift(commands: Commands, up: str) -> None:
    status = commands.json("lab.status", "--lab", up)
    assert [instance["name"] for instance in status["instances"]] == ["vm/0", "container/0"]
    assert {instance["state"] for instance in status["instances"]} == {"running"}
    assert all(instance["memory_bytes"] > 0 for instance in status["instances"])
    assert status["drift"] == []
    assert status["problems"] == []
    assert up in commands.run("lab.list").stdout


@pytest.mark.parametrize("words", [["lab.status", "--watch"], ["lab.logs", "vm/0", "--follow"]])
def test_what_is_watched_is_shown_until_somebody_ends_it(
    commands: Commands, up: str, words: list[str]
) -> None:
    with commands.start(*words, "--lab", up) as watching:
        assert watching.stdout is not None
        for line in watching.stdout:
            if "vm" in line:
                break
        watching.send_signal(signal.SIGINT)
        told = watching.communicate(timeout=60)[1]
    assert watching.returncode == 128 + signal.SIGINT
    assert "interrupted" in told
    assert "Traceback" not in told


def test_two_labs_serve_side_by_side(commands: Commands, up: str) -> None:
    made = inventory()
    with own_lab(commands, f"{up}-b") as other:
        commands.run("lab.up", "--lab", other)
        for lab in (up, other):
            for port in doors(commands, lab).values():
                assert f"<title>pairlab: {lab}</title>" in get(port)[2]
            assert lab in commands.run("lab.list").stdout.split()
    assert inventory() == made


def test_a_second_up_changes_nothing(commands: Commands, up: str) -> None:
    assert "nothing had to change" in commands.run("lab.up", "--lab", up).stdout
    assert "no changes" in commands.run("lab.preview", "--lab", up).stdout


def test_commands_reach_into_either_side(commands: Commands, up: str) -> None:
    for port in doors(commands, up).values():
        get(port)  # something for the logs
    for instance, host in (("vm/0", "vm-0"), ("container/0", "container-1")):
        done = commands.run("lab.exec", instance, "cat /etc/hostname", "--lab", up)
        assert done.stdout.strip() == host
        failing = commands.run("lab.exec", instance, "sh -c 'exit 7'", "--lab", up, check=False)
        assert failing.returncode == 7
        assert commands.run("lab.logs", instance, "--lines", "5", "--lab", up).stdout.strip()
    missing = commands.run("lab.exec", "vm/9", "true", "--lab", up, check=False)
    assert missing.returncode == 1
    assert "vm/9" in missing.stderr
    assert "vm/0" in missing.stderr


def test_private_keys_are_private_and_not_in_the_state(commands: Commands, up: str) -> None:
    directory = commands.state / "labs" / up
    private = [path for path in directory.iterdir() if path.suffix != ".pub"]
    assert len(private) >= 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    states = list((commands.state / "pulumi").rglob("*.json*"))
    assert states
    secrets = ["PRIVATE KEY", (directory / "password").read_text()]
    for path in states:
        text = path.read_text(errors="replace")
        assert not [secret for secret in secrets if secret in text], path


def test_a_setting_changes_only_what_must(commands: Commands, up: str) -> None:
    shown = commands.run("lab.preview", "--lab", up, "--replicas", "2").stdout
    changed = [line for line in shown.splitlines() if line[:1] in "+~±-"]
    assert changed == [f"~ docker:index/service:Service {up}-container-web"]
    scaled = commands.run("lab.up", "--lab", up, "--replicas", "2").stdout
    assert "1 resource changed" in scaled
    port = doors(commands, up)["container"]
    names = {get(port)[1]["x-pairlab-instance"] for _ in range(8)}
    assert names == {"container/0", "container/1"}
    commands.run("lab.up", "--lab", up)


def test_drift_is_told_and_put_right(commands: Commands, up: str) -> None:
    domain = f"pairlab-{up}-vm-0"
    subprocess.run(["virsh", "-c", "qemu:///system", "destroy", domain], check=True, capture_output=True)
    drift = commands.json("lab.status", "--lab", up)["drift"]
    assert any("vm/0" in line for line in drift), drift
    commands.run("lab.up", "--lab", up)
    assert commands.json("lab.status", "--lab", up)["drift"] == []


def test_a_vm_whose_power_fails_again_and_again_still_lets_people_in(commands: Commands, up: str) -> None:
    commands.run("lab.up", "--lab", up, "--vms", "2")
    for _ in range(2):
        # Commits the names of all new files to the disk, but the content of this one alone.
        commands.run("lab.exec", "vm/1", "dd if=/dev/zero of=/var/tmp/a count=1 conv=fsync", "--lab", up)
        for verb in ("destroy", "start"):
            virsh = ["virsh", "-c", "qemu:///system", verb, f"pairlab-{up}-vm-1"]
            subprocess.run(virsh, check=True, capture_output=True)
        until(
            lambda: commands.run("lab.exec", "vm/1", "true", "--lab", up, check=False).returncode == 0,
            timeout_s=60,
        )
    commands.run("lab.up", "--lab", up)


def test_a_taken_port_is_found_before_anything_is_made(commands: Commands, up: str) -> None:
    port = doors(commands, up)["vm"]
    done = commands.run("lab.up", "--lab", "ci", "--set", f"vmPort={port}", check=False)
    assert done.returncode == 1
    assert f"port {port}" in done.stderr
    assert "vmPort" in done.stderr
    assert commands.json("lab.list") == [up]


def test_two_runs_at_once_do_not_meet(commands: Commands, up: str) -> None:
    # Another page replaces the VM: long enough for the second run to come while the first is at work.
    first = commands.start("lab.up", "--lab", up, "--replicas", "2", "--set", "message=Another.")
    locks = commands.state / "pulumi" / ".pulumi" / "locks"
    until(lambda: list(locks.glob(f"**/{up}/*.json")), timeout_s=60)
    second = commands.run("lab.up", "--lab", up, check=False)
    _, err = first.communicate(timeout=300)
    assert first.returncode == 0, err
    assert second.returncode == 1
    assert re.search(rf"process \d+ runs lab\.up on lab '{up}'", second.stderr)
    commands.run("lab.up", "--lab", up)


def test_a_killed_run_is_cleared_up_by_the_next(commands: Commands, up: str) -> None:
    running = commands.start("lab.up", "--lab", up, "--vms", "2")
    disks = Path("/var/lib/libvirt/pairlab") / up
    until(lambda: list(disks.glob("vm-1-*.qcow2")), timeout_s=60)
    subprocess.run(["pkill", "-KILL", "-f", str(commands.state / "engine")], check=False)
    running.kill()
    running.communicate()
    engine = "pulumi.* up .*--stack " + up
    subprocess.run(["pkill", "-KILL", "-f", engine], check=False)
    until(lambda: subprocess.run(["pgrep", "-f", engine], check=False).returncode == 1, timeout_s=10)
    # As if it had been killed while it was writing this.
    (commands.state / f"pulumi/.pulumi/stacks/pairlab/{up}.json.attrs").write_text("")
    holder = commands.run("lab.unlock", "--lab", up, "--yes").stdout
    assert "the lock was held by process" in holder
    commands.run("lab.up", "--lab", up, "--vms", "2")
    status = commands.json("lab.status", "--lab", up)
    assert [i["name"] for i in status["instances"] if i["side"] == "vm"] == ["vm/0", "vm/1"]
    assert status["drift"] == []


def test_down_leaves_nothing_and_may_run_twice(commands: Commands, up: str, before: set[str]) -> None:
    sentinel = commands.state / "sentinel"
    sentinel.write_text("mine")
    removed = commands.run("lab.down", "--lab", up, "--yes").stdout
    assert "removed" in removed
    assert inventory() - before == set()
    assert sentinel.read_text() == "mine"
    assert list((commands.state / "labs").iterdir()) == []
    assert not [path for path in (commands.state / "pulumi").rglob("*") if up in path.name]
    assert "nothing to remove" in commands.run("lab.down", "--lab", up, "--yes").stdout
    assert commands.run("lab.status", "--lab", up, check=False).returncode == 2


def test_a_lab_whose_state_was_lost_still_goes(commands: Commands, lab: str, before: set[str]) -> None:
    commands.run("lab.up", "--lab", lab)
    lost = commands.state.with_name("elsewhere")
    os.rename(commands.state / "pulumi", lost)
    removed = commands.run("lab.down", "--lab", lab, "--yes").stdout
    assert f"domain pairlab-{lab}-vm-0" in removed
    assert inventory() - before == set()


def test_a_lab_of_another_state_is_left_alone(
    commands: Commands, lab: str, before: set[str], tmp_path: Path
) -> None:
    commands.run("lab.up", "--lab", lab)
    made = inventory()
    stranger = Commands(tmp_path)
    for words in (["lab.down", "--yes"], ["lab.up", "--set", "vmPort=20991", "--set", "containerPort=20992"]):
        refused = stranger.run(*words, "--lab", lab, check=False)
        assert refused.returncode == 1
        assert "that this state does not know" in refused.stderr
        assert "--orphans" in refused.stderr
        assert inventory() == made
    assert f"domain pairlab-{lab}-vm-0" in stranger.run("lab.down", "--lab", lab, "--orphans", "--yes").stdout
    assert inventory() - before == set()
    commands.run("lab.down", "--lab", lab, "--yes")
