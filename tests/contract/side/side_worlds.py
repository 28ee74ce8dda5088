"""What the contract runs on: for each kind of side a lab `plside`, and a foreign lab `plside-vm` beside it.

The foreign lab's name makes the names of its things begin like the lab's own: only what is labelled may go.
"""

import dataclasses
import hashlib
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import docker
import docker.errors
import docker.types
import libvirt

from pairlab.errors import SideError
from pairlab.model import Instance, Layer, Operation, Settings, SideName
from pairlab.run import Completed, LocalRunner, Runner
from pairlab.side import Footprint, Given, Side, SideContext, Started, load, pick
from pairlab.side._footprint import Charge

OPERATIONS = (
    "list", "log", "shell", "copy", "limit", "pause",
    "inspect", "metrics", "snapshot", "export", "events", "update",
)  # fmt: skip
LAB, FOREIGN = "plside", "plside-vm"
DOOR = f"pairlab-{LAB}-container-door"
VERSION = "0123456789ab"
MEMORY_BYTES = 64 * 1024**2
CPUS = 1.0
"""What every instance is given."""
BANNER = "No bootable device"
"""What every instance prints: VMs as their firmware's last word, as its first may come before any reader."""


class World(Protocol):
    side: Side

    def fill(self) -> None:
        """Two instances of the front tier, one of tier `redis`, and all that a lab has beside them."""

    def foreign(self) -> list[str]:
        """What of the foreign lab is there."""

    def limits(self) -> object:
        """What the first instance of the front tier is held to, as its daemon tells."""

    def clear(self) -> None: ...


def context(lab: str, tmp_path: Path) -> SideContext:
    return SideContext(
        lab=lab,
        settings=Settings(),
        key=tmp_path / "id",
        known_hosts=tmp_path / "known_hosts",
        bridge="pl-" + hashlib.sha256(lab.encode()).hexdigest()[:8],
        pool_path=f"/var/lib/libvirt/pairlab/{lab}",
    )


