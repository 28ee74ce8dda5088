"""`docker:index/secret:Secret`: bytes that a Swarm gives to services and shows to nobody else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pairlab.plugin.docker._codecs import BASE64, labels
from pairlab.plugin.docker._mapping import Mapped
from pairlab.plugin.docker._swarm_file import SwarmFile, from_base64
from pairlab.plugin.resource import Property, Values


class Served(SwarmFile):
    """A secret. What it holds cannot be read back.

    Source: kreuzwerker/terraform-provider-docker v3, internal/provider/resource_docker_secret.go
    """

    token = "docker:index/secret:Secret"
    kind = "secret"
    properties: ClassVar[Mapping[str, Property]] = {
        "name": Mapped(str, required=True, replace=True, key="Name"),
        "data": Mapped(str, required=True, replace=True, secret=True, codec=BASE64),
        "labels": labels("Labels", replace=True),
    }

    def content(self, inputs: Values) -> bytes:
        """See `SwarmFile.content`."""
        return from_base64(inputs["data"])
