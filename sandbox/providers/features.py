# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Microsoft.Features: preview features and whether a subscription takes part; Microsoft.X/operations of providers."""

from __future__ import annotations

from typing import Any

from sandbox.arm.actions import action_of
from sandbox.arm.core import Core
from sandbox.arm.errors import GATEWAY, ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.router import SUBSCRIPTION

TYPE = "Microsoft.Features/features"
# Features that clients ask about, and what a subscription that has done nothing sees.
KNOWN = {
    "Microsoft.Compute": {
        "EncryptionAtHost": "Registered",
        "UseStandardSecurityType": "NotRegistered",
        "VMHibernationPreview": "NotRegistered",
        "InGuestAutoPatchVMPreview": "NotRegistered",
        "SharedDisksForPremium": "Registered",
        "VMSSFlexPreview": "Registered",
        "TrustedLaunchPreview": "Registered",
    },
    "Microsoft.Network": {
        "AllowMultiplePeeringLinksBetweenVnets": "NotRegistered",
        "EnableRouteServer": "NotRegistered",
        "AllowBringYourOwnPublicIpAddress": "NotRegistered",
    },
    "Microsoft.StorageCache": {"Amlfs": "Registered"},
    "Microsoft.Storage": {"AllowNFSV3": "Registered", "AllowHNS": "Registered"},
    "Microsoft.Resources": {"TemplateSpecPreview": "Registered"},
}


class Features:
    """The provider."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def _states(self, subscription: str) -> dict[str, str]:
        found: dict[str, str] = self._core.store.setting(f"features:{subscription.lower()}", {})
        return found

    def _shown(self, subscription: str, namespace: str, name: str) -> dict[str, Any]:
        state = self._states(subscription).get(f"{namespace}/{name}", KNOWN[namespace][name])
        own = f"/subscriptions/{subscription}/providers/Microsoft.Features/providers/{namespace}/features/{name}"
        shown = {"properties": {"state": state}, "id": own, "type": TYPE}
        return {**shown, "name": f"{namespace}/{name}"}

    def list_(self, request: Request) -> Answer:
        wanted = request.params.get("namespace", "").lower()
        found = [
            self._shown(request.subscription, namespace, name)
            for namespace, names in KNOWN.items()
            for name in names
            if wanted in ("", namespace.lower())
        ]
        return Answer(200, {"value": found})

    def _find(self, request: Request) -> tuple[str, str]:
        """The feature that the path names, as it is spelled; 404 FeatureNotFound."""
        namespace, name = request.params["namespace"], request.params["feature"]
        for known, names in KNOWN.items():
            for one in names:
                if (known.lower(), one.lower()) == (namespace.lower(), name.lower()):
                    return known, one
        raise ArmError(404, "FeatureNotFound", f"The feature '{name}' could not be found.", headers=GATEWAY)

    def get(self, request: Request) -> Answer:
        return Answer(200, self._shown(request.subscription, *self._find(request)))

    def register(self, request: Request) -> Answer:
        return self._set(request, "Registered")

    def unregister(self, request: Request) -> Answer:
        return self._set(request, "Unregistered")

    def _set(self, request: Request, state: str) -> Answer:
        namespace, name = self._find(request)
        states = self._states(request.subscription)
        states[f"{namespace}/{name}"] = state
        self._core.store.set_setting(f"features:{request.subscription.lower()}", states)
        return Answer(200, self._shown(request.subscription, namespace, name))

    # operations of providers

    def operations(self, request: Request) -> Answer:
        """What a provider can do here: the actions of its routes."""
        found = self.actions(request.params["namespace"])
        if not found:
            message = f"The resource namespace '{request.params['namespace']}' is invalid."
            raise ArmError(404, "InvalidResourceNamespace", message, headers=GATEWAY)
        return Answer(200, {"value": [_operation(action) for action in found]})

    def actions(self, namespace: str) -> list[str]:
        """The actions of a provider as roles name them."""
        every = {action_of(route.method, route.template) for route in self._core.router.routes() if route.type}
        return sorted(action for action in every if action.split("/")[0].lower() == namespace.lower())


def _operation(action: str) -> dict[str, Any]:
    namespace, *kinds, verb = action.split("/")
    display = {"provider": namespace, "resource": "/".join(kinds), "operation": f"{verb} {'/'.join(kinds)}"}
    return {"name": action, "isDataAction": False, "display": {**display, "description": display["operation"]}}


def register(core: Core) -> None:
    features, add = Features(core), core.router.add
    base = f"{SUBSCRIPTION}/providers/Microsoft.Features"
    add("GET", f"{base}/features", features.list_, type=TYPE, kind="list")
    add("GET", f"{base}/providers/{{namespace}}/features", features.list_, type=TYPE, kind="list")
    one = f"{base}/providers/{{namespace}}/features/{{feature}}"
    add("GET", one, features.get, type=TYPE)
    add("POST", f"{one}/register", features.register, type=TYPE)
    add("POST", f"{one}/unregister", features.unregister, type=TYPE)
    add("GET", "/providers/{namespace}/operations", features.operations)
