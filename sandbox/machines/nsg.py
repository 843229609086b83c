# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network security groups as nftables rules. Pure: values in, text out.

Azure asks the group of the subnet and the group of the NIC, both ways, and both must allow; within a group the rule of
the lowest priority number that matches decides, and the default rules come last. Each group and direction becomes one
chain that returns what it allows and drops what it denies, so asking several is jumping to several.
"""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass

from sandbox.machines import DNS_ADDRESS, ENDPOINTS, SecurityRule, VnetState
from sandbox.machines.names import digest

Direction = t.Literal["Inbound", "Outbound"]
DIRECTIONS: tuple[Direction, ...] = ("Inbound", "Outbound")
ANYWHERE = ("0.0.0.0/0",)


def _default(priority: int, name: str, direction: Direction, source: str, target: str) -> SecurityRule:
    access: t.Literal["Allow", "Deny"] = "Deny" if name.startswith("Deny") else "Allow"
    return SecurityRule(
        name=name, priority=priority, direction=direction, access=access,
        source_prefixes=(source,), destination_prefixes=(target,),
    )  # fmt: skip


DEFAULT_RULES = (
    _default(65000, "AllowVnetInBound", "Inbound", "VirtualNetwork", "VirtualNetwork"),
    _default(65001, "AllowAzureLoadBalancerInBound", "Inbound", "AzureLoadBalancer", "*"),
    _default(65500, "DenyAllInBound", "Inbound", "*", "*"),
    _default(65000, "AllowVnetOutBound", "Outbound", "VirtualNetwork", "VirtualNetwork"),
    _default(65001, "AllowInternetOutBound", "Outbound", "*", "Internet"),
    _default(65500, "DenyAllOutBound", "Outbound", "*", "*"),
)


@dataclass(frozen=True)
class Place:
    """A set of addresses: those in ``prefixes``, or all others with ``inverted``."""

    prefixes: tuple[str, ...]
    inverted: bool = False

    def expression(self, field: str) -> str:
        """The nftables match on ``ip <field>``, empty if every address matches."""
        if self.prefixes == ANYWHERE and not self.inverted:
            return ""
        return f"ip {field} {'!= ' if self.inverted else ''}{{ {', '.join(self.prefixes)} }}"


@dataclass(frozen=True)
class Match:
    """One nftables rule: protocols and ports empty mean any; ports are inclusive ranges."""

    source: Place
    destination: Place
    protocols: tuple[str, ...]
    source_ports: tuple[tuple[int, int], ...]
    destination_ports: tuple[tuple[int, int], ...]
    allow: bool

    def render(self) -> str:
        """The rule as a line of nft."""
        parts = [self.source.expression("saddr"), self.destination.expression("daddr")]
        if self.protocols:
            parts.append(f"meta l4proto {{ {', '.join(self.protocols)} }}")
        for field, ports in (("sport", self.source_ports), ("dport", self.destination_ports)):
            if ports:
                parts.append(f"th {field} {{ {', '.join(_range(*port) for port in ports)} }}")
        return " ".join([*filter(None, parts), "return" if self.allow else "drop"])


def _range(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}-{high}"


def merged(prefixes: t.Iterable[str]) -> tuple[str, ...]:
    """Prefixes without those that others contain: nftables refuses sets that overlap."""
    nets = [ipaddress.IPv4Network(prefix, strict=False) for prefix in prefixes]
    return tuple(str(net) for net in ipaddress.collapse_addresses(nets))


def _places(texts: t.Sequence[str], vnet: t.Sequence[str]) -> list[Place]:
    plain: list[str] = []
    places: list[Place] = []
    for text in texts:
        tag = text.casefold()
        if tag in {"*", "any"}:
            return [Place(ANYWHERE)]
        if tag == "virtualnetwork":
            plain += vnet
        elif tag == "azureloadbalancer":
            plain.append(DNS_ADDRESS)
        elif tag == "internet":
            places.append(Place(merged(vnet), inverted=True))
        else:
            try:
                plain.append(str(ipaddress.IPv4Network(text, strict=False)))
            except ValueError:
                continue  # another service tag: nothing here belongs to such a service
    return places + ([Place(merged(plain))] if plain else [])


def _ports(texts: t.Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Port ranges in order without overlaps; empty for all ports."""
    ranges: list[tuple[int, int]] = []
    for text in texts:
        if text == "*":
            return ()
        low, _dash, high = text.partition("-")
        ranges.append((int(low), int(high or low)))
    joined: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return () if joined == [(0, 65535)] else tuple(joined)


