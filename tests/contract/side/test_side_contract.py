"""What every kind of side does, on a fake and on the real daemons."""

import time
from pathlib import Path

import pytest
from side_worlds import (
    BANNER,
    CPUS,
    DOOR,
    FOREIGN,
    LAB,
    MEMORY_BYTES,
    OPERATIONS,
    VERSION,
    LibvirtWorld,
    World,
    until,
)

from pairlab.errors import LabError, SideError
from pairlab.model import SideName
from pairlab.side import Given

STATUS_BUDGET_S = 0.5
CLOCK_TICK_S = 0.01
"""In which the kernel counts when a process began."""


def test_an_empty_lab_has_nothing(world: World) -> None:
    assert world.side.instances() == []
    assert world.side.leftovers() == []
    assert world.side.sweep(progress=lambda line: None) == []


def test_instances_are_found_in_order_with_figures(world: World) -> None:
    world.fill()
    found = world.side.instances()
    side = world.side.name
    assert [each.name for each in found] == [f"{side}/0", f"{side}/1", f"{side}/redis/0"]
    for each in found:
        assert each.state == "running"
        assert each.image == VERSION
        assert each.address.startswith("10.")
        assert each.uptime_s is not None
        assert 0 <= each.uptime_s < 120
        assert each.cpu_s is not None
        assert each.cpu_s > 0
        assert each.memory_bytes is not None
        assert each.memory_bytes > 0
        assert each.handle


def test_strangers_are_all_that_runs_on_its_engine_and_is_not_the_labs(world: World) -> None:
    world.fill()
    found = world.side.strangers()
    assert any(name.startswith(f"pairlab-{FOREIGN}-") for name in found)
    own = [name for name in found if name.startswith(f"pairlab-{LAB}-")]
    assert [name for name in own if not name.startswith(f"pairlab-{FOREIGN}-")] == []


def test_helpers_are_what_the_lab_has_beside_its_instances(world: World) -> None:
    world.fill()
    assert world.side.helpers() == ({DOOR: "front-door"} if world.side.name is SideName.CONTAINER else {})


def test_status_is_quick(world: World) -> None:
    world.fill()
    world.side.instances()  # opens the connection
    start = time.monotonic()
    assert len(world.side.instances()) == 3
    assert time.monotonic() - start < STATUS_BUDGET_S


def test_an_unknown_instance_is_refused_with_those_there_are(world: World) -> None:
    with pytest.raises(SideError, match=f"no instance {world.side.name}/0") as empty:
        world.side.runner(0)
    assert "lab.up" in empty.value.hint
    world.fill()
    with pytest.raises(SideError, match=f"no instance {world.side.name}/7") as refused:
        world.side.runner(7)
    assert f"{world.side.name}/redis/0" in refused.value.hint


def test_a_command_line_leads_into_an_instance_that_runs(world: World) -> None:
    world.fill()
    assert world.side.argv(0, ["true", "--"])[-1].endswith("--")
    with pytest.raises(SideError, match=f"no instance {world.side.name}/7"):
        world.side.argv(7, ["true"])


def test_a_file_is_copied_only_into_an_instance_that_there_is(world: World, tmp_path: Path) -> None:
    world.fill()
    source = tmp_path / "note"
    source.write_text("copied")
    with pytest.raises(SideError, match=f"no instance {world.side.name}/7"):
        world.side.copy_in(7, source, "/tmp/note")
    if world.side.kind == "swarm":  # no guest runs in the VMs here, but in those of `test_lab_life`
        world.side.copy_in(0, source, "/bin/note")
        assert world.side.runner(0).run(["cat", "/bin/note"]).stdout == "copied"


