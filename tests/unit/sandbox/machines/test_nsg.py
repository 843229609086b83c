"""Security groups must decide as Azure's do, whatever rules users write."""

from __future__ import annotations

import ipaddress
import typing as t

from hypothesis import given
from hypothesis import strategies as st

from sandbox.machines import NicState, SecurityRule, SubnetState, VnetState
from sandbox.machines.nsg import DEFAULT_RULES, Match, Place, compile_rules, merged, render

VNET = ("10.20.0.0/16",)
ADDRESSES = ("10.20.0.4", "10.20.1.4", "10.21.0.4", "198.51.100.10", "203.0.113.80", "168.63.129.16")
PREFIXES = ("*", "VirtualNetwork", "Internet", "AzureLoadBalancer", "Storage", "10.20.0.0/24", "10.20.0.4",
            "10.0.0.0/8", "198.51.100.0/24", "0.0.0.0/0", "10.20.0.4/32")  # fmt: skip
PORTS = ("*", "22", "20-25", "0-65535", "1024-65535", "80", "443", "24-90")


class Packet(t.NamedTuple):
    source: str
    destination: str
    protocol: str
    source_port: int
    destination_port: int


def rules(direction: str = "Inbound") -> st.SearchStrategy[list[SecurityRule]]:
    some = st.lists(st.sampled_from(PREFIXES), min_size=1, max_size=3).map(tuple)
    ports = st.lists(st.sampled_from(PORTS), min_size=1, max_size=3).map(tuple)
    rule = st.builds(
        SecurityRule, name=st.just("r"), priority=st.integers(100, 4096), direction=st.just(direction),
        access=st.sampled_from(["Allow", "Deny"]), protocol=st.sampled_from(["Tcp", "Udp", "Icmp", "*"]),
        source_prefixes=some, destination_prefixes=some, source_ports=ports, destination_ports=ports,
    )  # fmt: skip
    return st.lists(rule, max_size=6, unique_by=lambda found: found.priority)


packets = st.builds(
    Packet, source=st.sampled_from(ADDRESSES), destination=st.sampled_from(ADDRESSES),
    protocol=st.sampled_from(["tcp", "udp", "icmp"]),
    source_port=st.sampled_from([22, 40000]), destination_port=st.sampled_from([22, 24, 80, 8080]),
)  # fmt: skip


def azure_covers(prefixes: t.Iterable[str], address: str) -> bool:
    own = ipaddress.ip_address(address)
    inside = any(own in ipaddress.ip_network(prefix) for prefix in VNET)
    tags = {"*": True, "VirtualNetwork": inside, "Internet": not inside, "Storage": False,
            "AzureLoadBalancer": address == "168.63.129.16"}  # fmt: skip
    return any(tags[p] if p in tags else own in ipaddress.ip_network(p) for p in prefixes)


def azure_port(texts: t.Iterable[str], port: int) -> bool:
    return any(text == "*" or int(text.split("-")[0]) <= port <= int(text.split("-")[-1]) for text in texts)


def azure_allows(custom: list[SecurityRule], direction: str, packet: Packet) -> bool:
    """Azure's documentation as straight as it goes."""
    asked = [rule for rule in (*custom, *DEFAULT_RULES) if rule.direction == direction]
    for rule in sorted(asked, key=lambda rule: rule.priority):
        protocol = rule.protocol.lower()
        if protocol not in {"*", packet.protocol}:
            continue
        if not azure_covers(rule.source_prefixes, packet.source):
            continue
        if not azure_covers(rule.destination_prefixes, packet.destination):
            continue
        all_ports = all("*" in ports or "0-65535" in ports for ports in (rule.source_ports, rule.destination_ports))
        if packet.protocol == "icmp":
            if protocol == "icmp" or all_ports:
                return rule.access == "Allow"
            continue
        if azure_port(rule.source_ports, packet.source_port) and azure_port(
            rule.destination_ports, packet.destination_port
        ):
            return rule.access == "Allow"
    raise AssertionError("the default rules decide everything")


def nft_allows(matches: list[Match], packet: Packet) -> bool:
    """What the chain does: the first rule that matches decides."""

    def covers(place: Place, address: str) -> bool:
        inside = any(ipaddress.ip_address(address) in ipaddress.ip_network(p) for p in place.prefixes)
        return inside is not place.inverted

    def has(ports: tuple[tuple[int, int], ...], port: int) -> bool:
        return not ports or any(low <= port <= high for low, high in ports)

    for match in matches:
        if (
            covers(match.source, packet.source)
            and covers(match.destination, packet.destination)
            and (not match.protocols or packet.protocol in match.protocols)
            and has(match.source_ports, packet.source_port)
            and has(match.destination_ports, packet.destination_port)
        ):
            return match.allow
    raise AssertionError("a chain without a last rule lets everything through")


