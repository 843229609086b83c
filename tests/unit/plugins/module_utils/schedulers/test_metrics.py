"""Queues as Prometheus reads them: every scheduler's recorded output, and text that people control."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import definition, layout, offers
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Job, Queue, QueueNode
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import metrics, scheduler
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers.metrics import Kind
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.plugins.module_utils.model import definitions
from tests.unit.plugins.module_utils.schedulers import test_parse as slurm
from tests.unit.plugins.module_utils.schedulers.gridengine import ge
from tests.unit.plugins.module_utils.schedulers.htcondor import pool
from tests.unit.plugins.module_utils.schedulers.lsf import test_parse as lsf
from tests.unit.plugins.module_utils.schedulers.openpbs import recorded

Samples = dict[str, dict[tuple[tuple[str, str], ...], float]]
KINDS = (
    Kind("hpc", "Standard_HB120rs_v3", "hpc-hb120rsv3", 3.96),
    Kind("htc", "Standard_D4s_v5", "htc-d4sv5", 0.25),
)


def parsed(text: str) -> Samples:
    """What Prometheus' own client makes of the text."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        assert family.type == "gauge"
        assert family.documentation
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            assert labels not in found.setdefault(sample.name, {}), "the same sample twice"
            found[sample.name][labels] = sample.value
    return found


def shown(queue: Queue, kinds: t.Sequence[Kind] = KINDS, now: int = 0) -> Samples:
    return parsed(metrics.text([*metrics.of_reading(queue, 0.25), *metrics.of_queue(queue, kinds, now)]))


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name].get(tuple(sorted(labels.items())), 0.0)


QUEUES = {
    "slurm": lambda: slurm.observe("03-running-and-pending"),
    "openpbs": lambda: recorded.queue("06-mixed-running-and-pending"),
    "gridengine": lambda: scheduler("gridengine").parse(ge.outputs(), ge.NOW),
    "htcondor": lambda: scheduler("htcondor").parse(pool.recorded("02-running-and-idle"), pool.NOW),
    "lsf": lambda: scheduler("lsf").parse(lsf.outputs(lsf.JOB, hosts=[lsf.HOST]), lsf.NOW),
}


@pytest.mark.parametrize("name", QUEUES)
def test_every_scheduler_has_the_same_metrics_with_all_jobs_and_nodes(name: str) -> None:
    queue = QUEUES[name]()
    assert queue.errors == ()
    samples = shown(queue)
    assert sum(samples["azure_hpc_jobs"].values()) == sum(max(1, job.tasks) for job in queue.jobs)
    assert sum(samples["azure_hpc_user_jobs"].values()) == sum(samples["azure_hpc_jobs"].values())
    assert sum(samples["azure_hpc_nodes"].values()) == len(queue.nodes)
    up = [node for node in queue.nodes if metrics.node_state(node, name) in metrics.UP]
    assert sum(samples["azure_hpc_cpus"].values()) == sum(node.cpus for node in up)
    assert value(samples, "azure_hpc_queue_readable", scheduler=name) == 1
    assert all(number >= 0 for family in samples.values() for number in family.values())


@pytest.mark.parametrize("situation", slurm.SITUATIONS)
def test_every_recorded_state_of_slurm_can_be_told(situation: str) -> None:
    queue = slurm.observe(situation)
    assert sum(shown(queue)["azure_hpc_nodes"].values()) == len(queue.nodes)


@pytest.mark.parametrize(
    ("flags", "state"),
    [
        ({"IDLE", "CLOUD", "POWERED_DOWN"}, "powered_down"),
        ({"IDLE", "CLOUD", "POWERING_DOWN"}, "powering_down"),
        ({"ALLOCATED", "CLOUD", "POWERING_UP", "NOT_RESPONDING"}, "powering_up"),
        ({"DOWN", "CLOUD", "NOT_RESPONDING"}, "down"),
        ({"IDLE", "DRAIN", "CLOUD"}, "drained"),
        ({"MIXED", "CLOUD"}, "busy"),
        ({"IDLE", "CLOUD"}, "idle"),
    ],
)
def test_slurms_words_become_one_state(flags: set[str], state: str) -> None:
    assert metrics.node_state(QueueNode("n", frozenset(flags))) == state


