"""The planner of queues that it packs itself: what is bought, and for whom."""

from __future__ import annotations

import random
import typing as t
from dataclasses import replace

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import plan as steps
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Budget
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.fleet import Unavailable
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import (
    PACK,
    SCATTER,
    Chunk,
    Queue,
    QueueNode,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner import answers, packed

from .packed_world import BIG_MEMORY, FAST, GIB, GPU, LARGE, NOW, SIZES, SMALL, World, array, cluster, grown, of, unmet


def test_a_queue_that_cannot_be_read_changes_nothing() -> None:
    world = World(cluster())
    world.submit("1")
    broken = Queue("openpbs", "demo", NOW, tuple(world.jobs.values()), errors=("qstat: no connection",))
    plan = packed.plan(world.cluster, world.layout, broken, world.fleet(), world.catalog(), NOW)
    assert not plan
    assert "qstat: no connection" in unmet(plan)


# demand


def test_an_array_of_tasks_is_one_class_with_a_count() -> None:
    world = World(cluster(array("htc", LARGE, most=1000)))
    world.submit("1[]", tasks=1600)
    assert grown(world.plan()) == {"demo-htc-d16sv5": 100}


def test_tasks_that_could_not_start_ask_for_nothing() -> None:
    world = World(cluster(array("htc", LARGE)))
    world.submit("1[]", tasks=1600, startable=16)
    world.submit("2", startable=0, blocked="it is held")
    assert grown(world.plan()) == {"demo-htc-d16sv5": 1}


def test_packed_pieces_need_one_node_and_scattered_ones_need_many() -> None:
    world = World(cluster(array("htc", SMALL, LARGE)))
    world.submit("pack", cpus=4, nodes=4, spread=PACK)
    assert grown(world.plan()) == {"demo-htc-d16sv5": 1}
    world.jobs.clear()
    world.submit("scatter", cpus=1, nodes=3, spread=SCATTER)
    assert grown(world.plan()) == {"demo-htc-d4sv5": 3}


def test_an_exclusive_job_shares_its_node_with_nobody() -> None:
    world = World(cluster(array("htc", LARGE)))
    world.submit("alone", cpus=1, exclusive=True)
    world.submit("other", cpus=1)
    assert grown(world.plan()) == {"demo-htc-d16sv5": 2}


def test_a_job_with_different_pieces_gets_all_of_them() -> None:
    world = World(cluster())
    chunks = (Chunk(1, 1, GIB, 1), Chunk(2, 4, 8 * GIB))
    world.submit("mixed", chunks=chunks)
    bought = grown(world.plan())
    assert bought["demo-gpu-nc24adsa100v4"] == 1
    assert world.settle() == 2


def test_labels_queues_and_resources_are_conditions() -> None:
    world = World(cluster(array("htc", SMALL), array("ssd", LARGE, features=("ssd",))))
    world.submit("label", labels=(("ssd", "true"),))
    assert grown(world.plan()) == {"demo-ssd-d16sv5": 1}
    world.jobs.clear()
    world.submit("queue", partitions=("ssd",))
    assert grown(world.plan()) == {"demo-ssd-d16sv5": 1}
    world.jobs.clear()
    world.submit("licence", resources=(("matlab", 1.0),))
    plan = world.plan()
    assert not grown(plan)
    assert "has no matlab" in unmet(plan)


def test_a_label_with_several_values_is_as_good_as_each_of_them() -> None:
    world = World(cluster(array("htc", SMALL)))
    pairs = (("software", "gaussian"), ("software", "orca"))
    world.nodes["big"] = QueueNode(
        "big",
        frozenset(),
        up=True,
        cpus=64,
        memory_mib=256 * GIB,
        free_cpus=64,
        free_memory_mib=256 * GIB,
        labels=pairs,
    )
    world.submit("1", labels=pairs[:1])
    world.submit("2", labels=pairs[1:])
    world.submit("both", labels=pairs)
    assert not world.plan()
    world.submit("other", labels=(("software", "vasp"),))
    assert [one.jobs for one in world.plan().unmet] == [("other",)]


def test_a_job_that_can_never_run_is_told_why() -> None:
    world = World(cluster(array("htc", SMALL)))
    world.submit("1", cpus=64)
    comment = of(world.plan(), steps.Comment)[0]
    assert comment.text.startswith("azure_hpc: this job cannot start: it needs 64 CPUs")
    assert "Standard_D4s_v5 of htc has 4 CPUs" in comment.text
    world.apply(comment)
    assert not of(world.plan(), steps.Comment)


def test_a_job_that_was_not_understood_does_not_blind_the_pass() -> None:
    world = World(cluster(array("htc", SMALL)))
    world.submit("1")
    queue = replace(world.queue(), skipped=("job 7: select is garbled",))
    plan = packed.plan(world.cluster, world.layout, queue, world.fleet(), world.catalog(), NOW)
    assert grown(plan) == {"demo-htc-d4sv5": 1}
    assert "job 7: select is garbled" in unmet(plan)


# supply


def test_free_nodes_are_used_before_anything_is_bought() -> None:
    world = World(cluster(array("htc", LARGE)))
    world.submit("1", cpus=12)
    world.settle()
    world.join()
    world.run("1", *world.nodes)
    world.submit("2", cpus=4)
    assert not world.plan().azure
    world.submit("3", cpus=1)
    assert grown(world.plan()) == {"demo-htc-d16sv5": 1}


def test_an_idle_node_of_another_array_is_used_before_a_cheaper_one_is_bought() -> None:
    world = World(cluster(array("cheap", SMALL), array("dear", LARGE)))
    world.submit("1", partitions=("dear",))
    world.settle()
    world.join()
    world.run("1", *world.nodes)
    world.finish("1")
    world.submit("2")
    assert not world.plan().azure


def test_machines_that_boot_are_not_bought_twice() -> None:
    world = World(cluster(array("htc", LARGE)))
    world.submit("1[]", tasks=40)
    assert world.settle() == 2
    world.now += 60
    assert not world.plan().azure


def test_machines_that_are_ordered_but_not_listed_yet_are_not_bought_twice() -> None:
    world = World(cluster(array("htc", LARGE)))
    world.submit("1[]", tasks=40)
    for step in of(world.plan(), steps.Grow):
        item = world.sets[step.scale_set]
        world.sets[step.scale_set] = replace(item, capacity=step.capacity, provisioning_state="Updating")
    assert not world.plan().azure


def test_the_cheapest_mix_of_sizes_is_bought_whatever_is_listed_first() -> None:
    for arrays in ((array("a", SMALL, LARGE), array("b", GPU)), (array("b", GPU), array("a", LARGE, SMALL))):
        world = World(cluster(*arrays))
        world.submit("1[]", tasks=36)
        assert grown(world.plan()) == {"demo-a-d16sv5": 2, "demo-a-d4sv5": 1}


def test_every_living_machine_that_the_scheduler_does_not_know_is_added() -> None:
    world = World(cluster(array("htc", LARGE, features=("ssd",))))
    world.submit("1")
    world.apply(*world.plan().azure)
    step = of(world.plan(), steps.Add)[0]
    assert (step.cpus, step.gpus, step.partitions) == (16, 0, ("all", "htc"))
    assert ("ssd", "true") in step.labels
    world.apply(step)
    assert not of(world.plan(), steps.Add)


# placement groups


def test_all_nodes_of_a_gang_are_in_one_placement_group() -> None:
    world = World(cluster(array("hpc", FAST, most=150, placement_group=True)))
    for number in range(3):
        world.submit(str(number), cpus=120, nodes=40, spread=SCATTER, exclusive=True, one_group=True)
    assert grown(world.plan()) == {"demo-hpc-hb120rsv3-pg1": 80, "demo-hpc-hb120rsv3-pg2": 40}
    world.settle()
    done = packed.Pass(world.cluster, world.layout, world.queue(), world.fleet(), world.catalog(), world.now)
    for _job, tags in done.placements():
        assert len({tag.scale_set.name for tag in tags}) == 1


def test_a_gang_that_fits_in_no_group_gets_nothing_at_all() -> None:
    world = World(cluster(array("hpc", FAST, most=150, placement_group=True)))
    world.submit("1", cpus=120, nodes=120, spread=SCATTER, exclusive=True, one_group=True)
    plan = world.plan()
    assert not plan.azure
    assert unmet(plan)


def test_a_gang_uses_the_free_nodes_of_a_group_and_buys_only_the_rest() -> None:
    world = World(cluster(array("hpc", FAST, most=300, placement_group=True)))
    world.submit("1", cpus=120, nodes=5, spread=SCATTER, exclusive=True, one_group=True)
    world.settle()
    world.join()
    world.run("1", *world.nodes)
    world.finish("1")
    world.submit("2", cpus=120, nodes=8, spread=SCATTER, exclusive=True, one_group=True)
    assert grown(world.plan()) == {"demo-hpc-hb120rsv3-pg1": 3}


def test_a_gang_does_not_go_to_an_array_without_placement_groups_if_it_could_have_one() -> None:
    world = World(cluster(array("htc", LARGE, most=50), array("hpc", FAST, placement_group=True)))
    world.submit("1", cpus=8, nodes=2, spread=SCATTER, one_group=True)
    assert grown(world.plan()) == {"demo-hpc-hb120rsv3-pg1": 2}
    world.submit("1", cpus=8, nodes=2, spread=SCATTER, one_group=True, partitions=("htc",))
    assert grown(world.plan()) == {"demo-htc-d16sv5": 2}


# limits


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"most": 2}, "node array htc has its 2 nodes"),
        ({"max_vcpus": 32}, "node array htc may have 32 vCPUs"),
        ({"quota": {"standarddsv5family": 32}}, "quota standarddsv5family allows 32 vCPUs"),
        ({"quota": {"cores": 40}}, "quota cores allows 40 vCPUs"),
        ({"policy": {"max_nodes": 2}}, "the cluster has its 2 nodes"),
        ({"policy": {"max_vcpus": 47}}, "the cluster may have 47 vCPUs"),
        ({"policy": {"budget": Budget(per_hour=2.0)}}, "the budget is 2 USD/hour"),
        ({"policy": {"grow_per_minute": 2}}, "at most 2 machines are asked for in a minute"),
    ],
)
def test_limits_give_what_is_left_to_those_in_front_and_say_what_others_wait_for(
    limits: dict[str, t.Any], reason: str
) -> None:
    most, vcpus = limits.get("most", 10), limits.get("max_vcpus", 0)
    made = cluster(array("htc", LARGE, most=most, max_vcpus=vcpus), **limits.get("policy", {}))
    world = World(made, limits=limits.get("quota", {}))
    for number in range(4):
        world.submit(str(number), cpus=16, priority=float(number))
    plan = world.plan()
    assert grown(plan) == {"demo-htc-d16sv5": 2}
    waiting = [one for one in plan.unmet if reason in one.reason]
    assert [one.jobs for one in waiting] == [("0", "1")]
    comments = {step.job: step.text for step in of(plan, steps.Comment)}
    assert set(comments) == {"0", "1"}
    assert comments["0"].startswith(f"azure_hpc: waits: {reason}")


