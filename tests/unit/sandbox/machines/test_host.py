"""The host's own settings are changed as little as possible and put back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sandbox.machines import host

FAKE_IPTABLES = """#!/usr/bin/python3
# Keeps the rules of one chain in a file, as far as the sandbox uses iptables.
import json, os, sys
path = os.environ["FAKE_RULES"]
state = json.load(open(path))
verb, rule = sys.argv[1], sys.argv[2:]
if verb == "-S":
    print("\\n".join(["-P FORWARD " + state["policy"]] + ["-A " + " ".join(found) for found in state["rules"]]))
elif verb == "-I":
    state["rules"].insert(0, rule)
elif rule not in state["rules"]:
    sys.exit(1)
elif verb == "-D":
    state["rules"].remove(rule)
json.dump(state, open(path, "w"))
"""


@pytest.fixture
def firewall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "iptables").write_text(FAKE_IPTABLES)
    (tmp_path / "iptables").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("FAKE_RULES", str(tmp_path / "rules"))
    return tmp_path / "rules"


def test_a_firewall_that_drops_forwarded_packets_is_opened_for_our_links_once_and_closed_again(firewall: Path) -> None:
    others = {"policy": "DROP", "rules": [["FORWARD", "-j", "DOCKER-USER"]]}
    firewall.write_text(json.dumps(others))
    host.open_forwarding("azs123456")
    host.open_forwarding("azs123456")
    rules = json.loads(firewall.read_text())["rules"]
    assert sorted(rules[:2]) == [["FORWARD", way, "azs123456+", "-j", "ACCEPT"] for way in ("-i", "-o")]
    assert len(rules) == 3
    assert len(host.close_forwarding("azs123456")) == 2
    assert json.loads(firewall.read_text()) == others
    assert host.close_forwarding("azs123456") == []


def test_a_firewall_that_accepts_is_left_alone(firewall: Path) -> None:
    firewall.write_text(json.dumps({"policy": "ACCEPT", "rules": []}))
    host.open_forwarding("azs123456")
    assert json.loads(firewall.read_text())["rules"] == []


def test_missing_tools_are_named_with_their_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    lacks = host.missing()
    assert "nft (package nftables)" in lacks
    assert "systemd-nspawn (package systemd-container)" in lacks


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kernel with two settings, in files."""
    proc = tmp_path / "proc/sys/net"
    proc.mkdir(parents=True)
    (proc / "low").write_text("0")
    (proc / "high").write_text("100")
    monkeypatch.setattr(host, "SETTINGS", {"net.low": 1, "net.high": 50})
    monkeypatch.setattr(host, "RUN", tmp_path / "run")
    monkeypatch.setattr(host, "PROC_SYS", tmp_path / "proc/sys")
    return proc


def values(settings: Path) -> tuple[str, str]:
    return (settings / "low").read_text(), (settings / "high").read_text()


def test_settings_come_back_when_the_last_sandbox_goes(settings: Path) -> None:
    host.claim_settings("azs000001")
    host.claim_settings("azs000002")
    host.claim_settings("azs000001")
    assert values(settings) == ("1", "100")
    assert host.release_settings("azs000001") == []
    assert values(settings) == ("1", "100")
    assert host.release_settings("azs000002") == ["kernel setting net.low back to 0"]
    assert values(settings) == ("0", "100")


def test_a_sandbox_that_changed_nothing_puts_nothing_back(settings: Path) -> None:
    assert host.release_settings("azs000001") == []
    assert values(settings) == ("0", "100")
