"""How strong the boundary of an instance is: harmless probes from inside, then attacks on what all share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, TypeVar

from pairlab.errors import ExerciseError
from pairlab.exercise import Lab, Log
from pairlab.exercise import _isolation_figures as plan
from pairlab.exercise._fleet import Fleet, await_rest_of_all
from pairlab.exercise._isolation_bounded import Target
from pairlab.exercise._isolation_busy import Neighbour
from pairlab.exercise._isolation_calls import make_calls, reaching
from pairlab.exercise._isolation_containment import Containment
from pairlab.exercise._isolation_kernel import IDENTITY, POWER, SECRETS
from pairlab.exercise._isolation_memory import exhaust
from pairlab.exercise._isolation_network import NETWORK, RAW_PACKETS, Knocked, Surroundings, knock
from pairlab.exercise._isolation_panic import panic
from pairlab.exercise._isolation_place import MACHINE, Place, Probe, Tried, decode, status_of
from pairlab.exercise._isolation_view import NEIGHBOUR, VIEW, marked
from pairlab.exercise._stack_inside import boot_id
from pairlab.host.addresses import host_addresses, near, own_addresses
from pairlab.model import SideName
from pairlab.results import Conclusion, RunResult, Variant

Found = TypeVar("Found")
Known = TypeVar("Known")

PLAIN = {"identity": IDENTITY, "power": POWER, "secrets": SECRETS, "view": VIEW}
"""Step -> the probes that need to know nothing but their place."""
PROBES = sum(map(len, (*PLAIN.values(), NEIGHBOUR, (RAW_PACKETS, *NETWORK))))
"""How many each account makes."""
FILTER_MODE = "2"
"""Value of `Seccomp` in a process's status. Source: proc_pid_status(5)."""
ONCE = ("memory", "busy", "panic")
"""Attacks that are made once a run, for they take half a minute and more."""
OTHER = {SideName.VM: SideName.CONTAINER, SideName.CONTAINER: SideName.VM}


