"""Setting a host up and back: what is planned, what is run, what is remembered, what is refused."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from answering_runner import AnsweringRunner

from pairlab.errors import CommandError, HostError
from pairlab.host import daemons, packages, rights, setup
from pairlab.host.orchestrator import swarm_step
from pairlab.host.steps import Host, Ledger, Step, SudoRunner
from pairlab.model import Settings

DOCKER = "docker -H unix:///var/run/docker.sock"
VIRSH = "virsh -c qemu:///system"
RUNNING_PROCESS = daemons.running_process
PROCESS = {"pid": 7, "started": 1234}
Alive = dict[str, dict[str, int]]
"""Daemon -> its process; without those that do not run."""


def a_host(tmp_path: Path, runner: AnsweringRunner, *, account: str = "", systemd: bool = False) -> Host:
    admin = SudoRunner(runner) if account else runner
    return Host(runner, admin, tmp_path / "state", Settings(), account, systemd)


def swarm_info(state: str = "active", manager: bool = True, node: str = "n1", **more: Any) -> str:
    told = {"LocalNodeState": state, "ControlAvailable": manager, "NodeID": node, "Nodes": 1}
    return json.dumps(told | {"NodeAddr": "127.0.0.1"} | more)


def ready(**more: Any) -> AnsweringRunner:
    """A host on which all is in place."""
    return AnsweringRunner(
        {
            "dpkg-query": lambda argv: "".join(f"{name} ii \n" for name in argv[4:]),
            f"{DOCKER} version": "28.0\n",
            f"{DOCKER} info": swarm_info(),
            f"{DOCKER} ps": "\n",
            f"{DOCKER} service ls": "\n",
            f"{DOCKER} network ls --filter scope=swarm": "ingress\n",
            f"{DOCKER} config ls": "\n",
            f"{DOCKER} secret ls": "\n",
            f"{VIRSH} uri": "qemu:///system\n",
            f"{VIRSH} list": "\n",
            **more,
        }
    )


@pytest.fixture
def alive() -> Alive:
    return dict.fromkeys(daemons.DAEMONS, PROCESS)


@pytest.fixture(autouse=True)
def _host_files(monkeypatch: pytest.MonkeyPatch, alive: Alive) -> None:
    """What is not asked through a Runner: this machine's KVM device, tools, and binding."""
    device = rights.KVM_DEVICE.with_name("no-kvm-here")
    monkeypatch.setattr(rights.kvm_device_step, "__kwdefaults__", {"device": device})
    monkeypatch.setattr(packages, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(packages, "binding_version", packages.locked_binding_version)
    monkeypatch.setattr(daemons, "running_process", lambda name, pid_file: alive.get(name))
    monkeypatch.setattr(daemons, "POLL_S", 0.001)
    monkeypatch.setattr(daemons, "ANSWER_TIMEOUT_S", 0.05)


def test_a_host_in_place_needs_nothing_and_is_not_changed(tmp_path: Path) -> None:
    runner = ready()
    assert setup.plan(a_host(tmp_path, runner)) == []
    assert not any("apt-get" in line or "--start" in line or "init" in line for line in runner.lines())
    assert not (tmp_path / "state").exists()


def test_a_bare_host_needs_all_in_order_and_says_what_it_changes(tmp_path: Path, alive: Alive) -> None:
    alive.clear()
    plan = setup.plan(a_host(tmp_path, AnsweringRunner({"dpkg-query": 1})))
    names = [step.name for step in plan]
    assert names == [n for n in ("Debian packages", "dockerd", "virtlogd", "libvirtd", "Swarm") if n in names]
    assert {"Debian packages", "dockerd", "virtlogd", "libvirtd", "Swarm"} <= set(names)
    assert "qemu-system-x86" in plan[0].change
    assert all(step.change for step in plan)


def test_only_missing_packages_are_installed_without_a_question(tmp_path: Path) -> None:
    def status(argv: tuple[str, ...]) -> str:
        return "".join(f"{name} {'un' if name == 'cpio' else 'ii'} \n" for name in argv[4:])

    runner = ready(**{"dpkg-query": status, "env DEBIAN": "", "apt-get": ""})
    (step,) = setup.plan(a_host(tmp_path, runner))
    setup.apply(a_host(tmp_path, runner), [step], lambda _: None, interactive=False)
    install = runner.lines()[-1]
    assert install.endswith("install --no-install-recommends cpio")
    assert "-y" in install.split()


def test_packages_of_the_tests_are_installed_with_the_others_where_they_are_asked_for(tmp_path: Path) -> None:
    def status(argv: tuple[str, ...]) -> str:
        return "".join(f"{name} ii \n" for name in argv[4:] if name not in packages.TEST_PACKAGES)

    host = a_host(tmp_path, ready(**{"dpkg-query": status}))
    assert setup.plan(host) == []
    (step,) = setup.plan(host, packages=packages.TEST_PACKAGES)
    assert step.change == "install chromium chromium-driver"


def test_what_shows_addresses_and_what_applies_stylesheets_come_with_the_packages_of_labs(
    tmp_path: Path,
) -> None:
    assert {"iproute2", "xsltproc"} <= {*packages.wanted_packages(a_host(tmp_path, ready()))}


@pytest.mark.parametrize("systemd", [True, False])
def test_what_reaps_for_daemons_is_wanted_where_no_systemd_does(tmp_path: Path, systemd: bool) -> None:
    wanted = packages.wanted_packages(a_host(tmp_path, ready(), systemd=systemd))
    assert ("tini" in wanted) is not systemd


def test_another_edition_of_docker_is_not_replaced(tmp_path: Path) -> None:
    def status(argv: tuple[str, ...]) -> str:
        return "".join(f"{name} ii \n" for name in argv[4:] if name != "docker.io")

    assert setup.plan(a_host(tmp_path, ready(**{"dpkg-query": status}))) == []


def test_a_host_without_apt_is_told_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "which", lambda name: None)
    runner = ready()
    (step,) = setup.plan(a_host(tmp_path, runner))
    with pytest.raises(HostError, match=r"not a Debian system.*mmdebstrap"):
        step.apply(lambda _: None)


