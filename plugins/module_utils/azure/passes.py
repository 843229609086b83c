# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Azure side of a pass: observe, let someone decide, apply, look again, let them decide again.

Deciding is handed in as a function, so this file knows no scheduler. A round ends with a fresh look at what it changed;
a growth that Azure refuses is remembered in the fleet, so that the next round of the same pass chooses something else.
"""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass, field, replace
from functools import partial

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import errors as kinds
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import fleet as fleets
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import scale_sets
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import AzureError
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.fleet import Observation
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import Operation, Session, together
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.cluster import AutoscalePolicy
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.fleet import (
    Fleet,
    ScaleSet,
    Unavailable,
    same_id,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.plan import (
    AzureStep,
    Comment,
    Grow,
    MarkUnavailable,
    Plan,
    Release,
    SchedulerStep,
    Shrink,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.queue import Queue

ROUNDS = 3
# Seconds between looks at scale sets whose new instances are not listed yet.
_LOOKS = (0.5, 1.0, 2.0)
# A growth that was refused for one of these reasons is not tried again before the time is over. The others are no
# verdict about the scale set: the next pass tries again.
_REMEMBERED = (kinds.CAPACITY, kinds.QUOTA, kinds.POLICY, kinds.INVALID)
_DEAD = ("failed", "deleting")

Decide = t.Callable[[Fleet], Plan]


@dataclass(frozen=True)
class Done:
    """An Azure step that was sent: ``error`` is None if Azure took it."""

    step: AzureStep
    error: AzureError | None = None


@dataclass(frozen=True)
class Result:
    """What a pass did on Azure, and what the scheduler is to do now.

    ``decided`` is the last plan, made from the last look; ``scheduler`` its steps, and those of earlier rounds that the
    last look cannot show any more. ``errors`` are failures that belong to no step.
    """

    observation: Observation
    decided: Plan
    done: tuple[Done, ...] = ()
    scheduler: tuple[SchedulerStep, ...] = ()
    errors: tuple[AzureError, ...] = ()
    seconds: t.Mapping[str, float] = field(default_factory=dict)


class Runner:
    """One pass over one cluster. ``sleep`` and ``clock`` are the only ways to time, in seconds."""

    def __init__(
        self,
        session: Session,
        decide: Decide,
        policy: AutoscalePolicy,
        claim_wait: float,
        now: int,
        sleep: t.Callable[[float], None] = time.sleep,
        clock: t.Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._decide = decide
        self._policy = policy
        self._claim_wait = claim_wait
        self._now = now
        self._sleep = sleep
        self._clock = clock
        self._errors: list[AzureError] = []
        self._seconds: dict[str, float] = {}

    def run(self, observation: Observation, queue: Queue, check: bool) -> Result:
        """Decide and apply until nothing is left to do on Azure, at most three times; in check mode only decide.

        Raises AzureError only before anything was changed.
        """
        plan = self._timed("plan", partial(self._decide, observation.fleet))
        if check:
            return Result(observation, plan, scheduler=plan.scheduler, seconds=dict(self._seconds))
        done: list[Done] = []
        carried: list[SchedulerStep] = []
        for _round in range(ROUNDS):
            steps = [step for step in plan.azure if not any(_same(step, one.step) for one in done)]
            if not steps:
                break
            results, observation = self._timed("apply", partial(self._apply, observation, steps))
            done += results
            carried += [step for step in plan.scheduler if isinstance(step, (Release, Comment))]
            try:
                plan = self._timed("plan", partial(self._decide, observation.fleet))
            except AzureError as error:
                # Azure was changed already; what the scheduler was to be told about that must not get lost.
                self._errors.append(error)
                break
        steps_left = _joined(carried, plan.scheduler)
        scheduler = _without_survivors(steps_left, done, observation.fleet, queue)
        return Result(observation, plan, tuple(done), scheduler, tuple(self._errors), dict(self._seconds))

    def _timed(self, stage: str, work: t.Callable[[], t.Any]) -> t.Any:
        begun = self._clock()
        try:
            return work()
        finally:
            self._seconds[stage] = self._seconds.get(stage, 0.0) + self._clock() - begun

    def _apply(self, before: Observation, steps: t.Sequence[AzureStep]) -> tuple[list[Done], Observation]:
        """Deletions and tags first (growth counts on the room they make), then all growth together."""
        grows = [step for step in steps if isinstance(step, Grow)]
        growing = {step.scale_set.casefold() for step in grows}
        marks = [one for one in steps if isinstance(one, MarkUnavailable) and one.scale_set.casefold() in growing]
        small = [step for step in steps if step not in grows and step not in marks]
        done = together([partial(self._small, before, step) for step in small])
        now = _after(before, [*(one.step for one in done if one.error is None), *marks])
        if not grows:
            return done, now
        grown, now = self._grow(now, grows, {step.scale_set.casefold() for step in marks})
        return [*done, *(Done(step) for step in marks), *grown], now

    def _small(self, before: Observation, step: AzureStep) -> Done:
        try:
            target = _scale_set(before.fleet, step.scale_set)
            if isinstance(step, Shrink):
                scale_sets.delete_instances(self._session, target.id, step.instance_ids)
            elif isinstance(step, MarkUnavailable):
                self._tag(before, target, _memory(step))
        except AzureError as error:
            return Done(step, error)
        return Done(step)

    def _tag(self, before: Observation, target: ScaleSet, memory: Unavailable | None) -> None:
        tags = dict(before.tags.get(target.name.casefold(), {}))
        tags.pop(fleets.UNAVAILABLE_TAG, None)
        if memory is not None:
            tags[fleets.UNAVAILABLE_TAG] = fleets.unavailable_tag(memory)
        scale_sets.write_tags(self._session, target.id, tags)

    def _grow(
        self, before: Observation, steps: t.Sequence[Grow], tagged: t.Collection[str]
    ) -> tuple[list[Done], Observation]:
        """Send all growth, look until the instances are listed or it is known that they will not come.

        ``tagged`` are scale sets whose tags have changed and go along with their growth.
        """
        started = together([partial(self._start, before, step, step.scale_set.casefold() in tagged) for step in steps])
        going = [(step, found) for step, found in zip(steps, started) if isinstance(found, Operation)]  # noqa: B905
        failed = [Done(step, found) for step, found in zip(steps, started) if isinstance(found, AzureError)]  # noqa: B905
        now = self._look(before, [step for step, _operation in going])
        begun, look = self._clock(), 0
        while True:
            waiting = []
            for step, operation in going:
                error = _failure(operation)
                if error is not None:
                    failed.append(Done(step, error))
                elif not _listed(now.fleet, step):
                    waiting.append((step, operation))
            going = [(step, operation) for step, operation in going if not any(step == one.step for one in failed)]
            if not waiting or self._clock() - begun >= self._claim_wait:
                break
            self._sleep(_LOOKS[min(look, len(_LOOKS) - 1)])
            look += 1
            now = self._look(now, [step for step, _operation in waiting])
        return [*(Done(step) for step, _operation in going), *failed], self._remember(now, failed)

    def _start(self, before: Observation, step: Grow, tagged: bool) -> Operation | AzureError:
        try:
            target = _scale_set(before.fleet, step.scale_set)
            tags = before.tags.get(target.name.casefold()) if tagged else None
            return scale_sets.begin_capacity(self._session, target.id, target.vm_size, step.capacity, tags)
        except AzureError as error:
            return error

    def _look(self, before: Observation, steps: t.Sequence[Grow]) -> Observation:
        """List the grown scale sets anew. A list that fails leaves the old one: the rest of the plan is still true."""
        if not steps:
            return before
        names = [step.scale_set for step in steps]
        seen = fleets.observe_again(self._session, before, names, self._now)
        fresh = seen.fleet.errors[len(before.fleet.errors) :]
        self._errors += [AzureError(text, code="ObservationFailed") for text in fresh]
        wanted = {step.scale_set.casefold(): step.capacity for step in steps}
        sets = tuple(
            replace(one, capacity=wanted[one.name.casefold()], provisioning_state="Updating")
            if one.name.casefold() in wanted
            else one
            for one in seen.fleet.scale_sets
        )
        return replace(seen, fleet=replace(seen.fleet, scale_sets=sets, errors=before.fleet.errors))

    def _remember(self, before: Observation, failed: t.Sequence[Done]) -> Observation:
        """Put failures that are verdicts into the fleet and on the scale sets."""
        memories = {}
        for one in failed:
            if one.error is not None and one.error.kind in _REMEMBERED:
                target = _find(before.fleet, one.step.scale_set)
                if target is not None:
                    memories[target.name] = self._memory_of(target, one.error)
        now = _with_memories(before, memories)
        tasks = [
            partial(self._tag, before, one, memories[one.name])
            for one in before.fleet.scale_sets
            if one.name in memories
        ]
        for task in tasks:
            try:
                task()
            except AzureError as error:
                self._errors.append(error)
        return now

    def _memory_of(self, target: ScaleSet, error: AzureError) -> Unavailable:
        """Until when not to try again: twice as long each time in a row, between the policy's limits."""
        count = (target.unavailable.count if target.unavailable else 0) + 1
        wait = min(self._policy.backoff_max, self._policy.backoff_min * 2 ** min(count - 1, 20))
        return Unavailable(self._now + int(wait), error.cause or error.code or error.kind, count)