def test_layers_are_told_from_this_hosts_kernel_upwards(world: World) -> None:
    world.fill()
    both = [{layer.part: layer for layer in world.side.layers(index)} for index in (0, 1)]
    first = both[0]
    parts = ["host-kernel", "engine", "orchestrator", "image", "runner", "boundary", "own-disk"]
    assert list(first) == parts
    boot_id = world.side.host().run(["cat", "/proc/sys/kernel/random/boot_id"]).stdout.strip()
    assert first["host-kernel"].found.endswith(boot_id)
    scopes = [layer.scope for layer in first.values() if layer.scope != "none"]
    assert scopes == sorted(scopes, key=["host", "side", "instance"].index)
    for part in ("engine", "runner"):
        assert (first[part].memory_bytes or 0) > 0
        assert (first[part].processes or 0) > 0
    assert (first["engine"].disk_bytes or 0) > 0
    assert (first["boundary"].memory_bytes or 0) > 0
    assert (first["image"].disk_bytes, first["own-disk"].disk_bytes) != (None, None)
    assert [layer.found for layer in both[1].values()][:2] == [layer.found for layer in first.values()][:2]
    with pytest.raises(SideError, match=f"no instance {world.side.name}/7"):
        world.side.layers(7)


def test_everyday_operations_are_commands_that_can_be_taken_back(world: World, tmp_path: Path) -> None:
    world.fill()
    known = world.side.operations(0, tmp_path)
    assert sorted(known) == sorted(OPERATIONS)
    for operation in known.values():
        assert bool(operation.argv) != bool(operation.cannot)
        assert operation.argv or not operation.undo
    host = world.side.host()
    for name in ("list", "inspect", "metrics", "limit", "pause", "update", "events"):
        if known[name].cannot:
            continue
        try:
            host.run(known[name].argv)
            assert not known[name].asked or known[name].told in host.run(known[name].asked).stdout
        finally:
            for argv in known[name].undo:
                host.run(argv)
    assert known["pause"].undo
    assert [each.state for each in world.side.instances()] == ["running"] * 3
    with pytest.raises(SideError, match=f"no instance {world.side.name}/7"):
        world.side.operations(7, tmp_path)


def test_what_an_instance_printed_is_kept(world: World) -> None:
    with world.side.watching():
        world.fill()
        until(lambda: all(BANNER in world.side.console_tail(index) for index in (0, 1)))
    assert BANNER in world.side.console_tail(0)
    assert len(world.side.console_tail(0, lines=1).splitlines()) == 1


def test_a_killed_instance_comes_back_by_its_supervisor_or_when_it_is_started(world: World) -> None:
    world.fill()
    side = world.side
    before = side.started(0)
    assert before is not None
    asked = time.monotonic()
    assert before.process < asked
    side.kill(0)
    if side.supervisor:
        with pytest.raises(SideError, match=f"{side.name}/0") as refused:
            side.start(0)
        assert side.supervisor in refused.value.hint
    else:
        until(lambda: side.instances()[0].state != "running")
        with pytest.raises(SideError, match="does not run"):
            side.started(0)
        side.start(0)
        with pytest.raises(SideError, match=r"running|runs"):
            side.start(0)
    until(lambda: _began(world) > asked - CLOCK_TICK_S)
    after = side.started(0)
    assert after is not None
    assert after.process <= time.monotonic()
    assert after.trusted is None or after.process <= after.trusted <= time.monotonic()


def _began(world: World) -> float:
    """When instance 0 began; before all time while it does not run."""
    try:
        started = world.side.started(0)
    except SideError:
        return 0
    assert started is not None
    return started.process


def test_a_footprint_is_of_a_running_instance(world: World) -> None:
    world.fill()
    found = world.side.footprint(0)
    assert found.memory_bytes > found.holder_bytes >= 0
    assert found.charge is not None
    assert found.charge.memory_bytes > found.charge.kernel_bytes >= 0
    assert found.charge.cache_bytes >= 0
    assert found.guest_bytes is None or 0 <= found.guest_bytes <= found.given_bytes
    assert found.translated_bytes is None or 0 <= found.translated_bytes < found.memory_bytes
    assert 1 <= found.processes <= found.threads
    assert found.descriptors > 0
    assert found.own_disk_bytes >= 0
    assert found.shared_disk_bytes >= 0
    world.side.kill(0)
    if not world.side.supervisor:
        with pytest.raises(SideError, match="does not run"):
            world.side.footprint(0)