def test_daemons_of_another_machine_are_left_alone(tmp_path: Path) -> None:
    runner = ready()
    settings = Settings(docker_host="ssh://u@far", libvirt_uri="qemu+ssh://far/system")
    host = Host(runner, runner, tmp_path, settings, "", False)
    assert setup.plan(host) == []
    assert not any(line.startswith(("docker", "virsh")) for line in runner.lines())


def test_virsh_knows_libvirts_machine_by_the_host_key_that_its_address_pins(tmp_path: Path) -> None:
    runner = AnsweringRunner({"virsh -c qemu+ssh://far/system?command=/": "it answers"})
    settings = Settings(libvirt_uri="qemu+ssh://far/system?known_hosts=/pinned")
    assert Host(runner, runner, tmp_path, settings, "", False).virsh("uri") == "it answers"


def starting(alive: Alive, runner: AnsweringRunner, name: str, start: str, ask: str, answer: str) -> None:
    """A daemon runs, and answers, once it was started."""
    del alive[name]

    def begin(_: tuple[str, ...]) -> str:
        alive[name] = PROCESS
        return ""

    runner.answers |= {start: begin, ask: lambda _: answer if name in alive else 1}


def test_without_systemd_a_daemon_is_started_by_hand_and_stopped_again(tmp_path: Path, alive: Alive) -> None:
    runner = ready(**{"start-stop-daemon --stop": ""})
    starting(alive, runner, "dockerd", "start-stop-daemon --start", f"{DOCKER} version", "28.0")
    host = a_host(tmp_path, runner)
    plan = setup.plan(host)
    assert [step.name for step in plan] == ["dockerd"]
    setup.apply(host, plan, lambda _: None, interactive=False)
    assert host.ledger.entries() == {"dockerd": {"process": PROCESS}}
    started = next(line for line in runner.lines() if "--start" in line)
    assert f"--output {tmp_path}/state/dockerd.log" in started
    assert "--pidfile /run/docker.pid" in started
    # Under a subreaper: whatever the daemon leaves is reaped, whoever the first process is.
    assert "--exec /usr/sbin/dockerd --startas /usr/bin/tini -- -s -- /usr/sbin/dockerd --" in started
    assert setup.undo(host, lambda _: None, interactive=False) == ["stopped dockerd"]
    assert "--exec /usr/sbin/dockerd" in runner.lines()[-1]
    assert setup.undo(host, lambda _: None, interactive=False) == []


