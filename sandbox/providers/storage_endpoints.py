# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What machines mount of storage accounts: NFS shares and containers, from the names that the accounts have on Azure.

An account is served in the network of the first subnet that its rules let in, to the subnets that they let in. The
files lie behind its address in that network: they go when the network goes, or nothing of the account is let in.
"""

from __future__ import annotations

import logging
import shutil
import threading
from pathlib import Path

from sandbox import machines
from sandbox.arm import ids
from sandbox.arm.core import Core
from sandbox.arm.errors import ArmError
from sandbox.arm.store import Resource
from sandbox.providers import blobs, nfs
from sandbox.providers.network.fabric import prefix_of
from sandbox.providers.network.interfaces import subnet_of

log = logging.getLogger(__name__)
CONTAINERS = "Microsoft.Storage/storageAccounts/blobServices/containers"
SHARES = "Microsoft.Storage/storageAccounts/fileServices/shares"
Served = dict[str, list[str]]
"""By service: the network and the address."""
_LOCK = threading.Lock()


class Endpoints:
    """Serves what accounts have."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def follow(self, account_id: str) -> None:
        """Serve what an account has now, and nothing else. A driver's error is logged, as with networks."""
        with _LOCK:
            account = self._core.store.get(account_id)
            if account is None:
                return
            before: Served = account.internal.get("served", {})
            after: Served = {}
            vnet, clients = self._reach(account)
            try:
                for service, paths in (("file", self._shares(account)), ("blob", self._containers(account))):
                    host = f"{account.rid.name}.{service}.core.windows.net"
                    address = nfs.endpoint(host)
                    place = [vnet, address] if paths and vnet else []
                    if before.get(service, place) != place:
                        self._stop(account, service, *before[service])
                    if place:
                        self._serve(
                            account, service, self._core.driver.serve(vnet, address, nfs.PORT, host), paths, clients
                        )
                        after[service] = place
            except machines.MachineError:
                log.exception("files of %s", account.id)
                return
            if after != before:
                self._core.store.update(account.id, lambda known: known.internal.update(served=after))

    def forget(self, account: Resource) -> None:
        """Serve nothing of an account that goes."""
        with _LOCK:
            account = self._core.store.get(account.id) or account
            for service, (vnet, address) in account.internal.get("served", {}).items():
                self._stop(account, service, vnet, address)

    def _serve(self, account: Resource, service: str, behind: Path, paths: list[str], clients: list[str]) -> None:
        for path in paths:
            files = nfs.export(behind, path, [(one, ["rw"]) for one in clients])
            if service == "blob":
                self._show(account, files)
        nfs.forget(behind, [f"/{path}" for path in paths])
        for files in (behind / "data" / account.rid.name).iterdir():
            if f"{account.rid.name}/{files.name}" not in paths:
                shutil.rmtree(files)

    def _show(self, account: Resource, files: Path) -> None:
        """Let the directory of the blobs be that of the files which machines see."""
        blob = blobs.directory(self._core, f"{account.id}/blobServices/default/containers/{files.name}")
        if not blob.is_symlink():
            shutil.copytree(blob, files, dirs_exist_ok=True)
            shutil.rmtree(blob)
            blob.symlink_to(files)

    def _stop(self, account: Resource, service: str, vnet: str, address: str) -> None:
        if service == "blob":
            for blob in (self._core.settings.state / "blobs" / account.rid.name).glob("*"):
                if blob.is_symlink():
                    files = blob.resolve()
                    blob.unlink()
                    shutil.copytree(files, blob) if files.is_dir() else blob.mkdir()
        self._core.driver.unserve(vnet, address)

    def _reach(self, account: Resource) -> tuple[str, list[str]]:
        """The network that an account is served in, and the prefixes that reach it there."""
        vnet, clients = "", []
        for rule in account.properties["networkAcls"]["virtualNetworkRules"]:
            found = subnet_of(self._core, rule["id"])
            if found is None:
                continue
            try:
                its = ids.key(self._core.service("network").vnet_of(rule["id"]))
            except ArmError:
                continue
            vnet = vnet or its
            if its == vnet:
                clients.append(prefix_of(found))
        return vnet, clients

    def _shares(self, account: Resource) -> list[str]:
        found = self._core.store.list(SHARES, parent=f"{account.id}/fileServices/default")
        return [f"{account.rid.name}/{one.rid.name}" for one in found if one.properties["enabledProtocols"] == "NFS"]

    def _containers(self, account: Resource) -> list[str]:
        if not account.properties.get("isNfsV3Enabled"):
            return []
        found = self._core.store.list(CONTAINERS, parent=f"{account.id}/blobServices/default")
        return [f"{account.rid.name}/{one.rid.name}" for one in found]
