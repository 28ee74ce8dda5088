"""Everything of one lab in a Docker engine and its Swarm: finding it and removing it, by its label."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from pairlab.errors import HostError, SideError
from pairlab.model import LABEL, ROLE_LABEL
from pairlab.side import SideContext

POLL_S = 0.1
GONE_TIMEOUT_S = 90.0
ROLLED_BACK = "rollback_completed"
SNAPSHOT = "snapshot"
"""Role of an image that pairlab made of an instance; what a person makes has the lab's label alone."""
NOT_FOUND, CONFLICT, FORBIDDEN, NO_MANAGER = 404, 409, 403, 503


class SwarmObjects:
    """One lab's services, tasks, containers, networks, configs, secrets, volumes and snapshots."""

    def __init__(self, context: SideContext) -> None:
        self.host = context.settings.docker_host
        self._of_lab = {"label": f"{LABEL}={context.lab}"}
        self._api: Any = None

    @property
    def is_local(self) -> bool:
        """Whether it is this machine's engine, whose processes can be seen."""
        return self.host.startswith("unix://")

    @contextmanager
    def mapped(self) -> Iterator[Any]:
        """Lend the engine's API; its errors become ours.

        Raises:
            HostError: The engine does not answer, or is no Swarm manager.
            SideError: The engine refused something.
        """
        import docker.errors
        import requests

        from pairlab.docker_api import no_answer, open_api

        try:
            if self._api is None:
                self._api = open_api(self.host)
            yield self._api
        except docker.errors.APIError as error:
            if error.status_code == NO_MANAGER:
                raise HostError(
                    f"the Docker engine at {self.host} is not a Swarm manager",
                    hint="run `invoke lab.setup`, which makes it one",
                ) from error
            raise SideError(
                f"the Docker engine refused: {error.explanation}",
                hint="`invoke lab.doctor` checks the engine",
            ) from error
        except (docker.errors.DockerException, requests.RequestException) as error:
            raise no_answer(self.host, error) from error

    def close(self) -> None:
        """Close connections to the engine."""
        if self._api is not None:
            self._api.close()
            self._api = None

    def services(self, api: Any) -> list[dict[str, Any]]:
        """The lab's services."""
        return list(api.services(filters=self._of_lab))

    def rollbacks(self, api: Any) -> list[str]:
        """See `Side.rollbacks`."""
        updates = [(each["Spec"]["Name"], each.get("UpdateStatus") or {}) for each in self.services(api)]
        return [
            f"service {name}: {update.get('Message', '')} ({update.get('CompletedAt', '')})"
            for name, update in updates
            if update.get("State") == ROLLED_BACK
        ]

    def tasks(self, api: Any) -> list[dict[str, Any]]:
        """Tasks of the lab's services, past ones too, and those of services that were just removed."""
        return list(api.tasks(filters=self._of_lab))

    def networks(self, api: Any) -> list[dict[str, Any]]:
        """The lab's networks."""
        return list(api.networks(filters=self._of_lab))

    def configs(self, api: Any) -> list[dict[str, Any]]:
        """Files that the lab's services get."""
        return list(api.configs(filters=self._of_lab))

    def secrets(self, api: Any) -> list[dict[str, Any]]:
        """Secret files that the lab's services get."""
        return list(api.secrets(filters=self._of_lab))

    def images(self, api: Any) -> list[dict[str, Any]]:
        """Those that were made of the lab's instances; not those that they start from, which labs share."""
        labels = [self._of_lab["label"], f"{ROLE_LABEL}={SNAPSHOT}"]
        return list(api.images(filters={"label": labels}))

    def leftovers(self) -> list[str]:
        """See `Side.leftovers`."""
        with self.mapped() as api:
            return [
                *(f"service {item['Spec']['Name']}" for item in self.services(api)),
                *(f"task {item['ID']} ({item['Status']['State']})" for item in self.tasks(api)),
                *(f"container {_container_name(item)}" for item in self._containers(api)),
                *(f"network {item['Name']}" for item in self.networks(api)),
                *(f"config {item['Spec']['Name']}" for item in self.configs(api)),
                *(f"secret {item['Spec']['Name']}" for item in self.secrets(api)),
                *(f"volume {item['Name']}" for item in self._volumes(api)),
                *(f"image {_image_name(item)}" for item in self.images(api)),
            ]

    def sweep(self, progress: Callable[[str], None]) -> list[str]:
        """See `Side.sweep`."""
        before = self.leftovers()
        with self.mapped() as api:
            for service in self.services(api):
                progress(f"removing service {service['Spec']['Name']}")
                _ignoring(NOT_FOUND, api.remove_service, service["ID"])
            # With their service gone nothing restarts them, so tasks need not use up their grace period.
            self._until_gone(self._remove_containers, progress)
            for config in self.configs(api):
                progress(f"removing config {config['Spec']['Name']}")
                _ignoring(NOT_FOUND, api.remove_config, config["ID"])
            for secret in self.secrets(api):
                progress(f"removing secret {secret['Spec']['Name']}")
                _ignoring(NOT_FOUND, api.remove_secret, secret["ID"])
            for volume in self._volumes(api):
                progress(f"removing volume {volume['Name']}")
                _ignoring(NOT_FOUND, api.remove_volume, volume["Name"])
            for image in self.images(api):
                progress(f"removing image {_image_name(image)}")
                _ignoring(NOT_FOUND, api.remove_image, image["Id"], force=True)
            self._until_gone(self._remove_networks, progress)
        return before

    def discard(self, names: Collection[str], progress: Callable[[str], None]) -> list[str]:
        """See `Side.discard`."""
        removed = []
        with self.mapped() as api:
            of_lab: list[tuple[str, Callable[..., Any], list[tuple[str, str]]]] = [
                ("service", api.remove_service, [(s["Spec"]["Name"], s["ID"]) for s in self.services(api)]),
                (
                    "container",
                    lambda found: api.remove_container(found, v=True, force=True),
                    [(_container_name(c), c["Id"]) for c in self._containers(api)],
                ),
                ("config", api.remove_config, _named(self.configs(api))),
                ("secret", api.remove_secret, _named(self.secrets(api))),
                ("network", api.remove_network, [(n["Name"], n["Id"]) for n in self.networks(api)]),
            ]
            for kind, remove, found in of_lab:
                for name, identity in found:
                    if name in names:
                        _ignoring((NOT_FOUND, CONFLICT, FORBIDDEN), remove, identity)
                        removed.append(f"{kind} {name}")
                        progress(f"removed {kind} {name}, left by an interrupted run")
        return removed

    def _containers(self, api: Any) -> list[dict[str, Any]]:
        return list(api.containers(all=True, filters=self._of_lab))

    def strange_containers(self, api: Any) -> list[str]:
        """Names of the containers that run here and are not the lab's."""
        own = {container["Id"] for container in self._containers(api)}
        return sorted(_container_name(each) for each in api.containers() if each["Id"] not in own)

    def helpers(self, api: Any) -> dict[str, str]:
        """See `Side.helpers`."""
        roles = {_container_name(each): each["Labels"].get(ROLE_LABEL, "") for each in self._containers(api)}
        return {name: role for name, role in roles.items() if role}

    def _volumes(self, api: Any) -> list[dict[str, Any]]:
        # The engine answers null, not an empty list, where there are none.
        return list(api.volumes(filters=self._of_lab)["Volumes"] or [])

    def _until_gone(
        self, remove: Callable[[Any, Callable[[str], None]], list[str]], progress: Callable[[str], None]
    ) -> None:
        """Call `remove`, which returns what is still there and why, until nothing is."""
        told = set[str]()

        def once(text: str) -> None:
            if text not in told:
                told.add(text)
                progress(text)

        deadline = time.monotonic() + GONE_TIMEOUT_S
        with self.mapped() as api:
            while left := remove(api, once):
                if time.monotonic() > deadline:
                    raise SideError(
                        f"could not remove {'; '.join(left)}",
                        hint="disconnect what else uses it, or restart the Docker daemon; then try again",
                    )
                time.sleep(POLL_S)

    def _remove_containers(self, api: Any, progress: Callable[[str], None]) -> list[str]:
        for container in self._containers(api):
            progress(f"removing container {_container_name(container)}")
            _ignoring((NOT_FOUND, CONFLICT), api.remove_container, container["Id"], v=True, force=True)
        return [
            *(f"container {_container_name(item)}" for item in self._containers(api)),
            *(f"task {item['ID']} ({item['Status']['State']})" for item in self.tasks(api)),
        ]

    def _remove_networks(self, api: Any, progress: Callable[[str], None]) -> list[str]:
        import docker.errors

        left = []
        for network in self.networks(api):
            progress(f"removing network {network['Name']}")
            try:
                api.remove_network(network["Id"])
            except docker.errors.APIError as error:
                # Swarm lets go of a network some time after its last task: until then it refuses.
                if error.status_code != NOT_FOUND:
                    left.append(f"network {network['Name']}: {error.explanation}")
        return left or [f"network {network['Name']}" for network in self.networks(api)]


def _named(items: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(item["Spec"]["Name"], item["ID"]) for item in items]


def _container_name(container: dict[str, Any]) -> str:
    return str((container["Names"] or [container["Id"]])[0]).removeprefix("/")


def _image_name(image: dict[str, Any]) -> str:
    """Its tag; its id where a later image has that tag now, which some engines tell by a tag of `<none>`."""
    tags = [tag for tag in image["RepoTags"] or () if not tag.startswith("<none>")]
    return str((tags or [image["Id"]])[0])


def _ignoring(codes: int | tuple[int, ...], call: Callable[..., Any], *args: Any, **options: Any) -> None:
    """Call the engine; fine if the object is gone, or going, already."""
    import docker.errors

    try:
        call(*args, **options)
    except docker.errors.APIError as error:
        if error.status_code not in (codes if isinstance(codes, tuple) else (codes,)):
            raise