def test_with_systemd_its_units_are_started_and_stopped(tmp_path: Path, alive: Alive) -> None:
    runner = ready(**{"systemctl is-active": 3, "systemctl stop": ""})
    starting(alive, runner, "libvirtd", "systemctl start", f"{VIRSH} uri", "qemu:///system")
    host = a_host(tmp_path, runner, systemd=True)
    plan = setup.plan(host)
    setup.apply(host, plan, lambda _: None, interactive=False)
    assert "systemctl start libvirtd.socket libvirtd.service" in runner.lines()
    setup.undo(host, lambda _: None, interactive=False)
    assert runner.lines()[-1] == "systemctl stop libvirtd.socket libvirtd.service"


def test_a_daemon_that_its_package_started_is_ours_to_stop(tmp_path: Path, alive: Alive) -> None:
    del alive["dockerd"]
    runner = ready(**{f"{DOCKER} version": 1, "start-stop-daemon --stop": ""})
    host = a_host(tmp_path, runner)
    plan = setup.plan(host)
    runner.answers[f"{DOCKER} version"], alive["dockerd"] = "28.0", PROCESS
    setup.apply(host, plan, lambda _: None, interactive=False)
    assert not any("--start" in line for line in runner.lines())
    assert setup.undo_plan(host) == ["stop dockerd"]
    assert setup.undo(host, lambda _: None, interactive=False) == ["stopped dockerd"]


@pytest.mark.parametrize("systemd", [False, True])
def test_a_daemon_that_ran_before_and_let_nobody_in_is_not_ours_to_stop(
    tmp_path: Path, systemd: bool
) -> None:
    runner = ready(**{f"{DOCKER} version": 1})
    host = a_host(tmp_path, runner, systemd=systemd)
    (step,) = setup.plan(host)
    assert step.change == "wait for dockerd, which runs already"
    runner.answers[f"{DOCKER} version"] = "28.0"
    step.apply(lambda _: None)
    assert host.ledger.entries() == {}


def test_a_unit_that_listens_before_is_not_ours_to_stop_either(tmp_path: Path, alive: Alive) -> None:
    runner = ready(**{"systemctl is-active docker.service docker.socket": 0})
    starting(alive, runner, "dockerd", "systemctl start", f"{DOCKER} version", "28.0")
    host = a_host(tmp_path, runner, systemd=True)
    setup.apply(host, setup.plan(host), lambda _: None, interactive=False)
    assert "systemctl start docker.service" in runner.lines()
    assert host.ledger.entries() == {}


def test_a_daemon_that_does_not_answer_is_told_with_its_log(tmp_path: Path, alive: Alive) -> None:
    del alive["dockerd"]

    def start(_: tuple[str, ...]) -> str:
        alive["dockerd"] = PROCESS
        (tmp_path / "state" / "dockerd.log").write_text("failed to mount overlay: no such device\n")
        return ""

    runner = ready(**{f"{DOCKER} version": 1, "start-stop-daemon --start": start})
    host = a_host(tmp_path, runner)
    with pytest.raises(HostError, match="dockerd was started but does not answer") as caught:
        setup.apply(host, setup.plan(host), lambda _: None, interactive=False)
    assert "failed to mount overlay" in caught.value.details
    assert host.ledger.entries() == {"dockerd": {"process": PROCESS}}  # it runs all the same


@pytest.mark.parametrize(
    ("running", "told"),
    [({f"{DOCKER} ps": "db\n"}, "containers: db"), ({f"{VIRSH} list": "vm1\n"}, "VMs: vm1")],
)
def test_nothing_is_stopped_under_what_still_runs(tmp_path: Path, running: dict[str, str], told: str) -> None:
    runner = ready(**running)
    host = a_host(tmp_path, runner)
    host.ledger.record("dockerd", {"process": PROCESS})
    host.ledger.record("libvirtd", {"units": ["libvirtd.service"]})
    with pytest.raises(HostError, match=told):
        setup.undo(host, lambda _: None, interactive=False)
    assert not any("--stop" in line for line in runner.lines())
    assert set(host.ledger.entries()) == {"dockerd", "libvirtd"}


