# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The typed clients azure-mgmt-compute, -network and -storagecache, behind the few verbs that building needs.

They run on the session's pipeline, so credentials, cloud, retries, polling and the count of requests are the same.
Documents stay the ARM JSON that is on the wire: bodies are handed over as bytes and answers are taken from the
response. The packages' models would rename keys, leave out what they do not know and null (which detaches), and do
each of that differently from one major version to the next.
"""

from __future__ import annotations

import json
import threading
import typing as t

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.answers import (
    Json,
    document,
    failures,
    found_or_none,
    tail,
)
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import AzureError
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import Operation, Session

# By namespace and type, in lower case: the operations group of the client.
_GROUPS: t.Mapping[tuple[str, str], str] = {
    ("microsoft.compute", "virtualmachines"): "virtual_machines",
    ("microsoft.compute", "images"): "images",
    ("microsoft.network", "virtualnetworks"): "virtual_networks",
    ("microsoft.network", "networksecuritygroups"): "network_security_groups",
    ("microsoft.network", "natgateways"): "nat_gateways",
    ("microsoft.network", "publicipaddresses"): "public_ip_addresses",
    ("microsoft.network", "networkinterfaces"): "network_interfaces",
    ("microsoft.storagecache", "amlfilesystems"): "aml_filesystems",
    ("microsoft.storagecache", "amlfilesystems/importjobs"): "import_jobs",
    ("microsoft.storagecache", "amlfilesystems/autoimportjobs"): "auto_import_jobs",
    ("microsoft.storagecache", "amlfilesystems/autoexportjobs"): "auto_export_jobs",
    ("microsoft.storagecache", "amlfilesystems/expansionjobs"): "expansion_jobs",
}
_WRITES: t.Mapping[str, str] = {"PUT": "begin_create_or_update", "PATCH": "begin_update", "DELETE": "begin_delete"}
_ACTIONS: t.Mapping[str, str] = {
    "start": "begin_start",
    "powerOff": "begin_power_off",
    "deallocate": "begin_deallocate",
    "generalize": "generalize",
    "archive": "archive",
    "cancelArchive": "cancel_archive",
}


class _Place(t.NamedTuple):
    """Where a resource is, as the clients' operations want to be told."""

    namespace: str
    subscription_id: str
    group: str
    names: tuple[str, ...]


class TypedClients:
    """Resources by id, through the client of their type. Safe to use from several threads; opens clients lazily."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._clients: dict[tuple[str, str], t.Any] = {}
        self._lock = threading.Lock()

    def get(self, resource_id: str) -> Json:
        """One resource, a machine with its instance view; raises AzureError."""
        place = _place(resource_id)
        more = {"expand": "instanceView"} if place.group == "virtual_machines" else {}
        with failures(f"read {tail(resource_id)}"):
            found: Json = self._operations(place).get(*place.names, cls=_document, **more)
        return found

    def find(self, resource_id: str) -> Json | None:
        """One resource, or None if it does not exist."""
        return found_or_none(lambda: self.get(resource_id))

    def begin(self, method: str, resource_id: str, body: Json | None, doing: str) -> Operation:
        """Start a PUT, PATCH or DELETE and poll it in the background; raises AzureError if it is refused at once."""
        place = _place(resource_id)
        content = () if body is None else (json.dumps(body).encode(),)
        answer = {} if body is None else {"cls": _document}
        with failures(doing):
            poller = getattr(self._operations(place), _WRITES[method])(*place.names, *content, **answer)
        return Operation(poller, doing)

    def act(self, resource_id: str, action: str, body: Json | None = None) -> None:
        """Run an action and wait for its end: start, powerOff, deallocate, generalize of a machine; archive and
        cancelArchive of a Lustre file system, which only begin something."""
        place = _place(resource_id)
        doing = f"{action} {place.names[-1]}"
        content = () if body is None else (json.dumps(body).encode(),)
        with failures(doing):
            poller = getattr(self._operations(place), _ACTIONS[action])(*place.names, *content)
        if poller is not None:
            Operation(poller, doing).result()

    def ask(self, question: str, body: Json, doing: str) -> Json:
        """Ask Microsoft.StorageCache something about the subscription: ``check_aml_fs_subnets``, say."""
        with failures(doing):
            answer = getattr(self._client("microsoft.storagecache", self._session.subscription_id), question)(
                json.dumps(body).encode(), cls=_document
            )
        found: Json = answer or {}
        return found

    def sleep(self, seconds: float) -> None:
        """Wait, as the libraries below do."""
        self._session.sleep(seconds)

    def _operations(self, place: _Place) -> t.Any:
        return getattr(self._client(place.namespace, place.subscription_id), place.group)

    def _client(self, namespace: str, subscription_id: str) -> t.Any:
        with self._lock:
            key = (namespace, subscription_id)
            if key not in self._clients:
                self._clients[key] = self._session.open(_client_type(namespace), subscription_id)
            return self._clients[key]


def _client_type(namespace: str) -> t.Any:
    # One at a time: whoever captures an image does not need the network.
    if namespace == "microsoft.compute":
        from azure.mgmt.compute import ComputeManagementClient

        return ComputeManagementClient
    if namespace == "microsoft.storagecache":
        from azure.mgmt.storagecache import StorageCacheManagementClient

        return StorageCacheManagementClient
    from azure.mgmt.network import NetworkManagementClient

    return NetworkManagementClient


def _place(resource_id: str) -> _Place:
    from azure.mgmt.core.tools import parse_resource_id

    parts = parse_resource_id(resource_id)
    namespace = str(parts.get("namespace", "")).lower()
    below = (parts["child_name_1"],) if parts.get("child_name_1") else ()
    kind = "/".join(str(parts[key]) for key in ("type", "child_type_1") if parts.get(key)).lower()
    group = _GROUPS.get((namespace, kind))
    if group is None or not parts.get("resource_group") or "child_name_2" in parts:
        text = f"{resource_id} is not the id of a machine, an image, a part of a network or a Lustre file system"
        raise AzureError(text, code="InvalidResourceId")
    return _Place(namespace, parts["subscription"], group, (parts["resource_group"], parts["name"], *below))


def _document(answer: t.Any, _model: t.Any, _headers: t.Any) -> Json:
    """What the clients return instead of their model."""
    return document(answer, "")
