"""The properties of a Swarm service and their places in the engine's service specification.

Source: Docker Engine API, ServiceSpec; kreuzwerker/terraform-provider-docker v3, resource_docker_service.go
"""

from __future__ import annotations

from collections.abc import Mapping

from pairlab.plugin.docker._codecs import (
    CAPABILITIES,
    DRIVER_OPTIONS,
    DURATIONS,
    ENVIRONMENT,
    IP_SPACE_HOST,
    PRESENCE,
    RATIO,
    SPREADS,
    health_check,
    hosts,
    labels,
    mounts,
)
from pairlab.plugin.docker._mapping import Mapped
from pairlab.plugin.resource import Property

READABLE_BY_ALL = 0o444


def _file_reference(kind: str) -> Mapped:
    """`secrets` and `configs` of a container."""
    title = kind.title()
    fields = {
        f"{kind}Id": Mapped(str, required=True, key=f"{title}ID"),
        f"{kind}Name": Mapped(str, computed=True, key=f"{title}Name"),
        "fileName": Mapped(str, required=True, key="File.Name"),
        "fileUid": Mapped(str, default="0", key="File.UID"),
        "fileGid": Mapped(str, default="0", key="File.GID"),
        "fileMode": Mapped(int, default=READABLE_BY_ALL, key="File.Mode"),
    }
    return Mapped(list, key=f"{title}s", unordered=True, fields=fields)


CONTAINER: Mapping[str, Property] = {
    "image": Mapped(str, required=True, key="Image"),
    "labels": labels("Labels"),
    "commands": Mapped(list, key="Command"),
    "args": Mapped(list, key="Args"),
    "hostname": Mapped(str, key="Hostname"),
    "env": Mapped(dict, key="Env", codec=ENVIRONMENT),
    "dir": Mapped(str, key="Dir"),
    "user": Mapped(str, key="User"),
    "groups": Mapped(list, key="Groups"),
    "readOnly": Mapped(bool, key="ReadOnly"),
    "init": Mapped(bool, key="Init"),
    "mounts": mounts("Mounts"),
    "stopSignal": Mapped(str, key="StopSignal"),
    "stopGracePeriod": Mapped(str, computed=True, key="StopGracePeriod", codec=DURATIONS),
    "healthcheck": health_check("Healthcheck"),
    "hosts": hosts("Hosts", IP_SPACE_HOST),
    "dnsConfig": Mapped(
        dict,
        computed=True,
        key="DNSConfig",
        fields={
            "nameservers": Mapped(list, required=True, key="Nameservers"),
            "searches": Mapped(list, key="Search"),
            "options": Mapped(list, key="Options"),
        },
    ),
    "secrets": _file_reference("secret"),
    "configs": _file_reference("config"),
    "capAdds": Mapped(list, key="CapabilityAdd", codec=CAPABILITIES, unordered=True),
    "capDrops": Mapped(list, key="CapabilityDrop", codec=CAPABILITIES, unordered=True),
    "sysctl": Mapped(dict, key="Sysctls"),
}
AMOUNTS = {"nanoCpus": Mapped(int, key="NanoCPUs"), "memoryBytes": Mapped(int, key="MemoryBytes")}
TASK: Mapping[str, Property] = {
    "containerSpec": Mapped(dict, required=True, key="ContainerSpec", fields=CONTAINER),
    "networksAdvanceds": Mapped(
        list,
        key="Networks",
        unordered=True,
        fields={
            "id": Mapped(str, key="Target"),
            "name": Mapped(str),
            "aliases": Mapped(list, key="Aliases", unordered=True),
            "driverOpts": Mapped(list, key="DriverOpts", codec=DRIVER_OPTIONS, unordered=True),
        },
    ),
    "resources": Mapped(
        dict,
        computed=True,
        key="Resources",
        fields={
            "limits": Mapped(dict, key="Limits", fields=AMOUNTS),
            "reservation": Mapped(dict, key="Reservations", fields=AMOUNTS),
        },
    ),
    "restartPolicy": Mapped(
        dict,
        computed=True,
        key="RestartPolicy",
        fields={
            "condition": Mapped(str, computed=True, choices=("none", "on-failure", "any"), key="Condition"),
            "delay": Mapped(str, computed=True, key="Delay", codec=DURATIONS),
            "maxAttempts": Mapped(int, computed=True, key="MaxAttempts"),
            "window": Mapped(str, computed=True, key="Window", codec=DURATIONS),
        },
    ),
    "placement": Mapped(
        dict,
        computed=True,
        key="Placement",
        fields={
            "constraints": Mapped(list, key="Constraints", unordered=True),
            "prefs": Mapped(list, key="Preferences", codec=SPREADS),
            "maxReplicas": Mapped(int, key="MaxReplicas"),
            "platforms": Mapped(
                list,
                computed=True,
                unordered=True,
                key="Platforms",
                fields={
                    "architecture": Mapped(str, required=True, key="Architecture"),
                    "os": Mapped(str, required=True, key="OS"),
                },
            ),
        },
    ),
    "forceUpdate": Mapped(int, computed=True, key="ForceUpdate"),
    "runtime": Mapped(str, computed=True, choices=("container",), key="Runtime"),
    "logDriver": Mapped(
        dict,
        key="LogDriver",
        fields={"name": Mapped(str, required=True, key="Name"), "options": Mapped(dict, key="Options")},
    ),
}


