# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes of Azure NetApp Files, with the account and the pool that they are in: make, change, delete, look."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import netapp_documents as documents
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import storage_documents
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import (
    AUTHENTICATION,
    NOT_FOUND,
    AzureError,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.network import VERSION as NETWORK_VERSION
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.reconcile import (
    Outcome,
    Target,
    apply,
    plan,
    read,
    removals,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.resources import Json, merged
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import Documents, Session
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import storage

VERSION = "2025-06-01"
# Seconds between looks at a volume that is on its way.
INTERVAL = 15.0
# Azure forgets what was in a pool some time after it has deleted it.
_NESTED, _TRIES = "CannotDeleteResource", 12


class Names:
    """The resource ids of a volume and what it is in."""

    def __init__(self, session: Session, options: t.Mapping[str, t.Any]) -> None:
        names = (options["account"], options["pool"], options["name"])
        group = options["resource_group"]
        self.account = session.resource_path(group, documents.ACCOUNT, *names[:1])
        self.pool = session.resource_path(group, documents.POOL, *names[:2])
        self.volume = session.resource_path(group, documents.VOLUME, *names)

    def all(self) -> tuple[str, str, str]:
        """All three, from the outside."""
        return (self.account, self.pool, self.volume)


def ensure(session: Session, options: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Make the volume of a module's ``options`` exist as they say; raises AzureError."""
    store, names = Documents(session, VERSION), Names(session, options)
    actual = read(store, names.all())
    volume, pool = actual.get(names.volume.casefold()), actual.get(names.pool.casefold()) or {}
    documents.check_options(options, pool)
    if volume is None:
        missing = [name for name in documents.NEEDED if not options.get(name)]
        if missing:
            text = f"the volume {options['name']} does not exist, and to make it these options are missing: "
            raise AzureError(text + ", ".join(missing), code="MissingOptions")
        _check_subnet(session, options["subnet_id"], check)
    else:
        volume = _settled(store, names, volume, options, check)
        actual[names.volume.casefold()] = volume
        documents.refuse_fixed(options, volume, pool)
        name, have = f"the volume {options['name']}", documents.size_of(volume)
        wanted = options.get("size_gib") or have
        storage_documents.refuse_shrinking(name, wanted, have, bool(options.get("shrink")))
    size = _pool_size(session, store, names, options, pool)
    writes = plan(_targets(names, options, actual, size), actual)
    before, mine, after = ([write for write in writes if write.stage in stages] for stages in ((0, 1), (2,), (3,)))
    outcome = apply(store, tuple(before), actual, check)
    outcome = apply(store, tuple(mine), outcome.resources, check, wait=options["wait"] or bool(after))
    outcome = Outcome(writes, apply(store, tuple(after), outcome.resources, check).resources)
    if options["wait"] and not check and not outcome.resource(names.volume).get("properties", {}).get("mountTargets"):
        found = _settled(store, names, store.find(names.volume) or {}, options, check)
        outcome = Outcome(writes, {**outcome.resources, names.volume.casefold(): found})
    return outcome


def _targets(names: Names, options: t.Mapping[str, t.Any], actual: t.Mapping[str, Json], pool_tib: int) -> list[Target]:
    """Account, pool and volume as they are wanted; those that are only used are left alone."""
    volume, pool = actual.get(names.volume.casefold()), actual.get(names.pool.casefold())
    place = {"location": options["location"]} if options.get("location") else {}
    tags = options.get("tags")
    found = []
    if volume is None:
        found.append(Target(names.account, place, tags, again=True))
    body = merged(place if pool is None else {}, documents.pool_body(options, pool is None, pool_tib))
    if body:
        have = int(((pool or {}).get("properties") or {}).get("size") or 0)
        # A pool grows before its volumes do, and shrinks after them.
        stage = 3 if 0 < pool_tib * documents.TIB < have else 1
        found.append(Target(names.pool, body, tags, stage=stage, update="PATCH", again=volume is None))
    protocol = options.get("protocol") or next(
        iter(((volume or {}).get("properties") or {}).get("protocolTypes") or ()), "NFSv3"
    )
    wanted = documents.volume_changeable(options, protocol)
    if volume is None:
        level = body.get("properties", {}).get("serviceLevel") or (pool or {})["properties"]["serviceLevel"]
        wanted = merged(documents.usual(options, level), merged(documents.volume_fixed(options), wanted))
    found.append(Target(names.volume, wanted, tags, stage=2, update="PATCH"))
    return found


def _pool_size(session: Session, store: Documents, names: Names, options: t.Mapping[str, t.Any], pool: Json) -> int:
    """The size in TiB that the pool gets, 0 for the one that it has; raises AzureError where it would be too small."""
    have = int((pool.get("properties") or {}).get("size") or 0) // documents.TIB
    others = [
        one
        for one in (session.listing(f"{names.pool}/volumes", VERSION, "list the volumes of the pool") if pool else [])
        if str(one.get("id", "")).casefold() != names.volume.casefold()
    ]
    mine = options.get("size_gib") or documents.size_of(store.find(names.volume) or {} if pool else {})
    sizes = [*(documents.size_of(one) for one in others), mine]
    size = options.get("pool_tib") or have or storage.pool_for(sizes)
    if sum(sizes) > size * 1024:
        text = (
            f"the pool {options['pool']} of {size} TiB is too small: its other volumes have {sum(sizes) - mine} GiB, "
            f"and {options['name']} {mine}. pool_tib: {storage.pool_for(sizes)} would do"
        )
        raise AzureError(text, code="PoolTooSmall", target=names.pool)
    if size > have:
        _check_quota(session, options.get("location") or str(pool.get("location") or ""), size - have)
    return size if size != have else 0


def _check_quota(session: Session, location: str, more: int) -> None:
    """Raise AzureError (QuotaExceeded) if the region gives the subscription less; where Azure does not say, it will."""
    path = f"/subscriptions/{session.subscription_id}/providers/Microsoft.NetApp/locations/{location}"
    try:
        found = session.get(f"{path}/quotaLimits/totalTiBsPerSubscription", VERSION, "read the quota of NetApp Files")
    except AzureError as error:
        if error.kind not in (AUTHENTICATION, NOT_FOUND):
            raise
        return
    properties = found.get("properties") or {}
    limit, used = properties.get("current"), properties.get("usage")
    if isinstance(limit, int) and isinstance(used, int) and used + more > limit:
        text = (
            f"Azure NetApp Files in {location} is limited to {limit} TiB for this subscription: {used} are provisioned "
            f"and {more} more are wanted. Ask Azure support for more, or use less"
        )
        raise AzureError(text, code="QuotaExceeded")


def _check_subnet(session: Session, subnet: str, check: bool) -> None:
    """Raise AzureError (SubnetNotSuitable) before anything is made."""
    try:
        found = session.find(subnet, NETWORK_VERSION, "read the subnet of the volume")
    except AzureError as error:
        if error.kind != AUTHENTICATION:
            raise
        return  # somebody else's: Azure will say
    name = subnet.rsplit("/", 1)[-1]
    if found is None:
        if check:
            return  # it may be one that was not made because of check mode
        raise AzureError(f"there is no subnet {subnet}", code="SubnetNotSuitable")
    properties = found.get("properties") or {}
    services = [
        str((one.get("properties") or {}).get("serviceName", "")) for one in properties.get("delegations") or ()
    ]
    if documents.DELEGATION.casefold() in (one.casefold() for one in services):
        return
    users = [str(one.get("id", "")) for one in properties.get("ipConfigurations") or ()]
    text = f"the subnet {name} is not delegated to {documents.DELEGATION}"
    if services:
        text += f", but to {', '.join(services)}"
    if users:
        text += f", and cannot be: {len(users)} addresses of it are in use, such as {_user(users[0])}. Use an empty one"
    else:
        text += f": delegation: {documents.DELEGATION} of the module network does that"
    raise AzureError(text, code="SubnetNotSuitable", target=subnet)


def _user(ip_configuration: str) -> str:
    """What has an address, by the id of its ip configuration."""
    parts = ip_configuration.split("/")
    return parts[8] if len(parts) > 8 else ip_configuration


def _settled(store: Documents, names: Names, volume: Json, options: t.Mapping[str, t.Any], check: bool) -> Json:
    """The volume once it is neither being made nor changed, if that is waited for; raises AzureError for a broken
    one."""
    deadline = time.monotonic() + options["wait_timeout"]
    while options["wait"] and not check and documents.state_of(volume) not in (*documents.SETTLED, "Deleting"):
        if time.monotonic() > deadline:
            text = f"{options['name']} is {documents.state_of(volume)}; run it again to go on waiting"
            raise AzureError(text, code="ClientTimeout", target=names.volume)
        store.sleep(INTERVAL)
        volume = store.find(names.volume) or {}
    if documents.state_of(volume) == "Deleting":
        text = f"{options['name']} is being deleted: wait until it is gone, or choose another name"
        raise AzureError(text, code="VolumeBusy", target=names.volume)
    trouble = documents.problems(volume)
    if trouble and not (volume.get("properties") or {}).get("mountTargets"):
        raise AzureError(trouble[0], code="VolumeFailed", target=names.volume)
    return volume


def remove(session: Session, options: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Delete the volume, if the options confirm it by its name; with ``prune`` its pool and account, if they are empty
    then. Raises AzureError."""
    store, names = Documents(session, VERSION), Names(session, options)
    actual = read(store, names.all())
    volume = actual.get(names.volume.casefold())
    if volume is not None and options.get("confirm") != options["name"]:
        text = (
            f"this deletes the volume {options['name']} with {documents.size_of(volume)} GiB and everything in it. If "
            f"you mean it: confirm: {options['name']}"
        )
        raise AzureError(text, code="ConfirmationMissing")
    stages = [[names.volume], *([[one] for one in _empty(session, names, actual)] if options.get("prune") else [])]
    writes = removals(stages, actual)
    outcome = Outcome((), actual)
    for write in writes:
        outcome = _deleted(store, write, outcome, check, options["wait"] or len(writes) > 1)
    return Outcome(writes, outcome.resources)


def _deleted(store: Documents, write: t.Any, before: Outcome, check: bool, wait: bool) -> Outcome:
    for _unused in range(_TRIES):
        try:
            return apply(store, (write,), before.resources, check, wait)
        except AzureError as error:
            if error.code != _NESTED:
                raise
        store.sleep(INTERVAL)
    return apply(store, (write,), before.resources, check, wait)


def _empty(session: Session, names: Names, actual: t.Mapping[str, Json]) -> list[str]:
    """The pool and the account, as far as nothing else is in them than what is deleted before."""
    found: list[str] = []
    for outer, inner, kind in ((names.pool, names.volume, "volumes"), (names.account, names.pool, "capacityPools")):
        if outer.casefold() not in actual:
            continue
        rows = session.listing(f"{outer}/{kind}", VERSION, f"list the {kind} of {outer.rpartition('/')[2]}")
        if any(str(one.get("id", "")).casefold() != inner.casefold() for one in rows):
            break
        found.append(outer)
    return found


def found(session: Session, options: t.Mapping[str, t.Any], outcome: Outcome) -> Json:
    """The volume for a module's result, {} if it is gone."""
    names = Names(session, options)
    volume = outcome.resource(names.volume)
    return documents.summary(volume, outcome.resource(names.pool)) if volume else {}


def look(session: Session, group: str, wanted: t.Sequence[str] | None = None) -> list[Json]:
    """The volumes of a resource group, or those of ``account/pool/volume`` that there are, as `documents.summary`."""
    store = Documents(session, VERSION)
    if wanted is not None:
        parts = [one.split("/") for one in wanted]
        ids = [session.resource_path(group, documents.VOLUME, *one) for one in parts]
        found = list(read(store, ids).values())
        pools = read(store, {str(one["id"]).rpartition("/volumes/")[0] for one in found})
    else:
        listed = _listed(session, session.resource_path(group, documents.ACCOUNT))
        rows = [pool for account in listed for pool in _listed(session, f"{account['id']}/capacityPools")]
        pools = {str(pool["id"]).casefold(): pool for pool in rows}
        found = [volume for pool in rows for volume in _listed(session, f"{pool['id']}/volumes")]
    volumes = sorted(found, key=lambda one: str(one.get("id", "")).casefold())
    return [documents.summary(one, pools.get(_pool_of(one), {})) for one in volumes]


def _pool_of(volume: Json) -> str:
    return str(volume.get("id", "")).casefold().rpartition("/volumes/")[0]


def _listed(session: Session, path: str) -> list[Json]:
    try:
        return session.listing(path, VERSION)
    except AzureError as error:
        if error.kind != NOT_FOUND:
            raise
        return []
