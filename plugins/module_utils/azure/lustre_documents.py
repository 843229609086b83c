# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Managed Lustre as ARM documents: from options to what is sent, from what comes back to what people need. Pure."""

from __future__ import annotations

import datetime
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import MOVE_DATA, AzureError, refuse_change
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.resources import Difference, Json, differences
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model import lustre
from ansible_collections.azure_hpc.cluster.plugins.module_utils.model.lustre import RootSquash

KIND = "Microsoft.StorageCache/amlFilesystems"
SETTLED = ("Succeeded", "Failed", "Canceled")
# Minutes. Azure takes 10 to 17; beyond the second nothing will come of it.
USUAL = (10, 17)
STUCK = 60
NEEDED = ("location", "sku", "capacity_tib", "subnet_id")
_CONTAINER_ROLES = (
    "the roles 'Storage Account Contributor' and 'Storage Blob Data Contributor' on the storage account for the "
    "principal "
    "'HPC Cache Resource Provider', which need up to five minutes to count"
)


def check_options(options: t.Mapping[str, t.Any]) -> None:
    """Raise one AzureError (InvalidOptions) with everything that is wrong with the options by themselves."""
    containers = (options.get("container") or "", options.get("logging_container") or "")
    wrong = lustre.container_mistakes(*containers)
    squash = options.get("root_squash")
    if squash:
        wrong += [(f"root_squash.{key}", message) for key, message in lustre.squash_mistakes(squash_of(squash))]
    encryption = options.get("encryption") or {}
    if encryption and not options.get("identities"):
        wrong.append(("identities", "are missing: the key is read with a managed identity that may use it"))
    if options.get("import_prefixes") and not options.get("container"):
        wrong.append(("import_prefixes", "are for file systems with a container"))
    if wrong:
        raise AzureError("; ".join(f"{name}: {message}" for name, message in wrong), code="InvalidOptions")


def squash_of(given: t.Mapping[str, t.Any]) -> RootSquash:
    """Root squash settings of an option."""
    return RootSquash(given["mode"], given.get("uid") or 0, given.get("gid") or 0, given.get("except_nids") or "")


def fixed(options: t.Mapping[str, t.Any], capacity: int | None) -> Json:
    """What a file system is born with, as far as the options name it."""
    properties: Json = {}
    if capacity is not None:
        properties["storageCapacityTiB"] = capacity
    if options.get("subnet_id"):
        properties["filesystemSubnet"] = options["subnet_id"]
    if options.get("container"):
        properties["hsm"] = {"settings": _hsm(options)}
    body: Json = {"properties": properties}
    for key, value in (("location", options.get("location")), ("zones", options.get("zone") and [options["zone"]])):
        if value:
            body[key] = value
    if options.get("sku"):
        body["sku"] = {"name": options["sku"]}
    if options.get("identities"):
        named: Json = {one: {} for one in options["identities"]}
        body["identity"] = {"type": "UserAssigned", "userAssignedIdentities": named}
    return body


def _hsm(options: t.Mapping[str, t.Any]) -> Json:
    settings: Json = {"container": options["container"], "loggingContainer": options["logging_container"]}
    if options.get("import_prefixes"):
        settings["importPrefixesInitial"] = list(options["import_prefixes"])
    return settings


def changeable(options: t.Mapping[str, t.Any]) -> Json:
    """What may be changed while the file system is in use, as far as the options name it."""
    properties: Json = {}
    window = options.get("maintenance_window")
    if window:
        properties["maintenanceWindow"] = {"dayOfWeek": window["day"], "timeOfDayUTC": window["time"]}
    if options.get("root_squash"):
        squash = squash_of(options["root_squash"])
        settings: Json = {"mode": squash.mode}
        if squash.mode != "None":
            settings.update(squashUID=squash.uid, squashGID=squash.gid, noSquashNidLists=squash.except_nids)
        properties["rootSquashSettings"] = settings
    if options.get("encryption"):
        key = options["encryption"]
        wrapped = {"keyUrl": key["key_url"], "sourceVault": {"id": key["vault_id"]}}
        properties["encryptionSettings"] = {"keyEncryptionKey": wrapped}
    return {"properties": properties} if properties else {}


def refuse_fixed(options: t.Mapping[str, t.Any], capacity: int | None, actual: Json) -> None:
    """Raise AzureError (PropertyChangeNotAllowed) with all that differs and cannot be changed."""
    wanted = fixed(options, capacity)
    # A size that differs is a matter of its own, and of the container the creation alone is told what to import.
    wanted["properties"].pop("storageCapacityTiB", None)
    wanted["properties"].get("hsm", {}).get("settings", {}).pop("importPrefixesInitial", None)
    found = list(differences(wanted, actual))
    if options.get("encryption") and not (actual.get("properties") or {}).get("encryptionSettings"):
        found.append(Difference(("properties", "encryptionSettings"), None, options["encryption"]["key_url"]))
    if not found:
        return
    said = "; ".join(f"{'.'.join(one.path)} is {_word(one.before)}, not {_word(one.after)}" for one in found)
    refuse_change(options["name"], "file system", said, MOVE_DATA)


