# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What HTCondor's commands print, as values.

Jobs of one cluster (HTCondor's word for what was handed in together) that wait and ask for the same are one `Job`,
whose id is the cluster's number; all others have the number of the job, too: 12.3. What cannot be read as a whole
makes the observation incomplete; a single job that cannot be understood is skipped with its reason.
"""

from __future__ import annotations

import json
import re
import typing as t
from dataclasses import replace

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Job, Queue, QueueNode
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Output

from . import jobs as _jobs
from .requests import Machines

# Machines report every so many seconds, unless the pool's configuration says otherwise.
REPORT_INTERVAL = 300


class ParseError(ValueError):
    """Output that is not what the command prints; the text says where."""


def queue(outputs: t.Mapping[str, Output], observed_at: int) -> Queue:
    """The queue from the outputs of all commands. Whatever could not be read is named in ``errors``."""
    errors: list[str] = []
    skipped: list[str] = []
    found: list[Job] = []
    nodes: tuple[QueueNode, ...] = ()
    cluster = ""
    try:
        settings = config(_output(outputs, "config", "condor_config_val"))
        _complete(outputs, settings, observed_at)
        slots = _ads(outputs, "slots", "condor_status")
        nodes = tuple(_node(ad, at) for at, ad in slots if ad.get("PartitionableSlot") is True)
        limits = _jobs.limits(settings)
        found, skipped = _jobs.read(_job_ads(outputs), machines(outputs), limits)
        found = _without_dead(found, frozenset(node.name for node in nodes))
        cluster = settings.get("uid_domain", "")
    except ParseError as error:
        errors.append(str(error))
    return Queue("htcondor", cluster, observed_at, tuple(found), nodes, tuple(errors), tuple(skipped), kicks=True)


def _without_dead(jobs: t.Sequence[Job], listed: t.AbstractSet[str]) -> list[Job]:
    """Jobs without the nodes that the collector has not heard of for so long that it does not list them any more.

    HTCondor counts such a job as running until its lease has ended; its machine must not be kept for it.
    """
    return [replace(job, nodes=tuple(name for name in job.nodes if name in listed)) for job in jobs]


def _output(outputs: t.Mapping[str, Output], key: str, what: str) -> str:
    output = outputs.get(key)
    if output is None:
        raise ParseError(f"{what} was not run")
    if output.status != 0:
        raise ParseError(f"{what} failed with status {output.status}: {output.said()}")
    return output.stdout


def _ads(outputs: t.Mapping[str, Output], key: str, what: str) -> list[tuple[str, dict[str, t.Any]]]:
    """The ads that a command printed, with where they are. Nothing printed means that there are none."""
    text = _output(outputs, key, what).strip()
    if not text:
        return []
    try:
        data = json.loads(text)
    except ValueError as error:
        raise ParseError(f"{what} did not print JSON: {error}") from None
    if not isinstance(data, list) or not all(isinstance(ad, dict) for ad in data):
        raise ParseError(f"{what} did not print a list of ads")
    return [(f"{what}[{index}]", ad) for index, ad in enumerate(data)]


def _job_ads(outputs: t.Mapping[str, Output]) -> list[dict[str, t.Any]]:
    """The ads of all jobs, with the further attributes that were asked for."""
    more = {_identity(ad): ad for _at, ad in _ads(outputs, "more", "condor_q")} if "more" in outputs else {}
    return [{**more.get(_identity(ad), {}), **ad} for _at, ad in _ads(outputs, "jobs", "condor_q")]


def _identity(ad: t.Mapping[str, t.Any]) -> tuple[t.Any, t.Any]:
    return ad.get("ClusterId"), ad.get("ProcId")


def config(text: str) -> dict[str, str]:
    """``NAME = value`` lines of condor_config_val -dump, names in lower case."""
    found = {}
    for line in text.splitlines():
        name, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            found[name.strip().lower()] = value.strip()
    return found


def _complete(outputs: t.Mapping[str, Output], settings: t.Mapping[str, str], observed_at: int) -> None:
    """A collector that has just started lists only what has reported since: machines would seem to be gone."""
    ads = _ads(outputs, "collector", "condor_status -collector")
    started = max((_number(ad, "StatsLastUpdateTime") - _number(ad, "StatsLifetime") for _at, ad in ads), default=0)
    if started <= 0:
        raise ParseError("condor_status -collector lists no collector: it has not reported to itself yet")
    text = settings.get("update_interval", "")
    interval = int(text) if text.isdigit() else REPORT_INTERVAL
    wait = started + interval + interval // 4 + 5 - observed_at
    if wait > 0:
        raise ParseError(f"the collector has just started: all machines will have reported in {wait} s")


def machines(outputs: t.Mapping[str, Output]) -> Machines:
    """What machines of the cluster would offer. Raises ParseError."""
    text = _output(outputs, "machines", "reading what machines offer")
    try:
        return Machines.read(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ParseError(f"what machines offer is not understood: {error!r}; run the playbook site") from None


def wanted_attributes(outputs: t.Mapping[str, Output]) -> tuple[str, ...]:
    """Attributes that requirements of jobs use and that neither `commands` asks for nor machines are known to have."""
    try:
        return _jobs.unknown_names(_job_ads(outputs), machines(outputs))
    except ParseError:
        return ()  # `queue` says it


def _node(ad: t.Mapping[str, t.Any], at: str) -> QueueNode:
    host = ad.get("Machine")
    if not isinstance(host, str) or not host:
        raise ParseError(f"{at} has no Machine")
    for key in ("Cpus", "Memory", "State"):
        if key not in ad:
            raise ParseError(f"{at} ({host}) has no {key}")
    draining = ad.get("Draining") is True or ad["State"] == "Drained"
    # What the node says of itself: it takes no jobs, though it does not drain.
    unwell = _text(ad, "HpcUnwell")
    jobs = _jobs_on(ad, draining)
    last = "HpcLastBusy" if "HpcLastBusy" in ad else "NumDynamicSlotsTime"
    address = re.search(r"<([0-9.]+):", _text(ad, "MyAddress"))
    return QueueNode(
        name=host.partition(".")[0].lower(),
        hostname=host,
        flags=frozenset(word for word in (_text(ad, "State").upper(), _text(ad, "Activity").upper()) if word),
        address=address.group(1) if address else "",
        reason=_text(ad, "DrainReason") if draining else unwell,
        reason_at=_number(ad, "LastDrainStartTime") if draining else 0,
        cpus=_number(ad, "TotalSlotCpus"),
        memory_mib=_number(ad, "TotalSlotMemory"),
        gpus=_number(ad, "TotalSlotGPUs"),
        registered_at=_number(ad, "DaemonStartTime"),
        up=True,
        drained=draining or bool(unwell),
        jobs=jobs,
        idle_since=0 if jobs else max(_number(ad, "DaemonStartTime"), _number(ad, last)),
        labels=_labels(_text(ad, "HpcLabels")),
        free_cpus=_free(ad, "Cpus"),
        free_memory_mib=_free(ad, "Memory"),
        free_gpus=_free(ad, "GPUs"),
    )


def _jobs_on(ad: t.Mapping[str, t.Any], draining: bool) -> int:
    """How many slots have jobs. A claim alone is no work: parallel jobs that wait for more nodes claim those that are
    there again and again. On a node that drains every slot counts, so that it is never deleted too early."""
    slots = _number(ad, "NumDynamicSlots")
    activities = ad.get("ChildActivity")
    if draining or not isinstance(activities, list):
        return slots
    return min(slots, len([activity for activity in activities if activity != "Idle"]))


def _free(ad: t.Mapping[str, t.Any], what: str) -> int:
    """What a machine has left, with what is claimed for jobs that still count as waiting: a claim without a job is
    used soon, or given up."""
    total = _number(ad, what)
    activities, amounts = ad.get("ChildActivity"), ad.get(f"Child{what}")
    if isinstance(activities, list) and isinstance(amounts, list):
        for activity, amount in zip(activities, amounts):
            if activity == "Idle" and isinstance(amount, (int, float)):
                total += int(amount)
    return total


def _labels(text: str) -> tuple[tuple[str, str], ...]:
    pairs = (pair.partition("=") for pair in text.split(",") if "=" in pair)
    return tuple(sorted((name, value) for name, _unused, value in pairs))


def _number(ad: t.Mapping[str, t.Any], key: str) -> int:
    value = ad.get(key)
    return int(value) if isinstance(value, (int, float)) else 0


def _text(ad: t.Mapping[str, t.Any], key: str) -> str:
    value = ad.get(key)
    return value if isinstance(value, str) else ""
