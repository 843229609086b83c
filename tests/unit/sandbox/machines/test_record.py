"""The paper driver keeps what it was told, over a restart, and refuses what the real one refuses."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.machines import (
    MachineError,
    MachineSpec,
    NicState,
    PowerState,
    SecurityRule,
    SubnetState,
    VnetState,
    open_driver,
)
from sandbox.machines.values import spec_from_json, spec_to_json, vnet_from_json, vnet_to_json

VNET = VnetState(vnet_id="/v/1", address_prefixes=("10.0.0.0/8",))


class NoMetadata:
    def opened(self, vnet_id: str, listener: socket.socket) -> None:
        raise AssertionError("the paper driver has no networks")

    def closed(self, vnet_id: str) -> None:
        raise AssertionError("the paper driver has no networks")


def spec(name: str = "/vm/a", image: str = "debian-13") -> MachineSpec:
    return MachineSpec(
        arm_id=name, vnet_id="/V/1", computer_name="a", private_ip="10.0.0.4", mac="00:00:00:00:00:01",
        admin_username="u", image=image,
    )  # fmt: skip


def test_the_state_is_what_was_last_asked_for_also_after_a_restart(tmp_path: Path) -> None:
    driver = open_driver("record", tmp_path, NoMetadata())
    driver.apply_network(VNET)
    for name in ("/vm/a", "/vm/b", "/vm/c", "/vm/d"):
        driver.create(spec(name))
    driver.stop("/vm/b")
    driver.deallocate("/VM/C")
    driver.delete("/vm/d")
    expected = {"/vm/a": PowerState.RUNNING, "/vm/b": PowerState.STOPPED, "/vm/c": PowerState.DEALLOCATED}
    assert driver.machines() == expected
    assert open_driver("record", tmp_path, NoMetadata()).recover() == expected


def test_a_journal_that_was_cut_short_is_read_up_to_there(tmp_path: Path) -> None:
    driver = open_driver("record", tmp_path, NoMetadata())
    driver.apply_network(VNET)
    driver.create(spec())
    with (tmp_path / "record.jsonl").open("a") as journal:
        journal.write('{"call": "del')
    after = open_driver("record", tmp_path, NoMetadata())
    assert after.recover() == {"/vm/a": PowerState.RUNNING}
    after.deallocate("/vm/a")
    assert open_driver("record", tmp_path, NoMetadata()).recover() == {"/vm/a": PowerState.DEALLOCATED}


def test_the_journal_grows_with_what_there_is_and_not_with_what_there_was(tmp_path: Path) -> None:
    driver = open_driver("record", tmp_path, NoMetadata())
    driver.apply_network(VNET)
    driver.create(spec())
    driver.stop("/vm/a")
    driver.capture("/vm/a", "/images/one")
    for _unused in range(50):
        driver.create(spec("/vm/b", image="/images/one"))
        driver.delete("/vm/b")
    after = open_driver("record", tmp_path, NoMetadata())
    assert after.recover() == {"/vm/a": PowerState.STOPPED}
    assert len((tmp_path / "record.jsonl").read_text().splitlines()) < 10
    after.create(spec("/vm/b", image="/images/one"))


def test_what_the_booting_driver_refuses_is_refused(tmp_path: Path) -> None:
    driver = open_driver("record", tmp_path, NoMetadata())
    with pytest.raises(MachineError, match="NetworkNotFound"):
        driver.create(spec())
    driver.apply_network(VNET)
    with pytest.raises(MachineError, match="ImageNotFound"):
        driver.create(spec(image="/images/none"))
    driver.create(spec())
    with pytest.raises(MachineError, match="Conflict"):
        driver.create(spec("/VM/A"))
    driver.capture("/vm/a", "/images/one")
    with pytest.raises(MachineError, match="Conflict"):
        driver.capture("/vm/a", "/images/ONE")
    with pytest.raises(MachineError, match="Conflict"):
        driver.remove_network("/v/1")
    with pytest.raises(MachineError, match="NotFound"):
        driver.start("/vm/none")


def test_an_unknown_driver_is_named_with_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'qemu'.*record, nspawn"):
        open_driver("qemu", tmp_path, NoMetadata())


@given(st.binary(), st.lists(st.text(), max_size=3))
def test_machines_survive_json(data: bytes, keys: list[str]) -> None:
    machine = MachineSpec(
        arm_id="/a", vnet_id="/v", computer_name="c", private_ip="10.0.0.4", mac="m", admin_username="u",
        custom_data=data, ssh_public_keys=tuple(keys),
    )  # fmt: skip
    assert spec_from_json(spec_to_json(machine)) == machine


@given(
    st.lists(
        st.none() | st.just(()) | st.just((SecurityRule(name="r", priority=1, direction="Inbound", access="Deny"),))
    )
)
def test_networks_survive_json(groups: list[tuple[SecurityRule, ...] | None]) -> None:
    vnet = VnetState(
        vnet_id="/v", address_prefixes=("10.0.0.0/8",),
        subnets=tuple(SubnetState(subnet_id=str(n), prefix="10.0.0.0/24", rules=r) for n, r in enumerate(groups)),
        nics=tuple(NicState(private_ip="10.0.0.4", rules=r) for r in groups),
    )  # fmt: skip
    assert vnet_from_json(vnet_to_json(vnet)) == vnet
