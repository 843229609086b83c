# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Galleries, image definitions, image versions and applications: requests with what Azure fills in. Pure."""

from __future__ import annotations

import copy
import re
import uuid

from sandbox.arm.errors import ArmError, invalid_parameter
from sandbox.arm.ids import ResourceId
from sandbox.arm.operations import stamp
from sandbox.arm.shapes import Words

from .shapes import Json, required
from .sizes import normal_location, regions

_NAME = re.compile(r"[A-Za-z0-9_.]{1,80}")
_VERSION = re.compile(r"\d+\.\d+\.\d+")


def check_name(rid: ResourceId) -> None:
    """400 for names that galleries and versions cannot have: a version is three numbers, a gallery has no dashes."""
    kind = rid.types[-1].lower()
    good = {"galleries": _NAME, "versions": _VERSION}.get(kind)
    if good is not None and not good.fullmatch(rid.name):
        what = (
            "It must follow the format Major(int).Minor(int).Patch(int), for example 1.0.0."
            if kind == "versions"
            else "It may hold letters, digits, dots and underscores."
        )
        message = f"The resource name '{rid.name}' of type '{rid.type}' is invalid. {what}"
        raise invalid_parameter("galleryImageVersionName" if kind == "versions" else "galleryName", message)


def head(rid: ResourceId, given: Json) -> Json:
    """What all of them begin with; tags only if there were any in the request."""
    return {
        "name": rid.name,
        "id": str(rid),
        "type": rid.type,
        "location": normal_location(required(given, "location")),
        **({"tags": given["tags"]} if "tags" in given else {}),
        **({"identity": given["identity"]} if given.get("identity") else {}),
    }


def gallery(rid: ResourceId, asked: Json) -> Json:
    """``properties`` of a gallery."""
    echoed = ("description", "sharingProfile", "softDeletePolicy")
    made = {key: asked[key] for key in echoed if key in asked}
    community = (made.get("sharingProfile") or {}).get("communityGalleryInfo")
    if community:
        names = [f"{community.get('publicNamePrefix', '')}-{uuid.uuid5(uuid.NAMESPACE_URL, str(rid).lower())}"]
        told = {"communityGalleryEnabled": False, **community, "publicNames": names}
        made["sharingProfile"] = {**made["sharingProfile"], "communityGalleryInfo": told}
    return {**made, "identifier": {"uniqueName": f"{rid.subscription}-{rid.name.upper()}"}}


_DEFINITION = (
    "description",
    "eula",
    "privacyStatementUri",
    "releaseNoteUri",
    "endOfLifeDate",
    "recommended",
    "disallowed",
    "purchasePlan",
    "features",
    "allowUpdateImage",
)


def definition(_unused: ResourceId, asked: Json) -> Json:
    """``properties`` of an image definition. Raises 400 if it does not say what the image is."""
    required(asked, "osType")
    identifier = asked.get("identifier") or {}
    for key in ("publisher", "offer", "sku"):
        if not identifier.get(key):
            target = f"galleryImage.properties.identifier.{key}"
            raise invalid_parameter(target, f"Required parameter '{target}' is missing (null).")
    return {
        "hyperVGeneration": asked.get("hyperVGeneration", "V1"),
        "architecture": asked.get("architecture", "x64"),
        **{key: asked[key] for key in _DEFINITION if asked.get(key)},
        **({"features": [_feature(one) for one in asked["features"]]} if asked.get("features") else {}),
        "osType": asked["osType"],
        "osState": asked.get("osState", "Generalized"),
        "identifier": {key: identifier[key] for key in ("publisher", "offer", "sku")},
    }


_FEATURES = Words(
    "True", "False", "ConfidentialVM", "ConfidentialVMSupported", "TrustedLaunch", "TrustedLaunchSupported",
    "TrustedLaunchAndConfidentialVmSupported",
)  # fmt: skip


def _feature(given: Json) -> Json:
    value = given.get("value")
    return {**given, "value": _FEATURES.spell(value)} if isinstance(value, str) else given


