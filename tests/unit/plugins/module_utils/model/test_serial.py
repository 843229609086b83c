"""Values survive the way through JSON, and what does not fit is named."""

from __future__ import annotations

import collections.abc
import json
import typing as t

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import plan, serial
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.catalog import Catalog
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import Cluster
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.fleet import Fleet
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.layout import Layout
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Job, Queue
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

T = t.TypeVar("T")


def mappings(kind: t.Any) -> st.SearchStrategy[t.Any]:
    """Values for a type hint of a mapping: dictionaries, as they are after JSON."""
    inside = t.get_args(kind)[1]
    plain = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists, max_leaves=3)
    return st.dictionaries(st.text(max_size=5), plain if inside is t.Any else st.from_type(inside), max_size=2)


st.register_type_strategy(collections.abc.Mapping, mappings)
st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
KINDS: list[type[t.Any]] = [Cluster, Queue, Fleet, Catalog, Layout, plan.Plan]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_value_survives_json(kind: type[t.Any], data: st.DataObject) -> None:
    value = data.draw(st.from_type(kind))
    assert serial.load(kind, json.loads(json.dumps(serial.dump(value)))) == value


def test_half_a_character_of_a_job_does_not_hide_the_queue() -> None:
    # Ansible refuses the whole result of a module with a text that is not UTF-8, which every user could bring about.
    job = Job(json.loads('"1\\ud800"'), "pending", name=json.loads('"\\ud83d\\ude00 \\udc00"'))
    found = serial.dump(Queue("custom", "c", 1, jobs=(job,)))
    assert json.dumps(found, ensure_ascii=False).encode()
    assert (found["jobs"][0]["id"], found["jobs"][0]["name"]) == ("1?", "\U0001f600 ?")


def test_steps_carry_their_kind() -> None:
    step = plan.Drain(("a-1",), "azure_hpc: gone", requeue=True)
    assert serial.dump(step) == {"step": "drain", "nodes": ["a-1"], "reason": "azure_hpc: gone", "requeue": True}
    assert serial.load_step(serial.dump(step)) == step


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ({"scheduler": "slurm", "cluster": "c"}, "observed_at"),
        ({"scheduler": "slurm", "cluster": "c", "observed_at": True}, "observed_at"),
        ({"scheduler": "slurm", "cluster": "c", "observed_at": 1, "jobs": [{"id": 12, "state": "x"}]}, "jobs[0].id"),
        ({"scheduler": "slurm", "cluster": "c", "observed_at": 1, "jobs": "12"}, "jobs"),
        ({"scheduler": "slurm", "cluster": "c", "observed_at": 1, "nods": []}, "nods"),
        ([], ""),
    ],
)
def test_what_does_not_fit_is_named_by_its_path(data: t.Any, path: str) -> None:
    with pytest.raises(serial.SerialError) as caught:
        serial.load(Queue, data)
    assert caught.value.path == path


@pytest.mark.parametrize("data", [{"step": "explode"}, {}, "drain", {"step": ["drain"]}])
def test_unknown_steps_are_refused(data: t.Any) -> None:
    with pytest.raises(serial.SerialError):
        serial.load_step(data)


def test_a_step_for_the_scheduler_is_no_step_for_azure() -> None:
    drain = serial.dump(plan.Drain(("a-1",), "r"))
    with pytest.raises(serial.SerialError, match=r"azure\[0\]\.step: drain does not belong here"):
        serial.load(plan.Plan, {"azure": [drain], "scheduler": [], "unmet": []})
