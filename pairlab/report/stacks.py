"""What the variants stand on: layers as boxes on each other, those of each instance as a pile of boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import median
from textwrap import wrap

from pairlab.model import SideName
from pairlab.report import comparison, figures
from pairlab.results import SCOPES, RunResult, StackLayer, Variant

LINE, PADDING, GAP = 16, 7, 9
"""Pixels: of a line of text, above and below the text of a box, between two boxes."""
CHARACTERS = 38
"""Of a line: as many as a phone has room for."""
MOST_CARDS = 3
"""Boxes of a pile, however many instances there are."""


@dataclass(frozen=True)
class Box:
    """One layer.

    Attributes:
        top: Pixels from the top of the picture.
        height: In pixels.
        scope: Key of `results.SCOPES`.
        cards: Number of boxes in its pile; 1 where it is shared.
        name: Lines of its name.
        costs: Lines of what it costs.
        told: All of it in words.
    """

    top: int
    height: int
    scope: str
    cards: int
    name: tuple[str, ...]
    costs: tuple[str, ...]
    told: str


@dataclass(frozen=True)
class Stack:
    """The layers of one variant, the topmost first.

    Attributes:
        variant: Whose.
        look: For colour: `vm`, `container` or `host`.
        mark: How its VMs ran; empty for others.
        instances: Number of its instances.
        height: Of the picture, in pixels.
        boxes: From the top down.
        absent: Names of layers that it does not have.
        found: Each layer's name, scope in words, and what was found there, the topmost first.
    """

    variant: Variant
    look: str
    mark: str
    instances: int
    height: int
    boxes: tuple[Box, ...]
    absent: tuple[str, ...]
    found: tuple[tuple[str, str, str], ...]


def stacks(result: RunResult) -> list[Stack]:
    """One for each variant of which layers are told."""
    layers = {
        variant: [layer for layer in result.layers if layer.variant == variant.key]
        for variant in [*comparison.compared(result), *comparison.baselines(result)]
    } if result.layers else {}  # fmt: skip
    return [_stack(result, variant, its) for variant, its in layers.items() if its]


def _stack(result: RunResult, variant: Variant, layers: Sequence[StackLayer]) -> Stack:
    counts = {SideName.VM: result.vms, SideName.CONTAINER: result.replicas}
    instances = counts.get(variant.side, 1) if variant.side else 1
    there = [layer for layer in reversed(layers) if layer.scope != "none"]
    texts = [_texts(result, layer, instances) for layer in there]
    heights = [2 * PADDING + LINE * sum(map(len, text)) for text in texts]
    tops = [GAP, *accumulate((height + GAP for height in heights), initial=GAP)][1:]
    boxes = tuple(
        Box(
            top=top,
            height=height,
            scope=layer.scope,
            cards=min(instances, MOST_CARDS) if layer.scope == "instance" else 1,
            name=name,
            costs=costs,
            told=f"{layer.name}, {SCOPES[layer.scope]}: {layer.found}",
        )
        for layer, (name, costs), height, top in zip(there, texts, heights, tops, strict=False)
    )
    return Stack(
        variant=variant,
        look=variant.side or "host",
        mark=comparison.mark_of(variant, result.environment),
        instances=instances,
        height=tops[-1],
        boxes=boxes,
        absent=tuple(layer.name for layer in layers if layer.scope == "none"),
        found=tuple((layer.name, SCOPES.get(layer.scope, ""), layer.found) for layer in reversed(layers)),
    )


def _texts(result: RunResult, layer: StackLayer, instances: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    name = f"{layer.name} ×{instances}" if layer.scope == "instance" and instances > 1 else layer.name
    costs = []
    for figure in (figure for figure in result.figures if figure.key in layer.costs):
        if values := result.values(figure.key, layer.variant):
            what = figure.title.removeprefix(f"{layer.name}: ")
            costs.append(f"{what} {figures.value(figure.unit, median(values))}")
    return _lines(name), _lines(", ".join(costs))


def _lines(text: str) -> tuple[str, ...]:
    return tuple(wrap(text, CHARACTERS, break_long_words=True))
