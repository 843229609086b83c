# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Driver values as JSON and back, for what must outlive the process."""

from __future__ import annotations

import base64
import dataclasses
import typing as t

from sandbox.machines import MachineSpec, NicState, SecurityRule, SubnetState, VnetState

Json = dict[str, t.Any]


def spec_to_json(spec: MachineSpec) -> Json:
    """A machine as JSON; its custom data in base64."""
    return {**dataclasses.asdict(spec), "custom_data": base64.b64encode(spec.custom_data).decode()}


def spec_from_json(data: Json) -> MachineSpec:
    """The machine that ``spec_to_json`` wrote."""
    changed = {"custom_data": base64.b64decode(data["custom_data"]), "ssh_public_keys": tuple(data["ssh_public_keys"])}
    return MachineSpec(**{**data, **changed})


def vnet_to_json(vnet: VnetState) -> Json:
    """A virtual network as JSON."""
    return dataclasses.asdict(vnet)


def vnet_from_json(data: Json) -> VnetState:
    """The virtual network that ``vnet_to_json`` wrote."""
    return VnetState(
        vnet_id=data["vnet_id"],
        address_prefixes=tuple(data["address_prefixes"]),
        subnets=tuple(
            SubnetState(**{**s, "rules": _rules(s["rules"]), "nat_public_ips": tuple(s["nat_public_ips"])})
            for s in data["subnets"]
        ),
        nics=tuple(NicState(**{**nic, "rules": _rules(nic["rules"])}) for nic in data["nics"]),
    )


def _rules(rules: list[Json] | None) -> tuple[SecurityRule, ...] | None:
    if rules is None:
        return None
    plain: list[Json] = [{key: tuple(v) if isinstance(v, list) else v for key, v in rule.items()} for rule in rules]
    return tuple(SecurityRule(**rule) for rule in plain)
