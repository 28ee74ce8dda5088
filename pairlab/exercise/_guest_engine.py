"""The container engine inside a VM: it takes an image in, and runs one container of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pairlab.errors import ExerciseError
from pairlab.exercise._stack_inside import BOOT_ID
from pairlab.model import GUEST_CONTAINER
from pairlab.run import Completed, Runner

ARCHIVE = PurePosixPath("/var/tmp/pairlab-image.tar")
HOLDER = "conmon"
LOAD_TIMEOUT_S = 300.0
RUN_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class GuestEngine:
    """Podman in a VM, by its own command.

    Attributes:
        admin: Runs commands in the VM as its administrator.
    """

    admin: Runner

    def load(self) -> None:
        """Take the image in that was copied to `ARCHIVE`, and remove the copy."""
        try:
            # `podman load` would first take all of it apart in another format.
            pull = ["podman", "pull", "--quiet", f"docker-archive:{ARCHIVE}"]
            self.admin.run(pull, timeout_s=LOAD_TIMEOUT_S)
        finally:
            self.admin.run(["rm", "-f", str(ARCHIVE)])

    def check(self, image_id: str) -> None:
        """See that the engine has an image of this id, and trusts what is in it.

        Raises:
            ExerciseError: It has not.
        """
        listed = self.admin.run(["podman", "image", "ls", "--no-trunc", "--format", "{{.ID}}"])
        if f"sha256:{image_id}" not in listed.stdout.split():
            raise ExerciseError(
                f"the VM's engine has no image {image_id[:12]}, but {listed.stdout.split() or 'none'}",
                hint="the image was sent and read without an error: `invoke lab.shell` shows what is there",
            )

    def run(self, image_id: str, mounts: Sequence[str]) -> None:
        """Create the container and start it, on the VM's own network.

        Args:
            image_id: Of the image.
            mounts: Files of the VM that it sees in the same place, and may not write.
        """
        argv = ["podman", "run", "--detach", "--name", GUEST_CONTAINER, "--network", "host"]
        # The image's check would be run by systemd through D-Bus, which this VM does not have.
        argv += ["--hostname", f"container-{GUEST_CONTAINER}-1", "--no-healthcheck"]
        argv += [word for path in mounts for word in ("--volume", f"{path}:{path}:ro")]
        self.admin.run([*argv, image_id], timeout_s=RUN_TIMEOUT_S)

    def remove(self) -> None:
        """End the container and remove it; fine if there is none."""
        argv = ["podman", "rm", "--force", "--ignore", "--time", "5", GUEST_CONTAINER]
        self.admin.run(argv, timeout_s=RUN_TIMEOUT_S)

    def boot_id(self) -> str:
        """The boot id that the container sees."""
        return self.admin.run(["podman", "exec", GUEST_CONTAINER, "cat", BOOT_ID]).stdout.strip()

    def describe(self) -> str:
        """What it is, such as `podman version 4.3.1`."""
        return self.admin.run(["podman", "--version"]).stdout.strip()


@dataclass(frozen=True)
class EachInContainer:
    """A `Runner` each of whose commands is the first process of a container of its own, inside a VM.

    Attributes:
        admin: Runs commands in the VM as its administrator.
        image_id: Of the image of those containers.
        folder: Of the VM, which they see in the same place.
    """

    admin: Runner
    image_id: str
    folder: str

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
        """See `Runner.run`; `env`, which anybody in the VM can read meanwhile, and `cwd` hold inside."""
        flags = ["--interactive"] if input_text is not None else []
        return self.admin.run(
            self._argv(argv, flags, env, cwd),
            check=check,
            input_text=input_text,
            timeout_s=timeout_s,
            on_line=on_line,
        )

    def interactive(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> int:
        """See `Runner.interactive`."""
        return self.admin.interactive(self._argv(argv, ["--interactive", "--tty"], env, None))

    def _argv(
        self, argv: Sequence[str], flags: Sequence[str], env: Mapping[str, str] | None, cwd: Path | None
    ) -> list[str]:
        given = [word for item in (env or {}).items() for word in ("--env", "=".join(item))]
        given += ["--workdir", str(cwd)] if cwd is not None else []
        # Its own account has no rights to what the administrator laid down; to the engine it is root inside.
        own = ["--user", "0", "--network", "none", "--volume", f"{self.folder}:{self.folder}"]
        start = ["podman", "run", "--rm", "--no-healthcheck", *own, *flags, *given]
        return [*start, "--entrypoint", argv[0], self.image_id, *argv[1:]]
