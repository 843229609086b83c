# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""applicationGateways: kept and shown. No request of anybody goes through one."""

from __future__ import annotations

from typing import Any, ClassVar

from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import NETWORK, Run
from sandbox.arm.store import Resource
from sandbox.providers.network.base import child, reference
from sandbox.providers.network.faces import FacedType
from sandbox.providers.network.interfaces import subnet_of

# Collections whose entries are resources with ids of their own.
PARTS = (
    "gatewayIPConfigurations", "authenticationCertificates", "sslCertificates", "trustedRootCertificates",
    "frontendIPConfigurations", "frontendPorts", "probes", "backendAddressPools", "backendHttpSettingsCollection",
    "httpListeners", "urlPathMaps", "requestRoutingRules", "rewriteRuleSets", "redirectConfigurations",
    "sslProfiles", "privateLinkConfigurations",
)  # fmt: skip
PLAIN = ("sku", "autoscaleConfiguration", "webApplicationFirewallConfiguration", "sslPolicy", "enableHttp2",
         "firewallPolicy", "forceFirewallPolicyAssociation")  # fmt: skip
NEEDED = ("gatewayIPConfigurations", "frontendIPConfigurations", "frontendPorts", "httpListeners")
DEFAULTS: dict[str, dict[str, Any]] = {
    "backendAddressPools": {"backendAddresses": []},
    "backendHttpSettingsCollection": {
        "cookieBasedAffinity": "Disabled",
        "pickHostNameFromBackendAddress": False,
        "requestTimeout": 30,
    },
    "httpListeners": {"hostNames": [], "requireServerNameIndication": False},
    "frontendIPConfigurations": {"privateIPAllocationMethod": "Dynamic"},
}


class ApplicationGateways(FacedType):
    """Application gateways in a subnet, with a public or a private face."""

    kind = "applicationGateways"
    shape: ClassVar[dict[str, Any]] = {
        "sku": {"name": str, "tier": str, "capacity": int},
        **{kind: [{"name": str, "properties": dict}] for kind in PARTS},
    }

    def build(self, request: Request, known: Resource | None) -> dict[str, Any]:
        given = request.body.get("properties") or {}
        own = known.id if known else str(request.id)
        for kind in NEEDED:
            if not given.get(kind):
                text = f"Application Gateway {own} does not have any {kind}."
                raise ArmError(400, f"ApplicationGatewayMustHave{kind[0].upper()}{kind[1:]}", text, details=[])
        properties: dict[str, Any] = {"operationalState": "Running"}
        properties |= {key: given[key] for key in PLAIN if given.get(key) is not None}
        for kind in PARTS:
            properties[kind] = [self._part(own, kind, entry) for entry in given.get(kind) or []]
        for entry in known.properties["frontendIPConfigurations"] if known else []:
            self.release(entry)
        for entry in properties["frontendIPConfigurations"]:
            self.hold(entry)
        for entry in properties["gatewayIPConfigurations"]:
            subnet_id = reference(entry["properties"].get("subnet"))
            if subnet_of(self.core, subnet_id) is None:
                text = f"Resource {subnet_id} referenced by resource {own} was not found."
                raise ArmError(400, "InvalidResourceReference", text, details=[])
        return properties

    def _part(self, own: str, kind: str, given: dict[str, Any]) -> dict[str, Any]:
        properties = {**DEFAULTS.get(kind, {}), **(given.get("properties") or {})}
        return child(own, f"{self.kind}/{kind}", str(given.get("name") or ""), properties)

    # actions

    def add_actions(self) -> None:
        self.core.operations.register("network.applicationGateways.power", self._power_work)
        for action, state in (("start", "Running"), ("stop", "Stopped")):
            self.core.router.action(self.type, action, self._action(state))

    def _action(self, state: str) -> Any:
        def handler(request: Request) -> Answer:
            with self.core.store.transaction():
                gateway = self.core.require(request.id)
                return self.core.operations.begin(
                    request, "network.applicationGateways.power", gateway.id, style=NETWORK, latency=30,
                    location=gateway.body["location"], args={"state": state},
                )  # fmt: skip

        return handler

    def _power_work(self, run: Run) -> None:
        self.core.store.update(
            run.resource_id, lambda found: found.properties.update(operationalState=run.args["state"])
        )
