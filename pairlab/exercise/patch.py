"""A real security update, in every way that a side has: in place, and by a rebuilt image.

Each strategy begins with fresh instances of the image before the update. It is timed while a client asks the
front door, then looked at for drift, rolled back, brought in again all at once (the naive way, timed as a
baseline), and tried: does the update survive a restart, a kill, and a scale-out?
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from pairlab.errors import ExerciseError, LabError
from pairlab.exercise import Declaration, Lab, Log, _inside
from pairlab.exercise import _patch_figures as plan
from pairlab.exercise._client import Client
from pairlab.exercise._kernel import try_kernel
from pairlab.model import Instance, SideName, Update
from pairlab.results import Conclusion, RunResult, Variant, Verdict
from pairlab.run import Runner

STEADY = 20
"""Good answers before and after: a second of calm at the client's rate."""
PATCH_TIMEOUT_S = 300.0
BACK_TIMEOUT_S = 180.0
SUPERVISOR_S = 10.0
"""How long a killed instance is watched before it counts as abandoned; Swarm needs about two seconds."""


@dataclass(frozen=True)
class Strategy:
    """One way to bring an update in.

    Attributes:
        rolling: One instance after the other.
        naive: All at once.
        in_place: Installed in the running instances; otherwise they are replaced by a rebuilt image's.
    """

    rolling: Variant
    naive: Variant
    in_place: bool

    @property
    def side(self) -> SideName:
        """Whose way it is."""
        assert self.rolling.side is not None
        return self.rolling.side


STRATEGIES = (
    Strategy(plan.VM_IN_PLACE, plan.VM_IN_PLACE_AT_ONCE, in_place=True),
    Strategy(plan.VM_REBUILD, plan.VM_REBUILD_AT_ONCE, in_place=False),
    Strategy(plan.CONTAINER_IN_PLACE, plan.CONTAINER_IN_PLACE_AT_ONCE, in_place=True),
    Strategy(plan.CONTAINER_REBUILD, plan.CONTAINER_REBUILD_AT_ONCE, in_place=False),
)


