# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network interfaces and public addresses of the instances of Uniform scale sets. Those of Flexible ones are resources.

A public address of an instance is kept and shown; where machines are booted it leads nowhere.
"""

from __future__ import annotations

from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.paging import paged
from sandbox.arm.store import Resource

from . import instance_shape
from .limits import INSTANCE, VMSS
from .shapes import Json

SCALE_SET = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachineScaleSets"
PAGE = 100


class InstanceNics:
    """Handlers of reads below a scale set, whatever the namespace of the client's library."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def register(self) -> None:
        for namespace in ("Microsoft.Compute", "Microsoft.Network"):
            head = SCALE_SET.replace("Microsoft.Compute", namespace) + "/{name}"
            nics = f"{head}/virtualMachines/{{instance}}/networkInterfaces"
            configurations = f"{nics}/{{nic}}/ipConfigurations"
            addresses = f"{configurations}/{{configuration}}/publicIPAddresses"
            for path, handler in (
                (f"{head}/networkInterfaces", self.nics),
                (f"{head}/publicIPAddresses", self.public_addresses),
                (nics, self.nics),
                (f"{nics}/{{nic}}", self.nic),
                (configurations, self.configurations),
                (f"{configurations}/{{configuration}}", self.configuration),
                (addresses, self.public_addresses),
                (f"{addresses}/{{address}}", self.public_address),
            ):
                self._core.router.add("GET", path, handler)

    def _scale_set(self, request: Request) -> Resource:
        group = f"/subscriptions/{request.subscription}/resourceGroups/{request.group}"
        return self._core.require(f"{group}/providers/{VMSS}/{request.params['name']}")

    def _instance(self, request: Request) -> Resource:
        return self._core.require(f"{self._scale_set(request).id}/virtualMachines/{request.params['instance']}")

    def nics(self, request: Request) -> Answer:
        """Network interfaces of a scale set or of one of its instances."""
        if "instance" in request.params:
            return Answer(200, {"value": _nics(self._instance(request))})
        scale_set = self._scale_set(request)
        return paged(request, lambda offset, limit: self._below(scale_set, offset, limit), PAGE)

    def _below(self, scale_set: Resource, offset: int, limit: int) -> list[Json]:
        profile = (scale_set.properties.get("virtualMachineProfile") or {}).get("networkProfile") or {}
        if len(profile.get("networkInterfaceConfigurations") or []) == 1:
            rows = self._core.store.list(INSTANCE, parent=scale_set.id, offset=offset, limit=limit)
            return [nic for row in rows for nic in _nics(row)]
        every = [nic for row in self._core.store.list(INSTANCE, parent=scale_set.id) for nic in _nics(row)]
        return every[offset : offset + limit]

    def nic(self, request: Request) -> Answer:
        nic = self._nic(request)
        return Answer(200, nic, {"ETag": nic["etag"]})

    def _nic(self, request: Request) -> Json:
        row = self._instance(request)
        return _named(_nics(row), request.params["nic"], f"{row.id}/networkInterfaces")

    def configurations(self, request: Request) -> Answer:
        return Answer(200, {"value": self._nic(request)["properties"]["ipConfigurations"]})

    def configuration(self, request: Request) -> Answer:
        nic = self._nic(request)
        entries = nic["properties"]["ipConfigurations"]
        return Answer(200, _named(entries, request.params["configuration"], f"{nic['id']}/ipConfigurations"))

    def public_addresses(self, request: Request) -> Answer:
        """Those of a scale set, or of one ip configuration."""
        if "instance" in request.params:
            return Answer(200, {"value": self._of_configuration(request)})
        rows = self._core.store.list(INSTANCE, parent=self._scale_set(request).id)
        every = [one for row in rows for one in _addresses(row)]
        return paged(request, lambda offset, limit: every[offset : offset + limit], PAGE)

    def _of_configuration(self, request: Request) -> list[Json]:
        row, names = self._instance(request), request.params
        head = f"{row.id}/networkInterfaces/{names['nic']}/ipConfigurations/{names['configuration']}/".lower()
        return [one for one in _addresses(row) if one["id"].lower().startswith(head)]

    def public_address(self, request: Request) -> Answer:
        found = _named(self._of_configuration(request), request.params["address"], request.path.rpartition("/")[0])
        return Answer(200, found, {"ETag": found["etag"]})


def _nics(row: Resource) -> list[Json]:
    return [instance_shape.nic_body(row.body, nic) for nic in row.internal["nics"]]


def _addresses(row: Resource) -> list[Json]:
    return [one for nic in row.internal["nics"] for one in instance_shape.public_bodies(row.body, nic)]


def _named(entries: list[Json], name: str, collection: str) -> Json:
    """The entry of that name, in any case; 404 NotFound as the network provider words it."""
    for entry in entries:
        if entry["name"].lower() == name.lower():
            return entry
    raise ArmError(404, "NotFound", f"Resource {collection}/{name} not found.", details=[])
