"""Steps of a plan as Slurm commands."""

from __future__ import annotations

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import plan
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Job, Queue, QueueNode
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers.slurm import update

ID = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachineScaleSets/x/virtualMachines/0"


def node(name: str, *flags: str, **fields: str) -> QueueNode:
    return QueueNode(name, frozenset({"CLOUD", *flags}), **{"address": name, "hostname": name, **fields})  # type: ignore[arg-type]


def queue(*nodes: QueueNode, jobs: tuple[Job, ...] = ()) -> Queue:
    return Queue("slurm", "demo", 1, jobs, nodes)


def commands(step: plan.SchedulerStep, found: Queue) -> list[str]:
    """The commands for one step, as one text each, without the words that all of them begin with."""
    writes, refused = update.writes([step], found)
    assert refused == ()
    assert all(write.command.argv[:2] == ("scontrol", "update") for write in writes)
    return [" ".join(write.command.argv[2:]) for write in writes]


def test_a_claim_is_one_command() -> None:
    step = plan.Claim("htc-1", ID, "10.0.0.4", "vm000000", "")
    wanted = f"nodename=htc-1 instanceid={ID} nodeaddr=10.0.0.4 nodehostname=vm000000"
    assert commands(step, queue(node("htc-1", "POWERING_UP"))) == [wanted]


def test_a_claim_that_holds_is_not_written_again() -> None:
    step = plan.Claim("htc-1", ID, "10.0.0.4", "vm000000", "")
    held = node("htc-1", instance_id=ID, address="10.0.0.4", hostname="vm000000")
    assert commands(step, queue(held)) == []


def test_many_nodes_are_one_command_and_those_that_are_as_they_should_be_are_left_out() -> None:
    step = plan.Release(("htc-1", "htc-2", "htc-3"), "")
    found = queue(node("htc-1", instance_id="a"), node("htc-2"), node("htc-3", address="10.0.0.1"))
    assert commands(step, found) == ["nodename=htc-[1,3] instanceid= nodeaddr=htc-[1,3] nodehostname=htc-[1,3]"]


def test_nodes_on_their_way_up_are_drained_and_joined_ones_taken_down() -> None:
    step = plan.Drain(("htc-1", "htc-2"), "azure_hpc: gone", requeue=True)
    jobs = (Job("7", "configuring", nodes=("htc-1",)), Job("8", "running", nodes=("htc-9",)))
    found = queue(node("htc-1", "ALLOCATED", "POWERING_UP"), node("htc-2", "ALLOCATED"), jobs=jobs)
    assert commands(step, found) == [
        "nodename=htc-1 state=drain reason=azure_hpc: gone",
        "nodename=htc-2 state=down reason=azure_hpc: gone",
        "jobid=7 starttime=now",
    ]


def test_a_drain_without_requeue_takes_nothing_down() -> None:
    step = plan.Drain(("htc-1",), "azure_hpc: none left")
    assert commands(step, queue(node("htc-1", "POWERED_DOWN"))) == [
        "nodename=htc-1 state=drain reason=azure_hpc: none left"
    ]
    assert commands(step, queue(node("htc-1", "DRAIN", reason="azure_hpc: none left"))) == []


def test_a_node_drained_on_its_way_up_is_resumed_by_powering_it_down() -> None:
    found = queue(node("htc-1", "DRAIN", "POWERING_UP"), node("htc-2", "DRAIN", "POWERED_DOWN"), node("htc-3"))
    assert commands(plan.Resume(("htc-1", "htc-2", "htc-3"), ""), found) == [
        "nodename=htc-1 state=power_down_force",
        "nodename=htc-2 state=resume",
    ]


def test_nodes_that_are_down_are_powered_down_by_force_and_idle_ones_politely() -> None:
    found = queue(
        node("htc-1", "DOWN"), node("htc-2", "IDLE"), node("htc-3", "POWERING_DOWN"), node("htc-4", "POWER_DOWN")
    )
    assert commands(plan.Remove(("htc-1", "htc-2", "htc-3", "htc-4"), ""), found) == [
        "nodename=htc-1 state=power_down_force",
        "nodename=htc-2 state=power_down",
    ]


