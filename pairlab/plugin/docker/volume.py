"""`docker:index/volume:Volume`: a named volume of one engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pairlab.errors import PluginError
from pairlab.plugin.docker._codecs import labels
from pairlab.plugin.docker._mapping import Mapped, decode
from pairlab.plugin.docker._resource import DockerResource
from pairlab.plugin.docker.client import CONFLICT, found, name_taken, wait_until
from pairlab.plugin.resource import Context, Property, Values

GONE_TIMEOUT_S = 20.0


class Served(DockerResource):
    """A volume. Its id is its name.

    Source: kreuzwerker/terraform-provider-docker v3, internal/provider/resource_docker_volume.go
    """

    token = "docker:index/volume:Volume"
    properties: ClassVar[Mapping[str, Property]] = {
        "name": Mapped(str, required=True, replace=True, key="Name"),
        "driver": Mapped(str, replace=True, computed=True, key="Driver"),
        "driverOpts": Mapped(dict, replace=True, key="Options"),
        "labels": labels("Labels", replace=True),
    }
    outputs = ("mountpoint",)
    stable = ("mountpoint",)

    def create(self, inputs: Values, context: Context) -> tuple[str, Values]:
        """See `Resource.create`."""
        name = inputs["name"]
        given = {item["label"]: item["value"] for item in inputs.get("labels") or []}
        with self.client.doing(f"creating volume {name!r}") as api:
            # The engine would hand out somebody's volume of that name, and its data would go with this stack.
            if found(api.inspect_volume, name) is not None:
                raise name_taken("volume", name)
            made = api.create_volume(name, inputs.get("driver"), inputs.get("driverOpts"), given)
            return made["Name"], self._recorded(made, inputs)

    def read(self, resource_id: str, state: Values, context: Context) -> Values | None:
        """See `Resource.read`."""
        with self.client.doing(f"reading volume {resource_id!r}") as api:
            document = found(api.inspect_volume, resource_id)
            return None if document is None else self._recorded(document, state)

    def update(self, resource_id: str, state: Values, inputs: Values, context: Context) -> Values:
        """Nothing of a volume changes in place: only what means the same is recorded anew."""
        return {**state, **inputs}

    def delete(self, resource_id: str, state: Values, context: Context) -> None:
        """See `Resource.delete`; waits for containers that are about to go."""
        with self.client.doing(f"deleting volume {resource_id!r}") as api:
            if not wait_until(lambda: _gone(api, resource_id), GONE_TIMEOUT_S, context):
                users = api.containers(all=True, filters={"volume": resource_id})
                names = ", ".join(sorted(name.lstrip("/") for user in users for name in user["Names"]))
                raise PluginError(
                    f"volume {resource_id!r} is still in use by {names or 'a container'}",
                    hint="remove what uses it and run again",
                )

    def _recorded(self, document: Values, recorded: Values) -> Values:
        values = {**decode(self.properties, document), "mountpoint": document.get("Mountpoint", "")}
        return self.settled(recorded, values)


def _gone(api: Any, name: str) -> bool:
    from docker.errors import APIError, NotFound

    try:
        api.remove_volume(name)
    except NotFound:
        return True
    except APIError as error:
        if error.status_code != CONFLICT:
            raise
        return False
    return True
