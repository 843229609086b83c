# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients of a sandbox for the tests of its compute provider, and what these tests ask them for."""

from __future__ import annotations

import base64
import typing as t
import uuid
from collections.abc import Iterator

import pytest

pytest.importorskip("azure.mgmt.compute")
pytest.importorskip("azure.mgmt.network")

from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import ClientSecretCredential
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.network import NetworkManagementClient

LOCATION = "westeurope"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl someone@example.com"
DEBIAN = {"publisher": "Debian", "offer": "debian-13", "sku": "13-gen2", "version": "latest"}
API = "2024-07-01"


class Cloud:
    """Clients of one sandbox, and a resource group of its own."""

    def __init__(self, sandbox: t.Any) -> None:
        env: dict[str, str] = sandbox.env
        self.env, self.sandbox = env, sandbox
        self.subscription = env["AZURE_SUBSCRIPTION_ID"]
        transport = {
            "connection_verify": env["REQUESTS_CA_BUNDLE"],
            "proxies": {"https": env["HTTPS_PROXY"]},
        }
        credential = ClientSecretCredential(
            env["AZURE_TENANT_ID"],
            env["AZURE_CLIENT_ID"],
            env["AZURE_CLIENT_SECRET"],
            transport=RequestsTransport(
                connection_verify=env["REQUESTS_CA_BUNDLE"],
            ),
            proxies=transport["proxies"],
        )
        self.compute = ComputeManagementClient(credential, self.subscription, **transport)
        self.network = NetworkManagementClient(credential, self.subscription, **transport)
        self.credential = credential
        self.group = f"rg-{uuid.uuid4().hex[:8]}"
        self.send("PUT", f"/subscriptions/{self.subscription}/resourcegroups/{self.group}", {"location": LOCATION})

    def send(self, method: str, path: str, body: t.Any = None, api: str = API) -> t.Any:
        """One request as it is; answers the response of ``requests``."""
        import requests

        token = self.credential.get_token("https://management.azure.com/.default").token
        separator = "&" if "?" in path else "?"
        return requests.request(
            method,
            f"https://management.azure.com{path}{separator}api-version={api}",
            json=body,
            headers={"Authorization": f"Bearer {token}"},
            verify=self.env["REQUESTS_CA_BUNDLE"],
            proxies={"https": self.env["HTTPS_PROXY"]},
            timeout=60,
        )

    def path(self, kind: str, name: str) -> str:
        head = f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"
        return f"{head}/providers/Microsoft.Compute/{kind}/{name}"

    def fault(self, *words: str) -> None:
        self.sandbox.run("fault", *words)

    def subnet(self, prefix: str = "10.1.0.0/22") -> str:
        vnet = self.network.virtual_networks.begin_create_or_update(
            self.group,
            f"vnet-{uuid.uuid4().hex[:6]}",
            {
                "location": LOCATION,
                "properties": {
                    "addressSpace": {"addressPrefixes": [prefix]},
                    "subnets": [{"name": "default", "properties": {"addressPrefix": prefix}}],
                },
            },
        ).result()
        return str(vnet.subnets[0].id)

    def nic(self, subnet: str, name: str = "") -> str:
        nic = self.network.network_interfaces.begin_create_or_update(
            self.group,
            name or f"nic-{uuid.uuid4().hex[:6]}",
            {
                "location": LOCATION,
                "properties": {"ipConfigurations": [{"name": "ip", "properties": {"subnet": {"id": subnet}}}]},
            },
        ).result()
        return str(nic.id)

    def vm(self, nic: str, **changes: t.Any) -> dict[str, t.Any]:
        body: dict[str, t.Any] = {
            "location": LOCATION,
            "tags": {"hpc-role": "head"},
            "properties": {
                "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
                "storageProfile": {
                    "imageReference": DEBIAN,
                    "osDisk": {"createOption": "FromImage", "deleteOption": "Delete"},
                },
                "osProfile": {
                    "computerName": "vm1",
                    "adminUsername": "azureuser",
                    "customData": base64.b64encode(b"#cloud-config\n{}\n").decode(),
                    "linuxConfiguration": linux(),
                },
                "networkProfile": {"networkInterfaces": [{"id": nic, "properties": {"primary": True}}]},
            },
        }
        body["properties"].update(changes)
        return body

    def scale_set(
        self, subnet: str, capacity: int, size: str = "Standard_D2s_v5", **changes: t.Any
    ) -> dict[str, t.Any]:
        nic = {
            "name": "nic",
            "properties": {
                "primary": True,
                "ipConfigurations": [{"name": "ip", "properties": {"subnet": {"id": subnet}}}],
            },
        }
        profile = {
            "osProfile": {
                "computerNamePrefix": "htc-d2sv5-",
                "adminUsername": "azureuser",
                "customData": base64.b64encode(b"#!/bin/sh\n").decode(),
                "linuxConfiguration": linux(),
            },
            "storageProfile": {"imageReference": DEBIAN, "osDisk": {"createOption": "FromImage"}},
            "networkProfile": {"networkInterfaceConfigurations": [nic]},
        }
        properties = {
            "overprovision": False,
            "singlePlacementGroup": False,
            "upgradePolicy": {"mode": "Manual"},
            "virtualMachineProfile": profile,
        }
        properties.update(changes)
        return {
            "location": LOCATION,
            "sku": {"name": size, "tier": "Standard", "capacity": capacity},
            "tags": {"hpc-cluster": "demo"},
            "properties": properties,
        }


def linux() -> dict[str, t.Any]:
    keys = [{"path": "/home/azureuser/.ssh/authorized_keys", "keyData": KEY}]
    return {"disablePasswordAuthentication": True, "ssh": {"publicKeys": keys}}


def a_cloud(sandbox: t.Any) -> Iterator[Cloud]:
    """Clients with a group that goes away with them."""
    made = Cloud(sandbox)
    yield made
    made.send("DELETE", f"/subscriptions/{made.subscription}/resourcegroups/{made.group}")


def new_name() -> str:
    return f"t{uuid.uuid4().hex[:8]}"


def create_vm(cloud: Cloud, name: str, body: dict[str, t.Any]) -> t.Any:
    return cloud.compute.virtual_machines.begin_create_or_update(cloud.group, name, body).result()


def create_scale_set(cloud: Cloud, name: str, body: dict[str, t.Any]) -> t.Any:
    return cloud.compute.virtual_machine_scale_sets.begin_create_or_update(cloud.group, name, body).result()


def instances(cloud: Cloud, name: str) -> dict[str, t.Any]:
    found = cloud.compute.virtual_machine_scale_set_vms.list(cloud.group, name, expand="instanceView")
    return {row.instance_id: row for row in found}


def grow(cloud: Cloud, name: str, capacity: int) -> t.Any:
    return cloud.compute.virtual_machine_scale_sets.begin_update(cloud.group, name, {"sku": {"capacity": capacity}})


def code(error: pytest.ExceptionInfo[HttpResponseError]) -> str:
    assert error.value.error is not None
    return str(error.value.error.code)


def power(view: t.Any) -> str:
    return next((status.code for status in view.statuses if status.code.startswith("PowerState/")), "")
