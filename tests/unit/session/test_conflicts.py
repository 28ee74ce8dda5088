"""What stands in a lab's way, and what of it is the lab's own; whose settings the doctor goes by."""

from __future__ import annotations

from pathlib import Path

import pytest

from pairlab.errors import ConflictError, HostError, UsageError
from pairlab.host import facts
from pairlab.model import LabSpec, Settings, lab_dir, placeholder_spec
from pairlab.session import conflicts, host
from pairlab.session.spec import record_spec
from pairlab.session.workbench import Workbench
from pairlab.ssh import is_another_machine, tunnel_command
from tests.unit.host.answering_runner import AnsweringRunner

DOORS = "docker -H unix:///var/run/docker.sock ps --filter status=running --filter label=org.pairlab.lab=dev"
PORTS = Settings(vm_port=8080, container_port=8081)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """On a host where nginx has port 8081."""
    monkeypatch.setenv("PAIRLAB_STATE", str(tmp_path / "state"))
    monkeypatch.setattr("pairlab.session.settings.ROOT", tmp_path)
    for module in (conflicts, facts):
        monkeypatch.setattr(module, "port_holder", lambda port, _: "nginx (pid 7)" if port == 8081 else None)
        monkeypatch.setattr(module, "subnet_holder", lambda *_: None)
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {vmPort: 8080, containerPort: 8081}")
    return Workbench(lambda _: None, AnsweringRunner(), tmp_path / "cache")


def declared(*, recorded: bool) -> LabSpec:
    spec = placeholder_spec("dev", PORTS, lambda *_: [])
    if recorded:
        lab_dir("dev").mkdir(parents=True)
        record_spec(spec, [])
    return spec


@pytest.mark.parametrize("recorded", [False, True])
def test_a_taken_port_is_refused_also_for_a_lab_that_was_up(bench: Workbench, recorded: bool) -> None:
    with pytest.raises(ConflictError, match=r"port 8081 .* container side.* is held by nginx"):
        conflicts.check_conflicts(bench, declared(recorded=recorded))


@pytest.mark.parametrize(("running", "own"), [("vm\ncontainer\n", [8080, 8081]), ("vm\n", [8080]), ("", [])])
def test_a_port_is_the_labs_own_while_its_door_runs(bench: Workbench, running: str, own: list[int]) -> None:
    bench.runner.answers[DOORS] = running  # type: ignore[attr-defined]
    spec = declared(recorded=True)
    assert sorted(conflicts.own_ports(bench, "dev")) == own
    if 8081 in own:
        conflicts.check_conflicts(bench, spec)
    else:
        with pytest.raises(ConflictError):
            conflicts.check_conflicts(bench, spec)


def test_the_doctor_goes_by_the_settings_of_a_lab_that_never_was_up(bench: Workbench) -> None:
    (ports,) = (row for row in host.doctor(bench, "dev").rows if row.component == "ports")
    assert (ports.ok, ports.found) == (False, "127.0.0.1:8081 is held by nginx (pid 7)")
    with pytest.raises(UsageError, match=r"Pulumi\.other\.yaml does not exist"):
        host.doctor(bench, "other")


# -- a lab on another machine --------------------------------------------------------------------

FAR = {"docker_host": "ssh://me@far:2222", "libvirt_uri": "qemu+ssh://me@far:2222/system"}
TUNNEL = "ssh -N -L 127.0.0.1:8080:127.0.0.1:8080 -L 127.0.0.1:8081:127.0.0.1:8081 -p 2222 me@far"


@pytest.mark.parametrize(("led", "missing"), [((), 8080), ((8080,), 8081), ((8080, 8081), None)])
def test_front_doors_elsewhere_need_a_tunnel_and_no_network_of_this_host(
    bench: Workbench,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    led: tuple[int, ...],
    missing: int | None,
) -> None:
    for module in (conflicts, facts):
        monkeypatch.setattr(module, "listening_inode", lambda port: "7" if port in led else None)
        monkeypatch.setattr(module, "subnet_holder", lambda *_: "this host's own network")
    (tmp_path / "Pulumi.dev.yaml").write_text(
        f"config: {{vmPort: 8080, containerPort: 8081, dockerHost: '{FAR['docker_host']}'}}"
    )
    spec = placeholder_spec("dev", PORTS.model_copy(update=FAR), lambda *_: [])
    (row,) = (row for row in host.doctor(bench, "dev").rows if row.component == "ports")
    assert row.ok is (missing is None)
    if missing is None:
        conflicts.check_conflicts(bench, spec)
        assert row.found == "127.0.0.1:8080, 127.0.0.1:8081 lead to Docker's machine"
        return
    with pytest.raises(HostError, match=f"nothing leads there from 127.0.0.1:{missing}") as refused:
        conflicts.check_conflicts(bench, spec)
    assert f"`{TUNNEL}`" in refused.value.hint
    assert f"`{TUNNEL}`" in row.remedy


def test_a_tunnel_is_told_as_short_as_the_address() -> None:
    assert tunnel_command("ssh://far", [80]) == "ssh -N -L 127.0.0.1:80:127.0.0.1:80 far"


@pytest.mark.parametrize(
    ("address", "is_another"),
    [("ssh://far", True), ("ssh://me@localhost:22", False), ("ssh://127.0.0.1", False), ("unix:///a", False)],
)
def test_only_another_machine_needs_a_tunnel(address: str, is_another: bool) -> None:
    assert is_another_machine(address) is is_another
