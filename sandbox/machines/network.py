# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual networks as router namespaces: bridges, addresses, rules, names, the way to this host and to package mirrors.

A router namespace has a bridge per subnet with the subnet's first address, and one link (``up``) to the host. The host
routes public addresses into the link; everything else of a virtual network stays in its namespace, so that address
spaces of different networks may overlap. The host end carries ``CONTROLLER_ADDRESS``: that is who connects from here.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import json
import socket
import threading
import time
import typing as t
from pathlib import Path
from urllib.parse import urlsplit

from sandbox.machines import (
    CONTROLLER_ADDRESS,
    DNS_ADDRESS,
    METADATA_ADDRESS,
    MachineError,
    SubnetState,
    VnetState,
    host,
    names,
    nsg,
)
from sandbox.machines.base import mirror

DOMAIN = "internal.cloudapp.net"
LINKS = ipaddress.IPv4Network("100.64.0.0/16")
PUBLIC = tuple(
    ipaddress.IPv4Network(prefix) for prefix in ("203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24", "198.18.0.0/15")
)
UPLINK = "uplink"
GATEWAY_MAC = "12:34:56:78:9a:bc"
"""What Azure's gateways answer, too. A bridge without an address of its own takes its ports', and so changes it."""
RESOLVE_SECONDS = 5.0

PORT_GUARD = """
add table bridge azure
add set bridge azure machines { type ifname . ipv4_addr; }
add chain bridge azure arriving { type filter hook prerouting priority -300; policy accept; }
flush chain bridge azure arriving
add rule bridge azure arriving iifname "m*" ether type ip iifname . ip saddr != @machines drop
add rule bridge azure arriving iifname "m*" ether type arp iifname . arp saddr ip != @machines drop
"""
"""A machine can use its own address only, as on Azure: the metadata service knows machines by their addresses."""


def mirror_hosts() -> list[str]:
    """The names of the package mirrors: the image's, and those that this host itself uses."""
    found = {urlsplit(mirror()).hostname, "deb.debian.org", "security.debian.org"}
    apt = Path("/etc/apt")
    for path in [
        apt / "sources.list",
        *(apt / "sources.list.d").glob("*.list"),
        *(apt / "sources.list.d").glob("*.sources"),
    ]:
        text = path.read_text(errors="replace") if path.is_file() else ""
        words = [word for line in text.splitlines() if not line.lstrip().startswith("#") for word in line.split()]
        found |= {urlsplit(word).hostname for word in words if word.startswith(("http://", "https://"))}
    return sorted(name for name in found if name)


def mirrors() -> dict[str, list[str]]:
    """The names of the package mirrors with their IPv4 addresses, asked from this host.

    Asked until there is an answer and then kept: rules of the host and names of all networks must agree.
    """
    found = _mirrors()
    if not found:
        _mirrors.cache_clear()
    return found


@functools.cache
def _mirrors() -> dict[str, list[str]]:
    return resolve(mirror_hosts())


def mirror_addresses() -> set[str]:
    """All addresses of package mirrors."""
    return {address for found in mirrors().values() for address in found}


def resolve(hosts: t.Iterable[str]) -> dict[str, list[str]]:
    """The IPv4 addresses of those hosts that have any, asked from this host; gives up on some after five seconds."""
    found: dict[str, list[str]] = {}

    def ask(name: str) -> None:
        with contextlib.suppress(OSError):
            answers = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
            found[name] = sorted({str(answer[4][0]) for answer in answers})

    askers = [threading.Thread(target=ask, args=(name,), daemon=True) for name in hosts]
    for asker in askers:
        asker.start()
    deadline = time.monotonic() + RESOLVE_SECONDS
    for asker in askers:
        asker.join(max(0.0, deadline - time.monotonic()))
    return dict(found)


def subnet_of(vnet: VnetState, address: str) -> SubnetState:
    """The subnet that an address lies in; raises ``MachineError`` if there is none."""
    for subnet in vnet.subnets:
        if ipaddress.IPv4Address(address) in ipaddress.IPv4Network(subnet.prefix):
            return subnet
    raise MachineError("NetworkNotFound", f"{address} is in no subnet of {vnet.vnet_id}")


