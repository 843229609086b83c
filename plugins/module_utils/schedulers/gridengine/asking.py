# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a waiting job asks for, in the planner's words: pieces, labels, queues, one placement group."""

from __future__ import annotations

import math
import re
import typing as t
from dataclasses import dataclass

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import offers
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import FREE, SCATTER, Chunk

from .documents import ParseError
from .jobs import Listed
from .site import ClusterQueue, Complex, Environment, Leaf, Site, fits

MIB = 1024 * 1024
# Consumables that nodes have as much of as they have memory; a job may count itself in either.
MEMORY = ("h_vmem", "mem_free")
# What nodes report of their memory: it is needed on a node, and nothing is taken away from it.
REPORTED = ("mem_free", "mem_total", "virtual_free", "virtual_total")
GPU, EXCLUSIVE, HOSTNAME, QUEUE_NAME, ARCHITECTURE = "gpu", "exclusive", "hostname", "qname", "arch"
# Grid Engine's own words for the machines that Azure has.
ARCHITECTURES = ("lx-amd64", "lx-arm64")


class Never(Exception):
    """Why no machine would help the job, for its owner."""


@dataclass(frozen=True)
class Needs:
    """What a job needs; ``pool`` are amounts of resources that all machines share, such as licences;
    ``environment`` is the parallel environment."""

    chunks: tuple[Chunk, ...]
    spread: str
    exclusive: bool
    one_group: bool
    partitions: tuple[str, ...]
    slots: int
    pool: tuple[tuple[str, float], ...] = ()
    environment: str = ""


_Place = tuple[ClusterQueue, Leaf, t.Optional[Environment]]


