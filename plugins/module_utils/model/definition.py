# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster definition that people write: from a dictionary to a `Cluster`, or to the list of all its mistakes."""

from __future__ import annotations

import collections.abc
import dataclasses
import re
import typing as t

from . import cluster as _cluster
from . import definition_rules as _rules
from . import lustre_definition as _lustre
from . import monitoring_definition as _monitoring
from . import mounting as _mounting
from . import storage as _storages
from . import storage_definition as _storage
from . import users as _users
from .catalog import Catalog
from .kinds import Kind, kinds
from .lustre import ROOT as LUSTRE_ROOT
from .lustre import ManagedLustre
from .monitoring import Monitoring
from .reading import Mistake, Mistakes, Section, join, prefix

KINDS = kinds()
DEFAULT_IMAGE = {"publisher": "Debian", "offer": "debian-13", "sku": "13-gen2", "version": "latest"}
_Managed = t.Union[ManagedLustre, _storages.ManagedStorage, None]
_MACHINE_KEYS = ("vm_size", "public_ip", "os_disk_gib", "subnet")
_RESOURCE_GROUP = r"[A-Za-z0-9_.()-]{0,89}[A-Za-z0-9_()-]"
_RESOURCE_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}[A-Za-z0-9_]|[A-Za-z0-9]"
_SUBNET = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,78}[A-Za-z0-9_])?"
_ID = r"/(?:subscriptions|CommunityGalleries|SharedGalleries)/[^\s?#]+"
_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"
_KEY_LINE = r"(?:ssh-rsa|ssh-ed25519|ecdsa-sha2-nistp(?:256|384|521)) [A-Za-z0-9+/]+={0,3}(?: [^\x00-\x1f]*)?"


