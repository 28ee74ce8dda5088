"""The programs under Pulumi's mocks: what they declare, and what each setting changes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pulumi
import pytest

from pairlab.model import Settings, SideName, placeholder_spec
from pairlab.session.spec import load_stack, stack_names


class Recorder(pulumi.runtime.Mocks):
    def __init__(self) -> None:
        self.made: dict[tuple[str, str], dict[str, Any]] = {}

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        self.made[(args.typ, args.name)] = args.inputs
        return f"{args.name}-id", args.inputs

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]]]:
        raise AssertionError(f"a preview must ask nothing: {args.token}")


def declared(stack: str, **settings: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """(type, name) -> inputs of everything that a program declares."""
    recorder = Recorder()
    pulumi.runtime.set_mocks(recorder, project="pairlab", stack="dev")
    module = load_stack(stack)
    spec = placeholder_spec("dev", Settings(**settings), module.tiers)

    async def run() -> None:
        module.declare(spec)

    asyncio.run(pulumi.runtime.run_pulumi_func(run) or asyncio.sleep(0))
    return recorder.made


@pytest.fixture(params=stack_names())
def stack(request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.param


def of_type(made: dict[tuple[str, str], dict[str, Any]], token: str) -> dict[str, dict[str, Any]]:
    return {name: inputs for (kind, name), inputs in made.items() if kind == token}
