"""Ways into a running lab: status, shell, commands, logs, the serial console."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable

from pairlab import side as sides
from pairlab.errors import ImageError, UsageError
from pairlab.image.store import ImageStore
from pairlab.model import SideName, parse_instance_name
from pairlab.session.spec import load_stack, tiers_of
from pairlab.session.status import LabStatus, read_status
from pairlab.session.workbench import Workbench, known_spec


def status(bench: Workbench, lab: str) -> LabStatus:
    """Both sides of a lab as they are, and how that differs from what is declared."""
    spec = known_spec(lab)
    tiers = tiers_of(load_stack(spec.settings.stack), lab, spec.settings, spec.keys)
    both = {name: bench.side(lab, name) for name in SideName}
    # Every answer of a front door asks for it, and each time all records of images would be read.
    built_version = functools.cache(functools.partial(_built_version, bench.images_for(spec.settings)))
    return read_status(spec, tiers, both, built_version)


def _built_version(images: ImageStore, image: str, package: str) -> str:
    try:
        return images.manifest(image).get(package, "")
    except ImageError:
        return ""  # its record was pruned, or it is a guest that was not built here


def shell(bench: Workbench, lab: str, instance: str) -> int:
    """Open a shell in an instance on this terminal; returns its exit status."""
    side, tier, index = _side_of(bench, lab, instance)
    return side.runner(index, tier=tier).interactive(["/bin/bash"])


def execute(bench: Workbench, lab: str, instance: str, command: str, on_line: Callable[[str], None]) -> int:
    """Run a command in an instance and pass on its output; returns its exit status.

    Raises:
        UsageError: The command is not well quoted.
    """
    try:
        argv = shlex.split(command)
    except ValueError as error:
        raise UsageError(
            f"{command!r} is not well quoted: {error}", hint="quote it as a shell would"
        ) from error
    if not argv:
        raise UsageError("no command was given", hint="such as: invoke lab.exec vm/0 'nginx -v'")
    side, tier, index = _side_of(bench, lab, instance)
    done = side.runner(index, tier=tier).run(argv, check=False, on_line=on_line)
    return done.returncode


def logs(
    bench: Workbench, lab: str, instance: str, *, lines: int, follow: bool, on_line: Callable[[str], None]
) -> None:
    """Pass on an instance's log."""
    side, tier, index = _side_of(bench, lab, instance)
    side.logs(index, tier=tier, lines=lines, follow=follow, on_line=on_line)


def console(bench: Workbench, lab: str, instance: str) -> int:
    """Attach this terminal to a VM's serial console; returns the exit status."""
    side, tier, index = _side_of(bench, lab, instance)
    return side.console(index, tier=tier)


def _side_of(bench: Workbench, lab: str, instance: str) -> tuple[sides.Side, str, int]:
    name, tier, index = parse_instance_name(instance)
    known_spec(lab)
    return bench.side(lab, name), tier, index
