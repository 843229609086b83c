"""A pass over Azure: what is sent, what is remembered, and that no failure loses what is still true."""

from __future__ import annotations

import threading
import typing as t

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import fleet, passes
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import AzureError
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import AutoscalePolicy
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.fleet import Fleet
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.plan import (
    Claim,
    Comment,
    Drain,
    Grow,
    MarkUnavailable,
    Plan,
    Release,
    Shrink,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Queue, QueueNode

from tests.unit.plugins.module_utils.azure.arm import HOST, Answer, refusal, session
from tests.unit.plugins.module_utils.azure.scale_set_world import SETS, World

NOW = 1_795_165_200
POLICY = AutoscalePolicy(backoff_min=300, backoff_max=1000)
Decide = t.Callable[[Fleet], Plan]


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for thread in threading.enumerate():
            if thread.name.startswith("LROPoller"):
                thread.join(0.1)  # what polls Azure gets its turn on a busy machine, too

    def __call__(self) -> float:
        return self.now


def run(
    world: World, decide: Decide, queue: Queue | None = None, check: bool = False, wait: float = 20
) -> passes.Result:
    clock = Clock()
    with session(world) as azure:
        seen = fleet.observe(azure, "demo-rg", "demo", NOW)
        world.sent.clear()
        runner = passes.Runner(azure, decide, POLICY, wait, NOW, clock.sleep, clock)
        return runner.run(seen, queue or Queue("slurm", "demo", NOW), check)


def wants(first: str, capacity: int, *others: str) -> Decide:
    """Wants a capacity from the first set that is available, and claims what is there."""

    def decide(seen: Fleet) -> Plan:
        sets = {one.name: one for one in seen.scale_sets}
        for name in (first, *others):
            if sets[name].unavailable is None:
                break
        else:
            return Plan(scheduler=(Drain(("n-1",), "azure_hpc: nothing left", True),))
        alive = [one for one in sets[name].instances if one.provisioning_state not in ("Failed", "Deleting")]
        claims = tuple(Claim(f"n-{one.instance_id}", one.id, one.private_ip, one.computer_name, "") for one in alive)
        grows = (Grow(name, capacity, len(alive), "wanted"),) if len(alive) < capacity else ()
        return Plan(azure=grows, scheduler=claims)

    return decide


def test_growth_is_one_request_and_new_instances_are_claimed_in_the_same_pass() -> None:
    world = World()
    world.scale_set("demo-a")
    result = run(world, wants("demo-a", 30))
    assert world.writes() == [("PATCH", "demo-a")]
    assert world.sent[0].body == {"sku": {"name": "Standard_D4s_v5", "tier": "Standard", "capacity": 30}}
    assert len(result.scheduler) == 30
    assert [one.error for one in result.done] == [None]


def test_check_mode_only_plans() -> None:
    world = World()
    world.scale_set("demo-a")
    result = run(world, wants("demo-a", 2), check=True)
    assert world.sent == []
    assert len(result.decided.azure) == 1


def test_a_refused_growth_leads_to_another_choice_in_the_same_pass_and_is_remembered() -> None:
    world = World()
    world.scale_set("demo-a", owner="me")
    world.scale_set("demo-b")
    world.script("PATCH", "demo-a", refusal(409, "SkuNotAvailable", "not available in location"))
    result = run(world, wants("demo-a", 2, "demo-b"))
    assert [name for method, name in world.writes()] == ["demo-a", "demo-a", "demo-b"]
    tags = world.resources[f"{SETS}/demo-a".casefold()]["tags"]
    assert tags["hpc-unavailable"] == f"{NOW + 300} SkuNotAvailable 1"
    assert tags["owner"] == "me"
    assert [type(step).__name__ for step in result.scheduler] == ["Claim", "Claim"]
    assert [one.error.code for one in result.done if one.error] == ["SkuNotAvailable"]


def test_a_growth_that_fails_soon_after_it_was_accepted_is_remembered_too() -> None:
    world = World()
    world.scale_set("demo-a")
    world.slow["demo-a"] = 99
    link = f"{HOST}/subscriptions/s/providers/X/locations/w/operations/late"
    world.script("PATCH", "demo-a", Answer(200, {}, {"Azure-AsyncOperation": link}))
    failed = {"status": "Failed", "error": {"code": "AllocationFailed", "message": "no room"}}
    world.script("GET", "operations/late", Answer(200, failed))
    result = run(world, wants("demo-a", 2))
    assert [one.error.code for one in result.done if one.error] == ["AllocationFailed"]
    assert [type(step).__name__ for step in result.scheduler] == ["Drain"]


def test_the_wait_doubles_with_every_failure_in_a_row_up_to_its_limit() -> None:
    for count, wait in ((1, 600), (2, 1000), (50, 1000)):
        world = World()
        world.scale_set("demo-a", hpc_unavailable=f"1 AllocationFailed {count}")
        world.script("PATCH", "demo-a", refusal(409, "SkuNotAvailable"))
        run(world, lambda seen: Plan(azure=(Grow("demo-a", 1, 0, ""),)))
        tag = world.resources[f"{SETS}/demo-a".casefold()]["tags"]["hpc-unavailable"]
        assert tag == f"{NOW + wait} SkuNotAvailable {count + 1}"


@pytest.mark.parametrize(
    ("status", "code"), [(429, "TooManyRequests"), (409, "AnotherOperationInProgress"), (403, "AuthorizationFailed")]
)
def test_a_refusal_that_says_nothing_about_capacity_is_reported_but_not_remembered(status: int, code: str) -> None:
    world = World()
    world.scale_set("demo-a")
    world.script("PATCH", "demo-a", *[refusal(status, code, Retry_After="999")] * 9)
    result = run(world, wants("demo-a", 2))
    assert world.writes() == [("PATCH", "demo-a")]
    assert [one.error.code for one in result.done if one.error] == [code]
    assert "hpc-unavailable" not in world.resources[f"{SETS}/demo-a".casefold()]["tags"]


def test_instances_that_are_listed_late_are_waited_for() -> None:
    world = World()
    world.scale_set("demo-a")
    world.slow["demo-a"] = 4
    assert len(run(world, wants("demo-a", 2)).scheduler) == 2


def test_waiting_ends_after_claim_wait_and_the_growth_is_not_sent_twice() -> None:
    world = World()
    world.scale_set("demo-a")
    world.slow["demo-a"] = 1000
    result = run(world, wants("demo-a", 2), wait=5)
    assert world.writes() == [("PATCH", "demo-a")]
    assert result.scheduler == ()
    assert len([one for one in world.sent if one.path.endswith("/virtualMachines")]) <= 6


def test_a_list_that_fails_after_growth_is_reported_and_loses_no_other_step() -> None:
    world = World()
    world.scale_set("demo-a")
    world.script("GET", "demo-a/virtualMachines$", *[refusal(403, "AuthorizationFailed")] * 99)
    drain = Drain(("x",), "azure_hpc: reason")
    decide = wants("demo-a", 2)
    result = run(world, lambda seen: Plan(decide(seen).azure, (*decide(seen).scheduler, drain)))
    assert drain in result.scheduler
    assert result.errors[0].code == "ObservationFailed"
    assert result.observation.fleet.errors == ()


def shrinks(seen: Fleet) -> Plan:
    """Gives back what node n-0 had, as long as it is there."""
    (only,) = seen.scale_sets
    here = [one for one in only.instances if one.instance_id == "0" and one.provisioning_state != "Deleting"]
    if not here:
        return Plan(scheduler=(Drain(("n-9",), "azure_hpc: later"),))
    release, comment = Release(("n-0", "n-1"), "powered down"), Comment("7", "azure_hpc: another machine is asked for")
    return Plan((Shrink("demo-a", ("0",), "powered down"),), (release, comment))


def queue() -> Queue:
    claims = [QueueNode(f"n-{n}", frozenset(), instance_id=f"{SETS}/DEMO-A/virtualMachines/{n}") for n in range(2)]
    return Queue("slurm", "demo", NOW, nodes=tuple(claims))


def test_chosen_instances_are_deleted_in_one_request_that_nobody_waits_for() -> None:
    world = World()
    world.scale_set("demo-a", instances=3)
    run(world, shrinks, queue())
    assert [(one.method, one.path.rsplit("/", 1)[1], one.body) for one in world.sent] == [
        ("POST", "delete", {"instanceIds": ["0"]})
    ]


def test_what_an_earlier_round_told_the_scheduler_is_not_lost() -> None:
    world = World()
    world.scale_set("demo-a", instances=3)
    kinds = [type(step).__name__ for step in run(world, shrinks, queue()).scheduler]
    assert kinds == ["Release", "Comment", "Drain"]


def test_a_node_is_not_released_if_its_instance_could_not_be_deleted() -> None:
    world = World()
    world.scale_set("demo-a", instances=3)
    world.script("POST", "delete", refusal(409, "AnotherOperationInProgress"))
    result = run(world, shrinks, queue())
    assert [step.nodes for step in result.scheduler if isinstance(step, Release)] == [("n-1",)]
    assert [one.error.code for one in result.done if one.error] == ["AnotherOperationInProgress"]


def test_a_memory_that_is_over_is_taken_off_the_scale_set() -> None:
    world = World()
    world.scale_set("demo-a", hpc_unavailable="1 AllocationFailed 1", owner="me")
    forget = MarkUnavailable("demo-a", 0, "AllocationFailed", 0, "long ago")
    run(world, lambda seen: Plan((forget,) if seen.scale_sets[0].unavailable else ()))
    assert world.sent[0].body["tags"]["owner"] == "me"
    assert "hpc-unavailable" not in world.sent[0].body["tags"]


def test_room_is_made_before_room_is_taken() -> None:
    world = World()
    world.scale_set("demo-a", instances=1)

    def decide(seen: Fleet) -> Plan:
        (only,) = seen.scale_sets
        if all(one.provisioning_state == "Deleting" for one in only.instances):
            return Plan((Grow("demo-a", 1, 0, ""),))
        dead = any(one.instance_id == "0" and one.provisioning_state != "Deleting" for one in only.instances)
        return Plan((Grow("demo-a", 1, 0, ""), Shrink("demo-a", ("0",), ""))) if dead else Plan()

    run(world, decide)
    assert [name for _method, name in world.writes()] == ["delete", "demo-a"]


def test_a_scale_set_that_does_not_exist_is_an_error_of_its_step_alone() -> None:
    world = World()
    world.scale_set("demo-a")
    steps = (Grow("demo-a", 1, 0, ""), Grow("nowhere", 1, 0, ""))
    result = run(world, lambda seen: Plan(steps))
    assert [(one.step.scale_set, one.error is None) for one in result.done] == [("demo-a", True), ("nowhere", False)]


def test_a_plan_that_never_ends_is_cut_after_three_rounds() -> None:
    world = World()
    world.scale_set("demo-a")
    result = run(world, lambda seen: Plan((Grow("demo-a", len(seen.scale_sets[0].instances) + 1, 0, ""),)))
    assert len(result.done) == passes.ROUNDS


def test_a_catalog_that_cannot_be_read_later_does_not_lose_what_was_decided() -> None:
    world = World()
    world.scale_set("demo-a", instances=3)
    rounds: list[Plan] = []

    def decide(seen: Fleet) -> Plan:
        if rounds:
            raise AzureError("no quota", code="ServiceUnavailable")
        rounds.append(shrinks(seen))
        return rounds[0]

    result = run(world, decide, queue())
    assert [error.message for error in result.errors] == ["no quota"]
    assert [type(step).__name__ for step in result.scheduler] == ["Release", "Comment"]


def test_if_nothing_can_be_decided_nothing_is_changed() -> None:
    world = World()
    world.scale_set("demo-a")

    def decide(seen: Fleet) -> Plan:
        raise AzureError("no quota")

    with pytest.raises(AzureError):
        run(world, decide)
    assert world.writes() == []


def test_tags_of_a_set_that_grows_go_along_with_its_growth() -> None:
    world = World()
    world.scale_set("demo-a", hpc_unavailable="1 AllocationFailed 1")
    forget = MarkUnavailable("demo-a", 0, "AllocationFailed", 0, "long ago")
    steps = (forget, Grow("demo-a", 1, 0, ""))
    result = run(world, lambda seen: Plan(() if seen.scale_sets[0].capacity else steps))
    (sent,) = [one for one in world.sent if one.method != "GET"]
    assert sent.body["sku"]["capacity"] == 1
    assert "hpc-unavailable" not in sent.body["tags"]
    assert result.observation.fleet.scale_sets[0].unavailable is None
