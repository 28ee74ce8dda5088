"""Addresses as the kernel's tables and `ip` tell them."""

from __future__ import annotations

import json

from answering_runner import AnsweringRunner

from pairlab.host.addresses import near, own_addresses

TRIE = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     |-- 10.0.1.0
        /24 link UNICAST
        |-- 10.0.1.5
           /32 host LOCAL
     |-- 127.0.0.1
        /32 host LOCAL
"""


def test_an_instance_s_addresses_are_without_loopback() -> None:
    runner = AnsweringRunner({"cat /proc/net/fib_trie": TRIE})
    assert own_addresses(runner) == ["10.0.1.5"]


def test_nothing_is_sent_beyond_this_host() -> None:
    def route(argv: tuple[str, ...]) -> str:
        far = {"gateway": "192.0.2.1"} if argv[-1] == "10.0.1.5" else {}
        return json.dumps([{"dst": argv[-1], **far}])

    host = AnsweringRunner({"ip -json route get": route})
    assert near(host, ["10.0.1.5", "172.18.0.3"]) == ["172.18.0.3"]
