# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""File shares of storage accounts: sizes, protocols, and when they may get smaller. SMB shares are rows only."""

from __future__ import annotations

import re
from typing import Any

from sandbox.arm import ids, shapes
from sandbox.arm.core import Core, new_guid
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import stamp
from sandbox.arm.store import Resource
from sandbox.clock import clock
from sandbox.providers.storage import account_of
from sandbox.providers.storage_endpoints import SHARES, Endpoints
from sandbox.providers.storage_shapes import SERVICES

SHAPE = {"properties": {"shareQuota": int, "enabledProtocols": str, "rootSquash": str, "accessTier": str}}
NAME = re.compile(r"(?=.{3,63}$)[a-z0-9]+(?:-[a-z0-9]+)*")
PREMIUM_MIN, STANDARD_DEFAULT, MOST = 100, 5120, 102400
# Of an account of kind FileStorage, all shares together, in GiB.
ACCOUNT_MOST = 102400
DOWNGRADE_SECONDS = 86400.0
PROTOCOLS, SQUASHES = ("SMB", "NFS"), ("NoRootSquash", "RootSquash", "AllSquash")


class Shares:
    """Handlers of shares."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._endpoints = Endpoints(core)

    def put(self, request: Request) -> Answer:
        answer = self._put(request)
        self._endpoints.follow(self._account(request.id).id)
        return answer

    def _put(self, request: Request) -> Answer:
        request.body = shapes.read(request.body or {}, SHAPE)
        with self._core.store.transaction():
            account = self._account(request.id)
            if not NAME.fullmatch(request.id.name):
                raise ArmError(400, "InvalidResourceName", f"'{request.id.name}' is not a valid share name.")
            known = self._core.store.get(request.id)
            given = request.body.get("properties") or {}
            if known is not None:
                self._change(account, known, given)
                return Answer(200, _shown(known, read=False))
            resource = self._made(account, request.id, given)
            self._core.store.put(resource)
            return Answer(201, _shown(resource, read=False))

    def _made(self, account: Resource, rid: ids.ResourceId, given: dict[str, Any]) -> Resource:
        premium = account.body["kind"] == "FileStorage"
        protocol = given.get("enabledProtocols") or "SMB"
        squash = given.get("rootSquash")
        if protocol not in PROTOCOLS or (protocol == "NFS" and not premium) or squash not in (None, *SQUASHES):
            raise _bad_header()
        quota = int(given.get("shareQuota") or (PREMIUM_MIN if premium else STANDARD_DEFAULT))
        self._check_quota(account, rid, quota)
        properties = {
            "accessTier": "Premium" if premium else given.get("accessTier", "TransactionOptimized"),
            "shareQuota": quota,
            "enabledProtocols": protocol,
            **({"rootSquash": squash or "NoRootSquash"} if protocol == "NFS" else {}),
            "leaseStatus": "unlocked",
            "leaseState": "available",
            "lastModifiedTime": _time(clock.now()),
        }
        name = f"{account.id}/fileServices/default/shares/{rid.name}"
        body = {"id": name, "name": rid.name, "type": SHARES, "etag": _etag(), "properties": properties}
        return Resource(name, body, {"grown": clock.now()})

    def patch(self, request: Request) -> Answer:
        request.body = shapes.read(request.body or {}, SHAPE)
        with self._core.store.transaction():
            account, known = self._account(request.id), self._known(request.id)
            self._change(account, known, request.body.get("properties") or {})
            return Answer(200, _shown(known, read=False))

    def _change(self, account: Resource, known: Resource, given: dict[str, Any]) -> None:
        if given.get("enabledProtocols", known.properties["enabledProtocols"]) != known.properties["enabledProtocols"]:
            raise _bad_header()
        squash = given.get("rootSquash")
        if squash is not None and (squash not in SQUASHES or known.properties["enabledProtocols"] != "NFS"):
            raise _bad_header()
        quota, have = int(given.get("shareQuota") or known.properties["shareQuota"]), known.properties["shareQuota"]
        self._check_quota(account, known.rid, quota)
        if quota < have and account.body["kind"] == "FileStorage":
            if clock.now() < known.internal["grown"] + DOWNGRADE_SECONDS:
                text = (
                    "Cannot downgrade quota at this moment. Please check share properties for the next allowed quota "
                    "downgrade time."
                )
                raise ArmError(409, "ContainerQuotaDowngradeNotAllowed", text)
        elif quota > have:
            known.internal["grown"] = clock.now()
        known.properties.update(shareQuota=quota, lastModifiedTime=_time(clock.now()))
        if squash is not None:
            known.properties["rootSquash"] = squash
        known.body["etag"] = _etag()
        self._core.store.put(known)

    def _check_quota(self, account: Resource, rid: ids.ResourceId, quota: int) -> None:
        premium = account.body["kind"] == "FileStorage"
        if not (PREMIUM_MIN if premium else 1) <= quota <= MOST:
            raise _bad_header()
        siblings = self._core.store.list(SHARES, parent=f"{account.id}/fileServices/default")
        others = sum(one.properties["shareQuota"] for one in siblings if ids.key(one.id) != rid.key)
        if premium and others + quota > ACCOUNT_MOST:
            text = "The total shares' provisioned capacity has exceeded the account maximum size limit."
            raise ArmError(409, "TotalSharesProvisionedCapacityExceedsAccountLimit", text)

    def get(self, request: Request) -> Answer:
        self._account(request.id)
        return Answer(200, _shown(self._known(request.id), read=True))

    def list(self, request: Request) -> Answer:
        account = self._account(request.id)
        found = self._core.store.list(SHARES, parent=f"{account.id}/fileServices/default")
        return Answer(200, {"value": [_shown(one, read=True) for one in found]})

    def delete(self, request: Request) -> Answer:
        with self._core.store.transaction():
            account = self._account(request.id)
            known = self._core.store.get(request.id)
            self._core.store.delete(request.id)
        self._endpoints.follow(account.id)
        return Answer(200 if known else 204)

    def _account(self, rid: ids.ResourceId) -> Resource:
        account = account_of(self._core, rid)
        if "file" not in SERVICES[account.body["kind"]]:
            raise ArmError(400, "FeatureNotSupportedForAccount", "File is not supported for the account.")
        return account

    def _known(self, rid: ids.ResourceId) -> Resource:
        found = self._core.store.get(rid)
        if found is None:
            raise ArmError(404, "ShareNotFound", "The specified share does not exist.")
        return found


def _bad_header() -> ArmError:
    text = "The value for one of the HTTP headers is not in the correct format."
    return ArmError(400, "InvalidHeaderValue", text)


def _shown(share: Resource, *, read: bool) -> dict[str, Any]:
    """The body; the answers to writes leave out what only a look tells."""
    if not read:
        kept = ("shareQuota", "enabledProtocols", "rootSquash", "accessTier")
        return {**share.body, "properties": {key: share.properties[key] for key in kept if key in share.properties}}
    return share.body


def _etag() -> str:
    return f'"0x8{new_guid().replace("-", "")[:14].upper()}"'


def _time(seconds: float) -> str:
    return stamp(seconds)[:19] + "Z"


def register(core: Core) -> None:
    shares = Shares(core)
    core.router.resource(
        SHARES, get=shares.get, put=shares.put, patch=shares.patch, delete=shares.delete, list=shares.list
    )
