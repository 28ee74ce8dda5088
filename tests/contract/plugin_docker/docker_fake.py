"""A Docker engine with a Swarm, in memory: what the docker plugin uses of its API, with its habits."""

from __future__ import annotations

import copy
import itertools
from types import SimpleNamespace
from typing import Any

from docker.errors import APIError, NotFound

NETWORK_DEFAULTS = {"Driver": "bridge", "Internal": False, "Attachable": False, "Ingress": False}
STARTED = "running"


def refused(status: int, words: str) -> APIError:
    kind = NotFound if status == 404 else APIError
    return kind(words, response=SimpleNamespace(status_code=status, url="", reason=""), explanation=words)


class FakeDocker:
    """Knows the images that it is given; a container whose command begins with `say` ends at once."""

    def __init__(self, *images: str) -> None:
        self._numbers = itertools.count(1)
        self._images = {name: {"Id": f"sha256:{n:064x}", "RepoTags": [name]} for n, name in enumerate(images)}
        self._kept: dict[str, dict[str, Any]] = {
            kind: {} for kind in ("network", "volume", "secret", "config", "service", "container")
        }
        self._tasks: list[dict[str, Any]] = []
        self._unallocated: set[str] = set()

    def _id(self) -> str:
        return f"{next(self._numbers):025x}"

    def _find(self, kind: str, key: str) -> Any:
        for found_id, item in self._kept[kind].items():
            if key in (found_id, item.get("Name", "").lstrip("/"), item.get("Spec", {}).get("Name")):
                return item
        raise refused(404, f"no such {kind}: {key}")

    def _is_new(self, kind: str, name: str, words: str) -> None:
        try:
            self._find(kind, name)
        except NotFound:
            return
        raise refused(409, words)

    # Networks and volumes

    def create_network(self, name: str, **given: Any) -> Any:
        self._is_new("network", name, f"network with name {name} already exists")
        given = {key: value for key, value in given.items() if value is not None}
        pool = [{"Subnet": "10.9.0.0/24", "Gateway": "10.9.0.1"}]
        ipam = {"Driver": "default", "Config": pool, "Options": None} | given.get("ipam", {})
        ipam["Config"] = [{"Gateway": "10.9.0.1"} | one for one in ipam["Config"]]
        made = NETWORK_DEFAULTS | {
            "Id": self._id(),
            "Name": name,
            "Driver": given.get("driver", "bridge"),
            "Attachable": given.get("attachable", False),
            "Internal": given.get("internal", False),
            "EnableIPv6": given.get("enable_ipv6", False),
            "Options": {"engine.own": "1"} | given.get("options", {}),
            "Labels": given.get("labels") or {},
            "IPAM": ipam,
            "Scope": "swarm" if given.get("driver") == "overlay" else "local",
        }
        self._kept["network"][made["Id"]] = made
        if made["Scope"] == "swarm":
            self._unallocated.add(made["Id"])
        return {"Id": made["Id"]}

    def inspect_network(self, key: str) -> Any:
        network = copy.deepcopy(self._find("network", key))
        users = [c for c in self._kept["container"].values() if network["Name"] in _networks_of(c)]
        network["Containers"] = {user["Id"]: {"Name": user["Name"].lstrip("/")} for user in users}
        if network["Id"] in self._unallocated:  # a Swarm may take a moment; this one always does
            self._unallocated.remove(network["Id"])
            return network | {"Driver": "", "IPAM": {"Driver": "", "Config": None, "Options": None}}
        return network

    def remove_network(self, key: str) -> None:
        network = self.inspect_network(key)
        if network["Containers"]:
            raise refused(403, f"network {network['Name']} has active endpoints")
        del self._kept["network"][network["Id"]]

    def create_volume(self, name: str, driver: Any, options: Any, labels: Any) -> Any:
        made = {"Name": name, "Driver": driver or "local", "Options": options, "Labels": labels}
        self._kept["volume"][name] = made | {"Mountpoint": f"/var/lib/{name}"}
        return self._kept["volume"][name]

    def inspect_volume(self, key: str) -> Any:
        return self._find("volume", key)

    def remove_volume(self, key: str) -> None:
        del self._kept["volume"][self._find("volume", key)["Name"]]

    # Images

    def inspect_image(self, name: str) -> Any:
        if name not in self._images:
            raise refused(404, f"No such image: {name}")
        return self._images[name]

    def remove_image(self, name: str, force: bool = False) -> None:
        self.inspect_image(name)
        del self._images[name]

    # Secrets and configs

    def _create_file(self, kind: str, name: str, data: bytes, labels: Any) -> Any:
        import base64

        self._is_new(kind, name, f"{kind} {name} already exists")
        spec = {"Name": name, "Labels": labels}
        if kind == "config":
            spec["Data"] = base64.b64encode(data).decode()
        made = {"ID": self._id(), "Spec": spec}
        self._kept[kind][made["ID"]] = made
        return {"ID": made["ID"]}

    def create_secret(self, name: str, data: bytes, labels: Any) -> Any:
        return self._create_file("secret", name, data, labels)

    def create_config(self, name: str, data: bytes, labels: Any) -> Any:
        return self._create_file("config", name, data, labels)

    def inspect_secret(self, key: str) -> Any:
        return self._find("secret", key)

    def inspect_config(self, key: str) -> Any:
        return self._find("config", key)

    def remove_secret(self, key: str) -> None:
        del self._kept["secret"][self._find("secret", key)["ID"]]

    def remove_config(self, key: str) -> None:
        del self._kept["config"][self._find("config", key)["ID"]]

    # Services

    def create_service(self, task_template: Any, name: str, **spec: Any) -> Any:
        self._is_new("service", name, f"name conflicts with an existing object: {name}")
        made = {"ID": self._id(), "Version": {"Index": 1}, "Spec": self._spec(task_template, name, spec)}
        self._kept["service"][made["ID"]] = made
        self._schedule(made)
        return {"ID": made["ID"]}

    def update_service(self, key: str, version: int, task_template: Any = None, **spec: Any) -> None:
        service = self._find("service", key)
        assert version == service["Version"]["Index"]
        before = service["Spec"]
        service.pop("UpdateStatus", None)
        if spec.pop("fetch_current_spec", False):
            service["Spec"] = before | {"Mode": spec["mode"]}
        else:
            service["Spec"] = self._spec(task_template, spec.pop("name"), spec)
        service["Version"] = {"Index": version + 1}
        if not self._schedule(service):
            rolls_back = (service["Spec"].get("UpdateConfig") or {}).get("FailureAction") == "rollback"
            service["UpdateStatus"] = {"State": "rollback_completed" if rolls_back else "paused"}
            if rolls_back:
                service["Spec"] = before
                self._schedule(service)

    def _spec(self, task: Any, name: str, spec: Any) -> Any:
        task = copy.deepcopy(task)
        task["ContainerSpec"].setdefault("Isolation", "default")
        task.setdefault("Runtime", "container")
        for place in task.get("Networks") or []:
            place["Target"] = self._find("network", place["Target"])["Id"]
        keys = {"mode": "Mode", "labels": "Labels", "endpoint_spec": "EndpointSpec"}
        keys |= {"update_config": "UpdateConfig", "rollback_config": "RollbackConfig"}
        given = {keys[key]: copy.deepcopy(value) for key, value in spec.items() if value is not None}
        one = {"Replicated": {"Replicas": 1}}
        return (
            {"Name": name, "Mode": one, "EndpointSpec": {"Mode": "vip"}, "Labels": {}}
            | given
            | {"TaskTemplate": task}
        )

    def _schedule(self, service: Any) -> bool:
        """Start its tasks; whether they stay."""
        container = service["Spec"]["TaskTemplate"]["ContainerSpec"]
        self._tasks = [t for t in self._tasks if t["ServiceID"] != service["ID"] or t["Status"].get("Err")]
        known = container["Image"] in self._images
        ends = (container.get("Args") or [""])[0] == "say"
        state, error = (
            (STARTED, "") if known and not ends else ("rejected", f"No such image: {container['Image']}")
        )
        if ends:
            state, error = "failed", "task: non-zero exit (7)"
        replicated = service["Spec"]["Mode"].get("Replicated") or {"Replicas": 1}
        for _ in range(replicated["Replicas"]):
            status = {"State": state, "Timestamp": self._id()} | ({"Err": error} if error else {})
            task = {"ID": self._id(), "ServiceID": service["ID"], "Status": status}
            task["DesiredState"] = STARTED if not error else "shutdown"
            self._tasks.append(task | {"Spec": service["Spec"]["TaskTemplate"]})
        return state == STARTED

    def inspect_service(self, key: str) -> Any:
        return copy.deepcopy(self._find("service", key))

    def tasks(self, filters: Any = None) -> Any:
        if not filters:
            return self._tasks
        service = self._find("service", filters["service"])
        return [task for task in self._tasks if task["ServiceID"] == service["ID"]]

    def remove_service(self, key: str) -> None:
        service = self._find("service", key)
        del self._kept["service"][service["ID"]]
        self._tasks = [task for task in self._tasks if task["ServiceID"] != service["ID"]]

    def services(self, filters: Any) -> Any:
        return [s for s in self._kept["service"].values() if filters["name"] in s["Spec"]["Name"]]

    # Containers

    def create_container_from_config(self, config: Any, name: str) -> Any:
        self._is_new("container", name, f"The container name /{name} is already in use")
        self.inspect_image(config["Image"])
        host = copy.deepcopy(config.pop("HostConfig", {}))
        networking = config.pop("NetworkingConfig", {}).get("EndpointsConfig") or {}
        made_id = self._id()
        settings = {
            "Networks": {
                self._find("network", key)["Name"]: end | {"NetworkID": self._find("network", key)["Id"]}
                for key, end in networking.items()
            },
            "Ports": {},
        }
        settings["Networks"] = settings["Networks"] or {"bridge": {}}
        image = {"Env": ["FROM=image"], "Labels": {"from": "image"}, "Hostname": made_id[:12]}
        image["Env"] = [*config.pop("Env", []), *image["Env"]]
        image["Labels"] = image["Labels"] | config.pop("Labels", {})
        self._kept["container"][made_id] = {
            "Id": made_id,
            "Name": f"/{name}",
            "Image": self._images[config["Image"]]["Id"],
            "Config": image | config,
            "HostConfig": {"ShmSize": 64 * 1024**2, "Memory": 0, "LogConfig": {"Type": "json-file"}} | host,
            "NetworkSettings": settings,
            "State": {"Running": False, "ExitCode": 0},
            "Log": b"",
        }
        return {"Id": made_id}

    def connect_container_to_network(self, key: str, network: str, **_given: Any) -> None:
        networks = self._find("container", key)["NetworkSettings"]["Networks"]
        there = self._find("network", network)
        networks[there["Name"]] = {"NetworkID": there["Id"]}

    def put_archive(self, key: str, path: str, data: bytes) -> bool:
        import io
        import tarfile

        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            files = {f"/{member.name}": tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
        self._find("container", key).setdefault("Files", {}).update(files)
        return True

    def start(self, key: str) -> None:
        container = self._find("container", key)
        command = container["Config"].get("Cmd") or [""]
        container["State"] = {"Running": command[0] != "say", "ExitCode": 0}
        if command[0] == "say":
            container["State"]["ExitCode"] = int((*command, "0")[2])
            container["Log"] = command[1].encode() + b"\n"
        if command[0] == "show":
            container["Log"] = container["Files"][command[1]] + b"\n"

    def stop(self, key: str, timeout: Any = None) -> None:
        self._find("container", key)["State"] = {"Running": False, "ExitCode": 0}

    def wait(self, key: str, timeout: Any = None) -> Any:
        return {"StatusCode": self._find("container", key)["State"]["ExitCode"]}

    def logs(self, key: str, tail: Any = "all") -> bytes:
        return bytes(self._find("container", key)["Log"])

    def inspect_container(self, key: str) -> Any:
        return copy.deepcopy(self._find("container", key))

    def update_container(self, key: str, **changes: Any) -> None:
        names = {"restart_policy": "RestartPolicy", "mem_limit": "Memory", "cpu_shares": "CpuShares"}
        names |= {"memswap_limit": "MemorySwap", "cpuset_cpus": "CpusetCpus"}
        host = self._find("container", key)["HostConfig"]
        # Nothing, 0 and an empty text change nothing.
        host.update({names[name]: value for name, value in changes.items() if value})

    def containers(self, filters: Any, **_: Any) -> Any:
        return []

    def remove_container(self, key: str, v: bool = False, link: bool = False, force: bool = False) -> None:
        del self._kept["container"][self._find("container", key)["Id"]]


def _networks_of(container: Any) -> Any:
    return container["NetworkSettings"]["Networks"]
