"""The images and packages that exercises declare beside those of a lab's settings, made when first needed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from pairlab.errors import ExerciseError
from pairlab.image.nested import ensure_nested
from pairlab.image.recipe import Recipe, container_recipe, vm_recipe
from pairlab.image.store import container_image, vm_image
from pairlab.model import (
    ContainerImage,
    LabSpec,
    NoUpdate,
    Repository,
    SideName,
    Update,
    VmImage,
    Workload,
    WorkloadImages,
)
from pairlab.session.workbench import Workbench


class LiveImages:
    """Those of one lab's front tier.

    Args:
        bench: The tools of this run.
        base: What the lab's last `up` declared.
        workload: What the tier runs.
    """

    def __init__(self, bench: Workbench, base: LabSpec, workload: Workload) -> None:
        self._bench = bench
        self._base = base
        self._workload = workload
        self.store = bench.images_for(base.settings)

    @property
    def declared(self) -> WorkloadImages:
        """Those that the lab's settings declare."""
        return self._base.images[self._workload.name]

    def manifest(self, side: SideName, *, updated: bool) -> Mapping[str, str]:
        """Package -> version in a side's image, as it was built."""
        if side is SideName.VM:
            return self.store.manifest((self.updated_vm if updated else self.declared.vm).version)
        return self.store.manifest((self.updated_container if updated else self.declared.container).version)

    @property
    def update(self) -> Update:
        """The newer package that the update exercises work with."""
        return self._update[0]

    @property
    def update_alone(self) -> Repository:
        """What images are rebuilt with: nothing else may become newer."""
        return self._update[1]

    @cached_property
    def _update(self) -> tuple[Update, Repository]:
        """Found and fetched together, so that no build's time holds that."""
        manifests = [self.manifest(side, updated=False) for side in SideName]
        update = self._bench.updates.find(self._workload, manifests, progress=self._bench.progress)
        return update, self._bench.updates.repository([update], progress=self._bench.progress)

    @cached_property
    def kernel(self) -> Update | NoUpdate:
        """A newer kernel package, or why there is none."""
        held = self.manifest(SideName.VM, updated=False)
        return self._bench.updates.find_kernel(held, progress=self._bench.progress)

    @cached_property
    def repository(self) -> Repository:
        """All that instances may install: the update, what it replaces for the way back, and the kernel."""
        kernel = [self.kernel] if isinstance(self.kernel, Update) else []
        return self._bench.updates.repository(
            [self.update, *kernel], progress=self._bench.progress, way_back=True
        )

    @cached_property
    def repository_server(self) -> ContainerImage:
        """Serves that repository to both sides."""
        return self.store.ensure_repository(self.repository, progress=self._bench.progress)

    @cached_property
    def updated_vm(self) -> VmImage:
        """A VM's with the update. Each form is built for itself: neither change waits for both builds."""
        recipe = self._updated(SideName.VM)
        return vm_image(recipe, self.store.ensure_recipe(recipe, progress=self._bench.progress))

    @cached_property
    def updated_container(self) -> ContainerImage:
        """A container's with the update."""
        recipe = self._updated(SideName.CONTAINER)
        return container_image(self.store.ensure_recipe(recipe, progress=self._bench.progress))

    def build_updated(self, side: SideName) -> int:
        """Build a side's image with the update, also if it is there; returns its bytes."""
        return self.store.rebuild(self._updated(side), progress=self._bench.progress).size_bytes

    def _updated(self, side: SideName) -> Recipe:
        if side is SideName.VM:
            return vm_recipe(self._workload, self.update_alone, boot=self._base.settings.boot)
        return container_recipe(self._workload, self.update_alone)

    @cached_property
    def broken(self) -> WorkloadImages:
        """Those of a release whose health check fails.

        Raises:
            ExerciseError: The workload has no such release.
        """
        if not self._workload.broken:
            raise ExerciseError(
                f"workload {self._workload.name!r} has no release whose health check fails",
                hint="name its differing files in the stack, as `broken`",
            )
        return self.store.ensure(
            self._workload.broken_release, progress=self._bench.progress, boot=self._base.settings.boot
        )

    @cached_property
    def disk_booting(self) -> VmImage:
        """A VM's that boots the kernel on its own disk."""
        return self.store.ensure(self._workload, progress=self._bench.progress, boot="disk").vm

    @property
    def engine_host(self) -> VmImage:
        """A VM's with a container engine in the place of the workload."""
        return self._nested[0]

    @property
    def machine(self) -> ContainerImage:
        """A container's that holds one of the lab's VMs."""
        return self._nested[1]

    @cached_property
    def _nested(self) -> tuple[VmImage, ContainerImage]:
        return ensure_nested(self.store, self._workload, self.declared.vm, progress=self._bench.progress)
