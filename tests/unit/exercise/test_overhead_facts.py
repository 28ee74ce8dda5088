"""What the overhead exercise tells of processors and caches, from what files of Linux say."""

from __future__ import annotations

import pytest

from pairlab.exercise import _overhead_facts
from tests.unit.host.answering_runner import AnsweringRunner


def test_what_a_guests_processor_lacks_is_told() -> None:
    host = AnsweringRunner({"cat": "model name\t: EPYC\nflags\t\t: fpu sse avx512f sha_ni svm\n"})
    guest = AnsweringRunner({"cat": "model name\t: QEMU TCG CPU\nflags\t\t: fpu sse hypervisor\n"})
    lacking = "QEMU TCG CPU, without 3 features of this host's, among them avx512f, sha_ni"
    assert _overhead_facts.processor(guest, host) == lacking
    assert _overhead_facts.processor(host, host) == "EPYC, with all that this host's can"
    filtered = AnsweringRunner({"cat": "NoNewPrivs:\t0\nSeccomp:\t2\nSeccomp_filters:\t1\n"})
    assert _overhead_facts.system_call_filter(filtered) == "a seccomp filter looks at each"


@pytest.mark.parametrize(
    ("sizes", "answer"),
    [
        ("32K\n64K\n512K\n32768K\n", "32 MiB, three arrays of 8 MiB on one CPU: all of them may"),
        ("32K\n512K\n8192K\n", "8 MiB, three arrays of 8 MiB on one CPU: part of them may"),
        ("32K\n1024K\n", "1 MiB, three arrays of 8 MiB on one CPU: hardly anything"),
        ("", "unknown"),
    ],
)
def test_it_is_told_whether_memory_or_a_cache_is_measured(sizes: str, answer: str) -> None:
    assert _overhead_facts.last_cache(AnsweringRunner({"sh -c": sizes})).startswith(answer)
