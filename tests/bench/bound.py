"""A lower bound of what the new nodes of a workload cost in an hour, by linear duality. docs/planner.md has the proof.

Every node type t gets values v[t, r] for its CPUs, its memory, its GPUs, and for being empty, which only jobs that
need a whole node take; together they are worth at most its price and a premium for its type. A job is worth what it
takes of the type on which it takes least, so no node can hold jobs that are worth more than its price and premium,
and all jobs together cost at least their worth, less the worth of what is free on the nodes that are there, less all
premiums that can be paid: for as many nodes as may still be bought of each type. Any values give a bound. A small
program looks for good ones; the bound itself is counted from them here, step by step, so it does not depend on how
they were found.

Where jobs are large, shares of a node count with a dual feasible function f instead of as they are: jobs that fit
together on a node have f-shares that add up to at most 1, and more of the node cannot be used.
"""

from __future__ import annotations

import math
import typing as t
from collections import Counter

from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner.simplex import Program

Json = dict[str, t.Any]
Shape = tuple[int, float, int, bool, bool]
_RESOURCES = (("vcpus", "free_cpus"), ("mem_gb", "free_mem_gb"), ("gpus", "free_gpus"))
_STEPS = (0, 1, 2, 3, 4, 5, 6)
# Looking for good functions takes long where there are more pairs of shape and type than that.
_MANY = 400
# Values are looked for with so many pairs: where there are more, for jobs that are about alike together.
_PAIRS = 600


def dual_feasible(step: int, share: float) -> float:
    """The functions of Fekete and Schepers, 0 for the identity: superadditive, and 1 at most for shares of one node."""
    if step == 0:
        return share
    scaled = share * (step + 1)
    if abs(scaled - round(scaled)) < 1e-9:
        return share
    return math.floor(scaled) / step


def lower_bound(doc: Json) -> float:
    """USD/hour that no valid plan can fall below."""
    types = doc["node_types"]
    shapes = Counter(
        (j["cpus_per_node"], j["mem_gb_per_node"], j["gpus_per_node"], j["exclusive"], j["colocated"])
        for j in doc["jobs"]
        for _unused in range(j["nodes"])
    )
    jobs = {shape: count for shape, count in shapes.items() if any(_fits(shape, one) for one in types)}
    best, steps = 0.0, [[0, 0, 0, 0] for _unused in types]
    best = _bound(doc, jobs, steps)
    for number in range(len(types) if len(jobs) * len(types) <= _MANY else 0):
        for resource in (0, 1):
            for step in _STEPS[1:]:
                tried = [list(row) for row in steps]
                tried[number][resource] = step
                found = _bound(doc, jobs, tried)
                if found > best + 1e-9:
                    best, steps = found, tried
    return best


