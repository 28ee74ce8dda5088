"""What the manage exercise times and counts, and what may be concluded from it."""

from __future__ import annotations

from pairlab.differences import Row, SummaryCell
from pairlab.exercise._conclude import compare, order
from pairlab.model import SideName
from pairlab.results import Conclusion, Figure, RunResult, Variant

VM = Variant(key="vm", title="VMs", side=SideName.VM)
CONTAINER = Variant(key="container", title="containers", side=SideName.CONTAINER)
VARIANTS = (VM, CONTAINER)

OPERATIONS = {
    "list": "list what runs",
    "log": "read its log",
    "shell": "run a command inside",
    "copy": "copy a file into it",
    "limit": "set its memory limit",
    "pause": "pause it",
    "inspect": "read its definition",
    "metrics": "read its use of resources",
    "snapshot": "keep a snapshot of its disk",
    "export": "write its image into files for another host",
    "events": "read what happened to it",
    "update": "change its definition",
}
"""Name -> what it does, in words."""

TIMES = {
    name: Figure(
        key=f"time-{name}", title=f"{title}: time", unit="s",
        method="From the start of the command on this host to its end, of all where it takes several; "
        "without what takes it back. What goes by ssh opens a connection of its own.",
    )
    for name, title in OPERATIONS.items()
}  # fmt: skip
LINES = {
    name: Figure(
        key=f"lines-{name}", title=f"{title}: lines printed", unit="1", better="neither",
        method="Lines that the command prints on its standard output.",
    )
    for name, title in OPERATIONS.items()
}  # fmt: skip
POSSIBLE = Figure(
    key="possible", title="operations that the stack's own tools can do", unit="1", better="higher",
    method=f"Of {len(OPERATIONS)} everyday operations, those for which there is a command that worked; "
    "ssh is one of a VM's tools.",
)  # fmt: skip
TOOLS = Figure(
    key="tools", title="programs that it takes for them", unit="1",
    method="Different programs that the commands begin with, such as virsh, ssh and scp.",
)  # fmt: skip
DECLARED = Figure(
    key="declared", title="operations that a declaration can say instead", unit="1", better="higher",
    method="Of the operations, those for which the lab's declaration has a place that says the same.",
)  # fmt: skip
FIGURES = (
    POSSIBLE, TOOLS, DECLARED,
    *(figure for name in OPERATIONS for figure in (TIMES[name], LINES[name])),
)  # fmt: skip


def how(name: str) -> str:
    """The question by which command it is done."""
    return f"{OPERATIONS[name]}: by which command?"


def whether_declared(name: str) -> str:
    """The question whether a declaration can say it."""
    return f"{OPERATIONS[name]}: can it be declared instead?"


SUMMARY = (
    SummaryCell(row=Row.TOOLS, figure=POSSIBLE.key),
    SummaryCell(row=Row.TOOLS, figure=TOOLS.key),
    SummaryCell(row=Row.TOOLS, figure=DECLARED.key),
    *(SummaryCell(row=Row.TOOLS, question=how(name)) for name in ("log", "shell", "snapshot")),
    SummaryCell(row=Row.PORTABILITY, figure=TIMES["export"].key),
    SummaryCell(row=Row.PORTABILITY, question=how("export")),
)

ORDERS = {
    "shell": "a command inside {less} is done sooner than one inside {more}.",
    "copy": "a file is in {less} sooner than in {more}.",
    "metrics": "the use of resources of {less} is told sooner than that of {more}.",
    "snapshot": "the disk of {less} is kept sooner than that of {more}.",
    "export": "the image of {less} is written into files sooner than that of {more}.",
}
"""Operation -> what is claimed of its times, whichever is less."""


def conclude(result: RunResult) -> list[Conclusion]:
    """What a run says of both stacks' tools."""
    return [
        compare(result, TOOLS, CONTAINER, VM, "Containers are handled with fewer programs than VMs."),
        *(order(result, TIMES[name], ("a container", CONTAINER), ("a VM", VM), claim)
          for name, claim in ORDERS.items()),
    ]  # fmt: skip
