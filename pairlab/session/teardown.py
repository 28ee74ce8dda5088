"""Taking labs down: whole ones, half-made ones, and those whose state or daemons are lost."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from pairlab.errors import ConflictError, LabError, SideError, StateLockedError
from pairlab.model import ENGINES_OWN, LABEL, Settings, SideName, check_lab_name, lab_dir, spec_file
from pairlab.session.exclusive import changing
from pairlab.session.workbench import Workbench, last_settings

if TYPE_CHECKING:
    from pairlab.engine.engine import Engine


def down(bench: Workbench, lab: str, *, orphans: bool = False) -> list[str]:
    """Remove a lab and all that it made; fine on a half-made one, and when it is gone already.

    Args:
        bench: The tools of this run.
        lab: Its name.
        orphans: Remove what carries its name also when neither state nor records know it, or when the
            engine cannot work by its state, which goes then too.

    Returns:
        What was removed, in words.

    Raises:
        ConflictError: Another process is at work on this lab, or something carries its name that may be
            somebody else's lab; nothing was touched.
        StateLockedError: Another machine is at work on this lab.
        EngineError: The engine failed; the next `down` goes on.
        SideError: Something would not go. With `orphans`, all else went.
    """
    with changing(lab, "lab.down"):
        return take_down(bench, lab, orphans=orphans)


def take_down(bench: Workbench, lab: str, *, orphans: bool = False) -> list[str]:
    """Do what `down` does, for one that is the only one at work on this lab already."""
    settings = last_settings(check_lab_name(lab))
    engine = bench.engine(settings)
    if orphans:
        return _take_down_anyway(bench, engine, lab, settings)
    with _naming_orphans(lab):
        if not spec_file(lab).is_file():
            refuse_strangers(bench, engine, lab, settings)
        removed = _destroy(bench, engine, lab)
        for name in SideName:
            with closing(bench.side(lab, name, settings)) as side:
                removed += side.sweep(progress=bench.progress)
    return removed + _forget(lab)


def _take_down_anyway(bench: Workbench, engine: Engine, lab: str, settings: Settings) -> list[str]:
    """Take down what can be reached, whatever else fails; what is left is told in the end."""
    removed, left = list[str](), list[str]()
    try:
        removed += _destroy(bench, engine, lab)
    except StateLockedError:
        raise
    except LabError as error:
        bench.progress(f"going on without the engine: {error.message}")
        if engine.drop_state(lab):
            removed.append("its state")
        else:
            left.append(f"its state, which `pulumi stack rm --force --stack {lab}` removes")
    for name in SideName:
        with closing(bench.side(lab, name, settings)) as side:
            try:
                removed += side.sweep(progress=bench.progress)
            except LabError as error:
                left.append(f"what its {name} side has ({error.message})")
    removed += _forget(lab)
    if left:
        raise SideError(
            f"lab {lab!r} is gone but for {' and '.join(left)}",
            hint="once its daemon answers, run this again if it is the default one, else remove there what "
            f"is labelled {LABEL}={lab}",
            details="\n".join(f"removed: {each}" for each in removed),
        )
    return removed


@contextmanager
def _naming_orphans(lab: str) -> Iterator[None]:
    """Whatever ends it, say how a lab goes nevertheless; but leave alone what another run is at work on."""
    try:
        yield
    except StateLockedError:
        raise
    except LabError as error:
        if "--orphans" not in error.hint:
            error.hint += f"; `invoke lab.down --lab {lab} --orphans` takes down what can be reached"
        raise


def _destroy(bench: Workbench, engine: Engine, lab: str) -> list[str]:
    """Have the engine remove all that the state knows; returns what that was, in words."""
    recover(bench, engine, lab)
    outcome = engine.destroy(lab, progress=bench.progress)
    return [
        f"{change.type.rsplit(':', 1)[-1]} {change.name}"
        for change in (outcome.changed if outcome else [])
        if not change.type.startswith(ENGINES_OWN)
    ]


def _forget(lab: str) -> list[str]:
    if not lab_dir(lab).is_dir():
        return []
    shutil.rmtree(lab_dir(lab))
    return ["its keys and records"]


def recover(bench: Workbench, engine: Engine, lab: str) -> None:
    """Clear away what a killed run had begun: the state does not know it, so nothing else would."""
    begun = engine.clear_pending(lab)
    if not begun:
        return
    told = ", ".join(name for _, name in begun)
    bench.progress(f"an earlier run was cut off while creating {told}")
    for half in SideName:
        with closing(bench.side(lab, half)) as side:
            names = {name for token, name in begun if token.startswith(f"{side.package}:")}
            side.discard(names, progress=bench.progress)


def refuse_strangers(bench: Workbench, engine: Engine, lab: str, settings: Settings) -> None:
    """Leave alone what has this lab's name and is not in this state: another account's lab, perhaps.

    Args:
        bench: The tools of this run.
        engine: Knows the labs of this state.
        lab: Its name.
        settings: Where its daemons are.

    Raises:
        ConflictError: There is such a thing.
    """
    found: list[str] = []
    for name in SideName:
        with closing(bench.side(lab, name, settings)) as side:
            found += side.leftovers()
    if found and lab not in engine.labs():
        raise ConflictError(
            f"this host has a lab {lab!r} that this state does not know: {', '.join(sorted(found))}",
            hint="choose another name if it is somebody else's; if it is nobody's, "
            f"`invoke lab.down --lab {lab} --orphans` removes it",
        )