@pytest.mark.parametrize(
    ("name", "ask", "told"),
    [("dockerd", f"{DOCKER} ps", "which containers run"), ("libvirtd", f"{VIRSH} list", "which VMs run")],
)
def test_a_daemon_is_not_stopped_while_it_lives_and_is_silent(
    tmp_path: Path, alive: Alive, name: str, ask: str, told: str
) -> None:
    runner = ready(**{ask: 1, "systemctl stop": ""})
    host = a_host(tmp_path, runner, systemd=True)
    host.ledger.record(name, {"units": [f"{name}.service"]})
    with pytest.raises(HostError, match=f"{name} runs, but does not tell {told}"):
        setup.undo(host, lambda _: None, interactive=False)
    assert not any("stop" in line for line in runner.lines())
    del alive[name]
    assert setup.undo(host, lambda _: None, interactive=False) == [f"stopped {name}"]


def test_control_groups_that_setup_mounted_are_unmounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alive: Alive
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("tmpfs /run tmpfs rw 0 0\n")
    monkeypatch.setattr(daemons, "MOUNTS", mounts)
    runner = ready(mount="", umount="")
    host = a_host(tmp_path, runner)
    plan = setup.plan(host)
    assert [step.name for step in plan] == ["control groups"]
    setup.apply(host, plan, lambda _: None, interactive=False)
    _, _, kind, source, place = runner.asked[-1]
    assert setup.undo_plan(host) == [f"unmount {place}"]
    mounts.write_text(f"{source} {place} {kind} rw 0 0\n")
    told = daemons.unmount_cgroups(host, place)
    assert told == "left the control groups mounted, for dockerd uses them"
    alive.clear()
    assert setup.undo(host, lambda _: None, interactive=False) == ["unmounted control groups"]
    assert runner.lines()[-1] == f"umount {place}"


def test_control_groups_that_somebody_else_mounted_since_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mounts").write_text("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n")
    monkeypatch.setattr(daemons, "MOUNTS", tmp_path / "mounts")
    runner = ready(umount="")
    host = a_host(tmp_path, runner)
    host.ledger.record("cgroups", "/sys/fs/cgroup")
    (told,) = setup.undo(host, lambda _: None, interactive=False)
    assert told.endswith("gone already")
    assert runner.lines() == []


def test_what_will_be_undone_is_told_before(tmp_path: Path) -> None:
    host = a_host(tmp_path, ready(), account="ada")
    assert setup.undo_plan(host) == []
    host.ledger.record("groups", ["docker", "kvm"])
    host.ledger.record("kvm", {"mode": "600", "group": "0"})
    host.ledger.record("dockerd", {"process": PROCESS})
    host.ledger.record("libvirtd", {"process": {"pid": 8, "started": 1}})  # another one runs now
    host.ledger.record("swarm", {"node": "n1"})
    assert setup.undo_plan(host) == [
        "leave the Swarm that pairlab initialised",
        "stop dockerd",
        "give /dev/kvm its former owner and mode",
        "take ada out of docker, kvm",
    ]


def test_a_swarm_is_initialised_on_loopback_and_left_only_if_it_is_the_same(tmp_path: Path) -> None:
    state = [swarm_info("inactive", False, "")]

    def init(_: tuple[str, ...]) -> str:
        state[0] = swarm_info(node="ours")
        return ""

    runner = ready(
        **{f"{DOCKER} info": lambda _: state[0], f"{DOCKER} swarm init": init, f"{DOCKER} swarm leave": ""}
    )
    host = a_host(tmp_path, runner)
    setup.apply(host, setup.plan(host), lambda _: None, interactive=False)
    line = next(line for line in runner.lines() if "swarm init" in line)
    assert line.count("127.0.0.1") == 3
    ledger = host.ledger.entries()
    state[0] = swarm_info(node="somebody's")
    setup.undo(host, lambda _: None, interactive=False)
    assert not any("leave" in line for line in runner.lines())
    Ledger(tmp_path / "state" / "host.json").record("swarm", ledger["swarm"])
    state[0] = swarm_info(node="ours")
    runner.answers[f"{DOCKER} service ls"] = "shop\n"
    with pytest.raises(HostError, match="the Swarm still holds service shop"):
        setup.undo(host, lambda _: None, interactive=False)
    runner.answers[f"{DOCKER} service ls"] = "\n"
    setup.undo(host, lambda _: None, interactive=False)
    assert runner.lines()[-1] == f"{DOCKER} swarm leave --force"