def test_small_jobs_behind_do_not_take_what_the_first_job_needs() -> None:
    world = World(cluster(array("htc", LARGE, most=2)))
    world.submit("small[]", tasks=100)
    world.submit("whole", cpus=16, exclusive=True, priority=1.0)
    plan = world.plan()
    assert grown(plan) == {"demo-htc-d16sv5": 2}
    assert [one.jobs for one in plan.unmet] == [("small[]",)]


def test_a_job_behind_that_needs_something_else_does_not_wait() -> None:
    world = World(cluster(), limits={"standardncadsa100v4family": 0})
    world.submit("gpu", gpus=1, priority=1.0)
    world.submit("cpu")
    plan = world.plan()
    assert grown(plan) == {"demo-htc-d4sv5": 1}
    assert [one.jobs for one in plan.unmet] == [("gpu",)]


def test_without_a_known_price_nothing_is_held_against_a_budget() -> None:
    world = World(cluster(array("htc", LARGE), budget=Budget(per_hour=100.0)))
    world.submit("1")
    catalog = world.catalog()
    unknown = {name: replace(size, price=None) for name, size in catalog.sizes.items()}
    plan = packed.plan(world.cluster, world.layout, world.queue(), world.fleet(), replace(catalog, sizes=unknown), NOW)
    assert not plan.azure
    assert "the price of Standard_D16s_v5 is not known" in unmet(plan)


