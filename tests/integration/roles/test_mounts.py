# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How machines are told what to mount: rendered by Ansible itself, for head and login nodes and for compute nodes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import definition, serial

from tests.unit.plugins.module_utils.model import definitions

ROOT = Path(__file__).parents[3]
ROLE = ROOT / "roles/mounts"
IDENTITY = "/subscriptions/0/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/nodes"
SYSTEMS: list[dict[str, Any]] = [
    {"name": "home", "path": "/shared/home", "export": "/export/home"},
    {"name": "tools", "path": "/opt/site-tools", "export": "/tools", "server": "10.9.0.5", "options": "ro,nfsvers=3"},
    {"name": "fast", "path": "/mnt/lustre", "type": "lustre", "server": "10.9.0.4"},
    {"name": "scratch", "path": "/mnt/scratch", "type": "local", "local": {"disks": "nvme"}},
    {"name": "blobs", "path": "/mnt/blobs", "type": "blobfuse", "account": "demodata", "container": "results",
     "blobfuse": {"identity": IDENTITY, "cache": "/mnt/scratch/.blobs"}},
    {"name": "bee", "path": "/mnt/bee", "type": "beegfs", "server": "10.9.0.6",
     "beegfs": {"version": "8.2", "auth_file": "/etc/site/bee.auth"}},
]  # fmt: skip
FACTS = {
    "distribution": "AlmaLinux",
    "distribution_version": "9.6",
    "distribution_major_version": "9",
    "distribution_release": "Sage Margay",
    "os_family": "RedHat",
    "pkg_mgr": "dnf",
    "kernel": "5.14.0-570.12.1.el9_6.x86_64",
    "architecture": "x86_64",
}
UBUNTU = {**FACTS, "distribution": "Ubuntu", "distribution_version": "24.04", "distribution_release": "noble",
          "os_family": "Debian", "pkg_mgr": "apt", "kernel": "6.8.0-1021-azure"}  # fmt: skip
DEBIAN = {**UBUNTU, "distribution": "Debian", "distribution_version": "13", "distribution_major_version": "13"}


