"""Frozen data that the layers share: settings, workloads, images, instances. No behaviour but validation."""

from __future__ import annotations

import difflib
import hashlib
import ipaddress
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import from_json

from pairlab.errors import LabError, SettingError, UsageError

PROJECT = "pairlab"
LABEL = "org.pairlab.lab"
"""Label key that every Docker object of a lab carries; its value is the lab's name."""
TIER_LABEL = "org.pairlab.tier"
"""Label key of an instance's container, and of its service; its value is the name of its back-end tier."""
IMAGE_LABEL = "org.pairlab.image"
"""Label key of those, and of an image itself; its value is the image's version."""
ROLE_LABEL = "org.pairlab.role"
"""Label key of a lab's containers and images beside its instances; its value is what they are there for."""
FRONT_DOOR, PACKAGES = "front-door", "packages"
"""Their roles: a side's front door, and a package repository."""
SIDE_LABEL = "org.pairlab.side"
"""Label key of such a container; its value is the side that it is there for."""
METADATA_NAMESPACE = "urn:pairlab:lab"
"""XML namespace of the metadata that every libvirt domain of a lab carries."""

LAB_NAME_LENGTH = 30
LAB_NAME = re.compile(rf"[a-z][a-z0-9-]{{0,{LAB_NAME_LENGTH - 1}}}(?<!-)")
MAX_INSTANCES = 50
LABS_NETWORK = ipaddress.IPv4Network("10.213.0.0/16")
PRIVATE_NETWORKS = tuple(map(ipaddress.IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
"""Source: RFC 1918, section 3."""
FIRST_PORT = 20800
PACKAGES_HOST = "packages"
"""Name of the lab's package repository in the DNS of both sides."""
PACKAGES_PORT = 20799
PACKAGES_URL = f"http://{PACKAGES_HOST}:{PACKAGES_PORT}/"
"""Where an instance of either side finds the lab's package repository."""
GUEST_USER = "lab"
"""Account in every VM, which the seed makes."""
VM_DISK_BYTES = 4 * 1024**3
"""Size of a VM's own disk, whatever the size of the image that it stands on."""
HEALTHCHECK = "/usr/local/bin/healthcheck"
"""Program in every workload's container image that tells whether it can serve."""
START_PERIOD_S = 10
"""How long a fresh container's failed health checks do not count."""
COPIED_NOTE = "/tmp/pairlab-note"
"""Path in an instance of what the operation `copy` lays there."""
GUEST_CONTAINER = "guest"
"""Name of the container inside a VM; it answers as `container/guest/0`."""
MACHINE = "machine"
"""Tier of the container that holds a VM; with it the VM is `vm/machine/0`."""
MACHINE_HOST = f"vm-{MACHINE}-0"
"""Host name of that VM."""
MACHINE_SSH_PORT = 2222
"""Port in that container, on its loopback alone, which leads to the VM's ssh server."""
RUNNING_STATES = frozenset({"running", "idle"})
"""The stacks' words for an instance that runs; libvirt calls a VM idle that waits for something."""
UNBUILT = "not-built-yet"
"""Version of an image that does not exist yet."""


BootKind = Literal["direct", "disk"]
"""How a built VM starts: the image's kernel files, handed to it; or a boot loader on its own disk."""


class Accelerator(StrEnum):
    """How VMs run: hardware virtualisation, or software emulation (QEMU's TCG)."""

    KVM = "kvm"
    TCG = "tcg"

    @property
    def without(self) -> tuple[str, ...]:
        """Processor features that VMs do without, in QEMU's and libvirt's words.

        `erms` says that `rep movsb` is quick: Linux then copies and clears memory by it. QEMU emulates that
        byte after byte, and a guest's kernel takes three times as long as with the words that it copies else.
        """
        return ("erms",) if self is Accelerator.TCG else ()

    @property
    def qemu_cpu(self) -> str:
        """A VM's processor as QEMU's `-cpu` takes it."""
        return ",-".join(("host" if self is Accelerator.KVM else "max", *self.without))


class SideName(StrEnum):
    """The two halves of a lab."""

    VM = "vm"
    CONTAINER = "container"


Scope = Literal["host", "side", "instance", "none"]
"""How many there are of something: one for the host, for a side, for each instance; none."""


class Settings(BaseModel):
    """A lab's settings, as `Pulumi.<lab>.yaml` holds them under the project's namespace.

    Keys are camelCase there (`vmMemoryMib`) and snake_case here. `Pulumi.yaml` documents each.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, strict=False
    )

    stack: str = Field("pair", pattern=r"^[a-z][a-z0-9_]*$")
    vms: int = Field(2, ge=0, le=MAX_INSTANCES)
    replicas: int = Field(2, ge=0, le=MAX_INSTANCES)
    vm_memory_mib: int = Field(256, ge=128, le=65536)
    vm_cpus: int = Field(1, ge=1, le=64)
    container_memory_mib: int = Field(128, ge=16, le=65536)
    container_cpus: float = Field(1.0, gt=0, le=64)
    message: str = Field("One workload, two stacks.", max_length=200)
    rollout: Literal["rolling", "at-once"] = "rolling"
    subnet: str = ""
    vm_port: int = Field(0, ge=0, le=65535)
    container_port: int = Field(0, ge=0, le=65535)
    accelerator: Literal["auto", "kvm", "tcg"] = "auto"
    plugins: Literal["auto", "official", "embedded"] = "auto"
    boot: BootKind = "direct"
    guest_image_url: str = ""
    guest_image_sha256: str = Field("", pattern=r"^([0-9a-f]{64})?$")
    libvirt_uri: str = "qemu:///system"
    docker_host: str = "unix:///var/run/docker.sock"
    ready_timeout_s: int = Field(300, ge=5, le=3600)

    @field_validator("*", mode="before")
    @classmethod
    def _yes_is_no_number(cls, value: object, info: ValidationInfo) -> object:
        kind = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, bool) and kind in (int, float):
            raise ValueError("a number")
        return value

    @field_validator("message")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if any(not c.isprintable() for c in value):
            raise ValueError("one line of printable characters")
        return value

    @field_validator("subnet")
    @classmethod
    def _private_24(cls, value: str) -> str:
        if not value:
            return value
        with suppress(ValueError):  # where it is no network, the same is allowed
            network = ipaddress.IPv4Network(value)
            if network.prefixlen == 24 and any(map(network.subnet_of, PRIVATE_NETWORKS)):
                return value
        raise ValueError(
            "a private IPv4 network of prefix length 24, such as 10.213.7.0/24, "
            f"of {', '.join(map(str, PRIVATE_NETWORKS))}"
        )

    @field_validator("guest_image_url")
    @classmethod
    def _fetchable(cls, value: str) -> str:
        if value and not re.fullmatch(r"(?i:https?|file)://[^\s]+", value):
            raise ValueError("an address that begins with https://, http:// or file://")
        return value

    @field_validator("libvirt_uri")
    @classmethod
    def _qemu_uri(cls, value: str) -> str:
        if not re.fullmatch(r"qemu(\+(ssh|unix|tls))?://[^\s]*", value):
            raise ValueError("a QEMU driver's address, such as qemu:///system or qemu+ssh://host/system")
        return value

    @field_validator("docker_host")
    @classmethod
    def _docker_uri(cls, value: str) -> str:
        if not re.fullmatch(r"(unix|ssh)://[^\s]+", value):
            raise ValueError("a Docker address, such as unix:///var/run/docker.sock or ssh://user@host")
        return value

    @model_validator(mode="after")
    def _together(self) -> Settings:
        if bool(self.guest_image_url) != bool(self.guest_image_sha256):
            raise ValueError(
                "guestImageUrl and guestImageSha256 go together: an image is trusted by its digest"
            )
        if self.vm_port and self.vm_port == self.container_port:
            raise ValueError("vmPort and containerPort must differ")
        return self

    @property
    def guests_own_kernel(self) -> bool:
        """Whether a VM starts from its own disk, so that a kernel installed inside it is what boots next."""
        return self.boot == "disk" or bool(self.guest_image_url)


def setting_keys() -> dict[str, str]:
    """Settings keys as the files write them (camelCase) -> field names."""
    return {to_camel(name): name for name in Settings.model_fields}


def parse_settings(values: Mapping[str, Any], *, source: str) -> Settings:
    """Validate settings.

    Args:
        values: camelCase key -> value, without the project's namespace.
        source: Where they come from, for the error.

    Raises:
        SettingError: A key is unknown or a value not allowed; it names the key, the value, what is
            allowed, and for a typo the nearest known key.
    """
    known = setting_keys()
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            suggestion = f"did you mean {near[0]!r}? " if near else ""
            raise SettingError(
                f"{source}: unknown setting {key!r}",
                hint=f"{suggestion}known settings: {', '.join(sorted(known))}",
            )
    try:
        return Settings.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = str(first["loc"][0]) if first["loc"] else ""
        key = to_camel(where) if where in Settings.model_fields else where
        told = f"setting {key!r} is {first['input']!r}" if key else "settings do not go together"
        allowed = first["msg"].removeprefix("Value error, ")
        raise SettingError(
            f"{source}: {told}, not allowed: {allowed}",
            hint="Pulumi.yaml says what each setting takes",
        ) from error


def check_lab_name(name: str) -> str:
    """Return the name if a lab may have it.

    Raises:
        UsageError: It may not; the hint says what is allowed.
    """
    if not LAB_NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name a lab",
            hint=f"use 1 to {LAB_NAME_LENGTH} lower-case letters, digits and inner hyphens, "
            "beginning with a letter",
        )
    return name


@dataclass(frozen=True)
class Workload:
    """What instances of both sides run.

    Attributes:
        name: Lower-case word; part of image names.
        packages: Debian packages that it needs.
        port: TCP port that it serves, unprivileged.
        health_path: HTTP path that answers 200 when it can serve; empty for one that is not HTTP.
        unit: systemd unit that runs it in a VM.
        command: The same program in the foreground, as a container's main process.
        user: Account that runs it in the container.
        files: Path in the image -> template that is rendered into it at build time.
        executable: Those of `files` that get mode 0755.
        enable: systemd units, besides `unit`, that the VM starts.
        unit_lines: Lines of the `[Service]` section that its unit gets in a VM.
        stop_signal: What ends the container's main process gracefully.
        broken: Those of `files` that differ in a release whose health check fails -> their templates there.
    """

    name: str
    packages: tuple[str, ...]
    port: int
    health_path: str
    unit: str
    command: tuple[str, ...]
    user: str
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    executable: tuple[str, ...] = ()
    enable: tuple[str, ...] = ()
    unit_lines: tuple[str, ...] = ()
    stop_signal: str = "SIGTERM"
    broken: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def broken_release(self) -> Workload:
        """The same workload in a release whose health check fails, as exercises release one."""
        return replace(self, files={**self.files, **self.broken}, broken={})


@dataclass(frozen=True)
class DeployedFile:
    """A file that an instance gets when it is deployed, not when its image is built.

    Attributes:
        path: Where the instance finds it.
        content: Its text.
        secret: It is kept encrypted in the state, and readable by its owner only.
        owner: Account that may read a secret one.
    """

    path: str
    content: str = field(repr=False)
    secret: bool = False
    owner: str = "root"


@dataclass(frozen=True)
class Tier:
    """One workload on both sides of a lab.

    Attributes:
        workload: What it runs.
        vms: Number of VMs.
        replicas: Number of containers.
        files: What its instances get at deployment.
        front: It is what the front doors lead to; one tier of a lab is.
    """

    workload: Workload
    vms: int
    replicas: int
    files: tuple[DeployedFile, ...] = ()
    front: bool = True

    @property
    def group(self) -> str:
        """Part of an instance's name: empty for the front tier, else the workload's name."""
        return "" if self.front else self.workload.name

    def count(self, side: SideName) -> int:
        """Number of its instances on a side."""
        return self.vms if side is SideName.VM else self.replicas

    def host_names(self) -> list[str]:
        """Host names of its VMs: `vm-0`, or `vm-redis-0`."""
        return [name.replace("/", "-") for name in self.instance_names(SideName.VM)]

    def instance_names(self, side: SideName) -> list[str]:
        """Names of its instances on a side: `vm/0`, or `vm/redis/0`."""
        return [Instance(side, index, "", tier=self.group).name for index in range(self.count(side))]


@dataclass(frozen=True)
class VmImage:
    """A VM disk and what starts it.

    Attributes:
        version: 12 hexadecimal digits of the digest of all that went in.
        disk: qcow2 file.
        kernel: Booted directly, with `initrd` and `cmdline`. Both are empty where the disk boots itself.
        cmdline: Kernel parameters, `name` or `name=value`.
        size_bytes: Bytes of these files together.
        built: False for a placeholder that only a preview may use.
    """

    version: str
    disk: Path
    kernel: Path
    initrd: Path
    cmdline: tuple[str, ...] = ()
    size_bytes: int = 0
    built: bool = True

    @classmethod
    def unbuilt(cls, *, owns_kernel: bool) -> VmImage:
        """A placeholder that only a preview may use."""
        files = (Path(), Path()) if owns_kernel else (Path("vmlinuz"), Path("initrd"))
        return cls(UNBUILT, Path("disk.qcow2"), *files, built=False)


@dataclass(frozen=True)
class ContainerImage:
    """A container image in the engine's local store.

    Attributes:
        version: 12 hexadecimal digits of the digest of all that went in.
        reference: `name:tag` in the engine, such as `pairlab/web:0123456789ab`.
        size_bytes: Unpacked size.
        built: False for a placeholder that only a preview may use.
    """

    version: str
    reference: str
    size_bytes: int = 0
    built: bool = True

    @classmethod
    def unbuilt(cls, name: str) -> ContainerImage:
        """A placeholder, of a workload's name, that only a preview may use."""
        return cls(UNBUILT, f"{PROJECT}/{name}:{UNBUILT}", built=False)


@dataclass(frozen=True)
class WorkloadImages:
    """Both forms of one workload."""

    vm: VmImage
    container: ContainerImage


@dataclass(frozen=True)
class Update:
    """A newer version of something that instances run.

    Attributes:
        package: What is updated on purpose.
        installed: Its version in the built images.
        new: Its newer version.
        packages: Package -> new version of all that moves together, `package` itself included.
        origin: `security` for Debian's security pocket; `rebuilt` for one made here with a raised version.
        reason: Why it is this one, as a sentence for a person.
        before: Package -> installed version of those of `packages` that the images held.
    """

    package: str
    installed: str
    new: str
    packages: Mapping[str, str]
    origin: Literal["security", "rebuilt"]
    reason: str
    before: Mapping[str, str]


@dataclass(frozen=True)
class NoUpdate:
    """There is no update, and why, as a sentence for a person."""

    reason: str


@dataclass(frozen=True)
class Repository:
    """A signed apt repository in a folder of this host, in apt's flat form.

    Attributes:
        digest: 12 hexadecimal digits of the digest of its packages' files.
        folder: Holds them, and `Packages`, `Release`, `InRelease`.
        packages: Package -> newest version of exactly what it holds.
        public_key: What an instance verifies it with, in OpenPGP's ASCII armour.
        older: Package -> an older version that it holds too, for the way back.
    """

    digest: str
    folder: Path
    packages: Mapping[str, str]
    public_key: str
    older: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Tools:
    """Programs with every library that they need, to be run by their own loader on any amd64 Linux.

    Attributes:
        version: 12 hexadecimal digits of the digest of all that went in.
        archive: Compressed tar file of `bin/`, `lib/` and `SHA256SUMS`, which has the digest of every file.
        packages: Package -> version of what they were taken from.
    """

    version: str
    archive: Path
    packages: Mapping[str, str]


@dataclass(frozen=True)
class SshHostKey:
    """A VM's ssh host key, made before the VM, so that it can be pinned. The private half is a secret."""

    public: str
    private: str = field(repr=False)


@dataclass(frozen=True)
class LabKeys:
    """What is secret about one lab, made once and kept in its directory.

    Attributes:
        public: Public half of the ssh key that opens its VMs.
        hosts: VM host name -> its ssh host key.
        password: For back ends that want one.
    """

    public: str
    hosts: Mapping[str, SshHostKey]
    password: str = field(repr=False)


@dataclass(frozen=True)
class Instance:
    """One copy of a workload, as found.

    Attributes:
        side: Which half it belongs to.
        index: From 0; with the side it makes the name `vm/0`.
        state: The stack's own word, such as `running`.
        address: IPv4 address on the lab's network; empty if none is known.
        image: Version of its image.
        uptime_s: Seconds since its start; None if it is not running.
        cpu_s: CPU seconds used since its start; None if unknown.
        memory_bytes: Host memory that it holds; None if unknown.
        handle: What the stack calls it: a domain's or a container's name or id.
        tier: Name of its back-end tier; empty for the tier behind the front door.
    """

    side: SideName
    index: int
    state: str
    address: str = ""
    image: str = ""
    uptime_s: float | None = None
    cpu_s: float | None = None
    memory_bytes: int | None = None
    handle: str = ""
    tier: str = ""

    @property
    def name(self) -> str:
        """The name used on every command line: `vm/0`, or `vm/redis/0` in a back-end tier."""
        return "/".join(part for part in (self.side, self.tier, str(self.index)) if part)

    @property
    def is_running(self) -> bool:
        """Whether its stack says that it runs."""
        return self.state in RUNNING_STATES


@dataclass(frozen=True)
class Layer:
    """One layer of a stack, as it was found under one instance; None is a cost that was not measured.

    Attributes:
        part: What part it plays, in the same word on both sides, such as `engine`.
        found: What plays it here, in words; where nothing does, why.
        scope: There is one for all that runs on the `host`, for all instances of a `side`, or for each
            `instance`; `none` where this stack has no such layer.
        disk_bytes: Its files on the host's disk.
        memory_bytes: Memory of the host that it alone holds.
        processes: Processes of the host.
        objects: Things that it keeps account of.
    """

    part: str
    found: str
    scope: Scope
    disk_bytes: int | None = None
    memory_bytes: int | None = None
    processes: int | None = None
    objects: int | None = None


@dataclass(frozen=True)
class Operation:
    """One everyday operation on an instance, by the stack's own tool.

    Attributes:
        argv: The command, run on the host; empty where the stack has no way to do it.
        then: Further commands that it takes, in their order.
        undo: Commands that take back what it did, in their order; none where there is nothing to take back.
        shown: The command as a person types it, where that is shorter.
        declared: What in a lab's declaration says the same; empty where nothing does.
        cannot: Why the stack has no way; empty where it has one.
        files: What it writes: each is there afterwards, and is not empty.
        asked: Command that tells afterwards what was set; empty where nothing was.
        told: What that then prints, among else.
    """

    argv: tuple[str, ...] = ()
    then: tuple[tuple[str, ...], ...] = ()
    undo: tuple[tuple[str, ...], ...] = ()
    shown: str = ""
    declared: str = ""
    cannot: str = ""
    files: tuple[Path, ...] = ()
    asked: tuple[str, ...] = ()
    told: str = ""


def parse_instance_name(text: str) -> tuple[SideName, str, int]:
    """`vm/0` -> (SideName.VM, "", 0); `vm/redis/0` -> (SideName.VM, "redis", 0).

    Raises:
        UsageError: It is not of that form.
    """
    match = re.fullmatch(r"(vm|container)/(?:([a-z][a-z0-9]*)/)?(\d{1,4})", text)
    if match is None:
        raise UsageError(f"{text!r} names no instance", hint="write vm/0, vm/1, container/0 …")
    return SideName(match[1]), match[2] or "", int(match[3])


@dataclass(frozen=True)
class LabSpec:
    """All that a stack's program needs to declare one lab. Pure data: no daemon was asked.

    Attributes:
        name: The lab's name, valid by `check_lab_name`.
        settings: Validated settings.
        images: Workload name -> its images.
        front_door: The proxy's image.
        keys: The lab's ssh keys.
        accelerator: How its VMs run.
        generations: Side -> number of times that its instances were declared anew; another number
            replaces each of them by a fresh one.
        vm_images: Host name -> image of a VM that has another one than its tier, in a rollout.
        updates: Image of a package repository that both sides can install from; None for a lab without.
        supervised: The orchestrator brings back containers that end.
        standby: Host names of VMs that run, and to which no name leads: the front door sends nobody there.
        restarting: Host names of VMs that their hypervisor starts again when their kernel panics.
        machine: Image of a container that holds one of the lab's VMs; None for a lab without.
    """

    name: str
    settings: Settings
    images: Mapping[str, WorkloadImages]
    front_door: ContainerImage
    keys: LabKeys
    accelerator: Accelerator
    generations: Mapping[SideName, int] = field(default_factory=dict[SideName, int])
    vm_images: Mapping[str, VmImage] = field(default_factory=dict[str, VmImage])
    updates: ContainerImage | None = None
    supervised: bool = True
    standby: frozenset[str] = frozenset()
    restarting: frozenset[str] = frozenset()
    machine: ContainerImage | None = None

    @property
    def prefix(self) -> str:
        """Begins the name of all that the lab creates."""
        return f"{PROJECT}-{self.name}"

    @property
    def slot(self) -> int:
        """0 to 249, from the name alone, so that a preview anywhere shows what `up` would do."""
        return int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:4], "big") % 250

    @property
    def subnet(self) -> ipaddress.IPv4Network:
        """The VMs' network: the setting, or one of 250 by the lab's name."""
        if self.settings.subnet:
            return ipaddress.IPv4Network(self.settings.subnet)
        return list(LABS_NETWORK.subnets(new_prefix=24))[self.slot]

    @property
    def bridge(self) -> str:
        """Name of the VMs' network bridge; Linux allows 15 characters."""
        return "pl-" + hashlib.sha256(self.name.encode()).hexdigest()[:8]

    @property
    def pool_path(self) -> str:
        """Directory of the lab's libvirt pool, on libvirt's machine."""
        return f"/var/lib/libvirt/{PROJECT}/{self.name}"

    def port(self, side: SideName) -> int:
        """The loopback port of a side's front door."""
        chosen = self.settings.vm_port if side is SideName.VM else self.settings.container_port
        return chosen or FIRST_PORT + 2 * self.slot + (side is SideName.CONTAINER)

    @property
    def gateway(self) -> ipaddress.IPv4Address:
        """This host on the VMs' network; it also answers their DNS."""
        return self.subnet[1]

    def address(self, tier: int, index: int) -> ipaddress.IPv4Address:
        """Address of VM number `index` of tier number `tier`; each tier has room for MAX_INSTANCES."""
        return self.subnet[10 + MAX_INSTANCES * tier + index]

    def mac(self, tier: int, index: int) -> str:
        """Hardware address of a VM: QEMU's prefix, then 24 bits of a hash."""
        digest = hashlib.sha256(f"{self.name}/{tier}/{index}".encode()).digest()
        return "52:54:00:" + ":".join(f"{byte:02x}" for byte in digest[:3])