def test_nodes_cpus_and_cost_belong_to_their_array() -> None:
    nodes = (
        QueueNode("hpc-hb120rsv3-1", frozenset({"ALLOCATED"}), ("hpc",), cpus=120),
        QueueNode("hpc-hb120rsv3-2", frozenset({"IDLE", "POWERED_DOWN"}), ("hpc",), cpus=120),
        QueueNode("htc-d4sv5-1", frozenset({"MIXED"}), ("htc",), cpus=4),
    )
    jobs = (
        Job("1", "running", ("hpc",), ("hpc-hb120rsv3-1", "htc-d4sv5-1"), cpus=4, user="alice"),
        Job("2", "pending", ("hpc",), cpus=10, tasks=3, user="bob", reason="Resources", submitted_at=900),
    )
    samples = shown(Queue("slurm", "demo", 1000, jobs, nodes))
    assert value(samples, "azure_hpc_nodes", node_array="hpc", state="busy") == 1
    assert value(samples, "azure_hpc_nodes", node_array="hpc", state="powered_down") == 1
    assert value(samples, "azure_hpc_cpus", node_array="hpc", state="used") == 2
    assert value(samples, "azure_hpc_cpus", node_array="htc", state="free") == 2
    assert value(samples, "azure_hpc_cost_dollars_per_hour", node_array="hpc") == 3.96
    assert value(samples, "azure_hpc_jobs", queue="hpc", state="pending") == 3
    assert value(samples, "azure_hpc_job_cpus", queue="hpc", state="pending") == 30
    assert value(samples, "azure_hpc_oldest_pending_job_seconds", queue="hpc") == 100
    assert value(samples, "azure_hpc_pending_jobs", reason="Resources") == 3
    assert ("queue", "htc") in [pair for key in samples["azure_hpc_jobs"] for pair in key]


def test_other_schedulers_say_themselves_what_is_free() -> None:
    labels = (("node_array", "htc"), ("vm_size", "d4sv5"))
    node = QueueNode("n1", frozenset({"FREE"}), ("q",), cpus=4, up=True, jobs=1, free_cpus=3, labels=labels)
    samples = shown(Queue("openpbs", "", 1, nodes=(node,)))
    assert value(samples, "azure_hpc_nodes", node_array="htc", state="busy") == 1
    assert value(samples, "azure_hpc_cpus", node_array="htc", state="used") == 1
    assert value(samples, "azure_hpc_cost_dollars_per_hour", node_array="htc") == 0.25


def test_the_labels_that_machines_have_lead_to_their_price() -> None:
    """What the exporter is given as kinds, and what nodes of other schedulers have as labels, fit each other."""
    cluster = definition.read(definitions.definition(), definitions.CATALOG)
    prices = {size.name: size.price or 0.0 for size in definitions.CATALOG.sizes.values()}
    groups = layout.layout(cluster).node_groups
    kinds = [Kind(one.node_array, one.vm_size, one.prefix, prices[one.vm_size]) for one in groups]
    assert len(kinds) == 3
    for offer in offers.offers(cluster, definitions.CATALOG):
        node = QueueNode("any000001", frozenset(), cpus=4, up=True, free_cpus=4, labels=offer.labels)
        samples = shown(Queue("openpbs", "", 1, nodes=(node,)), kinds)
        assert value(samples, "azure_hpc_cost_dollars_per_hour", node_array=offer.node_array) == offer.price


def test_an_unreadable_queue_says_so_and_tells_nothing_of_jobs() -> None:
    samples = parsed(metrics.text(metrics.of_reading(Queue("slurm", "", 7, errors=("no answer",)), 1.5)))
    assert samples["azure_hpc_queue_readable"] == {(("scheduler", "slurm"),): 0.0}
    assert samples["azure_hpc_queue_read_seconds"] == {(): 1.5}
    assert "azure_hpc_jobs" not in samples


