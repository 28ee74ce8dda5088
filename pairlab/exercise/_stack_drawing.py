"""Both stacks side by side, drawn in text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap

from pairlab.results import StackLayer, Variant

WIDTH = 46
"""Characters of one stack."""
GAP = "   "


@dataclass(frozen=True)
class Drawn:
    """A layer with what it costs, in words."""

    layer: StackLayer
    costs: str


def draw(stacks: Mapping[Variant, Sequence[Drawn]], instances: Mapping[Variant, int]) -> list[str]:
    """Lines that show stacks beside each other, top layer first.

    Args:
        stacks: Variant -> its layers from the bottom up.
        instances: Variant -> number of its instances.
    """
    columns = [_column(variant.title, layers, instances[variant]) for variant, layers in stacks.items()]
    height = max(map(len, columns))
    # They stand on the same ground: what is missing is missing at the top.
    padded = [[" " * WIDTH] * (height - len(column)) + column for column in columns]
    return [GAP.join(row).rstrip() for row in zip(*padded, strict=True)]


def _column(title: str, layers: Sequence[Drawn], instances: int) -> list[str]:
    lines = [f"{title}, {instances} of them".center(WIDTH)]
    for drawn in reversed([each for each in layers if each.layer.scope != "none"]):
        lines += _box(drawn, instances)
    return lines


def _box(drawn: Drawn, instances: int) -> list[str]:
    """A layer that is there for each instance has a second edge at its right, like a pile of cards."""
    each = drawn.layer.scope == "instance"
    inner = WIDTH - (5 if each else 4)
    mark = f" ×{instances}" if each else ""
    head = f"{drawn.layer.name}{mark}"
    text = [head, *wrap(drawn.costs, inner)]
    edge = "┐" if each else ""
    middle = "│" if each else ""
    foot = "┘" if each else ""
    return [
        f"┌{'─' * (inner + 2)}┐{edge}",
        *(f"│ {line[:inner]:<{inner}} │{middle}" for line in text),
        f"└{'─' * (inner + 2)}┘{foot}",
    ]