@pytest.mark.parametrize(
    ("spent", "count"), [({}, 0), ({"month": 99.5}, 0), ({"month": 97.6}, 3), ({"month": 10.0}, 4)]
)
def test_the_budget_of_a_month_stops_growth_when_it_is_spent(spent: dict[str, float], count: int) -> None:
    world = World(cluster(array("htc", LARGE), budget=Budget(per_month=100.0)), spent=spent)
    for number in range(4):
        world.submit(str(number), cpus=16)
    assert sum(grown(world.plan()).values()) == count


def test_a_size_that_azure_refused_is_left_alone_for_the_next_choice() -> None:
    world = World(cluster(array("htc", SMALL), array("big", LARGE)))
    world.submit("1")
    item = world.sets["demo-htc-d4sv5"]
    world.sets[item.name] = replace(item, unavailable=Unavailable(NOW + 300, "AllocationFailed"))
    assert grown(world.plan()) == {"demo-big-d16sv5": 1}


def test_a_machine_that_could_not_be_made_is_deleted_and_something_else_bought_in_the_same_plan() -> None:
    world = World(cluster(array("htc", SMALL), array("big", LARGE)), denied={"demo-htc-d4sv5"})
    world.submit("1")
    world.apply(*world.plan().azure)
    plan = world.plan()
    assert of(plan, steps.Shrink)[0].scale_set == "demo-htc-d4sv5"
    assert of(plan, steps.MarkUnavailable)[0].code == "AllocationFailed"
    assert grown(plan) == {"demo-big-d16sv5": 1}


