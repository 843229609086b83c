# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the services that subnets are delegated to may do there."""

from __future__ import annotations

_SUBNETS = "Microsoft.Network/virtualNetworks/subnets"
_JOIN = (f"{_SUBNETS}/join/action",)
_ANY = (f"{_SUBNETS}/action",)
_INTERFACES = ("Microsoft.Network/networkinterfaces/*", *_JOIN)
_POLICIES = (*_JOIN, f"{_SUBNETS}/prepareNetworkPolicies/action", f"{_SUBNETS}/unprepareNetworkPolicies/action")

# Services that do something else than join it.
_ACTIONS = {
    "Microsoft.Web/serverFarms": _ANY,
    "Microsoft.ContainerInstance/containerGroups": _ANY,
    "Microsoft.Batch/batchAccounts": _ANY,
    "Microsoft.Logic/integrationServiceEnvironments": _ANY,
    "Microsoft.Web/hostingEnvironments": _ANY,
    "Microsoft.ServiceFabricMesh/networks": _ANY,
    "Microsoft.Netapp/volumes": _INTERFACES,
    "Microsoft.HardwareSecurityModules/dedicatedHSMs": _INTERFACES,
    "Microsoft.BareMetal/CrayServers": _INTERFACES,
    "Microsoft.BareMetal/AzureHostedService": _INTERFACES,
    "Microsoft.BareMetal/AzureVMware": _INTERFACES,
    "Microsoft.Sql/managedInstances": _POLICIES,
    "Microsoft.Databricks/workspaces": _POLICIES,
    "Microsoft.Kusto/clusters": _POLICIES,
    "Microsoft.ApiManagement/service": _POLICIES[:2],
    "Microsoft.StoragePool/diskPools": ("Microsoft.Network/virtualNetworks/read",),
}
SERVICES = (*_ACTIONS, "Microsoft.DBforPostgreSQL/flexibleServers", "Microsoft.DBforMySQL/flexibleServers")
_FOLDED = {service.lower(): actions for service, actions in _ACTIONS.items()}


def actions(service: str) -> list[str]:
    """The actions of a delegation, the name of its service in any case."""
    return list(_FOLDED.get(service.lower(), _JOIN))
