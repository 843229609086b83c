# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shared file systems of Azure in the playbooks: made early, mounted by what Azure says, deleted when asked twice."""

from __future__ import annotations

import json
import re
import typing as t
from pathlib import Path

import yaml

from tests.integration.modules.conftest import Modules, definition, modules
from tests.integration.playbooks.test_lustre import BEGIN, play, tasks_of
from tests.integration.playbooks.test_playbooks import Playbook, playbook

__all__ = ["modules", "play", "playbook"]

ROOT = Path(__file__).resolve().parents[3]
NETAPP = {"service": "netapp", "size_gib": 1024}


def cluster(name: str, **systems: dict[str, t.Any]) -> dict[str, t.Any]:
    """A cluster with these managed file systems, and accounts for what they mount."""
    wanted = definition(name)
    wanted["network"]["subnets"]["netapp"] = "10.20.5.0/26"
    wanted["storage_accounts"] = [
        {"name": f"{name}files", "kind": "FileStorage"},
        {"name": f"{name}data", "hierarchical_namespace": True, "nfs": True, "containers": ["inputs"]},
    ]
    managed = [{"name": key, "path": f"/{key}", "managed": value} for key, value in systems.items()]
    wanted["file_systems"] = [{"name": "home", "path": "/shared/home", "export": "/export/home"}, *managed]
    return wanted


def everything(name: str) -> dict[str, t.Any]:
    return cluster(
        name,
        projects=NETAPP,
        apps={"service": "files", "account": f"{name}files", "size_gib": 128},
        archive={"service": "blob", "account": f"{name}data"},
    )


def test_all_of_it_is_made_and_mounted_by_what_azure_says(
    play: t.Callable[..., str], modules: Modules, tmp_path: Path
) -> None:
    keep = {"content": "{{ [hpc_file_systems, hpc_compute_mounts] | to_json }}", "dest": str(tmp_path / "out")}
    tasks = (tasks_of("ground"), tasks_of("storage"), tasks_of("storage_wait"), {"ansible.builtin.copy": keep})
    play(everything("shares"), *tasks)
    systems, mounts = json.loads((tmp_path / "out").read_text())
    info = modules("storage_info", resource_group="shares-rg")
    assert [one["name"] for one in info["accounts"]] == ["sharesdata", "sharesfiles"]
    assert [one["source"] for one in mounts[1:]] == [
        info["volumes"][0]["source"],
        "sharesfiles.file.core.windows.net:/sharesfiles/apps",
        "sharesdata.blob.core.windows.net:/sharesdata/archive",
    ]
    assert ["nfsvers=3" in one["options"] for one in mounts[1:]] == [True, False, True]
    assert all("managed" not in one for one in systems)
    assert not info["accounts"][1]["open"]
    said = play(everything("shares"), *tasks[:3])
    assert "changed=0" in said.rsplit("localhost", 1)[1]


def test_what_exists_is_mounted_and_neither_changed_nor_deleted(
    play: t.Callable[..., str], playbook: Playbook, modules: Modules, tmp_path: Path
) -> None:
    play(everything("owner"), tasks_of("ground"), tasks_of("storage"), tasks_of("storage_wait"))
    info = modules("storage_info", resource_group="owner-rg")
    (share,) = next(one["shares"] for one in info["accounts"] if one["shares"])
    wanted = cluster("guest", projects={"id": info["volumes"][0]["id"]}, apps={"id": share["id"]})
    wanted.pop("storage_accounts")
    keep = {"content": "{{ hpc_file_systems | to_json }}", "dest": str(tmp_path / "out")}
    said = play(
        wanted, tasks_of("ground"), tasks_of("storage"), tasks_of("storage_wait"), {"ansible.builtin.copy": keep}
    )
    systems = json.loads((tmp_path / "out").read_text())
    assert [(one["server"], one["export"]) for one in systems[1:]] == [
        (info["volumes"][0]["server"], "/owner-projects"),
        (share["server"], share["export"]),
    ]
    assert "guest-projects" not in said
    playbook("destroy", wanted, "-e", "hpc_destroy_confirm=guest")
    assert modules("storage_info", resource_group="owner-rg")["volumes"] == info["volumes"]


