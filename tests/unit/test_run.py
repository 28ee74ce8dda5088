import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pairlab import run
from pairlab.errors import CommandError
from pairlab.run import Completed, LocalRunner, tail
from pairlab.ssh import SshRunner


class RecordingRunner:
    def __init__(self) -> None:
        self.calls: list[tuple[list[str], dict[str, Any]]] = []

    def run(self, argv: Sequence[str], **options: Any) -> Completed:
        self.calls.append((list(argv), options))
        return Completed(tuple(argv), 0, "", "")

    def interactive(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> int:
        self.calls.append((list(argv), {"env": env}))
        return 7


def ssh(**options: Any) -> tuple[SshRunner, RecordingRunner]:
    local = RecordingRunner()
    return SshRunner("10.0.0.9", "lab", Path("/k/id"), Path("/k/known hosts"), local=local, **options), local


def test_a_machine_without_an_address_is_reached_by_a_command_that_no_shell_changes() -> None:
    runner, _ = ssh(proxy=("docker", "exec", "two words", "50%", "nc"))
    (option,) = [word for word in runner.argv(["true"]) if word.startswith("ProxyCommand=")]
    assert option == "ProxyCommand=docker exec 'two words' 50%% nc"
    assert not [word for word in ssh()[0].argv(["true"]) if word.startswith("ProxyCommand")]


def test_a_machine_that_is_busy_for_seconds_keeps_its_shared_connection(tmp_path: Path) -> None:
    told = dict(word.split("=", 1) for word in ssh(control=tmp_path)[0].argv(["true"]) if "=" in word)
    assert int(told["ServerAliveInterval"]) * int(told["ServerAliveCountMax"]) == 30
    assert not [word for word in ssh()[0].argv(["true"]) if word.startswith("ServerAlive")]


def test_output_and_status_are_kept_apart() -> None:
    done = LocalRunner().run(["sh", "-c", "echo out; echo err >&2; exit 5"], check=False)
    assert (done.returncode, done.stdout, done.stderr) == (5, "out\n", "err\n")


def test_much_input_and_output_at_once_does_not_block() -> None:
    text = "x" * 80 + "\n"
    done = LocalRunner().run(["cat"], input_text=text * 20_000, timeout_s=30)
    assert done.stdout == text * 20_000


def test_a_command_that_ignores_its_input_is_fine() -> None:
    lines: list[str] = []
    LocalRunner().run(["true"], input_text="y" * 1_000_000, on_line=lines.append)
    assert lines == []


def test_lines_are_split_at_any_line_end_and_the_last_needs_none() -> None:
    lines: list[str] = []
    LocalRunner().run(["printf", r"a\r\nb\rc\n\nd"], on_line=lines.append)
    assert lines == ["a", "b", "c", "", "d"]


def test_a_character_cut_by_the_pipe_is_put_together() -> None:
    script = (
        "import sys, time; out = sys.stdout.buffer; out.write(b'\\xc3'); out.flush(); time.sleep(0.1);"
        "out.write(b'\\xbc\\xff')"
    )
    assert LocalRunner().run([sys.executable, "-c", script]).stdout == "ü�"


def test_lines_arrive_while_the_command_runs(tmp_path: Path) -> None:
    go = tmp_path / "go"
    os.mkfifo(go)
    # The command waits for what only its first line sets off.
    writer = threading.Thread(target=lambda: go.write_text("go"))
    LocalRunner().run(
        ["sh", "-c", 'echo ready; read word < "$1"', "sh", str(go)],
        check=False,
        timeout_s=20,
        on_line=lambda line: writer.start(),
    )
    writer.join()


@pytest.mark.parametrize("on_line", [None, lambda line: None], ids=["whole", "lines"])
def test_a_time_out_holds_though_a_grandchild_keeps_the_pipe(on_line: Any) -> None:
    start = time.monotonic()
    with pytest.raises(CommandError, match=r"sh did not end within 0\.3 s"):
        LocalRunner().run(["sh", "-c", "sleep 6 & wait"], timeout_s=0.3, on_line=on_line)
    assert time.monotonic() - start < 4


def test_an_interrupted_command_may_clean_up_and_is_gone(tmp_path: Path) -> None:
    cleaned = tmp_path / "cleaned"
    script = "trap 'echo $$ > \"$1\"; exit' TERM; echo ready; while :; do sleep 0.05; done"

    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LocalRunner().run(["sh", "-c", script, "sh", str(cleaned)], on_line=interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(int(cleaned.read_text()), 0)


def test_commands_of_other_threads_can_be_ended() -> None:
    begun, ended = threading.Event(), list[Completed]()
    argv = ["sh", "-c", "echo ready; exec sleep 30"]

    def work() -> None:
        ended.append(LocalRunner().run(argv, check=False, on_line=lambda _: begun.set()))

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(5)
    run.end_commands()
    thread.join(5)
    assert ended[0].returncode == -signal.SIGTERM
    run.end_commands()  # fine where none runs


def test_ctrl_c_at_a_silent_command_ends_it() -> None:
    # A shell starts its background jobs with the signal ignored, and Python leaves it so.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        LocalRunner().run(["sleep", "30"])
    assert time.monotonic() - start < 5


def test_a_stubborn_command_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "GRACE_S", 0.1)

    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        LocalRunner().run(
            ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"], on_line=interrupt
        )
    assert time.monotonic() - start < 5


class RootsProcess(subprocess.Popen[bytes]):
    """May not be signalled by this account."""

    def send_signal(self, sig: int) -> None:
        raise PermissionError


@pytest.mark.parametrize("stubborn", ["", "trap '' TERM; "])
def test_a_command_that_became_root_is_ended_with_all_below_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stubborn: str
) -> None:
    monkeypatch.setattr(run, "GRACE_S", 0.5)
    sudo = tmp_path / "sudo"
    sudo.write_text('#!/bin/sh\ntest "$1" = -n && shift && exec "$@"\n')
    sudo.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    below = tmp_path / "below"
    os.mkfifo(below)
    # Whoever writes to it has to end before reading it does.
    script = stubborn + "sh -c 'sleep 30 & echo begun; wait' > \"$1\" & wait"
    with RootsProcess(["sh", "-c", script, "sh", str(below)]) as process, below.open() as written:
        assert written.readline() == "begun\n"
        run._end(process)
        assert process.wait(5) != 0
        start = time.monotonic()
        assert written.read() == ""
    assert time.monotonic() - start < 10