def _alike(jobs: t.Mapping[Shape, int], most: int) -> dict[Shape, int]:
    """So many shapes at most, each with the jobs of those that are about like it."""
    found = dict(jobs)
    for grain in (8, 4, 3, 2, 1):
        if len(found) <= most:
            break
        together: dict[t.Any, list[Shape]] = {}
        for shape in sorted(jobs):
            sizes = (round(math.log2(max(1 / 16, one)) * grain) for one in shape[:2])
            together.setdefault((*sizes, *shape[2:]), []).append(shape)
        found = {shapes[len(shapes) // 2]: sum(jobs[one] for one in shapes) for shapes in together.values()}
    return found


def _fits(shape: Shape, node_type: Json) -> bool:
    cpus, memory, gpus, _exclusive, colocated = shape
    enough = cpus <= node_type["vcpus"] and memory <= node_type["mem_gb"] and gpus <= node_type["gpus"]
    return enough and (not colocated or bool(node_type["placement_group_size"]))


def _shares(shape: Shape, node_type: Json, steps: t.Sequence[int]) -> list[float]:
    """What a job takes of a node type, per resource, after the functions; all of it if it is alone there."""
    found = []
    for need, (name, _free), step in zip(shape[:3], _RESOURCES, steps, strict=False):
        there = node_type[name]
        found.append((1.0 if shape[3] else dual_feasible(step, need / there)) if there else 0.0)
    whole = shape[3] or any(
        need and need == node_type[name] for need, (name, _f) in zip(shape, _RESOURCES, strict=False)
    )
    return [*found, 1.0 if whole else 0.0]


def _bound(doc: Json, jobs: t.Mapping[Shape, int], steps: t.Sequence[t.Sequence[int]]) -> float:
    types = doc["node_types"]
    free = _free(doc, types, steps)
    rooms = _rooms(doc, types)
    values, premiums = _values(types, _alike(jobs, _PAIRS // len(types)), steps, free, rooms)
    total = -sum(premium * room for premium, room in zip(premiums, rooms, strict=True))
    for shape, count in jobs.items():
        total += count * min(
            sum(value * share for value, share in zip(values[number], _shares(shape, one, steps[number]), strict=True))
            for number, one in enumerate(types)
            if _fits(shape, one)
        )
    return total - sum(
        value * share
        for row, shares in zip(values, free, strict=True)
        for value, share in zip(row, shares, strict=True)
    )


def _free(doc: Json, types: t.Sequence[Json], steps: t.Sequence[t.Sequence[int]]) -> list[list[float]]:
    """What is free on existing nodes per type and resource, after the functions, each node by itself."""
    found = [[0.0, 0.0, 0.0, 0.0] for _unused in types]
    index: dict[str, int] = {}
    for number, one in enumerate(types):
        index.setdefault(one["name"], number)
    for node in doc["existing"]:
        number = index[node["type"]]
        for resource, (name, key) in enumerate(_RESOURCES):
            there = types[number][name]
            if there:
                found[number][resource] += dual_feasible(steps[number][resource], node[key] / there)
        found[number][3] += not node["busy"]
    return found


def _rooms(doc: Json, types: t.Sequence[Json]) -> list[int]:
    """How many nodes of each type may be bought. Existing ones count if their name says of which type they are."""
    names = [one["name"] for one in types]
    there = Counter(node["type"] for node in doc["existing"] if names.count(node["type"]) == 1)
    return [max(0, one["max_count"] - there[one["name"]]) for one in types]


def _values(
    types: t.Sequence[Json],
    jobs: t.Mapping[Shape, int],
    steps: t.Sequence[t.Sequence[int]],
    free: t.Sequence[t.Sequence[float]],
    rooms: t.Sequence[int],
) -> tuple[list[list[float]], list[float]]:
    """Good values and premiums; whatever the program answers, no node is worth more than its price and premium."""
    pairs = [(shape, number) for shape in jobs for number, one in enumerate(types) if _fits(shape, one)]
    program = Program([one["price"] for one in types] + [0.0] * len(pairs))
    for number in range(len(types)):
        for resource in range(4):
            column = {number: 1.0}
            for row, (shape, mine) in enumerate(pairs, len(types)):
                share = _shares(shape, types[number], steps[number])[resource] if mine == number else 0.0
                if share:
                    column[row] = -share
            program.add(-free[number][resource], column)
    for number, room in enumerate(rooms):
        program.add(-float(room), {number: -1.0})
    for shape, count in jobs.items():
        rows = [row for row, (mine, _number) in enumerate(pairs, len(types)) if mine == shape]
        program.add(float(count), dict.fromkeys(rows, 1.0))
    program.solve()
    found = program.values()
    values, premiums = [], [max(0.0, value) for value in found[4 * len(types) : 5 * len(types)]]
    for number, one in enumerate(types):
        row = [max(0.0, value) for value in found[4 * number : 4 * number + 4]]
        scale = min(1.0, (one["price"] + premiums[number]) / sum(row)) if sum(row) else 1.0
        values.append([value * scale for value in row])
    return values, premiums
