"""A spike, and what the scale exercise reads from latencies."""

from __future__ import annotations

import time

import pytest
from slow_server import Handler

from pairlab.errors import ExerciseError
from pairlab.exercise import _scale_figures as plan
from pairlab.exercise import _spike
from pairlab.exercise._client import Client, Request
from pairlab.exercise._spike import seconds_to_normal, spike
from pairlab.model import SideName
from pairlab.results import Sample
from tests.report_worlds import patch_result


def steady(since: float, took_s: list[float], status: int = 200) -> list[Request]:
    """Requests of a steady client from a moment on."""
    return [
        Request(since + n / 20, since + n / 20 + took, status if took < 5 else 0, "vm/0", "1")
        for n, took in enumerate(took_s)
    ]


CALM = steady(0.0, [0.010, 0.012, 0.014, 0.011, 0.030] * 20)
END = 12.0


@pytest.mark.parametrize(
    ("after", "normal_s"),
    [
        ([0.011] * 40, 0.0),
        ([0.500] * 20 + [0.011] * 40, 0.9),  # nine of ten of a second's requests are usual from there on
        ([0.500, 0.011] * 30, None),
        ([0.500] * 60, None),
        ([5.000] * 20 + [0.011] * 17, None),  # a second's requests are awaited
    ],
)
def test_latencies_are_normal_from_a_good_second_on(after: list[float], normal_s: float | None) -> None:
    requests = CALM + steady(5.0, [0.4] * 100) + steady(END, after)
    found = seconds_to_normal(CALM, reversed(requests), END)
    assert found == (None if normal_s is None else pytest.approx(normal_s))


def test_a_failed_request_is_not_a_quick_one() -> None:
    requests = steady(END, [0.001] * 60, status=503)
    assert seconds_to_normal(CALM, requests, END) is None


def test_a_spike_asks_faster_for_a_while_and_the_steady_client_goes_on(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_spike, "SPIKE_HZ", 200)
    monkeypatch.setattr(_spike, "SPIKE_S", 1.0)
    monkeypatch.setattr(_spike, "CALM_S", 1.0)
    with Client(port, "/") as client:
        client.await_good(1)
        began = time.monotonic()
        found = spike(client)
    sent = sorted(request.sent for request in found.client.requests)
    assert sent[0] > began + 0.9
    assert len(sent) == 200
    assert sent[-1] - sent[0] < 3
    assert len(found.before) == pytest.approx(20, abs=3)
    assert len(found.during) >= 15
    assert found.normal_s >= 0


def test_a_front_door_that_answers_nobody_before_a_spike_is_an_error(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("SPIKE_HZ", 40), ("SPIKE_S", 0.2), ("CALM_S", 0.3)):
        monkeypatch.setattr(_spike, name, value)
    monkeypatch.setattr(Handler, "status", 503)
    with Client(port, "/") as client, pytest.raises(ExerciseError, match="hardly any answer was good before"):
        spike(client)


@pytest.mark.parametrize(
    ("accelerator", "settings", "reason"),
    [
        ("tcg", {}, "they are emulated, and share this host's 2 cores, and each adds work of its own"),
        ("kvm", {}, "they share this host's 2 cores, and each adds work of its own"),
        ("tcg", {"libvirtUri": "qemu+ssh://far/system"}, "nothing that was measured tells why"),
    ],
)
def test_where_fewer_answer_sooner_the_claim_says_what_is_known_of_why(
    accelerator: str, settings: dict[str, str], reason: str
) -> None:
    few, many = plan.VMS.spike_few.key, plan.VMS.spike_many.key
    samples = [
        Sample(figure=plan.DURING[0].key, variant=variant, repetition=number, value=value)
        for variant, value in ((few, 281.0), (many, 1118.0))
        for number in range(3)
    ]
    base = patch_result()
    here = {"accelerator": accelerator, "settings": settings, "cores": 2}
    made = {
        "figures": list(plan.FIGURES),
        "variants": list(plan.VARIANTS),
        "samples": samples,
        "findings": [],
        "environment": base.environment.model_copy(update=here),
    }
    found = plan.conclude(base.model_copy(update=made))
    told = [conclusion.text for conclusion in found if conclusion.carried]
    assert told == [f"In a spike, 2 VMs answer sooner than 4 VMs: {reason}."]


def test_each_variant_is_of_one_side() -> None:
    assert [variant.side for variant in plan.VARIANTS].count(SideName.VM) == len(plan.VARIANTS) / 2
    assert all(variant.key.startswith(f"{variant.side}-") for variant in plan.VARIANTS)


@pytest.mark.parametrize(
    ("containers", "vms", "text", "carried"),
    [
        ([1, 2, 3], [4, 5, 6], "Containers that are dismissed are gone from the host sooner than VMs.", True),
        ([4, 5, 6], [1, 2, 3], "VMs that are dismissed are gone from the host sooner than containers.", True),
        (
            [1, 2, 3],
            [3, 5, 6],
            "Containers that are dismissed are gone from the host sooner than VMs.",
            False,
        ),
        ([], [], "Containers that are dismissed are gone from the host sooner than VMs.", False),
    ],
)
def test_whoever_gives_back_sooner_is_named(
    containers: list[float], vms: list[float], text: str, carried: bool
) -> None:
    both = ((plan.CONTAINERS.back, containers), (plan.VMS.back, vms))
    samples = [
        Sample(figure=plan.GONE.key, variant=variant.key, repetition=number, value=value)
        for variant, values in both
        for number, value in enumerate(values)
    ]
    made = {
        "figures": list(plan.FIGURES),
        "variants": list(plan.VARIANTS),
        "samples": samples,
        "findings": [],
    }
    found = plan.conclude(patch_result().model_copy(update=made))
    (told,) = [conclusion for conclusion in found if "dismissed" in conclusion.text]
    assert told.text == text
    assert told.carried is carried
