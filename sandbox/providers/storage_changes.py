# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What storage accounts become: hierarchical by ``hnsonmigration``, at home in the other region by ``failover``."""

from __future__ import annotations

import json
from typing import Any

from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import Run
from sandbox.arm.store import Resource
from sandbox.providers import storage_checks, storage_shapes
from sandbox.providers.storage import STYLE, TYPE

KINDS = ("HnsOnValidationRequest", "HnsOnHydrationRequest")
SECONDS = 60.0


class Changes:
    """The actions of an account."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def begin(self, request: Request) -> Answer:
        """``HnsOnValidationRequest`` looks whether it can be done, ``HnsOnHydrationRequest`` does it."""
        account, kind = self._core.require(request.id), request.query.get("requestType", "")
        if kind not in KINDS:
            text = "Values for request parameters are invalid: requestType."
            raise ArmError(400, "InvalidValuesForRequestParameters", text, target="requestType")
        if account.body["kind"] not in storage_checks.HIERARCHICAL or account.properties.get("isHnsEnabled"):
            raise storage_checks.not_allowed("isHnsEnabled")
        return self._core.operations.begin(
            request,
            "storage.hns",
            account.id,
            style=STYLE,
            latency=SECONDS,
            location=account.body["location"],
            args={"kind": kind},
        )

    def hns_work(self, run: Run) -> Any:
        def enable(account: Resource) -> None:
            account.properties["isHnsEnabled"] = True

        if run.args["kind"] == KINDS[1]:
            self._core.store.update(run.resource_id, enable)
        return {
            "status": "Succeeded",
            "properties": json.dumps(
                {"HnsOnMigrationRequestType": KINDS.index(run.args["kind"])}, separators=(",", ":")
            ),
        }

    def abort(self, request: Request) -> Answer:
        """What runs is over in a minute and is not stopped: there is never anything to abort."""
        account = self._core.require(request.id)
        text = f"Hns migration for the account: {account.body['name']} is not found."
        raise ArmError(400, "HnsMigrationNotFound", text)

    def failover(self, request: Request) -> Answer:
        """The copy becomes the account, which has no copy from then on; a planned one exchanges the two."""
        account = self._core.require(request.id)
        if not account.properties.get("secondaryLocation"):
            text = "Failover is not supported for the account: it has no secondary region."
            raise ArmError(400, "FeatureNotSupportedForAccount", text)
        planned = request.query.get("failoverType", "").lower() == "planned"
        return self._core.operations.begin(
            request,
            "storage.failover",
            account.id,
            style=STYLE,
            headers="location",
            latency=SECONDS,
            location=account.body["location"],
            args={"planned": planned},
        )

    def failover_work(self, run: Run) -> None:
        def swap(account: Resource) -> None:
            properties = account.properties
            there = properties.get("secondaryLocation") or account.body["location"]
            properties["primaryLocation"] = account.body["location"] = there
            if not run.args["planned"]:
                kind = "Standard_ZRS" if "GZ" in account.body["sku"]["name"] else "Standard_LRS"
                account.body["sku"] = {**account.body["sku"], "name": kind}
            storage_shapes.derive(account.body, properties, properties["creationTime"])

        self._core.store.update(run.resource_id, swap)


def register(core: Core) -> None:
    changes = Changes(core)
    core.operations.register("storage.hns", changes.hns_work)
    core.operations.register("storage.failover", changes.failover_work)
    core.router.action(TYPE, "hnsonmigration", changes.begin)
    core.router.action(TYPE, "aborthnsonmigration", changes.abort)
    core.router.action(TYPE, "failover", changes.failover)
