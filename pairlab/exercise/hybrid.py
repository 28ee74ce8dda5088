"""Both stacks one inside the other: a container in a VM, and a VM in a container, beside the plain ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from statistics import median
from typing import Any, ClassVar

from pairlab.errors import ExerciseError
from pairlab.exercise import ContainerArchive, Lab, Log
from pairlab.exercise import _hybrid_figures as plan
from pairlab.exercise._client import GOOD, Client, Request
from pairlab.exercise._fleet import Fleet
from pairlab.exercise._guest_engine import ARCHIVE, GuestEngine
from pairlab.exercise._hybrid_look import Nest, tell_kernels, weigh
from pairlab.exercise._hybrid_speed import compare_speeds
from pairlab.exercise._log import now
from pairlab.model import GUEST_CONTAINER, MACHINE, Instance, SideName
from pairlab.results import Conclusion, Figure, RunResult

ANSWER_TIMEOUT_S = 180.0
SERVED = 40
"""Answers of each instance, at least, over which its latency is told."""
SERVE_TIMEOUT_S = 60.0
VM, CONTAINER = SideName.VM, SideName.CONTAINER
IN_VM = Instance(CONTAINER, 0, "", tier=GUEST_CONTAINER).name
IN_CONTAINER = Instance(VM, 0, "", tier=MACHINE).name
PAIRS = {VM: (plan.VM, plan.IN_VM), CONTAINER: (plan.CONTAINER, plan.IN_CONTAINER)}
"""The plain way and the nested one that stands on the same side."""


class LabExercise:
    """See `Exercise`."""

    title = "Hybrid approaches"
    question = "What does it take to run containers in VMs, and VMs in containers, and who holds what?"
    section = "Hybrid approaches"
    repeat = 3
    is_long = True
    vms = 1
    replicas = 1
    example: ClassVar[Mapping[str, Any]] = {
        "lab": "dev",
        "host": "vm/2",
        "held": "container/0",
        "side": "vm",
        "port": 8081,
    }
    figures = plan.FIGURES
    variants = plan.VARIANTS
    summary = plan.SUMMARY

    def __init__(self, lab: Lab, log: Log) -> None:
        self._lab = lab
        self._log = log
        self._vms, self._containers = Fleet(lab, VM), Fleet(lab, CONTAINER)
        self._host = 0
        self._archive: ContainerArchive

    def prepare(self) -> str:
        """One VM more, with an engine, and one container more, with a VM; then the image goes into the VM."""
        lab, log = self._lab, self._log
        self._host = max(lab.declared.vms, self.vms)
        self._archive = lab.container_archive()
        log.values |= {"lab": lab.name, "host": self._vms.name(self._host)}
        with log.step("declare"):
            lab.declare(
                replace(
                    lab.declared,
                    vms=self._host + 1,
                    replicas=max(lab.declared.replicas, self.replicas),
                    engine_vms=frozenset({self._host}),
                    machine=True,
                )
            )
        engine = self._engine()
        with log.doing(plan.IN_VM), log.step("send") as changes:
            changes += self._send(engine)
        return (
            f"{lab.workload.name}: a container in {self._vms.name(self._host)}, run by {engine.describe()},"
            f" and a VM in container/{MACHINE}/0, beside plain ones"
        )

    def repetition(self, number: int) -> None:
        """Start each way, weigh them, look whose kernel they have, ask all of them, and let all compute."""
        self._start_in_vm()
        self._start_vms()
        self._start_containers()
        nest = Nest(self._lab, self._host, self._engine(), self._archive)
        with self._log.step("weigh") as changes:
            changes += weigh(nest, self._log)
        with self._log.step("kernel") as changes:
            changes += tell_kernels(nest, self._log)
        for side in SideName:
            self._serve(side)
        with self._log.step("speed") as changes:
            changes += compare_speeds(nest, self._log)

    def conclude(self, result: RunResult) -> list[Conclusion]:
        """See `Exercise.conclude`."""
        return plan.conclude(result)

    def _engine(self) -> GuestEngine:
        return GuestEngine(self._vms.admin(self._host))

    def _send(self, engine: GuestEngine) -> list[str]:
        log, archive = self._log, self._archive
        begun = now()
        self._lab.sides[VM].copy_in(self._host, archive.path, str(ARCHIVE))
        sent = now()
        engine.load()
        loaded = now()
        engine.check(archive.image_id)
        log.sample(plan.SEND, sent - begun)
        log.sample(plan.SENT, archive.size_bytes)
        log.sample(plan.LOAD, loaded - sent)
        mib = archive.size_bytes / 1024**2
        return [f"{mib:.0f} MiB sent in {sent - begun:.1f} s, taken in after {loaded - sent:.1f} s more"]

    # Starts

    def _start_in_vm(self) -> None:
        engine = self._engine()
        with (
            self._log.doing(plan.IN_VM),
            self._client(VM) as client,
            self._log.step("container-in-vm") as changes,
        ):
            engine.remove()
            asked = now()
            engine.run(self._archive.image_id, self._lab.deployed)
            changes.append(self._started(client, plan.INNER, IN_VM, asked))
            self._check_image()

    def _start_vms(self) -> None:
        """The plain VM and the one with the container, stopped together and started one after the other."""
        side = self._lab.sides[VM]
        with self._client(VM) as client:
            with self._log.step("stop-vms"):
                # What the engine keeps must be on the disk; a guest that powers off writes it back.
                self._vms.at_once(lambda index: side.stop(index), (0, self._host))
            for variant, index, name in (
                (plan.VM, 0, self._vms.name(0)),
                (plan.IN_VM, self._host, IN_VM),
            ):
                with self._log.doing(variant), self._log.step("start-vm", host=self._vms.name(index)) as told:
                    asked = now()
                    side.start(index)
                    told.append(self._started(client, plan.START, name, asked))
                self._vms.await_rest()
        self._vms.await_commands()

    def _start_containers(self) -> None:
        """The plain container and the one with the VM, each ended so that its orchestrator starts another."""
        side = self._lab.sides[CONTAINER]
        with self._client(CONTAINER) as client:
            for variant, tier, name in (
                (plan.CONTAINER, "", self._containers.name(0)),
                (plan.IN_CONTAINER, MACHINE, IN_CONTAINER),
            ):
                held = Instance(CONTAINER, 0, "", tier=tier).name
                with self._log.doing(variant), self._log.step("start-container", held=held) as told:
                    side.stop(0, tier=tier)
                    asked = now()
                    told.append(self._started(client, plan.START, name, asked))
            self._containers.await_rest()

    def _started(self, client: Client, figure: Figure, name: str, asked: float) -> str:
        answer = client.await_answer(name, since=asked, timeout_s=ANSWER_TIMEOUT_S)
        self._log.sample(figure, answer.ended - asked, instance=name)
        return f"{name} answers after {answer.ended - asked:.1f} s"

    def _check_image(self) -> None:
        """The sanity check: what answers from inside the VM says that it is a container of that image.

        Raises:
            ExerciseError: It says something else.
        """
        path = self._lab.workload.health_path
        nested = self._vms.answer_of(IN_VM, path)
        plain = self._containers.answer_of(self._containers.name(0), path)
        if (nested.side, nested.image) != (CONTAINER, plain.image):
            raise ExerciseError(
                f"{IN_VM} says that it is a {nested.side} of image {nested.image}, and the lab's containers"
                f" are of image {plain.image}",
                hint="the figures would be of something else: `invoke lab.up` puts the lab right",
            )
        self._log.finding(
            plan.SAME_IMAGE,
            f"yes: id {self._archive.image_id[:12]}, and it says image {nested.image}, as the plain one does",
            "yes",
        )

    # Serving

    def _serve(self, side: SideName) -> None:
        """Ask all instances of a side in turn, the nested one among them."""
        log, lab = self._log, self._lab
        plain, nested = PAIRS[side]
        own = Instance(side, 0, "").name
        inner = IN_VM if side is VM else IN_CONTAINER
        with log.step("serve", side=side, port=lab.port(side)) as changes:
            with log.doing(plain), log.client(side, lab.port(side), lab.workload.health_path) as client:
                answers = lab.declared.count(side) + (side is CONTAINER)
                client.await_good(SERVED * answers, timeout_s=SERVE_TIMEOUT_S)
            for variant, name in ((plain, own), (nested, inner)):
                took = [each.ended - each.sent for each in client.requests if _is_good(each, name)]
                if len(took) < SERVED / 2:
                    raise ExerciseError(
                        f"{name} answered {len(took)} requests, and should have had its turn at {SERVED}",
                        hint="`invoke lab.status` shows the front doors",
                    )
                with log.doing(variant):
                    log.sample(plan.P50, 1000 * median(took), instance=name)
                changes.append(f"{name}: {1000 * median(took):.1f} ms, the median of {len(took)}")

    def _client(self, side: SideName) -> Client:
        """A client whose requests tell when something answers; those that fail meanwhile tell nothing."""
        return Client(self._lab.port(side), self._lab.workload.health_path)


def _is_good(request: Request, instance: str) -> bool:
    return request.instance == instance and request.status == GOOD