def test_what_instances_are_given_is_what_they_have_now(world: World) -> None:
    world.fill()
    side = world.side
    everything = Given(MEMORY_BYTES, CPUS)
    assert side.given(side.instances()) == {each.name: everything for each in side.instances()}
    if side.supervisor:  # a VM keeps its virtual processors, whatever its host lets them use
        with side.limited(0, cpus=0.5):
            assert side.given(side.instances())[f"{side.name}/0"] == Given(MEMORY_BYTES, 0.5)
        return
    side.kill(0)
    until(lambda: side.instances()[0].state != "running")
    assert side.given(side.instances()) == {each.name: everything for each in side.instances()[1:]}


def test_limits_hold_while_they_are_open(world: World) -> None:
    world.fill()
    side, before = world.side, world.limits()
    with side.limited(0, cpus=0.5):
        assert world.limits() != before
        assert [each.state for each in side.instances()] == ["running"] * 3
    assert world.limits() == before
    limit = side.limited(0, processes=64)
    if not side.supervisor:
        with pytest.raises(SideError, match="no limit for the processes"), limit:
            pass
    else:
        with limit:
            assert world.limits() != before
    assert world.limits() == before
    with pytest.raises(SideError, match=f"no instance {side.name}/7"), side.limited(7, cpus=0.5):
        pass


def test_a_frozen_instance_runs_nothing_until_it_is_thawed(world: World) -> None:
    world.fill()
    world.side.thaw(0)  # fine: it is not frozen
    for _ in range(2):
        world.side.freeze(0)
    with pytest.raises(LabError) as refused:
        world.side.runner(0).run(["true"])
    assert "paused" in refused.value.message + refused.value.details
    world.side.runner(1)
    for _ in range(2):
        world.side.thaw(0)
    world.side.runner(0)
    assert {each.state for each in world.side.instances()} == {"running"}


def test_an_instance_is_put_back_as_it_was_kept_where_its_stack_can_do_that(world: World) -> None:
    world.fill()
    side, before = world.side, world.side.leftovers()
    if side.supervisor:
        for attempt in (side.keep, side.put_back):
            with pytest.raises(SideError, match=f"{side.name}/0 cannot be kept"):
                attempt(0)
        return
    with pytest.raises(SideError, match="was not kept"):
        side.put_back(0)
    for _ in range(2):
        side.keep(0)
        assert side.instances()[0].state == "running"
        side.kill(0)
        until(lambda: side.instances()[0].state != "running")
        with pytest.raises(SideError, match="does not run"):
            side.keep(0)
        side.put_back(0)
        assert [each.state for each in side.instances()] == ["running"] * 3
        assert side.leftovers() == before
    side.keep(0)
    side.put_back(0)  # also where it runs
    assert side.instances()[0].state == "running"


def test_nothing_was_rolled_back_where_nothing_was_updated(world: World) -> None:
    assert world.side.rollbacks() == []
    world.fill()
    assert world.side.rollbacks() == []


def test_sweep_removes_all_of_the_lab_and_nothing_else(world: World) -> None:
    world.fill()
    others = world.foreign()
    listed = world.side.leftovers()
    told: list[str] = []
    removed = world.side.sweep(progress=told.append)
    assert {each for each in listed if not each.startswith("task")} <= set(removed)
    assert told
    assert world.side.leftovers() == []
    assert world.side.instances() == []
    assert others
    assert world.foreign() == others
    assert world.side.sweep(progress=told.append) == []


@pytest.mark.integration
def test_sweep_takes_a_vms_saved_memory_and_its_snapshots_along(tmp_path: Path) -> None:
    world = LibvirtWorld(tmp_path)
    try:
        world.fill()
        world.save()
        world.side.sweep(progress=lambda line: None)
        assert world.side.leftovers() == []
    finally:
        world.clear()
