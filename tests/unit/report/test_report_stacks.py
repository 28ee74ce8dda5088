"""What variants stand on, as it is drawn: what is shared stands once, what is not is a pile."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from pydantic import ValidationError

from pairlab.report.html import page
from pairlab.report.stacks import CHARACTERS, stacks
from pairlab.results import RunResult
from tests.report_worlds import patch_result, with_layers


def test_layers_stand_from_the_bottom_up_and_do_not_meet() -> None:
    vm, container = stacks(with_layers(patch_result()))
    assert [box.name[0] for box in vm.boxes] == ["init ×2", "Failed requests ×2", "engine", "host kernel"]
    assert [box.name[0] for box in container.boxes] == ["Failed requests ×2", "engine", "host kernel"]
    assert container.absent == ("init",)
    assert container.found[0] == ("init", "", "init of container-rebuild")
    assert container.found[-1][:2] == ("host kernel", "one for everything on this host")
    assert vm.absent == ()
    for stack in (vm, container):
        for above, below in pairwise(stack.boxes):
            assert above.top + above.height < below.top - 3 * (below.cards - 1)
        assert stack.boxes[-1].top + stack.boxes[-1].height < stack.height
        assert [box.cards for box in stack.boxes] == [
            2 if box.scope == "instance" else 1 for box in stack.boxes
        ]
    assert (vm.mark, container.mark) == ("emulated", "")


def test_costs_are_medians_without_the_layers_own_name() -> None:
    result = with_layers(patch_result())
    container = stacks(result)[1]
    engine = " ".join(container.boxes[1].costs)
    for figure in ("First instance patched", "Image built", "Written to disk"):
        assert figure in engine
    assert container.boxes[2].costs == ()
    assert all(len(line) <= CHARACTERS for box in container.boxes for line in box.costs)


def test_a_pile_has_at_most_three_boxes_and_one_instance_has_no_pile() -> None:
    result = with_layers(patch_result())
    many, one = stacks(result.model_copy(update={"vms": 40, "replicas": 1}))
    assert many.boxes[0].name == ("init ×40",)
    assert many.boxes[0].cards == 3
    assert one.boxes[0].name == ("Failed requests",)
    assert one.boxes[0].cards == 1


def test_the_page_draws_them_and_one_without_layers_has_no_such_section() -> None:
    drawn, without = page([with_layers(patch_result())]), page([patch_result()])
    assert "What they stand on" not in without
    pictures = re.findall(r'<svg class="stack .*?</svg>', drawn, re.DOTALL)
    assert len(pictures) == 2
    vm, container = pictures
    assert vm.count("<rect") == 2 * 2 + 2
    assert container.count("<rect") == 2 + 2
    assert "host kernel, one for everything on this host: host kernel of vm-rebuild" in vm
    assert drawn.count("Not there: ") == 1
    assert "init of container-rebuild" in drawn


def test_older_documents_have_no_layers_and_unknown_costs_are_refused() -> None:
    document = patch_result().model_dump()
    del document["layers"]
    assert RunResult.model_validate(document).layers == []
    layers = with_layers(patch_result()).model_dump()["layers"]
    with pytest.raises(ValidationError, match="'weight' is no figure"):
        RunResult.model_validate({**document, "layers": [{**layers[0], "costs": ["weight"]}]})
    with pytest.raises(ValidationError, match="'nobody' is no figure or variant"):
        RunResult.model_validate({**document, "layers": [{**layers[0], "variant": "nobody"}]})
