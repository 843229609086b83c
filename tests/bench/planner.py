"""What a plan costs, and how long planning takes: ``./dev run python tests/bench/planner.py WORKLOAD.json``.

Prints one line of JSON. Every placement is checked by `workload.check`, which does not know the planner.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import typing as t
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / ".dev/collections"), str(ROOT)]

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import plan as steps  # noqa: E402
from ansible_collections.azure_hpc.cluster.plugins.module_utils.planner import packed  # noqa: E402

from tests.bench import workload  # noqa: E402
from tests.bench.bound import lower_bound  # noqa: E402

Json = dict[str, t.Any]


def measure(doc: Json) -> Json:
    """Plan a workload, check the placements, count."""
    world = workload.read(doc)
    begun = time.process_time()
    done = packed.Pass(world.cluster, world.layout, world.queue, world.fleet, world.catalog, workload.NOW)
    plan = done.plan()
    spent = time.process_time() - begun
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    spots, nodes_of, used = placements(doc, world, done)
    wrong = workload.check(doc, spots, nodes_of)
    if wrong:
        raise SystemExit(f"{len(wrong)} placements are not valid: {'; '.join(wrong[:5])}")
    bought = growth(world, plan)
    prices = {(one["name"], one["spot"]): one["price"] for one in doc["node_types"]}
    vcpus = {one["name"]: one["vcpus"] for one in doc["node_types"]}
    return {
        "plan_cpu_s": round(spent, 3),
        "new_nodes": {name + ("/spot" if spot else ""): count for (name, spot), count in sorted(bought.items())},
        "cost_per_h": round(sum(prices[key] * count for key, count in bought.items()), 2),
        "cores_bought": sum(vcpus[name] * count for (name, _spot), count in bought.items()),
        "cores_used_on_new": used,
        "jobs_unplaced": len(doc["jobs"]) - len(nodes_of),
        "existing_idle_unused": idle_in_vain(doc, spots, nodes_of),
        "peak_rss_mib": rss,
        "lower_bound_per_h": round(lower_bound(doc), 2),
    }


def growth(world: workload.Workload, plan: steps.Plan) -> dict[tuple[str, bool], int]:
    """New machines per node type, by the steps that would go to Azure."""
    found: dict[tuple[str, bool], int] = {}
    for step in plan.azure:
        if isinstance(step, steps.Grow):
            one = world.type_of[step.scale_set]
            key = (one["name"], one["spot"])
            found[key] = found.get(key, 0) + step.capacity - step.current
    return found


def placements(
    doc: Json, world: workload.Workload, done: packed.Pass
) -> tuple[dict[t.Any, workload.Spot], dict[str, list[t.Any]], int]:
    """The checker's books: every node, existing or bought, and the nodes of each job; and the CPUs used on new ones."""
    spots: dict[t.Any, workload.Spot] = {}
    keys: dict[int, t.Any] = {}
    names = {one["name"].lower().replace("_", "-"): one for one in doc["existing"]}
    group_of = {instance.computer_name: item.name for item in world.fleet.scale_sets for instance in item.instances}
    for name, one in names.items():
        mine = world.type_of[group_of[name]]
        spots[name] = workload.Spot(
            mine, one["free_cpus"], one["free_mem_gb"], one["free_gpus"], group_of[name], not one["busy"]
        )
    for number, one in enumerate(done.new_nodes()):
        mine = world.type_of[one.spec.name]
        spots[number] = workload.Spot(mine, mine["vcpus"], mine["mem_gb"], mine["gpus"], one.spec.name, True)
        keys[id(one)] = number
    nodes_of: dict[str, list[t.Any]] = {}
    used = 0
    by_id = {job["id"]: job for job in doc["jobs"]}
    for job, nodes in done.placements():
        nodes_of[job.id] = [node_key(keys, one) for one in nodes]
        used += by_id[job.id]["cpus_per_node"] * sum(id(one) in keys for one in nodes)
    return spots, nodes_of, used


def node_key(keys: t.Mapping[int, int], one: t.Any) -> t.Any:
    """The number of a bought node, the name of an existing one."""
    return keys.get(id(one), getattr(one, "name", ""))


def idle_in_vain(doc: Json, spots: t.Mapping[t.Any, workload.Spot], nodes_of: t.Mapping[str, list[t.Any]]) -> int:
    """Idle existing nodes left empty although a job on a bought node would have fitted there by itself."""
    shapes = {
        (job["cpus_per_node"], job["mem_gb_per_node"], job["gpus_per_node"])
        for job in doc["jobs"]
        if job["nodes"] == 1 and any(isinstance(key, int) for key in nodes_of.get(job["id"], ()))
    }
    return sum(
        isinstance(key, str)
        and spot.idle
        and not spot.jobs
        and any(cpus <= spot.cpus and memory <= spot.memory and gpus <= spot.gpus for cpus, memory, gpus in shapes)
        for key, spot in spots.items()
    )


def main() -> None:
    """Measure the workload that is named on the command line."""
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    doc = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print(json.dumps(measure(doc), sort_keys=True))


if __name__ == "__main__":
    main()
