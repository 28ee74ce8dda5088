"""Secrets and configs: both are bytes that a Swarm keeps under a name, and neither can be changed."""

from __future__ import annotations

import base64
from abc import abstractmethod
from typing import Any, ClassVar

from pairlab.plugin.docker._mapping import decode
from pairlab.plugin.docker._resource import DockerResource
from pairlab.plugin.docker.client import CONFLICT, found, name_taken
from pairlab.plugin.resource import Context, Values


class SwarmFile(DockerResource):
    """A secret or a config. Its id is the Swarm's."""

    kind: ClassVar[str]

    @abstractmethod
    def content(self, inputs: Values) -> bytes:
        """What it holds."""

    def create(self, inputs: Values, context: Context) -> tuple[str, Values]:
        """See `Resource.create`."""
        from docker.errors import APIError

        name = inputs["name"]
        labels = {item["label"]: item["value"] for item in inputs.get("labels") or []}
        with self.client.doing(f"creating {self.kind} {name!r}") as api:
            try:
                made = getattr(api, f"create_{self.kind}")(name, self.content(inputs), labels)
            except APIError as error:
                if error.status_code == CONFLICT:
                    raise name_taken(self.kind, name) from error
                raise
            return made["ID"], dict(inputs)

    def read(self, resource_id: str, state: Values, context: Context) -> Values | None:
        """See `Resource.read`."""
        with self.client.doing(f"reading {self.kind} {resource_id}") as api:
            document = found(getattr(api, f"inspect_{self.kind}"), resource_id)
            if document is None:
                return None
            return self.settled(state, decode(self.properties, document["Spec"]))

    def update(self, resource_id: str, state: Values, inputs: Values, context: Context) -> Values:
        """Nothing changes in place: only what means the same is recorded anew."""
        return dict(inputs)

    def delete(self, resource_id: str, state: Values, context: Context) -> None:
        """See `Resource.delete`."""
        name = state.get("name", resource_id)
        with self.client.doing(f"deleting {self.kind} {name!r}") as api:
            found(getattr(api, f"remove_{self.kind}"), resource_id)


def from_base64(data: Any) -> bytes:
    """Bytes of the property `data`."""
    return base64.b64decode(data)
