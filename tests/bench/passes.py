"""How planning grows with the cluster, as ratios within one run: ``./dev run python tests/bench/passes.py``.

A pass should cost about ten times as much for ten times as many nodes, and planning should be small beside starting
Ansible, which is what a pass costs at least.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / ".dev/collections"), str(ROOT)]

from tests.unit.plugins.module_utils.planner import packed_world  # noqa: E402
from tests.unit.plugins.module_utils.planner.world import World, array, cluster  # noqa: E402

ROUNDS = 5
SMALL, LARGE = 100, 1000


def world(nodes: int) -> World:
    """A cluster whose every node is wanted by a job of its own."""
    made = World(cluster(array("htc", "Standard_D4s_v5", most=nodes)))
    for number in range(nodes):
        made.submit(str(number), "htc", 1)
    made.schedule()
    return made


def seconds(nodes: int) -> float:
    """The quickest of some plans that grow, claim and find nothing to do, in seconds for all three."""
    best = float("inf")
    for _unused in range(ROUNDS):
        made, spent = world(nodes), 0.0
        for expected in (True, True, False):
            begun = time.perf_counter()
            plan = made.plan()
            spent += time.perf_counter() - begun
            if bool(plan) is not expected:
                raise SystemExit(f"the plan for {nodes} nodes is not what it should be: {plan}")
            made.apply(*plan.azure, *plan.scheduler)
        best = min(best, spent)
    return best


def packing(tasks: int) -> float:
    """The quickest of some plans for so many tasks of 20 kinds that the planner packs itself, in CPU seconds."""
    best = float("inf")
    for _unused in range(ROUNDS):
        made = packed_world.World(packed_world.cluster(packed_world.array("htc", packed_world.LARGE, most=tasks)))
        for number in range(tasks):
            made.submit(str(number), cpus=1 + number % 4, memory=(1 + number % 5) * packed_world.GIB)
        begun = time.process_time()
        plan = made.plan()
        best = min(best, time.process_time() - begun)
        if not plan:
            raise SystemExit(f"the plan for {tasks} tasks is empty")
    return best


def starting_ansible() -> float:
    """The quickest ``ansible --version`` of some, in seconds."""
    best = float("inf")
    for _unused in range(ROUNDS):
        begun = time.perf_counter()
        subprocess.run(["ansible", "--version"], check=True, stdout=subprocess.DEVNULL)
        best = min(best, time.perf_counter() - begun)
    return best


def main() -> None:
    """Print the ratios."""
    small, large, start = seconds(SMALL), seconds(LARGE), starting_ansible()
    print(f"{LARGE} nodes against {SMALL}: {large / small:.1f} times as long")
    print(
        f"{20 * LARGE} jobs against {20 * SMALL}, packed: {packing(20 * LARGE) / packing(20 * SMALL):.1f} times as long"
    )
    print(f"{LARGE} nodes, three plans, against ansible --version: {large / start:.2f}")


if __name__ == "__main__":
    main()