def with_stage(result: Result, stage: str, seconds: float) -> Result:
    """The result with the time that another stage took."""
    return replace(result, seconds={stage: seconds, **result.seconds})


def _same(one: AzureStep, other: AzureStep) -> bool:
    """Whether two steps ask Azure for the same thing, for whatever reason."""
    if isinstance(one, Grow) and isinstance(other, Grow):
        return (one.scale_set, one.capacity) == (other.scale_set, other.capacity)
    return replace(one, reason="") == replace(other, reason="")


def _failure(operation: Operation) -> AzureError | None:
    """Why a growth failed, None if it has not (yet)."""
    try:
        operation.wait(0)
    except AzureError as error:
        return error
    return None


def _listed(fleet: Fleet, step: Grow) -> bool:
    """Whether all instances of a growth are there with their addresses, or at least known to have failed."""
    target = _find(fleet, step.scale_set)
    if target is None:
        return True
    alive = [one for one in target.instances if one.provisioning_state.lower() not in _DEAD and one.private_ip]
    dead = [one for one in target.instances if one.provisioning_state.lower() == "failed"]
    return len(alive) + len(dead) >= step.capacity


def _find(fleet: Fleet, name: str) -> ScaleSet | None:
    return next((one for one in fleet.scale_sets if one.name.casefold() == name.casefold()), None)


