# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Azure Managed Lustre: which sizes there are, how large a subnet has to be, what settings mean. Pure."""

from __future__ import annotations

import math
import re
import typing as t
from dataclasses import dataclass, field

ROUNDINGS = ("none", "up")
SQUASH_MODES = ("None", "RootOnly", "All")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
TIME_RULE = 'must be a time of the day in UTC such as "22:00"'
ROOT = "/lustrefs"
"""What clients mount: every Managed Lustre file system is called so."""
NAME = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,78}[A-Za-z0-9_])?"
NAME_RULE = "must be letters, digits, _ and -, at most 80, and not begin with _ or -"
CONTAINER = re.compile(
    r"/subscriptions/[^/\s]+/resourceGroups/[^/\s]+/providers/Microsoft\.Storage/storageAccounts/(?P<account>[a-z0-9]{3,24})"
    r"/blobServices/default/containers/(?P<container>[a-z0-9$-]{3,63})",
    re.IGNORECASE,
)
CONTAINER_RULE = (
    "must be the resource id of a blob container: "
    "/subscriptions/.../providers/Microsoft.Storage/storageAccounts/ACCOUNT/"
    "blobServices/default/containers/CONTAINER"
)
OWN_CONTAINER = re.compile(r"(?P<account>[a-z0-9]{3,24})/(?P<container>[a-z0-9$-]{3,63})")
"""A container of an account that the same definition makes."""
KEY_URL = r"https://[A-Za-z0-9.-]+/keys/[A-Za-z0-9-]+/[0-9a-fA-F]+"
KEY_URL_RULE = "must be the address of one version of a key: https://VAULT.vault.azure.net/keys/NAME/VERSION"
_NID = r"\d{1,3}\.\d{1,3}\.(?:\d{1,3}|\[\d{1,3}-\d{1,3}\])\.(?:\d{1,3}|\[\d{1,3}-\d{1,3}\]|\*)@tcp\d*"
NIDS = rf"{_NID}(?:;{_NID})*"
NIDS_RULE = "must be Lustre addresses with ; between them, such as 10.0.1.4@tcp;10.0.1.[6-8]@tcp"

# TiB up to which a subnet with so many leading bits is large enough, as Azure documents it.
_SUBNETS = ((16, 27), (40, 26), (92, 25), (196, 24), (400, 23))
_STEP = "OSS capacity increment (TiB)"
_MOST = "default maximum capacity (TiB)"
_MOST_ON_REQUEST = "large cluster maximum capacity (TiB)"
_BANDWIDTH = "bandwidth increment (MB/s/TiB)"


@dataclass(frozen=True)
class Sku:
    """A kind of file system. ``throughput`` is in MB/s for each TiB; ``step`` is the smallest size and the distance
    of sizes in TiB, ``maximum`` the largest that everybody may have, ``on_request`` the largest after a support
    request.
    """

    name: str
    throughput: int
    step: int
    maximum: int
    on_request: int = 0

    @property
    def largest(self) -> int:
        """The largest size that there is at all."""
        return max(self.maximum, self.on_request)

    def sizes(self) -> str:
        """The legal sizes in words."""
        first = f"{self.step}, {2 * self.step}, {3 * self.step}"
        more = f", and to {self.on_request} if Microsoft has agreed" if self.on_request > self.maximum else ""
        return f"{self.step} to {self.maximum} TiB in steps of {self.step} ({first} ... {self.maximum}{more})"


SKUS: t.Mapping[str, Sku] = {
    sku.name: sku
    for sku in (
        Sku("AMLFS-Durable-Premium-40", 40, 48, 768, 12500),
        Sku("AMLFS-Durable-Premium-125", 125, 16, 128, 4000),
        Sku("AMLFS-Durable-Premium-250", 250, 8, 128, 2000),
        Sku("AMLFS-Durable-Premium-500", 500, 4, 128, 1000),
    )
}
"""What Azure documents; what a region really offers may be asked (`offered`)."""


class LustreError(ValueError):
    """A setting that no file system can have; the text says which would do."""


@dataclass(frozen=True)
class RootSquash:
    """``uid`` and ``gid`` are what root (or everybody, ``mode`` All) becomes, except on the addresses in
    ``except_nids``."""

    mode: str = "None"
    uid: int = 0
    gid: int = 0
    except_nids: str = ""


@dataclass(frozen=True)
class ManagedLustre:
    """A Managed Lustre file system that a definition makes (``sku``) or uses (``id``). Sizes are in TiB.

    ``name`` is the resource's; ``subnet`` one of the definition's network. ``container`` and ``logging_container`` are
    resource ids of blob containers or, in accounts of the definition, ACCOUNT/CONTAINER, '' for none;
    ``import_prefixes`` are what of it is there from the start.
    ``encryption_key`` is the URL of a version of a key in ``key_vault`` (a resource id), which ``identities`` may use.
    """

    name: str
    id: str = ""
    sku: str = ""
    capacity_tib: int = 0
    subnet: str = ""
    zone: str = ""
    maintenance_day: str = "Friday"
    maintenance_time: str = "22:00"
    container: str = ""
    logging_container: str = ""
    import_prefixes: tuple[str, ...] = ()
    root_squash: t.Optional[RootSquash] = None
    encryption_key: str = ""
    key_vault: str = ""
    identities: tuple[str, ...] = ()
    tags: t.Mapping[str, str] = field(default_factory=dict)


