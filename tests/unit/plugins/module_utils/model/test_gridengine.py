"""What a definition may say to Grid Engine, and what it is told when it says something else."""

from __future__ import annotations

import copy
import typing as t

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import definition as reading

from .definitions import definition


def gridengine(**scheduler: t.Any) -> dict[str, t.Any]:
    """A valid definition for Grid Engine."""
    found = copy.deepcopy(definition())
    found["scheduler"] = {"type": "gridengine", **scheduler}
    found["queues"] = [
        {"name": "hpc", "node_arrays": ["hpc"], "default": True, "options": {"h_rt": "48:00:00"}},
        {"name": "htc", "node_arrays": ["htc"]},
    ]
    del found["partitions"]
    return found


def mistakes(found: dict[str, t.Any]) -> list[str]:
    return [str(mistake) for mistake in reading.check(found)]


def test_a_definition_becomes_attributes_as_grid_engine_takes_them() -> None:
    cluster = reading.read(
        gridengine(
            configuration={"max_u_jobs": 500},
            complexes={"lic": {"consumable": "YES"}, "kind": {"type": "STRING"}},
            parallel_environments={"mpi8": {"allocation_rule": 8, "placement_groups": True}},
        )
    )
    options = cluster.scheduler.options
    assert options["configuration"] == {"max_u_jobs": "500"}
    assert options["security"] == "munge"
    assert options["complexes"]["lic"] == {
        "shortcut": "lic", "type": "INT", "relop": "<=", "requestable": "YES", "consumable": "YES", "default": "0",
        "urgency": "0",
    }  # fmt: skip
    assert (options["complexes"]["kind"]["relop"], options["complexes"]["kind"]["default"]) == ("==", "NONE")
    assert options["parallel_environments"] == {
        "mpi8": {"placement_groups": True, "attributes": {"allocation_rule": "8"}}
    }
    assert cluster.partitions[0].options == {"h_rt": "48:00:00"}


def test_flags_are_grid_engines_words() -> None:
    found = gridengine()
    found["queues"][0]["options"] = {"rerun": False, "tmpdir": "/mnt  /x"}
    assert reading.read(found).partitions[0].options == {"rerun": "FALSE", "tmpdir": "/mnt /x"}


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        ({"scheduler": {"slurm_conf": {}}}, "scheduler.slurm_conf: unknown key"),
        ({"scheduler": {"configuration": {"load_sensor": "/x"}}}, "scheduler.configuration.load_sensor: cannot be set"),
        ({"scheduler": {"configuration": {"Bad": 1}}}, "scheduler.configuration.Bad: is not a name of an attribute"),
        ({"scheduler": {"configuration": {"prolog": "a\nb"}}}, "scheduler.configuration.prolog: must not contain line"),
        ({"scheduler": {"configuration": {"prolog": ""}}}, "scheduler.configuration.prolog: must not be empty"),
        (
            {"scheduler": {"configuration": {"prolog": ["x"]}}},
            "scheduler.configuration.prolog: must be a text or a num",
        ),
        ({"scheduler": {"complexes": {"hpc_drain": {}}}}, "scheduler.complexes.hpc_drain: is the collection's own"),
        ({"scheduler": {"complexes": {"a b": {}}}}, "scheduler.complexes.a b: must begin with a letter"),
        ({"scheduler": {"complexes": {"x": {"type": "NUMBER"}}}}, "scheduler.complexes.x.type: must be one of INT"),
        (
            {"scheduler": {"parallel_environments": {"p": {"allocation_rule": "$some"}}}},
            "scheduler.parallel_environments.p.allocation_rule: must be $pe_slots",
        ),
        (
            {"scheduler": {"parallel_environments": {"p": {"placement_groups": "yes"}}}},
            "scheduler.parallel_environments.p.placement_groups: must be true or false",
        ),
        ({"queue": {"slots": 4}}, "queues[0].options.slots: cannot be set here: a node has as many slots"),
        ({"queue": {"tmpdir": "/tmp,[@htc=/mnt]"}}, "queues[0].options.tmpdir: must not contain brackets"),
        ({"features": ["x:y"]}, "node_arrays[0].features[0]: becomes a complex of Grid Engine"),
        ({"features": ["mem_free"]}, "node_arrays[0].features[0]: mem_free is another complex of Grid Engine already"),
        ({"features": ["node_array"]}, "node_arrays[0].features[0]: node_array is another complex"),
        ({"array": "allhosts"}, "node_arrays[0].name: allhosts is the host group of all nodes"),
        ({"name": "template"}, "queues[0].name: template means something else to Grid Engine"),
        ({"node_options": {"pe_list": "smp"}}, "node_arrays[0].node_options.pe_list: cannot be set here"),
    ],
)
def test_mistakes_are_named_where_they_are(change: dict[str, t.Any], mistake: str) -> None:
    found = gridengine(**change.get("scheduler", {}))
    queue, array = found["queues"][0], found["node_arrays"][0]
    queue["options"] = change.get("queue", {})
    queue["name"] = change.get("name", queue["name"])
    array["features"] = change.get("features", [])
    array["node_options"] = change.get("node_options", {})
    if "array" in change:
        array["name"] = change["array"]
        queue["node_arrays"] = [change["array"]]
    (only,) = mistakes(found)
    assert only.startswith(mistake)


def test_a_queue_mixes_placement_groups_with_one_other_array_at_most() -> None:
    found = gridengine()
    found["queues"] = [{"name": "all.q", "node_arrays": ["hpc", "htc"], "default": True}]
    assert mistakes(found) == []
    found["node_arrays"].append({"name": "big", "vm_sizes": ["Standard_D8s_v5"], "max_nodes": 2})
    found["queues"][0]["node_arrays"].append("big")
    assert mistakes(found) == [
        "queues[0].node_arrays: has node arrays with placement groups and 2 without: give those a queue of their own"
    ]
