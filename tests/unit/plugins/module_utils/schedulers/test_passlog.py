"""The last pass of a decision log as metrics."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import passlog


def row(kind: str, time: str = "2026-11-20T10:00:00Z", cluster: str = "demo", **more: t.Any) -> str:
    return json.dumps({"time": time, "cluster": cluster, "kind": kind, "outcome": "sent", **more})


def end(time: str = "2026-11-20T10:00:00Z", outcome: str = "done", cluster: str = "demo") -> str:
    return row("pass", time, cluster, outcome=outcome, requests=7, seconds={"observe": 0.5, "apply": 1.25})


def found(path: Path, cluster: str = "demo") -> dict[str, dict[t.Any, float]]:
    return {one.name: dict(one.samples) for one in passlog.families(str(path), cluster)}


def test_the_last_pass_of_the_cluster_is_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    later = "2026-11-20T10:01:00Z"
    lines = [
        row("grow"), end(), row("shrink", later), row("shrink", later), row("unmet", later, outcome="unmet"),
        row("grow", "2026-11-20T10:00:30Z"), end(later), row("grow", cluster="other"), end(cluster="other"),
    ]  # fmt: skip
    log.write_text("\n".join([*lines, row("grow", "2026-11-20T10:02:00Z"), "{half a li"]) + "\n")
    told = found(log)
    assert told["azure_hpc_pass_timestamp_seconds"] == {(): 1795168860.0}
    assert told["azure_hpc_pass_requests"] == {(): 7.0}
    assert told["azure_hpc_pass_complete"] == {(): 1.0}
    assert told["azure_hpc_pass_seconds"][(("stage", "apply"),)] == 1.25
    assert told["azure_hpc_pass_decisions"] == {
        (("kind", "shrink"), ("outcome", "sent")): 2.0,
        (("kind", "unmet"), ("outcome", "unmet")): 1.0,
    }


def test_a_pass_that_was_not_complete_says_so(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(end(outcome="incomplete") + "\n")
    assert found(tmp_path / "log")["azure_hpc_pass_complete"] == {(): 0.0}


def test_without_a_log_nothing_is_told(tmp_path: Path) -> None:
    assert found(tmp_path / "none") == {}
    (tmp_path / "empty").write_text("")
    assert found(tmp_path / "empty") == {}
    (tmp_path / "others").write_text(end(cluster="other") + "\n")
    assert found(tmp_path / "others") == {}


def test_only_the_end_of_a_long_log_is_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text((row("grow", text="x" * 1000) + "\n") * 2000 + end() + "\n")
    assert len(passlog.tail(str(log))) < 600
    assert found(log)["azure_hpc_pass_complete"] == {(): 1.0}
