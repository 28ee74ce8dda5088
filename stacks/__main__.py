"""Entry point for the whole Pulumi CLI (`pulumi preview`); pairlab itself runs the same program inline.

What `invoke lab.up` decided (images, keys, accelerator) is read from the lab's directory. A lab that was
never up is previewed with placeholders; it cannot be brought up from here, as its images do not exist.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

import pulumi

from pairlab.errors import LabError, UsageError
from pairlab.model import (
    PROJECT,
    check_lab_name,
    load_spec,
    parse_settings,
    placeholder_spec,
    setting_keys,
)

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Declare the stack's lab.

    Raises:
        pulumi.RunError: It cannot be declared; the CLI shows that without a traceback.
    """
    try:
        declare(check_lab_name(pulumi.get_stack()))
    except LabError as error:
        raise pulumi.RunError(f"{error.message}\nnext: {error.hint}") from error


def declare(lab: str) -> None:
    """Declare a lab.

    Raises:
        UsageError: It has no settings, or wrong ones, or was never up and is to be brought up.
    """
    source = f"Pulumi.{lab}.yaml"
    if not (ROOT / source).is_file():
        raise UsageError(
            f"there is no lab {lab!r}: {source} does not exist",
            hint=f"write {source} (`config: {{}}` takes the defaults), or select a stack that has one",
        )
    config = pulumi.Config(PROJECT)
    values = {key: value for key in setting_keys() if (value := config.get(key)) is not None}
    settings = parse_settings(values, source=source)
    program = _program(settings.stack)
    spec = load_spec(lab)
    if spec is None:
        if not pulumi.runtime.is_dry_run():
            raise UsageError(
                f"lab {lab!r} was never up",
                hint=f"run `invoke lab.up --lab {lab}`: it builds the images first",
            )
        spec = placeholder_spec(lab, settings, program.tiers)
    program.declare(dataclasses.replace(spec, settings=settings))


def _program(name: str) -> ModuleType:
    found = importlib.util.find_spec(f"stacks.{name}")
    program = importlib.import_module(f"stacks.{name}") if found else None
    if program is None or not hasattr(program, "tiers"):  # most modules are but parts of one
        raise UsageError(
            f"no stack is named {name!r}", hint="set `stack` to a program in stacks/, such as pair"
        )
    return program


main()
