"""What every scheduler has to do the same way. Each case is a function of a living site; its docstring is its name."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from demo.session import DemoError
from tests.conformance.drivers import Ask
from tests.conformance.site import Site

PROOF = "/tmp/azure_hpc-evaluated"
HOSTILE = (
    f"{{{{ lookup('pipe', 'touch {PROOF}') }}}}",
    f"$(touch {PROOF})",
    f"`touch {PROOF}`;touch {PROOF}",
)


def scale_from_zero(site: Site) -> None:
    """a cluster without machines gets one for a job"""
    assert site.machines() == []
    job = site.submit(Ask())
    site.finish(job)
    assert len(site.machines("htc")) == 1
    assert len(site.machines()) == 1


def grow(site: Site) -> None:
    """jobs that fill a node each get a machine each, and one that is there already is used"""
    # Longer than a machine needs to come up: else one node could serve them one after the other.
    jobs = [site.submit(Ask(cpus=4, seconds=45)) for _number in range(3)]
    site.finish(*jobs)
    assert len({host for job in jobs for host in site.hosts(job)}) == 3


def metrics(site: Site) -> None:
    """Prometheus is told the same of every queue, and finds the machines"""
    job = site.submit(Ask(seconds=600))
    site.until("the job runs", lambda: "yes" in site.user(site.driver.running(job.id)))
    told: list[tuple[dict[str, float], list[str]]] = []

    def complete() -> bool:
        told[:] = [site.told()]
        samples = told[0][0]
        some = (("azure_hpc_user_jobs", "running"), ("azure_hpc_nodes", "busy"), ("azure_hpc_cpus", "used"))
        return all(sum(samples[one] for one in samples if one.startswith(name) and word in one) for name, word in some)

    try:
        site.until("job and node are told", complete)
    except DemoError as error:
        raise AssertionError(f"{error}\n{told}") from error
    site.user(site.driver.cancel(job.id))
    ((samples, targets),) = told
    assert samples[f'azure_hpc_queue_readable{{scheduler="{site.driver.type}"}}'] == 1
    addresses = {machine["ansible_host"] for machine in site.machines()}
    found = {site.user(f"getent hosts {target.rpartition(':')[0]}").split()[0] for target in targets}
    assert found
    assert found <= addresses


def array(site: Site) -> None:
    """an array shares few machines"""
    job = site.submit(Ask(tasks=12))
    site.finish(job)
    assert len(site.hosts(job)) == 12
    assert len(site.machines("htc")) <= 3


def mpi(site: Site) -> None:
    """the nodes of a parallel job are in one placement group"""
    job = site.submit(Ask(array="hpc", nodes=2, cpus=120))
    site.finish(job)
    assert len(set(site.hosts(job))) == 2
    groups = {one["hpc_scale_set"] for one in site.machines("hpc")}
    assert len(groups) == 1, groups


def gpu(site: Site) -> None:
    """a job that asks for a GPU gets a machine that has one"""
    job = site.submit(Ask(array="gpu", gpus=1))
    site.finish(job)
    assert len(site.machines("gpu")) == 1


def exclusive(site: Site) -> None:
    """jobs that want a node for themselves do not share one"""
    jobs = [site.submit(Ask(exclusive=True, seconds=45)) for _number in range(2)]
    site.finish(*jobs)
    assert len({host for job in jobs for host in site.hosts(job)}) == 2


def impossible(site: Site) -> None:
    """the owner of a job that no machine can run is told so, and nothing is bought for it"""
    before = len(site.machines("gpu"))
    job = site.submit(Ask(array="gpu", gpus=1, nodes=2))
    site.until("a reason for its owner", lambda: "azure_hpc" in site.user(site.driver.reason(job.id)))
    assert len(site.machines("gpu")) <= before
    assert site.hosts(job) == []
    site.user(site.driver.cancel(job.id))


def hostile_names(site: Site) -> None:
    """what users call their jobs is never a template and never a shell word"""
    Path(PROOF).unlink(missing_ok=True)
    jobs = [site.submit(Ask(name=name)) for name in HOSTILE]
    site.finish(*jobs)
    assert not Path(PROOF).exists()
    assert site.user(f"ls {PROOF} 2>/dev/null || echo none").strip() == "none"


def job_during_drain(site: Site) -> None:
    """a job that comes while idle nodes are taken away runs once, to its end"""
    begun = len(site.lines)
    site.finish(site.submit(Ask()))  # so that there is a node that will be idle, however long the last case took
    site.until("a node is taken away", lambda: any(words in line for line in site.lines[begun:] for words in GOING))
    job = site.submit(Ask(seconds=3))
    site.finish(job)
    time.sleep(1)
    assert len(site.hosts(job)) == 1


def lost_file_system(site: Site) -> None:
    """a node that loses a file system says why, and gets no jobs until it has it again"""
    # So long that the node is not idle, and with room for another job.
    runs = site.submit(Ask(seconds=600))
    site.until("the job runs", lambda: "yes" in site.user(site.driver.running(runs.id)))
    machines = site.machines("htc")
    site.session.remember_hosts()
    for machine in machines:
        site.session.ssh(machine["hpc_name"], LOSE)
    site.until("the node says why", lambda: "mounts" in site.user(site.driver.unwell))
    waits = site.submit(Ask(seconds=1))
    time.sleep(10)
    assert site.hosts(waits) == []
    for machine in machines:
        site.session.ssh(machine["hpc_name"], FIND)
    site.until("the node is well", lambda: "mounts" not in site.user(site.driver.unwell))
    site.finish(waits)
    site.user(site.driver.cancel(runs.id))


JOIN = "/etc/azure_hpc/join.json"
LOOK = (
    "sudo systemctl stop azure-hpc-watch azure-hpc-often; sudo systemd-run --quiet --collect --unit=azure-hpc-often "
    "--setenv=AZURE_HPC_WATCH_SECONDS=3 /usr/libexec/azure_hpc/join watch"
)
LOSE = f"""sudo cp {JOIN} {JOIN}.kept && sudo /usr/bin/python3 -c '
import json
about = json.load(open("{JOIN}.kept"))
about["mounts"].append(dict(source=about["head"] + ":/none", path="/mnt/none"))
json.dump(about, open("{JOIN}", "w"))
' && {{ {LOOK}; }}"""
FIND = f"sudo mv {JOIN}.kept {JOIN} && {{ {LOOK}; }}"


