"""A pool for tests: what the commands of HTCondor printed, recorded or made up."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Output

FIXTURES = Path(__file__).parents[4] / "fixtures" / "htcondor"
NOW = 1795170000


def offer(
    array: str, size: str, cpus: int, memory_mib: int, gpus: int = 0, group: str = "", **features: str
) -> dict[str, t.Any]:
    labels = {
        "node_array": array, "vm_size": size, "priority": "regular",
        "placement_group": group or f"c-{array}-{size}", **features,
    }  # fmt: skip
    return {"cpus": cpus, "memory_mib": memory_mib, "gpus": gpus, "labels": labels, "disk_gib": 30}


OFFERS = {
    "c-htc-d4sv5": offer("htc", "d4sv5", 4, 15360),
    "c-htc-d8sv5": offer("htc", "d8sv5", 8, 31744),
    "c-hpc-hb120rsv3-pg1": offer("hpc", "hb120rsv3", 120, 435814, 0, "hpc-hb120rsv3-pg1", ib="true"),
    "c-hpc-hb120rsv3-pg2": offer("hpc", "hb120rsv3", 120, 435814, 0, "hpc-hb120rsv3-pg2", ib="true"),
    "c-gpu-nc24": offer("gpu", "nc24", 24, 200000, 1),
}
ATTRIBUTES = {"Arch": "X86_64", "OpSys": "LINUX", "FileSystemDomain": "c", "HasFileTransfer": True}


def outputs(
    jobs: t.Any = (),
    slots: t.Any = (),
    offers: t.Mapping[str, t.Any] | None = None,
    attributes: t.Mapping[str, t.Any] | None = None,
    config: str = "UPDATE_INTERVAL = 30\nUID_DOMAIN = c\n",
    started: int = NOW - 5000,
    **more: Output,
) -> dict[str, Output]:
    """Outputs of all commands; jobs and slots are ads, or the text that was printed."""
    collector = [{"StatsLastUpdateTime": NOW, "StatsLifetime": NOW - started}]
    return {
        "jobs": Output(0, jobs if isinstance(jobs, str) else json.dumps(list(jobs))),
        "slots": Output(0, slots if isinstance(slots, str) else json.dumps(list(slots))),
        "machines": Output(
            0,
            json.dumps(
                {
                    "offers": OFFERS if offers is None else offers,
                    "attributes": ATTRIBUTES if attributes is None else attributes,
                }
            ),
        ),
        "config": Output(0, config),
        "collector": Output(0, json.dumps(collector)),
        **more,
    }


def recorded(situation: str) -> dict[str, Output]:
    """What was recorded in a situation, with machines as that pool had them."""
    folder = FIXTURES / situation
    own = {f"p-{name}": offer(name, "x", 4, 4000) for name in ("htc", "hpc")}
    for name, one in own.items():
        one["labels"] = {"NodeArray": name.partition("-")[2]}
    return outputs((folder / "jobs.json").read_text(), (folder / "slots.json").read_text(), own)


def expression(text: str) -> str:
    """An expression as condor_q -json prints it."""
    return f"/Expr({text})/"


def job(cluster: int = 1, proc: int = 0, **more: t.Any) -> dict[str, t.Any]:
    """The ad of a vanilla job that waits."""
    usual = (
        '(TARGET.Arch == "X86_64") && (TARGET.OpSys == "LINUX") && (TARGET.Disk >= RequestDisk) && '
        "(TARGET.Memory >= RequestMemory) && (TARGET.Cpus >= RequestCpus) && "
        "((TARGET.FileSystemDomain == MY.FileSystemDomain) || (TARGET.HasFileTransfer))"
    )
    own = more.pop("where", "")
    return {
        "ClusterId": cluster, "ProcId": proc, "JobStatus": 1, "JobUniverse": 5, "Owner": "alice", "Cmd": "/bin/sleep",
        "RequestCpus": 1, "RequestMemory": 100, "RequestDisk": expression("DiskUsage"), "DiskUsage": 45,
        "ImageSize": 45, "QDate": NOW - 60, "JobPrio": 0, "FileSystemDomain": "c", "MaxHosts": 1,
        "Requirements": expression(f"({own}) && {usual}" if own else usual), **more,
    }  # fmt: skip


def slot(name: str, **more: t.Any) -> dict[str, t.Any]:
    """The ad of a machine without jobs."""
    host = f"{name}.internal.example"
    return {
        "Name": f"slot1@{host}", "Machine": host, "MyAddress": "<10.0.0.4:9618?addrs=10.0.0.4-9618>",
        "State": "Unclaimed", "Activity": "Idle", "Cpus": 4, "Memory": 15360, "GPUs": 0,
        "TotalSlotCpus": 4, "TotalSlotMemory": 15360, "TotalSlotGPUs": 0, "DaemonStartTime": NOW - 300,
        "NumDynamicSlots": 0, "NumDynamicSlotsTime": NOW - 100,
        "EnteredCurrentState": NOW - 300, "PartitionableSlot": True,
        "HpcLabels": "node_array=htc,vm_size=d4sv5", **more,
    }  # fmt: skip