def test_variables_add_to_this_process_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTER", "1")
    done = LocalRunner(env={"RUNNER": "2", "BOTH": "x"}).run(
        ["sh", "-c", "echo $OUTER$RUNNER$BOTH"], env={"BOTH": "3"}
    )
    assert done.stdout == "123\n"


def test_a_command_speaks_english_unless_it_is_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("LANGUAGE", "de")
    argv = ["sh", "-c", "echo $LC_ALL:$LANGUAGE"]
    assert LocalRunner().run(argv).stdout == "C.UTF-8:\n"
    assert LocalRunner().run(argv, env={"LC_ALL": "C"}).stdout == "C:\n"


@pytest.mark.parametrize(
    ("argv", "cwd", "message"),
    [
        (["no-such-program-here"], None, "no-such-program-here is not installed"),
        (["true"], Path("/no/such/directory"), "/no/such/directory is not a directory"),
        (["/etc/passwd"], None, "/etc/passwd cannot start"),
    ],
)
def test_what_cannot_start_says_why(argv: list[str], cwd: Path | None, message: str) -> None:
    with pytest.raises(CommandError, match=message) as failed:
        LocalRunner().run(argv, cwd=cwd)
    assert failed.value.hint


def test_a_failure_carries_the_tail_of_what_was_said() -> None:
    with pytest.raises(CommandError, match="sh failed with exit status 2") as failed:
        LocalRunner().run(["sh", "-c", "seq 100 >&2; exit 2"])
    assert failed.value.details.splitlines()[-1] == "100"
    assert len(failed.value.details.splitlines()) == run.TAIL_LINES


def test_tail_of_short_and_empty_texts() -> None:
    assert tail("") == ""
    assert tail("a\nb\n\n", 5) == "a\nb"
    assert tail("a\nb\nc", 2) == "b\nc"


def test_ssh_pins_the_host_and_asks_nothing() -> None:
    runner, local = ssh(port=2222)
    runner.run(["true"])
    argv, _ = local.calls[0]
    assert argv[:7] == ["ssh", "-F", "none", "-i", "/k/id", "-p", "2222"]
    for option in ("StrictHostKeyChecking=yes", "BatchMode=yes", 'UserKnownHostsFile="/k/known hosts"'):
        assert argv[argv.index(option) - 1] == "-o"
    assert argv[-2:] == ["lab@10.0.0.9", "true"]


def test_ssh_quotes_for_the_far_shell() -> None:
    runner, local = ssh()
    words = ["printf", "%s ", "a b", "$HOME", "it's", ""]
    runner.run(words, env={"A": "x y"}, cwd=Path("/far away"))
    remote = local.calls[0][0][-1]
    assert remote.startswith("env '--chdir=/far away' env 'A=x y' printf ")
    assert LocalRunner().run(["sh", "-c", remote.split("env 'A=x y' ")[1]]).stdout == "a b $HOME it's  "


def test_ssh_shell_takes_the_terminal() -> None:
    runner, local = ssh()
    assert runner.interactive([]) == 7
    argv, _ = local.calls[0]
    assert "-t" in argv
    assert "BatchMode=yes" not in argv
    assert argv[-1] == "lab@10.0.0.9"