def undoing_swarm(tmp_path: Path, node: str, info: str | int, **more: Any) -> tuple[Host, AnsweringRunner]:
    """A host whose ledger names a Swarm, and what Docker tells of the one that there is."""
    runner = ready(**{f"{DOCKER} info": info, f"{DOCKER} swarm leave": "", **more})
    host = a_host(tmp_path, runner)
    host.ledger.record("swarm", {"node": node})
    return host, runner


def test_a_swarm_of_an_interrupted_setup_is_left_and_anothers_is_not(tmp_path: Path) -> None:
    host, runner = undoing_swarm(tmp_path, "", swarm_info(node="never recorded"))
    assert setup.undo(host, lambda _: None, interactive=False) == [
        "left the Swarm that pairlab had initialised"
    ]
    assert runner.lines()[-1] == f"{DOCKER} swarm leave --force"
    for other in ({"NodeAddr": "10.0.0.7"}, {"NodeAddr": "10.0.0.7", "manager": False}):
        host, runner = undoing_swarm(tmp_path, "", swarm_info(**other))
        assert "not the one" in setup.undo(host, lambda _: None, interactive=False)[0]
        assert not any("leave" in line for line in runner.lines())


@pytest.mark.parametrize(
    ("info", "more", "told"),
    [
        (1, {}, "Docker does not answer"),
        (swarm_info("", False, ""), {}, "Docker does not answer"),
        (swarm_info("error", False, ""), {}, "Swarm is error, and was not left"),
        (swarm_info(Nodes=3), {}, "2 more nodes"),
        (
            swarm_info(),
            {f"{DOCKER} network ls --filter scope=swarm": "ingress\nshop\n"},
            "holds network shop$",
        ),
        (swarm_info(), {f"{DOCKER} secret ls": "key\n"}, "holds secret key$"),
        (swarm_info(), {f"{DOCKER} config ls": 1}, "does not tell what configs"),
    ],
)
def test_a_swarm_that_cannot_be_left_is_not_forgotten(
    tmp_path: Path, info: str | int, more: dict[str, Any], told: str
) -> None:
    host, runner = undoing_swarm(tmp_path, "n1", info, **more)
    with pytest.raises(HostError, match=told):
        setup.undo(host, lambda _: None, interactive=False)
    assert host.ledger.entries() == {"swarm": {"node": "n1"}}
    assert not any("leave" in line for line in runner.lines())


@pytest.mark.parametrize(
    ("state", "told"),
    [("active", "worker in somebody's Swarm"), ("pending", "Swarm is pending"), ("locked", "locked")],
)
def test_somebody_elses_swarm_is_never_touched(tmp_path: Path, state: str, told: str) -> None:
    runner = ready(**{f"{DOCKER} info": swarm_info(state, manager=False)})
    host = a_host(tmp_path, runner)
    step = swarm_step(host)
    assert not step.done()
    with pytest.raises(HostError, match=told):
        step.apply(lambda _: None)
    assert not any("swarm init" in line or "leave" in line for line in runner.lines())
    assert host.ledger.entries() == {}


def test_the_kvm_device_is_opened_to_its_group_and_given_back(tmp_path: Path) -> None:
    device = tmp_path / "kvm"
    device.touch(mode=0o600)
    runner = ready(chgrp="", chmod="")
    host = a_host(tmp_path, runner)
    step = rights.kvm_device_step(host, device=device)
    assert not step.done()
    step.apply(lambda _: None)
    assert runner.lines() == [f"chgrp kvm {device}", f"chmod 660 {device}"]
    rights.restore_kvm_device(host, host.ledger.entries()["kvm"], device=device)
    assert runner.lines()[2:] == [f"chmod 600 {device}", f"chgrp {device.stat().st_gid} {device}"]


def test_a_kvm_device_that_all_may_open_is_left(tmp_path: Path) -> None:
    device = tmp_path / "kvm"
    device.touch()
    device.chmod(0o666)
    assert rights.kvm_device_step(a_host(tmp_path, ready()), device=device).done()


def admin_step() -> Step:
    return Step("x", "change x", done=lambda: False, apply=lambda _: None)