@given(rules("Inbound"), packets)
def test_inbound_rules_decide_as_azure_does(custom: list[SecurityRule], packet: Packet) -> None:
    matches = compile_rules(custom, "Inbound", VNET)
    assert nft_allows(matches, packet) is azure_allows(custom, "Inbound", packet)


@given(rules("Outbound"), packets)
def test_outbound_rules_decide_as_azure_does(custom: list[SecurityRule], packet: Packet) -> None:
    matches = compile_rules(custom, "Outbound", VNET)
    assert nft_allows(matches, packet) is azure_allows(custom, "Outbound", packet)


@given(st.permutations(list(range(5))))
def test_priority_decides_not_the_order_of_the_list(order: list[int]) -> None:
    custom = [
        SecurityRule(name=str(n), priority=100 + n, direction="Inbound", access="Allow" if n % 2 else "Deny",
                     destination_ports=(str(22 + n),))
        for n in range(5)
    ]  # fmt: skip
    assert compile_rules([custom[n] for n in order], "Inbound", VNET) == compile_rules(custom, "Inbound", VNET)


@given(st.lists(st.sampled_from([p for p in PREFIXES if p[0].isdigit()]), min_size=1))
def test_merged_prefixes_never_overlap_and_cover_the_same(prefixes: list[str]) -> None:
    found = [ipaddress.ip_network(prefix) for prefix in merged(prefixes)]
    assert not any(a.overlaps(b) for a in found for b in found if a != b)
    for address in map(ipaddress.ip_address, ADDRESSES):
        assert any(address in net for net in found) == any(address in ipaddress.ip_network(p) for p in prefixes)


def vnet(**changes: t.Any) -> VnetState:
    subnets = (
        SubnetState(subnet_id="/v/head", prefix="10.20.0.0/24"),
        SubnetState(subnet_id="/v/compute", prefix="10.20.16.0/20"),
    )
    return VnetState(**{"vnet_id": "/v", "address_prefixes": VNET, "subnets": subnets, **changes})


def test_nobody_leaves_without_a_nat_gateway_or_a_public_address() -> None:
    text = render(vnet(), ["203.0.113.80"])
    leaving = text[text.index("chain leaving") : text.index("chain local")]
    assert "accept" not in leaving
    assert "reject" in leaving


def test_a_nat_gateway_opens_the_mirrors_for_its_subnet_only() -> None:
    subnets = (
        SubnetState(subnet_id="/v/head", prefix="10.20.0.0/24"),
        SubnetState(subnet_id="/v/compute", prefix="10.20.16.0/20", nat_public_ips=("203.0.113.9",)),
    )
    expected = "ip saddr { 10.20.16.0/20 } ip daddr { 203.0.113.80 } tcp dport { 80, 443 } accept"
    assert expected in render(vnet(subnets=subnets), ["203.0.113.80"])


def test_a_public_address_without_any_security_group_is_closed() -> None:
    nic = NicState(private_ip="10.20.0.4", public_ip="203.0.113.1")
    assert "ip daddr { 10.20.0.4 } drop" in render(vnet(nics=(nic,)), [])


def test_a_public_address_behind_a_security_group_is_left_to_its_rules() -> None:
    nic = NicState(private_ip="10.20.0.4", public_ip="203.0.113.1")
    subnets = (SubnetState(subnet_id="/v/head", prefix="10.20.0.0/24", rules=()),)
    text = render(vnet(nics=(nic,), subnets=subnets), [])
    assert "ip daddr { 10.20.0.4 } drop" not in text
    assert "ip daddr 203.0.113.1 dnat to 10.20.0.4" in text


def test_the_group_of_the_nic_is_asked_besides_that_of_the_subnet() -> None:
    nic = NicState(private_ip="10.20.0.4", rules=())
    subnets = (SubnetState(subnet_id="/v/head", prefix="10.20.0.0/24", rules=()),)
    text = render(vnet(nics=(nic,), subnets=subnets), [])
    assert text.count("ip daddr 10.20.0.0/24 jump s_") == 1
    assert text.count("ip daddr 10.20.0.4 jump n_") == 1
