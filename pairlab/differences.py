"""The table of key differences between containers and VMs: its rows, and what a result puts into them."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

Need = Literal[
    "kernel",
    "tenants",
    "start",
    "memory",
    "modules",
    "compute",
    "patch",
    "state",
    "start-inside",
    "memory-inside",
]
"""What somebody may require, on which a measured cell bears; `lab.advise` rests on such cells.

`start-inside` and `memory-inside`: the same of a container in a VM, where advice is to nest them.
"""


class Row(StrEnum):
    """A row of the table, as the course has them; `summary` is made of all, in this order."""

    ABSTRACTION = "abstraction"
    KERNEL = "kernel"
    ISOLATION = "isolation"
    START = "start"
    MEMORY = "memory"
    DISK = "disk"
    DENSITY = "density"
    OVERHEAD = "overhead"
    PATCHING = "patching"
    ROLLBACK = "rollback"
    SCALING = "scaling"
    RECOVERY = "recovery"
    TOOLS = "tools"
    PORTABILITY = "portability"
    HYBRID = "hybrid"

    @property
    def heading(self) -> str:
        """For a person."""
        return _HEADINGS[self]


_HEADINGS = {
    Row.ABSTRACTION: "Abstraction and architecture",
    Row.KERNEL: "Kernel",
    Row.ISOLATION: "Isolation",
    Row.START: "Start time",
    Row.MEMORY: "Footprint in memory",
    Row.DISK: "Footprint on disk",
    Row.DENSITY: "Density",
    Row.OVERHEAD: "Performance overhead",
    Row.PATCHING: "Images and patching",
    Row.ROLLBACK: "Rollback",
    Row.SCALING: "Scaling",
    Row.RECOVERY: "Recovery",
    Row.TOOLS: "Management tools",
    Row.PORTABILITY: "Portability",
    Row.HYBRID: "Hybrid approaches",
}


class SummaryCell(BaseModel):
    """One figure, or the answers to one question, that an exercise puts into a row.

    Attributes:
        row: The row.
        figure: Key of the figure; empty if it is a question.
        question: Of findings, word for word; empty if it is a figure.
        variants: Keys of the variants that are shown; empty for all but baselines.
        label: What the line is called; the figure's title or the question if empty. Cells of one row with
            the same label share a line, so that two sides may answer what is asked of each in its own words.
        need: The requirement of `lab.advise` that it bears on; None for none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    row: Row
    figure: str = ""
    question: str = ""
    variants: list[str] = []
    label: str = ""
    need: Need | None = None

    @model_validator(mode="after")
    def _shows_one_thing(self) -> SummaryCell:
        if bool(self.figure) == bool(self.question):
            raise ValueError("a cell of the summary shows a figure or a question, one of both")
        return self
