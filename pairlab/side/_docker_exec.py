"""Runs commands inside a container, through the Docker CLI."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pairlab.run import Completed, Runner


@dataclass(frozen=True)
class DockerExecRunner:
    """A `Runner` whose commands run in a container.

    Args:
        host: The engine's address.
        container: Container's id or name.
        local: Runner that starts the Docker CLI.
        user: Account inside; empty for the container's own.
    """

    host: str
    container: str
    local: Runner
    user: str = ""

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        input_text: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout_s: float | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        """See `Runner.run`; `env` and `cwd` hold inside. A time-out ends the client, not what runs inside."""
        flags = ["--interactive"] if input_text is not None else []
        return self.local.run(
            self.argv(argv, flags, env, cwd),
            check=check,
            input_text=input_text,
            env=env,
            timeout_s=timeout_s,
            on_line=on_line,
        )

    def interactive(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> int:
        """See `Runner.interactive`; no `argv` means a shell."""
        return self.local.interactive(self.argv(argv or ["sh"], ["--interactive", "--tty"], env), env=env)

    def argv(
        self,
        argv: Sequence[str],
        flags: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> list[str]:
        """The docker command line that runs `argv` there."""
        # A name without a value is taken from the client's own environment: no value stands in any argv.
        names = [word for name in env or {} for word in ("--env", name)]
        where = ["--workdir", str(cwd)] if cwd is not None else []
        where += ["--user", self.user] if self.user else []
        return ["docker", "--host", self.host, "exec", *flags, *names, *where, self.container, *argv]
