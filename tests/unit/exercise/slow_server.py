"""A front door that answers as a test says."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler


class Handler(BaseHTTPRequestHandler):
    """Answers as its class attributes say."""

    status = 200
    version = "1"
    delay_s = 0.0
    instances: Iterator[str] = iter(())

    def do_GET(self) -> None:
        threading.Event().wait(self.delay_s)
        self.send_response(self.status)
        self.send_header("X-Pairlab-Instance", next(Handler.instances))
        self.send_header("X-Pairlab-Version", self.version)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


def turns() -> Iterator[str]:
    """Unlike a generator's, its next value may be asked for by two threads at once."""
    return itertools.cycle(("vm/0", "vm/1"))
