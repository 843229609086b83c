# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role writes into Slurm's files, rendered as Ansible renders it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible.plugins.filter.core import FilterModule as Core
from ansible.plugins.filter.mathstuff import FilterModule as Sets

ROLE = Path(__file__).parents[4] / "roles/slurm"
D4 = {"name": "htc-d4sv5-[1-2]", "count": 2, "cpus": 4, "cores_per_socket": 2, "threads_per_core": 2,
      "real_memory": 15000, "features": ["htc", "spot"], "weight": 10}  # fmt: skip
D8 = {**D4, "name": "htc-d8sv5-[1-3]", "count": 3, "cpus": 8, "cores_per_socket": 4, "real_memory": 28000, "weight": 20}
GPU = {**D4, "name": "gpu-nd96-1", "count": 1, "gres": "gpu:8"}
HTC = {"name": "htc", "nodes": "htc-d4sv5-[1-2],htc-d8sv5-[1-3]", "count": 5, "default": True}


def render(template: str, **variables: Any) -> list[str]:
    environment = jinja2.Environment(  # noqa: S701 - no HTML
        loader=jinja2.FileSystemLoader(ROLE / "templates"), trim_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters = {**Core().filters(), **Sets().filters(), **environment.filters}
    known = {
        **yaml.safe_load((ROLE / "defaults/main.yml").read_text()),
        **yaml.safe_load((ROLE / "vars/main.yml").read_text()),
        "slurm_head": "demo-head",
        **variables,
    }
    return environment.get_template(template).render(known).splitlines()


def line(lines: list[str], start: str) -> str:
    (found,) = [one for one in lines if one.lower().startswith(start.lower())]
    return found


def test_nodes_have_all_that_slurm_must_know_before_they_exist() -> None:
    assert line(render("slurm.conf.j2", slurm_nodes=[D4]), "NodeName=") == (
        "NodeName=htc-d4sv5-[1-2] State=CLOUD CPUs=4 SocketsPerBoard=1 CoresPerSocket=2 ThreadsPerCore=2 "
        "RealMemory=15000 Feature=htc,spot Weight=10"
    )


def test_options_of_a_node_array_replace_the_role_s() -> None:
    node = {**D4, "options": {"weight": 99, "CoreSpecCount": 1}}
    found = line(render("slurm.conf.j2", slurm_nodes=[node]), "NodeName=")
    assert found.endswith(" weight=99 CoreSpecCount=1")
    assert "Weight=10" not in found


def test_a_partition_accepts_jobs_that_are_too_large_so_that_they_can_be_told_why() -> None:
    found = line(render("slurm.conf.j2", slurm_nodes=[D4, D8], slurm_partitions=[HTC]), "PartitionName=")
    assert found == (
        "PartitionName=htc Nodes=htc-d4sv5-[1-2],htc-d8sv5-[1-3] Default=YES MaxNodes=5 MaxTime=INFINITE "
        "DefMemPerCPU=3500"
    )


def test_options_of_a_partition_replace_the_role_s() -> None:
    options = {"maxnodes": 2, "MaxTime": "1-0", "DefMemPerNode": 1000, "OverSubscribe": "EXCLUSIVE"}
    found = line(
        render("slurm.conf.j2", slurm_nodes=[D4], slurm_partitions=[{**HTC, "options": options}]), "PartitionName="
    )
    assert found.endswith("Default=YES maxnodes=2 MaxTime=1-0 DefMemPerNode=1000 OverSubscribe=EXCLUSIVE")


def test_the_memory_that_jobs_get_by_default_follows_the_options_of_the_nodes() -> None:
    nodes = [{**D4, "options": {"RealMemory": "9000", "memspeclimit": 1000, "CPUs": "2"}}]
    found = line(
        render("slurm.conf.j2", slurm_nodes=nodes, slurm_partitions=[{**HTC, "nodes": D4["name"]}]), "PartitionName="
    )
    assert "DefMemPerCPU=4000" in found


@pytest.mark.parametrize("name", ["DefMemPerCPU", "defmempernode", "DefMemPerGPU"])
def test_the_memory_that_a_site_gives_jobs_by_default_holds_for_all_partitions(name: str) -> None:
    lines = render("slurm.conf.j2", slurm_nodes=[D4, D8], slurm_partitions=[HTC], slurm_conf={name: "77"})
    assert f"{name}=77" in lines
    assert "DefMem" not in line(lines, "PartitionName=")


@pytest.mark.parametrize("name", ["ReturnToService", "returntoservice", "RETURNTOSERVICE"])
def test_an_option_of_the_site_replaces_the_role_s_in_any_case(name: str) -> None:
    assert line(render("slurm.conf.j2", slurm_conf={name: 0}), "returntoservice") == f"{name}=0"


@pytest.mark.parametrize("name", ["SlurmctldParameters", "slurmctldparameters"])
def test_what_the_collection_needs_is_added_to_the_site_s_parameters(name: str) -> None:
    lines = render("slurm.conf.j2", slurm_conf={name: "power_save_interval=2,enable_configless"})
    assert line(lines, "slurmctldparameters") == (
        "SlurmctldParameters=enable_configless,idle_on_node_suspend,power_save_interval=2"
    )


def test_cloud_dns_is_not_set_because_node_names_are_in_no_dns() -> None:
    assert "cloud_dns" not in "\n".join(render("slurm.conf.j2", slurm_nodes=[D4], slurm_partitions=[HTC]))


def test_nodes_that_are_always_on_are_excepted_from_power_saving() -> None:
    lines = render("slurm.conf.j2", slurm_always_on=["htc-d4sv5-1", "htc-d4sv5-2"])
    assert line(lines, "SuspendExcNodes") == "SuspendExcNodes=htc-d4sv5-1,htc-d4sv5-2"


def test_gpus_are_a_resource_with_their_devices() -> None:
    assert line(render("slurm.conf.j2", slurm_nodes=[D4, GPU]), "GresTypes") == "GresTypes=gpu"
    assert line(render("gres.conf.j2", slurm_nodes=[D4, GPU]), "NodeName") == (
        "NodeName=gpu-nd96-1 Name=gpu File=/dev/nvidia[0-7]"
    )
    single = {**GPU, "gres": "gpu:1"}
    assert line(render("gres.conf.j2", slurm_nodes=[single]), "NodeName").endswith("File=/dev/nvidia0")


def test_a_topology_is_only_there_when_jobs_must_not_span_placement_groups() -> None:
    leaf = {"switch": "hpc-pg1", "nodes": "hpc-[1-100]"}
    assert not [one for one in render("slurm.conf.j2") if one.startswith("TopologyPlugin")]
    assert line(render("slurm.conf.j2", slurm_topology=[leaf]), "TopologyPlugin") == "TopologyPlugin=topology/tree"
    assert line(render("topology.conf.j2", slurm_topology=[leaf]), "Switch") == "SwitchName=hpc-pg1 Nodes=hpc-[1-100]"


def test_cgroup_options_of_the_site_replace_the_role_s() -> None:
    lines = render("cgroup.conf.j2", slurm_cgroup_conf={"constraincores": "no", "CgroupPlugin": "disabled"})
    assert "ConstrainCores=yes" not in lines
    assert {"constraincores=no", "CgroupPlugin=disabled", "ConstrainRAMSpace=yes"} < set(lines)
