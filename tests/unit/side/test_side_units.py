"""The sides' logic that needs no daemon."""

import dataclasses
import gc
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest
from docker import APIClient
from docker.errors import NotFound

from pairlab.errors import HostError, SideError, UsageError
from pairlab.libvirt_api import passage
from pairlab.model import Instance, Settings, SideName
from pairlab.run import Completed
from pairlab.side import SideContext, _process, kinds, load, pick
from pairlab.side._console import NO_DATA_YET, ConsoleWatcher
from pairlab.side._docker_exec import DockerExecRunner
from pairlab.side._footprint import Processes
from pairlab.side._libvirt_objects import VOLUME
from pairlab.side._process import Usage
from pairlab.side._swarm_tasks import current_tasks, remote_figures


def context(**settings: Any) -> SideContext:
    return SideContext("dev", Settings(**settings), Path("/k"), Path("/h"), "pl-0", "/nowhere/pool")


def test_each_public_module_is_a_kind() -> None:
    folder = Path(_process.__file__).parent
    files = {path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")}
    assert set(kinds()) == files
    for kind in kinds():
        side = load(kind)(context())
        assert side.kind == kind
        assert side.name in SideName
        side.close()


def test_an_unknown_kind_lists_the_known() -> None:
    with pytest.raises(UsageError, match="'podman'") as refused:
        load("podman")
    assert "libvirt, swarm" in refused.value.hint
    with pytest.raises(UsageError):
        load("_process")


def test_pick_names_those_there_are() -> None:
    there = [Instance(SideName.VM, 0, "running"), Instance(SideName.VM, 0, "running", tier="redis")]
    assert pick(there, SideName.VM, "redis", 0) is there[1]
    with pytest.raises(SideError, match="vm/1") as refused:
        pick(there, SideName.VM, "", 1)
    assert refused.value.hint == "there are: vm/0, vm/redis/0"


# -- daemons that are away -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("libvirt", {"libvirt_uri": "qemu+unix:///system?socket=/nowhere/libvirt-sock"}),
        ("swarm", {"docker_host": "unix:///nowhere/docker.sock"}),
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.instances(),
        lambda s: s.leftovers(),
        lambda s: s.sweep(progress=print),
        lambda s: s.runner(0),
    ],
    ids=["instances", "leftovers", "sweep", "runner"],
)
def test_a_daemon_that_is_away_is_told_with_its_remedy(
    kind: str, settings: dict[str, str], call: Callable[[Any], Any], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(HostError, match=r"does not answer at .*/nowhere/") as away:
        call(load(kind)(context(**settings)))
    assert "No such file" in away.value.message
    assert "invoke lab.setup" in away.value.hint
    assert capfd.readouterr() == ("", "")
    del away
    gc.collect()  # docker-py leaves a socket that could not connect to the garbage collector: warn here


# -- libvirt -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("libvirt", {"libvirt_uri": "qemu+ssh://far/system"}),
        ("swarm", {"docker_host": "ssh://me@far"}),
    ],
)
def test_nobody_looks_into_another_machines_kernel(kind: str, settings: dict[str, str]) -> None:
    side = load(kind)(context(**settings))
    for call in (side.host, lambda: side.layers(0), lambda: side.operations(0, Path("/nowhere"))):
        with pytest.raises(SideError, match="another machine") as refused:
            call()
        assert "on the machine of the daemon" in refused.value.hint


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("qemu:///system", []),
        ("qemu+unix:///system?socket=/x", []),
        ("qemu+tcp://far/system", []),
        ("qemu+ssh://far/system", ["ssh", "-o", "BatchMode=yes", "-W", "10.0.0.9:22", "--", "far"]),
        (
            "qemu+ssh://me@far:2222/system?keyfile=/k/its%20key",
            [
                *("ssh", "-o", "BatchMode=yes", "-i", "/k/its key"),
                *("-W", "10.0.0.9:22", "-l", "me", "-p", "2222", "--", "far"),
            ],
        ),
    ],
)
def test_vms_of_another_machine_are_reached_through_it_as_libvirt_is(uri: str, words: list[str]) -> None:
    assert list(passage(uri, "10.0.0.9")) == words


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("web-base-0123456789ab.qcow2", True),
        ("web-kernel-0123456789ab.img", True),
        ("vm-redis-0-0123456789ab-seed.img", True),
        ("vm-0-0123456789ab.qcow2", True),
        ("notes.txt", False),
        ("debian.qcow2", False),
        ("vm-0-0123456789ab.qcow2.bak", False),
    ],
)
def test_volumes_are_known_by_their_names(name: str, ours: bool) -> None:
    assert bool(VOLUME.fullmatch(name)) is ours


