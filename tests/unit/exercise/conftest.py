"""A real HTTP server on loopback that misbehaves on demand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer

import pytest
from slow_server import Handler, turns


@pytest.fixture
def port() -> Iterator[int]:
    Handler.status, Handler.version, Handler.delay_s, Handler.instances = 200, "1", 0.0, turns()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
