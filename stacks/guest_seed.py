"""The NoCloud seed of a VM: what makes an image one instance, whoever starts it."""

from __future__ import annotations

from dataclasses import dataclass

from pairlab.model import GUEST_USER, LabSpec, Tier
from pairlab.render import render


@dataclass(frozen=True)
class Link:
    """A VM's place in its network.

    Attributes:
        mac: Hardware address.
        address: IPv4 address with the length of its prefix.
        gateway: Leads out of the network.
        nameserver: Answers its DNS.
    """

    mac: str
    address: str
    gateway: str
    nameserver: str


def user_data(spec: LabSpec, tier: Tier, host: str, index: int) -> str:
    """Who a VM is, who may log in, and the files that it gets. It holds a private key.

    Args:
        spec: The lab.
        tier: What the VM is one of.
        host: Its host name.
        index: Its number in the tier.
    """
    key = spec.keys.hosts[host]
    files = [
        {
            "path": file.path,
            "permissions": "0600" if file.secret else "0644",
            "owner": f"{file.owner}:{file.owner}",
            "content": file.content,
        }
        for file in tier.files
    ]
    return render(
        "guest/user-data.j2",
        lab=spec.name,
        index=index,
        hostname=host,
        user=GUEST_USER,
        ssh_public_key=spec.keys.public,
        host_key_private=key.private,
        host_key_public=key.public,
        files=files,
    )


def network_config(link: Link) -> str:
    """A static address: no VM waits for a lease."""
    return render(
        "guest/network-config.j2",
        mac=link.mac,
        address=link.address,
        gateway=link.gateway,
        nameserver=link.nameserver,
    )
