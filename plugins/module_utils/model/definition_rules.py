# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of the cluster definition that go beyond one value: names that meet, limits that contradict, secrets astray."""

from __future__ import annotations

import collections.abc
import ipaddress
import itertools
import posixpath
import re
import typing as t
from dataclasses import replace

from . import layout as _layout
from . import lustre_definition as _lustre
from . import monitoring_definition as _monitoring
from . import mounting as _mounting
from . import storage_rules as _storage
from . import users as _users
from .catalog import Catalog, VmSize
from .cluster import AutoscalePolicy, Cluster, NodeArray, SizeChoice
from .kinds import Kind
from .reading import CONTROL, Mistakes, join, near, word

PATH = r"/[A-Za-z0-9_.@+-]+(?:/[A-Za-z0-9_.@+-]+)*/?"
PATH_RULE = "must be an absolute path of letters, digits and _ . @ + -"
_SECRET_KEY = re.compile(
    r"pass(?:word|wd|phrase)?$|password|secret|token|credential|private_?key|munge_?key|access_?key|account_?key|"
    r"api_?key|jwt_?key|sas_?(?:url|key)$",
    re.IGNORECASE,
)
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----|PuTTY-User-Key-File")
_RESERVED_USERS = frozenset(
    (
        "root admin administrator guest test test1 test2 test3 user user1 user2 user3 user4 user5 owner server sql sys "
        "support support_388945a0 console david john actuser adm aspnet backup video a slurm munge daemon nobody bin"
    ).split()
)
_SYSTEM_PATHS = frozenset("/ /bin /boot /dev /etc /lib /lib64 /proc /root /run /sbin /sys /tmp /usr /var".split(" "))


def secrets(mistakes: Mistakes, data: t.Any, path: str = "") -> None:
    """Secrets have no place in a definition, wherever they are: it is read, logged and kept in repositories."""
    if isinstance(data, collections.abc.Mapping):
        for key, value in data.items():
            below = join(path, str(key))
            if isinstance(key, str) and _SECRET_KEY.search(key):
                mistakes.add(below, "looks like a secret; secrets do not belong into the cluster definition")
            else:
                secrets(mistakes, value, below)
    elif isinstance(data, (list, tuple)):
        for index, value in enumerate(data):
            secrets(mistakes, value, f"{path}[{index}]")
    elif isinstance(data, str) and _PRIVATE_KEY.search(data):
        mistakes.add(path, "is a private key; secrets do not belong into the cluster definition")


def user_name(mistakes: Mistakes, path: str, name: str) -> str:
    """The administrator's account name, with a mistake if Azure or Linux would refuse it."""
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", name):
        mistakes.add(path, "must be a-z, 0-9, _ and -, at most 32, and not begin with a digit")
    elif name in _RESERVED_USERS:
        mistakes.add(path, f"{name} is a name that Azure or the system keeps for itself")
    return name


def tag_mistake(key: str, value: t.Any) -> str:
    """What is wrong with a tag, or ''."""
    if not isinstance(value, str):
        return f"must be a text, not {word(value)}"
    if not key or len(key) > 512 or re.search(r"[<>%&\\?/\x00-\x1f]", key):
        return "is not a name Azure takes for a tag"
    if key.lower().startswith(("hpc-", "azure", "microsoft", "windows")):
        return "has a name that the collection or Azure keeps for itself"
    if CONTROL.search(value):
        return "must not contain control characters or line breaks"
    return "has more than 256 characters" if len(value) > 256 else ""


def cross_check(mistakes: Mistakes, cluster: Cluster, kind: t.Optional[Kind]) -> None:
    """All rules that need more than one value. Where a value is wrong already, no rule repeats it."""
    _network(mistakes, cluster)
    if kind is not None:
        kind.check(mistakes, cluster)
    word_for_queues = kind.queues if kind else "partitions"
    _arrays(mistakes, cluster, word_for_queues, kind is None or kind.needs_queues)
    _partitions(mistakes, cluster, word_for_queues)
    _file_systems(mistakes, cluster)
    _lustre.cross_check(mistakes, cluster)
    _mounting.cross_check(mistakes, cluster)
    _monitoring.cross_check(mistakes, cluster)
    _storage.cross_check(mistakes, cluster)
    _users.check(mistakes, cluster.users, cluster.groups, cluster.admin.username)
    _timeouts(mistakes, cluster.autoscale)
    _derived_names(mistakes, cluster)