def test_a_share_that_is_not_there_stops_the_playbook(play: t.Callable[..., str], modules: Modules) -> None:
    modules("resource_group", name="files-rg", location="westeurope")
    made = modules(
        "storage_account", resource_group="files-rg", name="emptyfiles", location="westeurope", kind="FileStorage"
    )
    wanted = cluster("missing", apps={"id": f"{made['account']['id']}/fileServices/default/shares/none"})
    wanted.pop("storage_accounts")
    said = play(wanted, tasks_of("ground"), tasks_of("storage_wait"), works=False)
    assert "apps cannot be mounted: emptyfiles/none is not there" in said


def test_site_in_check_mode_says_that_it_would_make_all_of_it(playbook: Playbook, modules: Modules) -> None:
    said = playbook("site", everything("asked"), "--check", "--diff")
    asked = said.split("TASK [Make the storage accounts] ")[1].split("TASK [Ask for the file systems]")[0]
    assert asked.count("changed: [localhost]") == 3
    assert '"usageThreshold": 1099511627776' in asked
    assert modules("storage_info", resource_group="asked-rg")["accounts"] == []


def test_destroy_deletes_what_holds_data_only_if_asked_for_each_by_name_or_keeps_it(
    play: t.Callable[..., str], playbook: Playbook, modules: Modules
) -> None:
    wanted = everything("double")
    wanted["network"]["subnets"]["storage"] = "10.20.4.0/24"
    wanted["image"]["bake"] = True
    managed = {"sku": "AMLFS-Durable-Premium-250", "capacity_tib": 8}
    wanted["file_systems"].append({"name": "scratch", "type": "lustre", "path": "/mnt/lustre", "managed": managed})
    play(wanted, tasks_of("ground"), tasks_of("storage"), BEGIN, tasks_of("storage_wait"))
    names, lustre = "doubledata,doublefiles,double-projects", ("-e", "hpc_destroy_lustre=double-scratch")

    def destroy(*options: str, works: bool) -> str:
        return playbook("destroy", wanted, "-e", "hpc_destroy_confirm=double", *options, works=works)

    assert "hpc_destroy_lustre=double-scratch" in destroy(works=False)
    assert f"hpc_destroy_storage={names}" in destroy(*lustre, works=False)
    some = ("-e", "hpc_destroy_storage=doubledata,doublefiles")
    assert "double-projects would be deleted" in destroy(*lustre, *some, works=False)
    destroy("-e", "hpc_destroy_lustre=keep", "-e", "hpc_destroy_storage=keep", works=True)
    assert len(modules("storage_info", resource_group="double-rg")["volumes"]) == 1
    assert modules("lustre_info", resource_group="double-rg", name="double-scratch")["file_systems"]
    everything_else = ("-e", f"hpc_destroy_storage={names}")
    systems = wanted.pop("file_systems")
    wanted.pop("storage_accounts")
    assert "put them back into the definition" in destroy(*lustre, *everything_else, works=False).lower()
    wanted["file_systems"] = [one for one in systems if one["name"] == "projects"]
    destroy(*lustre, *everything_else, works=True)  # also what the definition has forgotten
    assert modules("resource_group", name="double-rg", state="absent")["changed"] is False


PAGE = (ROOT / "docs/storage.md").read_text()
DEFINITION, LIFE = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))


def test_the_definition_of_the_page_is_one(modules: Modules) -> None:
    wanted = definition("demo")
    for key, value in DEFINITION.items():
        wanted[key] = {**wanted[key], **value} if isinstance(value, dict) else value
    found = modules("cluster_info", definition=wanted)
    assert not found.get("failed"), found
    storage = found["parameters"]["storage"]
    assert [one["name"] for one in storage["accounts"]] == ["demofiles001", "demodata001"]
    assert [one["name"] for one in storage["volumes"]] == ["demo-projects"]
    subnets = {one["name"]: one for one in found["parameters"]["network"]["subnets"]}
    assert subnets["netapp"]["delegation"] == "Microsoft.Netapp/volumes"
    assert subnets["compute"]["service_endpoints"] == ["Microsoft.Storage"]


def test_the_tasks_of_the_page_run_as_they_stand(play: t.Callable[..., str], modules: Modules) -> None:
    said = play(definition("x"), *LIFE)
    assert "10.0.5.4:/projects and storagelife001.file.core.windows.net:/storagelife001/apps" in said
    assert modules("storage_info", resource_group="storage-rg")["accounts"] == []