def test_neither_root_nor_sudo_is_said_before_anything_is_done(tmp_path: Path) -> None:
    host = a_host(tmp_path, AnsweringRunner(), account="ada")
    with pytest.raises(HostError, match="ada is not root, and sudo is not installed"):
        setup.apply(host, [admin_step()], lambda _: None, interactive=True)


def test_sudo_asks_only_on_a_terminal(tmp_path: Path) -> None:
    runner = AnsweringRunner({"sudo -n true": 1, "sudo -v": 0})
    host = a_host(tmp_path, runner, account="ada")
    with pytest.raises(HostError, match="does not let it become root"):
        setup.apply(host, [admin_step()], lambda _: None, interactive=False)
    setup.apply(host, [admin_step()], lambda _: None, interactive=True)
    assert runner.lines()[-1] == "sudo -v"


def test_steps_without_rights_need_none(tmp_path: Path) -> None:
    runner = AnsweringRunner()
    told: list[str] = []
    step = Step("x", "change x", done=lambda: False, apply=lambda progress: progress("did x"), admin=False)
    setup.apply(a_host(tmp_path, runner, account="ada"), [step], told.append, interactive=False)
    assert told == ["did x"]
    assert runner.asked == []


def test_sudo_gets_variables_as_words() -> None:
    runner = AnsweringRunner({"sudo": ""})
    SudoRunner(runner).run(["apt-get", "update"], env={"A": "b"})
    assert runner.lines() == ["sudo -n -- env A=b apt-get update"]


def test_a_failed_command_is_not_recorded_as_installed(tmp_path: Path) -> None:
    runner = ready(**{"dpkg-query": 1, "apt-get": 100})
    host = a_host(tmp_path, runner)
    with pytest.raises(CommandError, match="100"):
        setup.apply(host, setup.plan(host), lambda _: None, interactive=False)
    assert host.ledger.entries() == {}


def test_a_damaged_ledger_is_said(tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text("{")
    with pytest.raises(HostError, match="is damaged"):
        Ledger(tmp_path / "host.json").entries()


def test_commands_side_by_side_lose_nothing_of_the_ledger(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "host.json")

    def record(which: int) -> None:
        for count in range(20):
            ledger.record(f"{which}-{count}", count)
            ledger.record("for a moment", which)
            ledger.forget("for a moment")

    threads = [threading.Thread(target=record, args=(which,)) for which in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ledger.entries()) == 4 * 20


@pytest.mark.parametrize(
    ("content", "name", "runs"),
    [
        ("{pid}\n", "{comm}", True),
        ("{pid}\n", "other", False),
        ("", "{comm}", False),
        ("-1", "{comm}", False),
    ],
)
def test_a_pid_file_counts_only_while_its_program_runs(
    tmp_path: Path, content: str, name: str, runs: bool
) -> None:
    comm = Path("/proc/self/comm").read_text().strip()
    (tmp_path / "pid").write_text(content.format(pid=os.getpid()))
    found = RUNNING_PROCESS(name.format(comm=comm), tmp_path / "pid")
    assert (found is not None and found["pid"] == os.getpid()) is runs
    assert RUNNING_PROCESS(comm, tmp_path / "none") is None


def test_a_process_is_told_from_another_of_the_same_number(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text(str(os.getpid()))
    found = RUNNING_PROCESS(Path("/proc/self/comm").read_text().strip(), tmp_path / "pid")
    assert found is not None
    since_boot_s = float(Path("/proc/uptime").read_text().split()[0])
    assert 0 < found["started"] / os.sysconf("SC_CLK_TCK") <= since_boot_s


@pytest.mark.parametrize("entry", [{"process": {"pid": 7, "started": 1}}, {"units": []}])
def test_a_daemon_that_was_started_by_somebody_else_meanwhile_is_left_alone(
    tmp_path: Path, entry: dict[str, Any]
) -> None:
    runner = ready(**{f"{DOCKER} ps": "somebody-elses\n"})
    host = a_host(tmp_path, runner)
    host.ledger.record("dockerd", entry)
    (told,) = setup.undo(host, lambda _: None, interactive=False)
    assert told.startswith("left dockerd alone")
    assert not any("--stop" in line for line in runner.lines())
    assert host.ledger.entries() == {}
