# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Azure Monitor for one cluster: workspace, data collection rule, agent, metric alerts and whom they tell.

Everything has a name that begins with the cluster's, so that what is not wanted any more is found and deleted. Only
alerts can be any number: ours are those with the tags of the cluster.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import monitoring_documents as documents
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import NOT_FOUND, AzureError
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.monitoring_documents import (
    AGENT,
    KINDS,
    Json,
    version_of,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.reconcile import (
    Outcome,
    Target,
    apply,
    plan,
    read,
    removals,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import Operation, Session

CLUSTER_TAG = "hpc-cluster"
_HIDDEN = "(not shown)"


class Documents:
    """Resources of several types by id, each with the api-version of its type."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find(self, resource_id: str) -> Json | None:
        """One resource, or None if it does not exist."""
        return self._session.find(resource_id, version_of(resource_id))

    def begin(self, method: str, resource_id: str, body: Json | None, doing: str) -> Operation:
        """Start a write and poll it in the background; raises AzureError if it is refused at once."""
        # A rule that is in use goes only together with what says so.
        query = {"deleteAssociations": "true"} if method == "DELETE" and documents.is_rule(resource_id) else {}
        return self._session.begin(method, resource_id, version_of(resource_id), body, doing, **query)

    def sleep(self, seconds: float) -> None:
        """Wait, as the libraries below do."""
        self._session.sleep(seconds)


@dataclass(frozen=True)
class Names:
    """The resource ids of what a cluster may have."""

    workspace: str
    rule: str
    actions: str

    @staticmethod
    def of(session: Session, options: t.Mapping[str, t.Any]) -> Names:
        """By the cluster's name; the workspace has its own, or is somebody else's with an id."""
        group, name = options["resource_group"], options["name"]
        given = options.get("workspace") or {}
        workspace = given.get("id") or session.resource_path(
            group, KINDS.workspace, given.get("name") or f"{name}-logs"
        )
        return Names(
            workspace,
            session.resource_path(group, KINDS.rule, f"{name}-collect"),
            session.resource_path(group, KINDS.actions, f"{name}-alerts"),
        )


def ensure(session: Session, options: t.Mapping[str, t.Any], check: bool) -> tuple[Outcome, Names]:
    """Make what is wanted exist, and what is not wanted any more vanish; raises AzureError.

    A workspace is never deleted here: it holds data.
    """
    store, names = Documents(session), Names.of(session, options)
    wanted = targets(session, names, options)
    keep = {one.id.casefold() for one in wanted}
    doomed = [
        [one for one in stage if one.casefold() not in keep]
        for stage in ([*_alerts(session, options), *_attached(names, options)], [names.actions, names.rule])
    ]
    actual = read(store, [*(one.id for one in wanted), *doomed[0], *doomed[1]])
    first = removals(doomed, actual)
    apply(store, first, actual, check)
    done = apply(store, plan(wanted, actual), actual, check)
    return Outcome(first + done.writes, done.resources), names


def remove(session: Session, options: t.Mapping[str, t.Any], check: bool) -> tuple[Outcome, Names]:
    """Delete all of it, and what ``targets`` have. The workspace only if it is ours (without ``workspace.id``): its
    logs go with it.
    """
    store, names = Documents(session), Names.of(session, options)
    around = [*_alerts(session, options), *_attached(names, options)]
    workspace = [] if (options.get("workspace") or {}).get("id") else [names.workspace]
    stages = [around, [names.actions, names.rule], workspace]
    actual = read(store, [one for stage in stages for one in stage])
    writes = removals(stages, actual)
    return apply(store, writes, actual, check), names


def targets(session: Session, names: Names, options: t.Mapping[str, t.Any]) -> list[Target]:
    """All that is wanted. Pure, but for the ids of what it is about."""
    given, tags = options.get("workspace"), {**(options.get("tags") or {}), CLUSTER_TAG: options["name"]}
    found: list[Target] = []
    if given and not given.get("id"):
        found.append(Target(names.workspace, documents.workspace(options["location"], given), tags, stage=0))
    if given and options.get("agent"):
        body = documents.rule(options["location"], names.workspace)
        found.append(Target(names.rule, body, tags, stage=2))
        for one in options.get("targets") or ():
            found.append(Target(association_of(one["id"], names.rule), documents.association(names.rule), stage=3))
            body = documents.agent(one["id"], options["location"])
            # Scale sets first: they only change their model, and machines that boot meanwhile have the agent.
            stage = 4 if documents.is_scale_set(one["id"]) else 5
            found.append(Target(agent_of(one["id"]), body, stage=stage, once=documents.agent_once()))
    told = options.get("action_group") or {}
    if told.get("emails") or told.get("webhooks"):
        found.append(Target(names.actions, documents.action_group(options["name"], told), tags, stage=1))
    actions = names.actions if told.get("emails") or told.get("webhooks") else ""
    for alert in options.get("alerts") or ():
        for one in options.get("targets") or ():
            if one["role"] in alert["machines"]:
                path = alert_of(session, options, alert["name"], one["id"])
                body = documents.alert(alert, one["id"], actions)
                found.append(Target(path, body, tags, stage=6))
    return found


def alert_of(session: Session, options: t.Mapping[str, t.Any], alert: str, watched: str) -> str:
    """The resource id of an alert about one machine or scale set: ``<cluster>-<alert>-<rest of its name>``."""
    cluster, machine = options["name"], watched.rsplit("/", 1)[-1]
    rest = machine[len(cluster) + 1 :] if machine.startswith(f"{cluster}-") else machine
    return session.resource_path(options["resource_group"], KINDS.alert, f"{cluster}-{alert}-{rest}")


def association_of(watched: str, rule: str) -> str:
    """The resource id of the link between a machine or scale set and the rule."""
    return f"{watched}/providers/{KINDS.association}/{rule.rsplit('/', 1)[-1]}"


def agent_of(watched: str) -> str:
    """The resource id of the agent on a machine, or in the model of a scale set."""
    return f"{watched}/extensions/{AGENT}"


def _attached(names: Names, options: t.Mapping[str, t.Any]) -> list[str]:
    """What machines and scale sets may have. It goes before the rule, which has the cluster's tag: as long as that is
    there it is known that there is something to take away, also after a run that was killed.
    """
    found = []
    for one in options.get("targets") or ():
        found += [association_of(one["id"], names.rule), agent_of(one["id"])]
    return found


def _alerts(session: Session, options: t.Mapping[str, t.Any]) -> list[str]:
    path = f"{session.group_path(options['resource_group'])}/providers/{KINDS.alert}"
    try:
        listed = session.listing(path, version_of(f"{path}/x"), "list the alerts")
    except AzureError as error:
        if error.kind != NOT_FOUND:
            raise
        listed = []  # there is no such resource group, because of check mode, or any more
    return [str(one["id"]) for one in listed if (one.get("tags") or {}).get(CLUSTER_TAG) == options["name"]]


def shown(side: Json) -> Json:
    """A side of the diff without the addresses of webhooks, which are secrets also where they are old."""
    hidden: Json = _without_addresses(side)
    return hidden


def _without_addresses(value: t.Any, key: str = "") -> t.Any:
    if isinstance(value, dict):
        return {name: _without_addresses(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_addresses(item) for item in value]
    return _HIDDEN if key.lower().endswith("serviceuri") and value else value


def summary(outcome: Outcome, names: Names, options: t.Mapping[str, t.Any]) -> Json:
    """What the module says of the outcome."""
    present = outcome.resources

    def there(resource_id: str) -> str:
        return resource_id if resource_id.casefold() in present else ""

    own = not (options.get("workspace") or {}).get("id")
    workspace = outcome.resource(names.workspace)
    return {
        "workspace_id": there(names.workspace) if own else names.workspace,
        "workspace_customer_id": (workspace.get("properties") or {}).get("customerId", ""),
        "rule_id": there(names.rule),
        "action_group_id": there(names.actions),
        "alerts": sorted(
            str(one.get("id", "")).rsplit("/", 1)[-1]
            for key, one in present.items()
            if f"/{KINDS.alert}/".casefold() in key
        ),
    }
