# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The works of scale set operations: booting, removing and moving many machines at once.

Rows are written in batches: 1,000 recorded machines become Succeeded in a few transactions, booted ones as they come
up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError
from sandbox.arm.operations import PREEMPTED, Run
from sandbox.arm.store import Resource
from sandbox.clock import clock

from . import vm_disks
from .limits import INSTANCE, VMSS, Limits, allocation_failed
from .machines import Machines
from .shapes import Json

BATCH = 200
BATCH_SECONDS = 0.5


class Batch:
    """Changes of rows, written together: when there are enough of them, or when the first has waited long enough."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._changes: list[tuple[str, Callable[[Resource], None]]] = []
        self._since = 0.0

    def add(self, resource_id: str, change: Callable[[Resource], None]) -> None:
        if not self._changes:
            self._since = time.monotonic()
        self._changes.append((resource_id, change))
        if len(self._changes) >= BATCH or time.monotonic() - self._since > BATCH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is pending; rows that are gone meanwhile stay gone."""
        changes, self._changes = self._changes, []
        if not changes:
            return
        store = self._core.store
        with store.transaction():
            rows = []
            for resource_id, change in changes:
                row = store.get(resource_id)
                if row is not None:
                    change(row)
                    rows.append(row)
            store.put(*rows)


