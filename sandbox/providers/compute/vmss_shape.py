# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scale sets: the model with what Azure fills in, and which instances to add and to remove. Pure."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Sequence

from sandbox.arm.core import new_guid
from sandbox.arm.errors import ArmError, invalid_parameter
from sandbox.arm.ids import ResourceId
from sandbox.arm.operations import stamp
from sandbox.clock import clock

from .shapes import ImageFacts, Json, data_disk, disk_controller, merge, os_disk, os_profile, spot_profile
from .sizes import Size
from .vm_shape import data_storage, not_allowed, storage_type

VMSS = "Microsoft.Compute/virtualMachineScaleSets"
INSTANCE = "Microsoft.Compute/virtualMachineScaleSets/virtualMachines"
ONE_GROUP = 100
LARGE = 1000
_OPTIONAL = (
    "automaticRepairsPolicy",
    "scaleInPolicy",
    "proximityPlacementGroup",
    "hostGroup",
    "additionalCapabilities",
    "priorityMixPolicy",
    "resiliencyPolicy",
    "zonalPlatformFaultDomainAlignMode",
    "skuProfile",
    "scheduledEventsPolicy",
    "highSpeedInterconnectPlacement",
)
_OUTSIDE = ("zones", "plan", "extendedLocation", "placement")
_PROFILE_OPTIONAL = (
    "securityProfile",
    "diagnosticsProfile",
    "licenseType",
    "scheduledEventsProfile",
    "capacityReservation",
    "applicationProfile",
    "hardwareProfile",
    "extensionProfile",
    "securityPostureReference",
    "serviceArtifactReference",
)


def _flexible_interface(given: Json) -> Json:
    """An interface configuration of a Flexible scale set, whose machines have interfaces of their own."""
    asked = given.get("properties") or {}
    pools = ("applicationSecurityGroups", "loadBalancerBackendAddressPools", "applicationGatewayBackendAddressPools")
    addresses = [
        {
            "name": entry.get("name", "ipconfig"),
            "properties": {
                "privateIPAddressVersion": "IPv4",
                **{key: [] for key in pools},
                **(entry.get("properties") or {}),
            },
        }
        for entry in asked.get("ipConfigurations") or []
    ]
    kept = {"disableTcpStateTracking": False, "enableIPForwarding": False, "auxiliaryMode": "None"}
    return {
        "name": given.get("name", "nic"),
        "properties": {
            "primary": False,
            **kept,
            "auxiliarySku": "None",
            "deleteOption": "Delete",
            **asked,
            "dnsSettings": {"dnsServers": [], **(asked.get("dnsSettings") or {})},
            "ipConfigurations": addresses,
        },
    }


def _with_public(asked: Json) -> Json:
    """The properties of an ip configuration, with the defaults of the public address that instances are to have."""
    wanted = asked.get("publicIPAddressConfiguration")
    if not wanted:
        return asked
    own = {
        "idleTimeoutInMinutes": 4,
        "ipTags": [],
        "publicIPAddressVersion": "IPv4",
        **(wanted.get("properties") or {}),
    }
    return {**asked, "publicIPAddressConfiguration": {**wanted, "properties": own}}


def _network_interface(given: Json) -> Json:
    asked = given.get("properties") or {}
    addresses = [
        {
            "name": entry.get("name", "ipconfig"),
            "properties": {"privateIPAddressVersion": "IPv4", **_with_public(entry.get("properties") or {})},
        }
        for entry in asked.get("ipConfigurations") or []
    ]
    return {
        "name": given.get("name", "nic"),
        "properties": {
            "primary": asked.get("primary", False),
            "enableAcceleratedNetworking": asked.get("enableAcceleratedNetworking", False),
            "disableTcpStateTracking": asked.get("disableTcpStateTracking", False),
            **{key: value for key, value in asked.items() if key not in ("ipConfigurations", "dnsSettings")},
            "dnsSettings": {"dnsServers": [], **(asked.get("dnsSettings") or {})},
            "enableIPForwarding": asked.get("enableIPForwarding", False),
            "ipConfigurations": addresses,
        },
    }


