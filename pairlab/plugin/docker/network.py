"""`docker:index/network:Network`: a network of one engine, or an overlay of a Swarm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pairlab.errors import PluginError
from pairlab.plugin.docker._codecs import labels
from pairlab.plugin.docker._mapping import Mapped, decode, encode
from pairlab.plugin.docker._resource import DockerResource
from pairlab.plugin.docker.client import CONFLICT, found, name_taken, said, wait_until
from pairlab.plugin.resource import Context, Property, Values

GONE_TIMEOUT_S = 60.0
"""A service's endpoints leave an overlay some moments after its containers."""


class Served(DockerResource):
    """A network. Its id is the engine's.

    Source: kreuzwerker/terraform-provider-docker v3, internal/provider/resource_docker_network.go
    """

    token = "docker:index/network:Network"
    properties: ClassVar[Mapping[str, Property]] = {
        "name": Mapped(str, required=True, replace=True, key="Name"),
        "driver": Mapped(str, replace=True, computed=True, key="Driver"),
        "attachable": Mapped(bool, replace=True, key="Attachable"),
        "internal": Mapped(bool, replace=True, computed=True, key="Internal"),
        "ingress": Mapped(bool, replace=True, key="Ingress"),
        "ipv6": Mapped(bool, replace=True, key="EnableIPv6"),
        "labels": labels("Labels", replace=True),
        "options": Mapped(dict, replace=True, computed=True, key="Options"),
        "ipamDriver": Mapped(str, default="default", replace=True, key="IPAM.Driver"),
        "ipamOptions": Mapped(dict, replace=True, computed=True, key="IPAM.Options"),
        "ipamConfigs": Mapped(
            list,
            replace=True,
            computed=True,
            unordered=True,
            key="IPAM.Config",
            fields={
                "subnet": Mapped(str, computed=True, key="Subnet"),
                "ipRange": Mapped(str, computed=True, key="IPRange"),
                "gateway": Mapped(str, computed=True, key="Gateway"),
                "auxAddress": Mapped(dict, computed=True, key="AuxiliaryAddresses"),
            },
        ),
    }
    outputs = ("scope",)
    stable = ("scope",)

    def create(self, inputs: Values, context: Context) -> tuple[str, Values]:
        """See `Resource.create`; an overlay that gets no driver is removed again."""
        from docker.errors import APIError

        name = inputs["name"]
        document = encode(self.properties, inputs)
        with self.making(inputs, context) as made, self.client.doing(f"creating network {name!r}") as api:
            try:
                made.resource_id = api.create_network(
                    name,
                    driver=document.get("Driver"),
                    options=document.get("Options"),
                    ipam=document.get("IPAM"),
                    check_duplicate=True,
                    internal=document.get("Internal", False),
                    labels=document.get("Labels"),
                    enable_ipv6=document.get("EnableIPv6", False),
                    attachable=document.get("Attachable"),
                    ingress=document.get("Ingress"),
                )["Id"]
            except APIError as error:
                if error.status_code == CONFLICT and "already exists" in said(error):
                    raise name_taken("network", name) from error
                raise
            document = _allocated(api, made.resource_id, context)
            return made.resource_id, self._recorded(document, inputs)

    def read(self, resource_id: str, state: Values, context: Context) -> Values | None:
        """See `Resource.read`."""
        with self.client.doing(f"reading network {resource_id}") as api:
            document = found(api.inspect_network, resource_id)
            return None if document is None else self._recorded(document, state)

    def update(self, resource_id: str, state: Values, inputs: Values, context: Context) -> Values:
        """Nothing of a network changes in place: only what means the same is recorded anew."""
        return {**state, **inputs}

    def delete(self, resource_id: str, state: Values, context: Context) -> None:
        """See `Resource.delete`; waits for endpoints that are about to leave."""
        name = state.get("name", resource_id)
        with self.client.doing(f"deleting network {name!r}") as api:
            timeout_s = min(context.timeout_s, GONE_TIMEOUT_S)
            if not wait_until(lambda: _gone(api, resource_id), timeout_s, context):
                holders = _holders(api, resource_id)
                raise PluginError(
                    f"network {name!r} is still in use{f' by {holders}' if holders else ''}",
                    hint="disconnect what uses it, or remove that, and run again",
                )

    def _recorded(self, document: Values, recorded: Values) -> Values:
        values = {**decode(self.properties, document), "scope": document.get("Scope", "")}
        return self.settled(recorded, values)


def _allocated(api: Any, network: str, context: Context) -> Values:
    """The network with all its values: a Swarm answers before it has given a new overlay its driver."""

    def driven() -> Values | None:
        document: Values = api.inspect_network(network)
        return document if document.get("Driver") else None

    document: Values | None = wait_until(driven, context.timeout_s, context)
    if document is None:
        raise PluginError(
            f"the Swarm gave network {network} no driver",
            hint="see `docker node ls` for a manager that is not ready, and run again",
        )
    return document


def _gone(api: Any, network: str) -> bool:
    from docker.errors import APIError, NotFound

    try:
        api.remove_network(network)
    except NotFound:
        return True
    except APIError as error:
        # An overlay leaves the engine by itself once no container is in it, perhaps this very moment.
        if not any(words in said(error) for words in ("active endpoints", "in use", "not found")):
            raise
    return found(api.inspect_network, network) is None


def _holders(api: Any, network: str) -> str:
    document = found(api.inspect_network, network) or {}
    return ", ".join(sorted(item.get("Name", "") for item in (document.get("Containers") or {}).values()))