def _network(mistakes: Mistakes, cluster: Cluster) -> None:
    network = cluster.network
    spaces = [ipaddress.IPv4Network(cidr) for cidr in network.address_space]
    subnets = {subnet.name: ipaddress.IPv4Network(subnet.cidr) for subnet in network.subnets}
    for one, other in itertools.combinations(range(len(spaces)), 2):
        if spaces[one].overlaps(spaces[other]):
            mistakes.add(f"network.address_space[{other}]", f"{spaces[other]} overlaps with {spaces[one]}")
    for (first, one_net), (second, other_net) in itertools.combinations(subnets.items(), 2):
        if one_net.overlaps(other_net):
            mistakes.add(f"network.subnets.{second}", f"{other_net} overlaps with subnet {first} ({one_net})")
    if not mistakes.at("network.address_space"):
        for name, net in subnets.items():
            if not any(net.subnet_of(space) for space in spaces):
                mistakes.add(f"network.subnets.{name}", f"{net} is not within the address space of the network")
    if not mistakes.at("network.subnets") and not mistakes.exactly("network"):
        _subnet_use(mistakes, cluster, subnets)


def _subnet_use(mistakes: Mistakes, cluster: Cluster, subnets: t.Mapping[str, ipaddress.IPv4Network]) -> None:
    users = [("head.subnet", cluster.head.subnet, 1)]
    if cluster.login is not None:
        users.append(("login.subnet", cluster.login.subnet, cluster.login.count))
    for index, array in enumerate(cluster.node_arrays):
        users.append((f"node_arrays[{index}].subnet", array.subnet, array.max_nodes))
    needed: dict[str, int] = {}
    for path, name, count in users:
        if mistakes.at(path):
            continue
        if name not in subnets:
            mistakes.add(path, f"there is no subnet {name}{near(name, subnets)}")
        needed[name] = needed.get(name, 0) + count
    for name, net in subnets.items():
        if needed.get(name, 0) > net.num_addresses - 5:
            mistakes.add(
                f"network.subnets.{name}",
                f"{net} has {net.num_addresses - 5} addresses for the {needed[name]} machines that may be in it",
            )


def _repeated(mistakes: Mistakes, where: str, names: t.Sequence[str]) -> None:
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        if name and first.setdefault(name.lower(), index) != index:
            mistakes.add(f"{where}[{index}].name", f"{name} is the name of {where}[{first[name.lower()]}] already")


def _arrays(mistakes: Mistakes, cluster: Cluster, queues: str, needs_queues: bool) -> None:
    _repeated(mistakes, "node_arrays", [array.name for array in cluster.node_arrays])
    used = {name for partition in cluster.partitions for name in partition.node_arrays}
    for index, array in enumerate(cluster.node_arrays):
        path = f"node_arrays[{index}]"
        if needs_queues and array.name and array.name not in used and not mistakes.at(queues):
            mistakes.add(path, f"node array {array.name} is in no {queues[:-1]}, so no job could use it")
        if mistakes.at(f"{path}.max_nodes") or mistakes.at(f"{path}.vm_sizes"):
            continue
        _array_limits(mistakes, cluster, array, path)


