"""The vm side: a network, a pool, and for each tier its disks, seeds and domains, on libvirt."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_libvirt as libvirt

from pairlab.model import (
    METADATA_NAMESPACE,
    PACKAGES_HOST,
    VM_DISK_BYTES,
    Accelerator,
    LabSpec,
    SideName,
    Tier,
    VmImage,
)
from pairlab.render import render
from stacks.guest_seed import Link, network_config, user_data

DIGEST_LENGTH = 12
DOMAIN_SHEET = "virtual_machines/domain.xslt.j2"


@dataclass(frozen=True)
class VirtualMachinesArgs:
    """Arguments of `VirtualMachines`.

    Attributes:
        spec: The lab.
        tiers: What runs; tier 0 has the lowest addresses.
    """

    spec: LabSpec
    tiers: Sequence[Tier]


@dataclass(frozen=True)
class _Boot:
    """The volumes that the VMs of one image share, and whether they boot a kernel of their own disk."""

    base: libvirt.Volume
    kernel: libvirt.Volume | None
    initrd: libvirt.Volume | None


class VirtualMachines(pulumi.ComponentResource):
    """VMs of one lab, with static addresses that a preview already knows.

    Disks and seeds are named by the digest of what they hold. A VM names its disks by path, so that a
    new image or a changed seed replaces exactly the VMs that use it; and paths, unlike `type='volume'`
    disks, are understood by libvirt's AppArmor driver.

    Outputs:
        network: The libvirt network, for what must wait for it.
        network_id: UUID of the libvirt network.
        addresses: Host name -> IPv4 address.
    """

    network: libvirt.Network
    network_id: pulumi.Output[str]
    addresses: pulumi.Output[Mapping[str, str]]

    def __init__(
        self, name: str, args: VirtualMachinesArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("pairlab:vm:VirtualMachines", name, None, opts)
        self._spec = args.spec
        self._own = pulumi.ResourceOptions(parent=self, delete_before_replace=True)
        self.network = self._make_network(args.tiers)
        self._pool = libvirt.Pool(
            f"{name}-pool",
            name=args.spec.prefix,
            type="dir",
            target=libvirt.PoolTargetArgs(path=args.spec.pool_path),
            opts=self._own,
        )
        addresses: dict[str, str] = {}
        for number, tier in enumerate(args.tiers):
            if not tier.vms:
                continue
            usual = args.spec.images[tier.workload.name].vm
            boots: dict[str, _Boot] = {}
            for index, host in enumerate(tier.host_names()):
                image = args.spec.vm_images.get(host, usual)
                if image.version not in boots:
                    boots[image.version] = self._make_boot_volumes(tier.workload.name, image)
                self._make_vm(tier, number, index, image, boots[image.version])
                addresses[host] = str(args.spec.address(number, index))
        self.network_id = self.network.id
        self.addresses = pulumi.Output.from_input(addresses)
        self.register_outputs({"networkId": self.network_id, "addresses": addresses})

    def _make_network(self, tiers: Sequence[Tier]) -> libvirt.Network:
        spec = self._spec
        # Every VM answers to its tier's name, as containers do: the front door finds both by DNS.
        hosts = [
            libvirt.NetworkDnsHostArgs(hostname=tier.workload.name, ip=str(spec.address(number, index)))
            for number, tier in enumerate(tiers)
            for index, host in enumerate(tier.host_names())
            if host not in spec.standby
        ]
        # Known also in a lab without a package repository: to add one must not make the network anew.
        hosts.append(libvirt.NetworkDnsHostArgs(hostname=PACKAGES_HOST, ip=str(spec.gateway)))
        return libvirt.Network(
            f"{self._name}-network",
            name=spec.prefix,
            mode="nat",
            bridge=spec.bridge,
            addresses=[str(spec.subnet)],
            dhcp=libvirt.NetworkDhcpArgs(enabled=False),
            dns=libvirt.NetworkDnsArgs(enabled=True, hosts=hosts),
            opts=self._own,
        )

    def _make_boot_volumes(self, workload: str, image: VmImage) -> _Boot:
        def upload(kind: str, path: str, volume_format: str) -> libvirt.Volume:
            return libvirt.Volume(
                f"{self._name}-{workload}-{kind}-{image.version}",
                name=f"{workload}-{kind}-{image.version}.{'qcow2' if volume_format == 'qcow2' else 'img'}",
                pool=self._pool.name,
                source=path,
                format=volume_format,
                opts=self._own,
            )

        direct = bool(image.kernel.name)
        return _Boot(
            base=upload("base", str(image.disk), "qcow2"),
            kernel=upload("kernel", str(image.kernel), "raw") if direct else None,
            initrd=upload("initrd", str(image.initrd), "raw") if direct else None,
        )

    def _make_vm(self, tier: Tier, number: int, index: int, image: VmImage, boot: _Boot) -> None:
        spec, host = self._spec, tier.host_names()[index]
        seed, network = self._seed(tier, number, index)
        parts = [image.version, seed, network]
        if generation := spec.generations.get(SideName.VM, 0):
            parts.append(str(generation))
        digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:DIGEST_LENGTH]
        instance_id = f"{spec.prefix}-{host}-{digest}"
        disk = libvirt.Volume(
            f"{self._name}-{host}-disk",
            name=f"{host}-{digest}.qcow2",
            pool=self._pool.name,
            base_volume_id=boot.base.id,
            format="qcow2",
            size=VM_DISK_BYTES,
            opts=self._own,
        )
        seed_disk = libvirt.CloudInitDisk(
            f"{self._name}-{host}-seed",
            name=f"{host}-{digest}-seed.img",
            pool=self._pool.name,
            user_data=pulumi.Output.secret(seed),
            meta_data=render("guest/meta-data.j2", instance_id=instance_id, hostname=host),
            network_config=network,
            opts=self._own,
        )
        libvirt.Domain(
            f"{self._name}-{host}",
            name=f"{spec.prefix}-{host}",
            description=f"Instance {host} of the pairlab lab {spec.name}",
            metadata=self._metadata(tier, number, index, image),
            type="kvm" if spec.accelerator is Accelerator.KVM else "qemu",
            # Emulation: all that QEMU can emulate; the guest's start draws on RDRAND.
            cpu=libvirt.DomainCpuArgs(
                mode="host-passthrough" if spec.accelerator is Accelerator.KVM else "maximum"
            ),
            memory=spec.settings.vm_memory_mib,
            vcpu=spec.settings.vm_cpus,
            kernel=boot.kernel.id if boot.kernel else None,
            initrd=boot.initrd.id if boot.initrd else None,
            cmdlines=_cmdlines(image.cmdline) if boot.kernel else None,
            disks=[
                libvirt.DomainDiskArgs(file=f"{spec.pool_path}/{host}-{digest}.qcow2"),
                libvirt.DomainDiskArgs(file=f"{spec.pool_path}/{host}-{digest}-seed.img"),
            ],
            network_interfaces=[
                libvirt.DomainNetworkInterfaceArgs(network_id=self.network.id, mac=spec.mac(number, index))
            ],
            consoles=[libvirt.DomainConsoleArgs(type="pty", target_type="serial", target_port="0")],
            xml=self._sheet(host),
            opts=pulumi.ResourceOptions.merge(
                self._own, pulumi.ResourceOptions(depends_on=[disk, seed_disk])
            ),
        )

    def _sheet(self, host: str) -> libvirt.DomainXmlArgs | None:
        """Turns what no property says into the domain's XML: features left out, a restart after a panic."""
        without, restarting = self._spec.accelerator.without, host in self._spec.restarting
        if not without and not restarting:
            return None
        return libvirt.DomainXmlArgs(xslt=render(DOMAIN_SHEET, without=without, restarting=restarting))

    def _seed(self, tier: Tier, number: int, index: int) -> tuple[str, str]:
        """The NoCloud user data and network configuration of one VM."""
        spec = self._spec
        link = Link(
            mac=spec.mac(number, index),
            address=f"{spec.address(number, index)}/{spec.subnet.prefixlen}",
            gateway=str(spec.gateway),
            nameserver=str(spec.gateway),
        )
        return user_data(spec, tier, tier.host_names()[index], index), network_config(link)

    def _metadata(self, tier: Tier, number: int, index: int, image: VmImage) -> str:
        return render(
            "virtual_machines/metadata.xml.j2",
            namespace=METADATA_NAMESPACE,
            lab=self._spec.name,
            tier=tier.group,
            index=index,
            image=image.version,
            address=str(self._spec.address(number, index)),
        ).strip()


def _cmdlines(words: Sequence[str]) -> list[dict[str, str]]:
    """Kernel parameters in the form in which the provider reads them back: named ones, then bare words."""
    named = dict(word.split("=", 1) for word in words if "=" in word)
    bare = sorted(word for word in words if "=" not in word)
    return [named, {"_": " ".join(bare)}]
