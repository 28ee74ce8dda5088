"""What every Runner does: here, over real ssh, and in a real container."""

import dataclasses
import getpass
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from side_worlds import until
from ssh_server import ssh_server

from pairlab.errors import CommandError
from pairlab.run import Completed, LocalRunner, Runner
from pairlab.side._docker_exec import DockerExecRunner
from pairlab.ssh import SshRunner

AWKWARD = ["two words", "", "it's", 'say "hi"', "$HOME", "`id`", "a;b", "*", "\\", "-n", "line\nbreak", "ü"]


@pytest.fixture(scope="module")
def ssh_runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshRunner]:
    """A private sshd on loopback that lets this user in by a key made for the test."""
    where, local = tmp_path_factory.mktemp("ssh d"), LocalRunner()
    for name in ("host", "user"):
        local.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(where / name)])
    with ssh_server(where / "host", where / "user.pub") as port:
        known = where / "known_hosts"
        known.write_text(f"[127.0.0.1]:{port} {(where / 'host.pub').read_text()}")
        yield SshRunner("127.0.0.1", getpass.getuser(), where / "user", known, port=port)


@pytest.fixture
def shared_runner(ssh_runner: SshRunner) -> Iterator[SshRunner]:
    """The same, with commands that share a connection."""
    with tempfile.TemporaryDirectory(prefix="pl ") as folder:
        yield dataclasses.replace(ssh_runner, control=Path(folder))


def test_commands_that_follow_one_another_share_a_connection(shared_runner: SshRunner) -> None:
    assert shared_runner.control is not None
    assert shared_runner.run(["echo", "one"]).stdout == "one\n"
    (socket,) = shared_runner.control.iterdir()
    assert stat.S_ISSOCK(socket.stat().st_mode)
    known = shared_runner.known_hosts.with_name("emptied")
    known.touch()
    # Without the pinned key no new connection would come about.
    again = dataclasses.replace(shared_runner, known_hosts=known)
    assert again.run(["echo", "two"]).stdout == "two\n"
    done = shared_runner.run(["sh", "-c", "echo because >&2; exit 3"], check=False)
    assert (done.returncode, done.stderr) == (3, "because\n")


def test_a_shared_connection_can_be_given_up_and_is_made_anew(
    shared_runner: SshRunner, ssh_runner: SshRunner
) -> None:
    control = shared_runner.control
    assert control is not None
    shared_runner.unshare()  # fine: there is none
    shared_runner.run(["true"])
    assert len(list(control.iterdir())) == 1
    shared_runner.unshare()
    # Whoever holds the connection says yes first, and then removes its socket.
    until(lambda: not any(control.iterdir()))
    assert shared_runner.run(["echo", "anew"]).stdout == "anew\n"
    ssh_runner.unshare()  # fine: it shares none


def test_a_command_whose_shared_connection_broke_makes_one_of_its_own(shared_runner: SshRunner) -> None:
    class Broken:
        """What ssh says when the server went away between two commands; then the real one."""

        asked = 0

        def run(self, argv: Sequence[str], **options: Any) -> Completed:
            self.asked += 1
            if any(word.startswith("ControlPath") for word in argv):
                told = "mux_client_request_session: read from master failed: Broken pipe\n"
                return Completed(tuple(argv), 255, "", told)
            return LocalRunner().run(argv, **options)

        interactive = None

    local = Broken()
    runner = dataclasses.replace(shared_runner, local=local)  # type: ignore[arg-type]
    assert runner.run(["cat"], input_text="given").stdout == "given"
    assert local.asked == 2


@pytest.fixture(scope="module")
def exec_runner(busybox_image: str) -> Iterator[DockerExecRunner]:
    local, name = LocalRunner(), "plside-exec"
    local.run(["docker", "run", "--detach", "--init", "--name", name, busybox_image, "sleep", "3600"])
    try:
        yield DockerExecRunner("unix:///var/run/docker.sock", name, local)
    finally:
        local.run(["docker", "rm", "--force", name])


@pytest.fixture(
    params=[
        "local",
        pytest.param("ssh_runner", marks=pytest.mark.integration),
        pytest.param("shared_runner", marks=pytest.mark.integration),
        pytest.param("exec_runner", marks=pytest.mark.integration),
    ]
)
def runner(request: pytest.FixtureRequest) -> Runner:
    if request.param == "local":
        return LocalRunner()
    chosen: Runner = request.getfixturevalue(request.param)
    return chosen


def test_arguments_arrive_as_they_are(runner: Runner) -> None:
    done = runner.run(["printf", "[%s]", *AWKWARD])
    assert done.stdout == "".join(f"[{word}]" for word in AWKWARD)


def test_input_streams_and_status(runner: Runner) -> None:
    done = runner.run(["sh", "-c", "cat; echo oops >&2; exit 3"], check=False, input_text="given\n")
    assert (done.returncode, done.stdout, done.stderr) == (3, "given\n", "oops\n")


def test_no_input_is_an_empty_one(runner: Runner) -> None:
    assert runner.run(["cat"], timeout_s=20).stdout == ""


def test_environment_and_directory_hold_where_it_runs(runner: Runner) -> None:
    done = runner.run(["sh", "-c", 'echo "$WORD"; pwd'], env={"WORD": "a 'b' $c"}, cwd=Path("/bin"))
    assert done.stdout.splitlines()[0] == "a 'b' $c"
    assert done.stdout.splitlines()[1] in ("/bin", "/usr/bin")


def test_lines_come_one_by_one_both_streams_together(runner: Runner) -> None:
    lines: list[str] = []
    done = runner.run(["sh", "-c", "echo one; echo two >&2; echo three"], on_line=lines.append)
    assert sorted(lines) == ["one", "three", "two"]
    assert sorted(done.stdout.split()) == ["one", "three", "two"]


def test_a_failure_is_an_error_with_its_last_words(runner: Runner) -> None:
    with pytest.raises(CommandError) as failed:
        runner.run(["sh", "-c", "echo because >&2; exit 4"])
    assert "because" in failed.value.details


def test_a_time_out_is_an_error(runner: Runner) -> None:
    with pytest.raises(CommandError, match="did not end within 1 s"):
        runner.run(["sleep", "30"], timeout_s=1)


@pytest.mark.integration
def test_a_host_key_that_is_not_the_pinned_one_is_refused(ssh_runner: SshRunner, tmp_path: Path) -> None:
    other = tmp_path / "known_hosts"
    LocalRunner().run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "k")])
    other.write_text(f"[127.0.0.1]:{ssh_runner.port} {(tmp_path / 'k.pub').read_text()}")
    stranger = SshRunner("127.0.0.1", ssh_runner.user, ssh_runner.key, other, port=ssh_runner.port)
    with pytest.raises(CommandError) as refused:
        stranger.run(["true"])
    assert "verification failed" in refused.value.details
