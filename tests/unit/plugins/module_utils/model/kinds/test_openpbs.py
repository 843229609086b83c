"""What a definition may say to OpenPBS."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import definition

from tests.unit.plugins.module_utils.model.definitions import definition as whole

DIGEST = "a" * 64


def pbs(features: t.Sequence[str] = (), queue: dict[str, t.Any] | None = None, **scheduler: t.Any) -> dict[str, t.Any]:
    data = whole()
    data["node_arrays"] = data["node_arrays"][:1]
    data.pop("partitions")
    data["scheduler"] = {"type": "openpbs", **scheduler}
    array = data["node_arrays"][0]
    array["features"] = list(features)
    data["queues"] = [{"name": "workq", "node_arrays": [array["name"]], "default": True, **(queue or {})}]
    return data


def mistakes(data: dict[str, t.Any]) -> dict[str, str]:
    return {found.path: found.message for found in definition.check(data)}


def test_a_definition_with_everything_is_read() -> None:
    data = pbs(
        features=["ib"],
        queue={"options": {"max_run": "[u:PBS_GENERIC=2]", "resources_max.walltime": "48:00:00", "Priority": 10}},
        packages=[
            "openpbs-server-ohpc",
            {"url": "https://example.org/pbs.rpm", "sha256": DIGEST},
            {"file": "/srv/x.deb"},
        ],
        repositories=[{"name": "ohpc", "url": "https://example.org/ohpc", "key_url": "https://example.org/key"}],
        resources={"lic": {"type": "long", "flag": "q"}},
        server={"max_run": "[o:PBS_ALL=100]", "query_other_jobs": True},
        sched={"do_not_span_psets": False},
        sched_config={"backfill_prime": "false ALL"},
        pbs_conf={"PBS_SCP": "/usr/bin/scp"},
        mom_config={"$max_load": 3.5},
    )
    options = definition.read(data).scheduler.options
    assert options["packages"][1] == {"url": "https://example.org/pbs.rpm", "sha256": DIGEST}
    assert options["server"] == {"max_run": "[o:PBS_ALL=100]", "query_other_jobs": "True"}
    assert options["sched"] == {"do_not_span_psets": "False"}
    assert options["mom_config"] == {"$max_load": "3.5"}
    assert options["exec"] == "/opt/pbs"
    assert definition.read(data).partitions[0].options["Priority"] == "10"


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"packages": [{"url": "https://example.org/pbs.rpm"}]}, "scheduler.packages[0].sha256", "is missing"),
        ({"packages": [{"sha256": DIGEST}]}, "scheduler.packages[0]", "either url or file"),
        ({"packages": ["a; reboot"]}, "scheduler.packages[0]", "is not the name of a package"),
        ({"packages": [{"file": "x.deb"}]}, "scheduler.packages[0].file", "absolute path"),
        ({"server": {"max_run": "a\nset server x"}}, "scheduler.server.max_run", "must not contain"),
        ({"server": {"comment": "x; delete node n"}}, "scheduler.server.comment", "must not contain ';'"),
        ({"server": {"x y": "1"}}, "scheduler.server.x y", "is not a name of an option"),
        ({"server": {"default_queue": "x"}}, "scheduler.server.default_queue", "use default of a queue"),
        ({"queue": {"options": {"Queue_Type": "Route"}}}, "queues[0].options.Queue_Type", "execution queues"),
        ({"pbs_conf": {"PBS_SERVER": "x"}}, "scheduler.pbs_conf.PBS_SERVER", "it is the head node"),
        ({"resources": {"mem": {}}}, "scheduler.resources.mem", "is there already"),
        ({"resources": {"lic": {"flag": "z"}}}, "scheduler.resources.lic.flag", "must be letters of"),
        ({"features": ["avx.512"]}, "node_arrays[0].features[0]", "becomes a resource of PBS"),
        ({"features": ["mem"]}, "node_arrays[0].features[0]", "another resource of PBS already"),
        ({"queue": {"name": "R12"}}, "queues[0].name", "is a name of a reservation"),
        ({"queue": {"name": "a-very-long-name-"}}, "queues[0].name", "at most 15"),
        ({"slurm_conf": {}}, "scheduler.slurm_conf", "unknown key"),
    ],
)
def test_mistakes_are_named_with_their_path(changes: dict[str, t.Any], path: str, words: str) -> None:
    found = mistakes(pbs(**changes))
    assert set(found) == {path}
    assert words in found[path]


def test_nodes_have_no_options_of_their_own() -> None:
    data = pbs()
    data["node_arrays"][0]["node_options"] = {"x": 1}
    assert mistakes(data) == {"node_arrays[0].node_options.x": "PBS takes no options of nodes here: use features"}
