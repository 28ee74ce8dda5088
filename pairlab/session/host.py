"""This host: what it has, setting it up, and undoing that."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pairlab.errors import LabError, UsageError
from pairlab.host.facts import HostReport, LabNeeds, Row, examine
from pairlab.host.setup import apply, plan, undo, undo_plan
from pairlab.host.steps import Step
from pairlab.model import Settings, SideName, placeholder_spec
from pairlab.session.conflicts import own_ports
from pairlab.session.settings import load_settings
from pairlab.session.workbench import Confirm, Workbench


def doctor(bench: Workbench, lab: str) -> HostReport:
    """Look at everything that a lab needs by its settings, and change nothing.

    Raises:
        UsageError: There is no such lab, or a setting is wrong.
    """
    settings = load_settings(lab, {})
    nowhere = placeholder_spec(lab, settings, lambda *_: [])
    needs = LabNeeds(
        ports=tuple(nowhere.port(side) for side in SideName),
        subnet=nowhere.subnet,
        bridge=nowhere.bridge,
        own_ports=own_ports(bench, lab),
    )
    extra = {"Pulumi CLI": lambda: _cli_row(bench), "plugins": lambda: _plugins_row(settings)}
    return examine(
        bench.host(settings),
        needs,
        cache=bench.cache,
        kernel=bench.images_for(settings).any_kernel(),
        extra=extra,
        progress=bench.progress,
    )


def setup(bench: Workbench, settings: Settings, confirm: Confirm, packages: Sequence[str] = ()) -> bool:
    """Bring this host into a state in which labs run, after saying how, and asking.

    Args:
        bench: The tools of this run.
        settings: Which daemons are this host's.
        confirm: Asks whether to go on.
        packages: Debian packages to install besides those that labs need.

    Returns:
        Whether anything had to be done.

    Raises:
        UsageError: The answer was no.
        HostError: There are no rights to do it, or something does not come up.
    """
    host = bench.host(settings)
    steps = plan(host, [_cli_step(bench)], packages)
    if not steps:
        return False
    _announce(bench, "setting this host up for labs will", [step.change for step in steps])
    if not confirm("set this host up for labs?"):
        raise UsageError("this host was not set up", hint="`invoke lab.doctor` shows what it lacks")
    apply(host, steps, bench.progress, interactive=sys.stdin.isatty())
    return True


def get_cli(bench: Workbench, confirm: Confirm) -> None:
    """Get the Pulumi CLI where there is none, after asking: it needs no root, and a preview nothing else.

    Raises:
        UsageError: The answer was no.
        EngineError: It cannot be got.
    """
    step = _cli_step(bench)
    if step.done():
        return
    _announce(bench, "a preview needs the Pulumi CLI; this will", [step.change])
    if not confirm("get the Pulumi CLI?"):
        raise UsageError("there is no Pulumi CLI", hint="answer yes, or put one on PATH")
    step.apply(bench.progress)


def undo_setup(bench: Workbench, confirm: Confirm) -> list[str]:
    """Stop what `setup` started, after saying what that is, and asking.

    Returns:
        What was undone, a sentence each.

    Raises:
        UsageError: The answer was no.
        HostError: Labs or others still use it; nothing was stopped then.
    """
    host = bench.host(Settings())
    if changes := undo_plan(host):
        _announce(bench, "undoing the set-up of this host will", changes)
        if not confirm("undo that?"):
            raise UsageError("nothing was undone", hint="`invoke lab.setup --undo` asks again")
    return undo(host, bench.progress, interactive=sys.stdin.isatty())


def _announce(bench: Workbench, what: str, changes: Sequence[str]) -> None:
    bench.progress(f"{what}:")
    for change in changes:
        bench.progress(f"  - {change}")


def _cli_step(bench: Workbench) -> Step:
    from pairlab.engine.cli import find_cli, pulumi_cli

    def get(progress: object) -> None:
        pulumi_cli(bench.cache, bench.runner, progress=bench.progress, allow_install=True)

    return Step(
        name="Pulumi CLI",
        change=f"get the Pulumi CLI into {bench.cache}; building it from source takes minutes",
        done=lambda: find_cli(bench.cache, bench.runner) is not None,
        apply=get,
        admin=False,
    )


def _cli_row(bench: Workbench) -> Row:
    from pairlab.engine.cli import pulumi_cli

    try:
        cli = pulumi_cli(bench.cache, bench.runner, progress=bench.progress, allow_install=False)
    except LabError as error:
        return Row("Pulumi CLI", False, error.message, error.hint)
    return Row("Pulumi CLI", True, f"{cli.version}, from {cli.origin}: {cli.path}")


def _plugins_row(settings: Settings) -> Row:
    from pairlab.engine.plugins import choose_plugins

    chosen = choose_plugins(settings.plugins)
    return Row(
        "plugins", True, ", ".join(f"{use.name} {use.version}: {use.origin}" for use in chosen.values())
    )
