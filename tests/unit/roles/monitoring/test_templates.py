"""What the role writes for Prometheus, Grafana and the timer, rendered by Ansible itself."""

from __future__ import annotations

import configparser
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLE = Path(__file__).parents[4] / "roles/monitoring"
FILES = (
    "prometheus.yml",
    "metrics.json",
    "datasource.yaml",
    "dashboards.yaml",
    "azure-hpc-metrics.service",
    "azure-hpc-metrics.timer",
)
KINDS = [{"node_array": "htc", "vm_size": "Standard_D4s_v5", "prefix": "htc-d4sv5", "price": 0.25}]


def rendered(folder: Path, **variables: Any) -> dict[str, str]:
    names = ("defaults/main.yml", "vars/main.yml", "vars/Debian.yml")
    tasks: list[dict[str, Any]] = [{"ansible.builtin.include_vars": str(ROLE / name)} for name in names]
    given = {
        "monitoring_cluster_name": "demo",
        "monitoring_head": "demo-head",
        "monitoring_login": ["demo-login-1"],
        "monitoring_kinds": KINDS,
        **variables,
    }
    tasks.append({"ansible.builtin.set_fact": given})
    for name in FILES:
        copy = {"src": str(ROLE / f"templates/{name}.j2"), "dest": str(folder / name), "mode": "0644"}
        tasks.append({"ansible.builtin.template": copy})
    arguments = {"content": "{{ _monitoring_server_arguments }}", "dest": str(folder / "arguments"), "mode": "0644"}
    tasks.append({"ansible.builtin.copy": arguments})
    (folder / "play.yml").write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    program = Path(sys.executable).parent / "ansible-playbook"
    done = subprocess.run([program, folder / "play.yml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: (folder / name).read_text() for name in (*FILES, "arguments")}


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return rendered(tmp_path_factory.mktemp("usual"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    custom = {"type": "custom", "jobs": {"command": ["mini", 'a "quoted" word']}}
    return rendered(
        tmp_path_factory.mktemp("other"),
        monitoring_listen="::",
        monitoring_port=9999,
        monitoring_interval=300,
        monitoring_login=[],
        monitoring_scheduler="custom",
        monitoring_custom=custom,
    )


def jobs(text: str) -> dict[str, Any]:
    return {one["job_name"]: one for one in yaml.safe_load(text)["scrape_configs"]}


def test_prometheus_asks_head_login_nodes_and_what_the_scheduler_says_is_up(usual: dict[str, str]) -> None:
    node = jobs(usual["prometheus.yml"])["node"]
    assert node["static_configs"] == [
        {
            "targets": ["localhost:9100"],
            "labels": {"instance": "demo-head", "hpc_role": "head", "hpc_cluster": "demo"},
        },
        {
            "targets": ["demo-login-1:9100"],
            "labels": {"instance": "demo-login-1", "hpc_role": "login", "hpc_cluster": "demo"},
        },
    ]
    assert node["file_sd_configs"][0]["files"] == [json.loads(usual["metrics.json"])["targets"]]


def test_what_is_kept_is_bounded_and_the_head_alone_is_answered(usual: dict[str, str]) -> None:
    assert usual["arguments"].split() == [
        "--storage.tsdb.retention.time=15d",
        "--storage.tsdb.retention.size=5GB",
        "--web.listen-address=127.0.0.1:9090",
    ]


def test_an_address_of_six_is_written_as_one(other: dict[str, str]) -> None:
    assert "--web.listen-address=[::]:9999" in other["arguments"].split()
    assert jobs(other["prometheus.yml"])["prometheus"]["static_configs"][0]["targets"] == ["127.0.0.1:9999"]
    assert yaml.safe_load(other["datasource.yaml"])["datasources"][0]["url"] == "http://127.0.0.1:9999"


def test_asking_takes_no_longer_than_the_time_between(usual: dict[str, str], other: dict[str, str]) -> None:
    for text, every in ((usual, "30s"), (other, "300s")):
        found = yaml.safe_load(text["prometheus.yml"])["global"]
        assert (found["scrape_interval"], found["scrape_timeout"]) == (every, "10s")


def test_the_program_is_told_where_it_reads_and_writes(usual: dict[str, str]) -> None:
    found = json.loads(usual["metrics.json"])
    assert found["kinds"] == KINDS
    assert found["custom"] is None
    assert found["textfile"] == "/var/lib/prometheus/node-exporter/azure_hpc.prom"
    assert found["decision_log"] == "/var/log/azure_hpc/demo-decisions.jsonl"


def test_what_a_site_says_of_its_scheduler_stays_as_it_is(other: dict[str, str]) -> None:
    assert json.loads(other["metrics.json"])["custom"]["jobs"]["command"] == ["mini", 'a "quoted" word']


def test_units_are_units(usual: dict[str, str], other: dict[str, str]) -> None:
    service = configparser.ConfigParser(interpolation=None)
    service.read_string(usual["azure-hpc-metrics.service"])
    assert service["Service"]["Type"] == "oneshot"
    assert service["Service"]["ExecStart"].split()[1:] == [
        "/usr/libexec/azure_hpc/queue_metrics.pyz",
        "/etc/azure_hpc/metrics.json",
    ]
    timer = configparser.ConfigParser(interpolation=None)
    timer.read_string(other["azure-hpc-metrics.timer"])
    assert timer["Timer"]["OnUnitActiveSec"] == "300"


def test_grafana_finds_the_dashboards(usual: dict[str, str]) -> None:
    (provider,) = yaml.safe_load(usual["dashboards.yaml"])["providers"]
    assert provider["options"] == {"path": "/usr/share/azure_hpc/dashboards"}
