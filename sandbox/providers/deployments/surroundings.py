# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Template functions that depend on where the template is deployed: ids, groups, other resources."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sandbox.clock import clock
from sandbox.providers.deployments.evaluator import UNKNOWN, Scope, Special
from sandbox.providers.deployments.expressions import TemplateError
from sandbox.providers.deployments.functions import show_time

ENVIRONMENT = {
    "name": "AzureCloud",
    "gallery": "https://gallery.azure.com/",
    "graph": "https://graph.windows.net/",
    "portal": "https://portal.azure.com",
    "graphAudience": "https://graph.windows.net/",
    "activeDirectoryDataLake": "https://datalake.azure.net/",
    "batch": "https://batch.core.windows.net/",
    "media": "https://rest.media.azure.net",
    "sqlManagement": "https://management.core.windows.net:8443/",
    "vmImageAliasDoc": "https://raw.githubusercontent.com/Azure/azure-rest-api-specs/master/arm-compute/quickstart-"
    "templates/aliases.json",
    "resourceManager": "https://management.azure.com/",
    "authentication": {
        "loginEndpoint": "https://login.microsoftonline.com/",
        "audiences": ["https://management.core.windows.net/", "https://management.azure.com/"],
        "tenant": "common",
        "identityProvider": "AAD",
    },
    "suffixes": {
        "acrLoginServer": ".azurecr.io",
        "azureDatalakeAnalyticsCatalogAndJob": "azuredatalakeanalytics.net",
        "azureDatalakeStoreFileSystem": "azuredatalakestore.net",
        "keyvaultDns": ".vault.azure.net",
        "sqlServerHostname": ".database.windows.net",
        "storage": "core.windows.net",
    },
}
Read = Callable[[str, str, bool], Any]
ListAction = Callable[[str, str, str, Any], Any]


@dataclass
class Surroundings:
    """Where a template is deployed.

    ``read(target, api_version, full)`` answers a resource's properties (all of it if full); ``target`` is an id or a
    name of the template. ``act(action, id, api_version, body)`` answers a ``list...`` action. Both are None while the
    template is only checked, and what they would tell is UNKNOWN then; ``noted`` collects what was asked for.
    """

    subscription: str
    group: dict[str, Any]
    tenant: str
    deployment: dict[str, Any]
    describe: Callable[[str, str], dict[str, Any]]
    read: Read | None = None
    act: ListAction | None = None
    noted: list[tuple[str, str]] = field(default_factory=list)

    @property
    def base(self) -> str:
        return str(self.group["id"]) if self.group else f"/subscriptions/{self.subscription}"

    def specials(self) -> dict[str, Special]:
        """The functions, for a scope."""
        return {
            "deployment": lambda _scope, _given: self.deployment,
            "environment": lambda _scope, _given: ENVIRONMENT,
            "extensionresourceid": lambda _scope, given: f"{given[0]}/providers/{_pairs(given[1], given[2:])}",
            "list*": self._list,
            "managementgroup": self._no_management_group,
            "newguid": lambda _scope, _given: str(uuid.uuid4()),
            "pickzones": self._pick_zones,
            "providers": self._providers,
            "reference": self._reference,
            "resourcegroup": self._resource_group,
            "resourceid": self._resource_id,
            "subscription": lambda _scope, _given: self._subscription(),
            "subscriptionresourceid": self._subscription_resource_id,
            "tenant": lambda _scope, _given: {
                "countryCode": "US",
                "displayName": "Sandbox",
                "id": f"/tenants/{self.tenant}",
                "tenantId": self.tenant,
            },
            "tenantresourceid": lambda _scope, given: f"/providers/{_pairs(given[0], given[1:])}",
            "utcnow": lambda _scope, given: show_time(datetime.fromtimestamp(clock.now(), UTC), *given),
        }

    def _subscription(self) -> dict[str, Any]:
        return {
            "id": f"/subscriptions/{self.subscription}",
            "subscriptionId": self.subscription,
            "tenantId": self.tenant,
            "displayName": "Sandbox",
        }

    def _resource_group(self, _scope: Scope, _given: tuple[Any, ...]) -> Any:
        if not self.group:
            raise TemplateError(
                "The template function 'RESOURCEGROUP' is not expected at this location. Please see "
                "https://aka.ms/arm-functions for usage details."
            )
        return self.group

    def _no_management_group(self, _scope: Scope, _given: tuple[Any, ...]) -> Any:
        raise TemplateError(
            "The template function 'MANAGEMENTGROUP' is not expected at this location. Please see "
            "https://aka.ms/arm-functions for usage details."
        )

    def _resource_id(self, _scope: Scope, given: tuple[Any, ...]) -> str:
        """``resourceId([subscription], [group], type, names...)``: the type is the first with a slash."""
        texts = [str(value) for value in given]
        at = next((number for number, text in enumerate(texts) if "/" in text), -1)
        if at < 0:
            raise TemplateError(
                "Unable to evaluate template language function 'resourceId': the type of resource is missing. Please "
                "see https://aka.ms/arm-resource-functions/#resourceid for usage details."
            )
        before, kind, names = texts[:at], texts[at], texts[at + 1 :]
        subscription = before[-2] if len(before) > 1 else self.subscription
        group = before[-1] if before else self.group.get("name", "")
        if not group:
            return f"/subscriptions/{subscription}/providers/{_pairs(kind, names)}"
        return f"/subscriptions/{subscription}/resourceGroups/{group}/providers/{_pairs(kind, names)}"

    def _subscription_resource_id(self, _scope: Scope, given: tuple[Any, ...]) -> str:
        texts = [str(value) for value in given]
        subscription = self.subscription if "/" in texts[0] else texts.pop(0)
        return f"/subscriptions/{subscription}/providers/{_pairs(texts[0], texts[1:])}"

    def _providers(self, _scope: Scope, given: tuple[Any, ...]) -> Any:
        return self.describe(str(given[0]), str(given[1]) if len(given) > 1 else "")

    def _pick_zones(self, _scope: Scope, given: tuple[Any, ...]) -> list[str]:
        count, offset = [*given[3:], *(1, 0)[len(given[3:]) :]][:2]
        return ["1", "2", "3"][offset : offset + count]

    def _reference(self, _scope: Scope, given: tuple[Any, ...]) -> Any:
        target, version = str(given[0]), str(given[1]) if len(given) > 1 else ""
        self.noted.append((target, version))
        if self.read is None:
            return UNKNOWN
        return self.read(target, version, len(given) > 2 and str(given[2]).lower() == "full")

    def _list(self, _scope: Scope, given: tuple[Any, ...]) -> Any:
        name, target, version = str(given[0]), str(given[1]), str(given[2])
        self.noted.append((target, version))
        if self.act is None:
            return UNKNOWN
        return self.act(name, target, version, given[3] if len(given) > 3 else None)


def _pairs(kind: str, names: Any) -> str:
    namespace, *kinds = str(kind).rstrip("/").split("/")
    names = [str(name) for name in names]
    if len(kinds) != len(names):
        raise TemplateError(
            f"Unable to evaluate template language function 'resourceId': function requires fully qualified resource "
            f"type '{kind}' as one of first arguments and a name for each of its segments. Please see "
            "https://aka.ms/arm-resource-functions/#resourceid for usage details."
        )
    return "/".join((namespace, *(part for pair in zip(kinds, names, strict=True) for part in pair)))