def network_interfaces(profile: Json, *, flexible: bool = False) -> list[Json]:
    """The interface configurations of a ``virtualMachineProfile``, with their defaults; the only one is primary.

    Raises 400 if there is none, or not exactly one primary, or one without a subnet.
    """
    target = "virtualMachineProfile.networkProfile.networkInterfaceConfigurations"
    given = (profile.get("networkProfile") or {}).get("networkInterfaceConfigurations") or []
    if not given:
        raise invalid_parameter(target, f"Required parameter '{target}' is missing (null).")
    configured = [_flexible_interface(entry) if flexible else _network_interface(entry) for entry in given]
    for entry in configured:
        entry["properties"]["primary"] = str(entry["properties"]["primary"]).lower() == "true"
    if len(configured) == 1:
        configured[0]["properties"]["primary"] = True
    if sum(bool(entry["properties"]["primary"]) for entry in configured) != 1:
        message = "Virtual machine must have one network interface set as the primary."
        raise ArmError(400, "VirtualMachineMustHaveOneNetworkInterfaceAsPrimary", message, details=[])
    for entry in configured:
        for address in entry["properties"]["ipConfigurations"] or [{}]:
            if not ((address.get("properties") or {}).get("subnet") or {}).get("id"):
                name = f"{target}.ipConfigurations.subnet.id"
                raise invalid_parameter(name, f"Required parameter '{name}' is missing (null).")
    return configured


def is_flexible(body: Json) -> bool:
    return str(body["properties"].get("orchestrationMode", "Uniform")) == "Flexible"


def vm_size(body: Json) -> str:
    """The size of the machines of a scale set; of a mix of sizes the first one."""
    name = str((body.get("sku") or {}).get("name") or "")
    mixed = ((body.get("properties") or {}).get("skuProfile") or {}).get("vmSizes") or []
    return str(mixed[0].get("name", "")) if name.lower() == "mix" and mixed else name


def model(asked: Json, size: Size, image: ImageFacts | None, now: float, *, flexible: bool = False) -> Json:
    """A ``virtualMachineProfile`` with its defaults. ``asked`` has no secrets in it."""
    storage = asked.get("storageProfile") or {}
    network = asked.get("networkProfile") or {}
    if flexible:
        network = {"networkApiVersion": "2020-11-01", **network}
    disk = os_disk(storage.get("osDisk") or {}, image, storage_type=storage_type(size, image), scale_set=True)
    disks = [
        data_disk(entry, storage_type=data_storage(entry, size, image), scale_set=True)
        for entry in storage.get("dataDisks") or []
    ]
    for entry in [disk, *disks] if flexible else []:
        entry.setdefault("deleteOption", "Delete")
    shown: Json = {
        "storageProfile": {
            "osDisk": disk,
            **({"imageReference": storage["imageReference"]} if storage.get("imageReference") else {}),
            **({"dataDisks": disks} if disks else {}),
            **disk_controller(storage, image),
        },
        "networkProfile": {
            **network,
            "networkInterfaceConfigurations": network_interfaces(asked, flexible=flexible),
        },
        **{key: asked[key] for key in _PROFILE_OPTIONAL if key in asked},
        **spot_profile(asked),
        "timeCreated": asked.get("timeCreated") or stamp(now),
    }
    if asked.get("osProfile"):
        shown["osProfile"] = os_profile(asked["osProfile"], disk["osType"], scale_set=not flexible)
    return shown


def new_flexible_body(
    rid: ResourceId, given: Json, location: str, size: Size | None, image: ImageFacts | None, now: float
) -> Json:
    """The body of a new Flexible scale set, which may have no model: then machines are only added to it."""
    asked, sku = given.get("properties", {}), given.get("sku") or {}
    profile = asked.get("virtualMachineProfile")
    properties: Json = {
        "singlePlacementGroup": asked.get("singlePlacementGroup") or False,
        "orchestrationMode": "Flexible",
        **({"upgradePolicy": upgrade_policy(asked.get("upgradePolicy") or {"mode": "Manual"})} if profile else {}),
        **({"virtualMachineProfile": model(profile, size, image, now, flexible=True)} if profile and size else {}),
        "provisioningState": "Creating",
        "uniqueId": new_guid(),
        "platformFaultDomainCount": asked.get("platformFaultDomainCount") or 1,
        "constrainedMaximumCapacity": asked.get("constrainedMaximumCapacity", False),
        **({"zoneBalance": asked["zoneBalance"]} if "zoneBalance" in asked else {}),
        **{key: asked[key] for key in _OPTIONAL if key in asked},
        "timeCreated": stamp(now),
    }
    if asked.get("spotRestorePolicy"):
        properties["spotRestorePolicy"] = {"enabled": False, "restoreTimeout": "PT1H", **asked["spotRestorePolicy"]}
    shown_sku = {"name": sku.get("name") or (size.name if size else ""), "tier": sku.get("tier") or "Standard"}
    return {
        "name": rid.name,
        "id": str(rid),
        "type": VMSS,
        "location": location,
        "tags": given.get("tags") or {},
        **{key: given[key] for key in _OUTSIDE if given.get(key)},
        "sku": {**shown_sku, "capacity": int(sku.get("capacity") or 0)},
        "properties": properties,
        "etag": '"1"',
    }