def needs(job: Listed, site: Site, shared: t.Container[str] = ()) -> Needs:
    """What the job needs; ``shared`` are names of resources that belong to no host.

    Raises Never when new machines cannot help, and ParseError when the job is not understood.
    """
    wanted = [(_kind(site, name), value) for name, value in job.hard]
    environments = site.matching(job.environment) if job.environment else ()
    if job.environment and not environments:
        raise Never(f"there is no parallel environment {job.environment}")
    places = _places(job, site, wanted, environments)
    environment = next((place[2] for place in places), None)
    slots, per_node = shape(job, environment)
    labels = _labels(places, site, wanted)
    pieces = max(1, slots // per_node)
    given = {kind.name for kind, _value in wanted if any(_given(queue, leaf, kind) for queue, leaf, _pe in places)}
    each, once, exclusive, pool = _amounts(
        [item for item in wanted if item[0].name not in given], per_node, slots, shared
    )
    chunks = _chunks(pieces, per_node, each, once, labels)
    tight = bool(environment) and pieces > 1 and _one_group(job.environment, places)
    scatter = environment is not None and environment.rule.isdigit()
    return Needs(
        chunks=chunks,
        spread=SCATTER if scatter and pieces > 1 else FREE,
        exclusive=exclusive,
        one_group=tight,
        partitions=tuple(sorted({place[0].name for place in places})),
        slots=slots,
        pool=pool,
        environment=environment.name if environment else "",
    )


def _kind(site: Site, name: str) -> Complex:
    found = site.complexes.get(name)
    if found is None:
        raise ParseError(f"it asks for {name}, which qconf -sc does not have")
    return found


def shape(job: Listed, environment: t.Optional[Environment]) -> tuple[int, int]:
    """The fewest slots that the job can begin with, and how many of them a piece has. Raises Never."""
    if environment is None:
        return 1, 1
    ranges = _ranges(job.range)
    if environment.rule == "$pe_slots":
        slots = ranges[0][0]
        return slots, slots
    per_node = int(environment.rule) if environment.rule.isdigit() else 1
    for low, high in ranges:
        slots = -(-low // max(1, per_node)) * max(1, per_node)
        if slots <= high:
            if environment.slots and slots > environment.slots:
                raise Never(f"the parallel environment {environment.name} has {environment.slots} slots for all jobs")
            return slots, max(1, per_node)
    raise Never(f"{job.range} slots are no multiple of {per_node}, of which {environment.name} gives each node")


def _ranges(text: str) -> list[tuple[int, int]]:
    """2,4,8 or 2-6 as lowest and highest numbers, the smallest first. Raises ParseError."""
    found = []
    for part in text.split(","):
        match = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?(?::[0-9]+)?", part.strip())
        if match is None:
            raise ParseError(f"{text!r} are no slots")
        low = max(1, int(match.group(1)))
        found.append((low, max(low, int(match.group(2) or low))))
    return sorted(found)


def _places(
    job: Listed, site: Site, wanted: t.Sequence[tuple[Complex, str]], environments: t.Sequence[Environment]
) -> list[_Place]:
    """Where the job could run: queues with groups of nodes in them, and parallel environments there. Raises Never."""
    named = [value for kind, value in wanted if kind.name == QUEUE_NAME]
    patterns = (*job.queues, *named)
    queues = [queue for queue in site.queues.values() if not patterns or any(_means(queue, one) for one in patterns)]
    if not queues:
        raise Never(f"there is no queue {', '.join(patterns)}" if patterns else "there is no queue")
    found = [(queue, site.leaves[leaf]) for queue in queues for leaf in queue.leaves]
    if patterns:
        found = [(queue, leaf) for queue, leaf in found if any(_allows(queue, leaf, one, site) for one in patterns)]
        if not found:
            raise Never(f"{', '.join(patterns)} names hosts: no new machine is one of them")
    for kind, value in wanted:
        if kind.name in (HOSTNAME, ARCHITECTURE):
            _fixed(kind, value)
        before = found
        # What some queue gives its nodes, the others do not have.
        given = [(queue, leaf) for queue, leaf in found if _given(queue, leaf, kind) is not None]
        found = [(queue, leaf) for queue, leaf in given or found if _satisfies(queue, leaf, kind, value)]
        if before and not found:
            raise Never(f"no queue that it can have has nodes with {kind.name}={value}")
    if not job.environment:
        return _in_order([(queue, leaf, None) for queue, leaf in found])
    placed: list[_Place] = []
    for queue, leaf in found:
        offered = queue.value("pe_list", leaf.name).replace(",", " ").split()
        placed.extend((queue, leaf, one) for one in environments if one.name in offered)
    if not placed:
        raise Never(f"no queue that it can have has the parallel environment {job.environment}")
    return _in_order(placed)


def _in_order(places: list[_Place]) -> list[_Place]:
    if not places:
        raise Never("no queue that it can have has nodes of this cluster")
    return sorted(places, key=lambda place: (place[2].name if place[2] else "", place[0].name, place[1].name))


def _means(queue: ClusterQueue, pattern: str) -> bool:
    return fits(pattern.partition("@")[0] or "*", queue.name)


def _allows(queue: ClusterQueue, leaf: Leaf, pattern: str, site: Site) -> bool:
    """Whether queue, queue@@group, @@group or queue@* mean the nodes of a leaf, with wildcards."""
    name, at, domain = pattern.partition("@")
    if not fits(name or "*", queue.name):
        return False
    if not at or domain == "*":
        return True
    if not domain.startswith("@"):
        return False
    return any(leaf.name in leaves for group, leaves in site.groups.items() if fits(domain, group))


def _fixed(kind: Complex, value: str) -> None:
    if kind.name == HOSTNAME and value != "*":
        raise Never(f"it asks for the host {value}: no new machine is that")
    if kind.name == ARCHITECTURE and not any(fits(value, known) for known in ARCHITECTURES):
        raise Never(f"it asks for the architecture {value}")


def _satisfies(queue: ClusterQueue, leaf: Leaf, kind: Complex, value: str) -> bool:
    """Whether the nodes of a leaf in a queue can have what is asked for, as far as their configuration says."""
    ours = {offers.NODE_ARRAY: leaf.node_array, offers.VM_SIZE: leaf.vm_size}
    if kind.name in ours:
        return fits(value, ours[kind.name])
    if kind.name == offers.PLACEMENT_GROUP and leaf.group:
        return fits(value, leaf.group)
    if kind.name == QUEUE_NAME:
        return fits(value, queue.name)
    given = _given(queue, leaf, kind)
    if given is not None:
        if not kind.is_number:
            return fits(value, given) or kind.word(value) == kind.word(given)
        return kind.amount(given) >= kind.amount(value)
    limit = queue.value(kind.name, leaf.name)
    if kind.relation == "<=" and kind.is_number and limit and limit != "NONE":
        return kind.amount(limit) >= kind.amount(value)
    return True


def _given(queue: ClusterQueue, leaf: Leaf, kind: Complex) -> t.Optional[str]:
    """What the queue itself says its nodes have (complex_values)."""
    for item in queue.value("complex_values", leaf.name).split(","):
        name, equals, value = item.strip().partition("=")
        if equals and name == kind.name:
            return value
    return None


def _labels(
    places: t.Sequence[_Place], site: Site, wanted: t.Sequence[tuple[Complex, str]]
) -> tuple[tuple[str, str], ...]:
    """Labels that nodes must have: what the job asks for, and what tells the places from others in its queues."""
    found = dict(_where(places, site))
    for kind, value in wanted:
        if kind.is_number or kind.name in (HOSTNAME, ARCHITECTURE, QUEUE_NAME, offers.NODE_ARRAY, offers.VM_SIZE):
            continue
        if kind.relation == "EXCL" or any(_given(queue, leaf, kind) is not None for queue, leaf, _pe in places):
            continue
        if re.search(r"[*?|\[\]!]", value):
            if kind.name == offers.PLACEMENT_GROUP:
                continue
            raise Never(f"it asks for {kind.name}={value}, and which nodes would do cannot be told")
        found[kind.name] = kind.word(value)
    return tuple(sorted(found.items()))


def _where(places: t.Sequence[_Place], site: Site) -> tuple[tuple[str, str], ...]:
    """The fewest labels that mean some of the places and nothing else in their queues; none where they are all."""
    mine = {leaf.name for _queue, leaf, _pe in places}
    around = [site.leaves[name] for name in sorted({name for queue, _leaf, _pe in places for name in queue.leaves})]
    choices: list[tuple[tuple[str, str], ...]] = [()]
    for _queue, leaf, _pe in places:
        choices.append(((offers.NODE_ARRAY, leaf.node_array),))
    for _queue, leaf, _pe in places:
        choices.append(((offers.NODE_ARRAY, leaf.node_array), (offers.VM_SIZE, leaf.vm_size)))
    for _queue, leaf, _pe in places:
        if leaf.group:
            choices.append(((offers.PLACEMENT_GROUP, leaf.group),))
    for choice in choices:
        meant = {leaf.name for leaf in around if all(_label(leaf, name) == value for name, value in choice)}
        if meant and meant <= mine:
            return choice
    raise Never("which nodes would do cannot be told")


def _label(leaf: Leaf, name: str) -> str:
    return {
        offers.NODE_ARRAY: leaf.node_array,
        offers.VM_SIZE: leaf.vm_size,
        offers.PLACEMENT_GROUP: leaf.group,
    }[name]


def _one_group(pattern: str, places: t.Sequence[_Place]) -> bool:
    """Whether all nodes of the job are in one placement group: its environment is that of one group, or may be."""
    groups: dict[str, set[str]] = {}
    for _queue, leaf, environment in places:
        if environment is not None:
            groups.setdefault(environment.name, set()).add(leaf.group)
    return any(len(found) == 1 and found != {""} for found in groups.values())


_Amounts = dict[str, float]


def _amounts(
    wanted: t.Sequence[tuple[Complex, str]], per_node: int, slots: int, shared: t.Container[str]
) -> tuple[_Amounts, _Amounts, bool, tuple[tuple[str, float], ...]]:
    """Amounts that each piece needs, those that the job needs once, whether it is alone, and what all machines share.

    Consumables count for every slot, unless they count once for a job.
    """
    each: _Amounts = {}
    once: _Amounts = {}
    pool: _Amounts = {}
    exclusive = False
    for kind, value in wanted:
        if kind.relation == "EXCL":
            exclusive = exclusive or kind.word(value) == "true"
        elif kind.is_number and kind.name in shared:
            pool[kind.name] = kind.amount(value) * (1 if kind.consumable == "JOB" else slots)
        elif kind.is_number and kind.consumable == "YES":
            each[kind.name] = kind.amount(value) * per_node
        elif kind.is_number and kind.consumable == "JOB":
            once[kind.name] = kind.amount(value)
        elif kind.name in REPORTED:
            each[kind.name] = kind.amount(value)
    return each, once, exclusive, tuple(sorted(pool.items()))


def _chunks(
    pieces: int, per_node: int, each: _Amounts, once: _Amounts, labels: tuple[tuple[str, str], ...]
) -> tuple[Chunk, ...]:
    rest = _chunk(pieces - 1, per_node, each, labels) if once and pieces > 1 else None
    first = _chunk(
        1 if rest else pieces,
        per_node,
        {name: each.get(name, 0) + once.get(name, 0) for name in sorted({*each, *once})},
        labels,
    )
    return (first, rest) if rest else (first,)


def _chunk(count: int, cpus: int, amounts: _Amounts, labels: tuple[tuple[str, str], ...]) -> Chunk:
    memory = max((value for name, value in amounts.items() if name in MEMORY or name in REPORTED), default=0.0)
    others = {name: value for name, value in amounts.items() if name not in (*MEMORY, *REPORTED, GPU) and value > 0}
    return Chunk(
        count=count,
        cpus=cpus,
        memory_mib=math.ceil(memory / MIB) if math.isfinite(memory) else 0,
        gpus=math.ceil(amounts.get(GPU, 0)),
        resources=tuple(sorted(others.items())),
        labels=labels,
    )
