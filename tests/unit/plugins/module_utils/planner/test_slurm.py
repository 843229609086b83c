"""What one pass decides in single situations."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import plan as steps
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.catalog import Quota
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.fleet import Unavailable
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner import explain, limits, slurm

from tests.unit.plugins.module_utils.planner.world import NOW, World, array, cluster

HPC = "demo-hpc-hb120rsv3-pg1"
D4 = "demo-htc-d4sv5"


def small(**policy: int) -> World:
    """One array, one size, two nodes."""
    return World(cluster(array("htc", "Standard_D4s_v5", most=2), **policy))


def put(world: World, name: str, *flags: str, **fields: str) -> None:
    """Give a node a state."""
    world.change(name, flags=frozenset({"CLOUD", *flags}), **fields)


def machine(world: World, name: str = D4, **fields: object) -> str:
    """Put a machine into a set; answers its resource id."""
    item = world.sets[name]
    made = world.instance(item, **fields)
    world.sets[name] = replace(item, instances=(*item.instances, made), capacity=item.capacity + 1)
    return made.id


def test_growth_says_which_job_needs_which_nodes() -> None:
    world = World(cluster())
    world.submit("12", "hpc", 2)
    world.schedule()
    assert explain.lines(world.plan()) == [f"grow {HPC} from 0 to 2: job 12 needs hpc-hb120rsv3-[1-2]"]


def test_an_incomplete_observation_changes_nothing_and_says_so() -> None:
    world = World(cluster())
    world.submit("1", "hpc", 2)
    world.schedule()
    queue = replace(world.queue(), errors=("squeue failed",))
    fleet = replace(world.fleet(), errors=("throttled",))
    plan = slurm.plan(world.cluster, world.layout, queue, fleet, world.catalog(), NOW)
    assert not plan
    assert [item.reason for item in plan.unmet] == [
        "nothing was changed, cannot read the queue: squeue failed",
        "nothing was changed, cannot read Azure: throttled",
    ]


def test_a_new_machine_is_claimed_only_when_its_address_is_known() -> None:
    world = small()
    world.submit("1", "htc", 1)
    world.schedule()
    machine(world, private_ip="")
    assert not world.plan()
    world.sets[D4] = replace(world.sets[D4], instances=())
    world.sets[D4] = replace(world.sets[D4], capacity=0)
    found = machine(world)
    assert [(step.node, step.instance_id) for step in world.plan().scheduler] == [("htc-d4sv5-1", found)]  # type: ignore[union-attr]


def test_growth_under_way_is_not_asked_for_again() -> None:
    world = small()
    world.submit("1", "htc", 2)
    world.schedule()
    world.sets[D4] = replace(world.sets[D4], capacity=2, provisioning_state="Updating")
    assert not world.plan()


def test_powered_down_nodes_give_their_machines_back_in_one_request() -> None:
    world = small()
    for name in ("htc-d4sv5-1", "htc-d4sv5-2"):
        put(world, name, "IDLE", "POWERING_DOWN", instance_id=machine(world))
    plan = world.plan()
    assert [(step.scale_set, step.instance_ids) for step in plan.azure] == [(D4, ("1", "2"))]  # type: ignore[union-attr]
    assert plan.scheduler == (steps.Release(("htc-d4sv5-1", "htc-d4sv5-2"), "it is powered down"),)


def test_a_powered_down_node_with_a_job_keeps_its_machine() -> None:
    world = small()
    put(world, "htc-d4sv5-1", "ALLOCATED", "POWERING_DOWN", instance_id=machine(world))
    assert not world.plan()


def test_machines_of_nobody_are_deleted_when_they_are_old_enough() -> None:
    world = small()
    machine(world, created_at=NOW - 200)
    machine(world, created_at=NOW - 301)
    machine(world, created_at=0)
    assert [step.instance_ids for step in world.plan().azure] == [("2",)]  # type: ignore[union-attr]


def test_a_machine_without_claim_that_a_node_joined_from_is_claimed_again_and_not_deleted() -> None:
    world = small()
    found = machine(world, created_at=NOW - 5000)
    put(world, "htc-d4sv5-2", "ALLOCATED", address=world.sets[D4].instances[0].private_ip)
    (claim,) = world.plan().scheduler
    assert isinstance(claim, steps.Claim)
    assert (claim.node, claim.instance_id) == ("htc-d4sv5-2", found)
    assert not world.plan().azure


def test_of_two_nodes_with_one_machine_the_joined_one_keeps_it() -> None:
    world = small()
    found = machine(world)
    put(world, "htc-d4sv5-1", "ALLOCATED", "POWERING_UP", instance_id=found)
    put(world, "htc-d4sv5-2", "IDLE", instance_id=found.upper())
    plan = world.plan()
    assert plan.scheduler == (steps.Release(("htc-d4sv5-1",), "its instance belongs to another node"),)
    assert [(step.scale_set, step.capacity) for step in plan.azure] == [(D4, 2)]  # type: ignore[union-attr]


def test_failed_machines_are_deleted_remembered_and_their_nodes_taken_out_of_service() -> None:
    world = small()
    world.submit("7", "htc", 1)
    world.schedule()
    machine(world, provisioning_state="Failed", private_ip="", error="SkuNotAvailable: none left; $(reboot)")
    assert explain.lines(world.plan()) == [
        f"delete 1 of {D4} (1): 1: SkuNotAvailable",
        f"leave {D4} alone until 08:05 UTC: SkuNotAvailable, not again for 300 s",
        "drain and requeue htc-d4sv5-1: azure_hpc: Azure has no Standard_D4s_v5 (SkuNotAvailable), next try at 08:05 UTC",  # noqa: E501
        "drain htc-d4sv5-2: azure_hpc: Azure has no Standard_D4s_v5 (SkuNotAvailable), next try at 08:05 UTC",
        'tell job 7 "azure_hpc: waits: Azure has no Standard_D4s_v5 (SkuNotAvailable), next try at 08:05 UTC": '
        "its owner should know",
        "unmet, jobs 7: Azure has no Standard_D4s_v5 (SkuNotAvailable), next try at 08:05 UTC",
    ]


def test_zones_are_tried_in_order_and_an_unavailable_one_is_passed_over() -> None:
    world = World(cluster(array("htc", "Standard_D4s_v5", most=3, zones=("2", "1"))))
    world.submit("1", "htc", 2)
    world.schedule()
    world.sets[f"{D4}-z2"] = replace(world.sets[f"{D4}-z2"], unavailable=Unavailable(NOW + 60, "ZonalAllocationFailed"))
    plan = world.plan()
    assert [(step.scale_set, step.capacity) for step in plan.azure] == [(f"{D4}-z1", 2)]  # type: ignore[union-attr]
    assert not plan.scheduler


def test_a_placement_group_stays_in_the_zone_where_it_has_machines() -> None:
    world = World(cluster(array("hpc", "Standard_HB120rs_v3", most=3, placement_group=True, zones=("1", "2"))))
    second = "demo-hpc-hb120rsv3-z2-pg1"
    put(world, "hpc-hb120rsv3-1", "IDLE", instance_id=machine(world, second))
    world.submit("1", "hpc", 3)
    world.schedule()
    assert [(step.scale_set, step.capacity) for step in world.plan().azure] == [(second, 3)]  # type: ignore[union-attr]


def test_a_scale_set_that_does_not_exist_is_named() -> None:
    world = small()
    world.submit("1", "htc", 1)
    world.schedule()
    world.sets.clear()
    plan = world.plan()
    assert not plan.azure
    assert plan.unmet == (steps.Unmet(("1",), f"scale set {D4} does not exist; the site playbook makes it"),)


def test_no_joined_node_is_given_up_because_its_whole_scale_set_is_not_listed() -> None:
    world = small()
    put(world, "htc-d4sv5-1", "ALLOCATED", instance_id=machine(world))
    world.sets.clear()
    assert not world.plan()


def test_quota_that_deleted_machines_give_back_soon_is_waited_for() -> None:
    world = small()
    world.limits["standarddsv5family"] = 4
    put(world, "htc-d4sv5-1", "IDLE", "POWERING_DOWN", instance_id=machine(world))
    world.submit("1", "htc", 1)
    world.schedule()
    plan = world.plan()
    assert [type(step) for step in plan.azure] == [steps.Shrink]
    assert [type(step) for step in plan.scheduler] == [steps.Release]
    assert plan.unmet == (steps.Unmet(("1",), "quota standarddsv5family allows 4 vCPUs, one Standard_D4s_v5 takes 4"),)


def test_planning_again_counts_the_machines_of_the_same_pass_against_the_quota() -> None:
    world = small()
    world.limits["standarddsv5family"] = 4
    world.submit("1", "htc", 1)
    world.schedule()
    before, catalog = world.fleet(), world.catalog()
    world.apply(*world.plan().azure)
    after = limits.with_growth(catalog, before, world.fleet())
    assert after.quotas["standarddsv5family"].used == 4
    assert after.quotas["cores"].used == 4
    assert catalog.quotas["cores"].used == 0


def test_a_node_that_no_job_wants_any_more_gets_no_machine_and_is_powered_down() -> None:
    world = small()
    put(world, "htc-d4sv5-1", "IDLE", "POWERING_UP")
    assert world.plan() == steps.Plan(scheduler=(steps.Remove(("htc-d4sv5-1",), "no job wants it any more"),))


def test_a_node_on_its_way_up_is_left_to_slurm_while_jobs_wait() -> None:
    world = small()
    put(world, "htc-d4sv5-1", "IDLE", "POWERING_UP")
    world.submit("1", "htc", 1)
    assert not world.plan()


def test_nodes_that_slurm_gave_up_return_to_service() -> None:
    world = small()
    put(world, "htc-d4sv5-1", "DOWN", "POWERED_DOWN", reason="ResumeTimeout reached")
    put(world, "htc-d4sv5-2", "DOWN", "POWERED_DOWN", reason="disk is broken")
    assert world.plan().scheduler == (steps.Resume(("htc-d4sv5-1",), "it can be served again"),)


def test_a_node_whose_machine_is_gone_is_released_and_its_job_requeued() -> None:
    world = small()
    found = machine(world)
    put(world, "htc-d4sv5-1", "ALLOCATED", instance_id=found)
    world.sets[D4] = replace(world.sets[D4], instances=(), capacity=0)
    assert world.plan().scheduler == (
        steps.Release(("htc-d4sv5-1",), "its machine is gone"),
        steps.Drain(("htc-d4sv5-1",), "azure_hpc: machine is gone", requeue=True),
        steps.Remove(("htc-d4sv5-1",), "its machine is gone"),
    )


def test_a_node_that_is_silent_for_long_is_replaced_but_not_one_that_people_took_down() -> None:
    world = small(boot_timeout=600)
    for name, reason in (("htc-d4sv5-1", "Not responding"), ("htc-d4sv5-2", "disk is broken")):
        quiet = ("NOT_RESPONDING",) if reason.startswith("Not") else ()
        world.change(name, reason_at=NOW - 601)
        put(world, name, "DOWN", *quiet, reason=reason, instance_id=machine(world))
    (remove,) = world.plan().scheduler
    assert remove == steps.Remove(("htc-d4sv5-1",), "its machine does not answer for 601 s")


def test_jobs_that_can_never_start_are_told_why_once() -> None:
    world = World(cluster())
    world.submit("1", "hpc", 8)
    world.submit("2", "htc", 1, reason="BadConstraints", name="{{ lookup('pipe','id') }}")
    world.submit("3", "htc", 1, reason="JobHeldUser")
    world.submit("4", "htc", 1, cpus=1000)
    world.apply(*world.plan().scheduler)
    assert {job.id: job.note for job in world.jobs.values()} == {
        "1": "azure_hpc: this job cannot start: it asks for 8 nodes and partition hpc has at most 4",
        "2": "azure_hpc: this job cannot start: no node has what it asks for",
        "3": "",
        "4": "azure_hpc: this job cannot start: it asks for 1000 CPUs and partition htc has at most 48",
    }
    assert not world.plan()


def test_of_a_long_queue_only_the_jobs_in_front_are_told() -> None:
    world = small()
    for number in range(1, 301):
        world.submit(str(number), "htc", 9)
    plan = world.plan()
    assert [step.job for step in plan.scheduler] == [str(number) for number in range(1, 201)]  # type: ignore[union-attr]
    world.apply(*plan.scheduler)
    assert not world.plan()


def test_a_job_larger_than_a_placement_group_can_never_start() -> None:
    world = World(cluster(array("hpc", "Standard_HB120rs_v3", most=150, placement_group=True)))
    world.submit("1", "hpc", 120)
    (comment,) = world.plan().scheduler
    assert isinstance(comment, steps.Comment)
    assert "asks for 120 nodes and partition hpc has at most 100" in comment.text


def test_a_failure_of_long_ago_is_forgotten() -> None:
    world = small()
    world.sets[D4] = replace(world.sets[D4], unavailable=Unavailable(NOW - 3601, "AllocationFailed", 3))
    assert explain.lines(world.plan()) == [f"forget that {D4} was unavailable: that was long ago"]


def test_nodes_that_the_definition_does_not_have_keep_their_machines_until_they_are_powered_down() -> None:
    world = small()
    world.nodes["old-d4sv5-9"] = replace(world.nodes["htc-d4sv5-1"], name="old-d4sv5-9", address="10.20.16.5")
    put(world, "old-d4sv5-9", "ALLOCATED", instance_id=machine(world))
    assert not world.plan()
    put(world, "old-d4sv5-9", "IDLE", "POWERING_DOWN")
    assert [type(step) for step in world.plan().azure] == [steps.Shrink]


class Unasked(dict[str, Quota]):
    """Quotas that must not be looked at."""

    def __contains__(self, key: object) -> bool:
        raise AssertionError("quota was asked for")

    __getitem__ = __iter__ = __contains__  # type: ignore[assignment]


def test_quota_is_not_asked_for_while_no_machine_is_wanted() -> None:
    world = World(cluster())
    world.submit("1", "hpc", 2)
    world.schedule()
    for _round in range(2):
        world.apply(*world.plan().azure, *world.plan().scheduler)
    put(world, "htc-d4sv5-1", "IDLE", "POWERING_DOWN", instance_id=machine(world))
    catalog = replace(world.catalog(), quotas=Unasked())
    assert slurm.plan(world.cluster, world.layout, world.queue(), world.fleet(), catalog, NOW).azure