def test_the_number_of_users_reasons_and_queues_is_bounded() -> None:
    jobs = tuple(
        Job(str(n), "pending", (f"q{n}",), user=f"u{n}", reason=f"r{n}", tasks=2 if n == 999 else 1)
        for n in range(1000)
    )
    samples = shown(Queue("slurm", "", 1, jobs))
    assert len(samples["azure_hpc_user_jobs"]) == metrics.USERS
    assert len(samples["azure_hpc_pending_jobs"]) == metrics.REASONS
    assert len({dict(key)["queue"] for key in samples["azure_hpc_jobs"]}) == metrics.QUEUES
    assert sum(samples["azure_hpc_user_jobs"].values()) == 1001
    assert value(samples, "azure_hpc_user_jobs", user=metrics.OTHERS, state="pending") > 900


HOSTILE = st.text(st.characters(exclude_categories=("Cs",)), max_size=150)


@given(HOSTILE, HOSTILE, HOSTILE)
def test_no_name_that_people_choose_breaks_the_text(user: str, queue: str, reason: str) -> None:
    jobs = (Job("1", "pending", (queue,), user=user, reason=reason), Job("2", "running", (queue,), user="alice"))
    samples = shown(Queue("htcondor", "", 1, jobs), ())
    assert set(samples) <= {
        "azure_hpc_queue_readable", "azure_hpc_queue_observed_timestamp_seconds", "azure_hpc_queue_read_seconds",
        "azure_hpc_queue_skipped_jobs", "azure_hpc_jobs", "azure_hpc_job_cpus", "azure_hpc_user_jobs",
        "azure_hpc_pending_jobs", "azure_hpc_oldest_pending_job_seconds",
    }  # fmt: skip
    assert sum(samples["azure_hpc_user_jobs"].values()) == 2


def test_names_that_look_alike_in_the_end_are_one_sample() -> None:
    family = metrics.Family("jobs", "Jobs.")
    for user in ("a" * 500 + "b", "a" * 500 + "c", "x\x1b", "x\ud800"):
        family.add(1, user=user)
    lines = [line for line in family.lines() if not line.startswith("#")]
    assert len(lines) == len({line.rpartition(" ")[0] for line in lines}) == 2
    assert "".join(lines).encode()


def test_a_name_keeps_its_characters() -> None:
    hostile = 'a"b\\c\nd{}'
    samples = shown(Queue("htcondor", "", 1, (Job("1", "running", user=hostile),)), ())
    assert value(samples, "azure_hpc_user_jobs", user=hostile, state="running") == 1


def slurm_node(number: int, *flags: str, address: str = "") -> QueueNode:
    claim = f"/instances/{number}" if address else ""
    name = f"htc-d4sv5-{number}"
    return QueueNode(name, frozenset({"CLOUD", *flags}), address=address or name, instance_id=claim, cpus=4)


def test_prometheus_asks_nodes_that_have_a_machine() -> None:
    nodes = (
        slurm_node(2, "IDLE", address="10.20.16.5"),
        slurm_node(1, "MIXED", "DRAIN", address="10.20.16.4"),
        slurm_node(3, "IDLE", "POWERED_DOWN"),
        slurm_node(4, "ALLOCATED", "NOT_RESPONDING", address="10.20.16.9"),
        slurm_node(5, "DOWN"),
        slurm_node(6, "ALLOCATED", "POWERING_UP", address="10.20.16.11"),
        QueueNode("static", frozenset({"IDLE"}), address="static"),
    )
    found = metrics.targets(Queue("slurm", "", 1, nodes=nodes), KINDS, "demo")
    addresses = ["10.20.16.4", "10.20.16.5", "10.20.16.9", "static"]
    assert [one["targets"] for one in found] == [[f"{address}:9100"] for address in addresses]
    assert found[0]["labels"] == {
        "instance": "htc-d4sv5-1",
        "hpc_cluster": "demo",
        "hpc_role": "compute",
        "node_array": "htc",
    }
