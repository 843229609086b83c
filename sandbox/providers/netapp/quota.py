# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much of Azure NetApp Files a subscription may have in a region, and free names and paths."""

from __future__ import annotations

from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.providers.common import normal

from .shapes import POOL, TIB, Json

CAPACITY = "totalTiBsPerSubscription"
LIMITS = {
    "accountsPerSubscription": 10,
    "poolsPerAccount": 25,
    "volumesPerPool": 500,
    CAPACITY: 25,
}
_HEAD = "/subscriptions/{subscription}/providers/Microsoft.NetApp/locations/{location}/quotaLimits"


def provisioned(core: Core, subscription: str, location: str) -> int:
    """TiB of all pools of a subscription in a region."""
    pools = core.store.list(POOL, subscription=subscription)
    return sum(int(one.properties["size"]) for one in pools if one.body["location"] == location) // TIB


def check_quota(core: Core, request: Request, size: int) -> None:
    """400 if another ``size`` TiB are more than the region gives the subscription."""
    location = normal(str(request.body["location"]))
    have = provisioned(core, request.subscription, location)
    if have + size > LIMITS[CAPACITY]:
        text = (
            f"The regional capacity quota of {LIMITS[CAPACITY]} TiB in '{location}' would be exceeded: {have} TiB are "
            f"provisioned and {size} TiB more were asked for."
        )
        raise ArmError(400, "QuotaExceeded", text)


class Quota:
    """quotaLimits."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def register(self) -> None:
        add = self._core.router.add
        kind = "Microsoft.NetApp/locations/quotaLimits"
        add("GET", _HEAD, self.all, type=kind)
        add("GET", f"{_HEAD}/{{name}}", self.one, type=kind)

    def all(self, request: Request) -> Answer:
        return Answer(200, {"value": [self._entry(request, name) for name in LIMITS]})

    def one(self, request: Request) -> Answer:
        name = next((one for one in LIMITS if one.lower() == request.params["name"].lower()), None)
        if name is None:
            raise ArmError(404, "ResourceNotFound", f"There is no quota limit '{request.params['name']}'.")
        return Answer(200, self._entry(request, name))

    def _entry(self, request: Request, name: str) -> Json:
        location = normal(request.params["location"])
        used = {"usage": provisioned(self._core, request.subscription, location)} if name == CAPACITY else {}
        head = f"/subscriptions/{request.subscription}/providers/Microsoft.NetApp/locations/{location}"
        return {
            "id": f"{head}/quotaLimits/{name}",
            "name": f"{location}/{name}",
            "type": "Microsoft.NetApp/locations/quotaLimits",
            "properties": {"current": LIMITS[name], "default": LIMITS[name], **used},
        }