class LabExercise:
    """See `Exercise`."""

    title = "Image rebuilds versus in-place patching"
    question = "What does it take to get a security update into everything that runs, and what stays behind?"
    section = "Image- and machine-centric lifecycle"
    repeat = 3
    vms = 2
    replicas = 2
    figures = plan.FIGURES
    variants = plan.VARIANTS

    def __init__(self, lab: Lab, log: Log) -> None:
        self._lab = lab
        self._log = log
        self._update: Update
        self._old: dict[str, str]

    def prepare(self) -> str:
        """Find the update, and serve it from the lab's own repository."""
        self._update = self._lab.update()
        self._old = dict(self._update.before)
        self._log.values |= {"update": self._update, "lab": self._lab.name}
        with self._log.step("serve"):
            self._lab.declare(replace(self._lab.declared, updates=True))
        return self._update.reason

    def repetition(self, number: int) -> None:
        """All four strategies, and once the kernel."""
        for strategy in STRATEGIES:
            with self._log.doing(strategy.rolling):
                self._fresh(strategy.side)
                self._patch(strategy)
                self._look_for_drift(strategy.side)
                self._roll_back(strategy)
            with self._log.doing(strategy.naive):
                self._patch_at_once(strategy)
            with self._log.doing(strategy.rolling):
                self._try_survival(strategy)
        if number == 0:
            try_kernel(self._lab, self._log)

    def conclude(self, result: RunResult) -> list[Conclusion]:
        """See `Exercise.conclude`."""
        return plan.conclude(result)

    # The same for all strategies

    def _fresh(self, side: SideName) -> None:
        with self._log.step("fresh", side=side) as changes:
            declared = self._lab.declared
            base = Declaration(self.vms, self.replicas, updates=True)
            fresh_vms = declared.fresh_vms + (side is SideName.VM)
            fresh_containers = declared.fresh_containers + (side is SideName.CONTAINER)
            self._lab.declare(replace(base, fresh_vms=fresh_vms, fresh_containers=fresh_containers))
            for index in range(self._lab.declared.count(side)):
                admin = self._admin(side, index)
                _inside.mark_fresh(admin)
                found = _inside.package_version(admin, self._update.package)
                if found != self._old[self._update.package]:
                    raise ExerciseError(
                        f"a fresh {side}/{index} has {self._update.package} {found}",
                        hint="`invoke image.prune` and `invoke lab.up` make the images anew",
                    )
                changes.append(f"{side}/{index} is new, with {self._update.package} {found}")

    def _patch(self, strategy: Strategy) -> None:
        """The timed change, one instance after the other."""
        side, log = strategy.side, self._log
        before = self._written(side)
        built = 0
        if not strategy.in_place:
            with log.step("build", side=side) as changes:
                start = time.monotonic()
                built = self._lab.build_updated(side)
                log.sample(plan.BUILD, time.monotonic() - start)
                changes.append("a new image, with another version: " + self._update.new)
        downloaded: list[int] = []
        with log.client(side, self._lab.port(side), self._lab.workload.health_path) as client:
            client.await_good(STEADY)
            start = time.monotonic()
            with log.step(strategy.rolling.key) as changes:
                self._bring_in(strategy, client, downloaded)
                changes += self._await_served(client, side, self._update.new, start, sample=True)
            client.await_good(STEADY)
        self._sample_client(client)
        self._check_processes(side)
        if strategy.in_place:
            written = self._written(side) - before
        else:
            written = self._lab.transfer_bytes(side) + self._written(side)
            downloaded = [self._lab.update_bytes()]
        log.sample(plan.DOWNLOADED, sum(downloaded))
        log.sample(plan.BUILT, built)
        log.sample(plan.WRITTEN, max(0, written))

    def _patch_at_once(self, strategy: Strategy) -> None:
        """The naive way, from the rolled back state; what survival is then tried on."""
        side, log = strategy.side, self._log
        with log.client(side, self._lab.port(side), self._lab.workload.health_path) as client:
            client.await_good(STEADY)
            start = time.monotonic()
            with log.step("at-once", strategy=strategy.naive.title) as changes:
                if strategy.in_place:
                    self._for_all(side, lambda index: self._install(side, index, self._update.packages))
                elif side is SideName.VM:
                    everything = frozenset(range(self._lab.declared.vms))
                    self._lab.declare(replace(self._lab.declared, updated_vms=everything))
                else:
                    self._lab.declare(replace(self._lab.declared, updated_containers=True, at_once=True))
                changes += self._await_served(client, side, self._update.new, start, sample=True)
            client.await_good(STEADY)
        self._sample_client(client)
        self._check_processes(side)

    def _bring_in(self, strategy: Strategy, client: Client, downloaded: list[int]) -> None:
        side = strategy.side
        if strategy.in_place:
            for index in range(self._lab.declared.count(side)):
                admin = self._admin(side, index)
                self._lab.use_updates(admin)
                downloaded.append(_inside.download_bytes(admin, list(self._update.packages)))
                self._install(side, index, self._update.packages)
        elif side is SideName.VM:
            for index in range(self._lab.declared.vms):
                self._replace_vm(client, index, self._lab.declared.updated_vms | {index})
        else:
            self._lab.declare(replace(self._lab.declared, updated_containers=True))

    def _roll_back(self, strategy: Strategy) -> None:
        side, log, old = strategy.side, self._log, self._old[self._update.package]
        with Client(self._lab.port(side), self._lab.workload.health_path) as client:
            client.await_good(STEADY)
            start = time.monotonic()
            with log.step("roll-back", strategy=strategy.rolling.title) as changes:
                if strategy.in_place:
                    for index in range(self._lab.declared.count(side)):
                        self._install(side, index, self._old, downgrade=True)
                elif side is SideName.VM:
                    for index in range(self._lab.declared.vms):
                        self._replace_vm(client, index, self._lab.declared.updated_vms - {index})
                else:
                    self._lab.declare(replace(self._lab.declared, updated_containers=False))
                changes += self._await_served(client, side, old, start, sample=False)
            log.sample(plan.ROLLBACK, time.monotonic() - start)
            client.await_good(STEADY)
        log.sample(plan.ROLLBACK_FAILED, client.failed)
        changed = {path for index in self._indexes(side)
                   for path in _inside.changed_files(self._admin(side, index))} if strategy.in_place else set()  # fmt: skip
        log.finding(
            "rolled back: is it again what its image holds?",
            f"no: {len(changed)} files differ from a fresh instance"
            if changed
            else "yes: it was replaced by the image before",
            "no" if changed else "yes",
        )

    # Looking

    def _look_for_drift(self, side: SideName) -> None:
        log, lab = self._log, self._lab
        with log.step("drift") as changes:
            updated = lab.declared.updated_containers or bool(lab.declared.updated_vms)
            declared = lab.manifest(side, updated=updated)
            drifted = 0
            for index in self._indexes(side):
                admin = self._admin(side, index)
                installed = _inside.manifest(admin)
                differing = {name for name in declared.keys() | installed.keys()
                             if declared.get(name) != installed.get(name)}  # fmt: skip
                changed = _inside.changed_files(admin)
                name = f"{side}/{index}"
                log.sample(plan.DRIFTED_PACKAGES, len(differing), instance=name)
                log.sample(plan.CHANGED_FILES, len(changed), instance=name)
                drifted += bool(differing)
                changes.append(f"{name}: {len(differing)} packages and {len(changed)} files are not declared")
            seen = lab.drift()
            changes += [f"Pulumi's refresh: {line}" for line in seen] or ["Pulumi's refresh sees nothing"]
            if drifted:
                log.finding(
                    "does Pulumi's refresh see what was changed?",
                    "; ".join(seen) or "no: what is inside an instance is not declared",
                    "yes" if seen else "no",
                )
            else:
                log.finding("does Pulumi's refresh see what was changed?",
                            "there is nothing undeclared to see", "fact")  # fmt: skip

    def _try_survival(self, strategy: Strategy) -> None:
        """Restart the first instance, kill the last, then scale out by one: which version does each serve?"""
        side, lab, log = strategy.side, self._lab, self._log
        last = lab.declared.count(side) - 1
        before = {index: self._identity(side, index) for index in (0, last)}
        with (
            Client(lab.port(side), lab.workload.health_path) as client,
            log.step("survive", side=side) as changes,
        ):
            client.await_good(1)
            lab.sides[side].kill(last)
            revived = self._await_new(side, last, before[last], SUPERVISOR_S)
            lab.sides[side].restart(0)
            if not self._await_new(side, 0, before[0], BACK_TIMEOUT_S):
                raise ExerciseError(
                    f"{side}/0 did not come back from a restart", hint="see `invoke lab.logs`"
                )
            since = time.monotonic()
            changes.append(self._tell_version("restarted", client.await_answer(f"{side}/0", since=since,
                                              timeout_s=BACK_TIMEOUT_S).version))  # fmt: skip
            log.finding("killed: does anybody bring it back?", *self._revival(side, revived))
            grown = (
                replace(lab.declared, vms=lab.declared.vms + 1)
                if side is SideName.VM
                else replace(lab.declared, replicas=lab.declared.replicas + 1)
            )
            if side is SideName.VM and not strategy.in_place:
                grown = replace(grown, updated_vms=frozenset(range(grown.vms)))
            lab.declare(grown, refresh=True)
            since = time.monotonic()
            for what, index in (("killed", last), ("scaled out by one", last + 1)):
                answer = client.await_answer(f"{side}/{index}", since=since, timeout_s=BACK_TIMEOUT_S)
                changes.append(self._tell_version(what, answer.version))
        log.sample(plan.DIFFERING, self._differing(side))

    def _tell_version(self, what: str, version: str) -> str:
        good = version == self._update.new
        self._log.finding(f"{what}: which version serves?",
                          f"{version}, " + ("the update" if good else "the one before the update"),
                          "yes" if good else "no")  # fmt: skip
        return f"{what}: serves {version}"

    @staticmethod
    def _revival(side: SideName, revived: bool) -> tuple[str, Verdict]:
        if revived:
            return "yes: the orchestrator starts another in its place", "yes"
        return f"nobody within {SUPERVISOR_S:g} s; the next `lab.up` does", "no"

    def _differing(self, side: SideName) -> int:
        """Instances whose packages are not those of the largest group of equal ones."""
        packages = [
            tuple(sorted(_inside.manifest(self._admin(side, index)).items())) for index in self._indexes(side)
        ]
        return len(packages) - max(packages.count(each) for each in packages)

    def _await_served(
        self, client: Client, side: SideName, version: str, start: float, *, sample: bool
    ) -> list[str]:
        names = {Instance(side, index, "").name for index in self._indexes(side)}
        firsts = client.await_version(version, names, since=start, timeout_s=PATCH_TIMEOUT_S)
        times = sorted((at - start, name) for name, at in firsts.items())
        if sample:
            self._log.sample(plan.FIRST, times[0][0])
            self._log.sample(plan.LAST, times[-1][0])
        return [f"{name} serves {version} after {took_s:.1f} s" for took_s, name in times]

    def _sample_client(self, client: Client) -> None:
        timeline = self._log.timelines[-1]
        self._log.sample(plan.FAILED, timeline.failed())
        self._log.sample(plan.GAP, timeline.longest_gap_s())
        good = sorted(r.ended - r.sent for r in client.requests if r.status)
        for figure, share in ((plan.P50, 0.50), (plan.P99, 0.99)):
            self._log.sample(figure, 1000 * good[min(len(good) - 1, int(share * len(good)))])

    def _check_processes(self, side: SideName) -> None:
        """The sanity check: what serves must be processes of the new files, not just new files."""
        for index in self._indexes(side):
            runner = self._admin(side, index) if side is SideName.VM else self._lab.sides[side].runner(index)
            stale = _inside.stale_servers(runner, self._lab.workload)
            if stale:
                raise ExerciseError(
                    f"{side}/{index} was patched, and its processes {stale} still run the old files",
                    hint="the figures of this strategy would be of a patch that did not take: see its log",
                )

    # Doing

    def _install(
        self, side: SideName, index: int, packages: Mapping[str, str], *, downgrade: bool = False
    ) -> None:
        admin = self._admin(side, index)
        _inside.install(admin, packages, downgrade=downgrade)
        usual = self._lab.sides[side].runner(index)
        _inside.activate(side, self._lab.workload, admin=admin, usual=usual)

    def _replace_vm(self, client: Client, index: int, updated: frozenset[int]) -> None:
        """Take a VM out of the front door's hands, then replace it."""
        self._admin(SideName.VM, index).run(["systemctl", "stop", self._lab.workload.unit])
        client.await_without(f"vm/{index}", STEADY)
        self._lab.declare(replace(self._lab.declared, updated_vms=updated))

    def _for_all(self, side: SideName, do: Callable[[int], None]) -> None:
        with ThreadPoolExecutor() as pool:
            for done in [pool.submit(do, index) for index in self._indexes(side)]:
                done.result()

    def _indexes(self, side: SideName) -> range:
        return range(self._lab.declared.count(side))

    def _admin(self, side: SideName, index: int) -> Runner:
        return self._lab.sides[side].runner(index, admin=True)

    def _written(self, side: SideName) -> int:
        return sum(self._lab.sides[side].written_bytes(index) for index in self._indexes(side))

    def _identity(self, side: SideName, index: int) -> str:
        return _inside.identity(self._lab.sides[side].runner(index))

    def _await_new(self, side: SideName, index: int, before: str, timeout_s: float) -> bool:
        """Whether an instance has started anew in time."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                if self._identity(side, index) != before:
                    return True
            except LabError:
                time.sleep(0.2)  # it is not there, or not yet: ask again
        return False