# kept nodes


def test_spot_and_regular_machines_are_compared_by_their_own_prices() -> None:
    world = World(cluster(array("regular", SMALL), array("spot", SMALL, priority="spot")))
    world.submit("1")
    assert grown(world.plan()) == {"demo-spot-d4sv5-spot": 1}


def test_memory_decides_as_well_as_cpus() -> None:
    world = World(cluster(array("htc", LARGE), array("mem", BIG_MEMORY)))
    for number in range(4):
        world.submit(str(number), cpus=1, memory=30 * GIB)
    assert grown(world.plan()) == {"demo-mem-e16sv5": 1}
    assert SIZES[BIG_MEMORY].memory_mib > 4 * 30 * GIB


def test_jobs_that_the_next_pass_puts_onto_a_kept_machine_are_counted_on() -> None:
    made = cluster(
        array("htc", SMALL, LARGE, most=1), array("mem", BIG_MEMORY, most=1), array("gpu", GPU, warm_nodes=1)
    )
    world = World(made)
    for number, job in enumerate(({}, {}, {"exclusive": True}, {"tasks": 3}, {"cpus": 12})):
        world.submit(str(number), **job)
    world.apply(*world.plan().azure)
    assert not grown(world.plan())


def test_a_machine_that_is_kept_and_not_listed_yet_is_not_ordered_again() -> None:
    world = World(cluster(array("gpu", GPU, warm_nodes=1)))
    found = world.sets["demo-gpu-nc24adsa100v4"]
    world.sets[found.name] = replace(found, capacity=1, provisioning_state="Updating")
    assert not grown(world.plan())


def test_pieces_on_nodes_of_their_own_share_them_with_other_jobs() -> None:
    """Three jobs on four nodes each, and what is left of the nodes is for others: no piece costs a node."""
    world = World(cluster(array("htc", LARGE)))
    for number in range(3):
        world.submit(f"spread{number}", cpus=4, nodes=4, spread=SCATTER)
    world.submit("small[]", cpus=4, tasks=4)
    assert grown(world.plan()) == {"demo-htc-d16sv5": 4}
    world.settle()
    done = packed.Pass(world.cluster, world.layout, world.queue(), world.fleet(), world.catalog(), NOW)
    for job, tags in done.placements():
        assert len({id(tag) for tag in tags}) == (4 if job.id.startswith("spread") else 1)