def compile_rules(rules: t.Iterable[SecurityRule], direction: Direction, vnet: t.Sequence[str]) -> list[Match]:
    """The rules of a group in one direction with Azure's default rules, in the order in which they are asked."""
    chosen = [rule for rule in (*rules, *DEFAULT_RULES) if rule.direction == direction]
    matches = []
    for rule in sorted(chosen, key=lambda rule: rule.priority):
        protocol = rule.protocol.casefold()
        protocols: tuple[str, ...] = () if protocol == "*" else (protocol,)
        source_ports, destination_ports = _ports(rule.source_ports), _ports(rule.destination_ports)
        if protocol in {"icmp", "esp", "ah"}:
            source_ports = destination_ports = ()  # they have no ports, and Azure does not ask for any
        elif (source_ports or destination_ports) and not protocols:
            protocols = ("tcp", "udp")
        for source in _places(rule.source_prefixes, vnet):
            for destination in _places(rule.destination_prefixes, vnet):
                ports = (source_ports, destination_ports)
                matches.append(Match(source, destination, protocols, *ports, rule.access == "Allow"))
    return matches


def _group(name: str, rules: tuple[SecurityRule, ...], vnet: VnetState) -> list[str]:
    lines = []
    for direction in DIRECTIONS:
        lines.append(f"  chain {name}_{direction.lower()} {{")
        lines += [f"    {match.render()}" for match in compile_rules(rules, direction, vnet.address_prefixes)]
        lines.append("  }")
    return lines


def render(vnet: VnetState, mirrors: t.Iterable[str], uplink: str = "uplink") -> str:
    """The whole ruleset of a router namespace. ``mirrors``: addresses that may be reached from inside at all.

    Traffic inside one subnet is bridged and passes here only where the kernel has br_netfilter.
    """
    groups: list[str] = []
    asked: dict[Direction, list[str]] = {direction: [] for direction in DIRECTIONS}
    guarded = {subnet.prefix for subnet in vnet.subnets if subnet.rules is not None}
    places = [(f"s_{digest(s.subnet_id)}", s.prefix, s.rules) for s in vnet.subnets]
    places += [(f"n_{digest(n.private_ip)}", n.private_ip, n.rules) for n in vnet.nics]
    for name, prefix, rules in places:
        if rules is not None:
            groups += _group(name, rules, vnet)
            asked["Inbound"].append(f"    ip daddr {prefix} jump {name}_inbound")
            asked["Outbound"].append(f"    ip saddr {prefix} jump {name}_outbound")
    unguarded = [n for n in vnet.nics if n.public_ip and n.rules is None and not _inside(n.private_ip, guarded)]
    closed = _set_match("daddr", [nic.private_ip for nic in unguarded])
    published = [nic for nic in vnet.nics if nic.public_ip]
    open_subnets = [subnet.prefix for subnet in vnet.subnets if subnet.nat_public_ips]
    leaving = merged([*open_subnets, *(nic.private_ip for nic in published)])
    internet = []
    if leaving and (targets := _set_match("daddr", sorted(set(mirrors)))):
        internet = [f"    {_set_match('saddr', leaving)} {targets} tcp dport {{ 80, 443 }} accept"]
    return "\n".join(
        [
            "table ip azure", "delete table ip azure", "table ip azure {",
            *groups,
            "  chain outbound {", *asked["Outbound"], "  }",
            "  chain inbound {", *asked["Inbound"], "  }",
            "  chain forwarded {", "    type filter hook forward priority 0; policy drop;",
            "    ct state established,related accept",
            f"    iifname {uplink} ct status dnat goto arriving",
            f"    iifname {uplink} drop",
            "    jump outbound",
            f"    oifname {uplink} goto leaving",
            "    jump inbound", "    accept", "  }",
            "  chain arriving {",
            # A Standard public address is closed unless a security group opens it.
            *([f"    {closed} drop"] if closed else []),
            "    jump inbound", "    accept", "  }",
            "  chain leaving {", *internet, "    reject with icmp type admin-prohibited", "  }",
            "  chain local {", "    type filter hook input priority 0; policy drop;", "    iifname lo accept",
            "    ct state established,related accept", "    meta l4proto icmp accept",
            f"    iifname != {uplink} ip daddr {DNS_ADDRESS} meta l4proto {{ tcp, udp }} th dport 53 accept",
            f"    iifname != {uplink} ip daddr 169.254.169.254 tcp dport 80 accept",
            f"    iifname != {uplink} ip daddr {ENDPOINTS} jump outbound",
            f"    iifname != {uplink} ip daddr {ENDPOINTS} accept", "  }",
            "  chain translated_to {", "    type nat hook prerouting priority -100; policy accept;",
            *[f"    iifname {uplink} ip daddr {nic.public_ip} dnat to {nic.private_ip}" for nic in published],
            "  }",
            "  chain translated_from {", "    type nat hook postrouting priority 100; policy accept;",
            f"    oifname {uplink} masquerade", "  }",
            "}", "",
        ]
    )  # fmt: skip


def _inside(address: str, prefixes: t.Iterable[str]) -> bool:
    return any(ipaddress.IPv4Address(address) in ipaddress.IPv4Network(prefix) for prefix in prefixes)


def _set_match(field: str, addresses: t.Sequence[str]) -> str:
    return f"ip {field} {{ {', '.join(addresses)} }}" if addresses else ""
