"""Entry point for the whole Pulumi CLI (`pulumi preview`); pairlab itself runs the same program inline.

What `invoke lab.up` decided (images, keys, accelerator) is read from the lab's directory. A lab that was
never up is previewed with placeholders; it cannot be brought up from here, as its images do not exist.
"""

from __future__ import annotations

import dataclasses
import importlib

import pulumi

from pairlab.model import PROJECT, load_spec, parse_settings, placeholder_spec, setting_keys


def main() -> None:
    """Declare the stack's lab."""
    config = pulumi.Config(PROJECT)
    values = {key: value for key in setting_keys() if (value := config.get(key)) is not None}
    settings = parse_settings(values, source=f"Pulumi.{pulumi.get_stack()}.yaml")
    program = importlib.import_module(f"stacks.{settings.stack}")
    spec = load_spec(pulumi.get_stack())
    if spec is None:
        if not pulumi.runtime.is_dry_run():
            raise pulumi.RunError(
                f"run `invoke lab.up --lab {pulumi.get_stack()}`: it builds the images first"
            )
        spec = placeholder_spec(pulumi.get_stack(), settings, program.tiers)
    program.declare(dataclasses.replace(spec, settings=settings))


main()
