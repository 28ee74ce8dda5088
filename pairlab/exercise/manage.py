"""Twelve everyday operations on both sides, each by the stack's own tool."""

from __future__ import annotations

import shlex
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pairlab.errors import ExerciseError
from pairlab.exercise import Lab, Log
from pairlab.exercise import _manage_figures as plan
from pairlab.exercise._client import Client
from pairlab.exercise._fleet import Fleet
from pairlab.model import COPIED_NOTE, Operation, SideName
from pairlab.results import Conclusion, RunResult, Variant

NOTE = "written on the host\n"
TIMEOUT_S = 120.0
MIB = 1024**2
STEADY = 20
"""Good answers in the end, at least: the side serves as before."""
LOOK = ("list", "log", "inspect", "metrics", "events")
REACH = ("shell", "copy")
CHANGE = ("limit", "pause", "update")
CARRY = ("snapshot", "export")


@dataclass(frozen=True)
class Bench:
    """One side's instance, as its tools handle it.

    Attributes:
        variant: Whose measurements these are.
        side: Which half.
        folder: What is taken out is laid there.
        operations: Name -> how it is done.
    """

    variant: Variant
    side: SideName
    folder: Path
    operations: Mapping[str, Operation]


class LabExercise:
    """See `Exercise`."""

    title = "Everyday operations, and the tools for them"
    question = "What does a day's work on VMs and on containers look like, with the tools of each?"
    section = "Management tools and interfaces"
    repeat = 3
    is_long = False
    vms = 1
    replicas = 1
    example: ClassVar[Mapping[str, Any]] = {"lab": "dev"}
    figures = plan.FIGURES
    variants = plan.VARIANTS
    summary = plan.SUMMARY

    def __init__(self, lab: Lab, log: Log) -> None:
        self._lab = lab
        self._log = log

    def prepare(self) -> str:
        """Nothing but a look: is there an instance on each side?"""
        self._log.values |= {"lab": self._lab.name}
        for name in SideName:
            if not self._lab.declared.count(name):
                raise ExerciseError(
                    f"the lab has no instance on its {name} side",
                    hint="bring it up with one at least: `invoke lab.up --vms 1 --replicas 1`",
                )
        return f"{len(plan.OPERATIONS)} operations on vm/0 and container/0."

    def repetition(self, number: int) -> None:
        """All operations, each on both sides before the next."""
        log = self._log
        for side in SideName:
            # Its log has something to tell then.
            fleet = Fleet(self._lab, side)
            fleet.answer_of(fleet.name(0), "/")
        with tempfile.TemporaryDirectory(prefix="pairlab-manage-") as scratch:
            benches = [self._bench(variant, Path(scratch, variant.key)) for variant in self.variants]
            with log.step("look") as changes:
                changes += self._do_all(LOOK, benches)
            with log.step("reach") as changes:
                changes += self._do_all(REACH, benches)
            with log.step("change") as changes:
                changes += self._do_all(CHANGE, benches)
            with log.step("carry") as changes:
                changes += self._do_all(CARRY, benches)
        for bench in benches:
            with log.doing(bench.variant):
                self._count(bench.operations)
                self._check_serving(bench.side)

    def conclude(self, result: RunResult) -> list[Conclusion]:
        """See `Exercise.conclude`."""
        return plan.conclude(result)

    def _bench(self, variant: Variant, folder: Path) -> Bench:
        assert variant.side is not None
        folder.mkdir()
        (folder / "note").write_text(NOTE)
        (folder / "note").chmod(0o644)
        known = self._lab.sides[variant.side].operations(0, folder)
        if known.keys() != plan.OPERATIONS.keys():
            differing = ", ".join(sorted(known.keys() ^ plan.OPERATIONS.keys()))
            raise ExerciseError(
                f"the {variant.side} side does not say how it does the same operations: {differing}",
                hint="that is a fault of pairlab itself",
            )
        return Bench(variant, variant.side, folder, known)

    def _do_all(self, names: Sequence[str], benches: Sequence[Bench]) -> Iterator[str]:
        """Do some operations; tells each in a line."""
        for name in names:
            for bench in benches:
                with self._log.doing(bench.variant):
                    told = self._do(name, bench)
                yield f"{bench.variant.title}: {plan.OPERATIONS[name]}: {told}"

    def _do(self, name: str, bench: Bench) -> str:
        log, operation = self._log, bench.operations[name]
        declared = operation.declared and f"by {operation.declared}"
        nowhere = "no: it is an order or a question, which no declaration holds"
        log.finding(plan.whether_declared(name), declared or nowhere, "yes" if declared else "fact")
        if not operation.argv:
            log.finding(plan.how(name), operation.cannot, "cannot")
            return f"cannot: {operation.cannot}"
        host, commands = self._lab.sides[bench.side].host(), (operation.argv, *operation.then)
        start = time.monotonic()
        try:
            printed = "".join(host.run(argv, timeout_s=TIMEOUT_S).stdout for argv in commands)
            took_s = time.monotonic() - start
            written = self._check(name, bench)
        finally:
            for argv in operation.undo:
                host.run(argv, timeout_s=TIMEOUT_S)
        log.sample(plan.TIMES[name], took_s)
        log.sample(plan.LINES[name], len(printed.splitlines()))
        command = operation.shown or " && ".join(map(shlex.join, commands))
        told = command.replace(str(bench.folder), ".") + (f": {written / MIB:.1f} MiB" if written else "")
        log.finding(plan.how(name), told, "yes")
        return f"{told} ({took_s:.2f} s)"

    def _check(self, name: str, bench: Bench) -> int:
        """The sanity check, apart from the figures, of what can be seen from outside of the command.

        Returns:
            Bytes of the files that it wrote.
        """
        operation = bench.operations[name]
        if name == "copy":
            inside = Fleet(self._lab, bench.side).admin(0)
            if inside.run(["cat", COPIED_NOTE]).stdout != NOTE:
                raise ExerciseError(
                    f"the file that was copied to the {bench.side} side is not there as it was",
                    hint="`invoke lab.exec` shows what is",
                )
        if operation.asked:
            answer = self._lab.sides[bench.side].host().run(operation.asked, timeout_s=TIMEOUT_S).stdout
            if operation.told not in answer:
                raise ExerciseError(
                    f"after `{shlex.join(operation.argv)}` the {bench.side} side tells another limit",
                    hint=f"`{shlex.join(operation.asked)}` shows what it is",
                )
        sizes = {file.name: file.stat().st_size if file.exists() else 0 for file in operation.files}
        if lacking := [file for file, size in sizes.items() if not size]:
            raise ExerciseError(
                f"files of the {bench.side} side's image are missing or empty: {', '.join(lacking)}",
                hint="is there room on the disk? `invoke lab.doctor` shows it",
            )
        return sum(sizes.values())

    def _count(self, known: Mapping[str, Operation]) -> None:
        possible = [operation for operation in known.values() if operation.argv]
        self._log.sample(plan.POSSIBLE, len(possible))
        self._log.sample(plan.TOOLS, len({operation.argv[0] for operation in possible}))
        self._log.sample(plan.DECLARED, sum(bool(operation.declared) for operation in known.values()))

    def _check_serving(self, side: SideName) -> None:
        """All was taken back: the side serves as before."""
        with Client(self._lab.port(side), self._lab.workload.health_path) as client:
            client.await_good(Fleet(self._lab, side).calm(STEADY))