KEPT_OPS = {"same", "read", "refresh"}
"""Engine operations that leave a resource as it is."""
ENGINES_OWN = ("pulumi:", f"{PROJECT}:")
"""Begins the type tokens of what no provider plugin makes."""


@dataclass(frozen=True)
class Change:
    """What an operation did, or would do, to one resource.

    Attributes:
        op: Pulumi's word: `create`, `update`, `replace`, `delete`, `same` …
        type: Type token.
        name: Logical name.
        properties: Path of each property that differs -> kind of difference.
        old: Old inputs of the resource, as the engine shows them; secrets are masked.
        new: New ones.
    """

    op: str
    type: str
    name: str
    properties: Mapping[str, str] = field(default_factory=dict[str, str])
    old: Mapping[str, Any] = field(default_factory=dict[str, Any])
    new: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Outcome:
    """What an operation came to.

    Attributes:
        changes: One for each resource, in the order of the engine.
        engine_s: Seconds until a provider turned to the first resource: the engine's own start, with
            the CLI, the state, the program and the plugins.
        total_s: Seconds of the whole operation.
        drifted: What a refresh found to differ from the state; `op` is what that means for the state.
    """

    changes: list[Change]
    engine_s: float
    total_s: float
    drifted: list[Change] = field(default_factory=list[Change])

    @property
    def changed(self) -> list[Change]:
        """Those that are not left as they were."""
        return [change for change in self.changes if change.op not in KEPT_OPS]


