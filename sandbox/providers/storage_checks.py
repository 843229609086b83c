# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a storage account cannot be: namespaces and NFS by kind, what never changes, and networks that reach it."""

from __future__ import annotations

import ipaddress
from typing import Any

from sandbox.arm import ids
from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError
from sandbox.providers.network.interfaces import subnet_of

Json = dict[str, Any]
SERVICE = "microsoft.storage"
HIERARCHICAL = ("StorageV2", "BlockBlobStorage")
UNCHANGING = ("isHnsEnabled", "isNfsV3Enabled")
ACLS: Json = {
    "ipv6Rules": [],
    "bypass": "AzureServices",
    "virtualNetworkRules": [],
    "ipRules": [],
    "defaultAction": "Allow",
}


def check(body: Json, properties: Json, api_version: str) -> None:
    """Raise ArmError (400) for a new account whose kind, SKU and properties do not go together."""
    hierarchical, nfs = bool(properties.get("isHnsEnabled")), bool(properties.get("isNfsV3Enabled"))
    # Versions up to 2018 let accounts for blobs have it, too.
    if hierarchical and body["kind"] not in HIERARCHICAL and api_version >= "2019":
        raise not_allowed("isHnsEnabled")
    if nfs and (not hierarchical or body["sku"]["name"].startswith(("Standard_RA", "Standard_GZ"))):
        raise not_allowed("isNfsv3Enabled")
    if nfs and properties["networkAcls"]["defaultAction"] != "Deny":
        text = "The default action of the network ACLs of an account with NFSv3 must be 'Deny'."
        raise ArmError(400, "NetworkAclsDefaultActionMisconfigured", text)


def not_allowed(name: str) -> ArmError:
    return ArmError(400, "InvalidRequestPropertyValue", f"The value 'True' is not allowed for property {name}.")


def check_change(known: Json, given: Json) -> None:
    """Raise ArmError (409) for what an account is born with and keeps."""
    properties = given.get("properties") or {}
    changed = [
        key
        for key in UNCHANGING
        if properties.get(key) is not None and bool(properties[key]) != bool(known["properties"].get(key))
    ]
    if given.get("kind") and given["kind"] != known["kind"] and (known["kind"], given["kind"]) not in _UPGRADES:
        changed.append("kind")
    sku = (given.get("sku") or {}).get("name")
    if sku and sku != known["sku"]["name"] and "Premium" in sku + known["sku"]["name"]:
        changed.append("sku")
    if changed:
        text = f"The property '{changed[0]}' was specified in the input, but it cannot be updated."
        raise ArmError(409, "AccountPropertyCannotBeUpdated", text, target=changed[0])


_UPGRADES = {("Storage", "StorageV2"), ("BlobStorage", "StorageV2")}


def acls(core: Core, given: Json) -> Json:
    """``networkAcls`` as they are kept. 400 for a subnet that is not there or has no endpoint, and for bad prefixes."""
    rules = [_subnet_rule(core, rule) for rule in given.get("virtualNetworkRules") or []]
    addresses = [{"value": _prefix(str(rule.get("value"))), "action": "Allow"} for rule in given.get("ipRules") or []]
    made = {**ACLS, **given, "virtualNetworkRules": rules, "ipRules": addresses}
    return {**made, "defaultAction": str(made["defaultAction"]).capitalize()}


def _subnet_rule(core: Core, rule: Json) -> Json:
    subnet_id = str(rule.get("id") or "")
    found: Json | None = subnet_of(core, subnet_id)
    if found is None:
        raise _invalid(f"SubnetsNotFound:Subnet {subnet_id} was not found.")
    endpoints = found["properties"].get("serviceEndpoints") or []
    if not any(str(one.get("service", "")).lower().startswith(SERVICE) for one in endpoints):
        vnet = ids.parse(subnet_id).parent
        text = (
            f"SubnetsHaveNoServiceEndpointsConfigured:Subnets {found['name']} of virtual network {vnet} do not have "
            "ServiceEndpoints for Microsoft.Storage resources configured. Add Microsoft.Storage to subnet's "
            "ServiceEndpoints collection before trying to ACL Microsoft.Storage resources to these subnets.."
        )
        raise _invalid(text)
    return {"id": found["id"], "action": "Allow", "state": "Succeeded"}


def _invalid(text: str) -> ArmError:
    return ArmError(400, "NetworkAclsValidationFailure", f"Validation of network acls failure: {text}")


def _prefix(value: str) -> str:
    try:
        network = ipaddress.IPv4Network(value)
    except ValueError:
        network = None
    if network is None or ("/" in value and network.prefixlen > 30):
        text = f"Values for request parameters are invalid: networkAcls.ipRule[*].value({value})."
        raise ArmError(400, "InvalidValuesForRequestParameters", text, target="networkAcls.ipRule[*].value")
    return value
