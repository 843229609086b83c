"""A Grid Engine cluster as its commands show it, with jobs of the test's making."""

from __future__ import annotations

import html
import typing as t
from pathlib import Path

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Job, Queue
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Output
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers.gridengine import GridEngine

FIXTURES = Path(__file__).parents[4] / "fixtures" / "gridengine"
NOW = 1795182900  # 2026-11-20 13:55 UTC
EMPTY = "<job_info><queue_info></queue_info><job_info>{}</job_info></job_info>"


def outputs(situation: str = "cluster") -> dict[str, Output]:
    """What the commands printed."""
    found = {path.stem: Output(0, path.read_text()) for path in (FIXTURES / situation).iterdir()}
    return {key.replace("environment.", "environment "): value for key, value in found.items()}


def job(number: int = 1, **fields: t.Any) -> str:
    """A waiting job as qstat shows it; a field for each of its elements, `hard` is a dictionary."""
    lines = [
        f"<JB_job_number>{number}</JB_job_number>",
        f"<JAT_prio>{fields.get('priority', 0.5)}</JAT_prio>",
        f"<JB_owner>{fields.get('owner', 'alice')}</JB_owner>",
        f"<state>{fields.get('state', 'qw')}</state>",
        "<JB_submission_time>2026-11-20T13:00:00</JB_submission_time>",
        f"<slots>{fields.get('slots', 1)}</slots>",
        f"<full_job_name>{html.escape(fields.get('name', 'job'))}</full_job_name>",
    ]
    lines += [f"<tasks>{fields['tasks']}</tasks>"] if "tasks" in fields else []
    lines += [f'<requested_pe name="{fields["pe"]}">{fields.get("slots", 1)}</requested_pe>'] if "pe" in fields else []
    for name, value in fields.get("hard", {}).items():
        lines.append(f'<hard_request name="{name}" resource_contribution="0.000000">{value}</hard_request>')
    lines += [f"<hard_req_queue>{queue}</hard_req_queue>" for queue in fields.get("queues", ())]
    lines += [f"<predecessor_jobs>{one}</predecessor_jobs>" for one in fields.get("after", ())]
    return f'<job_list state="pending">{"".join(lines)}</job_list>'


def details(number: int, note: str = "", start_at: int = 0, throttle: int = 0) -> str:
    """What ``qstat -j`` says of a job."""
    context = (
        f"<context_list><VA_variable>azure_hpc</VA_variable><VA_value>{html.escape(note)}</VA_value></context_list>"
    )
    return (
        f"<element><JB_job_number>{number}</JB_job_number><JB_context>{context if note else ''}</JB_context>"
        f"<JB_execution_time>{start_at}</JB_execution_time>"
        f"<JB_ja_task_concurrency>{throttle}</JB_ja_task_concurrency></element>"
    )


def with_jobs(*jobs: str, found: dict[str, Output] | None = None, more: str = "", **others: str) -> Queue:
    """The queue of the fixture's cluster with these jobs waiting and none running; ``others`` replace outputs."""
    every = dict(found or outputs())
    every["jobs"] = Output(0, EMPTY.format("".join(jobs)))
    every["details0"] = Output(0, f"<detailed_job_info><djob_info>{more}</djob_info></detailed_job_info>")
    every.update({key: Output(0, value) for key, value in others.items()})
    return GridEngine().parse(every, NOW)


def only(*jobs: str, **others: t.Any) -> Job:
    """The one job of such a queue."""
    queue = with_jobs(*jobs, **others)
    assert queue.errors == ()
    assert queue.skipped == ()
    (found,) = queue.jobs
    return found
