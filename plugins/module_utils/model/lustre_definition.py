# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster definition says of Managed Lustre: ``managed`` of a file system of type lustre."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from . import lustre
from .lustre import LustreError, ManagedLustre, RootSquash
from .reading import Mistakes, Section, near

if t.TYPE_CHECKING:
    from .cluster import Cluster

KEYS = (
    "name",
    "id",
    "sku",
    "capacity_tib",
    "capacity_rounding",
    "subnet",
    "zone",
    "maintenance_window",
    "container",
    "logging_container",
    "import_prefixes",
    "root_squash",
    "encryption",
    "identities",
    "tags",
)
_ID = r"/subscriptions/[^/\s]+/resourceGroups/[^/\s]+/providers/Microsoft\.StorageCache/amlFilesystems/[^/\s]+"
_RESOURCE = r"/subscriptions/[^\s?#]+"


def read(section: Section, name: str, tags: t.Mapping[str, str]) -> ManagedLustre:
    """The file system of a section with `KEYS`; ``name`` is what it is called if the section does not say."""
    if section.has("id"):
        given = section.text("id", "", _ID, "must be the resource id of a Managed Lustre file system")
        for key in section.data:
            if key != "id":
                section.wrong(key, "cannot be given with id: the file system exists, and is only mounted")
        return ManagedLustre(name=given.rsplit("/", 1)[-1], id=given)
    sku, capacity = _size(section)
    window = section.section("maintenance_window", ("day", "time"))
    secret = section.section("encryption", ("key_url", "vault_id"))
    container, logs = section.text("container", ""), section.text("logging_container", "")
    checked = [lustre.container_id(one, "/subscriptions/-/resourceGroups/-") for one in (container, logs)]
    for which, message in lustre.container_mistakes(*checked):
        own = ", or ACCOUNT/CONTAINER of storage_accounts" if message == lustre.CONTAINER_RULE else ""
        section.wrong(which, message + own)
    prefixes = section.texts("import_prefixes", pattern=r"/.*", rule="must be a path that begins with /")
    if prefixes and not container:
        section.wrong("import_prefixes", "is for a file system with a container")
    identities = section.texts("identities", pattern=_RESOURCE, rule="must be the resource id of an identity")
    if section.has("encryption") and not identities:
        section.wrong("identities", "is missing: the key is read with a managed identity that may use it")
    own_key = section.has("encryption")
    return ManagedLustre(
        name=section.text("name", name, lustre.NAME, lustre.NAME_RULE),
        sku=sku,
        capacity_tib=capacity,
        subnet=section.text("subnet", "storage"),
        zone=section.text("zone", "", r"[1-9]", 'must be the number of a zone as a text: "1"'),
        maintenance_day=window.text("day", "Friday", choices=lustre.DAYS),
        maintenance_time=window.text("time", "22:00", lustre.TIME, lustre.TIME_RULE),
        container=container,
        logging_container=logs,
        import_prefixes=prefixes,
        root_squash=_squash(section) if section.has("root_squash") else None,
        encryption_key=secret.text("key_url", None, lustre.KEY_URL, lustre.KEY_URL_RULE) if own_key else "",
        key_vault=secret.text("vault_id", None, _RESOURCE, "must be the resource id of a key vault") if own_key else "",
        identities=identities,
        tags=tags,
    )


def _size(section: Section) -> tuple[str, int]:
    name = section.text("sku", choices=tuple(lustre.SKUS))
    rounding = section.text("capacity_rounding", "none", choices=lustre.ROUNDINGS)
    asked = section.number("capacity_tib", low=1)
    if not name or not asked:
        return name, asked
    try:
        return name, lustre.capacity(lustre.SKUS[name], asked, rounding)
    except LustreError as error:
        section.wrong("capacity_tib", str(error))
        return name, 0


def _squash(section: Section) -> RootSquash:
    below = section.section("root_squash", ("mode", "uid", "gid", "except_nids"))
    squash = RootSquash(
        mode=below.text("mode", None, choices=lustre.SQUASH_MODES),
        uid=below.number("uid", 0),
        gid=below.number("gid", 0),
        except_nids=below.text("except_nids", ""),
    )
    for key, message in lustre.squash_mistakes(squash) if squash.mode else ():
        below.wrong(key, message)
    return squash


def cross_check(mistakes: Mistakes, cluster: Cluster) -> None:
    """Rules between a file system of type lustre and the rest of the definition."""
    subnets = {subnet.name: subnet.cidr for subnet in cluster.network.subnets}
    for index, system in enumerate(cluster.file_systems):
        path = f"file_systems[{index}]"
        if system.type != "lustre":
            continue
        managed = system.managed if isinstance(system.managed, ManagedLustre) else None
        if managed is None and system.server == "head":
            message = "is missing: the address of the Lustre management server, or managed for one that Azure manages"
            mistakes.add(f"{path}.server", message)
        if not cluster.image.bake and not cluster.image.id:
            mistakes.add("image.bake", f"must be true, or id given: no stock image has the client for {system.name}")
        if managed is not None and not managed.id:
            _subnet(mistakes, path, managed, subnets)
            _containers(mistakes, path, managed, [account.name for account in cluster.storage_accounts])


def _subnet(mistakes: Mistakes, path: str, managed: ManagedLustre, subnets: t.Mapping[str, str]) -> None:
    at = f"{path}.managed.subnet"
    if mistakes.at(at) or mistakes.at("network.subnets"):
        return
    if managed.subnet not in subnets:
        mistakes.add(at, f"there is no subnet {managed.subnet}{near(managed.subnet, subnets)}")
        return
    bits = lustre.subnet_bits(managed.capacity_tib)
    if managed.capacity_tib and ipaddress.IPv4Network(subnets[managed.subnet]).prefixlen > bits:
        cidr = subnets[managed.subnet]
        mistakes.add(
            at, f"{managed.subnet} ({cidr}) is too small for {managed.capacity_tib} TiB: use a /{bits} or larger"
        )


def _containers(mistakes: Mistakes, path: str, managed: ManagedLustre, accounts: t.Sequence[str]) -> None:
    for key in ("container", "logging_container"):
        own = lustre.OWN_CONTAINER.fullmatch(getattr(managed, key))
        if own and own["account"] not in accounts:
            message = f"there is no storage account {own['account']}{near(own['account'], accounts)}"
            mistakes.add(f"{path}.managed.{key}", message)


def parts_of(resource_id: str) -> tuple[str, str]:
    """Resource group and name of a file system's id."""
    found = re.fullmatch(r"/subscriptions/[^/]+/resourceGroups/([^/]+)/providers/[^/]+/[^/]+/([^/]+)", resource_id)
    return (found[1], found[2]) if found else ("", "")