class ScaleSetWorks:
    """What the operations of scale sets and of their instances do."""

    def __init__(self, core: Core, limits: Limits, machines: Machines) -> None:
        self._core, self._limits, self._machines = core, limits, machines

    def register(self) -> None:
        operations = self._core.operations
        operations.register("compute.vmss.write", self.write, handles_faults=True)
        operations.register("compute.vmss.delete", self.delete)
        operations.register("compute.vmss.remove", self.remove_instances)
        operations.register("compute.vmss.power", self.power)
        operations.register("compute.vmss.rebuild", self.rebuild)
        operations.register("compute.vmss.touch", self.touch)
        self._core.on_group_delete(VMSS, 10, self.remove)

    def rows(self, scale_set_id: str, numbers: Iterable[int]) -> list[Resource]:
        found = (self._core.store.get(f"{scale_set_id}/virtualMachines/{number}") for number in numbers)
        return [row for row in found if row is not None]

    # PUT and PATCH of the scale set

    def write(self, run: Run) -> None:
        errors = self._create(run, run.args["create"])
        self._remove(self.rows(run.resource_id, run.args["remove"]))
        self.finish_write(run, errors[0] if errors else None)

    def _create(self, run: Run, numbers: list[int]) -> list[ArmError]:
        """Boot new instances. Those that fail stay, as Failed; answers why."""
        pending = [
            row for row in self.rows(run.resource_id, numbers) if row.properties["provisioningState"] == "Creating"
        ]
        if not pending:
            return []
        batch, errors = Batch(self._core), []
        lucky, unlucky = self._with_room(run, pending)
        for row, error in unlucky:
            errors.append(_with_target(error, row))
            batch.add(row.id, _failed(error, ""))
        batch.flush()
        network = self._core.service("network")
        for vnet in {row.internal["machine"]["vnet"] for row in lucky}:
            network.apply(vnet)

        def done(row: Resource, error: ArmError | None) -> None:
            if error is None:
                batch.add(row.id, _running)
            else:
                errors.append(_with_target(error, row))
                batch.add(row.id, _failed(error, "running" if error.code.startswith("OSProvisioning") else ""))

        self._machines.each(lucky, self._boot, done)
        batch.flush()
        return errors

    def _with_room(self, run: Run, rows: list[Resource]) -> tuple[list[Resource], list[tuple[Resource, ArmError]]]:
        """Divide new instances into those that get a machine and those that do not, with the reason."""
        if run.fault is not None:
            if run.fault.code.startswith("OSProvisioning"):
                for row in rows:
                    self._boot(row)
            return [], [(row, run.fault) for row in rows]
        first = rows[0]
        room = self._limits.room(first.body["location"], first.internal["machine"]["size"])
        if room is None or room >= len(rows):
            return rows, []
        return rows[:room], [(row, allocation_failed((row.body.get("zones") or [""])[0])) for row in rows[room:]]

    def _boot(self, row: Resource) -> None:
        """Boot one instance, unless it is to be deleted meanwhile: then nothing of it must stay."""
        if self._leaving(row.id):
            return
        self._machines.boot(row)
        if self._leaving(row.id):
            self._machines.act("delete", row)

    def _leaving(self, instance_id: str) -> bool:
        row = self._core.store.get(instance_id)
        return row is None or row.properties["provisioningState"] == "Deleting"

    def finish_write(self, run: Run, error: ArmError | None) -> None:
        """The scale set's state, unless a newer write has taken over: then this operation was preempted."""
        preempted = False

        def change(scale_set: Resource) -> None:
            nonlocal preempted
            preempted = scale_set.internal.get("write") != run.args["write"]
            if preempted or scale_set.properties["provisioningState"] == "Deleting":
                return
            scale_set.properties["provisioningState"] = "Failed" if error else "Succeeded"
            scale_set.internal["error"] = {"code": error.code, "message": error.message} if error else None
            scale_set.internal["since"] = clock.now()

        self._core.store.update(run.resource_id, change)
        if preempted:
            raise ArmError(409, PREEMPTED, "Operation execution has been preempted by a more recent operation.")
        if error is not None:
            raise error

    # removal

    def delete(self, run: Run) -> None:
        scale_set = self._core.store.get(run.resource_id)
        if scale_set is not None:
            self.remove(scale_set)

    def remove(self, scale_set: Resource) -> None:
        """The scale set with all its machines."""
        self._remove(self._core.store.list(INSTANCE, parent=scale_set.id))
        self._core.store.delete(scale_set.id)

    def remove_instances(self, run: Run) -> None:
        self._remove(self.rows(run.resource_id, run.args["instances"]))
        self._recount(run.resource_id)
        self._settle(run.resource_id)

    def _remove(self, rows: list[Resource]) -> None:
        """Machines, addresses, disks and rows of instances. Raises the first error of a machine after all were
        tried."""
        errors: list[ArmError] = []
        gone: list[Resource] = []
        batch = Batch(self._core)
        self._machines.farewell(rows)

        def done(row: Resource, error: ArmError | None) -> None:
            if error is None:
                gone.append(row)
                if len(gone) >= BATCH:
                    self._forget(gone)
                    gone.clear()
            else:
                errors.append(_with_target(error, row))
                batch.add(row.id, _stuck(error))

        self._machines.each(rows, lambda row: self._machines.act("delete", row), done)
        self._forget(gone)
        batch.flush()
        if errors:
            self._count_back(rows[0], len(errors))
        if errors:
            raise errors[0]

    def _count_back(self, row: Resource, count: int) -> None:
        """Machines that could not be deleted are part of the capacity again."""

        def change(scale_set: Resource) -> None:
            scale_set.body["sku"]["capacity"] += count

        if row.rid.parent is not None:
            self._core.store.update(row.rid.parent, change)

    def _forget(self, rows: list[Resource]) -> None:
        if not rows:
            return
        store, network = self._core.store, self._core.service("network")
        with store.transaction():
            network.release([owner for row in rows for owner in owners(row)])
            self._machines.forget(row.id for row in rows)
            for row in rows:
                if row.internal.get("own_disks"):
                    vm_disks.let_go(self._core, row)
            store.delete(*[row.id for row in rows])

    # power, model, tags

    def power(self, run: Run) -> None:
        """``start``, ``stop``, ``deallocate`` or ``restart`` instances."""
        method, after = run.args["method"], run.args["after"]
        batch, errors = Batch(self._core), []

        def done(row: Resource, error: ArmError | None) -> None:
            if error is None:
                batch.add(row.id, _powered(after))
            else:
                errors.append(_with_target(error, row))
                batch.add(row.id, _failed(error, ""))

        rows = [row for row in self.rows(run.resource_id, run.args["instances"]) if not _gone(row)]
        able = [row for row in rows if method and (method == "start" or row.internal.get("power"))]
        for row in rows:
            if row not in able:
                batch.add(row.id, _as_before)
        self._machines.each(able, lambda row: self._machines.act(method, row), done)
        batch.flush()
        self._recount(run.resource_id)
        self._settle(run.resource_id)
        if errors:
            raise errors[0]

    def rebuild(self, run: Run) -> None:
        """Make machines anew, from the present model or from their own; addresses stay."""
        scale_set = self._core.store.get(run.resource_id)
        if scale_set is None:
            return
        batch, errors = Batch(self._core), []
        rows = []
        for row in self.rows(run.resource_id, run.args["instances"]):
            if run.args.get("upgrade") and not self._upgraded(scale_set, row):
                batch.add(row.id, _as_before)
            elif not _gone(row):
                rows.append(row)

        def done(row: Resource, error: ArmError | None) -> None:
            if error is None:
                batch.add(row.id, _running)
            else:
                errors.append(_with_target(error, row))
                batch.add(row.id, _failed(error, ""))

        def again(row: Resource) -> None:
            self._machines.act("delete", row)
            self._boot(row)

        self._machines.each(rows, again, done)
        batch.flush()
        self._settle(run.resource_id)
        if errors:
            raise errors[0]

    def _upgraded(self, scale_set: Resource, row: Resource) -> bool:
        """Bring a row to the present model. True if its machine has to be made anew."""
        model = scale_set.internal["model"]
        if row.internal["model"] == model:
            return False
        profile = scale_set.properties["virtualMachineProfile"]
        name = scale_set.body["sku"]["name"]

        def change(found: Resource) -> None:
            found.internal["model"] = model
            found.internal["machine"]["size"] = name
            found.body["sku"]["name"] = name
            found.properties["hardwareProfile"]["vmSize"] = name
            storage = found.properties["storageProfile"]
            version = scale_set.internal["models"][str(model)].get("exact_version")
            reference = profile["storageProfile"].get("imageReference")
            if reference:
                storage["imageReference"] = {**reference, **({"exactVersion": version} if version else {})}

        before = scale_set.internal["models"][str(row.internal["model"])]
        after = scale_set.internal["models"][str(model)]
        self._core.store.update(row.id, change)
        row.internal["model"] = model
        return bool(before["image"] != after["image"] or before["exact_version"] != after["exact_version"])

    def touch(self, run: Run) -> None:
        """The end of a write to one instance that moves no machine."""

        def change(row: Resource) -> None:
            if not _gone(row):
                vm_disks.settle(row)
                row.properties["provisioningState"] = "Succeeded"

        self._core.store.update(run.resource_id, change)

    def _recount(self, scale_set_id: str) -> None:
        """Count the deallocated instances, which take no cores of the quota."""

        def change(scale_set: Resource) -> None:
            rows = self._core.store.list(INSTANCE, parent=scale_set.id)
            count = sum(row.internal.get("power") == "deallocated" and not _gone(row) for row in rows)
            scale_set.internal["deallocated"] = count

        scale_set = self._core.store.get(scale_set_id)
        if scale_set is not None:
            self._core.store.update(scale_set_id, change)

    def _settle(self, scale_set_id: str) -> None:
        """End the Updating of an action, if no write goes on."""

        def change(scale_set: Resource) -> None:
            busy = any(op.record["work"] == "compute.vmss.write" for op in self._core.operations.active(scale_set_id))
            if scale_set.properties["provisioningState"] == "Updating" and not busy:
                scale_set.properties["provisioningState"] = "Failed" if scale_set.internal.get("error") else "Succeeded"

        self._core.store.update(scale_set_id, change)


