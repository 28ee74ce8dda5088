"""An advice on the terminal, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from pairlab.report import comparison
from pairlab.report.advice import Advice, Basis, Weight
from pairlab.report.results_terminal import plain

ANSWERS = {"vm": "virtual machines", "container": "containers", "hybrid": "both", "undecided": "undecided"}
SIDES = {"vm": "for VMs", "container": "for containers", None: "for neither"}
WEIGHTS = {
    Weight.MUST: "the other side cannot",
    Weight.PREFER: "preferred",
    Weight.HABIT: "decides only where nothing else does",
}


def show_advice(advice: Advice, *, as_json: bool = False, console: Console | None = None) -> None:
    """The answer, its reasons with what each rests on, what is not known, and what would change it."""
    if as_json:
        document = asdict(advice) | {"required": advice.required.model_dump()}
        print(json.dumps(document, indent=2))
        return
    console = console or Console(highlight=False)
    for indent, text in _lines(advice):
        console.print(Padding(text, (0, 0, 0, indent), expand=False) if text else "")


def _lines(advice: Advice) -> Iterator[tuple[int, Text | None]]:
    yield 0, Text.assemble(("advice: ", "dim"), (ANSWERS[advice.answer], "bold"))
    yield 0, Text(advice.how)
    if any(basis.accelerator == comparison.EMULATED for each in advice.reasons for basis in each.bases):
        yield 0, Text(comparison.EMULATION, "yellow")
    if advice.reasons:
        yield 0, None
        yield 0, Text("reasons", "bold")
    for reason in advice.reasons:
        weight = f", {WEIGHTS[reason.weight]}" if reason.towards else ""
        head = f"{SIDES[reason.towards]}{weight} ({advice.required.told(reason.topic)}): "
        yield 0, Text.assemble((head, "cyan"), plain(reason.text))
        yield from ((4, _basis(basis)) for basis in reason.bases)
        yield 4, Text.assemble(("changed by: ", "dim"), plain(reason.changed_by))
    if advice.gaps:
        yield 0, None
        yield 0, Text("not known", "bold")
    for gap in advice.gaps:
        yield 0, Text.assemble((f"{advice.required.told(gap.topic)}: ", "yellow"), plain(gap.text))
        yield 4, Text.assemble(("next: ", "dim"), plain(gap.next_step))
        yield from ((4, _basis(basis)) for basis in gap.bases)
    if advice.what_ifs:
        yield 0, None
        yield 0, Text("another answer", "bold")
    for what_if in advice.what_ifs:
        yield 0, Text(f"without {what_if.told}: {ANSWERS[what_if.answer]}")


def _basis(basis: Basis) -> Text:
    text = Text.assemble((f"{basis.kind}: ", "dim"), plain(basis.text))
    text.append(f" {basis.accelerator}" if basis.accelerator else "", "yellow")
    return text.append_text(plain(f" ({basis.source})", "dim"))
