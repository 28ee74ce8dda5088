"""Docker's and libvirt's daemons: started through systemd where it runs, else by hand."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pairlab.errors import CommandError, HostError
from pairlab.host.steps import Host, Step
from pairlab.model import PROJECT
from pairlab.progress import Progress, heartbeat
from pairlab.run import running, tail

DAEMONS = ("dockerd", "libvirtd", "virtlogd")
"""In the order in which they can be stopped."""
REAPER = "/usr/bin/tini"
"""What reaps the processes that a daemon started by hand leaves: libvirt waits until a VM's is no zombie any
more, and where no init system runs the first process may reap late, or never."""
ANSWER_TIMEOUT_S = 60.0
POLL_S = 0.1
STOP_SCHEDULE = "TERM/30/KILL/5"
CGROUPS = Path("/sys/fs/cgroup")
MOUNTS = Path("/proc/mounts")
# Debian's default asks polkit, which needs a system bus that systemd would start: the socket's group decides
# instead. Source: libvirt's remote/libvirtd.conf.
LIBVIRTD_CONFIG = """\
unix_sock_group = "libvirt"
unix_sock_rw_perms = "0770"
auth_unix_ro = "none"
auth_unix_rw = "none"
"""


@dataclass(frozen=True)
class Daemon:
    """A daemon that labs need.

    Attributes:
        name: The program, also in the ledger.
        units: systemd units that start it.
        pid_file: The one that it writes by default, so that no second one is started beside it.
        arguments: For a start by hand.
        answers: Whether it serves.
        config: Content of its configuration file, for a start by hand.
    """

    name: str
    units: tuple[str, ...]
    pid_file: str
    arguments: tuple[str, ...]
    answers: Callable[[], bool]
    config: str = ""

    @property
    def executable(self) -> str:
        """Where Debian puts it."""
        return f"/usr/sbin/{self.name}"


def daemons(host: Host) -> list[Daemon]:
    """The daemons of this machine that a lab needs, in the order of their start."""
    found: list[Daemon] = []
    if host.local_docker:
        found.append(_dockerd(host))
    if host.local_libvirt and not host.systemd:
        found.append(_virtlogd())  # libvirtd's unit pulls it in
    if host.local_libvirt:
        found.append(_libvirtd(host))
    return found


def _dockerd(host: Host) -> Daemon:
    pid_file = str(_pid_file("dockerd"))
    return Daemon(
        name="dockerd",
        units=("docker.service",),
        pid_file=pid_file,
        arguments=("--pidfile", pid_file, "--host", host.settings.docker_host),
        answers=lambda: host.docker("version", "--format", "{{.Server.Version}}") is not None,
    )


def _libvirtd(host: Host) -> Daemon:
    pid_file = str(_pid_file("libvirtd"))
    return Daemon(
        name="libvirtd",
        units=("libvirtd.socket", "libvirtd.service"),
        pid_file=pid_file,
        arguments=("--pid-file", pid_file, "--config", str(_config(host))),
        answers=lambda: host.virsh("uri") is not None,
        config=LIBVIRTD_CONFIG,
    )


def _virtlogd() -> Daemon:
    pid_file = str(_pid_file("virtlogd"))
    return Daemon(
        name="virtlogd",
        units=(),
        pid_file=pid_file,
        arguments=("--pid-file", pid_file),
        answers=lambda: running_process("virtlogd", Path(pid_file)) is not None,
    )


def running_process(name: str, pid_file: Path) -> dict[str, int] | None:
    """The process of a pid file, if it lives and is that program. Needs no rights.

    Returns:
        What no other process has both of: `pid`, and `started` in clock ticks after boot.
    """
    try:
        pid = int(pid_file.read_text())
    except (OSError, ValueError):
        return None
    told = running(pid)
    if told is None or told[0] != name:
        return None
    return {"pid": pid, "started": int(told[1][19])}


def daemon_step(host: Host, daemon: Daemon) -> Step:
    """Starts a daemon and waits until it answers."""
    # One that does not answer may run all the same, or not let this account in: it is not ours to stop then.
    before = running_process(daemon.name, Path(daemon.pid_file))
    stranger = before is not None or (host.systemd and _active(host, daemon))
    how = "through systemd" if host.systemd else f"by hand, with its log in {_log(host, daemon)}"
    change = f"wait for {daemon.name}, which runs already" if stranger else f"start {daemon.name} {how}"

    def apply(progress: Progress) -> None:
        # Recorded although its package may have started it meanwhile: it did not run before this set-up.
        if host.systemd and not stranger:
            host.ledger.record(daemon.name, {"units": list(daemon.units)})
        try:
            if not daemon.answers():
                progress(f"starting {daemon.name}")
                _start(host, daemon)
                _wait(host, daemon, progress)
        finally:
            process = running_process(daemon.name, Path(daemon.pid_file))
            if process and process != before and not host.systemd:
                host.ledger.record(daemon.name, {"process": process})

    return Step(daemon.name, change, done=daemon.answers, apply=apply)


def _active(host: Host, daemon: Daemon) -> bool:
    """Whether systemd runs a unit of a daemon, or listens for it. Needs no rights."""
    units = [*daemon.units, *_sockets(daemon.units)]
    try:
        done = host.runner.run(["systemctl", "is-active", *units], check=False, timeout_s=15)
    except CommandError:  # whether it can be asked shows when something is to be started
        return False
    return done.returncode == 0


def _start(host: Host, daemon: Daemon) -> None:
    if host.systemd:
        host.admin.run(["systemctl", "start", *daemon.units], timeout_s=ANSWER_TIMEOUT_S)
        return
    log = _log(host, daemon)
    log.parent.mkdir(parents=True, exist_ok=True)
    if daemon.config:
        _config(host).write_text(daemon.config)
    host.admin.run(
        ["start-stop-daemon", "--start", "--oknodo", "--background", "--pidfile", daemon.pid_file,
         "--output", str(log), "--exec", daemon.executable,
         "--startas", REAPER, "--", "-s", "--", daemon.executable, *daemon.arguments],
        timeout_s=ANSWER_TIMEOUT_S,
    )  # fmt: skip


def _wait(host: Host, daemon: Daemon, progress: Progress) -> None:
    deadline = time.monotonic() + ANSWER_TIMEOUT_S
    with heartbeat(progress, lambda: f"waiting for {daemon.name}"):
        while not daemon.answers():
            if time.monotonic() > deadline:
                raise HostError(
                    f"{daemon.name} was started but does not answer after {ANSWER_TIMEOUT_S:g} s",
                    hint="its log, below, says why; mend that and run `invoke lab.setup` again",
                    details=_log_tail(host, daemon),
                )
            time.sleep(POLL_S)


def _log(host: Host, daemon: Daemon) -> Path:
    return host.state / f"{daemon.name}.log"


def _config(host: Host) -> Path:
    return host.state / "libvirtd.conf"


def _log_tail(host: Host, daemon: Daemon) -> str:
    if host.systemd:
        units = [word for unit in daemon.units for word in ("-u", unit)]
        return host.admin.run(["journalctl", "-n", "30", "--no-pager", *units], check=False).stdout
    log = _log(host, daemon)
    return tail(log.read_text(errors="replace")) if log.exists() else "it wrote no log"


def is_ours(name: str, entry: Mapping[str, Any]) -> bool:
    """Whether the daemon that runs is what the ledger's entry stands for: its unit, or that very process."""
    return bool(entry.get("units")) or running_process(name, _pid_file(name)) == entry.get("process", {})