def gateway(prefix: str) -> str:
    """The first usable address of a subnet, where Azure's gateway is, with the prefix length."""
    net = ipaddress.IPv4Network(prefix)
    return f"{net.network_address + 1}/{net.prefixlen}"


def reserved_public_addresses(prefix: str) -> frozenset[str]:
    """Public addresses that this host needs itself or routes to another sandbox."""
    addresses = mirror_addresses()
    for route in host.ip_json("-4", "route", "show", "table", "main"):
        if not str(route.get("dev", "")).startswith(prefix):
            addresses.add(str(route.get("dst", "")).removesuffix("/32"))
    return frozenset(address for address in addresses if _is_public(address))


def _is_public(address: str) -> bool:
    try:
        return any(ipaddress.IPv4Address(address) in prefix for prefix in PUBLIC)
    except ValueError:
        return False


class Router:
    """The router namespace of one virtual network. Its methods are idempotent; calls must not overlap."""

    def __init__(self, prefix: str, vnet_id: str, directory: Path) -> None:
        self.prefix = prefix
        self.namespace = names.router_namespace(prefix, vnet_id)
        self.directory = directory
        self.hosts = directory / "hosts.d"
        self.exports = directory / "exports"
        self._group = host.cgroup(prefix, self.namespace)

    def apply(self, vnet: VnetState) -> bool:
        """Make everything as ``vnet`` says; whether the namespace is new."""
        new = not (host.NETNS / self.namespace).exists()
        self.hosts.mkdir(parents=True, exist_ok=True)
        self.exports.mkdir(exist_ok=True)
        self._make_namespace()
        self._apply_bridges(vnet)
        self._nft(nsg.render(vnet, mirror_addresses(), UPLINK) + PORT_GUARD)
        self._write_names("mirrors", [f"{a} {name}" for name, found in mirrors().items() for a in found])
        if not host.populated(self._group):
            self._serve_names()
        return new

    def remove(self) -> None:
        """Remove the namespace and all that belongs to it."""
        host.kill(self._group)
        remove_namespace(self.namespace)
        for link in self._links():
            host.attempt("ip", "link", "delete", link)

    def attach(self, arm_id: str, name: str, subnet: SubnetState, address: str, mac: str) -> None:
        """Make the network namespace ``name`` of a machine: one interface with its address, plugged into its subnet."""
        if (host.NETNS / name).exists():
            self.detach(name, arm_id, address)
        length, port = ipaddress.IPv4Network(subnet.prefix).prefixlen, names.port(arm_id)
        via = gateway(subnet.prefix).partition("/")[0]
        host.run("ip", "netns", "add", name)
        self._nft(f'add element bridge azure machines {{ "{port}" . {address} }}\n')
        host.ip(
            [f"link add {port} type veth peer name eth0 address {mac} netns {name}",
             f"link set {port} master {names.bridge(subnet.subnet_id)} up"], self.namespace,
        )  # fmt: skip
        host.in_namespace(name, _no_ipv6)
        host.ip(
            [
                "link set lo up",
                f"address add {address}/{length} dev eth0",
                "link set eth0 up",
                f"route add default via {via}",
            ],
            name,
        )

    def detach(self, name: str, arm_id: str, address: str) -> None:
        """Remove a machine's namespace and its port; nothing if they are gone."""
        with contextlib.suppress(MachineError):
            self._nft(f'delete element bridge azure machines {{ "{names.port(arm_id)}" . {address} }}\n')
        host.ip([f"link delete {names.port(arm_id)}"], self.namespace, keep_going=True)
        host.attempt("ip", "netns", "delete", name)

    def name_machine(self, arm_id: str, address: str, computer_name: str) -> None:
        """Let the network's name server answer for a machine, at once."""
        self._write_names(names.port(arm_id), [f"{address} {computer_name}.{DOMAIN} {computer_name}"])

    def unname_machine(self, arm_id: str) -> None:
        """Forget a machine's name."""
        (self.hosts / names.port(arm_id)).unlink(missing_ok=True)

    def add_endpoint(self, address: str, name: str) -> None:
        """Let an address that is in no subnet be here, and the network's name server answer with it."""
        host.ip([f"address replace {address}/32 dev lo"], self.namespace)
        self._write_names(f"endpoint-{address}", [f"{address} {name}"])

    def remove_endpoint(self, address: str) -> None:
        """Take it away."""
        host.ip([f"address delete {address}/32 dev lo"], self.namespace, keep_going=True)
        (self.hosts / f"endpoint-{address}").unlink(missing_ok=True)

    def metadata_socket(self) -> socket.socket:
        """A listening socket on the instance metadata address of this network."""

        def listen() -> socket.socket:
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((METADATA_ADDRESS, 80))
            listener.listen(256)
            return listener

        return host.in_namespace(self.namespace, listen)

    def ssh_banner(self, address: str, timeout: float) -> bool:
        """Whether the SSH server of a machine greets who connects."""

        def ask() -> bool:
            try:
                with socket.create_connection((address, 22), timeout=timeout) as stream:
                    return stream.recv(4) == b"SSH-"
            except OSError:
                return False

        return host.in_namespace(self.namespace, ask)

    def _nft(self, text: str) -> None:
        host.run("ip", "netns", "exec", self.namespace, "nft", "-f", "-", text=text)

    def _make_namespace(self) -> None:
        if not (host.NETNS / self.namespace).exists():
            host.run("ip", "netns", "add", self.namespace)

        def settings() -> None:
            _no_ipv6()
            root = Path("/proc/sys/net")
            (root / "ipv4/ip_forward").write_text("1")
            # Azure asks security groups inside a subnet, too. Where br_netfilter is not loaded, frames pass: loading it
            # would change what happens on other bridges of this host.
            if (filtering := root / "bridge/bridge-nf-call-iptables").exists():
                filtering.write_text("1")

        host.in_namespace(self.namespace, settings)
        host.ip(
            [
                "link set lo up",
                f"address replace {DNS_ADDRESS}/32 dev lo",
                f"address replace {METADATA_ADDRESS}/32 dev lo",
            ],
            self.namespace,
        )
        with host.locked("links"):
            if not self._links():
                self._connect_host()

    def _connect_host(self) -> None:
        """The link to the host, with two addresses of 100.64.0.0/16 that nothing on this host has yet."""
        taken = {a["local"] for link in host.ip_json("-4", "address") for a in link.get("addr_info", [])}
        first = int(names.digest(self.namespace, 8), 16)
        for attempt in range(LINKS.num_addresses // 2):
            slot = (first + attempt) % (LINKS.num_addresses // 2)
            outer, inner = LINKS[2 * slot], LINKS[2 * slot + 1]
            if str(outer) not in taken:
                break
        link = names.uplink(self.prefix, slot)
        host.ip(
            [f"link add {link} type veth peer name {UPLINK} netns {self.namespace}",
             f"link set {link} alias {self.namespace}",
             f"address add {outer}/31 dev {link}", f"address add {CONTROLLER_ADDRESS}/32 dev {link}",
             f"link set {link} up"]
        )  # fmt: skip
        host.ip(
            [f"address add {inner}/31 dev {UPLINK}", f"link set {UPLINK} up", f"route add default via {outer}"],
            self.namespace,
        )

    def _links(self) -> list[str]:
        return [
            link["ifname"]
            for link in host.ip_json("link")
            if link["ifname"].startswith(self.prefix) and link.get("ifalias") == self.namespace
        ]

    def _link(self) -> str:
        links = self._links()
        if not links:
            raise MachineError("OSProvisioningInternalError", f"{self.namespace} has lost its link to the host")
        return str(links[0])

    def _apply_bridges(self, vnet: VnetState) -> None:
        present = {
            link["ifname"]: {f"{a['local']}/{a['prefixlen']}" for a in link.get("addr_info", [])}
            for link in host.ip_json("-4", "address", namespace=self.namespace)
            if link["ifname"].startswith("b")
        }
        links = {link["ifname"] for link in host.ip_json("link", "show", "type", "bridge", namespace=self.namespace)}
        wanted = {names.bridge(subnet.subnet_id): gateway(subnet.prefix) for subnet in vnet.subnets}
        lines = [f"link delete {name}" for name in links - wanted.keys()]
        for name, address in wanted.items():
            if name not in links:
                lines += [f"link add {name} address {GATEWAY_MAC} type bridge forward_delay 0", f"link set {name} up"]
            has = present.get(name, set())
            lines += [f"address delete {old} dev {name}" for old in has - {address}]
            if address not in has:
                lines.append(f"address add {address} dev {name}")
        host.ip(lines, self.namespace)

    def publish(self, vnet: VnetState) -> None:
        """Let this host reach the public addresses of the network's machines. Conflict if it uses one for another."""
        link = self._link()
        wanted = {nic.public_ip for nic in vnet.nics if nic.public_ip}
        has = {
            str(route["dst"])
            for route in host.ip_json("-4", "route", "show", "dev", link)
            if _is_public(str(route["dst"]))
        }
        via = next(
            str(a["local"])
            for a in host.ip_json("-4", "address", "show", "dev", link)[0]["addr_info"]
            if a["prefixlen"] == 31
        )
        inner = ipaddress.IPv4Address(via) + 1
        host.ip([f"route delete {old}/32 dev {link}" for old in has - wanted], keep_going=True)
        if clash := (wanted - has) & reserved_public_addresses(self.prefix):
            raise MachineError("Conflict", f"this host uses {', '.join(sorted(clash))} for something else")
        host.ip([f"route add {new}/32 via {inner} dev {link} src {CONTROLLER_ADDRESS}" for new in wanted - has])

    def _write_names(self, file: str, lines: list[str]) -> None:
        text = "".join(f"{line}\n" for line in lines)
        path = self.hosts / file
        if not path.exists() or path.read_text() != text:
            path.write_text(text)

    def _serve_names(self) -> None:
        host.spawn(
            self._group,
            "nsenter", f"--net={host.NETNS / self.namespace}",
            "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=root", "--group=root",
            "--no-resolv", "--no-hosts", f"--listen-address={DNS_ADDRESS}", "--bind-interfaces",
            f"--hostsdir={self.hosts}", "--local=/#/", "--local-ttl=5", "--log-facility=-",
            log=self.directory / "dnsmasq.log",
        )  # fmt: skip


def remove_namespace(namespace: str) -> None:
    """Delete a network namespace with its links first: a process or socket that still holds it keeps nothing useful."""
    if not (host.NETNS / namespace).exists():
        return
    try:
        links = [link["ifname"] for link in host.ip_json("link", namespace=namespace) if link["ifname"] != "lo"]
        host.ip([f"link delete {link}" for link in links], namespace, keep_going=True)
    except (MachineError, json.JSONDecodeError):
        pass  # the name is left, the namespace is gone
    if not host.attempt("ip", "netns", "delete", namespace):
        (host.NETNS / namespace).unlink(missing_ok=True)


def _no_ipv6() -> None:
    for scope in ("all", "default"):
        path = Path(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6")
        if path.exists():
            path.write_text("1")


def host_rules(prefix: str, mirrors: t.Iterable[str]) -> str:
    """The ruleset of the host for one sandbox: its links reach package mirrors, nothing else of or behind the host."""
    targets = ", ".join(sorted(set(mirrors)))
    allowed = [f'    iifname "{prefix}*" ip daddr {{ {targets} }} tcp dport {{ 80, 443 }} accept'] if targets else []
    return "\n".join(
        [
            f"table ip {prefix}", f"delete table ip {prefix}", f"table ip {prefix} {{",
            "  chain forwarded {", "    type filter hook forward priority 0; policy accept;", *allowed,
            f'    oifname "{prefix}*" ct state established,related accept',
            f'    iifname "{prefix}*" reject', f'    oifname "{prefix}*" drop', "  }",
            "  chain local {", "    type filter hook input priority 0; policy accept;",
            f'    iifname "{prefix}*" ct state established,related accept',
            f'    iifname "{prefix}*" meta l4proto icmp accept', f'    iifname "{prefix}*" drop', "  }",
            "  chain translated_from {", "    type nat hook postrouting priority 100; policy accept;",
            f'    ip saddr {LINKS} oifname != "{prefix}*" masquerade', "  }",
            "}", "",
        ]
    )  # fmt: skip
