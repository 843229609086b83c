# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs modules through AnsibleModule, in this process, against a sandbox: as Ansible does, less its start-up time."""

from __future__ import annotations

import importlib
import json
import typing as t

import pytest
from ansible.module_utils import basic

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqTnQxV0l3Jt8nJkGm4Jt1uQm7eVg0Yb0v0Yh2xkz0E someone"
STOCK = {"publisher": "Debian", "offer": "debian-13", "sku": "13-gen2", "version": "latest"}

Result = dict[str, t.Any]


class Modules:
    """Calls modules of the collection by name."""

    def __init__(self, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self._patch = patch
        self._capture = capture

    def __call__(self, module_name: str, /, check: bool = False, diff: bool = True, **options: t.Any) -> Result:
        """The result of one run; ``failed`` is in it if the module failed."""
        given = {**options, "_ansible_check_mode": check, "_ansible_diff": diff}
        document = json.dumps({"ANSIBLE_MODULE_ARGS": given}).encode()
        self._patch.setattr(basic, "_ANSIBLE_ARGS", document)
        self._patch.setattr(basic, "_ANSIBLE_PROFILE", "legacy")
        module = importlib.import_module(f"ansible_collections.azure_hpc.cluster.plugins.modules.{module_name}")
        self._capture.readouterr()
        with pytest.raises(SystemExit):
            module.main()
        found: Result = json.loads(self._capture.readouterr().out)
        return found

    def twice(self, module_name: str, /, **options: t.Any) -> Result:
        """In check mode, then for real, then again: changed, changed alike, unchanged. Returns the last result."""
        checked = self(module_name, check=True, **options)
        first = self(module_name, **options)
        again = self(module_name, **options)
        for result in (checked, first, again):
            assert not result.get("failed"), result
        assert (checked["changed"], first["changed"], again["changed"]) == (True, True, False), again.get("diff")
        assert checked["diff"] == first["diff"]
        assert "diff" not in again
        return again


@pytest.fixture
def modules(
    azure_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Modules:
    """The modules of the collection, with the sandbox as their Azure."""
    return Modules(monkeypatch, capsys)


def definition(name: str, **changes: t.Any) -> dict[str, t.Any]:
    """A cluster definition with a resource group of its own."""
    return {
        "name": name,
        "location": "westeurope",
        "resource_group": f"{name}-rg",
        "admin": {"username": "azureuser", "ssh_public_keys": [KEY]},
        "network": {
            "address_space": ["10.20.0.0/16"],
            "subnets": {"head": "10.20.0.0/24", "compute": "10.20.16.0/20"},
            "ssh_from": ["198.51.100.0/24"],
        },
        "image": {"source": STOCK},
        "head": {"vm_size": "Standard_D4s_v5", "public_ip": True},
        "login": {"vm_size": "Standard_D2s_v5"},
        "scheduler": {"type": "slurm"},
        "node_arrays": [
            {"name": "hpc", "vm_sizes": ["Standard_HB120rs_v3"], "max_nodes": 4, "placement_group": True},
            {"name": "htc", "vm_sizes": ["Standard_D4s_v5", "Standard_D8s_v5"], "max_nodes": 10},
        ],
        "partitions": [
            {"name": "hpc", "node_arrays": ["hpc"], "default": True},
            {"name": "htc", "node_arrays": ["htc"]},
        ],
        **changes,
    }


@pytest.fixture
def build(modules: Modules) -> t.Callable[[str], Result]:
    """Builds a cluster as the site playbook does, without the scheduler; returns what cluster_info says."""

    def built(name: str) -> Result:
        info = modules("cluster_info", definition=definition(name))
        assert not info.get("failed"), info
        parameters = info["parameters"]
        modules("resource_group", **parameters["resource_group"])
        modules("network", **parameters["network"])
        for machine in (parameters["head"], *parameters["login"]):
            result = modules("machine", **machine)
            assert not result.get("failed"), result
        for scale_set in parameters["scale_sets"]:
            result = modules("scale_set", **scale_set)
            assert not result.get("failed"), result
        return info

    return built
