"""`docker:index/service:Service`: a service of a Swarm."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any, ClassVar

from pairlab.errors import PluginError
from pairlab.plugin.docker._codecs import to_seconds
from pairlab.plugin.docker._convergence import remove_service, task_ids, wait_converged
from pairlab.plugin.docker._mapping import decode, encode, merge
from pairlab.plugin.docker._resource import DockerResource
from pairlab.plugin.docker._service_properties import SERVICE
from pairlab.plugin.docker.client import CONFLICT, InterruptedWaitError, found, interrupted, name_taken
from pairlab.plugin.resource import Context, Failure, PartialError, Property, Values

DEFAULT_GRACE = "10s"


class Served(DockerResource):
    """A service. Its id is the Swarm's. All but its name and the kind of its mode changes in place.

    With `convergeConfig` create and update wait until the tasks run; its `delay` is accepted, but the tasks
    are looked at from the start.

    Source: kreuzwerker/terraform-provider-docker v3, internal/provider/resource_docker_service.go
    """

    token = "docker:index/service:Service"
    properties: ClassVar[Mapping[str, Property]] = SERVICE

    @classmethod
    def validate(cls, inputs: Values) -> list[Failure]:
        """Refuse what Swarm would, before anything is touched."""
        failures = super().validate(inputs)
        mode = inputs.get("mode")
        if isinstance(mode, dict) and mode.get("global") and mode.get("replicated"):
            failures.append(Failure("mode", "is either global or replicated"))
        task = inputs.get("taskSpec")
        networks = task.get("networksAdvanceds") if isinstance(task, dict) else None
        for number, network in enumerate(networks if isinstance(networks, list) else ()):
            if isinstance(network, dict) and network.get("id") is None and network.get("name") is None:
                failures.append(Failure(f"taskSpec.networksAdvanceds[{number}]", "give the network's id"))
        return failures

    def create(self, inputs: Values, context: Context) -> tuple[str, Values]:
        """See `Resource.create`; a service that does not converge is removed again."""
        from docker.errors import APIError

        name = inputs["name"]
        with self.making(inputs, context) as made, self.client.doing(f"creating service {name!r}") as api:
            try:
                made.resource_id = api.create_service(**_arguments(api, inputs))["ID"]
            except APIError as error:
                if error.status_code == CONFLICT:
                    raise name_taken("service", name) from error
                raise
            try:
                self._await(api, made.resource_id, inputs, context)
            except InterruptedWaitError as error:
                # Nobody waits for its removal now, and the next run can go on with it.
                told = interrupted(f"creating service {name!r}")
                raise PartialError(
                    told.message,
                    hint=told.hint,
                    resource_id=made.resource_id,
                    outputs=inputs,
                ) from error
            return made.resource_id, self._recorded(api, made.resource_id, inputs)

    def read(self, resource_id: str, state: Values, context: Context) -> Values | None:
        """See `Resource.read`."""
        with self.client.doing(f"reading service {resource_id}") as api:
            if found(api.inspect_service, resource_id) is None:
                return None
            return self._recorded(api, resource_id, state)

    def update(self, resource_id: str, state: Values, inputs: Values, context: Context) -> Values:
        """See `Resource.update`; an update that Swarm rolls back or pauses is a failure."""
        deed = f"updating service {inputs['name']!r}"
        with self.client.doing(deed) as api:
            version = api.inspect_service(resource_id)["Version"]["Index"]
            earlier = task_ids(api, resource_id)
            api.update_service(resource_id, version, **_arguments(api, inputs))
            try:
                self._await(api, resource_id, inputs, context, earlier)
            except (PluginError, InterruptedWaitError) as error:
                there = self._recorded(api, resource_id, state)
                if not any(self.differs(name, there.get(name), state.get(name)) for name in SERVICE):
                    raise  # Swarm put it back.
                told = error if isinstance(error, PluginError) else interrupted(deed)
                raise PartialError(
                    told.message,
                    hint=told.hint,
                    resource_id=resource_id,
                    outputs=self._recorded(api, resource_id, inputs),
                ) from error
            return self._recorded(api, resource_id, inputs)

    def delete(self, resource_id: str, state: Values, context: Context) -> None:
        """See `Resource.delete`; waits until its containers are gone, and removes what does not go."""
        with self.client.doing(f"deleting service {state.get('name', resource_id)!r}") as api:
            remove_service(api, resource_id, _grace_s(state), context)

    def _await(
        self, api: Any, service_id: str, inputs: Values, context: Context, earlier: Set[str] = frozenset()
    ) -> None:
        converge = inputs.get("convergeConfig")
        if converge is not None:
            wait_converged(api, service_id, to_seconds(converge["timeout"]), context, earlier)

    def _recorded(self, api: Any, service_id: str, recorded: Values) -> Values:
        service = api.inspect_service(service_id)
        spec = service["Spec"]
        published = (service.get("Endpoint") or {}).get("Ports")
        if published:
            merge(spec, {"EndpointSpec": {"Ports": published}})
        values = decode(self.properties, spec)
        _name_networks(api, values, recorded)
        return self.settled(recorded, values)


def _arguments(api: Any, inputs: Values) -> Values:
    document = encode(SERVICE, inputs)
    task = document["TaskTemplate"]
    given = inputs["taskSpec"].get("networksAdvanceds") or []
    for place, network in zip(task.get("Networks") or [], given, strict=False):
        place.setdefault("Target", network.get("name"))
    for kind in ("Secret", "Config"):
        for reference in task["ContainerSpec"].get(f"{kind}s") or []:
            if not reference.get(f"{kind}Name"):
                inspect = getattr(api, f"inspect_{kind.lower()}")
                reference[f"{kind}Name"] = inspect(reference[f"{kind}ID"])["Spec"]["Name"]
    return {
        "task_template": task,
        "name": document["Name"],
        "labels": document.get("Labels"),
        "mode": {kind: how for kind, how in document.get("Mode", {}).items() if how is not None} or None,
        "update_config": document.get("UpdateConfig"),
        "rollback_config": document.get("RollbackConfig"),
        "endpoint_spec": document.get("EndpointSpec"),
    }


def _name_networks(api: Any, values: Values, recorded: Values) -> None:
    """A network that was given by its name is recorded by it: Swarm keeps its id only."""
    given = (recorded.get("taskSpec") or {}).get("networksAdvanceds") or []
    by_name = {network["name"]: network for network in given if network.get("name")}
    if not by_name:
        return
    for network in values["taskSpec"].get("networksAdvanceds") or []:
        document = found(api.inspect_network, network.get("id"))
        if document is not None and document["Name"] in by_name:
            network["name"] = document["Name"]
            if by_name[document["Name"]].get("id") is None:
                del network["id"]


def _grace_s(values: Values) -> float:
    container = (values.get("taskSpec") or {}).get("containerSpec") or {}
    return to_seconds(container.get("stopGracePeriod") or DEFAULT_GRACE)