def test_a_node_on_its_way_up_is_powered_down_unless_a_job_got_it_meanwhile() -> None:
    found = queue(node("htc-1", "IDLE", "POWERING_UP"), node("htc-2", "ALLOCATED", "POWERING_UP"))
    assert commands(plan.Remove(("htc-1", "htc-2"), ""), found) == ["nodename=htc-1 state=power_down_force"]


def test_what_was_asked_for_and_has_not_happened_yet_is_not_asked_for_again() -> None:
    found = queue(node("htc-1", "DRAIN", "POWER_DOWN"), node("htc-2", "POWERED_DOWN", "POWER_UP"))
    assert commands(plan.Resume(("htc-1",), ""), found) == []
    assert commands(plan.Wake(("htc-2",), ""), found) == []


def test_a_node_taken_down_by_the_same_plan_is_powered_down_by_force() -> None:
    steps = [plan.Drain(("htc-1",), "azure_hpc: gone", requeue=True), plan.Remove(("htc-1",), "")]
    writes, _refused = update.writes(steps, queue(node("htc-1", "ALLOCATED")))
    assert [write.command.key for write in writes] == ["down", "power_down_force"]


def test_nodes_are_woken_only_when_they_are_off() -> None:
    found = queue(node("htc-1", "POWERED_DOWN"), node("htc-2", "POWERING_UP"))
    assert commands(plan.Wake(("htc-1", "htc-2"), ""), found) == ["nodename=htc-1 state=power_up"]


def test_comments_are_one_argument_of_one_line_and_written_once() -> None:
    evil = "$(reboot) {{ x }}\nNodeName=x \x1b[31m" + "a" * 300
    writes, _unused = update.writes([plan.Comment("12_3", evil)], queue(jobs=(Job("12_3", "pending"),)))
    (write,) = writes
    text = write.command.argv[3].removeprefix("admincomment=")
    assert write.command.argv[:3] == ("scontrol", "update", "jobid=12_3")
    assert text.startswith("$(reboot) {{ x }} NodeName=x [31maaa")
    assert len(text) == 240
    assert update.writes([plan.Comment("12_3", evil)], queue(jobs=(Job("12_3", "pending", note=text),)))[0] == ()


def test_a_job_that_ended_needs_no_comment_and_an_unknown_node_is_reported() -> None:
    writes, refused = update.writes([plan.Comment("1", "x"), plan.Wake(("a-1", "a-2"), "")], queue())
    assert writes == ()
    assert [(item.step, item.message) for item in refused] == [(1, "Slurm knows no node a-[1-2]")]


@pytest.mark.parametrize(
    "step",
    [
        plan.Wake((), ""),
        plan.Wake(("a 1",), ""),
        plan.Wake(("-a",), ""),
        plan.Wake(("a[1-2]",), ""),
        plan.Wake(("ALL,x",), ""),
        plan.Comment("1 state=x", "text"),
        plan.Comment("$(id)", "text"),
        plan.Drain(("a",), "line\nbreak"),
        plan.Drain(("a",), ""),
        plan.Claim("a", "not an id", "10.0.0.1", "h", ""),
        plan.Claim("a", ID, "10.0.0.1,x", "h", ""),
        plan.Claim("a", ID, "10.0.0.1", "h;x", ""),
        plan.Claim("a", ID + "\n", "10.0.0.1", "h", ""),
    ],
)
def test_values_that_are_no_names_ids_or_addresses_are_refused(step: plan.SchedulerStep) -> None:
    assert update.check([step])


def test_good_steps_are_not_refused() -> None:
    good = [
        plan.Claim("a-1", ID, "10.0.0.1", "h-1", ""),
        plan.Drain(("a",), "azure_hpc: \u00e4"),
        plan.Comment("16+1", ""),
    ]
    assert update.check(good) == ()