class LabExercise:
    """See `Exercise`."""

    title = "What parts an instance from its host and from others"
    question = "What can somebody inside a VM or a container see and do beyond it, and who holds them back?"
    section = "Isolation model; strength of isolation"
    repeat = 3
    is_long = True
    vms = 2
    replicas = 2
    example: ClassVar[Mapping[str, Any]] = {"lab": "dev"}
    figures = plan.FIGURES
    variants = plan.VARIANTS
    summary = plan.summary(PROBES)

    def __init__(self, lab: Lab, log: Log) -> None:
        self._lab = lab
        self._log = log
        self._containment = Containment(lab, log)

    def prepare(self) -> str:
        """Two instances on each side, one to look from and one to look for."""
        lab, declared = self._lab, self._lab.declared
        self._log.values |= {"lab": lab.name}
        machine = lab.sides[SideName.VM].host().run(["uname", "-m"]).stdout.strip()
        if machine != MACHINE:
            raise ExerciseError(
                f"the probes make system calls by their numbers on {MACHINE}, and this host is a {machine}",
                hint=f"run it on a host with {MACHINE}",
            )
        enough = declared.at_least(self.vms, self.replicas)
        if enough != declared:
            lab.declare(enough)
        return (
            "Probes from vm/0 and container/0, by the usual account and the administrator of each; attacks."
        )

    def repetition(self, number: int) -> None:
        """All probes from all places; the same question is asked of all before the next."""
        before = len(self._log.findings)
        places = [self._place(variant) for variant in plan.ACCOUNTS]
        for key, probes in PLAIN.items():
            with self._log.step(key) as changes:
                for probe in probes:
                    changes += self._probe(probe, places)
        with self._log.step("neighbours") as changes:
            changes += self._probe_neighbours(places)
        with self._log.step("network") as changes:
            changes += self._probe_network(places)
        self._count(places, before)
        self._attack(first=not number)

    def conclude(self, result: RunResult) -> list[Conclusion]:
        """See `Exercise.conclude`."""
        return plan.conclude(result)

    def _attack(self, *, first: bool) -> None:
        """All attacks, one after the other, on the first instance of each side; the panic comes last.

        Args:
            first: Make also those that take long.
        """
        lab, log, containment = self._lab, self._log, self._containment
        targets = containment.targets()
        attacks: dict[str, Callable[[Target], Iterable[str]]] = {
            "memory": lambda target: exhaust(lab, log, containment, target),
            "processes": containment.processes,
            "disk": containment.disk,
            "busy": lambda target: Neighbour(lab, log, target).attack(),
            "panic": lambda target: panic(lab, log, containment, target),
        }
        containment.begin(targets)
        for key, attack in attacks.items():
            if key in ONCE and not first:
                continue
            with log.step(key) as changes:
                for target in targets:
                    await_rest_of_all(each.fleet for each in targets)  # the attack before would blur this one
                    with log.doing(target.variant):
                        changes += [f"{target.variant.title}: {line}" for line in attack(target)]
        containment.end(targets)

    def _place(self, variant: Variant) -> Place:
        assert variant.side is not None
        fleet, host = Fleet(self._lab, variant.side), self._lab.sides[variant.side].host()
        admin = variant in (plan.VM_ADMIN, plan.CONTAINER_ADMIN)
        runner = fleet.admin(0) if admin else fleet.usual(0)
        known = status_of(runner)
        return Place(
            variant=variant,
            name=fleet.name(0),
            admin=admin,
            runner=runner,
            host=host,
            own_kernel=boot_id(runner) != boot_id(host),
            capabilities=decode(known["CapEff"]),
            is_filtered=known["Seccomp"] == FILTER_MODE,
            calls=make_calls(runner),
        )

    def _probe(self, probe: Probe, places: Iterable[Place]) -> list[str]:
        """Lines that tell what came of a probe from each place."""
        lines = []
        for place in places:
            with self._log.doing(place.variant):
                tried: Tried = probe.make(place)
                self._log.finding(probe.question, tried.answer, tried.verdict)
            lines.append(f"{place.variant.title}: {probe.question} {tried.verdict}: {tried.answer}")
        return lines

    def _probe_neighbours(self, places: Iterable[Place]) -> list[str]:
        vms, containers = Fleet(self._lab, SideName.VM), Fleet(self._lab, SideName.CONTAINER)
        with (
            marked(vms.name(1), vms.usual(1)) as vm,
            marked(containers.name(1), containers.usual(1)) as container,
        ):
            known = {SideName.VM: vm, SideName.CONTAINER: container}
            return [
                line
                for question, make in NEIGHBOUR
                for line in self._probe(Probe(question, _by_side(make, known)), places)
            ]

    def _probe_network(self, places: Iterable[Place]) -> list[str]:
        with self._lab.neighbours() as others:
            around = {side: self._surroundings(side, others) for side in SideName}
            knocked = {place.variant.key: _by_side(knock, around)(place) for place in places}
        probes = [Probe(question, _by_place(tell, knocked)) for question, tell in NETWORK]
        return [line for probe in (RAW_PACKETS, *probes) for line in self._probe(probe, places)]

    def _surroundings(self, side: SideName, other_labs: Mapping[str, str]) -> Surroundings:
        own, other = Fleet(self._lab, side), Fleet(self._lab, OTHER[side])
        host = self._lab.sides[side].host()
        instances = {each.name: each for each in self._lab.sides[side].instances()}
        others_addresses = near(host, own_addresses(other.usual(0)))
        if not others_addresses:
            raise ExerciseError(
                f"no address of {other.name(0)} lies on a network of this host",
                hint="the lab's networks are not as they should be: `invoke lab.up` puts them right",
            )
        return Surroundings(
            neighbour=own.name(1),
            neighbour_address=instances[own.name(1)].address,
            others=other.name(0),
            others_addresses=tuple(others_addresses),
            hosts=tuple(host_addresses(host)),
            door_port=self._lab.port(side),
            port=self._lab.workload.port,
            other_labs=other_labs,
        )

    def _count(self, places: Iterable[Place], before: int) -> None:
        for place in places:
            found = [f for f in self._log.findings[before:] if f.variant == place.variant.key]
            crossed = [f.question for f in found if f.verdict == "no"]
            by_kernel = f"Held by: {plan.HOST_KERNEL}"
            with self._log.doing(place.variant):
                self._log.sample(plan.HELD, sum(f.verdict == "yes" for f in found))
                self._log.sample(plan.CROSSED, len(crossed))
                which = f"{len(crossed)} of {len(found)}: {plan.topics(crossed) or 'none'}"
                self._log.finding(plan.WHICH_CROSSED, which, "fact")
                self._log.sample(plan.BY_HOST_KERNEL, sum(by_kernel in f.answer for f in found))
                self._log.sample(plan.CAPABILITIES, len(place.capabilities))
                self._log.sample(plan.SYSTEM_CALLS, len(reaching(place.calls)))


def _by_side(
    make: Callable[[Place, Known], Found], known: Mapping[SideName, Known]
) -> Callable[[Place], Found]:
    """What needs to know something of the side from which it is made."""

    def probe(place: Place) -> Found:
        assert place.variant.side is not None
        return make(place, known[place.variant.side])

    return probe


def _by_place(tell: Callable[[Knocked], Tried], knocked: Mapping[str, Knocked]) -> Callable[[Place], Tried]:
    """What is told by that which its place has found already."""
    return lambda place: tell(knocked[place.variant.key])
