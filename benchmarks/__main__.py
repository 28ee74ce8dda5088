"""Run benchmarks by name, or all: prints a table, and keeps every sample in `benchmarks/results/`."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import tempfile
from pathlib import Path

import benchmarks
from benchmarks._figures import Figure, print_figures, save
from benchmarks._trial import Trial
from pairlab.errors import LabError


def names() -> list[str]:
    """Modules of this folder that measure something."""
    found = (module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    return sorted(name for name in found if not name.startswith("_"))


def main(wanted: list[str]) -> int:
    """Measure; the exit status is 1 if something could not be measured, whatever the figures are."""
    if unknown := [name for name in wanted if name not in names()]:
        print(f"no benchmark is named {unknown[0]!r}; known: {', '.join(names())}", file=sys.stderr)
        return 2
    figures: list[Figure] = []
    failed = False
    try:
        with tempfile.TemporaryDirectory(prefix="pairlab-bench-") as folder:
            trial = Trial(Path(folder))
            for name in wanted or names():
                try:
                    figures += importlib.import_module(f"benchmarks.{name}").measure(trial)
                except LabError as error:
                    failed = True
                    details = f"\n{error.details}" if error.details else ""
                    told = f"{name} was not measured: {error.message}{details}\n  next: {error.hint}"
                    print(told, file=sys.stderr)
    finally:  # also when it was interrupted: what was measured took long
        if figures:
            print_figures(figures)
            print(f"every sample is in {save(figures)}")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        print("interrupted; what was made for the benchmarks is gone", file=sys.stderr)
        sys.exit(130)
