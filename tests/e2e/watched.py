"""The demo's cluster with Prometheus on its head: what Prometheus knows while a job runs, asked as anybody would."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from typing import Any

import yaml

from demo.__main__ import HEAD, LOGIN
from demo.session import INVENTORY, ROOT, DemoError, Session
from tests.e2e import scenarios

DASHBOARDS = ROOT / "roles/monitoring/files/dashboards"
SERVER = "http://127.0.0.1:9090"


@dataclass
class Known:
    """What Prometheus answered while a job ran: values by their labels, and how queries of dashboards went."""

    node: str
    up: dict[str, float] = field(default_factory=dict)
    jobs: list[dict[str, str]] = field(default_factory=list)
    nodes: list[dict[str, str]] = field(default_factory=list)
    memory: dict[str, float] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    queries: dict[str, list[Any]] = field(default_factory=dict)
    arguments: str = ""
    from_login: str = ""
    stopped: list[str] = field(default_factory=list)


def definition() -> dict[str, Any]:
    """The demo's cluster, watched."""
    found = yaml.safe_load((INVENTORY / "group_vars/all.yml").read_text())["hpc_cluster"]
    return {**found, "monitoring": {"prometheus": {"scrape_interval": 10, "retention_days": 2, "retention_gb": 1}}}


def ask(session: Session, query: str) -> list[Any]:
    """An instant query; raises DemoError for one that Prometheus does not take."""
    command = f"promtool query instant --format json {SERVER} {shlex.quote(query)}"
    return list(json.loads(session.ssh(HEAD, command)))


def by(session: Session, query: str, label: str) -> dict[str, float]:
    return {one["metric"].get(label, ""): float(one["value"][1]) for one in ask(session, query)}


def labels(session: Session, query: str) -> list[dict[str, str]]:
    return [dict(one["metric"]) for one in ask(session, query)]


def watched(session: Session) -> Known:
    """A job runs on a node that was bought for it: Prometheus has to find both by itself."""
    identity = scenarios.submit(session, "--partition=htc", "--job-name=watched", wrap="sleep 300")
    # While its node boots, Slurm says RUNNING and CONFIGURING, and it still takes passes.
    scenarios.serve(session, identity, lambda record: record["job_state"] == ["RUNNING"])
    known = Known(scenarios.job(session, identity)["nodes"])
    try:
        fresh = f'up{{instance="{known.node}"}} == 1'
        session.wait("Prometheus to ask the node", lambda: ask(session, fresh), 900)
        running = 'azure_hpc_jobs{state="running"} > 0'
        session.wait("Prometheus to know the job", lambda: ask(session, running), 900)
        look(session, known)
        known.stopped = stopped(session)
    except DemoError as error:
        raise DemoError(f"{error}\n{trouble(session)}") from error
    finally:
        session.ssh(LOGIN, f"scancel {identity}")
    return known


STOP = [
    {
        "hosts": HEAD,
        "gather_facts": True,
        "become": True,
        "tasks": [{"ansible.builtin.include_role": {"name": "azure_hpc.cluster.monitoring", "tasks_from": "stop"}}],
    }
]


def stopped(session: Session) -> list[str]:
    """What site does without ``prometheus``, twice; answers what each has changed, and what the services are then."""
    playbook = session.folder / "stop.yml"
    playbook.write_text(yaml.safe_dump(STOP))
    runs = [session.run(["ansible-playbook", "-i", str(INVENTORY), str(playbook)]) for _twice in range(2)]
    changes = [found for run in runs for found in re.findall(r"changed=(\d+)", run)]
    units = "prometheus.service azure-hpc-metrics.timer prometheus-node-exporter.service"
    return [*changes, *session.ssh(HEAD, f"systemctl is-active {units}; true").split()]


def trouble(session: Session) -> str:
    """What there is to see where Prometheus does not find what it should."""
    commands = (
        "systemctl status --no-pager azure-hpc-metrics.timer azure-hpc-metrics.service prometheus.service",
        "cat /var/lib/azure_hpc/monitoring/nodes.json /var/lib/prometheus/node-exporter/azure_hpc.prom",
        "sudo journalctl --no-pager -n 20 -u azure-hpc-metrics -u prometheus",
        "squeue; scontrol show nodes --oneliner; date",
    )
    told = session.ssh(HEAD, "; ".join(commands) + "; true")
    return f"{by(session, 'up', 'instance')}\n{told}"


def look(session: Session, known: Known) -> None:
    known.up = by(session, 'up{job="node"}', "instance")
    known.jobs = labels(session, 'azure_hpc_user_jobs{state="running"} > 0')
    known.nodes = labels(session, 'azure_hpc_nodes{state="busy"} > 0')
    known.memory = by(session, "node_memory_MemTotal_bytes", "instance")
    known.names = {one["__name__"] for one in labels(session, 'count by (__name__) ({job="node"})')}
    for path in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", []):
                known.queries[target["expr"]] = ask(session, filled(target["expr"]))
    known.arguments = session.ssh(HEAD, "cat /proc/$(pidof prometheus)/cmdline | tr '\\0' ' '")
    look_from_outside = f"(exec 3<>/dev/tcp/{HEAD}/9090) 2>/dev/null && echo open || echo closed"
    known.from_login = session.ssh(LOGIN, f"bash -c {shlex.quote(look_from_outside)}").strip()


def filled(query: str) -> str:
    """A query of a dashboard as Grafana would send it."""
    query = query.replace("$cluster", "demo").replace("$__rate_interval", "1m")
    return re.sub(r"\$node\b", ".*", query)
