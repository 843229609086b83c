# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles of docs/azure.md are enough for the playbooks, and each of their actions is needed.

What a playbook asks of Azure is done here by its modules, one after the other (steps.py), without the machines that
would have to boot in between; a test compares them with the playbooks. The sandbox tells which actions were needed.
"""

from __future__ import annotations

import typing as t
import uuid

import pytest

from tests.integration.modules.conftest import Modules
from tests.integration.modules.rights import Azure, Pair, documented
from tests.integration.modules.steps import ROOT, Playbooks, Step, tasks
from tests.integration.modules.test_autoscale import Slurm
from tests.integration.modules.test_inventory import Inventory, inventory

__all__ = ["inventory"]
PLAYBOOKS = ("site", "image", "autoscale", "destroy")
PURPOSES = (*PLAYBOOKS, "inventory", "lustre", "storage", "monitoring")
OPTIONAL = ("lustre", "lustre_info", "storage_account", "netapp_volume", "storage_info", "monitoring")
"""What playbooks do only for some definitions: purposes of their own."""

FORGIVEN = {
    ("group", "Microsoft.Network/virtualNetworks/subnets/read"),
    ("subscription", "Microsoft.NetApp/locations/quotaLimits/read"),
}
"""What is asked for, and done without: the subnet of a file system may be somebody else's, and the quota a guess."""


BACKGROUND = {"autoscale": {("subscription", "Microsoft.Compute/locations/operations/read")}}
"""What is asked for in the background: a pass looks once at what Azure says of its writes, and does not wait for it, so
that being refused it shows in one run and not in the next."""


def refused(said: list[str], pair: Pair) -> bool:
    return any("AuthorizationFailed" in text and pair[1] in text for text in said)


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
