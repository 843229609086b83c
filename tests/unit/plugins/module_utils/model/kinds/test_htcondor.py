# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a definition may say to HTCondor."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import definition

from tests.unit.plugins.module_utils.model.definitions import definition as whole


def condor(
    features: t.Sequence[str] = (), options: dict[str, t.Any] | None = None, **scheduler: t.Any
) -> dict[str, t.Any]:
    data = whole()
    data.pop("partitions")
    data["scheduler"] = {"type": "htcondor", **scheduler}
    data["node_arrays"][0] |= {"features": list(features), "node_options": options or {}}
    return data


def mistakes(data: dict[str, t.Any]) -> dict[str, str]:
    return {found.path: found.message for found in definition.check(data)}


def test_a_definition_with_everything_is_read() -> None:
    cluster = definition.read(
        condor(
            features=["ib", "Has_Scratch"],
            options={"CLAIM_WORKLIFE": 600, "STARTD.UPDATE_INTERVAL": 10},
            condor_config={
                "MAX_JOBS_PER_OWNER": 20000,
                "SUBMIT_ALLOW_GETENV": True,
                "SYSTEM_PERIODIC_HOLD": '(A > 1) && B == "x"',
            },
            head_config={"LICENCE_LIMIT": 40},
            machine_attributes={"HasTelescope": True, "Site": "north"},
        )
    )
    assert cluster.scheduler.options == {
        "condor_config": {
            "MAX_JOBS_PER_OWNER": "20000", "SUBMIT_ALLOW_GETENV": "True", "SYSTEM_PERIODIC_HOLD": '(A > 1) && B == "x"',
        },
        "head_config": {"LICENCE_LIMIT": "40"},
        "machine_attributes": {"HasTelescope": True, "Site": "north"},
    }  # fmt: skip
    assert cluster.node_arrays[0].node_options == {"CLAIM_WORKLIFE": "600", "STARTD.UPDATE_INTERVAL": "10"}
    assert cluster.partitions == ()


def test_there_are_no_queues() -> None:
    data = condor()
    data["queues"] = [{"name": "workq", "node_arrays": ["hpc"], "default": True}]
    assert "HTCondor has none" in mistakes(data)["queues"]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("CONDOR_HOST", "x", "find and trust each other"),
        ("condor_host", "x", "find and trust each other"),
        ("STARTD.NUM_CPUS", 4, "what the VM size offers"),
        ("SLOT_TYPE_1", "50%", "one slot"),
        ("STARTD_ATTRS", "X", "use machine_attributes"),
        ("two words", "x", "is not a name of a macro"),
        ("use ROLE", "x", "is not a name of a macro"),
        ("A", "x\nDAEMON_LIST = EVIL", "line breaks"),
        ("A", "x\\", "end with"),
        ("A", ["x"], "must be a text"),
    ],
)
def test_a_macro_that_cannot_be_set_is_named_with_the_reason(name: str, value: t.Any, words: str) -> None:
    for key in ("condor_config", "head_config"):
        assert words in mistakes(condor(**{key: {name: value}}))[f"scheduler.{key}.{name}"]
    assert words in mistakes(condor(options={name: value}))[f"node_arrays[0].node_options.{name}"]


def test_a_macro_is_set_once() -> None:
    assert "is the same macro as A" in mistakes(condor(condor_config={"A": 1, "a": 2}))["scheduler.condor_config.a"]


@pytest.mark.parametrize("feature", ["a.b", "1st", "Memory", "node_array", "true", "Target", "LOG", "mpi"])
def test_a_feature_has_to_be_a_name_that_requirements_can_use(feature: str) -> None:
    assert mistakes(condor(features=[feature])).keys() == {"node_arrays[0].features[0]"}


@pytest.mark.parametrize(
    ("name", "value"), [("Cpus", 1), ("a-b", 1), ("A", [1]), ("A", "$(B)"), ("A", "a\nb"), ("vm_size", "x")]
)
def test_attributes_of_machines_are_names_and_plain_values(name: str, value: t.Any) -> None:
    assert mistakes(condor(machine_attributes={name: value})).keys() == {f"scheduler.machine_attributes.{name}"}


def test_an_attribute_is_no_feature_at_the_same_time() -> None:
    found = mistakes(condor(features=["ib"], machine_attributes={"IB": False}))
    assert found == {"scheduler.machine_attributes.IB": "is a feature of a node array, too"}