def new_body(rid: ResourceId, given: Json, location: str, size: Size, image: ImageFacts | None, now: float) -> Json:
    """The body of a new Uniform scale set. ``given`` has no secrets in it."""
    asked, zones = given.get("properties", {}), given.get("zones") or []
    sku = given.get("sku") or {}
    single = asked.get("singlePlacementGroup")
    spread_out = single is False or zones or (asked.get("virtualMachineProfile") or {}).get("priority") == "Spot"
    domains = asked.get("platformFaultDomainCount") or (1 if spread_out else 5)
    properties: Json = {
        "singlePlacementGroup": (not zones) if single is None else single,
        "orchestrationMode": "Uniform",
        "upgradePolicy": upgrade_policy(asked.get("upgradePolicy")),
        "virtualMachineProfile": model(asked.get("virtualMachineProfile") or {}, size, image, now),
        "provisioningState": "Creating",
        "overprovision": asked.get("overprovision", True),
        "doNotRunExtensionsOnOverprovisionedVMs": asked.get("doNotRunExtensionsOnOverprovisionedVMs", False),
        **({"constrainedMaximumCapacity": True} if asked.get("constrainedMaximumCapacity") else {}),
        "uniqueId": new_guid(),
        "platformFaultDomainCount": domains,
        **({"zoneBalance": asked.get("zoneBalance", False)} if zones else {}),
        **{key: asked[key] for key in _OPTIONAL if key in asked},
        "timeCreated": stamp(now),
    }
    if asked.get("spotRestorePolicy"):
        properties["spotRestorePolicy"] = {"enabled": False, "restoreTimeout": "PT1H", **asked["spotRestorePolicy"]}
    return {
        "name": rid.name,
        "id": str(rid),
        "type": VMSS,
        "location": location,
        "tags": given.get("tags") or {},
        **{key: given[key] for key in _OUTSIDE if given.get(key)},
        "sku": {"name": size.name, "tier": sku.get("tier") or "Standard", "capacity": int(sku.get("capacity") or 0)},
        "properties": properties,
        "etag": '"1"',
    }


def upgrade_policy(given: Json | None) -> Json:
    """400 if there is none: a Uniform scale set must say how it is upgraded."""
    if not (given or {}).get("mode"):
        raise invalid_parameter("upgradePolicy", "Required parameter 'upgradePolicy' is missing (null).")
    policy = copy.deepcopy(given or {})
    if "rollingUpgradePolicy" in policy or policy["mode"] == "Rolling":
        policy["rollingUpgradePolicy"] = {
            "maxBatchInstancePercent": 20,
            "maxUnhealthyInstancePercent": 20,
            "maxUnhealthyUpgradedInstancePercent": 20,
            "pauseTimeBetweenBatches": "PT0S",
            **(policy.get("rollingUpgradePolicy") or {}),
        }
    return policy


