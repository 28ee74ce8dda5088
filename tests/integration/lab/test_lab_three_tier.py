"""The second stack, for real: on each side a web tier that counts its visits in a Redis with a password."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_commands import Commands, doors, get, left_of, until, write_settings

pytestmark = pytest.mark.integration

LAB = "t-three"
WEB = {"vm": "vm/0", "container": "container/0"}
REDIS = {"vm": "vm/redis/0", "container": "container/redis/0"}
AS_ROOT = {"vm": "sudo ", "container": ""}
"""A container's only account is the one that serves, which may read what it was given."""


@pytest.fixture(scope="module")
def up(commands: Commands) -> Iterator[str]:
    path = write_settings(LAB, stack="three_tier", vms=1, replicas=1)
    try:
        commands.run("lab.up", "--lab", LAB)
        yield LAB
    finally:
        commands.run("lab.down", "--lab", LAB, "--yes")
        path.unlink()


@pytest.fixture
def password(commands: Commands, up: str) -> str:
    return (commands.state / "labs" / up / "password").read_text()


def visit(port: int) -> tuple[int, str]:
    """The count that one visit was shown, and who showed it; -1 if nobody did."""
    status, headers, page = get(port)
    if status != 200:
        return -1, ""
    shown = re.search(r"Visits on this side: <strong>(\d+)</strong>", page)
    assert shown, page
    return int(shown[1]), headers["x-pairlab-instance"]


def inside(commands: Commands, instance: str, command: str) -> str:
    return commands.run("lab.exec", instance, command, "--lab", LAB).stdout.strip()


@pytest.mark.parametrize("side", WEB)
def test_each_visit_counts_on_its_side(commands: Commands, up: str, side: str) -> None:
    port = doors(commands, up)[side]
    status, headers, page = get(port)
    assert status == 200
    assert f"<title>pairlab: {up}</title>" in page
    assert headers["x-pairlab-side"] == side
    assert headers["x-pairlab-instance"] == WEB[side]
    assert len(headers["x-pairlab-image"]) == 12
    first, _ = visit(port)
    assert [visit(port)[0] for _ in range(3)] == [first + 1, first + 2, first + 3]
    assert get(port, "/healthz")[2] == "ok\n"
    assert get(port, "/redis-password")[0] == 404


def test_status_lists_both_tiers_of_both_sides(commands: Commands, up: str) -> None:
    status = commands.json("lab.status", "--lab", up)
    names = [instance["name"] for instance in status["instances"]]
    assert names == ["vm/0", "vm/redis/0", "container/0", "container/redis/0"]
    assert {instance["state"] for instance in status["instances"]} == {"running"}
    assert status["drift"] == []
    assert status["problems"] == []


def test_a_second_up_changes_nothing(commands: Commands, up: str) -> None:
    assert "nothing had to change" in commands.run("lab.up", "--lab", up).stdout
    assert "no changes" in commands.run("lab.preview", "--lab", up).stdout


@pytest.mark.parametrize("side", REDIS)
def test_redis_wants_the_password(commands: Commands, up: str, side: str) -> None:
    own = """REDISCLI_AUTH=$(cut -d" " -f2 /etc/redis/password.conf)"""
    answers = {
        "none": inside(commands, REDIS[side], "redis-cli GET visits"),
        "wrong": inside(commands, REDIS[side], "env REDISCLI_AUTH=wrong redis-cli GET visits"),
        "right": inside(commands, REDIS[side], f"{AS_ROOT[side]}sh -c '{own} redis-cli GET visits'"),
    }
    assert answers["none"] == "NOAUTH Authentication required."
    assert "WRONGPASS" in answers["wrong"]
    assert not re.search(r"^\d+$", answers["wrong"], re.MULTILINE)
    assert answers["right"].isdigit()


@pytest.mark.parametrize(
    ("instance", "path", "owner"),
    [("vm/0", "/etc/nginx/redis-password", "www-data"), ("vm/redis/0", "/etc/redis/password.conf", "redis")],
)
def test_only_the_serving_account_of_a_vm_reads_it(
    commands: Commands, up: str, instance: str, path: str, owner: str
) -> None:
    assert inside(commands, instance, f"sudo stat -c '%a %U %G' {path}") == f"600 {owner} {owner}"
    refused = commands.run("lab.exec", instance, f"cat {path}", "--lab", up, check=False)
    assert refused.returncode != 0


def test_the_password_is_in_no_state_log_argument_or_environment(
    commands: Commands, up: str, password: str
) -> None:
    texts: dict[str, str] = {}
    for path in (commands.state / "pulumi").rglob("*"):
        if path.is_file():
            texts[str(path)] = path.read_text(errors="replace")
    assert [name for name in texts if name.endswith(f"{up}.json")]
    for process in Path("/proc").glob("[0-9]*"):
        for kind in ("cmdline", "environ"):
            try:
                texts[f"{process}/{kind}"] = (process / kind).read_text(errors="replace")
            except OSError:
                continue  # it ended
    for instance in [*WEB.values(), *REDIS.values()]:
        texts[f"log of {instance}"] = commands.run("lab.logs", instance, "--lab", up).stdout
    for instance in ("vm/0", "vm/redis/0"):
        processes = inside(commands, instance, "sudo sh -c 'cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ'")
        texts[f"processes of {instance}"] = processes
        assert "nginx" in processes or "redis-server" in processes
    for tier in ("counter", "redis"):
        told = subprocess.run(
            ["docker", "service", "inspect", f"pairlab-{up}-{tier}"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        texts[f"service {tier}"] = told.stdout
    assert [name for name, text in texts.items() if password in text] == []


@pytest.mark.parametrize("side", REDIS)
def test_a_new_redis_is_found_and_counts_from_the_beginning(commands: Commands, up: str, side: str) -> None:
    port = doors(commands, up)[side]
    while visit(port)[0] < 20:
        pass
    if side == "vm":
        inside(commands, REDIS["vm"], "sudo systemctl stop redis-server")
        # No instance is healthy without Redis: the door itself answers.
        until(lambda: get(port)[0] == 503 and "x-pairlab-side" not in get(port)[1], timeout_s=30)
        inside(commands, REDIS["vm"], "sudo systemctl start redis-server")
    else:
        name = f"name=pairlab-{up}-redis"
        found = subprocess.run(["docker", "ps", "-qf", name], capture_output=True, text=True, check=True)
        subprocess.run(["docker", "kill", found.stdout.strip()], check=True, capture_output=True)
    until(lambda: 0 < visit(port)[0] < 20, timeout_s=60)


def test_web_servers_of_one_side_share_one_count(commands: Commands, up: str) -> None:
    scaled = commands.run("lab.up", "--lab", up, "--replicas", "2").stdout
    assert "1 resource changed" in scaled
    port = doors(commands, up)["container"]
    visits = [visit(port) for _ in range(6)]
    first = visits[0][0]
    assert [count for count, _ in visits] == [*range(first, first + 6)]
    assert {instance for _, instance in visits} == {"container/0", "container/1"}


def test_down_leaves_nothing(commands: Commands, up: str) -> None:
    assert left_of(up) != set()
    commands.run("lab.down", "--lab", up, "--yes")
    assert left_of(up) == set()
    assert list((commands.state / "labs").iterdir()) == []