class DefinitionError(ValueError):
    """A cluster definition with mistakes; ``mistakes`` are sorted by path, and the text lists them all."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        self.mistakes = mistakes
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        lines = "\n".join(f"  {mistake}" for mistake in mistakes)
        super().__init__(f"the cluster definition has {count}:\n{lines}")


def read(data: t.Any, catalog: t.Optional[Catalog] = None) -> _cluster.Cluster:
    """The cluster that a definition describes. With a catalog, VM sizes are checked against the location, too.

    Raises DefinitionError with every mistake at once.
    """
    cluster, mistakes = _read(data, catalog)
    if mistakes:
        raise DefinitionError(mistakes)
    return cluster


def check(data: t.Any, catalog: t.Optional[Catalog] = None) -> tuple[Mistake, ...]:
    """All mistakes of a definition, sorted by path."""
    return _read(data, catalog)[1]


def _read(data: t.Any, catalog: t.Optional[Catalog]) -> tuple[_cluster.Cluster, tuple[Mistake, ...]]:
    mistakes = Mistakes()
    if data == {}:
        mistakes.add("", "is empty: does the inventory's group_vars have the variable hpc_cluster?")
    _rules.secrets(mistakes, data)
    kind = _kind(data)
    keys = tuple(kind.queues if name == "partitions" else name for name in _names(_cluster.Cluster))
    cluster = _whole(Section(mistakes, data, "", keys), kind)
    _rules.cross_check(mistakes, cluster, kind if cluster.scheduler.type else None)
    if catalog is not None:
        cluster = _rules.check_sizes(mistakes, cluster, catalog)
    return cluster, mistakes.sorted()


def _kind(data: t.Any) -> Kind:
    """The kind of scheduler that the definition names. Where it names none, the rest is read as if it were Slurm."""
    section = data.get("scheduler") if isinstance(data, collections.abc.Mapping) else None
    name = section.get("type") if isinstance(section, collections.abc.Mapping) else None
    return KINDS.get(name if isinstance(name, str) else "", KINDS["slurm"])


def _whole(top: Section, kind: Kind) -> _cluster.Cluster:
    name = top.text(
        "name",
        pattern=r"[a-z](?:[a-z0-9-]{0,18}[a-z0-9])?",
        rule="must be a-z, 0-9 and -, at most 20, begin with a letter",
    )
    resource_group = top.text("resource_group", pattern=_RESOURCE_GROUP, rule="is not a name Azure takes for a group")
    return _cluster.Cluster(
        name=name,
        location=top.text("location", pattern=r"[a-z][a-z0-9]+", rule="must be a location's short name: westeurope"),
        resource_group=resource_group,
        network=_network(top.section("network", _names(_cluster.Network), required=True), name),
        admin=_admin(top.section("admin", _names(_cluster.Admin), required=True)),
        head=_machine(top.section("head", _MACHINE_KEYS, required=True)),
        login=_machine(top.section("login", (*_MACHINE_KEYS, "count"))) if top.has("login") else None,
        scheduler=_scheduler(top.section("scheduler", ("type", *kind.keys), required=True), kind),
        node_arrays=tuple(
            _array(Section(top.mistakes, item, path, _names(_cluster.NodeArray)), kind)
            for path, item in top.items("node_arrays")
        ),
        partitions=tuple(
            _partition(Section(top.mistakes, item, path, _names(_cluster.Partition)), kind)
            for path, item in top.items(kind.queues, None if kind.needs_queues else ())
        ),
        image=_image(top.section("image", _names(_cluster.Image)), name, resource_group),
        file_systems=tuple(
            _file_system(Section(top.mistakes, item, path, _names(_cluster.FileSystem)), name)
            for path, item in top.items("file_systems", ())
        ),
        storage_accounts=_accounts(top),
        users=_users.read_users(top),
        groups=_users.read_groups(top),
        autoscale=_autoscale(top.section("autoscale", _names(_cluster.AutoscalePolicy))),
        monitoring=_monitored(top, name),
        tags=_tags(top),
    )


def _monitored(top: Section, name: str) -> t.Optional[Monitoring]:
    return _monitoring.read(top.section("monitoring", _monitoring.KEYS), name) if top.has("monitoring") else None


def _accounts(top: Section) -> tuple[_storages.StorageAccount, ...]:
    sections = [
        Section(top.mistakes, item, path, _storage.ACCOUNT_KEYS) for path, item in top.items("storage_accounts", ())
    ]
    return tuple(_storage.read_account(section, _tags(section)) for section in sections)


def _names(cls: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(cls))


def _network(section: Section, cluster: str) -> _cluster.Network:
    subnets = []
    for name, cidr in section.mapping("subnets").items():
        path = join(section.at("subnets"), name)
        if not re.fullmatch(_SUBNET, name):
            section.mistakes.add(path, "is not a name Azure takes for a subnet")
        found = prefix(section.mistakes, path, cidr)
        if found is not None and found.prefixlen > 29:
            section.mistakes.add(path, "is too small: Azure needs a /29 at least, and keeps five addresses of it")
        elif found is not None:
            subnets.append(_cluster.Subnet(name, str(found)))
    if not section.mapping("subnets") and not section.broken and not section.mistakes.at(section.at("subnets")):
        section.wrong("subnets", "is missing")
    return _cluster.Network(
        name=section.text("name", f"{cluster}-vnet", _RESOURCE_NAME, "is not a name Azure takes for a network"),
        address_space=_prefixes(section, "address_space", None),
        subnets=tuple(subnets),
        nat_gateway=section.flag("nat_gateway", True),
        ssh_from=_prefixes(section, "ssh_from", ()),
    )


def _prefixes(section: Section, key: str, default: t.Optional[t.Sequence[str]]) -> tuple[str, ...]:
    found = (prefix(section.mistakes, path, item) for path, item in section.items(key, default))
    return tuple(str(network) for network in found if network is not None)


def _admin(section: Section) -> _cluster.Admin:
    keys = []
    for path, item in section.items("ssh_public_keys"):
        if section.mistakes.at(path):
            continue
        if isinstance(item, str) and re.fullmatch(_KEY_LINE, item.strip()):
            keys.append(item.strip())
        else:
            section.mistakes.add(path, "is not a public key line such as ssh-ed25519 AAAA... name")
    return _cluster.Admin(
        username=_rules.user_name(section.mistakes, section.at("username"), section.text("username", "azureuser")),
        ssh_public_keys=tuple(keys),
    )


def _machine(section: Section) -> _cluster.Machine:
    return _cluster.Machine(
        vm_size=_vm_size(section),
        count=section.number("count", 1, high=100),
        subnet=section.text("subnet", "head"),
        public_ip=section.flag("public_ip", False),
        os_disk_gib=section.number("os_disk_gib", 64, high=4095),
    )


def _vm_size(section: Section, key: str = "vm_size", default: t.Optional[str] = None) -> str:
    return section.text(key, default, r"[A-Za-z][A-Za-z0-9_-]{1,60}", "is not the name of a VM size")


def _scheduler(section: Section, kind: Kind) -> _cluster.Scheduler:
    return _cluster.Scheduler(type=section.text("type", choices=tuple(KINDS)), options=kind.read(section))


def _array(section: Section, kind: Kind) -> _cluster.NodeArray:
    max_nodes = section.number("max_nodes", low=1, high=100_000)
    priority = section.text("priority", "regular", choices=("regular", "spot"))
    return _cluster.NodeArray(
        name=section.text(
            "name",
            pattern=r"[a-z](?:[a-z0-9-]{0,22}[a-z0-9])?",
            rule="must be a-z, 0-9 and -, at most 24, begin with a letter",
        ),
        vm_sizes=_size_choices(section, max_nodes),
        max_nodes=max_nodes,
        min_nodes=section.number("min_nodes", 0),
        warm_nodes=section.number("warm_nodes", 0),
        max_vcpus=section.number("max_vcpus", 0),
        idle_timeout=section.number("idle_timeout", 0, high=30 * 86400),
        keep_alive=section.flag("keep_alive", False),
        priority=priority,
        max_price=_max_price(section, priority),
        zones=section.texts("zones", pattern=r"[1-9]", rule='must be the number of a zone as a text: "1"'),
        placement_group=section.flag("placement_group", False),
        subnet=section.text("subnet", "compute"),
        os_disk_gib=section.number("os_disk_gib", 0, high=4095),
        image=section.text("image", "", _ID, "must be the resource id of an image"),
        features=section.texts(
            "features",
            pattern=r"[A-Za-z0-9_.:=-]{1,64}",
            rule="is not a feature name: letters, digits and _.:=-",
        ),
        node_options=kind.node_options(section, "node_options"),
        tags=_tags(section),
    )


def _size_choices(section: Section, max_nodes: int) -> tuple[_cluster.SizeChoice, ...]:
    choices = []
    for path, item in section.items("vm_sizes"):
        if isinstance(item, str):
            item = {"name": item}
        below = Section(section.mistakes, item, path, ("name", "max_nodes"))
        name = _vm_size(below, "name")
        most = below.number("max_nodes", max_nodes, low=1)
        if below.has("max_nodes") and max_nodes and most > max_nodes:
            below.wrong("max_nodes", f"is {most}, more than the {max_nodes} of the node array")
        if name:
            choices.append(_cluster.SizeChoice(name, most))
    return tuple(choices)


def _max_price(section: Section, priority: str) -> float:
    value = section.data.get("max_price", -1)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        section.wrong("max_price", "must be a number of USD per hour, or -1 for up to the regular price")
        return -1.0
    if value != -1 and not 0 < value < 100_000:
        section.wrong("max_price", "must be above 0 USD per hour, or -1 for up to the regular price")
    elif value != -1 and priority == "regular" and not section.mistakes.at(section.at("priority")):
        section.wrong("max_price", "is for priority spot only")
    return float(value)


def _partition(section: Section, kind: Kind) -> _cluster.Partition:
    rule = f"is not a name of a {kind.queues[:-1]}: letters, digits, _ . and -"
    return _cluster.Partition(
        name=section.text("name", pattern=r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", rule=rule),
        node_arrays=section.texts("node_arrays", None),
        default=section.flag("default", False),
        options=kind.queue_options(section, "options"),
    )


def _image(section: Section, cluster: str, resource_group: str) -> _cluster.Image:
    source_keys = ("publisher", "offer", "sku", "version")
    source = section.section("source", source_keys)
    texts = {}
    if section.has("source"):
        texts = {key: source.text(key, "latest" if key == "version" else None) for key in source_keys}
    bake = section.flag("bake", False)
    image_id = section.text("id", "", _ID, "must be the resource id of an image")
    if not section.has("source") and not image_id:
        texts = dict(DEFAULT_IMAGE)
    return _cluster.Image(
        source=texts,
        bake=bake,
        name=section.text("name", f"{cluster}-node", _RESOURCE_NAME, "is not a name Azure takes for an image"),
        resource_group=section.text(
            "resource_group", resource_group, _RESOURCE_GROUP, "is not a resource group's name"
        ),
        build_size=_vm_size(section, "build_size", ""),
        id=image_id,
    )


def _file_system(section: Section, cluster: str) -> _cluster.FileSystem:
    kind = section.text("type", "nfs", choices=_mounting.TYPES)
    name = section.text("name", pattern=r"[a-z][a-z0-9_-]{0,31}", rule="must be a-z, 0-9, _ and -, at most 32")
    managed = _managed(section, kind, cluster, name) if section.has("managed") else None
    path = section.text("path", pattern=_rules.PATH, rule=_rules.PATH_RULE)
    server = ""
    if kind in _mounting.SERVED and not managed:
        server = section.text("server", "head", _HOST, "must be head, a host name or an address")
    return _cluster.FileSystem(
        name=name,
        path=path,
        export=section.text("export", _export(kind, path, managed), _rules.PATH, _rules.PATH_RULE),
        server=server,
        type=kind,
        options=section.text(
            "options",
            _mount_options(managed) or _mounting.OPTIONS.get(kind, ""),
            r"[A-Za-z0-9_.,=:/+-]*",
            "must be mount options with commas, without spaces",
        ),
        managed=managed,
        **_mounting.read_sections(section, kind, name),
    )


def _managed(section: Section, kind: str, cluster: str, name: str) -> _Managed:
    """What Azure runs for a file system; None if its type has no such thing, or if it cannot be read."""
    for key in ("server", "export") if kind == "nfs" else ("server",):
        if section.has(key):
            section.wrong(key, "is Azure's business where the file system is managed")
    if kind == "lustre":
        below = section.section("managed", _lustre.KEYS)
        return _lustre.read(below, f"{cluster}-{name}", _tags(below))
    if kind == "nfs":
        below = section.section("managed", _storage.KEYS)
        return _storage.read(below, cluster, name, _tags(below))
    section.wrong("managed", "is for file systems of type lustre or nfs")
    return None


def _export(kind: str, path: str, managed: _Managed) -> str:
    if kind == "lustre":
        return LUSTRE_ROOT
    return _storages.export(managed) if isinstance(managed, _storages.MANAGED) else path


def _mount_options(managed: _Managed) -> str:
    return _storages.mount_options(managed) if isinstance(managed, _storages.MANAGED) else ""


def _autoscale(section: Section) -> _cluster.AutoscalePolicy:
    usual = _cluster.AutoscalePolicy()
    seconds = ("idle_timeout", "boot_timeout", "resume_timeout", "suspend_timeout", "orphan_grace")
    numbers = {
        key: section.number(key, getattr(usual, key), low=1, high=30 * 86400)
        for key in (*seconds, "backoff_min", "backoff_max")
    }
    for key in ("max_nodes", "max_vcpus", "grow_per_minute", "shrink_at_once"):
        numbers[key] = section.number(key, getattr(usual, key))
    numbers["brake_percent"] = section.number("brake_percent", usual.brake_percent, low=1, high=100)
    budget = section.section("budget", _names(_cluster.Budget))
    return _cluster.AutoscalePolicy(
        **numbers,
        budget=_cluster.Budget(_usd(budget, "per_hour"), _usd(budget, "per_month")),
        decision_log=section.text("decision_log", ""),
    )


def _usd(section: Section, key: str) -> float:
    value = section.data.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 10**9:
        section.wrong(key, "must be a number of USD, 0 for no limit")
        return 0.0
    return float(value)


def _tags(section: Section) -> dict[str, str]:
    found = {}
    for key, value in section.mapping("tags").items():
        message = _rules.tag_mistake(key, value)
        if message:
            section.mistakes.add(join(section.at("tags"), key), message)
        else:
            found[key] = str(value)
    return found
