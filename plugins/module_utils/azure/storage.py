# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Storage accounts with their containers and shares: make, change, delete, look, and who may read their blobs."""

from __future__ import annotations

import typing as t
import uuid
from functools import partial

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import storage_documents as documents
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import NOT_FOUND, AzureError
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.groups import IDENTITY_VERSION
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.reconcile import (
    Outcome,
    Target,
    Write,
    apply,
    plan,
    read,
    removals,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.resources import Difference, Json, merged
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import Documents, Session, together

VERSION = "2024-01-01"
ROLES_VERSION = "2022-04-01"
_NAMESPACE = uuid.UUID("6f6f5a4b-0f1c-4d62-9d5c-1f6f2a1c7b55")


def account_id(session: Session, group: str, name: str) -> str:
    """The resource id of an account."""
    return session.resource_path(group, documents.KIND, name)


def container_id(account: str, name: str) -> str:
    """The resource id of a blob container."""
    return f"{account}/blobServices/default/containers/{name}"


def share_id(account: str, name: str) -> str:
    """The resource id of a file share."""
    return f"{account}/fileServices/default/shares/{name}"


def ensure(session: Session, options: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Make the account of a module's ``options`` exist as they say; raises AzureError."""
    store, wanted = Documents(session, VERSION), account_id(session, options["resource_group"], options["name"])
    actual = store.find(wanted)
    documents.check_options(options, actual or {})
    if actual is None:
        if not options.get("location"):
            text = (
                f"the storage account {options['name']} does not exist, and to make it the option location is missing"
            )
            raise AzureError(text, code="MissingOptions")
        body = merged(documents.usual(options), merged(documents.born(options), documents.changeable(options)))
        known: dict[str, Json] = {}
    else:
        documents.refuse_fixed(options, actual)
        body, known = documents.changeable(options), {wanted.casefold(): actual}
    parts = _parts(options, wanted)
    if actual is not None:
        known.update(read(store, [one.id for one in parts]))
        _check_shares(options, wanted, known)
    writes = plan([Target(wanted, body, options.get("tags"), update="PATCH"), *parts], known)
    try:
        outcome = apply(store, writes, known, check)
    except AzureError as error:
        raise _with_advice(error, options) from error
    return _with_rights(session, options, wanted, outcome, check)


def _parts(options: t.Mapping[str, t.Any], account: str) -> list[Target]:
    """Containers and shares, after their account."""
    parts = [Target(container_id(account, one), {}, stage=1) for one in options.get("containers") or ()]
    return parts + [
        Target(share_id(account, one["name"]), documents.share_body(one), stage=1, update="PATCH")
        for one in options.get("shares") or ()
    ]


def _check_shares(options: t.Mapping[str, t.Any], account: str, known: t.Mapping[str, Json]) -> None:
    for share in options.get("shares") or ():
        properties = known.get(share_id(account, share["name"]).casefold(), {}).get("properties") or {}
        if properties.get("enabledProtocols", "NFS") != "NFS":
            text = f"the share {share['name']} speaks {properties['enabledProtocols']}, and a share never changes that"
            raise AzureError(text, code="PropertyChangeNotAllowed")
        have = int(properties.get("shareQuota") or 0)
        documents.refuse_shrinking(f"the share {share['name']}", share["size_gib"], have, bool(options.get("shrink")))


_ADVICE: t.Mapping[str, str] = {
    "StorageAccountAlreadyTaken": "Names are unique in all of Azure, and kept for a while after an account is deleted: "
    "choose another",
    "ContainerQuotaDowngradeNotAllowed": "A share may get smaller 24 hours after it last grew",
    "NetworkAclsValidationFailure": "Each subnet needs the service endpoint Microsoft.Storage: service_endpoints of "
    "the module network",
}


def _with_advice(error: AzureError, options: t.Mapping[str, t.Any]) -> AzureError:
    advice = _ADVICE.get(error.code)
    if not advice:
        return error
    details = tuple(error.details)
    text = f"{error.message} {advice}"
    return AzureError(text, error.code, error.request_id, error.status, error.target, details, error.doing)


def remove(session: Session, options: t.Mapping[str, t.Any], check: bool) -> Outcome:
    """Delete the account with all that is in it, if the options confirm it by its name; raises AzureError."""
    store, wanted = Documents(session, VERSION), account_id(session, options["resource_group"], options["name"])
    actual = store.find(wanted)
    if actual is None:
        return Outcome((), {})
    if options.get("confirm") != options["name"]:
        text = (
            f"this deletes the storage account {options['name']} with all containers and shares and everything in "
            f"them. If you mean it: confirm: {options['name']}"
        )
        raise AzureError(text, code="ConfirmationMissing")
    known = {wanted.casefold(): actual}
    return apply(store, removals([[wanted]], known), known, check)


def look(session: Session, group: str, names: t.Sequence[str] | None = None) -> list[Json]:
    """The accounts of a resource group, or those of these names that there are, as `documents.summary`."""
    if names is not None:
        ids = [account_id(session, group, name) for name in names]
        found = list(read(Documents(session, VERSION), ids).values())
    else:
        try:
            path = f"{session.group_path(group)}/providers/{documents.KIND}"
            found = session.listing(path, VERSION, "list the storage accounts")
        except AzureError as error:
            if error.kind != NOT_FOUND:
                raise
            found = []  # there is no such group yet
    return [describe(session, one) for one in sorted(found, key=lambda one: str(one.get("name", "")))]


def found(session: Session, account: Json) -> Json:
    """The account for a module's result, {} if it is gone. One that would be made has nothing in it yet."""
    if not account:
        return {}
    if not documents.state_of(account):
        return documents.summary({**account, "name": str(account.get("id", "")).rpartition("/")[2]}, (), ())
    return describe(session, account)


def describe(session: Session, account: Json) -> Json:
    """One account with its containers and shares."""
    served = ((account.get("properties") or {}).get("primaryEndpoints") or {}).keys()
    lists = {"blob": "blobServices/default/containers", "file": "fileServices/default/shares"}
    wanted = [service for service in lists if service in served and account.get("id")]
    tasks = [partial(session.listing, f"{account['id']}/{lists[service]}", VERSION) for service in wanted]
    found = dict(zip(wanted, together(tasks)))  # noqa: B905 - Python 3.9 has no strict
    return documents.summary(account, found.get("blob", []), found.get("file", []))


def _with_rights(
    session: Session, options: t.Mapping[str, t.Any], account: str, outcome: Outcome, check: bool
) -> Outcome:
    """See to it that the identities of the options may read and write blobs; raises AzureError (RoleMissing)."""
    identities = list(options.get("identities") or ())
    if not identities or (check and not outcome.resource(account).get("properties", {}).get("provisioningState")):
        return outcome  # of an account that is not there yet nobody has rights
    missing = [one for one in identities if not _has_role(session, account, one)]
    if missing and not options.get("grant"):
        role, who = documents.DATA_CONTRIBUTOR[0], ", ".join(one.rpartition("/")[2] for one in missing)
        text = (
            f"the role '{role}' on {options['name']} is missing for {who}: without it machines with that identity get "
            "no blob. Assign it (it may take ten minutes to count), or use grant: true, which needs "
            "Microsoft.Authorization/roleAssignments/write"
        )
        raise AzureError(text, code="RoleMissing", target=account)
    writes = list(outcome.writes)
    for identity in missing:
        role_id, body = _assignment(session, account, identity)
        change = Difference(("role", identity.rpartition("/")[2]), None, documents.DATA_CONTRIBUTOR[0])
        writes.append(Write("PUT", role_id, 2, body, {}, changes=(change,)))
        if not check:
            session.begin("PUT", role_id, ROLES_VERSION, body, f"assign {documents.DATA_CONTRIBUTOR[0]}").result()
    return Outcome(tuple(writes), outcome.resources)


def _principal(session: Session, identity: str) -> str:
    found = session.get(identity, IDENTITY_VERSION, f"read the identity {identity.rpartition('/')[2]}")
    return str((found.get("properties") or {}).get("principalId") or "")


def _has_role(session: Session, account: str, identity: str) -> bool:
    principal = _principal(session, identity)
    path = f"{account}/providers/Microsoft.Authorization/roleAssignments"
    rows = session.listing(path, ROLES_VERSION, "read who may do what", filter=f"principalId eq '{principal}'")
    enough = (documents.DATA_CONTRIBUTOR[1], documents.DATA_OWNER[1])
    return any(_covers(one.get("properties") or {}, account, enough) for one in rows)


def _covers(assignment: Json, account: str, roles: t.Sequence[str]) -> bool:
    """Whether an assignment gives one of the roles on the whole account: its scope is the account, or above it."""
    scope = str(assignment.get("scope") or "").rstrip("/").casefold()
    inside = account.casefold() == scope or account.casefold().startswith(scope + "/")
    return inside and str(assignment.get("roleDefinitionId") or "").rpartition("/")[2].casefold() in roles


def _assignment(session: Session, account: str, identity: str) -> tuple[str, Json]:
    """The id of an assignment, always the same for the same thing, and its body."""
    principal, role = _principal(session, identity), documents.DATA_CONTRIBUTOR[1]
    name = uuid.uuid5(_NAMESPACE, f"{account.casefold()} {principal} {role}")
    head = f"/subscriptions/{session.subscription_id}/providers/Microsoft.Authorization/roleDefinitions"
    properties = {"roleDefinitionId": f"{head}/{role}", "principalId": principal, "principalType": "ServicePrincipal"}
    return f"{account}/providers/Microsoft.Authorization/roleAssignments/{name}", {"properties": properties}
