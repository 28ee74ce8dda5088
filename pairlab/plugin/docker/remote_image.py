"""`docker:index/remoteImage:RemoteImage`: an image that is in the engine's own store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from pairlab.errors import PluginError
from pairlab.plugin.docker._mapping import Mapped
from pairlab.plugin.docker._resource import DockerResource
from pairlab.plugin.docker.client import CONFLICT, found, wait_until
from pairlab.plugin.resource import Context, Property, Values

FREE_TIMEOUT_S = 20.0
IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")


class Served(DockerResource):
    """An image found by its name; no registry is asked. Its id is the image's id with the name after it.

    Source: kreuzwerker/terraform-provider-docker v3, internal/provider/resource_docker_image.go
    """

    token = "docker:index/remoteImage:RemoteImage"
    properties: ClassVar[Mapping[str, Property]] = {
        "name": Mapped(str, required=True, replace=True),
        "keepLocally": Mapped(bool),
        "forceRemove": Mapped(bool),
        # To replace it would remove, with the old one, the very name that was found anew.
        "pullTriggers": Mapped(list, unordered=True),
        "triggers": Mapped(dict),
    }
    outputs = ("imageId", "repoDigest")

    @classmethod
    def deletes_first(cls, old: Values, new: Values) -> bool:
        """The new one is found, not made: the old one would be its image."""
        return False

    def create(self, inputs: Values, context: Context) -> tuple[str, Values]:
        """See `Resource.create`."""
        name = inputs["name"]
        told = self._look_for(name)
        return told["imageId"] + name, {**inputs, **told}

    def read(self, resource_id: str, state: Values, context: Context) -> Values | None:
        """See `Resource.read`; a name, an id, or an id with a name imports it."""
        name = state.get("name") or IMAGE_ID.sub("", resource_id) or resource_id
        with self.client.doing(f"reading image {name!r}") as api:
            document = found(api.inspect_image, name)
        if document is None:
            return None
        tags = document.get("RepoTags") or [name]
        recorded = state or {"name": tags[0] if IMAGE_ID.fullmatch(name) else name}
        return {**recorded, **_told(document)}

    def update(self, resource_id: str, state: Values, inputs: Values, context: Context) -> Values:
        """Change how it is removed, and look for it again, as triggers ask for."""
        return {**inputs, **self._look_for(inputs["name"])}

    def _look_for(self, name: str) -> Values:
        with self.client.doing(f"looking for image {name!r}") as api:
            document = found(api.inspect_image, name)
        if document is None:
            raise PluginError(
                f"there is no image {name!r} in the engine at {self.client.host}, "
                "and the embedded docker plugin asks no registry",
                hint=f"`invoke image.build` makes a lab's; else `docker build -t {name} …` or `docker load`",
            )
        return _told(document)

    def delete(self, resource_id: str, state: Values, context: Context) -> None:
        """Remove the name, and with its last name the image; unless it is kept locally."""
        if state.get("keepLocally"):
            return
        name, force = state["name"], bool(state.get("forceRemove"))
        with self.client.doing(f"deleting image {name!r}") as api:
            if not wait_until(lambda: _gone(api, name, force), FREE_TIMEOUT_S, context):
                raise PluginError(
                    f"image {name!r} is still used by a container",
                    hint="remove that container, or set keepLocally or forceRemove",
                )


def _told(document: Values) -> Values:
    digests = document.get("RepoDigests") or [""]
    return {"imageId": document["Id"], "repoDigest": digests[0]}


def _gone(api: Any, name: str, force: bool) -> bool:
    from docker.errors import APIError, NotFound

    try:
        api.remove_image(name, force=force)
    except NotFound:
        return True
    except APIError as error:
        if error.status_code != CONFLICT:
            raise
        return False
    return True