def sku_named(name: str, skus: t.Mapping[str, Sku] = SKUS) -> Sku:
    """The SKU of that name in any case; raises LustreError with those that there are."""
    for sku in skus.values():
        if sku.name.lower() == name.lower():
            return sku
    offers = "; ".join(f"{sku.name}: {sku.throughput} MB/s per TiB, {sku.sizes()}" for sku in skus.values())
    raise LustreError(f"{name} is not a kind of Managed Lustre; there are {offers or 'none in this location'}")


def capacity(sku: Sku, asked: float, rounding: str = "none", skus: t.Mapping[str, Sku] = SKUS) -> int:
    """The size in TiB for the one asked for: the same, or with ``rounding`` up the next legal one.

    Azure rounds up by itself, and bills what it made: here nobody gets more than asked for without saying so. Raises
    LustreError with the legal sizes.
    """
    if not math.isfinite(asked) or asked <= 0:
        raise LustreError(f"a size must be more than 0 TiB; {sku.name} has {sku.sizes()}")
    up = math.ceil(asked / sku.step) * sku.step
    if up > sku.largest:
        raise LustreError(f"{asked:g} TiB is more than {sku.name} can have: {sku.sizes()}")
    if up == asked or rounding == "up":
        return up
    others = [one.name for one in skus.values() if one is not sku and asked % one.step == 0 and asked <= one.maximum]
    also = f"; {' and '.join(others)} would have {asked:g} TiB" if others else ""
    raise LustreError(
        f"{asked:g} TiB is not a size of {sku.name}: it has {sku.sizes()}. The next one is {up} TiB: ask for that, "
        "or for "
        f"capacity_rounding: up, which takes it{also}"
    )


def offered(rows: t.Iterable[t.Mapping[str, t.Any]], location: str) -> dict[str, Sku]:
    """What a location offers, from the rows of Microsoft.StorageCache/skus; rows of other kinds do not count."""
    found: dict[str, Sku] = {}
    place = location.replace(" ", "").lower()
    for row in rows:
        places = [str(one).replace(" ", "").lower() for one in row.get("locations") or ()]
        if str(row.get("resourceType", "")).lower() != "amlfilesystems" or place not in places:
            continue
        told = {str(one.get("name")): one.get("value") for one in row.get("capabilities") or ()}
        name = str(row.get("name", ""))
        known = SKUS.get(name)
        step = _whole(told.get(_STEP)) or (known.step if known else 0)
        most = _whole(told.get(_MOST)) or (known.maximum if known else 0)
        if name and step and most:
            speed = _whole(told.get(_BANDWIDTH)) or (known.throughput if known else 0)
            found[name] = Sku(name, speed, step, most, _whole(told.get(_MOST_ON_REQUEST)))
    return found


def _whole(value: t.Any) -> int:
    try:
        return int(float(value))
    except (TypeError, ValueError, OverflowError):
        return 0


def subnet_bits(size: float) -> int:
    """The longest prefix of a subnet for so many TiB, as documented; Azure has the last word."""
    return next((bits for most, bits in _SUBNETS if size <= most), 22)


def container_id(container: str, group: str) -> str:
    """The resource id of a container, also of one given as ACCOUNT/CONTAINER in the resource group of id ``group``."""
    own = OWN_CONTAINER.fullmatch(container)
    if not own:
        return container
    account = f"{group}/providers/Microsoft.Storage/storageAccounts/{own['account']}"
    return f"{account}/blobServices/default/containers/{own['container']}"


def container_mistakes(container: str, logging: str) -> list[tuple[str, str]]:
    """What is wrong with the two containers, as (which, message). Azure finds most of it out after a quarter of an
    hour."""
    wrong = []
    for which, value, other in (("container", container, logging), ("logging_container", logging, container)):
        if value and not CONTAINER.fullmatch(value):
            wrong.append((which, CONTAINER_RULE))
        elif other and not value:
            wrong.append((which, "is missing: import and export need a container for data and another for their logs"))
    if wrong or not container:
        return wrong
    if container.lower() == logging.lower():
        return [("logging_container", "must not be the container of the data")]
    data, logs = CONTAINER.fullmatch(container), CONTAINER.fullmatch(logging)
    if data and logs and data["account"].lower() != logs["account"].lower():
        return [("logging_container", f"must be in the same storage account as the data: {data['account']}")]
    return []


def squash_mistakes(squash: RootSquash) -> list[tuple[str, str]]:
    """What is wrong with root squash settings, as (key, message)."""
    wrong = []
    if squash.except_nids and not re.fullmatch(NIDS, squash.except_nids):
        wrong.append(("except_nids", NIDS_RULE))
    if squash.mode == "None":
        return wrong
    if not squash.except_nids:
        wrong.append(("except_nids", "is missing: with squashing some machine must stay root, or nobody is any more"))
    ids = [key for key in ("uid", "gid") if not 1 <= getattr(squash, key) <= 2**32 - 1]
    return wrong + [(key, "must be an id from 1 on, for what root becomes") for key in ids]


def source(address: str, export: str = ROOT) -> str:
    """What a client mounts: ``10.0.3.4@tcp:/lustrefs``."""
    return f"{address}@tcp:{export}"
