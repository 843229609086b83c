# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what: role assignments, enforced for managed identities, or for everybody, or for nobody.

A request needs its action at its own scope, and for what its body refers to an action there (``subnets/join/action``
for the subnet of an interface, and so on). A scale set that grows refers to all that its model does.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from typing import Any

from sandbox.arm import ids
from sandbox.arm.actions import action_of, scope_of
from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Request
from sandbox.arm.router import Route
from sandbox.fault_codes import KNOWN

SETTING = "authorization"
MODES = ("identities", "everybody", "off")
ASSIGNMENT = "Microsoft.Authorization/roleAssignments"
MACHINE = "Microsoft.Compute/virtualMachines"
DISK_WRITE = "Microsoft.Compute/disks/write"
SUBNET = "microsoft.network/virtualnetworks/subnets"
# Who lets a subnet in needs another right there than who puts something into it.
BY_ENDPOINT = "Microsoft.Network/virtualNetworks/subnets/joinViaServiceEndpoint/action"
STORAGE = "Microsoft.Storage/storageAccounts"
# type of what is referred to (lower case): the action that is needed there
LINKED = {
    SUBNET: "Microsoft.Network/virtualNetworks/subnets/join/action",
    "microsoft.network/networkinterfaces": "Microsoft.Network/networkInterfaces/join/action",
    "microsoft.network/networksecuritygroups": "Microsoft.Network/networkSecurityGroups/join/action",
    "microsoft.network/publicipaddresses": "Microsoft.Network/publicIPAddresses/join/action",
    "microsoft.network/natgateways": "Microsoft.Network/natGateways/join/action",
    "microsoft.network/loadbalancers/backendaddresspools": (
        "Microsoft.Network/loadBalancers/backendAddressPools/join/action"
    ),
    "microsoft.managedidentity/userassignedidentities": (
        "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action"
    ),
    "microsoft.compute/images": "Microsoft.Compute/images/read",
    "microsoft.compute/galleries/images": "Microsoft.Compute/galleries/images/read",
    "microsoft.compute/galleries/images/versions": "Microsoft.Compute/galleries/images/versions/read",
    "microsoft.compute/proximityplacementgroups": "Microsoft.Compute/proximityPlacementGroups/read",
}


class Access:
    """Decides on requests by the role assignments that there are."""

    def __init__(self, core: Core) -> None:
        self._core = core
        # What requests have needed since the server began, or since it was last asked to forget: action -> where.
        self._used: dict[str, set[str]] = {}

    def used(self, *, forget: bool = False) -> dict[str, list[str]]:
        """The actions that requests needed, in the order of their first use, with the groups or subscriptions."""
        found = {action: sorted(places) for action, places in self._used.items()}
        if forget:
            self._used.clear()
        return found

    def mode(self) -> str:
        found: str = self._core.store.setting(SETTING, MODES[0])
        return found

    def set_mode(self, mode: str) -> None:
        """Whose role assignments count. Raises ValueError."""
        if mode not in MODES:
            raise ValueError(f"authorization is for {', '.join(MODES)}")
        self._core.store.set_setting(SETTING, mode)

    def check(self, request: Request, route: Route | None) -> None:
        """403 AuthorizationFailed or LinkedAuthorizationFailed if the caller may not do this."""
        if route is None:
            return
        mode = self.mode()
        counts = mode == "everybody" or (mode == "identities" and bool(request.claims.get("xms_mirid")))
        permissions = self._permissions(request.claims.get("oid", "")) if counts else []
        action, scope = action_of(request.method, route.template), scope_of(route, request.path, request.method)
        if request.method == "GET" and _shown_in_part(request.path, not counts or bool(permissions)):
            return
        self._note(action, scope)
        if counts and not _allowed(permissions, action, scope):
            message = KNOWN["AuthorizationFailed"][2]
            for name, value in {**_who(request), "action": action, "scope": scope}.items():
                message = message.replace(f"{{{name}}}", value)
            raise ArmError(403, "AuthorizationFailed", message)
        for linked, wanted in self._linked(request, route):
            self._note(wanted, linked)
            if counts and not _allowed(permissions, wanted, linked):
                raise _linked_refusal(request, action, scope, wanted, linked)

    def _note(self, action: str, scope: str) -> None:
        parts = scope.strip("/").split("/")
        within = parts[:4] if [part.lower() for part in parts[2:3]] == ["resourcegroups"] else parts[:2]
        self._used.setdefault(action, set()).add("/" + "/".join(within))

    def _permissions(self, principal: str) -> list[tuple[str, dict[str, Any]]]:
        """The scope and the permissions of each role that a principal has."""
        roles = self._core.service("role_permissions", lambda role: [])
        found = []
        for assignment in self._core.store.list(ASSIGNMENT):
            given = assignment.properties
            if given["principalId"].lower() == principal.lower():
                found += [(ids.key(given["scope"]), entry) for entry in roles(given["roleDefinitionId"])]
        return found

    def _linked(self, request: Request, route: Route) -> Iterator[tuple[str, str]]:
        """What the request refers to, with the action that it needs there."""
        if request.method not in ("PUT", "PATCH") or not isinstance(request.body, dict):
            return
        bodies: list[Any] = [request.body]
        known = self._core.store.get(request.path) if route.kind == "resource" else None
        if route.type == MACHINE and known is None and request.method == "PUT" and _brings_disk(request.body):
            yield f"{request.path.rsplit('/', 2)[0]}/disks/{request.path.rsplit('/', 1)[1]}_OsDisk_1", DISK_WRITE
        if known is not None and _grows(known.body, request.body):
            bodies.append(known.body)
        own, seen = ids.key(request.path), set()
        for body in bodies:
            for text in _texts(body):
                if not text.lower().startswith("/subscriptions/") or ids.key(text) in seen:
                    continue
                seen.add(ids.key(text))
                linked = _type(text)
                wanted = BY_ENDPOINT if (route.type, linked) == (STORAGE, SUBNET) else LINKED.get(linked)
                if wanted and not (ids.key(text) + "/").startswith(own + "/"):
                    yield text, wanted