def until(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the world did not become ready"
        time.sleep(0.1)


class _FakeRunner:
    def run(self, argv: Any, **options: Any) -> Completed:
        return Completed(tuple(argv), 0, "", "")

    def interactive(self, argv: Any, **options: Any) -> int:
        return 0


@dataclasses.dataclass
class FakeSide:
    """A `Side` in memory; the contract holds it to what real ones do."""

    name: SideName = SideName.VM
    kind: str = "fake"
    package: str = "fake"
    engine: str = "fakerd"
    supervisor: str = ""
    is_local: bool = True
    there: list[Instance] = dataclasses.field(default_factory=list)
    objects: list[str] = dataclasses.field(default_factory=list)
    printed: dict[str, str] = dataclasses.field(default_factory=dict)
    began: dict[str, float] = dataclasses.field(default_factory=dict)
    kept: dict[int, Instance] = dataclasses.field(default_factory=dict)
    held_to: dict[str, tuple[float | None, int | None]] = dataclasses.field(default_factory=dict)

    def instances(self) -> list[Instance]:
        return sorted(self.there, key=lambda instance: (instance.tier, instance.index))

    def helpers(self) -> Mapping[str, str]:
        return {} if self.name is SideName.VM else {DOOR: "front-door"}

    def given(self, instances: Iterable[Instance]) -> Mapping[str, Given]:
        running = (each for each in instances if each.state == "running")
        return {each.name: Given(MEMORY_BYTES, self.held_to.get(each.name, (CPUS,))[0]) for each in running}

    def strangers(self) -> list[str]:
        return [f"pairlab-{FOREIGN}-vm-0"]

    def runner(self, index: int, *, tier: str = "", admin: bool = False) -> Runner:
        self._running(index, tier)
        return _FakeRunner()

    def argv(self, index: int, words: Sequence[str], *, tier: str = "") -> list[str]:
        self._running(index, tier)
        return list(words)

    def copy_in(self, index: int, source: Path, target: str, *, tier: str = "") -> None:
        self._running(index, tier)
        shutil.copy(source, target)

    def restart(self, index: int, *, tier: str = "") -> None:
        self.stop(index, tier=tier)
        self.start(index, tier=tier)

    def stop(self, index: int, *, tier: str = "") -> None:
        self._become(self._running(index, tier), "shut off")

    def kill(self, index: int, *, tier: str = "") -> None:
        self.stop(index, tier=tier)

    def start(self, index: int, *, tier: str = "") -> None:
        instance = pick(self.there, self.name, tier, index)
        if instance.state == "running":
            raise SideError(f"{instance.name} runs already", hint="stop it first")
        self._become(instance, "running")
        self.began[instance.name] = time.monotonic()

    def started(self, index: int, *, tier: str = "") -> Started | None:
        return Started(self.began[self._running(index, tier).name])

    def footprint(self, index: int, *, tier: str = "") -> Footprint:
        memory = self._running(index, tier).memory_bytes or 0
        return Footprint(memory, 0, 0, 0, Charge(memory, 0, 0), 8192, 1, 1, 1, self.written_bytes(index), 0)

    def keep(self, index: int, *, tier: str = "") -> None:
        self.kept[index] = self._running(index, tier)

    def put_back(self, index: int, *, tier: str = "") -> None:
        instance = pick(self.there, self.name, tier, index)
        if index not in self.kept:
            raise SideError(f"{instance.name} was not kept", hint="run `invoke lab.up`")
        self.there.remove(instance)
        self.there.append(self.kept.pop(index))

    def rollbacks(self) -> list[str]:
        return []

    @contextmanager
    def limited(
        self, index: int, *, tier: str = "", cpus: float | None = None, processes: int | None = None
    ) -> Iterator[None]:
        name = self._running(index, tier).name
        if processes is not None and not self.supervisor:
            raise SideError(f"no limit for the processes of {name}", hint="a fake")
        before = self.held_to.get(name, (None, None))
        self.held_to[name] = (cpus, processes)
        try:
            yield
        finally:
            self.held_to[name] = before

    def written_bytes(self, index: int, *, tier: str = "") -> int:
        return len(self.printed[pick(self.there, self.name, tier, index).name])

    def _running(self, index: int, tier: str) -> Instance:
        instance = pick(self.there, self.name, tier, index)
        if instance.state != "running":
            raise SideError(
                f"{instance.name} does not run: it is {instance.state}", hint="run `invoke lab.up`"
            )
        return instance

    def _become(self, instance: Instance, state: str) -> None:
        self.there.remove(instance)
        self.there.append(dataclasses.replace(instance, state=state))

    def freeze(self, index: int, *, tier: str = "") -> None:
        self._become(pick(self.there, self.name, tier, index), "paused")

    def thaw(self, index: int, *, tier: str = "") -> None:
        instance = pick(self.there, self.name, tier, index)
        if instance.state == "paused":
            self._become(instance, "running")

    def host(self) -> Runner:
        return LocalRunner()

    def operations(self, index: int, folder: Path, *, tier: str = "") -> dict[str, Operation]:
        pick(self.there, self.name, tier, index)
        known = {name: Operation(("true",)) for name in OPERATIONS}
        return known | {"pause": Operation(("true",), undo=(("true",),)), "log": Operation(cannot="a fake")}

    def layers(self, index: int, *, tier: str = "") -> list[Layer]:
        pick(self.there, self.name, tier, index)
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return [
            Layer("host-kernel", f"Linux, boot id {boot_id}", "host"),
            Layer("engine", "a fake", "side", disk_bytes=3, memory_bytes=2, processes=1),
            Layer("orchestrator", "none: nobody watches", "none"),
            Layer("image", "none", "side", disk_bytes=0),
            Layer("runner", "a fake", "instance", memory_bytes=1, processes=1),
            Layer("boundary", "a fake", "instance", memory_bytes=1),
            Layer("own-disk", "none", "instance", disk_bytes=0),
        ]

    def logs(self, index, *, tier="", lines=100, follow=False, on_line) -> None:
        for line in self.console_tail(index, lines, tier=tier).splitlines():
            on_line(line)

    def console(self, index: int, *, tier: str = "") -> int:
        pick(self.there, self.name, tier, index)
        return 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        yield

    def console_tail(self, index: int, lines: int = 30, *, tier: str = "") -> str:
        name = pick(self.there, self.name, tier, index).name
        return "\n".join(self.printed[name].splitlines()[-lines:])

    def leftovers(self) -> list[str]:
        return list(self.objects)

    def sweep(self, *, progress: Callable[[str], None]) -> list[str]:
        removed, self.objects, self.there = self.objects, [], []
        for each in removed:
            progress(f"removing {each}")
        return removed

    def discard(self, names: Collection[str], *, progress: Callable[[str], None]) -> list[str]:
        return []

    def close(self) -> None: ...


class FakeWorld:
    def __init__(self) -> None:
        self.side: FakeSide = FakeSide()

    def fill(self) -> None:
        for tier, index in (("", 0), ("", 1), ("redis", 0)):
            one = Instance(
                SideName.VM, index, "running", "10.0.0.2", VERSION, 1.0, 0.1, 4096, f"{tier}{index}", tier
            )
            self.side.there.append(one)
            self.side.objects.append(f"domain {one.handle}")
            self.side.printed[one.name] = BANNER
            self.side.began[one.name] = time.monotonic()

    def foreign(self) -> list[str]:
        return ["something"]

    def limits(self) -> object:
        return self.side.held_to.get("vm/0", (None, None))

    def clear(self) -> None: ...


DOMAIN = """
<domain type='qemu'><name>pairlab-{lab}-{host}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<metadata>{metadata}</metadata>
<os><type arch='x86_64' machine='pc'>hvm</type><bios useserial='yes' rebootTimeout='1000'/></os>
<devices><serial type='pty'/><console type='pty'/></devices></domain>
"""
METADATA = (
    '<lab xmlns="urn:pairlab:lab" name="{lab}" tier="{tier}" index="{index}" image="{image}"'
    ' address="10.214.251.1{index}"/>'
)
POOL = "<pool type='dir'><name>pairlab-{lab}</name><target><path>{path}</path></target></pool>"
DISK = """
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{path}'/>
<target dev='vda' bus='virtio'/></disk>
"""
VOLUME = (
    "<volume><name>{name}</name><capacity>65536</capacity><target><format type='qcow2'/></target></volume>"
)
NETWORK = """
<network><name>pairlab-{lab}</name><bridge name='{bridge}'/>
<ip address='10.214.{subnet}.1' prefix='24'/></network>
"""


class LibvirtWorld:
    """Domains that stay in their firmware, which prints on the serial console and restarts every second."""

    def __init__(self, tmp_path: Path) -> None:
        self._path = tmp_path
        self.context = context(LAB, tmp_path)
        self.side: Side = load("libvirt")(self.context)
        self._foreign = load("libvirt")(context(FOREIGN, tmp_path))
        self.connection = libvirt.open("qemu:///system")
        self.clear_objects()
        self._fill(FOREIGN, 252, [("vm-0", "", 0)])
        # Somebody's domain whose name looks like the lab's, but which carries no metadata.
        self.connection.defineXML(DOMAIN.format(lab=LAB, host="vm-9", metadata=""))

    def fill(self) -> None:
        self._fill(LAB, 251, [("vm-0", "", 0), ("vm-1", "", 1), ("vm-redis-0", "redis", 0)])

    def _fill(self, lab: str, subnet: int, hosts: list[tuple[str, str, int]]) -> None:
        its = context(lab, self._path)
        pool = self.connection.storagePoolDefineXML(POOL.format(lab=lab, path=its.pool_path))
        pool.create(libvirt.VIR_STORAGE_POOL_CREATE_WITH_BUILD)
        for name in (f"web-base-{VERSION}.qcow2", f"vm-0-{VERSION}-seed.img"):
            pool.createXML(VOLUME.format(name=name))
        network = self.connection.networkDefineXML(NETWORK.format(lab=lab, bridge=its.bridge, subnet=subnet))
        network.create()
        for host, tier, index in hosts:
            metadata = METADATA.format(lab=lab, tier=tier, index=index, image=VERSION)
            self.connection.defineXML(DOMAIN.format(lab=lab, host=host, metadata=metadata)).create()

    def save(self) -> None:
        """Give the first VM a snapshot on its disk, then a memory that was saved when it was stopped."""
        domain = self.connection.lookupByName(f"pairlab-{LAB}-vm-0")
        domain.destroy()
        disk = DISK.format(path=f"{self.context.pool_path}/web-base-{VERSION}.qcow2")
        domain.attachDeviceFlags(disk, libvirt.VIR_DOMAIN_AFFECT_CONFIG)
        domain.snapshotCreateXML("<domainsnapshot><name>before</name></domainsnapshot>")
        domain.create()
        domain.managedSave()
        assert (domain.hasManagedSaveImage(), domain.snapshotNum()) == (1, 1)

    def foreign(self) -> list[str]:
        stranger = [d.name() for d in self.connection.listAllDomains() if d.name() == f"pairlab-{LAB}-vm-9"]
        return self._foreign.leftovers() + stranger

    def limits(self) -> object:
        return self.connection.lookupByName(f"pairlab-{LAB}-vm-0").schedulerParameters()

    def clear_objects(self) -> None:
        for domain in self.connection.listAllDomains():
            if domain.name().startswith(f"pairlab-{LAB}-"):
                if domain.isActive():
                    domain.destroy()
                domain.undefineFlags(
                    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
                )
        for pool in self.connection.listAllStoragePools():
            if pool.name() in (f"pairlab-{LAB}", f"pairlab-{FOREIGN}"):
                if not pool.isActive():
                    pool.create(libvirt.VIR_STORAGE_POOL_CREATE_WITH_BUILD)
                for volume in pool.listAllVolumes():
                    volume.delete()
                pool.destroy()
                pool.delete()
                pool.undefine()
        for network in self.connection.listAllNetworks():
            if network.name() in (f"pairlab-{LAB}", f"pairlab-{FOREIGN}"):
                if network.isActive():
                    network.destroy()
                network.undefine()

    def clear(self) -> None:
        self.clear_objects()
        self.connection.close()
        self.side.close()
        self._foreign.close()


class SwarmWorld:
    """Services of a static busybox that prints a word and sleeps."""

    def __init__(self, tmp_path: Path, image: str) -> None:
        self._image = image
        self.side: Side = load("swarm")(context(LAB, tmp_path))
        self._foreign = load("swarm")(context(FOREIGN, tmp_path))
        self.client = docker.DockerClient("unix:///var/run/docker.sock", version="auto")
        self._clear_objects()
        self._fill(FOREIGN, [("web", "", 1)])

    def fill(self) -> None:
        self._fill(LAB, [("web", "", 2), ("redis", "redis", 1)])
        until(lambda: [each.state for each in self.side.instances()] == ["running"] * 3)

    def _fill(self, lab: str, services: list[tuple[str, str, int]]) -> None:
        label = {"org.pairlab.lab": lab}
        network = self.client.networks.create(
            f"pairlab-{lab}", driver="overlay", attachable=True, labels=label
        )
        self.client.configs.create(name=f"pairlab-{lab}-page", data=b"page", labels=label)
        self.client.secrets.create(name=f"pairlab-{lab}-word", data=b"word", labels=label)
        self.client.volumes.create(f"pairlab-{lab}-data", labels=label)
        for workload, tier, replicas in services:
            labels = {**label, "org.pairlab.tier": tier, "org.pairlab.image": VERSION}
            self.client.services.create(
                self._image,
                command=["sh", "-c", f"echo '{BANNER}'; exec sleep 3600"],
                name=f"pairlab-{lab}-{workload}",
                labels=labels,
                container_labels=labels,
                networks=[network.id],
                endpoint_spec=docker.types.EndpointSpec(mode="dnsrr"),
                mode=docker.types.ServiceMode("replicated", replicas),
                resources=docker.types.Resources(cpu_limit=int(CPUS * 10**9), mem_limit=MEMORY_BYTES),
            )
        door = self.client.containers.run(
            self._image,
            ["sleep", "3600"],
            name=DOOR if lab == LAB else f"pairlab-{lab}-container-door",
            detach=True,
            labels={**label, "org.pairlab.role": "front-door"},
            network=network.name,
        )
        # The first has no name once there is the second. What a person makes of a container is that person's.
        for _ in range(2):
            door.commit("pairlab/manage", lab, changes="LABEL org.pairlab.role=snapshot", pause=False)
        door.commit("pairlab/mine", lab, pause=False)

    def foreign(self) -> list[str]:
        # Tasks come and go by themselves; what was declared must stay.
        others = [
            each
            for each in self._foreign.leftovers()
            if not each.startswith(("task", "container pairlab-plside-vm-web"))
        ]
        tags = [tag for image in self.client.images.list("pairlab/mine") for tag in image.tags]
        return sorted(others + tags)

    def limits(self) -> object:
        held = self.client.containers.get(self.side.instances()[0].handle).attrs["HostConfig"]
        # No limit of CPU may be told as none, or as all that there are.
        all_cpus = self.client.info()["NCPU"]
        return held["NanoCpus"] or all_cpus * 10**9, held["PidsLimit"] or -1

    def _clear_objects(self) -> None:
        """Written apart from `sweep`, which is under test."""
        for lab in (LAB, FOREIGN):
            mine = {"label": f"org.pairlab.lab={lab}"}
            for service in self.client.services.list(filters=mine):
                service.remove()
            for container in self.client.containers.list(all=True, filters=mine):
                until(lambda container=container: _removed(lambda: container.remove(force=True, v=True)))
            for kind in (self.client.configs, self.client.secrets, self.client.volumes):
                for each in kind.list(filters=mine):
                    until(lambda each=each: _removed(each.remove))
            for image in self.client.images.list(filters=mine):
                self.client.images.remove(image.id, force=True)
            for network in self.client.networks.list(filters=mine):
                until(lambda network=network: _removed(network.remove))

    def clear(self) -> None:
        self._clear_objects()
        self.client.close()
        self.side.close()
        self._foreign.close()


def _removed(remove: Callable[[], None]) -> bool:
    try:
        remove()
    except docker.errors.NotFound:
        return True
    except docker.errors.APIError:
        return False
    return True
