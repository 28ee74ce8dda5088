"""The properties of a container and their places in the engine's description of it.

Source: Docker Engine API, ContainerCreate and ContainerInspect; kreuzwerker/terraform-provider-docker v3,
resource_docker_container.go
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pairlab.plugin.docker._codecs import (
    CAPABILITIES,
    DEVICES,
    HOST_COLON_IP,
    MEBIBYTES,
    NANO_CPUS,
    PAIRS,
    health_check,
    hosts,
    labels,
    mounts,
)
from pairlab.plugin.docker._mapping import WHOLE, Codec, Mapped
from pairlab.plugin.resource import Property, Values

ANY_ADDRESS = "0.0.0.0"


def _ports_document(ports: list[Values]) -> Values:
    bindings: dict[str, list[Values]] = {}
    for port in ports:
        binding = {"HostIp": port.get("ip", ANY_ADDRESS), "HostPort": str(port.get("external") or "")}
        bindings.setdefault(f"{port['internal']}/{port.get('protocol', 'tcp')}", []).append(binding)
    return {"ExposedPorts": {key: {} for key in bindings}, "HostConfig": {"PortBindings": bindings}}


def _ports_of(document: Values) -> list[Values]:
    used = (document.get("NetworkSettings") or {}).get("Ports") or {}
    ports = []
    for key, wanted in sorted(((document.get("HostConfig") or {}).get("PortBindings") or {}).items()):
        internal, _, protocol = key.partition("/")
        for binding in wanted:
            ip = binding.get("HostIp") or ANY_ADDRESS
            chosen = [b["HostPort"] for b in used.get(key) or () if b["HostIp"] == ip]
            external = binding.get("HostPort") or (chosen[0] if chosen else "")
            port: Values = {"internal": int(internal), "ip": ip, "protocol": protocol or "tcp"}
            ports.append(port | ({"external": int(external)} if external else {}))
    return ports


def _volumes_document(volumes: list[Values]) -> Values:
    binds, sources, anonymous = [], [], {}
    for volume in volumes:
        mode = "ro" if volume.get("readOnly") else "rw"
        place = volume.get("hostPath") or volume.get("volumeName")
        if volume.get("fromContainer"):
            sources.append(volume["fromContainer"])
        elif place:
            binds.append(f"{place}:{volume['containerPath']}:{mode}")
        else:
            anonymous[volume["containerPath"]] = Values()
    document: Values = {"HostConfig": {"Binds": binds, "VolumesFrom": sources}}
    return document | ({"Volumes": anonymous} if anonymous else {})


def _volumes_of(document: Values) -> list[Values]:
    config = document.get("HostConfig") or {}
    volumes: list[Values] = [{"fromContainer": source} for source in config.get("VolumesFrom") or ()]
    for bind in config.get("Binds") or ():
        place, path, mode = (bind + ":rw").split(":")[:3]
        kind = "hostPath" if place.startswith("/") else "volumeName"
        volumes.append({kind: place, "containerPath": path, "readOnly": "ro" in mode.split(",")})
    bound = {volume.get("containerPath") for volume in volumes}
    anonymous = [path for path in (document.get("Config") or {}).get("Volumes") or () if path not in bound]
    return volumes + [{"containerPath": path} for path in anonymous]


PORTS = Codec(_ports_document, _ports_of)
VOLUMES = Codec(_volumes_document, _volumes_of)


def _text(key: str, *, computed: bool = False) -> Mapped:
    return Mapped(str, replace=True, computed=computed, key=key)


def _set(key: str, *, computed: bool = False) -> Mapped:
    return Mapped(list, replace=True, computed=computed, key=key, unordered=True)


def _flag(key: str) -> Mapped:
    return Mapped(bool, default=False, replace=True, key=key)


_PORT = {
    "internal": Mapped(int, required=True, key="internal"),
    "external": Mapped(int, computed=True, key="external"),
    "ip": Mapped(str, default=ANY_ADDRESS, key="ip"),
    "protocol": Mapped(str, default="tcp", choices=("tcp", "udp", "sctp"), key="protocol"),
}
_VOLUME = {
    "containerPath": Mapped(str, key="containerPath"),
    "hostPath": Mapped(str, key="hostPath"),
    "volumeName": Mapped(str, key="volumeName"),
    "fromContainer": Mapped(str, key="fromContainer"),
    "readOnly": Mapped(bool, key="readOnly"),
}
_UPLOAD = {
    "file": Mapped(str, required=True),
    "content": Mapped(str),
    "contentBase64": Mapped(str),
    "source": Mapped(str),
    "sourceHash": Mapped(str),
    "executable": Mapped(bool, default=False),
    "permissions": Mapped(str),
}
_NETWORK = {
    "name": Mapped(str, required=True),
    "aliases": Mapped(list, unordered=True),
    "ipv4Address": Mapped(str),
    "ipv6Address": Mapped(str),
}
_ULIMIT = {
    "name": Mapped(str, required=True, key="Name"),
    "soft": Mapped(int, required=True, key="Soft"),
    "hard": Mapped(int, required=True, key="Hard"),
}
_DEVICE = {
    "hostPath": Mapped(str, required=True, key="PathOnHost"),
    "containerPath": Mapped(str, computed=True, key="PathInContainer"),
    "permissions": Mapped(str, computed=True, key="CgroupPermissions"),
}
_CAPABILITIES = {
    "adds": Mapped(list, key="CapAdd", codec=CAPABILITIES, unordered=True),
    "drops": Mapped(list, key="CapDrop", codec=CAPABILITIES, unordered=True),
}

PROCESS: Mapping[str, Property] = {
    "name": Mapped(str, required=True, replace=True),
    "image": Mapped(str, required=True, replace=True, key="Image"),
    "command": Mapped(list, replace=True, computed=True, key="Cmd"),
    "entrypoints": Mapped(list, replace=True, computed=True, key="Entrypoint"),
    "envs": Mapped(list, replace=True, computed=True, unordered=True, key="Env", codec=PAIRS),
    "hostname": _text("Hostname", computed=True),
    "domainname": _text("Domainname"),
    "user": _text("User", computed=True),
    "workingDir": _text("WorkingDir", computed=True),
    "labels": labels("Labels", replace=True, computed=True),
    "stopSignal": _text("StopSignal", computed=True),
    "stopTimeout": Mapped(int, replace=True, computed=True, key="StopTimeout"),
    "healthcheck": health_check("Healthcheck", replace=True),
    "tty": _flag("Tty"),
    "stdinOpen": _flag("OpenStdin"),
    "ports": Mapped(list, replace=True, unordered=True, key=WHOLE, codec=PORTS, fields=_PORT),
    "volumes": Mapped(list, replace=True, unordered=True, key=WHOLE, codec=VOLUMES, fields=_VOLUME),
}
HOST: Mapping[str, Property] = {
    "mounts": mounts("HostConfig.Mounts", replace=True),
    "tmpfs": Mapped(dict, replace=True, key="HostConfig.Tmpfs"),
    "capabilities": Mapped(dict, replace=True, key="HostConfig", fields=_CAPABILITIES),
    "readOnly": _flag("HostConfig.ReadonlyRootfs"),
    "privileged": Mapped(bool, replace=True, key="HostConfig.Privileged"),
    "publishAllPorts": Mapped(bool, replace=True, key="HostConfig.PublishAllPorts"),
    "init": Mapped(bool, replace=True, computed=True, key="HostConfig.Init"),
    "rm": Mapped(bool, default=False, replace=True, key="HostConfig.AutoRemove"),
    "restart": Mapped(
        str,
        default="no",
        choices=("no", "on-failure", "always", "unless-stopped"),
        key="HostConfig.RestartPolicy.Name",
    ),
    "maxRetryCount": Mapped(int, key="HostConfig.RestartPolicy.MaximumRetryCount"),
    "memory": Mapped(int, removable=False, key="HostConfig.Memory", codec=MEBIBYTES),
    "memorySwap": Mapped(int, computed=True, key="HostConfig.MemorySwap", codec=MEBIBYTES),
    "shmSize": Mapped(int, replace=True, computed=True, key="HostConfig.ShmSize", codec=MEBIBYTES),
    "cpuShares": Mapped(int, removable=False, key="HostConfig.CpuShares"),
    "cpuSet": Mapped(str, removable=False, key="HostConfig.CpusetCpus"),
    "cpus": Mapped(str, replace=True, key="HostConfig.NanoCpus", codec=NANO_CPUS),
    "networkMode": Mapped(str, default="bridge", replace=True, key="HostConfig.NetworkMode"),
    "pidMode": _text("HostConfig.PidMode"),
    "ipcMode": _text("HostConfig.IpcMode", computed=True),
    "usernsMode": _text("HostConfig.UsernsMode"),
    "cgroupParent": _text("HostConfig.CgroupParent"),
    "runtime": _text("HostConfig.Runtime", computed=True),
    "groupAdds": _set("HostConfig.GroupAdd"),
    "securityOpts": _set("HostConfig.SecurityOpt", computed=True),
    "dns": _set("HostConfig.Dns"),
    "dnsOpts": _set("HostConfig.DnsOptions"),
    "dnsSearches": _set("HostConfig.DnsSearch"),
    "hosts": hosts("HostConfig.ExtraHosts", HOST_COLON_IP, replace=True),
    "sysctls": Mapped(dict, replace=True, key="HostConfig.Sysctls"),
    "storageOpts": Mapped(dict, replace=True, key="HostConfig.StorageOpt"),
    "logDriver": _text("HostConfig.LogConfig.Type", computed=True),
    "logOpts": Mapped(dict, replace=True, key="HostConfig.LogConfig.Config"),
    "ulimits": Mapped(list, replace=True, key="HostConfig.Ulimits", unordered=True, fields=_ULIMIT),
    "devices": Mapped(
        list, replace=True, key="HostConfig.Devices", codec=DEVICES, unordered=True, fields=_DEVICE
    ),
}
HANDLING: Mapping[str, Property] = {
    "networksAdvanced": Mapped(list, replace=True, unordered=True, fields=_NETWORK),
    "uploads": Mapped(list, replace=True, unordered=True, fields=_UPLOAD),
    "start": Mapped(bool, default=True),
    "mustRun": Mapped(bool, default=True),
    "attach": Mapped(bool, default=False),
    "logs": Mapped(bool, default=False),
    "wait": Mapped(bool, default=False),
    "waitTimeout": Mapped(int, default=60),
    "destroyGraceSeconds": Mapped(int),
    "removeVolumes": Mapped(bool, default=True),
    "containerReadRefreshTimeoutMilliseconds": Mapped(int, default=15000),
}
CONTAINER: Mapping[str, Property] = {**PROCESS, **HOST, **HANDLING}


def inspected(document: Values) -> Any:
    """What inspection tells, in the shape that creation takes."""
    return {**document, **document["Config"]}
