# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbooks ask of Azure, as steps that can be taken one by one, and what they call, as they are written."""

from __future__ import annotations

import typing as t
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.integration.modules.conftest import Modules, Result, definition
from tests.integration.modules.test_autoscale import Slurm
from tests.integration.modules.test_inventory import Inventory

ROOT = Path(__file__).resolve().parents[3]
NODE_MODULES = ("queue_info", "queue_update", "queue_exporter")
APART = ("network", "machine", "lustre", "monitoring")
"""Modules that write several things at the same time."""


@dataclass(frozen=True)
class Step:
    """One task of a playbook.

    ``run`` answers the refusals in it, each with code and text; none if all went well. ``other`` is the same step about
    another thing, on which nothing has been done yet, and ``make`` what has to be there for it: modules write and
    delete some things at the same time, so that a run that is refused one of them has done the others.
    """

    module: str
    state: str
    run: Callable[[], list[str]]
    make: Callable[[], t.Any] = lambda: None
    other: Callable[[], Step] | None = None


def refusals(result: Result) -> list[str]:
    """Code and text of what was refused; empty if all went well."""
    found = [f"{error['code']}: {error.get('message')}" for error in result.get("errors", [])]
    return found + ([result["msg"]] if result.get("failed") else [])


class Playbooks:
    """What each playbook asks of Azure, for one cluster with an image in a resource group of its own."""

    def __init__(self, modules: Modules, inventory: Inventory, name: str) -> None:
        self._modules, self._inventory = modules, inventory
        self.groups = [f"{name}-rg", f"{name}-images"]
        self.definition = definition(name)
        self.definition["image"] |= {"bake": True, "resource_group": self.groups[1]}
        self.definition["network"]["subnets"] |= {"netapp": "10.20.5.0/26"}
        self.definition["storage_accounts"] = [
            {"name": f"{name}files", "kind": "FileStorage", "shares": [{"name": "apps", "size_gib": 100}]},
            {"name": f"{name}data", "containers": ["inputs"]},
        ]
        volume = {"service": "netapp", "size_gib": 1024}
        self.definition["file_systems"] = [{"name": "projects", "path": "/projects", "managed": volume}]
        self.queue = Slurm(name)
        self._info: Result = {}

    def _call(self, module: str, /, **options: t.Any) -> list[str]:
        result = self._modules(module, **options)
        if module == "cluster_info" and not result.get("failed"):
            self._info = result
        return refusals(result)

    def _step(self, module: str, state: str = "present", /, **options: t.Any) -> Step:
        given = {**options, **({"state": state} if state != "present" else {})}
        other = (lambda: self._other(module, state, options)) if module in APART else None
        return Step(module, state, lambda: self._call(module, **given), other=other)

    def _other(self, module: str, state: str, options: dict[str, t.Any]) -> Step:
        name = f"other{uuid.uuid4().hex[:4]}"
        renamed = {**options, "name": name}
        if module == "network":
            parts = {**options["nat_gateway"], "name": f"{name}-nat", "public_ip_name": f"{name}-nat-ip"}
            subnets = [{**one, "security_group": f"{name}-{one['name']}"} for one in options["subnets"]]
            renamed |= {"nat_gateway": parts, "subnets": subnets}
        if options.get("agent") is False:  # what watched is taken away: it has to be there first
            full = {**self._watched(), "name": name}
            return Step(module, state, lambda: self._call(module, **renamed), lambda: self._call(module, **full))
        if state == "present":
            return Step(module, state, lambda: self._call(module, **renamed))
        more = {
            "network": {"location": "westeurope", "address_space": ["10.20.0.0/16"]},
            "lustre": self._scratch(),
            "monitoring": self._watched(),
        }
        full = {**more.get(module, {}), **renamed}
        make = (lambda: self._call(module, **full)) if module in more else (lambda: None)
        given = {**renamed, "state": state, **({"confirm": name} if module == "lustre" else {})}
        return Step(module, state, lambda: self._call(module, **given), make)

    def _scratch(self) -> dict[str, t.Any]:
        """What a file system needs besides its name."""
        subnet = self._parameters()["scale_sets"][0]["subnet_id"]
        wanted = {"location": "westeurope", "sku": "AMLFS-Durable-Premium-250", "capacity_tib": 8, "zone": "1"}
        return {"resource_group": self.groups[0], **wanted, "subnet_id": subnet}

    def _look(self) -> Step:
        def look() -> list[str]:
            done = self._inventory.run(resource_groups=self.groups)
            return [done.stderr] if done.returncode else []

        return Step("inventory", "present", look)

    def _parameters(self) -> dict[str, t.Any]:
        """What the definition comes to, as far as no permission is needed to know it."""
        if not self._info:
            self._call("cluster_info", definition=self.definition)
        found: dict[str, t.Any] = self._info["parameters"]
        return found

    def steps(self, playbook: str) -> list[Step]:
        found: list[Step] = getattr(self, playbook)()
        return found

    def inventory(self) -> list[Step]:
        return [self._look()]

    def _ground(self) -> list[Step]:
        known = self._parameters()
        images = {"name": self.groups[1], "location": known["image"]["location"], "tags": {}}
        return [
            self._step("cluster_info", definition=self.definition, leftovers=True),
            self._step("resource_group", **known["resource_group"]),
            self._step("resource_group", **images),
            self._step("network", **known["network"]),
        ]

    def image(self) -> list[Step]:
        image = self._parameters()["image"]
        source = {"resource_group": image["source_resource_group"], "name": image["source"]}
        capture = {
            **{key: image[key] for key in ("resource_group", "name", "location", "source", "source_resource_group")},
            "tags": image["tags"],
            "force": True,
        }
        return [
            *self._ground(),
            self._step("machine", **image["build"]),
            self._look(),
            self._step("image", **capture),
            self._step("machine", "absent", **source),
        ]

    def site(self) -> list[Step]:
        known = self._parameters()
        return [
            *self.image(),
            *(self._step("scale_set", **one, wait=False) for one in known["scale_sets"]),
            *(self._step("machine", **one) for one in (known["head"], *known["login"])),
            self._look(),
        ]

    def autoscale(self) -> list[Step]:
        node = "htc-d4sv5-1"

        def one_pass(before: Callable[[], t.Any]) -> Step:
            def run() -> list[str]:
                before()
                result = self._modules("autoscale", definition=self.definition, queue=self.queue.queue)
                self.queue.update(result.get("plan", []))
                return refusals(result)

            return Step("autoscale", "present", run)

        def want() -> None:
            if not self.queue.jobs:
                self.queue.start("7", node)

        return [self._look(), one_pass(want), one_pass(lambda: None), one_pass(lambda: self.queue.finish(node))]

    def lustre(self) -> list[Step]:
        system = {"resource_group": self.groups[0], "name": "scratch"}
        return [
            self._step("lustre_info", **system),
            # Waited for: a poll in the background, which nobody waits for, needs its right at no certain time.
            self._step("lustre", **self._scratch(), name="scratch"),
            self._step("lustre", "absent", **system, confirm="scratch"),
        ]

    def storage(self) -> list[Step]:
        known = self._parameters()["storage"]
        group = {"resource_group": self.groups[0]}
        volumes = [
            {key: value for key, value in one.items() if key not in ("file_system", "own")} for one in known["volumes"]
        ]
        names = [{key: one[key] for key in ("account", "pool", "name")} for one in volumes]
        return [
            self._step(
                "storage_info",
                **group,
                accounts=[one["name"] for one in known["accounts"]],
                volumes=["/".join(one.values()) for one in names],
            ),
            *(self._step("storage_account", **one) for one in known["accounts"]),
            *(self._step("netapp_volume", **one) for one in volumes),
            *(self._step("netapp_volume", "absent", **group, **one, confirm=one["name"], prune=True) for one in names),
            *(
                self._step("storage_account", "absent", **group, name=one["name"], confirm=one["name"])
                for one in known["accounts"]
            ),
        ]

    def _watched(self) -> dict[str, t.Any]:
        """What monitoring needs besides the name of the cluster: a machine and a scale set of it."""
        known = self._parameters()
        compute = f"{known['head']['subnet_id'].partition('/Microsoft.Network/')[0]}/Microsoft.Compute"
        return {
            "resource_group": self.groups[0],
            "location": "westeurope",
            "workspace": {},
            "agent": True,
            "targets": [
                {"id": f"{compute}/virtualMachines/{known['head']['name']}", "role": "head"},
                {"id": f"{compute}/virtualMachineScaleSets/{known['scale_sets'][0]['name']}", "role": "compute"},
            ],
            "alerts": [{"name": "cpu"}],
            "action_group": {"emails": ["ops@example.org"]},
        }

    def monitoring(self) -> list[Step]:
        cluster = {"resource_group": self.groups[0], "name": self.definition["name"]}
        nothing = {**self._watched(), "workspace": None, "agent": False, "alerts": [], "action_group": None}
        return [
            self._step("monitoring", **{**self._watched(), **cluster}),
            self._step("monitoring", **{**nothing, **cluster}),
            self._step("monitoring", "absent", **cluster, workspace={}),
        ]

    def destroy(self) -> list[Step]:
        known = self._parameters()
        group, image = {"resource_group": self.groups[0]}, known["image"]
        network = {key: known["network"][key] for key in ("resource_group", "name", "subnets", "nat_gateway")}
        machines = [known["head"], image["build"], *known["login"]]
        return [
            self._look(),
            self._step("cluster_info", definition=self.definition, fleet=True, leftovers=True),
            *(self._step("machine", "absent", **group, name=one["name"]) for one in machines),
            *(self._step("scale_set", "absent", **group, name=one["name"]) for one in known["scale_sets"]),
            self._step("network", "absent", **network),
            self._step("image", "absent", resource_group=self.groups[1], name=image["name"]),
            self._look(),
            *(self._step("resource_group", "absent", name=name) for name in self.groups),
        ]


def tasks(path: Path, seen: frozenset[Path] = frozenset()) -> set[tuple[str, str]]:
    """The modules of this collection that a playbook or a file of tasks calls on the controller, with their states."""
    found: set[tuple[str, str]] = set()

    def visit(node: t.Any) -> None:
        for entry in (one for one in node if isinstance(one, dict)):
            for word, value in entry.items():
                if word.startswith("azure_hpc.cluster.") and word.rsplit(".", 1)[1] not in NODE_MODULES:
                    found.add((word.rsplit(".", 1)[1], value.get("state", "present")))
                elif word.endswith((".import_playbook", ".import_tasks", ".include_tasks")):
                    beside = path.parent / value
                    found.update(tasks(beside if beside.exists() else ROOT / "playbooks" / value, seen | {path}))
                elif word.endswith(".meta") and value == "refresh_inventory":
                    found.add(("inventory", "present"))
                elif isinstance(value, list):
                    visit(value)

    if path not in seen:  # a file of tasks may include itself
        visit(yaml.safe_load(path.read_text()))
    return found
