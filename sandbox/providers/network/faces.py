# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resources with ``frontendIPConfigurations``: the public addresses that these hold."""

from __future__ import annotations

from typing import Any

from sandbox.arm import ids
from sandbox.arm.errors import ArmError
from sandbox.arm.store import Resource
from sandbox.providers.network.base import NetworkType, reference, require_reference
from sandbox.providers.network.interfaces import forget


class FacedType(NetworkType):
    """Load balancers and application gateways: one public address has one holder."""

    def hold(self, entry: dict[str, Any]) -> None:
        """Give the configuration the public address that it refers to, or 400 PublicIPAddressInUse."""
        target = reference(entry["properties"].get("publicIPAddress"))
        if not target:
            return
        public = require_reference(self.core, target, entry["id"])
        holder = reference(public.properties.get("ipConfiguration"))
        if holder and ids.key(holder) != ids.key(entry["id"]):
            text = (
                f"Resource {entry['id']} is referencing public IP address {public.id} that is already allocated to "
                f"resource {holder}."
            )
            raise ArmError(400, "PublicIPAddressInUse", text, details=[])
        public.properties["ipConfiguration"] = {"id": entry["id"]}
        if "ipAddress" not in public.properties and public.properties["provisioningState"] == "Succeeded":
            public.properties["ipAddress"] = self.addresses.public(public.id)
        self.core.store.put(public)
        entry["properties"]["publicIPAddress"] = {"id": public.id}

    def release(self, entry: dict[str, Any]) -> None:
        """Take from the configuration all addresses that it has."""
        self.addresses.release([entry["id"]])
        public = reference(entry["properties"].get("publicIPAddress"))
        if public:
            self.core.store.update(public, lambda found: forget(found, "ipConfiguration"))

    def removed(self, resource: Resource) -> None:
        for entry in resource.properties["frontendIPConfigurations"]:
            self.release(entry)
