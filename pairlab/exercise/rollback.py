"""A bad release, and how each stack gets back: what that takes, who notices, and what is lost on the way.

The release is real: the workload's image with one file changed, so that its health check fails. Containers
are rolled out by their orchestrator, which goes back by itself. A VM is kept as it is, released to in place,
and put back. A new VM of the release is declared beside those that serve, and declared away. And a second set
of VMs takes the place of the first at the front door, and gives it back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pairlab.errors import ExerciseError
from pairlab.exercise import Lab, Log, _inside
from pairlab.exercise import _rollback_figures as plan
from pairlab.exercise._client import GOOD, Request
from pairlab.exercise._log import now
from pairlab.exercise._rollback_ways import (
    NOTE_BEFORE,
    NOTE_SINCE,
    WAYS,
    Way,
    try_to_keep_a_container,
    write_all,
)
from pairlab.model import MAX_INSTANCES
from pairlab.results import Conclusion, RunResult

STEADY = 10
"""Good answers before and after, at least: half a second of calm at the client's rate."""
GOOD_TIMEOUT_S = 60.0
AS_DECLARED = "all is as it is declared"


class LabExercise:
    """See `Exercise`."""

    title = "A bad release and the way back"
    question = "A release is bad: who notices, how soon is everything good again, and what is lost?"
    section = "Image- and machine-centric lifecycle"
    repeat = 3
    is_long = True
    vms = 2
    replicas = 2
    example: ClassVar[Mapping[str, Any]] = {
        "lab": "dev",
        "side": "vm",
        "name": "vm/0",
        "new": "vm/2",
        "unit": "nginx.service",
        "looks": plan.LOOKS,
        "every_s": plan.LOOK_EVERY_S,
        "watch_s": f"{plan.WATCH_S:g}",
    }
    figures = plan.FIGURES
    variants = plan.VARIANTS
    summary = plan.SUMMARY

    def __init__(self, lab: Lab, log: Log) -> None:
        self._lab = lab
        self._log = log

    def prepare(self) -> str:
        """Have the images of the bad release, and two instances a side, so that one is left to serve.

        Raises:
            ExerciseError: There is no room for a second set of VMs.
        """
        lab, log = self._lab, self._log
        if 2 * lab.declared.vms > MAX_INSTANCES:
            raise ExerciseError(
                f"blue/green needs as many VMs again as the {lab.declared.vms} that are declared: "
                f"there is room for {MAX_INSTANCES}",
                hint=f"`invoke lab.up --lab {lab.name} --vms {MAX_INSTANCES // 2}` makes room",
            )
        log.values |= {
            "lab": lab.name,
            "unit": lab.workload.unit,
            "looks": plan.LOOKS,
            "every_s": plan.LOOK_EVERY_S,
            "watch_s": f"{plan.WATCH_S:g}",
        }
        with log.step("build") as changes:
            images = lab.broken_images()
            changes += [f"image {version} of the {side} side is bad" for side, version in images.items()]
        declared = lab.declared.at_least(self.vms, self.replicas)
        if declared != lab.declared:
            with log.step("enough"):
                lab.declare(declared)
        with log.doing(plan.CONTAINERS):
            try_to_keep_a_container(lab, log)
        differing = ", ".join(lab.workload.broken)
        return f"a release of {lab.workload.name} with another {differing}: its health path answers 500"

    def repetition(self, number: int) -> None:
        """Every way once."""
        for kind in WAYS:
            way = kind(self._lab, self._log)
            with self._log.doing(way.variant):
                self._try(way)

    def conclude(self, result: RunResult) -> list[Conclusion]:
        """See `Exercise.conclude`."""
        return plan.conclude(result)

    def _try(self, way: Way) -> None:
        lab, log = self._lab, self._log
        with log.step("note", side=way.fleet.side):
            write_all(way.admins(), NOTE_BEFORE)
        with way.arranged():
            with log.client(way.fleet.side, lab.port(way.fleet.side), lab.workload.health_path) as client:
                client.await_good(way.fleet.calm(STEADY))
                way.release(client)
                way.go_back()
                over = now()
                answers = [
                    client.await_answer(name, since=over, timeout_s=GOOD_TIMEOUT_S) for name in way.names
                ]
                client.await_good(way.fleet.calm(STEADY))
            way.settle()
        self._measure(way, client.requests, max(answer.ended for answer in answers))
        self._look(way)

    def _measure(self, way: Way, requests: Sequence[Request], good: float) -> None:
        log, timeline = self._log, self._log.timelines[-1]
        log.sample(plan.GOOD_AGAIN, log.elapsed(way.began, good) - way.watched_s)
        if way.decided is not None:
            log.sample(plan.BACK, log.elapsed(way.decided, good))
        log.sample(plan.SERVED, log.elapsed(*served(requests)))
        log.sample(plan.FAILED, timeline.failed())
        log.sample(plan.GAP, timeline.longest_gap_s())

    def _look(self, way: Way) -> None:
        """What was lost, and what is left."""
        log, fleet, admins = self._log, way.fleet, way.admins()
        with log.step("look", side=fleet.side) as changes:
            for question, path in ((plan.BEFORE, NOTE_BEFORE), (plan.SINCE, NOTE_SINCE)):
                lost = [
                    fleet.name(index)
                    for index, admin in zip(fleet.indexes, admins, strict=True)
                    if not _inside.has_file(admin, path)
                ]
                answer = f"not in {', '.join(lost)}" if lost else "in every instance"
                log.finding(question, answer, "no" if lost else "yes")
                changes.append(f"{question} {answer}")
            if not log.repetition:  # it does not depend on chance: to look once is enough
                seen = "; ".join(self._lab.drift()) or AS_DECLARED
                log.finding(plan.DRIFT, seen, "yes" if seen == AS_DECLARED else "no")
                changes.append(f"Pulumi's refresh: {seen}")
            for admin in admins:
                admin.run(["rm", "-f", NOTE_BEFORE, NOTE_SINCE])


def served(requests: Sequence[Request]) -> tuple[float, float]:
    """From when an instance answered badly until when: first such request sent, last such answer's end.

    Args:
        requests: What a client asked; only an instance says its name, and not the front door.

    Returns:
        Two moments; the same where none did.
    """
    bad = [request for request in requests if request.instance and request.status != GOOD]
    return (min(each.sent for each in bad), max(each.ended for each in bad)) if bad else (0.0, 0.0)
