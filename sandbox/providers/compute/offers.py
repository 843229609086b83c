# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists of Microsoft.Compute that depend on no resource: extensions, commands, the chance to get a Spot machine."""

from __future__ import annotations

from typing import Any

from sandbox.arm import shapes
from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.router import SUBSCRIPTION
from sandbox.providers.common import normal

from . import sizes
from .limits import Limits

LOCATION = f"{SUBSCRIPTION}/providers/Microsoft.Compute/locations/{{location}}"
# publisher -> type -> (operating system, versions)
EXTENSIONS: dict[str, dict[str, tuple[str, tuple[str, ...]]]] = {
    "Microsoft.Azure.Extensions": {
        "CustomScript": ("Linux", ("2.1.10", "2.1.13")),
        "DockerExtension": ("Linux", ("1.2.2",)),
    },
    "Microsoft.Compute": {
        "CustomScriptExtension": ("Windows", ("1.10.15", "1.10.20")),
        "VMAccessAgent": ("Windows", ("2.4.8", "2.4.13")),
        "BGInfo": ("Windows", ("2.2.5",)),
    },
    "Microsoft.OSTCExtensions": {"VMAccessForLinux": ("Linux", ("1.5.11", "1.5.22"))},
    "Microsoft.Azure.Monitor": {
        "AzureMonitorLinuxAgent": ("Linux", ("1.33.1", "1.35.1")),
        "AzureMonitorWindowsAgent": ("Windows", ("1.31.0", "1.34.0")),
    },
    "Microsoft.ManagedServices": {
        "ApplicationHealthLinux": ("Linux", ("1.0.5", "2.0.18")),
        "ApplicationHealthWindows": ("Windows", ("1.0.8", "2.0.18")),
    },
    "Microsoft.Azure.ActiveDirectory": {"AADSSHLoginForLinux": ("Linux", ("1.0.2779.1",))},
    "Microsoft.HpcCompute": {
        "NvidiaGpuDriverLinux": ("Linux", ("1.9.0", "1.11.0")),
        "InfiniBandDriverLinux": ("Linux", ("1.2.0",)),
    },
}
SCHEMA = "http://schema.management.azure.com/schemas/2016-11-17/runcommands.json"
# id -> (operating system, what it is called, what it does, script)
COMMANDS = {
    "RunShellScript": ("Linux", "Run Command for Linux", "Executes a Linux shell script", ["echo This is a sample"]),
    "ifconfig": ("Linux", "List network configuration", "Get the configuration of all interfaces.", ["ifconfig"]),
    "RunPowerShellScript": ("Windows", "Executes a PowerShell script", "Custom script", ["param(", ")", "Write-Host"]),
    "EnableRemotePS": ("Windows", "Enable remote PowerShell", "Enable remote PowerShell", ["Enable-PSRemoting -Force"]),
    "IPConfig": ("Windows", "List IP configuration", "Shows detailed information of adapters", ["ipconfig /all"]),
}