def _word(value: t.Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={_word(item)}" for key, item in value.items()) or "set"
    return "not set" if value in (None, "", []) else str(value)


def capacity_of(document: Json) -> int:
    """TiB, 0 if the document does not say."""
    return int((document.get("properties") or {}).get("storageCapacityTiB") or 0)


def state_of(document: Json) -> str:
    """The provisioning state."""
    return str((document.get("properties") or {}).get("provisioningState") or "")


def health_of(document: Json) -> str:
    """The state of the servers: Available, Transitioning, Expanding, Degraded, Unavailable, Maintenance; or ''."""
    return str(((document.get("properties") or {}).get("health") or {}).get("state") or "")


def summary(document: Json, now: float) -> Json:
    """What people and playbooks need of a file system; ``now`` in seconds since 1970. Sizes in TiB, MB/s."""
    properties = document.get("properties") or {}
    client = properties.get("clientInfo") or {}
    address = str(client.get("mgsAddress") or "")
    settings = (properties.get("hsm") or {}).get("settings") or {}
    ready = state_of(document) == "Succeeded" and bool(address) and health_of(document) != "Unavailable"
    return {
        "id": document.get("id", ""),
        "name": document.get("name") or str(document.get("id", "")).rsplit("/", 1)[-1],
        "location": document.get("location", ""),
        "zone": next(iter(document.get("zones") or ()), ""),
        "sku": (document.get("sku") or {}).get("name", ""),
        "capacity_tib": capacity_of(document),
        "throughput_mbps": int(properties.get("throughputProvisionedMBps") or 0),
        "subnet_id": properties.get("filesystemSubnet", ""),
        "container": settings.get("container", ""),
        "logging_container": settings.get("loggingContainer", ""),
        "mgs_address": address,
        "export": lustre.ROOT,
        "source": lustre.source(address) if address else "",
        "mount_command": str(client.get("mountCommand") or ""),
        "lustre_version": str(client.get("lustreVersion") or ""),
        "provisioning_state": state_of(document),
        "health": health_of(document),
        "tags": document.get("tags") or {},
        "archives": archives(document),
        "ready": ready,
        "progress": progress(document, now),
        "problems": problems(document, now),
    }


def archives(document: Json) -> list[Json]:
    """The archive jobs that the file system tells of: path, state, percent, started, ended, error."""
    rows = []
    for entry in ((document.get("properties") or {}).get("hsm") or {}).get("archiveStatus") or ():
        status = entry.get("status") or {}
        error = ": ".join(str(status[key]) for key in ("errorCode", "errorMessage") if status.get(key))
        rows.append(
            {
                "path": entry.get("filesystemPath", ""),
                "state": status.get("state", ""),
                "percent": status.get("percentComplete") or 0,
                "started": status.get("lastStartedTime", ""),
                "ended": status.get("lastCompletionTime", ""),
                "error": error,
            }
        )
    return rows


def age(document: Json, now: float) -> float | None:
    """Minutes since the file system was last asked to be something else; None if Azure does not say."""
    known = document.get("systemData") or {}
    stamp = str(known.get("lastModifiedAt") or known.get("createdAt") or "")
    try:
        then = datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00"))
    except ValueError:
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=datetime.timezone.utc)  # noqa: UP017 - one spelling for all Pythons
    return max(0.0, (now - then.timestamp()) / 60)


def progress(document: Json, now: float) -> str:
    """One line for who waits."""
    state, minutes = state_of(document), age(document, now)
    health = f", {health_of(document)}" if health_of(document) else ""
    if state in SETTLED or minutes is None:
        return f"{state}{health}"
    usual = f" of usually {USUAL[0]} to {USUAL[1]}" if state == "Creating" else ""
    return f"{state}{health}, {minutes:.0f} min{usual}"


def problems(document: Json, now: float) -> list[str]:
    """What is not as it should be, and what to do about it. Empty while all is well or on its way."""
    name, state, health = document.get("name", ""), state_of(document), health_of(document)
    properties = document.get("properties") or {}
    said = str((properties.get("health") or {}).get("statusDescription") or "")
    delete = f"delete it (state: absent, confirm: {name}) and make it again"
    found = []
    if state in ("Failed", "Canceled"):
        text = f"{name} is in state {state}{': ' + said if said else ''}. It is half made and cannot be used: {delete}"
        if (properties.get("hsm") or {}).get("settings"):
            text += f". With a blob container the usual reason is that these are missing: {_CONTAINER_ROLES}"
        found.append(text)
    elif state not in SETTLED:
        minutes = age(document, now)
        if minutes is not None and minutes > STUCK:
            found.append(
                f"{name} has been {state} for {minutes:.0f} minutes, and Azure usually takes {USUAL[0]} to "
                f"{USUAL[1]}: wait no more, "
                f"{delete if state == 'Creating' else 'ask Azure support with its id'}"
            )
    elif health in ("Unavailable", "Degraded"):
        found.append(
            f"{name} is {health}{': ' + said if said else ''}. Look at Azure Service Health, and ask Azure support"
        )
    bad = [one for one in archives(document) if one["state"] == "Failed" or one["error"]]
    return found + [archive_problem(document, one) for one in bad]


def archive_problem(document: Json, row: Json) -> str:
    """What to do about an archive that did not end well."""
    logs = str(((document.get("properties") or {}).get("hsm") or {}).get("settings", {}).get("loggingContainer", ""))
    return (
        f"the export of {row['path']} ended as {row['state']} at {row['percent']:g} % "
        f"({row['error'] or 'Azure does not say why'}). What was not "
        f"copied is still in the file system: see the logs in {logs.rsplit('/', 1)[-1] or 'the logging container'}, "
        "mend it and "
        "run the job again with rerun: true, which copies only what is not there yet"
    )