def owners(row: Resource) -> list[str]:
    """By what an instance's addresses were allocated: its ip configurations, and its public addresses."""
    found = []
    for entry in row.properties["networkProfileConfiguration"]["networkInterfaceConfigurations"]:
        for address in entry["properties"]["ipConfigurations"]:
            path = f"{row.id}/networkInterfaces/{entry['name']}/ipConfigurations/{address['name']}"
            public = address["properties"].get("publicIPAddressConfiguration")
            found += [path, *([f"{path}/publicIPAddresses/{public['name']}"] if public else [])]
    return found


def _gone(row: Resource) -> bool:
    return bool(row.properties["provisioningState"] == "Deleting")


def _with_target(error: ArmError, row: Resource) -> ArmError:
    """Azure names the instance in the error of a scale set's operation."""
    return ArmError(error.status, error.code, error.message, target=str(row.sort), details=error.details)


def _running(row: Resource) -> None:
    if not _gone(row):
        row.properties["provisioningState"] = "Succeeded"
    row.internal.update(power="running", agent=True, error=None, since=clock.now())


def _stuck(error: ArmError) -> Callable[[Resource], None]:
    """An instance whose deletion failed: it is there, and the next deletion may succeed."""

    def change(row: Resource) -> None:
        row.properties["provisioningState"] = "Failed"
        row.internal.update(error={"code": error.code, "message": error.message}, since=clock.now())

    return change


def _as_before(row: Resource) -> None:
    """The end of an action that had nothing to do for this instance."""
    if not _gone(row):
        row.properties["provisioningState"] = "Failed" if row.internal.get("error") else "Succeeded"


def _powered(power: str) -> Callable[[Resource], None]:
    def change(row: Resource) -> None:
        if not _gone(row):
            row.properties["provisioningState"] = "Succeeded"
        row.internal.update(since=clock.now(), error=None)
        if power:
            row.internal["power"] = power

    return change


def _failed(error: ArmError, power: str) -> Callable[[Resource], None]:
    shown: Json = {"code": error.code, "message": error.message}

    def change(row: Resource) -> None:
        if not _gone(row):
            row.properties["provisioningState"] = "Failed"
        row.internal.update(error=shown, since=clock.now())
        if power or not row.internal.get("power"):
            row.internal["power"] = power

    return change
