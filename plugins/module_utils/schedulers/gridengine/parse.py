# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Grid Engine's commands print, as values.

Anything that is missing or of another shape makes the observation incomplete, which is an entry in `Queue.errors`: a
pass must not decide from half of a queue. Single jobs that cannot be understood are in `Queue.skipped`.
"""

from __future__ import annotations

import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import SCATTER, Job, Queue
from ansible_collections.azure_hpc.cluster.plugins.module_utils.schedulers import Command, Output

from . import asking, commands, jobs, limits, nodes, quotas, site
from .documents import ParseError, output

NAME = "gridengine"


def again(outputs: t.Mapping[str, Output]) -> tuple[Command, ...]:
    """Details of the jobs in question, and the parallel environments that jobs ask for."""
    found: list[Command] = []
    try:
        _top, listed = jobs.listing(outputs, [])
        found.extend(jobs.ask_details(listed))
        patterns = {job.environment for job in listed if job.waits and job.environment}
        names = output(outputs, "environments", "qconf -spl", fails="no parallel environment").split()
        found.extend(
            commands.show_environment(name)
            for name in names
            if any(site.fits(pattern, name) for pattern in sorted(patterns))
        )
    except ParseError:
        pass  # `queue` says so
    return tuple(found)


def queue(outputs: t.Mapping[str, Output], observed_at: int) -> Queue:
    """The queue from the outputs of all commands. Whatever could not be read is named in ``errors``."""
    errors: list[str] = []
    skipped: list[str] = []
    where = site.read(outputs, errors)
    try:
        output(outputs, "environments", "qconf -spl", fails="no parallel environment")
        top, listed = jobs.listing(outputs, skipped)
        known = jobs.details(outputs, skipped)
        shared = nodes.shared(outputs)
        limited = quotas.read(outputs)
        found = nodes.nodes(outputs, top, listed, where)
    except ParseError as error:
        return Queue(NAME, "", observed_at, errors=(*errors, str(error)), adds_nodes=True)
    if errors:
        return Queue(NAME, "", observed_at, errors=tuple(errors), adds_nodes=True)
    budget = limits.Budget.of(where, shared, limited, listed, observed_at)
    waiting = sorted(
        (job for job in listed if job.waits), key=lambda job: (-job.priority, job.submitted_at, job.number)
    )
    alike: Alike = {}
    pending = [_pending(job, known.get(job.number, jobs.Details()), alike, budget, skipped) for job in waiting]
    silent = frozenset(node.name for node in found if nodes.UNREACHABLE in node.flags and not node.up)
    active = [_active(job, silent) for job in listed if not job.waits]
    return Queue(
        scheduler=NAME,
        cluster="",
        observed_at=observed_at,
        jobs=(*active, *(job for job in pending if job is not None)),
        nodes=found,
        skipped=tuple(skipped),
        adds_nodes=True,
    )


# What jobs need that ask for the same, or why that cannot be told. Most jobs of a long queue are alike.
Alike = dict[t.Any, t.Union[asking.Needs, asking.Never, ParseError]]


def _needs(job: jobs.Listed, alike: Alike, budget: limits.Budget) -> asking.Needs:
    """What the job needs. Raises as `asking.needs` does."""
    key = (job.hard, job.queues, job.environment, job.range)
    if key not in alike:
        try:
            alike[key] = asking.needs(job, budget.site, budget.shared)
        except (asking.Never, ParseError) as error:
            alike[key] = error
    found = alike[key]
    if isinstance(found, Exception):
        raise found
    return found


def _pending(
    job: jobs.Listed, details: jobs.Details, alike: Alike, budget: limits.Budget, skipped: list[str]
) -> t.Optional[Job]:
    about = {
        "id": job.id,
        "state": "pending",
        "cpus": job.total,
        "tasks": job.tasks,
        "name": job.name,
        "user": job.owner,
        "note": details.note,
        "submitted_at": job.submitted_at,
        "priority": job.priority,
    }
    try:
        wanted = _needs(job, alike, budget)
        startable, blocked = budget.take(job, details, wanted)
    except asking.Never as never:
        # What it waits for of itself comes first: the other may have changed by then.
        blocked = limits.waits_for(job, details, budget.now) or str(never)
        return Job(**about, startable=0, blocked=blocked, reason=blocked)  # type: ignore[arg-type]
    except ParseError as error:
        skipped.append(f"job {job.number}: {error}")
        return None
    about["cpus"] = wanted.slots
    return Job(
        **about,  # type: ignore[arg-type]
        partitions=wanted.partitions,
        node_count=wanted.chunks[0].count if wanted.spread == SCATTER else 1,
        reason=blocked,
        chunks=wanted.chunks,
        spread=wanted.spread,
        exclusive=wanted.exclusive,
        one_group=wanted.one_group,
        startable=startable,
        blocked=blocked,
    )


def _active(job: jobs.Listed, silent: t.AbstractSet[str]) -> Job:
    """A job that runs, on the hosts that are heard of: what is on the others has to be given up with them."""
    hosts = tuple(sorted(host for host in job.slots if host and host not in silent))
    return Job(
        id=job.id,
        state=_state(job.state),
        nodes=hosts,
        node_count=len(hosts),
        cpus=job.total,
        name=job.name,
        user=job.owner,
        submitted_at=job.submitted_at,
        started_at=job.started_at,
        priority=job.priority,
    )


def _state(letters: str) -> str:
    if "d" in letters:
        return "completing"
    if set(letters) & set("sSTN"):
        return "suspended"
    return "configuring" if "t" in letters else "running"
