"""Steps of a plan as Grid Engine's commands."""

from __future__ import annotations

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import plan
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Job, Queue, QueueNode
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers.gridengine import update

LABELS = (("ib", "true"), ("node_array", "hpc"), ("placement_group", "hpc-hb120rsv3-pg1"), ("vm_size", "hb120rsv3"))
HTC = (("node_array", "htc"), ("placement_group", "demo-htc-d4sv5"), ("vm_size", "d4sv5"))
GROUP = "@hpc-hb120rsv3-pg1"


def node(name: str, *flags: str, **fields: object) -> QueueNode:
    known = {"partitions": ("hpc",), "hostname": f"{name}.internal", "labels": LABELS, "cpus": 120, "memory_mib": 1000}
    return QueueNode(name, frozenset({"SUBMIT", *flags}), **{**known, **fields})  # type: ignore[arg-type]


def queue(*nodes: QueueNode, jobs: tuple[Job, ...] = ()) -> Queue:
    return Queue("gridengine", "", 1, jobs, nodes)


def add(name: str, **fields: object) -> plan.Add:
    offer = {"cpus": 120, "memory_mib": 1000, "gpus": 0, "labels": LABELS, "reason": "boots", "address": "10.0.0.4"}
    return plan.Add(node=name, **{"hostname": name, **offer, **fields})  # type: ignore[arg-type]


def commands(found: Queue, *steps: plan.SchedulerStep) -> list[str]:
    """The commands for these steps, as one text each."""
    assert update.check(steps) == ()
    writes, refused = update.writes(steps, found)
    assert refused == ()
    return [" ".join(write.command.argv) for write in writes]


def test_a_new_node_is_put_into_its_group_and_then_says_what_it_has() -> None:
    values = (
        "slots=120,exclusive=true,gpu=0,h_vmem=1000M,mem_free=1000M,hpc_memory=1000,"
        "ib=true,node_array=hpc,placement_group=hpc-hb120rsv3-pg1,vm_size=hb120rsv3"
    )
    assert commands(queue(), add("hpc-1")) == [
        f"qconf -aattr hostgroup hostlist hpc-1 {GROUP}",
        f"qconf -rattr exechost complex_values {values} hpc-1",
        "qconf -as hpc-1",
    ]


def test_alike_nodes_are_added_together_and_others_by_themselves() -> None:
    many = [add(f"hpc-{number}") for number in range(30)]
    found = commands(queue(), *many, add("htc-1", labels=HTC, cpus=4))
    groups = [text for text in found if "-aattr" in text]
    assert [len(text.split()) for text in groups] == [30, 10, 6], "25 at once, 5, and the other one"
    assert groups[-1] == "qconf -aattr hostgroup hostlist htc-1 @htc-d4sv5"


def test_a_node_that_is_as_it_should_be_is_not_added_again_and_another_is_brought_into_line() -> None:
    assert commands(queue(node("hpc-1")), add("hpc-1")) == []
    found = commands(queue(node("hpc-1", memory_mib=5)), add("hpc-1"))
    assert [text.split()[1] for text in found] == ["-aattr", "-rattr"]
    assert found[1].endswith(" hpc-1.internal")


def test_a_drain_remembers_its_reason_first_and_takes_effect_second() -> None:
    step = plan.Drain(("hpc-1", "hpc-2"), "azure_hpc: idle, for 300 s")
    assert commands(queue(node("hpc-1"), node("hpc-2")), step) == [
        "qconf -mattr exechost complex_values hpc_drain=azure_hpc: idle%2C for 300 s hpc-1.internal hpc-2.internal",
        "qmod -d *@hpc-1.internal *@hpc-2.internal",
    ]


def test_a_drain_that_holds_is_not_written_again() -> None:
    step = plan.Drain(("hpc-1",), "azure_hpc: idle")
    assert commands(queue(node("hpc-1", "DISABLED", drained=True, reason="azure_hpc: idle")), step) == []


def test_a_drain_that_was_interrupted_is_finished() -> None:
    found = commands(queue(node("hpc-1", drained=False)), plan.Drain(("hpc-1",), "azure_hpc: idle"))
    assert found[-1] == "qmod -d *@hpc-1.internal"


def test_a_drain_that_requeues_has_jobs_wait_again() -> None:
    found = commands(queue(node("hpc-1", jobs=2), node("hpc-2")), plan.Drain(("hpc-1", "hpc-2"), "azure_hpc: x", True))
    assert found[-1] == "qmod -f -rq *@hpc-1.internal"


