"""Dashboards: what Grafana takes, and only metrics that there are."""

from __future__ import annotations

import json
import re
import typing as t
from pathlib import Path

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Job, Queue, QueueNode
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import metrics, passlog

ROOT = Path(__file__).resolve().parents[4]
DASHBOARDS = sorted((ROOT / "roles/monitoring/files/dashboards").glob("*.json"))
NODE_EXPORTER = set((ROOT / "tests/unit/fixtures/prometheus/node_exporter.txt").read_text().split())
NOT_EVERYWHERE = {
    "node_infiniband_port_data_received_bytes_total",
    "node_infiniband_port_data_transmitted_bytes_total",
}
"""What the node exporter tells only where there is such hardware."""
LABELS = {"hpc_cluster", "hpc_role", "node_array", "instance", "job"}
"""What targets have, beside the labels of samples."""
WORDS = {
    "sum", "by", "max", "avg", "rate", "time", "topk", "count", "on", "group_left", "bool", "label_values",
}  # fmt: skip


def ours() -> dict[str, set[str]]:
    """Our metrics with their labels, from the exporter itself."""
    job = Job("1", "pending", ("q",), user="alice", reason="Resources", submitted_at=1)
    kinds = [metrics.Kind("htc", "Standard_D4s_v5", "htc-d4sv5", 0.25)]
    node = QueueNode("htc-d4sv5-1", frozenset({"IDLE"}), ("q",), cpus=4)
    queue = Queue("slurm", "demo", 2, (job,), (node,))
    families = [*metrics.of_reading(queue, 0.1), *metrics.of_queue(queue, kinds)]
    found = {one.name: {name for labels in one.samples for name, _unused in labels} for one in families}
    return {**found, **passes()}


def passes() -> dict[str, set[str]]:
    folder = Path(__file__).parent / "decisions.jsonl"
    return {
        one.name: {name for labels in one.samples for name, _unused in labels}
        for one in passlog.families(str(folder), "demo")
    }


OURS = ours()


def load(path: Path) -> dict[str, t.Any]:
    return dict(json.loads(path.read_text()))


def panels(board: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    return [one for one in board["panels"] if one["type"] != "row"]


def queries(board: dict[str, t.Any]) -> list[str]:
    found = [target["expr"] for panel in panels(board) for target in panel["targets"]]
    return found + [one["query"]["query"] for one in board["templating"]["list"] if one["type"] == "query"]


def names(query: str) -> set[str]:
    """The metrics of a query: words that are neither labels nor functions."""
    bare = re.sub(r'"[^"]*"', "", query)
    bare = re.sub(r"\b(?:by|on|group_left) ?\([^)]*\)", "", re.sub(r"\{[^}]*\}", "", bare))
    bare = re.sub(r"label_values\((\w+), \w+\)", r"\1", bare)
    return set(re.findall(r"[a-z][A-Za-z0-9_]*", re.sub(r"\[[^\]]*\]", "", bare))) - WORDS


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_one_that_grafana_imports(path: Path) -> None:
    board = load(path)
    assert board["id"] is None
    assert board["uid"] == f"azure-hpc-{path.stem}"
    assert board["schemaVersion"] >= 39
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    source = {"type": "prometheus", "uid": "${datasource}"}
    assert "datasource" in [one["name"] for one in board["templating"]["list"]]
    for panel in panels(board):
        assert panel["datasource"] == source
        references = [target["refId"] for target in panel["targets"]]
        assert len(references) == len(set(references))
        assert all(target["datasource"] == source for target in panel["targets"])


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_do_not_lie_on_each_other(path: Path) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in load(path)["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_metric_is_one_that_is_exposed(path: Path) -> None:
    known = set(OURS) | NODE_EXPORTER | NOT_EVERYWHERE | {"up"}
    for query in queries(load(path)):
        assert names(query), query
        assert names(query) <= known, query


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_our_metrics_are_asked_for_by_labels_that_they_have(path: Path) -> None:
    for query in queries(load(path)):
        for name, inside in re.findall(r"(azure_hpc_\w+)\{([^}]*)\}", query):
            assert set(re.findall(r"(\w+)(?:=|!)", inside)) <= OURS[name] | LABELS, query
        for grouped in re.findall(r"by \(([^)]*)\) \((azure_hpc_\w+)", query):
            assert set(grouped[0].split(", ")) <= OURS[grouped[1]], query


def test_all_of_our_metrics_are_shown_somewhere() -> None:
    shown = {name for path in DASHBOARDS for query in queries(load(path)) for name in names(query)}
    assert set(OURS) - shown <= {"azure_hpc_queue_observed_timestamp_seconds", "azure_hpc_pass_complete"}
