"""`docker:index/serviceConfig:ServiceConfig`: a file that a Swarm gives to services."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import ClassVar

from pairlab.plugin.docker._codecs import BASE64, labels
from pairlab.plugin.docker._mapping import Codec, Mapped
from pairlab.plugin.docker._swarm_file import SwarmFile, from_base64
from pairlab.plugin.resource import Failure, Property, Values

RAW = Codec(
    lambda text: base64.b64encode(text.encode()).decode(),
    lambda data: base64.b64decode(data).decode(errors="replace"),
)


class Served(SwarmFile):
    """A config: `data` is base64, `dataRaw` is text; one of them is given.

    Source: kreuzwerker/terraform-provider-docker v3, internal/provider/resource_docker_config.go
    """

    token = "docker:index/serviceConfig:ServiceConfig"
    kind = "config"
    properties: ClassVar[Mapping[str, Property]] = {
        "name": Mapped(str, required=True, replace=True, key="Name"),
        "data": Mapped(str, replace=True, key="Data", codec=BASE64),
        "dataRaw": Mapped(str, replace=True, key="Data", codec=RAW),
        "labels": labels("Labels", replace=True),
    }

    @classmethod
    def validate(cls, inputs: Values) -> list[Failure]:
        """Exactly one of the two forms of its content."""
        if (inputs.get("data") is None) == (inputs.get("dataRaw") is None):
            return [Failure("data", "give either data (base64) or dataRaw (text)")]
        return super().validate(inputs)

    @classmethod
    def settled(cls, recorded: Values, found: Values) -> Values:
        """The other form is not recorded beside the one that was given."""
        unused = "data" if recorded.get("dataRaw") is not None else "dataRaw"
        return super().settled(recorded, {key: value for key, value in found.items() if key != unused})

    def content(self, inputs: Values) -> bytes:
        """See `SwarmFile.content`."""
        raw = inputs.get("dataRaw")
        return from_base64(inputs["data"]) if raw is None else str(raw).encode()
