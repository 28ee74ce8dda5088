"""The doctor's table: what is a problem, and what is said then."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from answering_runner import AnsweringRunner

from pairlab.errors import EngineError
from pairlab.host import facts, packages
from pairlab.host.facts import HostReport, LabNeeds, Row, examine
from pairlab.host.space import free_disk_bytes, free_memory_bytes
from pairlab.host.steps import Host
from pairlab.model import Settings

DOCKER = "docker -H unix:///var/run/docker.sock info --format "
SWARM = DOCKER + "{{json .Swarm}}"
NEEDS = LabNeeds((20800, 20801), IPv4Network("10.213.7.0/24"), "pl-01234567")
HEALTHY = {
    DOCKER: "28.0, cgroup v2 (systemd)",
    SWARM: json.dumps({"LocalNodeState": "active", "ControlAvailable": True, "NodeID": "n", "Nodes": 1}),
    "virsh -c qemu:///system uri": "qemu:///system",
    "virsh -c qemu:///system --version": "9.0.0",
    "qemu-system-x86_64 --version": "QEMU emulator version 7.2.22 (Debian)\n",
    "dpkg-query": lambda argv: "".join(f"{name} ii \n" for name in argv[4:]),
}


@pytest.fixture(autouse=True)
def _host_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(packages, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(facts, "binding_version", lambda: "12.8.0")
    monkeypatch.setattr(facts, "port_holder", lambda port, runner: None)
    monkeypatch.setattr(facts, "subnet_holder", lambda network, bridge, runner: None)
    monkeypatch.setattr(facts, "free_disk_bytes", lambda path: 50 * facts.GIB)
    monkeypatch.setattr(facts, "free_memory_bytes", lambda: 8 * facts.GIB)


def report(tmp_path: Path, answers: dict[str, Any], needs: LabNeeds = NEEDS, **more: Any) -> HostReport:
    runner = AnsweringRunner(answers)
    host = Host(runner, runner, tmp_path, Settings(accelerator="tcg"), "", False)
    return examine(host, needs, cache=tmp_path, kernel=None, **{"progress": lambda _: None, **more})


def row(found: HostReport, component: str) -> Row:
    (only,) = [row for row in found.rows if row.component == component]
    return only


def test_a_healthy_host_has_no_problem(tmp_path: Path) -> None:
    found = report(tmp_path, HEALTHY)
    assert found.ok
    assert row(found, "QEMU").found == "7.2.22 (Debian)"
    assert json.loads(json.dumps(found.as_json()))["ok"] is True


def test_a_bare_host_has_a_remedy_for_each_problem(tmp_path: Path) -> None:
    found = report(tmp_path, {"dpkg-query": 1})
    assert not found.ok
    problems = [row for row in found.rows if not row.ok]
    lacking = {"Debian packages", "Docker", "Swarm", "libvirt", "QEMU"}
    assert {problem.component for problem in problems} == lacking
    assert all("lab.setup" in problem.remedy for problem in problems)


@pytest.mark.parametrize(
    ("state", "manager", "told", "remedy"),
    [
        ("inactive", False, "not initialised", "lab.setup"),
        ("active", False, "worker in somebody's Swarm", "leave it yourself"),
        ("locked", False, "Swarm is locked", "leave it yourself"),
    ],
)
def test_a_swarm_that_cannot_be_used(
    tmp_path: Path, state: str, manager: bool, told: str, remedy: str
) -> None:
    said = json.dumps({"LocalNodeState": state, "ControlAvailable": manager, "NodeID": "n"})
    found = row(report(tmp_path, {**HEALTHY, SWARM: said}), "Swarm")
    assert not found.ok
    assert told in found.found
    assert remedy in found.remedy


def test_a_docker_client_without_its_daemon_is_a_problem(tmp_path: Path) -> None:
    found = row(report(tmp_path, {**HEALTHY, DOCKER: ", cgroup v ()"}), "Docker")
    assert not found.ok


def test_libvirt_without_its_binding_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "binding_version", lambda: None)
    assert "binding is not installed" in row(report(tmp_path, HEALTHY), "libvirt").found


def test_a_package_that_setup_would_install_is_a_problem(tmp_path: Path) -> None:
    def status(argv: tuple[str, ...]) -> str:
        return "".join(f"{name} ii \n" for name in argv[4:] if name != "mmdebstrap")

    found = row(report(tmp_path, {**HEALTHY, "dpkg-query": status}), "Debian packages")
    assert found == Row("Debian packages", False, "missing: mmdebstrap", "run `invoke lab.setup`")


def test_too_little_disk_or_memory_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "free_disk_bytes", lambda path: facts.GIB)
    monkeypatch.setattr(facts, "free_memory_bytes", lambda: facts.GIB)
    found = report(tmp_path, HEALTHY)
    assert not row(found, "disk").ok
    assert not row(found, "memory").ok


def test_a_held_port_names_its_holder_unless_that_is_the_labs_own_door(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "port_holder", lambda port, runner: "nginx (pid 7)" if port == 20801 else None)
    assert "127.0.0.1:20801 is held by nginx (pid 7)" in row(report(tmp_path, HEALTHY), "ports").found
    for own, ok in (({20800}, False), ({20801}, True)):
        needs = replace(NEEDS, own_ports=frozenset(own))
        assert row(report(tmp_path, HEALTHY, needs), "ports").ok is ok


def test_a_held_subnet_names_its_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "subnet_holder", lambda network, bridge, runner: "Docker network shop")
    found = row(report(tmp_path, HEALTHY), "subnet")
    assert (found.ok, found.found) == (False, "10.213.7.0/24 is held by Docker network shop")


def test_further_components_join_and_their_errors_become_rows(tmp_path: Path) -> None:
    def broken() -> Row:
        raise EngineError("no CLI", hint="get one")

    extra = {"Pulumi CLI": broken, "plugins": lambda: Row("plugins", True, "embedded")}
    found = report(tmp_path, HEALTHY, extra=extra)
    assert row(found, "Pulumi CLI") == Row("Pulumi CLI", False, "no CLI", "get one")
    assert row(found, "plugins").ok


def test_free_disk_is_that_of_the_nearest_directory_there_is(tmp_path: Path) -> None:
    assert free_disk_bytes(tmp_path / "not" / "yet") > 0


def test_free_memory_is_what_new_programs_can_have(tmp_path: Path) -> None:
    table = tmp_path / "meminfo"
    table.write_text("MemTotal:  100 kB\nMemFree:  10 kB\nMemAvailable:   42 kB\n")
    assert free_memory_bytes(meminfo=table) == 42 * 1024


def test_the_doctor_does_not_rest_on_a_remembered_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[dict[str, Any]] = []

    def found(*_: object, **options: Any) -> tuple[str, str]:
        asked.append(options)
        return "kvm", "it works now"

    monkeypatch.setattr(facts, "accelerator", found)
    told: list[str] = []
    tell = told.append
    assert row(report(tmp_path, HEALTHY, progress=tell), "accelerator").found == "kvm: it works now"
    assert (asked[0]["retry"], asked[0]["progress"]) == (True, tell)
