# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible inventory plugin: nodes."""

from __future__ import annotations

DOCUMENTATION = r"""
name: nodes
short_description: Machines of HPC clusters on Azure
version_added: 0.1.0
description:
  - Finds the head, login and compute nodes of clusters by the tag C(hpc-cluster), instances of Uniform scale sets
    included.
  - The number of requests depends on the number of scale sets, not of nodes.
  - The name of a configuration file must end in C(nodes.yml) or C(nodes.yaml).
  - "Groups: C(cluster_<name>), C(role_head), C(role_login), C(role_compute), C(role_image), C(array_<node array>),
    C(scheduler_<type>), C(state_<state>) such as C(state_running)."
  - "Host variables: C(hpc_cluster), C(hpc_role), C(hpc_scheduler), C(hpc_node_array), C(hpc_vm_size), C(hpc_state),
    C(hpc_private_ip), C(hpc_public_ip), C(hpc_user), C(hpc_resource_id), C(hpc_resource_group), C(hpc_location),
    C(hpc_zone), C(hpc_priority), C(hpc_placement_group), C(hpc_scale_set), C(hpc_instance_id), C(hpc_name),
    C(hpc_computer_name), C(hpc_provisioning_state), C(hpc_tags)."
options:
  plugin:
    description: Marks the file as one for this plugin.
    required: true
    choices: [azure_hpc.cluster.nodes]
  clusters:
    description: Names of clusters; all clusters if not given.
    type: list
    elements: str
    default: []
  resource_groups:
    description: Resource groups to look in; the whole subscription if not given.
    type: list
    elements: str
    default: []
  jump:
    description:
      - How to reach machines without a public address. With V(head) through the head node of the cluster if that has
        one, with V(none) directly.
    type: str
    choices: [head, none]
    default: head
  jump_args:
    description: Arguments of the ssh command that goes to the head node, such as a key or a file of known hosts.
    type: str
    default: ""
  set_user:
    description: Whether to set C(ansible_user) to the account that the machine was made with.
    type: bool
    default: true
  subscription_id:
    description: The Azure subscription.
    type: str
    env: [{name: AZURE_SUBSCRIPTION_ID}]
  client_id:
    description: The client id of a service principal or of a user-assigned identity.
    type: str
  secret:
    description: The secret of the service principal; better E(AZURE_SECRET) than here.
    type: str
  tenant:
    description: The tenant.
    type: str
  ad_user:
    description: An Entra ID user name.
    type: str
  password:
    description: The password of O(ad_user).
    type: str
  profile:
    description: A section of C(~/.azure/credentials).
    type: str
  x509_certificate_path:
    description: A PEM file with the certificate and the private key of the service principal.
    type: path
  auth_source:
    description: Where the credentials come from; see the modules of this collection.
    type: str
    choices: [auto, env, credential_file, cli, msi]
  cloud_environment:
    description: V(AzureCloud) (when nothing is set), V(AzureUSGovernment) or V(AzureChinaCloud).
    type: str
  adfs_authority_url:
    description: Where to sign in, if not where the cloud says.
    type: str
  cert_validation_mode:
    description: Whether to validate the certificates of Azure's endpoints.
    type: str
    choices: [validate, ignore]
  disable_instance_discovery:
    description: Trust the sign-in host without asking Microsoft's directory about it.
    type: bool
extends_documentation_fragment:
  - constructed
  - inventory_cache
requirements:
  - azure-core
  - azure-mgmt-core
  - azure-identity
notes:
  - Credentials are also read from the environment, with the names that azure.azcollection and AWX use.
author:
  - The azure_hpc.cluster contributors (@azure-hpc)
"""

EXAMPLES = r"""
# nodes.yml: one cluster; machines without a public address are reached through the head node.
plugin: azure_hpc.cluster.nodes
resource_groups: [demo-rg]
clusters: [demo]

---
# nodes.yml: all clusters of the subscription, with groups and variables of your own.
plugin: azure_hpc.cluster.nodes
keyed_groups:
  - {key: hpc_vm_size, prefix: size}
groups:
  spot: hpc_priority == 'spot'
compose:
  ansible_python_interpreter: "'/usr/bin/python3'"
"""

import shlex
import typing as t

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import hosts
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.errors import AzureError
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import connect

