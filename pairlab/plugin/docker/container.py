"""`docker:index/container:Container`: one container of one engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pairlab.errors import PluginError
from pairlab.plugin.docker._container_properties import CONTAINER, inspected
from pairlab.plugin.docker._mapping import Mapped, decode, encode, merge
from pairlab.plugin.docker._resource import DockerResource
from pairlab.plugin.docker._uploads import archive, upload_failures
from pairlab.plugin.docker.client import CONFLICT, found, name_taken, said, wait_until
from pairlab.plugin.resource import Context, Failure, Property, Values

LOG_LINES = 10
GONE_TIMEOUT_S = 60.0
IN_PLACE = {
    "restart": "RestartPolicy",
    "maxRetryCount": "RestartPolicy",
    "memory": "mem_limit",
    "memorySwap": "memswap_limit",
    "cpuShares": "cpu_shares",
    "cpuSet": "cpuset_cpus",
}
"""Properties that the engine changes in a container -> what docker-py calls them.

It takes nothing, 0 and an empty text for no change, so that a limit goes with its container only.
"""


class Served(DockerResource):
    """A container. Its id is the engine's.

    Source: kreuzwerker/terraform-provider-docker v3, internal/provider/resource_docker_container_funcs.go
    """

    token = "docker:index/container:Container"
    properties: ClassVar[Mapping[str, Property]] = CONTAINER
    outputs = ("exitCode", "bridge", "networkDatas", "containerLogs")

    @classmethod
    def validate(cls, inputs: Values) -> list[Failure]:
        """Refuse uploads without content, and waiting for the end of what must run."""
        failures = super().validate(inputs) + upload_failures(inputs.get("uploads"))
        if inputs.get("attach") is True and inputs.get("mustRun") is True:
            failures.append(Failure("mustRun", "must be false where attach waits for the container's end"))
        command = inputs.get("command")
        if isinstance(command, list) and "" in command:
            failures.append(Failure("command", "has an empty word"))
        return failures

    @classmethod
    def deletes_first(cls, old: Values, new: Values) -> bool:
        """A published port is taken like a name."""
        return bool(old.get("ports")) or super().deletes_first(old, new)

    def create(self, inputs: Values, context: Context) -> tuple[str, Values]:
        """See `Resource.create`; a container that does not run as it must is removed again."""
        from docker.errors import APIError

        name = inputs["name"]
        with self.making(inputs, context) as made, self.client.doing(f"creating container {name!r}") as api:
            try:
                made.resource_id = api.create_container_from_config(_document(inputs), name)["Id"]
            except APIError as error:
                if error.status_code == CONFLICT and "already in use" in said(error):
                    raise name_taken("container", name) from error
                raise
            logs = _bring_up(api, made.resource_id, inputs, context)
            return made.resource_id, self._recorded(api.inspect_container(made.resource_id), inputs, logs)

    def read(self, resource_id: str, state: Values, context: Context) -> Values | None:
        """See `Resource.read`; one that must run but does not is recorded so: an update starts it."""
        with self.client.doing(f"reading container {resource_id}") as api:
            document = found(api.inspect_container, resource_id)
            if document is None:
                return None
            values = self._recorded(document, state, state.get("containerLogs"))
            stopped = state.get("start") and not document["State"]["Running"]
            return values | ({"mustRun": False} if stopped else {})

    def update(self, resource_id: str, state: Values, inputs: Values, context: Context) -> Values:
        """Change limits and the restart policy in place, and start it if it must run."""
        with self.client.doing(f"updating container {inputs['name']!r}") as api:
            changed = [
                name
                for name, word in IN_PLACE.items()
                if self.differs(name, state.get(name), inputs.get(name))
                # One that is not given is not to be taken away here: the program ignores its changes.
                and (inputs.get(name) is not None or word == "RestartPolicy")
            ]
            if changed:
                api.update_container(resource_id, **_changes(changed, inputs))
            if (
                inputs["start"]
                and inputs["mustRun"]
                and not api.inspect_container(resource_id)["State"]["Running"]
            ):
                api.start(resource_id)
                _await_running(api, resource_id, inputs, context)
            return self._recorded(api.inspect_container(resource_id), inputs, state.get("containerLogs"))

    def delete(self, resource_id: str, state: Values, context: Context) -> None:
        """See `Resource.delete`; with `destroyGraceSeconds` it is asked to stop first."""
        with self.client.doing(f"deleting container {state.get('name', resource_id)!r}") as api:
            grace_s = state.get("destroyGraceSeconds")
            if grace_s:
                found(lambda: api.stop(resource_id, timeout=grace_s))
            volumes = state.get("removeVolumes", True)

            def gone() -> bool:
                _remove(api, resource_id, volumes)
                return found(api.inspect_container, resource_id) is None

            if not wait_until(gone, GONE_TIMEOUT_S, context):
                raise PluginError(
                    f"container {state.get('name', resource_id)!r} is still being removed",
                    hint="the engine's log says what it waits for; run it again",
                )

    def _recorded(self, document: Values, recorded: Values, logs: str | None) -> Values:
        values = decode(self.properties, inspected(document))
        values["name"] = document["Name"].lstrip("/")
        attached = document["NetworkSettings"].get("Networks") or {}
        given = recorded.get("networksAdvanced")
        if given:
            # The first network is the mode; what the program said of the mode means nothing then.
            values["networkMode"] = recorded.get("networkMode")
            values["networksAdvanced"] = _networks(given, attached)
        state = document["State"]
        values |= {
            "exitCode": state.get("ExitCode") if not state["Running"] else None,
            "bridge": document["NetworkSettings"].get("Bridge"),
            "networkDatas": [_network_data(name, endpoint) for name, endpoint in sorted(attached.items())],
            "containerLogs": logs,
        }
        return self.settled(recorded, values)


def _document(inputs: Values) -> Values:
    document = encode(CONTAINER, inputs)
    networks = inputs.get("networksAdvanced")
    if networks:
        first = networks[0]["name"]
        endpoint = {first: _endpoint(networks[0])}
        merge(
            document,
            {"HostConfig": {"NetworkMode": first}, "NetworkingConfig": {"EndpointsConfig": endpoint}},
        )
    return document


def _endpoint(network: Values) -> Values:
    addresses = {"IPv4Address": network.get("ipv4Address"), "IPv6Address": network.get("ipv6Address")}
    known = {key: value for key, value in addresses.items() if value}
    return {"Aliases": network.get("aliases") or []} | ({"IPAMConfig": known} if known else {})


def _bring_up(api: Any, container: str, inputs: Values, context: Context) -> str | None:
    for network in (inputs.get("networksAdvanced") or [])[1:]:
        api.connect_container_to_network(
            container,
            network["name"],
            ipv4_address=network.get("ipv4Address"),
            ipv6_address=network.get("ipv6Address"),
            aliases=network.get("aliases"),
        )
    if inputs.get("uploads"):
        api.put_archive(container, "/", archive(inputs["uploads"]))
    if not inputs["start"]:
        return None
    api.start(container)
    if inputs["attach"]:
        api.wait(container, timeout=context.timeout_s)
        return _log_tail(api, container, "all") if inputs["logs"] else None
    if inputs["mustRun"]:
        _await_running(api, container, inputs, context)
    return None


def _await_running(api: Any, container: str, inputs: Values, context: Context) -> None:
    """Wait until it runs, and with `wait` until it is healthy.

    Raises:
        PluginError: It ended, or did not become healthy; with the tail of its log.
    """
    healthy = inputs["wait"]
    running_s = inputs["containerReadRefreshTimeoutMilliseconds"] / 1000
    timeout_s = float(inputs["waitTimeout"]) if healthy else running_s

    def ready() -> bool:
        state = api.inspect_container(container)["State"]
        if not state["Running"] and not state.get("Restarting"):
            raise _ended(api, container, inputs["name"], f"ended at once with exit code {state['ExitCode']}")
        if healthy and "Health" not in state:
            raise PluginError(
                f"container {inputs['name']!r} has no health check to wait for",
                hint="give it a healthcheck, or set wait to false",
            )
        return bool(state["Health"]["Status"] == "healthy" if healthy else state["Running"])

    if not wait_until(ready, timeout_s, context):
        wanted = "healthy" if healthy else "running"
        raise _ended(api, container, inputs["name"], f"was not {wanted} within {timeout_s:g} s")


def _ended(api: Any, container: str, name: str, how: str) -> PluginError:
    log = _log_tail(api, container, LOG_LINES).strip()
    return PluginError(
        f"container {name!r} {how}" + (f"; its log ends: {log}" if log else ""),
        hint="correct its command or its files; mustRun=False lets it end",
    )


def _log_tail(api: Any, container: str, lines: int | str) -> str:
    return bytes(api.logs(container, tail=lines)).decode(errors="replace")


def _networks(given: list[Values], attached: Mapping[str, Any]) -> list[Values]:
    """The networks it is in, each by the name or id that it was given by.

    An address is told where one was asked for: others are the engine's choice.
    """
    by_key = {network["name"]: network for network in given}
    networks = []
    for name, endpoint in attached.items():
        wanted = by_key.get(name) or by_key.get(endpoint.get("NetworkID", "")) or {"name": name}
        fixed = endpoint.get("IPAMConfig") or {}
        now = {"ipv4Address": fixed.get("IPv4Address"), "ipv6Address": fixed.get("IPv6Address")}
        networks.append(wanted | {key: now.get(key) for key in now if key in wanted})
    return networks


def _network_data(name: str, endpoint: Values) -> Values:
    return {
        "networkName": name,
        "ipAddress": endpoint.get("IPAddress", ""),
        "ipPrefixLength": endpoint.get("IPPrefixLen", 0),
        "gateway": endpoint.get("Gateway", ""),
        "globalIpv6Address": endpoint.get("GlobalIPv6Address", ""),
        "globalIpv6PrefixLength": endpoint.get("GlobalIPv6PrefixLen", 0),
        "ipv6Gateway": endpoint.get("IPv6Gateway", ""),
        "macAddress": endpoint.get("MacAddress", ""),
    }


def _changes(changed: list[str], inputs: Values) -> Values:
    changes: Values = {}
    for name in changed:
        if IN_PLACE[name] == "RestartPolicy":
            policy = {"Name": inputs["restart"], "MaximumRetryCount": inputs.get("maxRetryCount") or 0}
            changes["restart_policy"] = policy
            continue
        rule = CONTAINER[name]
        assert isinstance(rule, Mapped)
        changes[IN_PLACE[name]] = rule.codec.encode(inputs[name])
    return changes


def _remove(api: Any, container: str, volumes: bool) -> None:
    from docker.errors import APIError, NotFound

    try:
        api.remove_container(container, v=volumes, force=True)
    except NotFound:
        return
    except APIError as error:
        if error.status_code != CONFLICT:  # its removal is in progress already
            raise
