"""A real security update, in every way that a side has: in place, and by a rebuilt image.

Each strategy begins with fresh instances of the image before the update. It is timed while a client asks the
front door, then looked at for drift, rolled back, brought in again all at once (the naive way, timed as a
baseline), and tried: does the update survive a restart, a kill, and a scale-out?
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from statistics import quantiles
from typing import Any, ClassVar

from pairlab.errors import ExerciseError
from pairlab.exercise import Declaration, Lab, Log, _inside
from pairlab.exercise import _patch_figures as plan
from pairlab.exercise._client import Client, latencies_s
from pairlab.exercise._fleet import Fleet
from pairlab.exercise._kernel import try_kernel
from pairlab.exercise._patch_ways import STEADY, STRATEGIES, Strategy, Way
from pairlab.model import SideName, Update
from pairlab.results import Conclusion, RunResult
from pairlab.run import Runner

PATCH_TIMEOUT_S = 300.0
BACK_TIMEOUT_S = 180.0
SUPERVISOR_S = 10.0
"""How long a killed instance is watched before it counts as abandoned; Swarm needs about two seconds."""


class LabExercise:
    """See `Exercise`."""

    title = "Image rebuilds versus in-place patching"
    question = "What does it take to get a security update into everything that runs, and what stays behind?"
    section = "Image- and machine-centric lifecycle"
    repeat = 3
    is_long = True
    vms = 2
    replicas = 2
    example: ClassVar[Mapping[str, Any]] = {
        "lab": "dev",
        "update": Update("nginx", "1.22.1-9+deb12u9", "1.22.1-9+deb12u11", {}, "security", "", {}),
        "side": "vm",
        "strategy": "VMs, patched in place",
    }
    figures = plan.FIGURES
    variants = plan.VARIANTS
    summary = plan.SUMMARY

    def __init__(self, lab: Lab, log: Log) -> None:
        self._lab = lab
        self._log = log
        self._update: Update

    def prepare(self) -> str:
        """Find the update, and serve it from the lab's own repository."""
        self._update = self._lab.update()
        self._log.values |= {"update": self._update, "lab": self._lab.name}
        with self._log.step("serve"):
            self._lab.declare(replace(self._lab.declared, updates=True))
        update = self._update
        return f"{update.package} {update.installed} to {update.new}: {update.reason}"

    def repetition(self, number: int) -> None:
        """All four strategies, and once the kernel."""
        for strategy in STRATEGIES:
            way = Way(self._lab, strategy, self._update)
            with self._log.doing(strategy.rolling):
                self._fresh(way.fleet)
                self._patch(strategy, way)
                self._look_for_drift(way.fleet)
                self._roll_back(strategy, way)
            with (
                self._log.doing(strategy.naive),
                self._timed(way.fleet) as client,
                self._log.step("at-once", strategy=strategy.naive.title) as changes,
            ):
                start = time.monotonic()
                way.bring_in_at_once()
                changes += self._see_it_run(client, strategy, way, start)
            with self._log.doing(strategy.rolling):
                self._try_survival(way)
        if number == 0:
            try_kernel(self._lab, self._log)

    def conclude(self, result: RunResult) -> list[Conclusion]:
        """See `Exercise.conclude`."""
        return plan.conclude(result)

    def _fresh(self, fleet: Fleet) -> None:
        with self._log.step("fresh", side=fleet.side) as changes:
            self._lab.declare(self._with_fresh(fleet.side))

            def check(index: int) -> str:
                admin = fleet.admin(index)
                _inside.mark_fresh(admin)
                found = _inside.package_version(admin, self._update.package)
                if found != self._update.installed:
                    raise ExerciseError(
                        f"a fresh {fleet.name(index)} has {self._update.package} {found}",
                        hint="`invoke image.prune` and `invoke lab.up` make the images anew",
                    )
                return f"{fleet.name(index)} is new, with {self._update.package} {found}"

            changes += fleet.at_once(check)

    def _with_fresh(self, side: SideName) -> Declaration:
        """One side's instances new and without the update; the other side's are left in peace."""
        declared = replace(self._lab.declared, vms=self.vms, replicas=self.replicas)
        if side is SideName.VM:
            fresh = declared.fresh_vms + 1
            return replace(declared, updated_vms=frozenset(), own_kernel_vms=frozenset(), fresh_vms=fresh)
        return replace(
            declared,
            updated_vms=declared.updated_vms & frozenset(range(self.vms)),
            updated_containers=False,
            at_once=False,
            fresh_containers=declared.fresh_containers + 1,
        )

    def _patch(self, strategy: Strategy, way: Way) -> None:
        """The timed change, one instance after the other."""
        log, fleet = self._log, way.fleet
        owned_before, built = fleet.written_bytes(), 0
        if not strategy.in_place:
            with log.step("build", side=fleet.side) as changes:
                start = time.monotonic()
                built = self._lab.build_updated(fleet.side)
                way.building_s = time.monotonic() - start
                log.sample(plan.BUILD, way.building_s)
                changes.append(f"a new image with {self._update.package} {self._update.new}")
        with self._timed(fleet) as client, log.step(strategy.rolling.key) as changes:
            start = time.monotonic()
            way.bring_in(client)
            changes += self._see_it_run(client, strategy, way, start)
        if not strategy.in_place:  # what is new is fresh now
            fleet.at_once(lambda index: _inside.mark_fresh(fleet.admin(index)))
        taken = 0 if strategy.in_place else self._lab.transfer_bytes(fleet.side)
        owned = fleet.written_bytes() - (owned_before if strategy.in_place else 0)
        log.sample(plan.DOWNLOADED, way.fetched_bytes())
        log.sample(plan.BUILT, built)
        log.sample(plan.WRITTEN, taken + max(0, owned))

    def _roll_back(self, strategy: Strategy, way: Way) -> None:
        log, lab, side = self._log, self._lab, way.fleet.side
        with log.client(side, lab.port(side), lab.workload.health_path, kept=False) as client:
            client.await_good(STEADY)
            with log.step("roll-back", strategy=strategy.rolling.title) as changes:
                start = time.monotonic()
                way.take_out(client)
                if way.activates:
                    served = self._await_served(client, way.fleet, self._update.installed, start)
                    changes += [f"{name} serves the version before after {at:.1f} s" for at, name in served]
                    log.sample(plan.ROLLBACK, served[-1][0])
                else:
                    changes.append("the package before is in; the update was never what served")
            way.fleet.await_commands()
            client.await_good(STEADY)
        log.sample(plan.ROLLBACK_FAILED, client.failed)
        image = lab.manifest(side, updated=False)

        def look(index: int) -> tuple[set[str], list[str]]:
            admin = way.fleet.admin(index)
            return _differing(image, admin), _inside.changed_files(admin) if strategy.in_place else []

        found = way.fleet.at_once(look)
        packages = {name for differing, _ in found for name in differing}
        files = {path for _, changed in found for path in changed}
        if packages or files:
            answer = f"{len(packages)} packages and {len(files)} files differ"
            log.finding(plan.LIKE_ITS_IMAGE, answer, "no")
        else:
            answer = "yes: every package is the image's, and the disk is a new one"
            log.finding(plan.LIKE_ITS_IMAGE, answer, "yes")

    def _look_for_drift(self, fleet: Fleet) -> None:
        log, lab = self._log, self._lab
        with log.step("drift") as changes:
            declares = lab.declared
            is_vm = fleet.side is SideName.VM
            updated = bool(declares.updated_vms) if is_vm else declares.updated_containers
            declared = lab.manifest(fleet.side, updated=updated)

            def look(index: int) -> tuple[set[str], list[str]]:
                admin = fleet.admin(index)
                return _differing(declared, admin), _inside.changed_files(admin)

            drifted = False
            for name, (differing, files) in zip(fleet.names, fleet.at_once(look), strict=True):
                log.sample(plan.DRIFTED_PACKAGES, len(differing), instance=name)
                log.sample(plan.CHANGED_FILES, len(files), instance=name)
                drifted = drifted or bool(differing)
                changes.append(f"{name}: {len(differing)} packages and {len(files)} files are not declared")
            seen = lab.drift()
            changes += [f"Pulumi's refresh: {line}" for line in seen] or ["Pulumi's refresh sees nothing"]
            question = "does Pulumi's refresh see what was changed?"
            if drifted:
                answer = "; ".join(seen) or "no: what is inside an instance is not declared"
                log.finding(question, answer, "yes" if seen else "no")
            else:
                log.finding(question, "there is nothing undeclared to see", "fact")

    def _try_survival(self, way: Way) -> None:
        """Kill the last instance, restart the first, then scale out by one: what does each serve?"""
        lab, log, fleet = self._lab, self._log, way.fleet
        last = fleet.indexes[-1]
        before = {index: fleet.identity(index) for index in (0, last)}
        with (
            Client(lab.port(fleet.side), lab.workload.health_path) as client,
            log.step("survive", side=fleet.side) as changes,
        ):
            lab.sides[fleet.side].kill(last)
            with ThreadPoolExecutor(1) as pool:
                restarted = pool.submit(lab.sides[fleet.side].restart, 0)
                is_back = fleet.await_new(last, before[last], SUPERVISOR_S)
                restarted.result()
            if is_back:
                answer = "yes: the orchestrator starts another in its place"
                log.finding("killed: does anybody bring it back?", answer, "yes")
            else:
                answer = f"nobody within {SUPERVISOR_S:g} s; the next `lab.up` does"
                log.finding("killed: does anybody bring it back?", answer, "no")
            if not fleet.await_new(0, before[0], BACK_TIMEOUT_S):
                raise ExerciseError(
                    f"{fleet.name(0)} did not come back from a restart", hint="see `invoke lab.logs`"
                )
            # Asked last: an orchestrator may let a restarted container run a moment before it replaces it.
            way.grow()
            changes.append(self._tell_version(client, "restarted", fleet.name(0)))
            changes.append(self._tell_version(client, "killed", fleet.name(last)))
            changes.append(self._tell_version(client, "scaled out by one", fleet.name(last + 1)))
        installed = fleet.at_once(lambda i: tuple(sorted(_inside.manifest(fleet.admin(i)).items())))
        log.sample(plan.DIFFERING, len(installed) - max(installed.count(each) for each in installed))

    def _tell_version(self, client: Client, what: str, name: str) -> str:
        version = client.await_answer(name, since=time.monotonic(), timeout_s=BACK_TIMEOUT_S).version
        good = version == self._update.new
        told = "the update" if good else "the one before the update"
        self._log.finding(plan.which_version(what), f"{version}, {told}", "yes" if good else "no")
        return f"{what}: {name} serves {version}"

    # Timing

    @contextmanager
    def _timed(self, fleet: Fleet) -> Iterator[Client]:
        """A client with a second of calm before and after; what it saw becomes samples."""
        log = self._log
        with log.client(fleet.side, self._lab.port(fleet.side), self._lab.workload.health_path) as client:
            client.await_good(STEADY)
            yield client
            client.await_good(STEADY)
        timeline = log.timelines[-1]
        log.sample(plan.FAILED, timeline.failed())
        log.sample(plan.GAP, timeline.longest_gap_s())
        hundredths = quantiles(latencies_s(client.requests), n=100, method="inclusive")
        log.sample(plan.P50, 1000 * hundredths[49])
        log.sample(plan.P99, 1000 * hundredths[98])

    def _see_it_run(self, client: Client, strategy: Strategy, way: Way, start: float) -> list[str]:
        """Wait until the update serves everywhere, where a side can do that; the sanity check with it."""
        fleet = way.fleet
        if strategy.in_place:
            self._log.sample(plan.INSTALLED, time.monotonic() - start)
        if way.activates:
            served = self._await_served(client, fleet, self._update.new, start)
            self._log.sample(plan.FIRST, served[0][0])
            self._log.sample(plan.LAST, served[-1][0])
            self._log.sample(plan.IN_ALL, way.building_s + served[-1][0])
        fleet.await_commands()
        mapped = fleet.at_once(lambda i: _inside.stale_servers(fleet.tracer(i), self._lab.workload))
        stale = dict(zip(fleet.indexes, mapped, strict=True))
        if way.activates and any(stale.values()):
            raise ExerciseError(
                f"the update is in, and processes still run the old files: {stale}",
                hint="the figures would be of a patch that did not take: `invoke lab.logs` may say why",
            )
        if way.activates:
            self._log.finding(
                plan.RUNS_IT, "it maps no file that was replaced, and says the new version", "yes"
            )
            return [f"{name} serves {self._update.new} after {at:.1f} s" for at, name in served]
        if not all(stale.values()):
            raise ExerciseError(
                "no process of a container runs replaced files, though none was started anew",
                hint="is the update in the files that the workload maps? `apt-get --print-uris` shows them",
            )
        answer = (
            "the package is in, and the process that serves still runs the old files: it is the container's "
            "first, and to start it anew ends the container"
        )
        self._log.finding(plan.RUNS_IT, answer, "cannot")
        return [f"{fleet.name(i)}: process {pids} still runs the old files" for i, pids in stale.items()]

    def _await_served(
        self, client: Client, fleet: Fleet, version: str, start: float
    ) -> list[tuple[float, str]]:
        """Seconds until an instance has served a version, and its name; the first one first."""
        firsts = client.await_version(version, set(fleet.names), since=start, timeout_s=PATCH_TIMEOUT_S)
        return sorted((at - start, name) for name, at in firsts.items())


def _differing(image: Mapping[str, str], admin: Runner) -> set[str]:
    """Names of the packages whose versions in an instance are not those of an image."""
    installed = _inside.manifest(admin)
    return {name for name in image.keys() | installed.keys() if image.get(name) != installed.get(name)}