def state_dir() -> Path:
    """Where labs are remembered: `PAIRLAB_STATE`, else the XDG state directory.

    Source: XDG Base Directory Specification 0.8, `$XDG_STATE_HOME`.
    """
    chosen = os.environ.get("PAIRLAB_STATE")
    if chosen:
        return Path(chosen).absolute()
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / PROJECT


def data_dir() -> Path:
    """Where results are kept: `PAIRLAB_DATA`, else the XDG data directory.

    Source: XDG Base Directory Specification 0.8, `$XDG_DATA_HOME`.
    """
    chosen = os.environ.get("PAIRLAB_DATA")
    if chosen:
        return Path(chosen).absolute()
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / PROJECT


def lab_dir(name: str) -> Path:
    """Directory of a lab's keys and of its last specification."""
    return state_dir() / "labs" / name


def spec_json(spec: LabSpec) -> bytes:
    """A specification as JSON. It holds private keys: keep it in a file of mode 0600."""
    return TypeAdapter(LabSpec).dump_json(spec, indent=1)


def spec_file(name: str) -> Path:
    """Where the specification of a lab's last `up` is kept; not there if it never was up here."""
    return lab_dir(name) / "spec.json"


def load_spec(name: str) -> LabSpec | None:
    """The specification of the lab's last `up`; None if it never was up here.

    Raises:
        LabError: It cannot be read: it is damaged, or another version of pairlab wrote it.
    """
    path = spec_file(name)
    if not path.is_file():
        return None
    try:
        return TypeAdapter(LabSpec).validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]  # its input may be a private key
        where = ".".join(map(str, first["loc"]))
        raise LabError(
            f"the record of lab {name!r} is damaged, or another version's: {path}",
            hint=f"`invoke lab.down --lab {name}` takes the lab down nevertheless, and then "
            f"`invoke lab.up --lab {name}` makes it anew",
            details=f"{where}: {first['msg']}".removeprefix(": "),
        ) from error