def unchanged(known: Json, asked: Json) -> None:
    """409 for what an image definition cannot change."""
    for key in ("osType", "osState", "hyperVGeneration", "identifier"):
        if key in asked and asked[key] != known.get(key):
            target = f"galleryImage.properties.{key}"
            message = f"Changing property '{target}' is not allowed."
            raise ArmError(409, "PropertyChangeNotAllowed", message, target=target)


def version(asked: Json, location: str, now: float) -> Json:
    """``properties`` of an image version that was just accepted."""
    storage = copy.deepcopy(asked.get("storageProfile") or {})
    safety = {"reportedForPolicyViolation": False, "allowDeletionOfReplicatedLocations": False}
    return {
        "publishingProfile": publishing(asked.get("publishingProfile") or {}, location, stamp(now)),
        "storageProfile": storage,
        "safetyProfile": {**safety, **(asked.get("safetyProfile") or {})},
    }


def publishing(asked: Json, location: str, published: str) -> Json:
    """A ``publishingProfile``: each region by its display name, with its replicas and kind of storage."""
    replicas, storage = asked.get("replicaCount") or 1, asked.get("storageAccountType") or "Standard_LRS"
    targets = []
    for target in asked.get("targetRegions") or [{"name": location}]:
        entry: Json = {
            "name": _display(target.get("name", "")),
            "regionalReplicaCount": target.get("regionalReplicaCount") or replicas,
            "storageAccountType": target.get("storageAccountType") or storage,
        }
        if target.get("encryption"):
            entry["encryption"] = _encryption(target["encryption"])
        if "excludeFromLatest" in target:
            entry["excludeFromLatest"] = target["excludeFromLatest"]
        targets.append(entry)
    zones = [_edge(zone) for zone in asked.get("targetExtendedLocations") or []]
    return {
        "targetRegions": targets,
        "replicaCount": replicas,
        "excludeFromLatest": asked.get("excludeFromLatest", False),
        "publishedDate": published,
        **({"endOfLifeDate": asked["endOfLifeDate"]} if asked.get("endOfLifeDate") else {}),
        "storageAccountType": storage,
        **({"replicationMode": asked["replicationMode"]} if asked.get("replicationMode") else {}),
        **({"targetExtendedLocations": zones} if zones else {}),
    }


def _edge(given: Json) -> Json:
    """A copy in an edge zone, with the name of the region that the zone belongs to as it is shown."""
    kinds = {kind.lower(): kind for kind in ("Standard_LRS", "StandardSSD_LRS", "Premium_LRS", "Standard_ZRS")}
    storage = str(given.get("storageAccountType") or "StandardSSD_LRS")
    shown = {"name": _display(given.get("name", "")), "storageAccountType": kinds.get(storage.lower(), storage)}
    return {"extendedLocationReplicaCount": 1, **given, **shown}


def _display(name: str) -> str:
    known = regions().get(normal_location(name))
    return known.display if known else name


def _encryption(given: Json) -> Json:
    disk = given.get("osDiskImage")
    return {**given, **({"osDiskImage": {"securityProfile": {}, **disk}} if disk else {})}


def replication(properties: Json) -> Json:
    """``replicationStatus``, which a GET with ``$expand=ReplicationStatus`` tells."""
    done = properties.get("provisioningState") == "Succeeded"
    state, progress = ("Completed", 100) if done else ("Replicating", 0)
    summary = [
        {"region": target["name"], "state": state, "details": "", "progress": progress}
        for target in properties["publishingProfile"]["targetRegions"]
    ]
    return {"aggregatedState": "Completed" if done else "InProgress", "summary": summary}


def application_version(asked: Json, location: str, published: str) -> Json:
    """``properties`` of a version of a VM application."""
    given = asked.get("publishingProfile") or {}
    profile = {**given, "enableHealthCheck": given.get("enableHealthCheck", False)}
    return {**asked, "publishingProfile": {**profile, **publishing(given, location, published)}}


def application(_unused: ResourceId, asked: Json) -> Json:
    """``properties`` of a VM application."""
    required(asked, "supportedOSType")
    words = ("description", "eula", "privacyStatementUri", "releaseNoteUri", "endOfLifeDate", "customActions")
    return {"supportedOSType": asked["supportedOSType"], **{key: asked[key] for key in words if key in asked}}