def updated(known: Json, asked: Json, size: Size, image: ImageFacts | None) -> Json:
    """The body after a PUT or PATCH of an existing scale set; both merge, except lists and tags.

    Raises 409 PropertyChangeNotAllowed for what only a new scale set can have.
    """
    have, want = known["properties"], asked.get("properties") or {}
    profile = want.get("virtualMachineProfile") or {}
    before = have.get("virtualMachineProfile") or {}
    names = (profile.get("osProfile") or {}, before.get("osProfile") or {})
    for key in ("computerNamePrefix", "adminUsername"):
        if key in names[0] and names[0][key] != names[1].get(key):
            raise not_allowed(f"osProfile.{key}")
    for key in ("orchestrationMode", "platformFaultDomainCount"):
        if key in want and want[key] != have.get(key):
            raise not_allowed(key)
    if profile.get("priority") and profile["priority"] != before.get("priority", "Regular") and before:
        raise not_allowed("virtualMachineProfile.priority")
    if "zones" in asked and asked["zones"] and list(asked["zones"]) != list(known.get("zones", [])):
        raise not_allowed("zones")
    if want.get("singlePlacementGroup") and not have["singlePlacementGroup"]:
        message = "Changing property 'singlePlacementGroup' from false to true is not allowed."
        raise ArmError(409, "PropertyChangeNotAllowed", message, target="singlePlacementGroup")
    body = copy.deepcopy(known)
    if "tags" in asked:
        body["tags"] = asked["tags"] or {}
    sku = asked.get("sku") or {}
    capacity = sku.get("capacity")
    mix = (sku.get("name") or known["sku"]["name"]).lower() == "mix"
    body["sku"] = {
        **known["sku"],
        "name": "Mix" if mix else size.name,
        "tier": sku.get("tier") or known["sku"].get("tier", "Standard"),
    }
    body["sku"]["capacity"] = known["sku"]["capacity"] if capacity is None else int(capacity)
    for key in (
        "singlePlacementGroup",
        "overprovision",
        "doNotRunExtensionsOnOverprovisionedVMs",
        "zoneBalance",
        *_OPTIONAL,
    ):
        if key in want:
            body["properties"][key] = want[key]
    if "upgradePolicy" in want:
        body["properties"]["upgradePolicy"] = upgrade_policy(
            merge(have.get("upgradePolicy", {}), want["upgradePolicy"])
        )
    if "spotRestorePolicy" in want:
        body["properties"]["spotRestorePolicy"] = merge(have.get("spotRestorePolicy", {}), want["spotRestorePolicy"])
    if profile or (before and size.name != vm_size(known)):
        complete = merge(before, profile)
        flexible = is_flexible(known)
        body["properties"]["virtualMachineProfile"] = model(complete, size, image, clock.now(), flexible=flexible)
    return body


def same_model(one: Json, other: Json) -> bool:
    """Whether instances made from one body are like those made from the other."""
    return bool(
        one["sku"]["name"] == other["sku"]["name"]
        and one["properties"].get("virtualMachineProfile") == other["properties"].get("virtualMachineProfile")
    )


def capacity_limit(body: Json) -> int:
    return ONE_GROUP if body["properties"].get("singlePlacementGroup") else LARGE


def check_capacity(body: Json) -> None:
    """409 if the scale set is to have more machines than it can, 400 for a negative number."""
    capacity, limit = body["sku"]["capacity"], capacity_limit(body)
    if capacity < 0:
        raise invalid_parameter("sku.capacity", f"The value '{capacity}' of parameter 'sku.capacity' is out of range.")
    if capacity > limit:
        reason = f"as it exceeds the total limit of '{limit}' Virtual Machine instances."
        message = f"Unable to create or update Virtual Machine Scale Set '{body['name']}' {reason}"  # noqa: S608 (not SQL)
        raise ArmError(409, "OperationNotAllowed", message)


def spread(zones: Sequence[str], existing: Iterable[str], count: int) -> list[str]:
    """A zone for each of ``count`` new instances, the emptiest first; empty strings for a regional scale set."""
    if not zones:
        return [""] * count
    load = Counter(dict.fromkeys(zones, 0))
    load.update(zone for zone in existing if zone in load)
    chosen = []
    for _unused in range(count):
        zone = min(zones, key=lambda name: load[name])
        load[zone] += 1
        chosen.append(zone)
    return chosen


def to_remove(instances: Sequence[tuple[int, str]], count: int) -> list[int]:
    """Which instances a smaller capacity takes away (``(number, zone)`` given): from the fullest zone the highest
    number."""
    by_zone: dict[str, list[int]] = {}
    for number, zone in sorted(instances):
        by_zone.setdefault(zone, []).append(number)
    removed: list[int] = []
    for _unused in range(min(count, len(instances))):
        zone = max(by_zone, key=lambda name: (len(by_zone[name]), by_zone[name][-1] if by_zone[name] else -1))
        removed.append(by_zone[zone].pop())
    return removed