def play(tmp_path: Path, tasks: list[Any], facts: dict[str, str] | None = None, **variables: Any) -> str:
    """What Ansible says; raises AssertionError with it when it fails."""
    facts = facts or FACTS
    before = [
        {"ansible.builtin.set_fact": {**facts, "cacheable": True}},
        {"ansible.builtin.include_vars": str(ROLE / "defaults/main.yml")},
        {"ansible.builtin.include_vars": str(ROLE / "vars/main.yml")},
        {"ansible.builtin.include_vars": str(ROLE / f"vars/{facts['os_family']}.yml")},
        {"ansible.builtin.set_fact": variables or {"unused": ""}},
    ]
    (tmp_path / "play.yml").write_text(
        json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": [*before, *tasks]}])
    )
    program = Path(sys.executable).parent / "ansible-playbook"
    command: list[Any] = [program, tmp_path / "play.yml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    if done.returncode:
        raise AssertionError(done.stdout + done.stderr)
    return done.stdout


def template(source: Path, target: Path, **more: Any) -> dict[str, Any]:
    return {"ansible.builtin.template": {"src": str(source), "dest": str(target)}, **more}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mounts")
    data = definitions.definition()
    data.update(file_systems=SYSTEMS, image={"bake": True})
    cluster = definition.read(data, definitions.CATALOG)
    templates, playbooks = ROLE / "templates", ROOT / "playbooks/templates"
    unit = template(templates / "unit.mount.j2", "{{ folder }}/{{ item.name }}.mount", loop="{{ _mounts_plain }}")  # type: ignore[arg-type]
    names = {"ansible.builtin.copy": {"content": "{{ _mounts_unit }}", "dest": "{{ folder }}/{{ item.name }}.name"},
             "loop": "{{ _mounts_plain }}"}  # fmt: skip
    tasks = [
        template(templates / "azure_hpc.exports.j2", folder / "exports"),
        template(templates / "mounts.json.j2", folder / "mounts.json"),
        unit,
        names,
        template(playbooks / "file_systems.json.j2", folder / "file_systems.json"),
        template(playbooks / "compute_mounts.json.j2", folder / "compute.json"),
    ]
    play(
        folder,
        tasks,
        folder=str(folder),
        mounts_file_systems=SYSTEMS,
        mounts_head="demo-head",
        mounts_clients=["10.20.0.0/24"],
        mounts_local_missing="skip",
        hpc_found={"cluster": serial.dump(cluster)},
        hpc_head_name="demo-head",
        hpc_lustre_addresses={},
        hpc_file_systems=serial.dump(cluster.file_systems),
    )
    return folder


def test_systemd_mounts_what_has_a_server_after_the_network_and_does_not_wait_for_a_dead_one(rendered: Path) -> None:
    for name, expected in {
        "home": ["What=demo-head:/export/home", "Type=nfs", "Options=nfsvers=4.2,hard,noatime,_netdev"],
        "tools": ["What=10.9.0.5:/tools", "Type=nfs", "Options=ro,nfsvers=3,_netdev"],
        "fast": ["What=10.9.0.4@tcp:", "Type=lustre", "Options=noatime,flock,_netdev"],
    }.items():
        lines = (rendered / f"{name}.mount").read_text().splitlines()
        for line in (*expected, "Before=remote-fs.target", "LazyUnmount=yes", "TimeoutSec=60"):
            assert line in lines
    assert (rendered / "tools.name").read_text() == r"opt-site\x2dtools.mount"
    assert not (rendered / "scratch.mount").exists()


def test_the_head_gives_away_only_its_own(rendered: Path) -> None:
    assert (rendered / "exports").read_text().splitlines()[1:] == [
        "/export/home 10.20.0.0/24(rw,sync,no_subtree_check,root_squash)"
    ]


def test_head_and_compute_nodes_are_told_the_same_but_need_no_local_disks_on_the_head(rendered: Path) -> None:
    head = {entry["name"]: entry for entry in json.loads((rendered / "mounts.json").read_text())}
    compute = {entry.get("name"): entry for entry in json.loads((rendered / "compute.json").read_text())}
    assert head["scratch"]["settings"] == {"disks": "nvme", "format": "xfs", "missing": "skip"}
    assert compute["scratch"]["settings"] == {"disks": "nvme", "format": "xfs", "missing": "fail"}
    assert compute["bee"] == head["bee"]
    assert compute["bee"]["settings"] == {"port": 8008, "auth": True}
    for key in ("account", "container", "identity", "cache"):
        assert compute["blobs"]["settings"][key] == head["blobs"]["settings"][key]
    assert "bee.auth" not in (rendered / "compute.json").read_text()


def test_compute_nodes_are_told_of_servers_as_mount_takes_them(rendered: Path) -> None:
    plain = [entry for entry in json.loads((rendered / "compute.json").read_text()) if "name" not in entry]
    assert plain == [
        {
            "source": "demo-head:/export/home",
            "path": "/shared/home",
            "type": "nfs",
            "options": "nfsvers=4.2,hard,noatime",
        },
        {"source": "10.9.0.5:/tools", "path": "/opt/site-tools", "type": "nfs", "options": "ro,nfsvers=3"},
        {"source": "10.9.0.4@tcp:/lustrefs", "path": "/mnt/lustre", "type": "lustre", "options": "noatime,flock"},
    ]


def included(name: str) -> list[Any]:
    role = {"name": "azure_hpc.cluster.mounts", "tasks_from": name, "rolespec_validate": False}
    return [{"ansible.builtin.include_role": role}]


@pytest.mark.parametrize(
    ("facts", "answer", "good"),
    [
        (FACTS, "kernel-devel-0:5.14.0-570.12.1.el9_6.x86_64", True),
        (FACTS, "", False),
        (UBUNTU, "linux-headers-6.8.0-1021-azure:\n  Installed: (none)\n  Candidate: 6.8.0-1021.25\n", True),
        (UBUNTU, "linux-headers-6.8.0-1021-azure:\n  Installed: (none)\n  Candidate: (none)\n", False),
    ],
)
def test_beegfs_is_refused_for_a_kernel_that_nobody_has_the_headers_of(
    tmp_path: Path, facts: dict[str, str], answer: str, good: bool
) -> None:
    (tmp_path / "answer").write_text(answer)
    query = {"ansible.builtin.set_fact": {"_mounts_kernel_headers_query": ["cat", str(tmp_path / "answer")]}}
    tasks = [query, *included("beegfs_kernel")]
    if good:
        play(tmp_path, tasks, facts)
        return
    with pytest.raises(AssertionError, match=f"has to be built for the kernel {facts['kernel']} of"):
        play(tmp_path, tasks, facts)


def test_blobfuse_is_refused_where_microsoft_has_none(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no repository with blobfuse2 for Debian 13 that this role knows"):
        play(tmp_path, included("blobfuse"), DEBIAN)


@pytest.mark.parametrize(
    ("facts", "blobfuse", "beegfs"),
    [
        (FACTS, "https://packages.microsoft.com/rhel/9/prod", "https://www.beegfs.io/release/beegfs_8.2/dists/rhel9"),
        (UBUNTU, "https://packages.microsoft.com/ubuntu/24.04/prod", "https://www.beegfs.io/release/beegfs_8.2"),
    ],
)
def test_clients_come_from_their_makers(tmp_path: Path, facts: dict[str, str], blobfuse: str, beegfs: str) -> None:
    content = "{{ [_mounts_blobfuse_repository, _mounts_beegfs_repository] | to_json }}"
    tasks = [{"ansible.builtin.copy": {"content": content, "dest": str(tmp_path / "out")}}]
    play(tmp_path, tasks, facts, mounts_file_systems=SYSTEMS)
    assert json.loads((tmp_path / "out").read_text()) == [blobfuse, beegfs]