def _array_limits(mistakes: Mistakes, cluster: Cluster, array: NodeArray, path: str) -> None:
    if array.min_nodes > array.max_nodes:
        mistakes.add(f"{path}.max_nodes", f"is {array.max_nodes}, below min_nodes {array.min_nodes}")
    elif array.min_nodes > sum(size.max_nodes for size in array.vm_sizes):
        mistakes.add(f"{path}.min_nodes", "is more than all vm_sizes together may have")
    if array.warm_nodes > array.max_nodes:
        mistakes.add(f"{path}.warm_nodes", f"is {array.warm_nodes}, above max_nodes {array.max_nodes}")
    if cluster.scheduler.type == "slurm":
        _slurm_has_its_own(mistakes, array, path)
    seen: dict[str, int] = {}
    for number, size in enumerate(array.vm_sizes):
        at = f"{path}.vm_sizes[{number}]"
        short = _layout.slug(size.name)
        if seen.setdefault(short, number) != number:
            mistakes.add(at, f"{size.name} makes the same node names as vm_sizes[{seen[short]}]")
        limit = _layout.set_limit(cluster, array) * max(1, len(array.zones))
        if not array.placement_group and size.max_nodes > limit:
            mistakes.add(
                at, f"may have {size.max_nodes} nodes, but its scale sets hold {limit}; use another node array"
            )


def _slurm_has_its_own(mistakes: Mistakes, array: NodeArray, path: str) -> None:
    """Slurm itself powers nodes down, so it has to be told in its own words when not to."""
    for key, instead in (
        ("warm_nodes", "use min_nodes"),
        ("idle_timeout", "use SuspendTime in the options of its partitions"),
        ("keep_alive", "use SuspendExcParts in scheduler.slurm_conf"),
    ):
        if getattr(array, key):
            mistakes.add(f"{path}.{key}", f"is not for Slurm, which powers nodes down itself: {instead}")


def _partitions(mistakes: Mistakes, cluster: Cluster, queues: str) -> None:
    _repeated(mistakes, queues, [partition.name for partition in cluster.partitions])
    arrays = [array.name for array in cluster.node_arrays]
    arrays_known = not mistakes.exactly("node_arrays") and not any(
        mistakes.at(f"node_arrays[{i}].name") and not name for i, name in enumerate(arrays)
    )
    for index, partition in enumerate(cluster.partitions):
        for number, name in enumerate(partition.node_arrays):
            if name not in arrays and arrays_known and not mistakes.at(f"{queues}[{index}].node_arrays[{number}]"):
                message = f"there is no node array {name}{near(name, arrays)}"
                mistakes.add(f"{queues}[{index}].node_arrays[{number}]", message)
    defaults = [index for index, partition in enumerate(cluster.partitions) if partition.default]
    if not defaults and cluster.partitions and not any(mistakes.at(f"{queues}[{i}].default") for i in range(99)):
        mistakes.add(queues, "none is the default; one needs default: true, for jobs that name none")
    for index in defaults[1:]:
        mistakes.add(f"{queues}[{index}].default", f"{queues}[{defaults[0]}] is the default already")


def _file_systems(mistakes: Mistakes, cluster: Cluster) -> None:
    _repeated(mistakes, "file_systems", [file_system.name for file_system in cluster.file_systems])
    first: dict[str, int] = {}
    for index, file_system in enumerate(cluster.file_systems):
        at = f"file_systems[{index}].path"
        path = posixpath.normpath(file_system.path) if file_system.path else ""
        if ".." in file_system.path.split("/"):
            mistakes.add(at, "must not contain ..")
        elif path in _SYSTEM_PATHS:
            mistakes.add(at, f"{path} belongs to the system")
        elif path and first.setdefault(path, index) != index:
            mistakes.add(at, f"{path} is the mount point of file_systems[{first[path]}] already")
        export = posixpath.normpath(file_system.export) if file_system.export else ""
        if file_system.server == "head" and (export in _SYSTEM_PATHS or ".." in file_system.export.split("/")):
            mistakes.add(f"file_systems[{index}].export", "is not a directory that the head may give away")


def _timeouts(mistakes: Mistakes, policy: AutoscalePolicy) -> None:
    pairs = [("boot_timeout", "resume_timeout"), ("backoff_min", "backoff_max")]
    for low, high in pairs:
        wrong = mistakes.at(f"autoscale.{low}") or mistakes.at(f"autoscale.{high}")
        if not wrong and getattr(policy, low) > getattr(policy, high):
            message = f"is {getattr(policy, low)} s, longer than {high} with {getattr(policy, high)} s"
            mistakes.add(f"autoscale.{low}", message)
    budget = policy.budget
    if not mistakes.at("autoscale.budget") and budget.per_hour and 0 < budget.per_month < budget.per_hour:
        mistakes.add("autoscale.budget.per_month", f"is {budget.per_month:g} USD, less than per_hour")


