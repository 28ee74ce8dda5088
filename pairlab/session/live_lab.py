"""A live lab for exercises: what it is declared to be is changed through Pulumi, and put back in the end."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from pairlab import side as sides
from pairlab.exercise import ContainerArchive, Declaration
from pairlab.exercise._fleet import Fleet
from pairlab.host.engine_switch import EngineSwitch
from pairlab.image.apt_source import AptSource
from pairlab.image.container_archive import image_id
from pairlab.image.recipe import workload_files
from pairlab.model import (
    GUEST_USER,
    MACHINE,
    MACHINE_HOST,
    MACHINE_SSH_PORT,
    PACKAGES_URL,
    Change,
    Instance,
    LabSpec,
    Outcome,
    Settings,
    SideName,
    Tier,
    Tools,
    Update,
    Workload,
    lab_dir,
)
from pairlab.run import Runner
from pairlab.session.engine_switches import switch_of
from pairlab.session.keys import KEY, KNOWN_HOSTS, ensure_keys
from pairlab.session.live_images import LiveImages
from pairlab.session.neighbours import neighbours
from pairlab.session.readiness import await_ready
from pairlab.session.rollbacks import telling_rollbacks
from pairlab.session.spec import load_stack, pin_hosts, tiers_of
from pairlab.session.workbench import Workbench, known_spec
from pairlab.ssh import SshRunner


class LiveLab:
    """See `Lab` in `pairlab.exercise`.

    Args:
        bench: The tools of this run.
        lab: Its name; it was brought up before.

    Raises:
        UsageError: It was not.
    """

    def __init__(self, bench: Workbench, lab: str) -> None:
        self.name = lab
        self.base = known_spec(lab)
        self.accelerator = self.base.accelerator
        self._bench = bench
        self._stack = load_stack(self.base.settings.stack)
        self._engine = bench.engine(self.base.settings)
        self._front = next(tier for tier in self._tiers(self.base) if tier.front)
        self.workload: Workload = self._front.workload
        self._images = LiveImages(bench, self.base, self.workload)
        self.sides: Mapping[SideName, sides.Side] = {name: bench.side(lab, name) for name in SideName}
        self.configured = configured(self.base.settings, self._front)
        self.declared = self.configured
        self.owns_kernels = self.base.settings.guests_own_kernel
        self.deployed: Sequence[str] = [file.path for file in self._front.files]

    def port(self, side: SideName) -> int:
        """See `Lab.port`."""
        return self.base.port(side)

    def neighbours(self) -> AbstractContextManager[Mapping[str, str]]:
        """See `Lab.neighbours`."""
        return neighbours(self._bench, self.name, lambda name: LiveLab(self._bench, name).await_commands())

    def engine_switch(self, side: SideName) -> EngineSwitch | str:
        """See `Lab.engine_switch`."""
        return switch_of(self._bench, self.base.settings, self.sides[side])

    def declare(
        self, declaration: Declaration, *, refresh: bool = False, commands: bool = True, ready: bool = True
    ) -> Outcome:
        """See `Lab.declare`."""
        spec = self._spec(declaration)
        self.declared = declaration  # also where it fails: what then is there is some of both
        engines = frozenset(Instance(SideName.VM, i, "").name for i in declaration.engine_vms)
        outcome = self._up(spec, refresh=refresh, ready=ready, silent=engines)
        if commands and any(change.type.endswith(":Domain") for change in outcome.changed):
            self.await_commands()
        return outcome

    def await_commands(self) -> None:
        """Wait until commands can be run in every VM: it may serve before it lets anybody in."""
        Fleet(self, SideName.VM).await_commands()

    def put_back(self, *, ready_timeout_s: int | None = None) -> None:
        """Make it again what its last `lab.up` declared.

        Args:
            ready_timeout_s: Seconds to wait for every instance's answer; None takes the setting.

        Raises:
            EngineError: The engine failed.
            SideError: An instance did not answer in that time.
        """
        self._up(self.base, refresh=True, ready_timeout_s=ready_timeout_s)

    def drift(self) -> list[str]:
        """See `Lab.drift`."""
        spec = self._spec(self.declared)
        outcome = self._engine.refresh(
            self.name, lambda: self._stack.declare(spec), progress=self._bench.progress
        )
        return [_drifted(change) for change in outcome.drifted]

    def update(self) -> Update:
        """See `Lab.update`."""
        return self._images.update

    def kernel_update(self) -> Update | str:
        """See `Lab.kernel_update`."""
        kernel = self._images.kernel
        return kernel if isinstance(kernel, Update) else kernel.reason

    def build_updated(self, side: SideName) -> int:
        """See `Lab.build_updated`."""
        return self._images.build_updated(side)

    def transfer_bytes(self, side: SideName) -> int:
        """See `Lab.transfer_bytes`."""
        images = self._images
        if side is SideName.VM:
            return images.updated_vm.size_bytes
        old, new = images.declared.container, images.updated_container
        return images.store.layer_bytes(new.version, without=old.version)

    def image_bytes(self, side: SideName) -> int:
        """See `Lab.image_bytes`."""
        images = self._images.declared
        return images.vm.size_bytes if side is SideName.VM else images.container.size_bytes

    def container_archive(self) -> ContainerArchive:
        """See `Lab.container_archive`."""
        path = self._images.store.archive(self._images.declared.container.version)
        return ContainerArchive(path, image_id(path))

    def nested_bytes(self, side: SideName) -> int:
        """See `Lab.nested_bytes`."""
        return (self._images.engine_host if side is SideName.VM else self._images.machine).size_bytes

    def machine(self) -> Runner:
        """See `Lab.machine`: ssh, through the container to its loopback."""
        to_ssh = ["nc", "127.0.0.1", str(MACHINE_SSH_PORT)]
        return SshRunner(
            MACHINE_HOST,
            GUEST_USER,
            lab_dir(self.name) / KEY,
            lab_dir(self.name) / KNOWN_HOSTS,
            local=self._bench.runner,
            proxy=tuple(self.sides[SideName.CONTAINER].argv(0, to_ssh, tier=MACHINE)),
        )

    def manifest(self, side: SideName, *, updated: bool) -> Mapping[str, str]:
        """See `Lab.manifest`."""
        return self._images.manifest(side, updated=updated)

    def broken_images(self) -> Mapping[SideName, str]:
        """See `Lab.broken_images`."""
        images = self._images.broken
        return {SideName.VM: images.vm.version, SideName.CONTAINER: images.container.version}

    def broken_files(self) -> Mapping[str, str]:
        """See `Lab.broken_files`."""
        files = workload_files(self.workload.broken_release, "vm")
        return {path: files[path].content for path in self.workload.broken}

    def update_bytes(self) -> int:
        """See `Lab.update_bytes`."""
        return sum(file.stat().st_size for file in self._images.update_alone.folder.glob("*.deb"))

    def tools(self) -> Tools:
        """See `Lab.tools`."""
        return self._images.store.ensure_tools(progress=self._bench.progress)

    def use_updates(self, runner: Runner) -> None:
        """See `Lab.use_updates`."""
        AptSource(PACKAGES_URL, self._images.repository.public_key).add(runner)

    def _spec(self, declaration: Declaration) -> LabSpec:
        base, name = self.base, self.workload.name
        settings = base.settings.model_copy(update=settings_of(declaration))
        images = dict(base.images)
        if declaration.updated_containers:
            images[name] = replace(images[name], container=self._images.updated_container)
        if declaration.broken_containers:
            images[name] = replace(images[name], container=self._images.broken.container)
        hosts = self._front_hosts(settings_spec := replace(base, settings=settings))
        vm_images = {hosts[index]: self._images.updated_vm for index in declaration.updated_vms}
        vm_images |= {hosts[index]: self._images.disk_booting for index in declaration.own_kernel_vms}
        vm_images |= {hosts[index]: self._images.broken.vm for index in declaration.broken_vms}
        vm_images |= {hosts[index]: self._images.engine_host for index in declaration.engine_vms}
        tiers = self._tiers(settings_spec)
        every_host = [host for tier in tiers for host in tier.host_names()]
        every_host += [MACHINE_HOST] if declaration.machine else []
        return replace(
            settings_spec,
            images=images,
            vm_images=vm_images,
            generations={
                # Above those of `lab.up`, so that it replaces whatever an exercise leaves behind.
                SideName.VM: declaration.fresh_vms,
                SideName.CONTAINER: declaration.fresh_containers,
            },
            keys=ensure_keys(lab_dir(self.name), every_host, self._bench.runner),
            updates=self._images.repository_server if declaration.updates else None,
            supervised=declaration.supervised,
            standby=frozenset(hosts[index] for index in declaration.standby_vms),
            restarting=frozenset(hosts[index] for index in declaration.restarting_vms),
            machine=self._images.machine if declaration.machine else None,
        )

    def _front_hosts(self, spec: LabSpec) -> list[str]:
        return next(tier for tier in self._tiers(spec) if tier.front).host_names()

    def _tiers(self, spec: LabSpec) -> list[Tier]:
        return tiers_of(self._stack, self.name, spec.settings, spec.keys)

    def _up(
        self,
        spec: LabSpec,
        *,
        refresh: bool,
        ready: bool = True,
        ready_timeout_s: int | None = None,
        silent: Collection[str] = (),
    ) -> Outcome:
        tiers, vm_side = self._tiers(spec), self.sides[SideName.VM]
        pin_hosts(spec, tiers)
        with vm_side.watching():
            with telling_rollbacks(self.sides[SideName.CONTAINER], self.name):
                outcome = self._engine.up(
                    self.name,
                    lambda: self._stack.declare(spec),
                    progress=self._bench.progress,
                    refresh=refresh,
                )
            if ready:
                await_ready(self._bench, spec, tiers, vm_side, timeout_s=ready_timeout_s, silent=silent)
        return outcome


def configured(settings: Settings, front: Tier) -> Declaration:
    """What a lab's settings declare of its front tier."""
    return Declaration(front.vms, front.replicas, at_once=settings.rollout == "at-once")


def settings_of(declaration: Declaration) -> dict[str, object]:
    """Settings that a declaration says, whatever the lab's own are."""
    told: dict[str, object] = {
        "vms": declaration.vms,
        "replicas": declaration.replicas,
        "rollout": "at-once" if declaration.at_once else "rolling",
    }
    if cpus := declaration.cpus:
        told |= {"vm_cpus": cpus, "container_cpus": float(cpus)}
    if memory_mib := declaration.memory_mib:
        told |= {"vm_memory_mib": memory_mib, "container_memory_mib": memory_mib}
    return told


def _drifted(change: Change) -> str:
    """What a refresh found of a resource, in words: `Domain vm-0: running differs`."""
    found = "is gone" if change.op == "delete" else f"{', '.join(change.properties) or 'something'} differs"
    return f"{change.type.rsplit(':', 1)[-1]} {change.name}: {found}"
