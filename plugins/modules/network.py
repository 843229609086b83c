#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible module: network."""

from __future__ import annotations

DOCUMENTATION = r"""
module: network
short_description: Create or delete the network of a cluster
version_added: 0.1.0
description:
  - Makes a virtual network with its subnets, a security group for each subnet, and a NAT gateway with a public address
    for the subnets that need a way out.
  - The security groups are closed by default. Machines inside O(address_space) reach each other; O(ssh_from) reaches
    port 22; everything else is denied, unless a rule of the subnet allows it. Rules that are not described here are
    removed.
  - Subnets of the network that are not described here are kept as they are.
options:
  resource_group:
    description: The resource group of everything.
    type: str
    required: true
  name:
    description:
      - The name of the virtual network. Other names derive from it, less an ending C(-vnet).
    type: str
    required: true
  location:
    description: The Azure location. Required with O(state=present).
    type: str
  address_space:
    description: IPv4 prefixes of the network. Required with O(state=present).
    type: list
    elements: str
  subnets:
    description:
      - The subnets. Required with O(state=present).
      - With O(state=absent) they are only needed for security groups that are attached to nothing any more.
    type: list
    elements: dict
    suboptions:
      name:
        description: The name of the subnet.
        type: str
        required: true
      cidr:
        description: The IPv4 prefix of the subnet.
        type: str
      nat_gateway:
        description: Whether machines of this subnet get out through the NAT gateway.
        type: bool
        default: false
      service_endpoints:
        description: Services that are reached from here by Azure's own network, such as C(Microsoft.Storage).
        type: list
        elements: str
      delegation:
        description: The service that the subnet belongs to, such as C(Microsoft.Netapp/volumes).
        type: str
      ssh:
        description: Whether O(ssh_from) may reach this subnet.
        type: bool
        default: true
      security_group:
        description: The name of the security group, if not C(<network>-<subnet>-nsg).
        type: str
      rules:
        description: What else may pass, in this order.
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description: The name of the rule.
            type: str
            required: true
          priority:
            description: The priority, if not by position, from 1000.
            type: int
          direction:
            description: Whether the rule is about what comes in or what goes out.
            type: str
            choices: [Inbound, Outbound]
            default: Inbound
          access:
            description: Whether this may pass.
            type: str
            choices: [Allow, Deny]
            default: Allow
          protocol:
            description: The protocol.
            type: str
            choices: [Tcp, Udp, Icmp, '*']
            default: Tcp
          source:
            description: Prefixes or service tags; anything if not given.
            type: list
            elements: str
          destination:
            description: Prefixes or service tags; anything if not given.
            type: list
            elements: str
          ports:
            description: Ports or ranges such as C(8000-8100); any if not given.
            type: list
            elements: str
          description:
            description: What the rule is for.
            type: str
  nat_gateway:
    description: Names of the NAT gateway and its address.
    type: dict
    suboptions:
      name:
        description: The name of the gateway, if not C(<network>-nat).
        type: str
      public_ip_name:
        description: The name of its public address, if not C(<network>-nat-ip).
        type: str
  ssh_from:
    description: Prefixes that may reach port 22 from outside.
    type: list
    elements: str
    default: []
  state:
    description: Whether the network must exist. Deleting it fails while machines are in it.
    type: str
    choices: [present, absent]
    default: present
requirements:
  - azure-mgmt-network >= 28.0
extends_documentation_fragment:
  - azure_hpc.cluster.azure
  - azure_hpc.cluster.azure.tags
  - azure_hpc.cluster.attributes
author:
  - The azure_hpc.cluster contributors (@azure-hpc)
"""

EXAMPLES = r"""
- name: The network of a cluster
  azure_hpc.cluster.network:
    resource_group: demo-rg
    name: demo-vnet
    location: westeurope
    address_space: [10.20.0.0/16]
    subnets:
      - {name: head, cidr: 10.20.0.0/24, nat_gateway: true}
      - {name: compute, cidr: 10.20.16.0/20, nat_gateway: true, ssh: false}
    ssh_from: [198.51.100.0/24]
    tags: {hpc-cluster: demo, hpc-role: network}
"""

RETURN = r"""
id:
  description: The resource id of the virtual network.
  type: str
  returned: success
subnet_ids:
  description: The resource ids of the described subnets, by name.
  type: dict
  returned: success
  sample: {head: /subscriptions/x/resourceGroups/y/providers/Microsoft.Network/virtualNetworks/demo-vnet/subnets/head}
nat_address:
  description: The public address that the cluster shows to the outside, empty without a NAT gateway.
  type: str
  returned: success
"""

from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure import network
from ansible_collections.azure_hpc.cluster.plugins.module_utils.azure.session import connect
from ansible_collections.azure_hpc.cluster.plugins.module_utils.boundary import (
    AZURE,
    TAGS,
    Arguments,
    build,
    failures_reported,
    finish,
    state,
)

RULE = {
    "name": {"type": "str", "required": True},
    "priority": {"type": "int"},
    "direction": {"type": "str", "choices": ["Inbound", "Outbound"], "default": "Inbound"},
    "access": {"type": "str", "choices": ["Allow", "Deny"], "default": "Allow"},
    "protocol": {"type": "str", "choices": ["Tcp", "Udp", "Icmp", "*"], "default": "Tcp"},
    "source": {"type": "list", "elements": "str"},
    "destination": {"type": "list", "elements": "str"},
    "ports": {"type": "list", "elements": "str"},
    "description": {"type": "str"},
}
SUBNET = {
    "name": {"type": "str", "required": True},
    "cidr": {"type": "str"},
    "nat_gateway": {"type": "bool", "default": False},
    "service_endpoints": {"type": "list", "elements": "str"},
    "delegation": {"type": "str"},
    "ssh": {"type": "bool", "default": True},
    "security_group": {"type": "str"},
    "rules": {"type": "list", "elements": "dict", "options": RULE, "default": []},
}
OPTIONS = Arguments(
    {
        "resource_group": {"type": "str", "required": True},
        "name": {"type": "str", "required": True},
        "location": {"type": "str"},
        "address_space": {"type": "list", "elements": "str"},
        "subnets": {"type": "list", "elements": "dict", "options": SUBNET},
        "nat_gateway": {"type": "dict", "options": {"name": {"type": "str"}, "public_ip_name": {"type": "str"}}},
        "ssh_from": {"type": "list", "elements": "str", "default": []},
    },
    required_if=(("state", "present", ("location", "address_space", "subnets")),),
)


def main() -> None:
    """Run the module."""
    module = build(OPTIONS, state(), TAGS, AZURE)
    with failures_reported(module), connect(module.params) as session:
        act = network.ensure if module.params["state"] == "present" else network.remove
        outcome, ids = act(session, module.params, module.check_mode)
        address = outcome.resource(ids.address).get("properties") or {}
        finish(
            module,
            outcome.changed,
            outcome.diff("before"),
            outcome.diff("after"),
            id=ids.vnet,
            subnet_ids={subnet["name"]: ids.subnet(subnet["name"]) for subnet in module.params["subnets"] or ()},
            nat_address=address.get("ipAddress", ""),
        )


if __name__ == "__main__":
    main()
