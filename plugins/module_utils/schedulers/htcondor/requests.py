# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What jobs ask for, in the words of the planner.

Requirements are an expression over the ad of a machine. They are evaluated for the machine that each scale set would
give; the labels of those that satisfy them are what the job asks for. So any expression works, as far as what it uses
is known of machines before there are any.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from . import classad, commands
from .classad import Ad, Expression
from .functions import ERROR, UNDEFINED

_MUCH = 10**9
# Attributes of jobs that are known, also where a job does not have them.
_ASKED = frozenset(name.lower() for name in commands.JOB_ATTRIBUTES)
# HTCondor gives memory in steps (MODIFY_REQUEST_EXPR_REQUESTMEMORY).
MEMORY_STEP = 128
Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Offer:
    """The ad of a machine of one scale set, names in lower case, and its labels."""

    ad: Ad
    labels: Labels

    def with_much(self) -> Ad:
        """The ad of a machine of any size."""
        sized = ("cpus", "memory", "gpus", "disk", "totalslotcpus", "totalslotmemory", "totalcpus", "totalmemory")
        return {**self.ad, **dict.fromkeys((*sized, "totalslotgpus", "totalgpus"), _MUCH)}


@dataclass
class Machines:
    """What machines of the cluster would offer."""

    offers: tuple[Offer, ...]
    names: frozenset[str] = frozenset()
    _found: dict[t.Any, tuple[Labels, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, data: t.Mapping[str, t.Any]) -> Machines:
        """From what the role writes: ``attributes`` of every machine, ``offers`` by scale set."""
        common = {str(name).lower(): value for name, value in data["attributes"].items()}
        offers = tuple(_offer(common, offer) for _unused, offer in sorted(data["offers"].items()))
        return cls(offers, frozenset(name for offer in offers for name in offer.ad))

    def labels(self, requirements: Expression, job: Ad) -> tuple[Labels, str]:
        """The labels that a machine has to have for the job, and why there is no such machine ('' if there is)."""
        used = tuple((name, _key(job.get(name))) for name in sorted(_all_names(requirements, job)))
        key = (requirements.text, used)
        if key not in self._found:
            self._found[key] = self._labels(requirements, job)
        return self._found[key]

    def _labels(self, requirements: Expression, job: Ad) -> tuple[Labels, str]:
        # A job that is too big for every machine keeps its labels: the planner knows best how to say so.
        for ads in ([offer.ad for offer in self.offers], [offer.with_much() for offer in self.offers]):
            fits = [requirements.evaluate(job, ad) is True for ad in ads]
            if any(fits):
                return _common([o for o, fit in zip(self.offers, fits) if fit], self.offers), ""
        unknown = sorted(_all_names(requirements, job) - self.names - set(job) - _ASKED)
        if unknown:
            return (), f"its requirements use {', '.join(unknown)}, which no machine is known to have"
        return (), "no machine of this cluster satisfies its requirements"


def _offer(common: Ad, data: t.Mapping[str, t.Any]) -> Offer:
    labels = {str(name): str(value) for name, value in data["labels"].items()}
    cpus, memory, gpus = int(data["cpus"]), int(data["memory_mib"]), int(data["gpus"])
    sizes = {"cpus": cpus, "memory": memory, "gpus": gpus}
    totals = {f"total{prefix}{name}": value for prefix in ("", "slot") for name, value in sizes.items()}
    own = {name.lower(): True if value == "true" else value for name, value in labels.items()}
    disk = (int(data.get("disk_gib", 30)) - 5) * 1024 * 1024
    ad = {**common, **sizes, **totals, "disk": disk, "totalslotdisk": disk, "start": True, **own}
    group = {"parallelschedulinggroup": labels.get("placement_group", ""), "partitionableslot": True}
    return Offer({**ad, **group}, tuple(sorted(labels.items())))


def _common(fit: t.Sequence[Offer], all_: t.Sequence[Offer]) -> Labels:
    """Labels that only fitting machines have: as few as say it, of as many machines as possible.

    Where no set of labels is all fitting machines, the one of most of them is taken: a node of another kind that fits
    is still used when it is there.
    """
    if len(fit) == len(all_):
        return ()
    chosen = _narrow(fit, [offer for offer in all_ if offer not in fit])
    if chosen is not None:
        return chosen
    best: tuple[int, Labels] = (0, fit[0].labels)
    for pair in sorted({pair for offer in fit for pair in offer.labels}):
        having = [offer for offer in fit if pair in offer.labels]
        others = [offer for offer in all_ if pair in offer.labels and offer not in fit]
        narrowed = (pair,) if not others else None
        if narrowed and len(having) > best[0]:
            best = (len(having), narrowed)
    return best[1]


def _narrow(fit: t.Sequence[Offer], others: t.Sequence[Offer]) -> t.Optional[Labels]:
    """Few labels that all of ``fit`` have and none of ``others`` has all of; None when there are none."""
    shared = sorted(set.intersection(*(set(offer.labels) for offer in fit)))
    chosen: list[tuple[str, str]] = []
    left = list(others)
    while left:
        best = max(
            shared, key=lambda pair: (sum(pair not in offer.labels for offer in left), _clear(pair)), default=None
        )
        if best is None or all(best in offer.labels for offer in left):
            return None
        chosen.append(best)
        left = [offer for offer in left if best in offer.labels]
    return tuple(sorted(chosen))


def _clear(pair: tuple[str, str]) -> int:
    """How well a label says to people which machines are meant."""
    order = ("placement_group", "", "priority", "vm_size", "node_array")
    return order.index(pair[0]) if pair[0] in order else 1


def _all_names(expression: Expression, job: Ad, depth: int = 0) -> frozenset[str]:
    """The names that an expression uses, also by way of attributes of the job that are expressions."""
    names = set(expression.names)
    for name in expression.names:
        value = job.get(name)
        if isinstance(value, Expression) and depth < 8:
            names |= _all_names(value, job, depth + 1)
    return frozenset(names)


def _key(value: t.Any) -> t.Any:
    return value.text if isinstance(value, Expression) else repr(value)


def amount(job: Ad, name: str, default: int = 0) -> int:
    """A requested amount as a whole number, rounded up. Raises ClassAdError for one that is no number."""
    value = job.get(name, UNDEFINED)
    if isinstance(value, Expression):
        value = value.evaluate(job, {})
    if value is UNDEFINED:
        return default
    if value is ERROR or isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < _MUCH:
        raise classad.ClassAdError(f"its {name} is not a number")
    return max(0, int(-(-value // 1)))


def memory(job: Ad) -> int:
    """The memory that HTCondor gives to the job, MiB."""
    wanted = amount(job, "requestmemory")
    return -(-wanted // MEMORY_STEP) * MEMORY_STEP
