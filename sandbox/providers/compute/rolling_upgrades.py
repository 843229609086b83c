# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rolling upgrades of scale sets: of the operating system or of extensions, their progress, and their end.

The scale set keeps the latest one in ``internal["rolling"]``. Instances are upgraded as by ``manualupgrade``.
"""

from __future__ import annotations

from functools import partial

from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError
from sandbox.arm.messages import Answer, Request
from sandbox.arm.operations import COMPUTE, Run, stamp
from sandbox.arm.router import GROUP
from sandbox.arm.store import Resource
from sandbox.clock import clock

from .limits import INSTANCE, VMSS
from .scale_set_works import ScaleSetWorks
from .shapes import Json, refuse_while_deleting

_POLICY = {
    "maxBatchInstancePercent": 20,
    "maxUnhealthyInstancePercent": 20,
    "maxUnhealthyUpgradedInstancePercent": 20,
    "pauseTimeBetweenBatches": "PT0S",
    "maxSurge": False,
    "rollbackFailedInstancesOnPolicyBreach": False,
}


class RollingUpgrades:
    """Handlers of the actions ``osRollingUpgrade``, ``extensionRollingUpgrade`` and ``rollingUpgrades``."""

    def __init__(self, core: Core, works: ScaleSetWorks) -> None:
        self._core, self._works = core, works

    def register(self) -> None:
        router = self._core.router
        for action, system in (("osRollingUpgrade", True), ("extensionRollingUpgrade", False)):
            router.action(VMSS, action, partial(self.start, system))
        head = f"{GROUP}/providers/{VMSS}/{{name}}/rollingUpgrades"
        router.add("POST", f"{head}/cancel", self.cancel, type=f"{VMSS}/rollingUpgrades")
        router.add("GET", f"{head}/latest", self.latest, type=f"{VMSS}/rollingUpgrades")
        self._core.operations.register("compute.vmss.rolling", self.work)
        self._core.operations.register("compute.vmss.rolling.cancel", self.work_cancel)

    def start(self, system: bool, request: Request) -> Answer:
        with self._core.store.transaction():
            scale_set = self._core.require(request.id)
            refuse_while_deleting(scale_set.body)
            if scale_set.internal.get("rolling", {}).get("code") == "RollingForward":
                message = f"A rolling upgrade of the scale set '{scale_set.rid.name}' is in progress already."
                raise ArmError(409, "OperationNotAllowed", message)
            rows = self._core.store.list(INSTANCE, parent=scale_set.id)
            scale_set.internal["rolling"] = _progress("Start", "RollingForward", clock.now(), waiting=len(rows))
            self._core.store.put(scale_set)
            return self._core.operations.begin(
                request, "compute.vmss.rolling", scale_set.id, style=COMPUTE, location=scale_set.body["location"],
                latency=120, args={"instances": [row.sort for row in rows], "upgrade": True, "system": system},
            )  # fmt: skip

    def _named(self, request: Request) -> Resource:
        group = f"/subscriptions/{request.subscription}/resourceGroups/{request.group}"
        return self._core.require(f"{group}/providers/{VMSS}/{request.params['name']}")

    def latest(self, request: Request) -> Answer:
        scale_set = self._named(request)
        rolling = scale_set.internal.get("rolling")
        if rolling is None:
            raise ArmError(404, "NotFound", f"The scale set '{scale_set.rid.name}' had no rolling upgrade yet.")
        given = scale_set.properties.get("upgradePolicy", {}).get("rollingUpgradePolicy") or {}
        status = {key: rolling[key] for key in ("lastAction", "lastActionTime", "code", "startTime")}
        body = {
            "type": f"{VMSS}/rollingUpgrades",
            "location": scale_set.body["location"],
            "properties": {
                "policy": {**_POLICY, **given},
                "runningStatus": status,
                "progress": {f"{name}InstanceCount": count for name, count in rolling["counts"].items()},
            },
        }
        return Answer(200, body)

    def cancel(self, request: Request) -> Answer:
        """Stop the upgrade that is in progress; 409 if none is."""
        with self._core.store.transaction():
            scale_set = self._named(request)
            if scale_set.internal.get("rolling", {}).get("code") != "RollingForward":
                raise ArmError(409, "OperationNotAllowed", "There is no ongoing Rolling Upgrade to cancel.")
            location = scale_set.body["location"]
            return self._core.operations.begin(
                request, "compute.vmss.rolling.cancel", scale_set.id, style=COMPUTE, location=location, latency=1
            )

    def work(self, run: Run) -> None:
        scale_set = self._core.store.get(run.resource_id)
        if scale_set is None or scale_set.internal["rolling"]["code"] == "Cancelled":
            return
        if run.args["system"]:
            self._works.rebuild(run)
        self._end(run.resource_id, "Completed")

    def work_cancel(self, run: Run) -> None:
        self._end(run.resource_id, "Cancelled")

    def _end(self, scale_set_id: str, code: str) -> None:
        def change(scale_set: Resource) -> None:
            rolling = scale_set.internal["rolling"]
            if rolling["code"] != "RollingForward":
                return
            counts = rolling["counts"]
            if code == "Completed":
                counts["successful"] += counts["inProgress"] + counts["pending"]
            counts["inProgress"] = counts["pending"] = 0
            last = "Cancel" if code == "Cancelled" else rolling["lastAction"]
            rolling.update(code=code, lastAction=last, lastActionTime=stamp(clock.now()))

        self._core.store.update(scale_set_id, change)


def _progress(action: str, code: str, now: float, *, waiting: int) -> Json:
    first = min(waiting, max(waiting // 5, 1))
    counts = {"successful": 0, "failed": 0, "inProgress": first, "pending": waiting - first}
    return {"lastAction": action, "lastActionTime": stamp(now), "code": code, "startTime": stamp(now), "counts": counts}
