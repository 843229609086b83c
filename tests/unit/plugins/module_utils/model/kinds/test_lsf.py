"""What a definition may say to LSF."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import definition

from tests.unit.plugins.module_utils.model.definitions import definition as whole

FILES = {key: {"file": f"/srv/{key}"} for key in ("installer", "distribution", "entitlement")}


def lsf(features: t.Sequence[str] = (), queue: dict[str, t.Any] | None = None, **scheduler: t.Any) -> dict[str, t.Any]:
    data = whole()
    data["node_arrays"] = data["node_arrays"][:1]
    data.pop("partitions")
    data["scheduler"] = {"type": "lsf", **scheduler}
    data["node_arrays"][0]["features"] = list(features)
    data["queues"] = [{"name": "normal", "node_arrays": ["hpc"], "default": True, **(queue or {})}]
    return data


def test_a_definition_with_everything_is_read() -> None:
    options = {"PRIORITY": 40, "DESCRIPTION": "for all"}
    found = definition.read(
        lsf(["ib"], {"options": options}, **FILES, admins=["lsfadmin"], lsf_conf={"LSF_LOG_MASK": "LOG_INFO"},
            lsb_params={"MBD_SLEEP_TIME": 10})
    )  # fmt: skip
    assert found.scheduler.options["top"] == "/opt/ibm/lsf"
    assert found.scheduler.options["lsb_params"] == {"MBD_SLEEP_TIME": "10"}
    assert found.partitions[0].options["PRIORITY"] == "40"


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"installer": {"file": "/srv/x"}}, "scheduler.distribution", "it takes all three"),
        ({"lsf_conf": {"LSF_SERVER_HOSTS": "x"}}, "scheduler.lsf_conf.LSF_SERVER_HOSTS", "it is the head node"),
        ({"lsf_conf": {"A": "x\ny"}}, "scheduler.lsf_conf.A", "must not contain"),
        ({"queue": {"options": {"HOSTS": "all"}}}, "queues[0].options.HOSTS", "use node_arrays"),
        ({"queue": {"name": "all"}}, "queues[0].name", "means something else"),
        ({"features": ["avx-512"]}, "node_arrays[0].features[0]", "becomes a resource of LSF"),
        ({"features": ["mem"]}, "node_arrays[0].features[0]", "another resource of LSF already"),
        ({"features": ["infx"]}, "node_arrays[0].features[0]", "not begin with inf or nan"),
        ({"top": "opt"}, "scheduler.top", "absolute path"),
    ],
)
def test_mistakes_are_named_with_their_path(changes: dict[str, t.Any], path: str, words: str) -> None:
    found = {one.path: one.message for one in definition.check(lsf(**changes))}
    assert set(found) == {path}
    assert words in found[path]
