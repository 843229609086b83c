# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Microsoft.Compute offers: resource SKUs, VM sizes, quota usages, platform images."""

from __future__ import annotations

import re

from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request

from . import platform_images, sizes
from .limits import Limits

_HEAD = "/subscriptions/{subscription}/providers/Microsoft.Compute"
_IMAGES = _HEAD + "/locations/{location}/publishers"
_LOCATION = re.compile(r"location\s+eq\s+'([^']*)'", re.IGNORECASE)


class Catalogue:
    """Handlers of reads that depend on no resource."""

    def __init__(self, core: Core, limits: Limits) -> None:
        self._core, self._limits = core, limits

    def register(self) -> None:
        add = self._core.router.add
        add("GET", f"{_HEAD}/skus", self.skus, type="Microsoft.Compute/skus")
        add("GET", f"{_HEAD}/locations/{{location}}/vmSizes", self.vm_sizes, type="Microsoft.Compute/locations/vmSizes")
        add("GET", f"{_HEAD}/locations/{{location}}/usages", self.usages, type="Microsoft.Compute/locations/usages")
        images = "Microsoft.Compute/locations/publishers"
        offers = "{publisher}/artifacttypes/vmimage/offers"
        add("GET", _IMAGES, self.publishers, type=images)
        add("GET", f"{_IMAGES}/{offers}", self.offers, type=images)
        add("GET", f"{_IMAGES}/{offers}/{{offer}}/skus", self.image_skus, type=images)
        add("GET", f"{_IMAGES}/{offers}/{{offer}}/skus/{{sku}}/versions", self.versions, type=images)
        add("GET", f"{_IMAGES}/{offers}/{{offer}}/skus/{{sku}}/versions/{{version}}", self.version, type=images)

    def skus(self, request: Request) -> Answer:
        """``$filter=location eq 'x'`` is the only filter there is."""
        wanted = request.query.get("$filter", "")
        found = _LOCATION.search(wanted)
        if wanted and not found:
            raise ArmError(400, "BadRequest", f"The filter '{wanted}' is not supported: use location eq 'name'.")
        # Versions before 2021-07-01 write this one name with a capital.
        zone_key = "name" if request.api_version >= "2021-07-01" else "Name"
        return Answer(200, {"value": sizes.skus(found.group(1) if found else "", zone_key=zone_key)})

    def _place(self, request: Request) -> str:
        place = sizes.normal_location(request.params["location"])
        if place not in sizes.regions():
            known = ",".join(sizes.regions())
            message = (
                f"The provided location '{place}' is not available for resource type. List of available regions for "
                "the "
                f"resource type is '{known}'."
            )
            raise ArmError(400, "NoRegisteredProviderFound", message)
        return place

    def vm_sizes(self, request: Request) -> Answer:
        return Answer(200, {"value": sizes.vm_sizes(self._place(request))})

    def usages(self, request: Request) -> Answer:
        return Answer(200, {"value": self._limits.usages(request.subscription, self._place(request))})

    def publishers(self, request: Request) -> Answer:
        return Answer(200, platform_images.publishers(request.subscription, self._place(request)))

    def offers(self, request: Request) -> Answer:
        params = request.params
        return Answer(200, platform_images.offers(request.subscription, self._place(request), params["publisher"]))

    def image_skus(self, request: Request) -> Answer:
        params = request.params
        return Answer(
            200,
            platform_images.skus(request.subscription, self._place(request), params["publisher"], params["offer"]),
        )

    def versions(self, request: Request) -> Answer:
        params, query = request.params, request.query
        top = query.get("$top", "")
        found = platform_images.versions(
            request.subscription,
            self._place(request),
            params["publisher"],
            params["offer"],
            params["sku"],
            top=int(top) if top.isdigit() else 0,
            descending="desc" in query.get("$orderby", "").lower(),
        )
        expand = query.get("$expand", "").lower()
        image = platform_images.find(params["publisher"], params["offer"], params["sku"])
        if "properties" in expand and image is not None:
            told = "imagedeprecationstatus" in expand
            found = [platform_images.brief(entry, image, deprecation=told) for entry in found]
        return Answer(200, found)

    def version(self, request: Request) -> Answer:
        params = request.params
        body = platform_images.version(
            request.subscription,
            self._place(request),
            params["publisher"],
            params["offer"],
            params["sku"],
            params["version"],
        )
        return Answer(200, body)