def _derived_names(mistakes: Mistakes, cluster: Cluster) -> None:
    """Names that are made of several parts: Azure and Slurm limit their length, and two must never be the same."""
    taken: dict[str, str] = {}
    for index, array in enumerate(cluster.node_arrays):
        path = f"node_arrays[{index}]"
        if not array.name or mistakes.at(f"{path}.name") or mistakes.at(f"{path}.vm_sizes"):
            continue
        for number, size in enumerate(array.vm_sizes):
            prefix = _layout.node_prefix(array, size)
            if taken.setdefault(prefix, path) != path:
                message = f"makes the node names {prefix}-N, as {taken[prefix]} does"
                mistakes.add(f"{path}.vm_sizes[{number}]", message)
            longest = f"{cluster.name}-{prefix}-spot-z1-pg{size.max_nodes // 100 + 1}"
            if len(longest) > 64:
                mistakes.add(f"{path}.name", f"makes the scale set name {longest}, longer than Azure's 64 characters")


def check_sizes(mistakes: Mistakes, cluster: Cluster, catalog: Catalog) -> Cluster:
    """VM sizes against what the location offers; answers the cluster with the names as the catalog spells them."""
    head = replace(cluster.head, vm_size=_known(mistakes, catalog, "head.vm_size", cluster.head.vm_size))
    login = cluster.login
    if login is not None:
        login = replace(login, vm_size=_known(mistakes, catalog, "login.vm_size", login.vm_size))
    image = cluster.image
    if image.build_size:
        image = replace(image, build_size=_known(mistakes, catalog, "image.build_size", image.build_size))
    arrays = tuple(
        _array_sizes(mistakes, catalog, array, f"node_arrays[{index}]")
        for index, array in enumerate(cluster.node_arrays)
    )
    return replace(cluster, head=head, login=login, image=image, node_arrays=arrays)


def _known(mistakes: Mistakes, catalog: Catalog, path: str, name: str) -> str:
    if not name or mistakes.at(path):
        return name
    size = catalog.size(name)
    if size is None:
        names = [known.name for known in catalog.sizes.values()]
        mistakes.add(path, f"{name} is not a VM size of {catalog.location}{near(name, names)}")
    elif size.restriction:
        mistakes.add(path, f"{size.name} cannot be used in {catalog.location}: {size.restriction}")
    return size.name if size else name


def _array_sizes(mistakes: Mistakes, catalog: Catalog, array: NodeArray, path: str) -> NodeArray:
    choices = []
    for number, choice in enumerate(array.vm_sizes):
        at = f"{path}.vm_sizes[{number}]"
        choices.append(SizeChoice(_known(mistakes, catalog, at, choice.name), choice.max_nodes))
        size = catalog.size(choice.name)
        if size is None or mistakes.at(at):
            continue
        if array.priority == "spot" and not size.spot:
            mistakes.add(at, f"{size.name} is not offered as spot")
        if array.max_vcpus and size.vcpus > array.max_vcpus:
            mistakes.add(f"{path}.max_vcpus", f"is {array.max_vcpus}, but one {size.name} has {size.vcpus}")
        _zones(mistakes, array, size, path)
    return replace(array, vm_sizes=tuple(choices))


def _zones(mistakes: Mistakes, array: NodeArray, size: VmSize, path: str) -> None:
    for number, zone in enumerate(array.zones):
        if zone not in size.zones or zone in size.restricted_zones:
            offered = ", ".join(z for z in size.zones if z not in size.restricted_zones) or "no zone"
            mistakes.add(f"{path}.zones[{number}]", f"{size.name} is not offered in zone {zone}, but in {offered}")