def test_a_container_of_another_machine_is_measured_by_its_engine() -> None:
    api = create_autospec(APIClient, instance=True)  # knows only the library's own methods
    api.inspect_container.return_value = {"State": {"StartedAt": "2026-11-28T10:00:00.000000000Z"}}
    api.stats.return_value = {
        "read": "2026-11-28T10:00:30.500000000Z",
        "cpu_stats": {"cpu_usage": {"total_usage": 2_000_000_000}},
        "memory_stats": {"usage": 5000, "stats": {"inactive_file": 1000}},
    }
    task = {"Status": {"ContainerStatus": {"ContainerID": "c0"}}}
    assert remote_figures(api, task) == (Usage(2.0, 4000), 30.5)
    api.inspect_container.side_effect = NotFound("it is gone")
    assert remote_figures(api, task) == (None, None)


# -- the console watcher -------------------------------------------------------------------------


class FakeStream:
    def __init__(self, chunks: list[bytes]) -> None:
        self.chunks = chunks
        self.aborted = False

    def recv(self, size: int) -> bytes | int:
        return self.chunks.pop(0) if self.chunks else NO_DATA_YET

    def abort(self) -> None:
        self.aborted = True


@dataclasses.dataclass
class FakeDomain:
    printed: list[bytes]
    read: threading.Event = dataclasses.field(default_factory=threading.Event)

    def name(self) -> str:
        return "one"

    def ID(self) -> int:  # noqa: N802
        return 1

    def openConsole(self, device: None, stream: FakeStream, flags: int) -> None:  # noqa: N802
        stream.chunks.extend(self.printed)


class FakeConnection:
    def __init__(self) -> None:
        self.streams: list[FakeStream] = []
        self.closed = False

    def newStream(self, flags: int) -> FakeStream:  # noqa: N802
        self.streams.append(FakeStream([]))
        return self.streams[-1]

    def close(self) -> None:
        self.closed = True


def test_the_watcher_keeps_the_last_lines_without_escapes() -> None:
    connection = FakeConnection()
    domain = FakeDomain(
        [b"\x1bc\x1b[2J\x1b[0;1mone\r\ntw", b"o\r\n\r\n[  \x1b[32mOK\x1b[0m  ] thr", b"ee \xc3\xbc"]
    )
    listed = iter([[]])
    watcher = ConsoleWatcher(connection, lambda: next(listed, [domain]))
    watcher.start()
    watcher.stop()
    assert watcher.tail("one", 10) == "one\ntwo\n[  OK  ] three ü"
    assert watcher.tail("one", 1) == "[  OK  ] three ü"
    assert watcher.tail("other", 9) == ""
    assert len(connection.streams) == 1
    assert connection.streams[0].aborted
    assert connection.closed


def test_the_watcher_leaves_alone_what_ran_before_it() -> None:
    connection = FakeConnection()
    watcher = ConsoleWatcher(connection, lambda: [FakeDomain([b"one"])])
    watcher.start()
    watcher.stop()
    assert connection.streams == []
    assert connection.closed
    with pytest.raises(SideError, match="one ran already and was not watched") as told:
        watcher.tail("one", 9)
    assert "lab.console" in told.value.hint


# -- processes and control groups ----------------------------------------------------------------


def test_age_of_a_process_with_spaces_in_its_name(tmp_path: Path) -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    fields = ["S", *["0"] * 18, str(40 * ticks), "0"]
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "stat").write_text(f"7 (a) b (c) {' '.join(fields)}\n")
    (tmp_path / "uptime").write_text("100.50 1.00\n")
    assert _process.age_s(7, proc=tmp_path) == pytest.approx(60.5)
    assert _process.age_s(8, proc=tmp_path) is None


def test_age_of_this_process() -> None:
    age_s = _process.age_s(os.getpid())
    assert age_s is not None
    assert 0 < age_s < 24 * 3600


def _write(files: dict[Path, str]) -> None:
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


STATUS = """Name:\t{name}
State:\tS (sleeping)
PPid:\t1
NSpid:\t{numbers}
"""


def test_processes_are_found_by_name_but_not_in_containers(tmp_path: Path) -> None:
    _write(
        {
            tmp_path / "7" / "status": STATUS.format(name="engined", numbers="7"),
            tmp_path / "8" / "status": STATUS.format(name="engined", numbers="8\t1"),
            tmp_path / "9" / "status": STATUS.format(name="virtlongnamedda", numbers="9"),
            tmp_path / "stat": "",
        }
    )
    assert _process.named(["engined", "virtlongnamedaemon"], proc=tmp_path) == [7]
    assert _process.named(["virtlongnameddaemon"], proc=tmp_path) == [9]
    assert _process.status(7, proc=tmp_path)["PPid"] == "1"
    assert _process.status(10, proc=tmp_path) == {}