def stop_daemon(host: Host, name: str, entry: Mapping[str, Any]) -> str:
    """Stop a daemon that the ledger names, unless another has taken its place.

    Args:
        host: This machine.
        name: The program.
        entry: From the ledger: `units` of systemd that started it, or its `process`.

    Returns:
        What was done, in one sentence.

    Raises:
        CommandError: It does not stop.
    """
    if not is_ours(name, entry):
        return f"left {name} alone: it is not known as the process that pairlab started"
    if units := entry.get("units"):
        host.admin.run(["systemctl", "stop", *units, *_sockets(units)], timeout_s=ANSWER_TIMEOUT_S)
    else:
        host.admin.run(
            ["start-stop-daemon", "--stop", "--oknodo", "--pidfile", str(_pid_file(name)),
             "--exec", f"/usr/sbin/{name}", "--retry", STOP_SCHEDULE],
            timeout_s=ANSWER_TIMEOUT_S,
        )  # fmt: skip
    return f"stopped {name}"


def _pid_file(name: str) -> Path:
    return Path("/run/docker.pid" if name == "dockerd" else f"/run/{name}.pid")


def _sockets(units: Sequence[str]) -> list[str]:
    """Sockets that would start a stopped service again."""
    return ["docker.socket"] if "docker.service" in units else []


def cgroups_step(host: Host) -> Step:
    """Mounts control groups where nothing did: dockerd needs them, and systemd is not there to do it."""

    def mounted() -> bool:
        return any(kind.startswith("cgroup") for _, _, kind in _mounts())

    def apply(progress: Progress) -> None:
        if not mounted():
            progress("mounting control groups")
            host.ledger.record("cgroups", str(CGROUPS))
            # Its source may be any word: by this one it is known again.
            host.admin.run(["mount", "-t", "cgroup2", PROJECT, str(CGROUPS)])

    return Step("control groups", f"mount cgroup2 on {CGROUPS}", done=mounted, apply=apply)


def unmount_cgroups(host: Host, place: str) -> str:
    """Undo `cgroups_step`; returns what was done, in one sentence."""
    if (PROJECT, place, "cgroup2") not in _mounts():
        return "the control groups that pairlab mounted are gone already"
    for name in ("dockerd", "libvirtd"):
        if running_process(name, _pid_file(name)):
            return f"left the control groups mounted, for {name} uses them"
    host.admin.run(["umount", place])
    return "unmounted control groups"


def _mounts() -> list[tuple[str, str, str]]:
    """Source, place and type of what is mounted."""
    lines = [line.split() for line in MOUNTS.read_text().splitlines()]
    return [(line[0], line[1], line[2]) for line in lines]


def refuse_while_used(host: Host, names: set[str]) -> None:
    """Keep daemons from being stopped under what runs on them.

    Raises:
        HostError: Containers or VMs still run, or a daemon that lives does not tell.
    """
    carried: dict[str, tuple[str, Callable[[], str | None]]] = {
        "dockerd": ("containers", lambda: host.docker("ps", "--format", "{{.Names}}")),
        "libvirtd": ("VMs", lambda: host.virsh("list", "--name")),
    }
    used: list[str] = []
    for name, (kind, ask) in carried.items():
        if name not in names:
            continue
        told = ask()
        if told is None and running_process(name, _pid_file(name)):
            raise HostError(
                f"{name} runs, but does not tell which {kind} run on it",
                hint=f"wait until it answers; if it never does, end those {kind} and {name} by hand",
            )
        if told:
            used.append(f"{kind}: {', '.join(told.split())}")
    if used:
        raise HostError(
            f"the daemons are still in use by {'; '.join(used)}",
            hint="take the labs down first with `invoke lab.down --all`, and stop what is not pairlab's",
        )
