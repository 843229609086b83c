# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Managed Lustre file systems: make, change, grow, delete, look."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import lustre_documents as documents
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import lustre_subnets
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import (
    NOT_FOUND,
    AzureError,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.reconcile import (
    Outcome,
    Target,
    Write,
    apply,
    plan,
    removals,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.resources import Difference, Json, merged
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import Session
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.typed import TypedClients
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import lustre
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.lustre import LustreError, Sku

# For lists, which go over the session; what is built goes through the typed client and its version.
VERSION = "2026-01-01"
# Seconds between looks at a file system that is on its way.
INTERVAL = 15.0


def lustre_id(session: Session, group: str, name: str) -> str:
    """The resource id of a file system."""
    return session.resource_path(group, documents.KIND, name)


def ensure(session: Session, options: t.Mapping[str, t.Any], check: bool) -> tuple[Outcome, list[str]]:
    """Make the file system of a module's ``options`` exist as they say; the warnings. Raises AzureError."""
    documents.check_options(options)
    clients, wanted = TypedClients(session), lustre_id(session, options["resource_group"], options["name"])
    actual = clients.find(wanted)
    if actual is None:
        return _create(session, clients, wanted, options, check)
    actual = _settled(clients, wanted, actual, options, check)
    capacity = _same_capacity(session, options, actual)
    documents.refuse_fixed(options, capacity, actual)
    known = {wanted.casefold(): actual}
    writes = plan([Target(wanted, documents.changeable(options), options.get("tags"), update="PATCH")], known)
    if writes and documents.state_of(actual) not in documents.SETTLED and not check:
        raise AzureError(f"{options['name']} is {documents.state_of(actual)}: {_later(options)}", code="FileSystemBusy")
    outcome = apply(clients, writes, known, check, wait=options["wait"])
    warnings: list[str] = []
    if capacity is not None and capacity > documents.capacity_of(actual):
        outcome, warnings = _grow(session, clients, wanted, outcome, capacity, options, check)
    if writes and options["wait"] and not check:
        outcome = Outcome(outcome.writes, {wanted.casefold(): clients.get(wanted)})
    return outcome, warnings


def remove(session: Session, options: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Delete the file system, if the options confirm it by its name; raises AzureError."""
    clients, wanted = TypedClients(session), lustre_id(session, options["resource_group"], options["name"])
    actual = clients.find(wanted)
    known = {wanted.casefold(): actual} if actual is not None else {}
    if actual is None:
        return Outcome((), {})
    if options.get("confirm") != options["name"]:
        text = (
            f"this deletes the file system {options['name']} with {documents.capacity_of(actual)} TiB and everything "
            "in it that was not "
            f"exported to a container. If you mean it: confirm: {options['name']}"
        )
        raise AzureError(text, code="ConfirmationMissing")
    if documents.state_of(actual) == "Deleting":
        if options["wait"] and not check:
            _await_end(clients, wanted, options)
        return Outcome((), {} if options["wait"] else known)
    return apply(clients, removals([[wanted]], known), known, check, wait=options["wait"])


def look(session: Session, options: t.Mapping[str, t.Any]) -> list[Json]:
    """The file systems of a resource group (or one of them, or of the whole subscription), as `documents.summary`.

    With ``wait`` it comes back after so many seconds at most, sooner when all have settled.
    """
    deadline = time.monotonic() + float(options.get("wait") or 0)
    while True:
        found = _read(session, options)
        left = deadline - time.monotonic()
        if left <= 0 or all(documents.state_of(one) in documents.SETTLED for one in found):
            return [documents.summary(one, time.time()) for one in found]
        session.sleep(min(INTERVAL, left))


def _read(session: Session, options: t.Mapping[str, t.Any]) -> list[Json]:
    group, name = options.get("resource_group"), options.get("name")
    if group and name:
        one = TypedClients(session).find(lustre_id(session, group, name))
        return [one] if one is not None else []
    head = session.group_path(group) if group else f"/subscriptions/{session.subscription_id}"
    try:
        found = session.listing(f"{head}/providers/{documents.KIND}", VERSION, "list the Lustre file systems")
    except AzureError as error:
        if error.kind != NOT_FOUND:
            raise
        found = []  # there is no such group yet
    return sorted(found, key=lambda one: str(one.get("id", "")).lower())


def skus(session: Session, location: str) -> dict[str, Sku]:
    """What a location offers this subscription, by name."""
    path = f"/subscriptions/{session.subscription_id}/providers/Microsoft.StorageCache/skus"
    return lustre.offered(session.listing(path, VERSION, "list the kinds of Lustre file systems"), location)


def offers(session: Session, location: str) -> Json:
    """The same for a module's result: throughput (MB/s per TiB), sizes (TiB)."""
    found = skus(session, location)
    return {name: {**dataclasses.asdict(sku), "sizes": sku.sizes()} for name, sku in sorted(found.items())}


def usage(session: Session, location: str) -> Json:
    """How many file systems the subscription has in a location, and may have."""
    path = f"/subscriptions/{session.subscription_id}/providers/Microsoft.StorageCache/locations/{location}/usages"
    for row in session.listing(path, VERSION, "read the quota of Lustre file systems"):
        if (row.get("name") or {}).get("value") == "AmlFilesystem":
            return {"used": row.get("currentValue", 0), "limit": row.get("limit", 0)}
    return {}


def _create(
    session: Session, clients: TypedClients, wanted: str, options: t.Mapping[str, t.Any], check: bool
) -> tuple[Outcome, list[str]]:
    missing = [name for name in documents.NEEDED if not options.get(name)]
    if missing:
        text = f"the file system {options['name']} does not exist, and to make it these options are missing: "
        text += ", ".join(missing)
        raise AzureError(text, code="MissingOptions")
    sku, capacity, warnings = _size(session, options)
    lustre_subnets.check(session, clients, sku, capacity, options, check)
    window = {"maintenance_window": options.get("maintenance_window") or {"day": "Friday", "time": "22:00"}}
    body = merged(documents.fixed(options, capacity), documents.changeable({**options, **window}))
    body["sku"] = {"name": sku.name}
    writes = plan([Target(wanted, body, options.get("tags"))], {})
    try:
        outcome = apply(clients, writes, {}, check, wait=options["wait"])
    except AzureError as error:
        raise _with_advice(clients, wanted, error) from error
    if options["wait"] and not check:
        return Outcome(outcome.writes, {wanted.casefold(): clients.get(wanted)}), warnings
    return outcome, warnings


def _size(session: Session, options: t.Mapping[str, t.Any]) -> tuple[Sku, int, list[str]]:
    """The kind and the legal size that is asked for, held against what the location offers; raises AzureError."""
    there = skus(session, options["location"])
    try:
        sku = lustre.sku_named(options["sku"], there)
        capacity = lustre.capacity(sku, float(options["capacity_tib"]), options["capacity_rounding"], there)
    except LustreError as error:
        raise AzureError(str(error), code="InvalidCapacity") from error
    warnings = []
    if capacity != options["capacity_tib"]:
        warnings.append(
            f"{options['name']} gets {capacity} TiB, the next size of {sku.name} from {options['capacity_tib']:g}"
        )
    if capacity > sku.maximum:
        warnings.append(
            f"{capacity} TiB of {sku.name} are made only where Microsoft has agreed to more than {sku.maximum}"
        )
    return sku, capacity, warnings


def _same_capacity(session: Session, options: t.Mapping[str, t.Any], actual: Json) -> int | None:
    """The size that is asked for of a file system that exists; None if none is. Raises AzureError for less than it
    has."""
    if options.get("capacity_tib") is None:
        return None
    have, asked = documents.capacity_of(actual), float(options["capacity_tib"])
    if asked == have:
        return have
    names = {"location": actual.get("location", ""), "sku": (actual.get("sku") or {}).get("name", "")}
    capacity = _size(session, {**options, **names})[1]
    if capacity < have:
        text = f"{options['name']} has {have} TiB and never gets smaller: {capacity} TiB would be another file system"
        raise AzureError(text, code="PropertyChangeNotAllowed")
    return capacity


def _settled(clients: TypedClients, wanted: str, actual: Json, options: t.Mapping[str, t.Any], check: bool) -> Json:
    """The file system once it is neither being made nor changed, if that is waited for; raises AzureError for a
    half-made one."""
    if options["wait"] and not check:
        actual = _await(clients, wanted, actual, options["wait_timeout"])
    state = documents.state_of(actual)
    trouble = documents.problems(actual, time.time())
    if state in ("Failed", "Canceled"):
        raise AzureError(trouble[0], code="FileSystemFailed", target=wanted)
    if state == "Deleting":
        text = f"{options['name']} is being deleted: wait until it is gone, or choose another name"
        raise AzureError(text, code="FileSystemBusy", target=wanted)
    if state == "Creating" and trouble:
        raise AzureError(trouble[0], code="FileSystemStuck", target=wanted)
    return actual


def _await(clients: TypedClients, wanted: str, actual: Json, timeout: float) -> Json:
    deadline = time.monotonic() + timeout
    while documents.state_of(actual) not in (*documents.SETTLED, "Deleting"):
        if documents.problems(actual, time.time()):
            return actual
        if time.monotonic() > deadline:
            text = f"{documents.progress(actual, time.time())}: not finished after {timeout:g} seconds of waiting"
            raise AzureError(
                f"{text}; Azure goes on, run it again to go on waiting", code="ClientTimeout", target=wanted
            )
        clients.sleep(INTERVAL)
        actual = clients.get(wanted)
    return actual


def _await_end(clients: TypedClients, wanted: str, options: t.Mapping[str, t.Any]) -> None:
    deadline = time.monotonic() + options["wait_timeout"]
    while clients.find(wanted) is not None:
        if time.monotonic() > deadline:
            raise AzureError(f"{options['name']} is still being deleted", code="ClientTimeout", target=wanted)
        clients.sleep(INTERVAL)


def _later(options: t.Mapping[str, t.Any]) -> str:
    return "what differs can be changed when that is over" + (
        "" if options["wait"] else "; with wait: true it is waited for"
    )


def _with_advice(clients: TypedClients, wanted: str, error: AzureError) -> AzureError:
    """The error of a creation, with what it left behind and what to do about that."""
    if not error.code or error.kind == NOT_FOUND:
        return error
    left = clients.find(wanted)
    advice = documents.problems(left, time.time()) if left is not None else []
    if not advice:
        return error
    details = tuple(error.details)
    return AzureError(
        f"{error.message} {advice[0]}", error.code, error.request_id, error.status, error.target, details, error.doing
    )


def _grow(
    session: Session,
    clients: TypedClients,
    wanted: str,
    outcome: Outcome,
    capacity: int,
    options: t.Mapping[str, t.Any],
    check: bool,
) -> tuple[Outcome, list[str]]:
    """Start (unless it runs already) the job that adds storage, and wait for its end. Warns of one that has failed:
    who did not wait for it has not heard of that.
    """
    actual = outcome.resource(wanted)
    have, name = documents.capacity_of(actual), f"to-{capacity}-tib"
    jobs = session.listing(f"{wanted}/expansionJobs", VERSION, "list the jobs that add storage")
    going = [one for one in jobs if _job_state(one) in ("InProgress", "RollingBack", "Deleting")]
    if going and (going[0].get("properties") or {}).get("newStorageCapacityTiB") != capacity:
        raise AzureError(f"{options['name']} is being expanded by {going[0]['name']} already", code="FileSystemBusy")
    job_id, writes = f"{wanted}/expansionJobs/{name}", outcome.writes
    warnings = [] if going else [_growth_failure(options, one) for one in jobs if _job_state(one) == "Failed"]
    if not going:
        lustre_subnets.check_room(session, clients, actual, capacity)
        change = Difference(("properties", "storageCapacityTiB"), have, capacity)
        mine = Write("PUT", wanted, 0, before=actual, changes=(change,))
        if writes:
            mine = Write(writes[0].method, wanted, 0, writes[0].body, actual, changes=(*writes[0].changes, change))
        writes = (mine,)
        if not check:
            _start_growth(clients, job_id, any(one.get("name") == name for one in jobs), actual["location"], capacity)
    if check or not options["wait"]:
        return Outcome(writes, outcome.resources), warnings
    _await_growth(clients, going[0]["id"] if going else job_id, options)
    return Outcome(writes, {wanted.casefold(): clients.get(wanted)}), warnings


def _growth_failure(options: t.Mapping[str, t.Any], job: Json) -> str:
    status = (job.get("properties") or {}).get("status") or {}
    said = str(status.get("statusMessage") or status.get("statusCode") or "Azure does not say why")
    return (
        f"the expansion {job.get('name', '')} of {options['name']} ended as {_job_state(job)}: {said.rstrip('.')}. "
        "It goes on with the size that it had"
    )


def _start_growth(clients: TypedClients, job_id: str, old: bool, location: str, capacity: int) -> None:
    if old:  # an earlier one of the same name that failed
        clients.begin("DELETE", job_id, None, "forget the failed expansion").result()
    body = {"location": location, "properties": {"newStorageCapacityTiB": capacity}}
    clients.begin("PUT", job_id, body, f"expand to {capacity} TiB").result()


def _await_growth(clients: TypedClients, job_id: str, options: t.Mapping[str, t.Any]) -> None:
    deadline = time.monotonic() + options["wait_timeout"]
    while True:
        job = clients.get(job_id)
        state = _job_state(job)
        if state == "Completed":
            return
        if state not in ("InProgress", "RollingBack"):
            raise AzureError(_growth_failure(options, job), code="ExpansionFailed", target=job_id)
        if time.monotonic() > deadline:
            percent = ((job.get("properties") or {}).get("status") or {}).get("percentComplete") or 0
            text = f"{options['name']} is expanded to {percent:g} %; run it again to go on waiting"
            raise AzureError(text, code="ClientTimeout", target=job_id)
        clients.sleep(INTERVAL)


def _job_state(job: Json) -> str:
    return str(((job.get("properties") or {}).get("status") or {}).get("state") or "")