def salvaged_settings(name: str) -> Settings:
    """What can still be read of the settings in a record that `load_spec` refuses; else the defaults."""
    settings = Settings()
    try:
        recorded = from_json(spec_file(name).read_bytes(), allow_partial=True)["settings"].items()
    except (ValueError, TypeError, LookupError, AttributeError):
        return settings
    for key, value in recorded:
        with suppress(ValidationError):
            settings = Settings.model_validate(settings.model_dump() | {key: value})
    return settings


def placeholder_spec(
    name: str, settings: Settings, tiers: Callable[[str, Settings, LabKeys], Sequence[Tier]]
) -> LabSpec:
    """A specification for a preview on a machine that has built nothing: images and keys are stand-ins."""
    keys = LabKeys("ssh-ed25519 not-made-yet", _AnyHost(), "not-made-yet")
    images = {
        tier.workload.name: WorkloadImages(
            VmImage.unbuilt(owns_kernel=settings.guests_own_kernel),
            ContainerImage.unbuilt(tier.workload.name),
        )
        for tier in tiers(name, settings, keys)
    }
    door = ContainerImage.unbuilt("front-door")
    accelerator = Accelerator.KVM if settings.accelerator == "kvm" else Accelerator.TCG
    return LabSpec(name, settings, images, door, keys, accelerator)


class _AnyHost(dict[str, SshHostKey]):
    """Stand-in host keys: the same for every name."""

    def __missing__(self, host: str) -> SshHostKey:
        return SshHostKey("ssh-ed25519 not-made-yet", "not-made-yet")
