# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many tasks of waiting jobs could start if there were machines: holds, times, throttles, licences, limits."""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass, field

from .asking import Needs
from .jobs import Details, Listed
from .quotas import Quotas
from .site import Site


@dataclass
class Budget:
    """What is left of the scheduler's own limits while jobs are looked at in the order in which they would start."""

    site: Site
    shared: dict[str, float]
    quotas: Quotas
    now: int
    running: dict[int, int] = field(default_factory=dict)
    of_user: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls, site: Site, shared: t.Mapping[str, float], quotas: Quotas, jobs: t.Sequence[Listed], now: int
    ) -> Budget:
        """The budget that the running jobs leave."""
        found = cls(site, dict(shared), quotas, now)
        for job in jobs:
            if not job.waits:
                found.running[job.number] = found.running.get(job.number, 0) + 1
                found.of_user[job.owner] = found.of_user.get(job.owner, 0) + 1
                quotas.take(job.owner, job.queue, job.granted, job.total)
        return found

    def take(self, job: Listed, details: Details, needs: Needs) -> tuple[int, str]:
        """How many tasks of the job could start, and why not all; they are taken from the budget."""
        reason = waits_for(job, details, self.now)
        if reason:
            return 0, reason
        tasks = job.tasks
        best, reason = tasks, ""
        for most, why in self._limits(job, details, needs):
            if most < best:
                best, reason = max(0, most), why
        self.of_user[job.owner] = self.of_user.get(job.owner, 0) + best
        self.quotas.take(job.owner, self._widest(job, needs)[2], needs.environment, best * needs.slots)
        for name, amount in needs.pool:
            self.shared[name] = self.shared.get(name, 0.0) - amount * best
        return best, reason

    def _widest(self, job: Listed, needs: Needs) -> tuple[t.Optional[int], str, str]:
        """Slots that quotas leave the job in the queue where they leave most, the quota set, and the queue."""
        found = [(*self.quotas.left(job.owner, queue, needs.environment), queue) for queue in needs.partitions]
        return max(found, key=lambda one: float("inf") if one[0] is None else one[0], default=(None, "", ""))

    def _limits(self, job: Listed, details: Details, needs: Needs) -> t.Iterator[tuple[int, str]]:
        runs = self.running.get(job.number, 0)
        if job.task and details.throttle:
            yield details.throttle - runs, f"{details.throttle} of its tasks may run at once (qsub -tc)"
        if job.task and self.site.max_tasks:
            yield (
                self.site.max_tasks - runs,
                f"{self.site.max_tasks} tasks of an array may run at once (max_aj_instances)",
            )
        if self.site.max_user_jobs:
            left = self.site.max_user_jobs - self.of_user.get(job.owner, 0)
            yield left, f"{self.site.max_user_jobs} jobs of a user may run at once (maxujobs)"
        slots, name, _queue = self._widest(job, needs)
        if slots is not None:
            yield slots // max(1, needs.slots), f"the quota set {name} leaves it {slots} slots"
        for name, amount in needs.pool:
            if amount > 0:
                left = int(max(0.0, self.shared.get(name, 0.0)) // amount)
                yield left, f"{name} is used up, and machines have none of it"


def waits_for(job: Listed, details: Details, now: int) -> str:
    """What the job waits for that machines cannot give, or ''."""
    if "E" in job.state:
        return "it is in error state; qstat -j says why, qmod -cj clears it"
    if "h" in job.state:
        if job.predecessors:
            return f"it waits for {', '.join(job.predecessors[:5])}"
        return "it is held"
    if details.start_at > now:
        return time.strftime("it may start at %Y-%m-%d %H:%M UTC", time.gmtime(details.start_at))
    return ""