ACCOUNT = (
    "subscription_id",
    "client_id",
    "secret",
    "tenant",
    "ad_user",
    "password",
    "profile",
    "x509_certificate_path",
    "auth_source",
    "cloud_environment",
    "adfs_authority_url",
    "cert_validation_mode",
    "disable_instance_discovery",
)
# Group name's beginning -> the host variable that it is about.
GROUPS = (
    ("cluster", "hpc_cluster"),
    ("role", "hpc_role"),
    ("array", "hpc_node_array"),
    ("scheduler", "hpc_scheduler"),
    ("state", "hpc_state"),
)


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):  # type: ignore[misc]
    """Machines of clusters as hosts and groups."""

    NAME = "azure_hpc.cluster.nodes"

    def verify_file(self, path: str) -> bool:
        """Whether the file can be one of ours, by its name."""
        return bool(super().verify_file(path)) and path.endswith(("nodes.yml", "nodes.yaml"))

    def parse(self, inventory: t.Any, loader: t.Any, path: str, cache: bool = True) -> None:
        """Fill the inventory; raises AnsibleParserError."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        for host in self._found(self.get_cache_key(path), cache):
            self._add(host)

    def _found(self, key: str, cache: bool) -> list[dict[str, t.Any]]:
        """The hosts, from the cache if the user has one and it may be used."""
        caching = self.get_option("cache")
        if caching and cache:
            try:
                return self._with_jump(self._cache[key])
            except KeyError:
                pass
        found = self._asked()
        if caching:
            self._cache[key] = found
        return self._with_jump(found)

    def _asked(self) -> list[dict[str, t.Any]]:
        options = {name: self._option(name) for name in ACCOUNT}
        try:
            with connect(options) as session:
                return hosts.find(session, self._option("resource_groups"), self._option("clusters"))
        except AzureError as error:
            raise AnsibleParserError(f"{self.NAME}: {error}") from error
        except ImportError as error:
            raise AnsibleParserError(f"{self.NAME} needs azure-mgmt-core and azure-identity: {error}") from error

    def _option(self, name: str) -> t.Any:
        # The configuration file is the user's own, so its options may be templates; what Azure answers never is one.
        return self.templar.template(self.get_option(name))

    def _add(self, host: dict[str, t.Any]) -> None:
        name = host["name"]
        self.inventory.add_host(name)
        for key, value in host.items():
            if key != "name":
                self.inventory.set_variable(name, key, value)
        for prefix, key in GROUPS:
            if host[key]:
                group = self.inventory.add_group(self._sanitize_group_name(f"{prefix}_{host[key]}"))
                self.inventory.add_child(group, name)
        strict = self.get_option("strict")
        variables = self.inventory.get_host(name).get_vars()
        self._set_composite_vars(self.get_option("compose"), variables, name, strict=strict)
        variables = self.inventory.get_host(name).get_vars()
        self._add_host_to_composed_groups(self.get_option("groups"), variables, name, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, name, strict=strict)

    def _with_jump(self, found: list[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
        """The hosts with the variables that say how to connect to them."""
        through = self.get_option("jump") == "head"
        heads = {one["hpc_cluster"]: one for one in found if one["hpc_role"] == "head" and one["hpc_public_ip"]}
        set_user, extra = self.get_option("set_user"), str(self._option("jump_args") or "")
        return [{**one, **connection(one, heads if through else {}, set_user, extra)} for one in found]


def connection(
    host: dict[str, t.Any], heads: dict[str, dict[str, t.Any]], set_user: bool, jump_args: str
) -> dict[str, str]:
    """ansible_host, ansible_user and the way through the head node. Pure.

    The proxy command goes to a shell: the user and the address in it have been checked to be no more than that.
    """
    address = host["hpc_public_ip"] or host["hpc_private_ip"]
    found = {"ansible_host": address} if address else {}
    if set_user and host["hpc_user"]:
        found["ansible_user"] = host["hpc_user"]
    head = heads.get(host["hpc_cluster"])
    if head is not None and not host["hpc_public_ip"] and host["hpc_private_ip"]:
        user = f"{head['hpc_user']}@" if head["hpc_user"] else ""
        command = f"ssh -W [%h]:%p -q {jump_args} {user}{head['hpc_public_ip']}".replace("  ", " ")
        found["ansible_ssh_common_args"] = f"-o ProxyCommand={shlex.quote(command)}"
    return found