def _linked_refusal(request: Request, action: str, scope: str, wanted: str, linked: str) -> ArmError:
    who = _who(request)
    return ArmError(
        403,
        "LinkedAuthorizationFailed",
        f"The client '{who['client']}' with object id '{who['oid']}' has permission to perform action "
        f"'{action}' on scope '{scope}'; however, it does not have permission to perform action(s) "
        f"'{wanted}' on the linked scope(s) '{linked}' (respectively) or the linked scope(s) are invalid.",
    )


def _allowed(permissions: list[tuple[str, dict[str, Any]]], action: str, scope: str) -> bool:
    at = scope.lower().rstrip("/") + "/"
    return any(
        at.startswith(where.rstrip("/") + "/")
        and _matches(entry.get("actions"), action)
        and not _matches(entry.get("notActions"), action)
        for where, entry in permissions
    )


def _matches(patterns: list[str] | None, action: str) -> bool:
    return any(fnmatch.fnmatchcase(action.lower(), pattern.lower()) for pattern in patterns or [])


def _shown_in_part(path: str, known: bool) -> bool:
    """What Resource Manager answers to all: the directory's lists; and who has any role sees the subscription."""
    parts = [part.lower() for part in path.strip("/").split("/")]
    if parts[0] != "subscriptions" or len(parts) == 1:
        return True
    return known and len(parts) <= 3 and parts[-1] != "resources"


def _brings_disk(asked: dict[str, Any]) -> bool:
    """Whether a new machine makes a managed disk of its own."""
    disk = ((asked.get("properties") or {}).get("storageProfile") or {}).get("osDisk") or {}
    return str(disk.get("createOption", "FromImage")).lower() == "fromimage" and not disk.get("vhd")


def _grows(known: dict[str, Any], asked: dict[str, Any]) -> bool:
    before, after = (known.get("sku") or {}).get("capacity"), (asked.get("sku") or {}).get("capacity")
    return isinstance(before, int) and isinstance(after, int) and after > before


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield key
            yield from _texts(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _texts(entry)


def _type(text: str) -> str:
    try:
        return ids.parse(text).type.lower()
    except ids.InvalidId:
        return ""


def _who(request: Request) -> dict[str, str]:
    return {"client": request.claims.get("appid", ""), "oid": request.claims.get("oid", "")}