def test_a_resumed_node_has_no_reason_and_no_error_left() -> None:
    bad = node("hpc-1", "DISABLED", "ERROR", drained=True, reason="azure_hpc: idle")
    assert commands(queue(bad, node("hpc-2")), plan.Resume(("hpc-1", "hpc-2"), "")) == [
        "qmod -cq *@hpc-1.internal",
        "qmod -e *@hpc-1.internal",
        "qconf -dattr exechost complex_values hpc_drain hpc-1.internal",
    ]


def test_a_removed_node_leaves_its_group_before_it_is_forgotten() -> None:
    assert commands(queue(node("hpc-1", drained=True)), plan.Remove(("hpc-1",), "")) == [
        f"qconf -dattr hostgroup hostlist hpc-1.internal {GROUP}",
        "qconf -ds hpc-1.internal",
        "qconf -de hpc-1.internal",
    ]


def test_jobs_of_a_machine_that_is_gone_wait_again_before_it_is_forgotten() -> None:
    found = commands(queue(node("hpc-1", jobs=1)), plan.Remove(("hpc-1",), ""))
    assert found[0] == "qmod -f -rq *@hpc-1.internal"
    assert found[-1] == "qconf -de hpc-1.internal"


def test_a_node_that_is_silent_may_have_jobs_that_wait_again_when_it_is_given_up() -> None:
    found = commands(queue(node("hpc-1", "UNREACHABLE", jobs=0)), plan.Remove(("hpc-1",), ""))
    assert found[0] == "qmod -f -rq *@hpc-1.internal"


def test_nodes_of_several_groups_leave_each_its_own() -> None:
    found = commands(queue(node("a"), node("b", labels=HTC)), plan.Remove(("a", "b"), ""))
    assert [text for text in found if "-dattr" in text] == [
        f"qconf -dattr hostgroup hostlist a.internal {GROUP}",
        "qconf -dattr hostgroup hostlist b.internal @htc-d4sv5",
    ]
    assert found[-1] == "qconf -de a.internal,b.internal"


def test_a_node_that_is_gone_need_not_be_removed_but_cannot_be_drained() -> None:
    assert commands(queue(), plan.Remove(("hpc-1",), "")) == []
    _writes, refused = update.writes([plan.Drain(("hpc-1",), "azure_hpc: x")], queue())
    assert [found.message for found in refused] == ["Grid Engine knows no node hpc-1"]


def test_a_comment_is_one_argument_of_one_line_and_written_once() -> None:
    evil = "$(reboot) {{ x }}\n-hard, \x1b[31m" + "a" * 300
    writes, _refused = update.writes([plan.Comment("12", evil)], queue(jobs=(Job("12", "pending"),)))
    (write,) = writes
    assert write.command.argv[:2] == ("qalter", "-ac")
    assert write.command.argv[2].startswith("azure_hpc=$(reboot) {{ x }} -hard; [31maaa")
    assert write.command.argv[3:] == ("12",)
    said = write.after[0].partition(": ")[2]
    assert update.writes([plan.Comment("12", evil)], queue(jobs=(Job("12", "pending", note=said),)))[0] == ()
    assert update.writes([plan.Comment("13", evil)], queue()) == ((), ())


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (plan.Drain(("hpc-1;reboot",), "azure_hpc: x"), "'hpc-1;reboot' is not a node name"),
        (plan.Drain(("*",), "azure_hpc: x"), "'*' is not a node name"),
        (plan.Drain((), "azure_hpc: x"), "names no node"),
        (plan.Drain(("hpc-1",), "two\nlines"), "'two\\nlines' is not a reason"),
        (plan.Remove(("-de",), ""), "'-de' is not a node name"),
        (plan.Comment("1 -w n", "x"), "'1 -w n' is not a job id"),
        (plan.Comment("-u", "x"), "'-u' is not a job id"),
        (add("hpc-1", labels=(("node_array", "a,slots=9"), ("vm_size", "b"))), "'a,slots=9' is not a value of a label"),
        (add("hpc-1", labels=()), "has no label node_array"),
        (add("hpc-1", hostname="@all"), "'@all' is not a host name"),
        (add("hpc-1", cpus=0), "offers less than nothing"),
        (plan.Wake(("hpc-1",), ""), "is nothing that Grid Engine needs"),
        (plan.Kick(""), "is nothing that Grid Engine needs"),
    ],
)
def test_what_is_no_name_id_or_amount_is_refused(step: plan.SchedulerStep, message: str) -> None:
    assert message in [found.message for found in update.check([step])]
