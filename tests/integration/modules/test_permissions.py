# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles of docs/azure.md are enough for the playbooks, and each of their actions is needed.

What a playbook asks of Azure is done here by its modules, one after the other, without the machines that would have to
boot in between; a test compares them with the playbooks. The sandbox tells which actions were needed.
"""

from __future__ import annotations

import typing as t
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.integration.modules.conftest import Modules, Result, definition
from tests.integration.modules.rights import Azure, Pair, documented
from tests.integration.modules.test_autoscale import Slurm
from tests.integration.modules.test_inventory import Inventory, inventory

__all__ = ["inventory"]
ROOT = Path(__file__).resolve().parents[3]
PLAYBOOKS = ("site", "image", "autoscale", "destroy")
PURPOSES = (*PLAYBOOKS, "inventory", "lustre", "storage", "monitoring")
NODE_MODULES = ("queue_info", "queue_update", "queue_exporter")
OPTIONAL = ("lustre", "lustre_info", "storage_account", "netapp_volume", "storage_info", "monitoring")
"""What playbooks do only for some definitions: purposes of their own."""

APART = ("network", "machine", "lustre", "monitoring")
"""Modules that write several things at the same time."""


FORGIVEN = {
    ("group", "Microsoft.Network/virtualNetworks/subnets/read"),
    ("subscription", "Microsoft.NetApp/locations/quotaLimits/read"),
}
"""What is asked for, and done without: the subnet of a file system may be somebody else's, and the quota a guess."""


BACKGROUND = {"autoscale": {("subscription", "Microsoft.Compute/locations/operations/read")}}
"""What is asked for in the background: a pass looks once at what Azure says of its writes, and does not wait for it, so
that being refused it shows in one run and not in the next."""


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


def refused(said: list[str], pair: Pair) -> bool:
    return any("AuthorizationFailed" in text and pair[1] in text for text in said)


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


@pytest.fixture
def playbooks(modules: Modules, inventory: Inventory) -> t.Iterator[Playbooks]:
    made = Playbooks(modules, inventory, f"p{uuid.uuid4().hex[:7]}")
    yield made
    for group in made.groups:
        modules("resource_group", name=group, state="absent", force=True)


@pytest.fixture
def azure(sandbox: t.Any) -> t.Iterator[Azure]:
    made = Azure(sandbox)
    yield made
    made.close()


def prepare(playbooks: Playbooks, azure: Azure, modules: Modules, playbook: str) -> None:
    """The world that takes most: for site empty groups, for image an image to be replaced, else a cluster."""
    azure.restrict(False)
    playbooks.queue = Slurm(playbooks.queue.name)
    playbooks.steps(playbook)  # knows the parameters from now on
    for group in playbooks.groups:
        clear(modules, group)
    if playbook != "site":
        steps = playbooks.image() if playbook == "image" else playbooks.site()
        for step in [step for step in steps if step.module != "inventory"]:
            assert step.run() == [], step
    if playbook == "image":
        clear(modules, playbooks.groups[0])
    azure.assign(playbooks.groups)
    azure.restrict(True)


def clear(modules: Modules, group: str) -> None:
    """An empty resource group without tags, as who manages the subscription hands it over."""
    modules("resource_group", name=group, state="absent", force=True)
    modules("resource_group", name=group, location="westeurope")


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_the_steps_are_those_of_the_playbook(playbooks: Playbooks, playbook: str) -> None:
    # Its inventory is read when a playbook begins, whether or not it is read again.
    called = {("inventory", "present"), *tasks(ROOT / "playbooks" / f"{playbook}.yml")}
    always = {(module, state) for module, state in called if module not in OPTIONAL}
    assert {(step.module, step.state) for step in playbooks.steps(playbook)} == always


@pytest.mark.parametrize("playbook", PURPOSES)
def test_the_role_is_enough_and_each_action_of_it_is_needed(
    playbooks: Playbooks, azure: Azure, modules: Modules, playbook: str
) -> None:
    roles = documented()
    above = roles.get(f"{playbook}-subscription", roles["subscription"])
    allowed = {("subscription", action) for action in above} | {("group", action) for action in roles[playbook]}
    first = walk_allowed(playbooks, azure, modules, playbook, allowed)
    granted = {action for where, action in first if where == "subscription"}
    asked = {pair: at for pair, at in first.items() if pair not in FORGIVEN}
    needed = {(where, action) for where, action in asked if where == "subscription" or action not in granted}
    assert {pair for pair in needed if pair[0] == "group"} == {("group", action) for action in roles[playbook]}
    assert granted <= set(above)
    if playbook in ("destroy", "lustre", "storage"):  # which ask for all that is asked of a subscription
        assert granted == set(above)
    # Every playbook reads the inventory, and site bakes: what they are refused there is the same as here.
    shown = {"inventory": [], "image": roles["inventory"] + roles["site"]}.get(playbook, roles["inventory"])
    background = BACKGROUND.get(playbook, set())
    assert background <= allowed
    needed |= background
    wanted = {pair: at for pair, at in asked.items() if pair in needed - background and pair[1] not in shown}
    assert walk_refused(playbooks, azure, modules, playbook, needed, wanted) == []


def walk_allowed(
    playbooks: Playbooks, azure: Azure, modules: Modules, playbook: str, allowed: set[Pair]
) -> dict[Pair, int]:
    """Let a playbook run with its roles; answers at which step each action was first needed."""
    prepare(playbooks, azure, modules, playbook)
    steps, first = playbooks.steps(playbook), dict[Pair, int]()
    azure.allow(allowed)
    azure.used()
    for number, step in enumerate(steps):
        assert step.run() == [], step
        for pair in azure.used():
            first.setdefault(pair, number)
    return first


def refused_elsewhere(step: Step, azure: Azure, pair: Pair) -> bool:
    if step.other is None:
        return False
    other = step.other()
    azure.restrict(False)
    other.make()
    azure.restrict(True)
    said = other.run()
    if step.state == "absent":
        azure.restrict(False)
        other.run()
        azure.restrict(True)
    return refused(said, pair)


def walk_refused(
    playbooks: Playbooks, azure: Azure, modules: Modules, playbook: str, needed: set[Pair], wanted: dict[Pair, int]
) -> list[Pair]:
    """Let each step fail for each wanted action that it is the first to need, and then succeed; answers which it is
    not refused.
    """
    prepare(playbooks, azure, modules, playbook)
    useless = []
    for number, step in enumerate(playbooks.steps(playbook)):
        for pair in [pair for pair, at in wanted.items() if at == number]:
            azure.allow(needed - {pair})
            said = step.run()
            if not refused(said, pair) and not refused_elsewhere(step, azure, pair):
                useless.append(pair)
        azure.allow(needed)
        gone = (step.module, step.state) == ("resource_group", "absent")
        # Where only the end of a deletion could not be seen, the group has gone, with the role on it.
        assert step.run() == [] or gone, step
    return useless