def _scale_set(fleet: Fleet, name: str) -> ScaleSet:
    found = _find(fleet, name)
    if found is None:
        raise AzureError(f"scale set {name} does not exist; run the site playbook", code="ResourceNotFound", status=404)
    return found


def _memory(step: MarkUnavailable) -> Unavailable | None:
    return Unavailable(step.until, step.code, step.count) if step.until else None


def _after(before: Observation, steps: t.Sequence[AzureStep]) -> Observation:
    """The observation as it is once Azure took deletions and tags, without asking again."""
    sets = list(before.fleet.scale_sets)
    memories: dict[str, Unavailable | None] = {}
    for step in steps:
        for index, one in enumerate(sets):
            if one.name.casefold() != step.scale_set.casefold():
                continue
            if isinstance(step, Shrink):
                sets[index] = _shrunk(one, step)
            elif isinstance(step, MarkUnavailable):
                memories[one.name] = _memory(step)
    return _with_memories(replace(before, fleet=replace(before.fleet, scale_sets=tuple(sets))), memories)


def _shrunk(one: ScaleSet, step: Shrink) -> ScaleSet:
    gone = set(step.instance_ids)
    kept = tuple(
        replace(instance, provisioning_state="Deleting") if instance.instance_id in gone else instance
        for instance in one.instances
    )
    return replace(one, instances=kept, capacity=max(0, one.capacity - len(gone)))


def _with_memories(before: Observation, memories: t.Mapping[str, Unavailable | None]) -> Observation:
    sets = tuple(
        replace(one, unavailable=memories[one.name]) if one.name in memories else one for one in before.fleet.scale_sets
    )
    tags = {name: dict(values) for name, values in before.tags.items()}
    for name, memory in memories.items():
        mine = tags.setdefault(name.casefold(), {})
        mine.pop(fleets.UNAVAILABLE_TAG, None)
        if memory is not None:
            mine[fleets.UNAVAILABLE_TAG] = fleets.unavailable_tag(memory)
    return Observation(replace(before.fleet, scale_sets=sets), tags)


def _joined(carried: t.Sequence[SchedulerStep], last: t.Sequence[SchedulerStep]) -> tuple[SchedulerStep, ...]:
    """The steps of the last round, and before them what earlier rounds told that the last cannot see any more.

    An instance that was just deleted no longer explains why its node is released or its job has to wait again.
    """
    spoken = {step.job for step in last if isinstance(step, Comment)}
    released = {node for step in last if isinstance(step, Release) for node in step.nodes}
    kept: list[SchedulerStep] = []
    for step in carried:
        if isinstance(step, Release):
            nodes = tuple(node for node in step.nodes if node not in released)
            released.update(nodes)
            kept += [replace(step, nodes=nodes)] if nodes else []
        elif isinstance(step, Comment) and step.job not in spoken:
            spoken.add(step.job)
            kept.append(step)
    return (*kept, *last)


def _without_survivors(
    steps: t.Sequence[SchedulerStep], done: t.Sequence[Done], fleet: Fleet, queue: Queue
) -> tuple[SchedulerStep, ...]:
    """The steps without releases of nodes whose instance Azure refused to delete: they still have it."""
    alive: list[str] = []
    for one in done:
        target = _find(fleet, one.step.scale_set)
        if isinstance(one.step, Shrink) and one.error is not None and target is not None:
            numbers = one.step.instance_ids
            alive += [instance.id for instance in target.instances if instance.instance_id in numbers]
    claims = {node.name: node.instance_id for node in queue.nodes if node.instance_id}
    bound = {name for name, claim in claims.items() if any(same_id(claim, one) for one in alive)}
    kept = (
        replace(step, nodes=tuple(node for node in step.nodes if node not in bound))
        if isinstance(step, Release)
        else step
        for step in steps
    )
    return tuple(step for step in kept if not isinstance(step, Release) or step.nodes)