def test_machines_on_their_way_are_enough_however_tight_the_packing_was_that_they_were_bought_for() -> None:
    made = cluster(array("htc", SMALL, LARGE, most=300), array("mem", BIG_MEMORY, most=300))
    world, draw = World(made, adds_nodes=False), random.Random(3)
    for number in range(150):
        world.submit(str(number), cpus=draw.choice((1, 3, 5, 6, 7, 9, 11)), memory=draw.choice((1, 7, 19, 33)) * GIB)
    first = packed.Pass(world.cluster, world.layout, world.queue(), world.fleet(), world.catalog(), NOW)
    assert not any(first.packer.left)
    world.apply(*world.plan().azure)
    again = packed.Pass(world.cluster, world.layout, world.queue(), world.fleet(), world.catalog(), NOW)
    # This time it finds no nodes for some of them: the same machines are enough, or they would not have been bought.
    assert again.packer.later
    assert any(again.packer.left)
    assert not again.plan()
    asked = answers.Answers(made, world.layout, world.queue(), world.fleet(), world.catalog(), NOW)
    said = {asked.answer(str(number), 0)["why"] for number in range(150)}
    assert "machines that are on their way have room for it" in said


def test_jobs_that_a_limit_leaves_out_are_told_so_while_machines_are_on_their_way() -> None:
    world = World(cluster(array("htc", LARGE, most=3)))
    world.submit("first[]", cpus=16, tasks=3, priority=1.0)
    world.settle()
    world.submit("late", cpus=16)
    plan = world.plan()
    assert not grown(plan)
    assert [step.text for step in of(plan, steps.Comment)] == ["azure_hpc: waits: node array htc has its 3 nodes"]


def test_an_idle_node_of_which_something_is_reserved_is_no_empty_one() -> None:
    """The scheduler says that no job is on it, and that some of it cannot be had all the same."""
    world = World(cluster(array("htc", SMALL, LARGE), array("mem", BIG_MEMORY)))
    for number in range(6):
        world.submit(f"before{number}", cpus=3 + number % 3, memory=(7 + number * 5) * GIB)
    world.settle()
    world.join()
    world.nodes = {name: replace(node, free_cpus=0) for name, node in world.nodes.items()}
    world.jobs = {}
    for number in range(9):
        world.submit(str(number), cpus=3 + number % 4, memory=(7 + number * 3) * GIB)
    done = packed.Pass(world.cluster, world.layout, world.queue(), world.fleet(), world.catalog(), NOW)
    assert not any(done.packer.left)
    assert {type(tag).__name__ for _job, tags in done.placements() for tag in tags} == {"New"}


@pytest.mark.parametrize("classes", [20, 160])
def test_a_size_that_costs_nothing_is_bought_first(classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIZES, LARGE, replace(SIZES[LARGE], price=0.0))
    world = World(cluster(array("htc", SMALL, LARGE, most=300)))
    for number in range(classes):
        world.submit(str(number), cpus=1 + number % 7, memory=GIB + number)
    assert set(grown(world.plan())) == {"demo-htc-d16sv5"}


def test_many_different_jobs_are_packed_around_those_that_are_hardest_to_place() -> None:
    """More classes than the linear program tells apart: not much dearer than if jobs could be cut to fit."""
    world, draw = World(cluster(array("htc", LARGE, most=300), array("mem", BIG_MEMORY, most=300))), random.Random(1)
    for number in range(400):
        world.submit(str(number), cpus=draw.randint(1, 4), memory=draw.randint(8, 80) * GIB // 4)
    done = packed.Pass(world.cluster, world.layout, world.queue(), world.fleet(), world.catalog(), NOW)
    chunks = [job.chunks[0] for job in world.jobs.values()]
    cpus, memory = sum(one.cpus for one in chunks), sum(one.memory_mib for one in chunks)
    # What both sizes offer, at a price of each resource at which neither of them is worth more than it costs.
    sizes = {spec.vm_size: done.market.kinds[spec.name.casefold()] for spec in world.layout.scale_sets}
    gib = (1.0 - 0.78) / (sizes[BIG_MEMORY].memory - sizes[LARGE].memory)
    bound = memory * gib + cpus * (0.78 - sizes[LARGE].memory * gib) / 16
    assert not any(done.packer.left)
    assert bound <= done.basket.cost() <= 1.1 * bound