class Offers:
    """The handlers."""

    def __init__(self, core: Core, limits: Limits) -> None:
        self._core, self._limits = core, limits

    def register(self) -> None:
        add = self._core.router.add
        types = f"{LOCATION}/publishers/{{publisher}}/artifacttypes/vmextension/types"
        add("GET", types, self.types, type="Microsoft.Compute/locations/publishers")
        add("GET", f"{types}/{{kind}}/versions", self.versions, type="Microsoft.Compute/locations/publishers")
        add(
            "GET", f"{types}/{{kind}}/versions/{{version}}", self.version, type="Microsoft.Compute/locations/publishers"
        )
        add("GET", f"{LOCATION}/runCommands", self.commands, type="Microsoft.Compute/locations/runCommands")
        add("GET", f"{LOCATION}/runCommands/{{command}}", self.command, type="Microsoft.Compute/locations/runCommands")
        scores = "Microsoft.Compute/locations/placementScores"
        add("POST", f"{LOCATION}/placementScores/{{what}}/generate", self.scores, type=scores)

    # extensions

    def _known(self, request: Request) -> tuple[str, dict[str, tuple[str, tuple[str, ...]]]]:
        wanted = request.params["publisher"].lower()
        found = next((name for name in EXTENSIONS if name.lower() == wanted), request.params["publisher"])
        return found, EXTENSIONS.get(found, {})

    def _entry(self, request: Request, *parts: str) -> dict[str, Any]:
        place = normal(request.params["location"])
        labels = ("Publishers", "ArtifactTypes/VMExtension/Types", "Versions")
        tail = "".join(f"/{label}/{part}" for label, part in zip(labels, parts, strict=False))
        head = f"/Subscriptions/{request.subscription}/Providers/Microsoft.Compute/Locations/{place}"
        return {"location": place, "name": parts[-1], "id": f"{head}{tail}"}

    def types(self, request: Request) -> Answer:
        publisher, found = self._known(request)
        return Answer(200, [self._entry(request, publisher, name) for name in found])

    def _kind(self, request: Request) -> tuple[str, str, tuple[str, tuple[str, ...]]]:
        publisher, found = self._known(request)
        for name, facts in found.items():
            if name.lower() == request.params["kind"].lower():
                return publisher, name, facts
        message = f"Artifact: VMExtension was not found. Publisher: {publisher}, Type: {request.params['kind']}."
        raise ArmError(404, "NotFound", message)

    def versions(self, request: Request) -> Answer:
        publisher, name, (_system, versions) = self._kind(request)
        found = list(versions)
        if "desc" in request.query.get("$orderby", "").lower():
            found.reverse()
        top = request.query.get("$top", "")
        found = found[: int(top)] if top.isdigit() else found
        return Answer(200, [self._entry(request, publisher, name, version) for version in found])

    def version(self, request: Request) -> Answer:
        publisher, name, (system, versions) = self._kind(request)
        wanted = request.params["version"]
        if wanted not in versions:
            message = f"Artifact: VMExtension was not found. Publisher: {publisher}, Type: {name}, Version: {wanted}."
            raise ArmError(404, "NotFound", message)
        properties = {
            "operatingSystem": system,
            "computeRole": "IaaS",
            "vmScaleSetEnabled": True,
            "supportsMultipleExtensions": False,
        }
        return Answer(200, {"properties": properties, **self._entry(request, publisher, name, wanted)})

    # commands

    def commands(self, _request: Request) -> Answer:
        return Answer(200, {"value": [_brief(name) for name in COMMANDS]})

    def command(self, request: Request) -> Answer:
        for name, (_system, _label, _text, script) in COMMANDS.items():
            if name.lower() == request.params["command"].lower():
                parameters = [
                    {"name": key, "type": "string", "defaultValue": "", "required": False} for key in ("arg1", "arg2")
                ]
                return Answer(200, {"script": script, "parameters": parameters, **_brief(name)})
        message = f"The entity was not found in this Azure location: the command '{request.params['command']}'."
        raise ArmError(404, "NotFound", message, target="commandId")

    # Spot

    def scores(self, request: Request) -> Answer:
        """How likely Spot machines of some sizes are to be had in some regions: High where there is room at all."""
        shape = {"desiredLocations": [str], "desiredSizes": [{"sku": str}], "desiredCount": int}
        given = shapes.read(request.body or {}, shape)
        places, count = given.get("desiredLocations") or [], given.get("desiredCount") or 1
        found = []
        for entry in given.get("desiredSizes") or []:
            size = sizes.find(entry.get("sku", ""))
            for place in map(normal, places):
                zones: list[str | None] = [None]
                if given.get("availabilityZones") and place in sizes.regions():
                    zones = list(sizes.regions()[place].zones) or [None]
                for zone in zones:
                    score = self._score(size, place, zone, count)
                    told = {"sku": entry.get("sku"), "region": place, **({"availabilityZone": zone} if zone else {})}
                    found.append({**told, "score": score, "isQuotaAvailable": True})
        return Answer(200, {**given, "placementScores": found})

    def _score(self, size: sizes.Size | None, place: str, zone: str | None, count: int) -> str:
        if size is None or place not in size.regions or not size.spot:
            return "RestrictedSkuNotAvailable"
        if size.restricted.get(place) or (zone and zone not in size.regions[place]):
            return "RestrictedSkuNotAvailable"
        room = self._limits.room(place, size.name)
        if room is None or room >= 2 * count:
            return "High"
        return "Medium" if room >= count else "Low"


def _brief(name: str) -> dict[str, Any]:
    system, label, text, _script = COMMANDS[name]
    return {"$schema": SCHEMA, "id": name, "osType": system, "label": label, "description": text}
