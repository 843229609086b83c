"""The pure parts of virtual networks."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.machines import MachineError, SubnetState, VnetState, base, network

VNET = VnetState(
    vnet_id="/v",
    address_prefixes=("10.20.0.0/16",),
    subnets=(
        SubnetState(subnet_id="/v/head", prefix="10.20.0.0/24"),
        SubnetState(subnet_id="/v/compute", prefix="10.20.16.0/20"),
    ),
)


@pytest.mark.parametrize(("address", "expected"), [("10.20.0.4", "/v/head"), ("10.20.31.254", "/v/compute")])
def test_a_machine_is_in_the_subnet_that_has_its_address(address: str, expected: str) -> None:
    assert network.subnet_of(VNET, address).subnet_id == expected


def test_an_address_outside_all_subnets_is_refused() -> None:
    with pytest.raises(MachineError, match="NetworkNotFound"):
        network.subnet_of(VNET, "10.20.1.4")


def test_the_gateway_is_the_first_address() -> None:
    assert network.gateway("10.20.16.0/20") == "10.20.16.1/20"


def test_the_host_lets_machines_reach_mirrors_only() -> None:
    text = network.host_rules("azs123456", ["203.0.113.80", "192.0.2.7"])
    allowed = [line for line in text.splitlines() if line.endswith(" accept") and "iifname" in line and "daddr" in line]
    assert allowed == [
        '    iifname "azs123456*" ip daddr { 192.0.2.7, 203.0.113.80 } tcp dport { 80, 443 } accept',
    ]
    assert '    iifname "azs123456*" reject' in text


def test_without_a_mirror_nothing_is_reachable() -> None:
    assert "daddr" not in network.host_rules("azs123456", [])


def test_security_updates_come_from_beside_the_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_SANDBOX_MIRROR", "http://mirror.example.org/debian/")
    lines = base.sources(base.mirror()).splitlines()
    assert lines[-1] == "deb http://mirror.example.org/debian-security trixie-security main"
    assert "mirror.example.org" in network.mirror_hosts()


def test_the_image_is_made_anew_when_its_recipe_changes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = base.recipe_hash()
    assert base.recipe_hash() == before
    monkeypatch.setattr(base, "PACKAGES", (*base.PACKAGES, "more"))
    assert base.recipe_hash() != before


def test_mirrors_are_asked_for_until_somebody_answers_and_then_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([{}, {"mirror": ["192.0.2.1"]}, {"mirror": ["192.0.2.2"]}])
    monkeypatch.setattr(network, "resolve", lambda hosts: next(answers))
    network._mirrors.cache_clear()
    try:
        assert network.mirrors() == {}
        assert network.mirrors() == {"mirror": ["192.0.2.1"]}
        assert network.mirrors() == {"mirror": ["192.0.2.1"]}
    finally:
        network._mirrors.cache_clear()


def test_hosts_without_an_address_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(name: str, *arguments: object) -> list[tuple[object, ...]]:
        if name == "gone":
            raise OSError
        return [(2, 1, 6, "", ("192.0.2.2", 0)), (2, 1, 6, "", ("192.0.2.1", 0)), (2, 1, 6, "", ("192.0.2.1", 0))]

    monkeypatch.setattr("socket.getaddrinfo", answer)
    assert network.resolve(["here", "gone"]) == {"here": ["192.0.2.1", "192.0.2.2"]}
