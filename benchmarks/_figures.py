"""Figures: samples, goal and reference; printed, and saved with the environment they were taken in."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pairlab.run import LocalRunner

RESULTS = Path(__file__).parent / "results"
TOOLS = (("qemu-system-x86_64", "--version"), ("docker", "--version"), ("virsh", "--version"))


@dataclass(frozen=True)
class Figure:
    """One measured thing.

    Attributes:
        name: What was measured, from which moment to which.
        samples_s: Seconds, one a run.
        goal: Most that the ratio may be; or, without a reference, most seconds. None for no limit.
        reference: What it is compared with; empty for nothing.
        reference_s: Seconds, one a run; empty for nothing.
        accelerator: How VMs ran, where any did.
    """

    name: str
    samples_s: Sequence[float]
    goal: float | None
    reference: str = ""
    reference_s: Sequence[float] = ()
    accelerator: str = ""

    @property
    def value(self) -> float:
        """Ratio of the medians, or the median in seconds where there is no reference."""
        own = statistics.median(self.samples_s)
        return own / statistics.median(self.reference_s) if self.reference_s else own

    @property
    def met(self) -> bool:
        """Whether the goal is met, if there is one."""
        return self.goal is None or self.value <= self.goal


def print_figures(figures: Sequence[Figure]) -> None:
    """A table with medians and, in brackets, the least and the most."""
    table = Table("figure", "measured", "compared with", "ratio", "goal", "met", box=None)
    for figure in figures:
        name = f"{figure.name} ({figure.accelerator})" if figure.accelerator else figure.name
        ratio = f"{figure.value:.2f}" if figure.reference_s else "–"
        compared = f"{figure.reference}: {_spread(figure.reference_s)}" if figure.reference_s else "–"
        goal, met = "–", "–"
        if figure.goal is not None:
            goal = f"{figure.goal:g}" if figure.reference_s else f"{figure.goal:g} s"
            met = "yes" if figure.met else "NO"
        table.add_row(name, _spread(figure.samples_s), compared, ratio, goal, met)
    Console(width=None if os.isatty(1) else 160).print(table)


def _spread(samples: Sequence[float]) -> str:
    return f"{statistics.median(samples):.2f} s [{min(samples):.2f} to {max(samples):.2f}, n={len(samples)}]"


def save(figures: Sequence[Figure]) -> Path:
    """Write all samples and where they were taken; returns the file."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / time.strftime("%Y%m%dT%H%M%SZ.json", time.gmtime())
    plain = [{**asdict(figure), "value": figure.value, "met": figure.met} for figure in figures]
    path.write_text(json.dumps({"environment": _environment(), "figures": plain}, indent=1) + "\n")
    return path


def _environment() -> dict[str, object]:
    runner = LocalRunner()
    cpu = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": cpu[0].partition(": ")[2] if cpu else platform.processor(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "tools": [runner.run(tool).stdout.splitlines()[0] for tool in TOOLS],
        "load": os.getloadavg(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
