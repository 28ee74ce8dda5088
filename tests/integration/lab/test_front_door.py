"""A real front door before two servers, of which one ends connections without an answer, as when it stops."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import docker
import pytest
from docker.models.containers import Container
from lab_commands import until

from pairlab.model import Settings
from pairlab.render import render
from pairlab.session.workbench import Workbench
from stacks.pair import WEB

pytestmark = pytest.mark.integration
LISTEN, BEHIND, ASKED = 8080, 8081, 60
SERVER = """
pid /tmp/nginx.pid;
events {}
http {
    access_log off;
    client_body_temp_path /tmp/body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;
    server {
        listen 8081;
        location = /healthz { return 200 "ok"; }
        location / { return %s; }
    }
}
"""
NO_ANSWER = 444
"""nginx's own: close the connection and say nothing."""
WRITE_AND_RUN = 'printf "%s" "$CONFIG" > /tmp/config && exec "$@" /tmp/config'


@pytest.fixture
def port() -> Iterator[int]:
    """Where the door listens on loopback; all that stands behind it is gone afterwards."""
    images, client = Workbench(progress=print).images_for(Settings()), docker.from_env()
    web, door = images.ensure(WEB, progress=print).container, images.ensure_front_door(progress=print)
    name = f"t-door-{secrets.token_hex(3)}"
    network = client.networks.create(name)
    made: list[Container] = []

    def start(image: str, config: str, argv: list[str], ports: dict[str, Any]) -> Container:
        made.append(
            client.containers.create(
                image,
                ["sh", "-c", WRITE_AND_RUN, "sh", *argv],
                environment={"CONFIG": config},
                ports=ports,
                network=name,
                networking_config={
                    name: client.api.create_endpoint_config(aliases=[] if ports else [WEB.name])
                },
            )
        )
        made[-1].start()
        return made[-1]

    try:
        for answer in (200, NO_ANSWER):
            start(web.reference, SERVER % answer, ["/usr/sbin/nginx", "-g", "daemon off;", "-c"], {})
        config = render(
            "front_door/haproxy.cfg.j2",
            nameserver="127.0.0.11:53",
            bind=f"0.0.0.0:{LISTEN}",
            health_path="/healthz",
            slots=4,
            name=WEB.name,
            port=BEHIND,
        )
        listen = {f"{LISTEN}/tcp": ("127.0.0.1", None)}
        proxy = start(door.reference, config, ["/usr/sbin/haproxy", "-W", "-db", "-f"], listen)
        proxy.reload()
        port = int((proxy.ports[f"{LISTEN}/tcp"] or [])[0]["HostPort"])
        until(lambda: {200, 502} <= statuses(port, "POST", 8).keys(), timeout_s=60)
        yield port
    finally:
        for container in made:
            container.remove(force=True)
        network.remove()
        client.close()


def statuses(port: int, method: str, count: int) -> Counter[int]:
    """What the door answers to some requests; 0 where it does not answer yet."""
    found = Counter[int]()
    for _ in range(count):
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request(method, "/")
            found[connection.getresponse().status] += 1
        except OSError:
            found[0] += 1
        finally:
            connection.close()
    return found


def test_what_a_server_did_not_answer_another_one_does_and_only_if_it_changes_nothing(port: int) -> None:
    posted = statuses(port, "POST", ASKED)
    assert posted[502] > 0, "both servers stand behind the door, and one of them does not answer"
    assert posted[200] > 0
    assert statuses(port, "GET", ASKED) == {200: ASKED}