GOING = ("drain ", "power", "delete ")


def node_crash(site: Site) -> None:
    """a machine that dies is replaced, and jobs run again"""
    job = site.submit(Ask(cpus=4, seconds=40))
    site.until("the job runs", lambda: "yes" in site.user(site.driver.running(job.id)))
    victims = site.machines("htc")
    for victim in victims:
        site.session.sandbox("fault", "crash", str(victim["hpc_resource_id"]))
    dead = {victim["hpc_resource_id"].lower() for victim in victims}
    again = site.submit(Ask())
    site.finish(again)
    site.until(
        "the dead machines are gone",
        lambda: not dead & {one["hpc_resource_id"].lower() for one in site.machines()},
    )
    site.user(f"{site.driver.cancel(job.id)} || true")


def head_restart(site: Site) -> None:
    """a restart of the scheduler loses no job, neither one that runs nor one that waits"""
    runs = site.submit(Ask(cpus=4, seconds=20))
    site.until("the job runs", lambda: "yes" in site.user(site.driver.running(runs.id)))
    waits = site.submit(Ask(array="hpc", nodes=2, cpus=120))
    site.session.ssh(site.head, f"sudo systemctl restart {site.driver.daemon}")
    site.finish(runs, waits)


def idle_drain_and_delete(site: Site) -> None:
    """idle machines are taken away, all of them, and then there is nothing left to do"""
    site.empty()
    site.until("an empty pass", lambda: site.one_pass() == [])


Case = Callable[[Site], None]
CASES: tuple[Case, ...] = (
    scale_from_zero, grow, metrics, array, mpi, gpu, exclusive, impossible, hostile_names, job_during_drain,
    lost_file_system, node_crash, head_restart, idle_drain_and_delete,
)  # fmt: skip