def _change_rules(key: str, *actions: str) -> Mapped:
    """`updateConfig` and `rollbackConfig`."""
    fields = {
        "parallelism": Mapped(int, default=1, key="Parallelism"),
        "delay": Mapped(str, default="0s", key="Delay", codec=DURATIONS),
        "failureAction": Mapped(str, default="pause", choices=actions, key="FailureAction"),
        "monitor": Mapped(str, default="5s", key="Monitor", codec=DURATIONS),
        "maxFailureRatio": Mapped(str, default="0.0", key="MaxFailureRatio", codec=RATIO),
        "order": Mapped(str, default="stop-first", choices=("stop-first", "start-first"), key="Order"),
    }
    return Mapped(dict, key=key, fields=fields)


PORT = {
    "name": Mapped(str, key="Name"),
    "protocol": Mapped(str, default="tcp", choices=("tcp", "udp", "sctp"), key="Protocol"),
    "targetPort": Mapped(int, required=True, key="TargetPort"),
    "publishedPort": Mapped(int, computed=True, key="PublishedPort"),
    "publishMode": Mapped(str, default="ingress", choices=("ingress", "host"), key="PublishMode"),
}
SERVICE: Mapping[str, Property] = {
    "name": Mapped(str, required=True, replace=True, key="Name"),
    "labels": labels("Labels"),
    "taskSpec": Mapped(dict, required=True, key="TaskTemplate", fields=TASK),
    "mode": Mapped(
        dict,
        computed=True,
        key="Mode",
        fields={
            "replicated": Mapped(
                dict,
                computed=True,
                key="Replicated",
                fields={"replicas": Mapped(int, default=1, key="Replicas")},
            ),
            "global": Mapped(bool, replace=True, key="Global", codec=PRESENCE),
        },
    ),
    "updateConfig": _change_rules("UpdateConfig", "pause", "continue", "rollback"),
    "rollbackConfig": _change_rules("RollbackConfig", "pause", "continue"),
    "endpointSpec": Mapped(
        dict,
        computed=True,
        key="EndpointSpec",
        fields={
            "mode": Mapped(str, computed=True, choices=("vip", "dnsrr"), key="Mode"),
            "ports": Mapped(list, unordered=True, key="Ports", fields=PORT),
        },
    ),
    "convergeConfig": Mapped(
        dict,
        fields={
            "delay": Mapped(str, default="7s", codec=DURATIONS),
            "timeout": Mapped(str, default="3m", codec=DURATIONS),
        },
    ),
}