def test_programs_are_files_that_are_executed(tmp_path: Path) -> None:
    maps = (
        "00400000-00452000 r-xp 00000000 08:02 173521 /usr/bin/with space\n"
        "00651000-00652000 r--p 00051000 08:02 173521 /usr/share/locale\n"
        "7ffc-7ffd r-xp 00000000 00:00 0 [vdso]\n"
        "7ffe-7fff rwxp 00000000 00:00 0 \n"
    )
    _write({tmp_path / "7" / "maps": maps, tmp_path / "8" / "maps": maps})
    assert Processes(None, proc=tmp_path).programs([7, 8, 9]) == {"/usr/bin/with space"}


def test_usage_on_the_unified_hierarchy(tmp_path: Path) -> None:
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    own = groups / "system.slice" / "docker-1.scope"
    _write(
        {
            proc / "7" / "cgroup": "0::/system.slice/docker-1.scope\n",
            groups / "cgroup.controllers": "cpu memory\n",
            own / "cpu.stat": "usage_usec 2500000\nuser_usec 1\n",
            own / "memory.stat": "anon 5\ninactive_file 1000\n",
            own / "memory.current": "5000\n",
        }
    )
    assert _process.usage(7, proc=proc, cgroups=groups) == _process.Usage(2.5, 4000)


def test_usage_on_the_older_hierarchies(tmp_path: Path) -> None:
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    _write(
        {
            proc / "7" / "cgroup": "4:memory:/docker/1\n2:cpu,cpuacct:/docker/1\n0::/docker/1\n",
            groups / "cpuacct" / "docker" / "1" / "cpuacct.usage": "1500000000\n",
            groups / "memory" / "docker" / "1" / "memory.usage_in_bytes": "9000\n",
            groups / "memory" / "docker" / "1" / "memory.stat": "inactive_file 1\ntotal_inactive_file 2000\n",
        }
    )
    assert _process.usage(7, proc=proc, cgroups=groups) == _process.Usage(1.5, 7000)
    assert _process.usage(8, proc=proc, cgroups=groups) is None


def task(slot: int, desired: str, created: str, state: str = "running", service: str = "s") -> dict[str, Any]:
    return {
        "ID": f"{slot}-{created}",
        "ServiceID": service,
        "Slot": slot,
        "DesiredState": desired,
        "CreatedAt": created,
        "Status": {"State": state},
    }


def service(replicas: int) -> dict[str, Any]:
    return {"s": {"Spec": {"Mode": {"Replicated": {"Replicas": replicas}}}}}


@pytest.mark.parametrize(
    ("replicas", "tasks", "current"),
    [
        (1, [task(1, "shutdown", "1"), task(1, "running", "2")], ["1-2"]),
        (1, [task(1, "running", "1"), task(1, "ready", "2")], ["1-1"]),
        (1, [task(1, "shutdown", "1", "failed"), task(1, "ready", "2", "ready")], ["1-2"]),
        (1, [task(1, "shutdown", "1", "failed"), task(1, "shutdown", "2", "rejected")], ["1-2"]),
        (1, [task(1, "running", "1"), task(2, "shutdown", "1")], ["1-1"]),
        (0, [task(1, "shutdown", "1")], []),
        (2, [task(1, "running", "1"), task(3, "running", "1")], ["1-1", "3-1"]),
        (1, [task(1, "running", "1", service="gone")], []),
    ],
    ids=["updated", "start-first", "restarting", "gave-up", "scaled-in", "to-zero", "gap", "no-service"],
)
def test_the_task_that_counts(replicas: int, tasks: list[dict[str, Any]], current: list[str]) -> None:
    assert sorted(each["ID"] for each in current_tasks(service(replicas), tasks)) == current


class RecordingRunner:
    def __init__(self) -> None:
        self.argv: list[str] = []
        self.env: Any = None

    def run(self, argv: Any, *, env: Any = None, **options: Any) -> Completed:
        self.argv, self.env = list(argv), env
        return Completed(tuple(argv), 0, "", "")

    def interactive(self, argv: Any, *, env: Any = None) -> int:
        self.argv, self.env = list(argv), env
        return 0


def test_no_value_of_a_variable_stands_in_the_command_line() -> None:
    local = RecordingRunner()
    runner = DockerExecRunner("unix:///d", "c1", local)
    runner.run(["id"], env={"TOKEN": "hush"}, cwd=Path("/srv"))
    assert local.argv == [
        *("docker", "--host", "unix:///d", "exec"),
        *("--env", "TOKEN", "--workdir", "/srv", "c1", "id"),
    ]
    assert local.env == {"TOKEN": "hush"}


def test_no_command_is_a_shell_on_this_terminal() -> None:
    local = RecordingRunner()
    DockerExecRunner("unix:///d", "c1", local).interactive([])
    assert local.argv[3:] == ["exec", "--interactive", "--tty", "c1", "sh"]
