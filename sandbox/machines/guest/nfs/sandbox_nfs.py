# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NFS inside an emulated machine, whose kernel has none: exportfs, mount.nfs and showmount by the name it is run as.

What a server exports lives in a directory of the host that every machine of the virtual network sees as
``/run/sandbox-exports/<address of the server>``: ``table.json`` says who may mount what, ``data`` holds the files.
The server binds ``data/<path>`` over the exported path, a client over its mount point. Names, port 2049, exports(5)
and nfs(5) options mean what they mean; root squashing and locking across machines that crash do not exist.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import json
import os
import shlex
import socket
import subprocess
import sys
import time
import typing as t
from pathlib import Path

SHARED = Path("/run/sandbox-exports")
PORT = 2049
CONFIGURATION = (Path("/etc/exports"), Path("/etc/exports.d"))
FAILED = 32

_FLAGS = """
    ro rw nosuid suid nodev dev noexec exec noatime atime nodiratime relatime norelatime strictatime sync async
    remount defaults nofail auto noauto user nouser _netdev bg fg soft softerr hard intr nointr ac noac cto nocto
    acl noacl lock nolock resvport noresvport sharecache nosharecache rdirplus nordirplus fsc nofsc migration
    nomigration tcp udp rdma posix
"""
_VALUES = """
    rsize wsize timeo retrans retry acregmin acregmax acdirmin acdirmax actimeo vers nfsvers minorversion proto
    mountproto port mountport mountvers mounthost sec nconnect max_connect lookupcache local_lock clientaddr
    namlen addr write xprtsec trunkdiscovery
"""
FLAGS, VALUES = set(_FLAGS.split()), set(_VALUES.split())

Clients = list[tuple[str, list[str]]]
"""Who may mount a path: (client, options), in the order of the file."""

KEPT = ("ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime")


class NfsError(Exception):
    """What the real tool would print after its name."""


def parse_exports(text: str) -> dict[str, Clients]:
    """The lines of an exports(5) file: path -> (client, options) in order. Raises NfsError for a bad line."""
    found: dict[str, Clients] = {}
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        path, clients, common = words[0], words[1:], []
        if not path.startswith("/"):
            raise NfsError(f"{path}: path must be absolute")
        for word in clients or ["*"]:
            if word.startswith("-"):
                common = word[1:].split(",")
                continue
            client, bracket, options = word.partition("(")
            if bracket and not options.endswith(")"):
                raise NfsError(f"syntax error: bad option list in {line.strip()!r}")
            own = [option for option in options[:-1].split(",") if option] if bracket else []
            found.setdefault(os.path.normpath(path), []).append((client or "*", common + own))
    return found


def client_matches(client: str, address: str, name: str = "") -> bool:
    """Whether the client field of an export (address, prefix, name, wildcard) covers a machine."""
    if client in {"*", address}:
        return True
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(client, strict=False)
    except ValueError:
        short = name.split(".")[0]
        return any(bool(own) and fnmatch.fnmatch(own.lower(), client.lower()) for own in (name, short))


def find_export(table: t.Mapping[str, Clients], path: str) -> str | None:
    """The exported path that ``path`` is or lies under; the longest one. ``/`` is the root of an fsid=0 export."""
    path = os.path.normpath(path)
    found = [own for own in table if path == own or path.startswith(own.rstrip("/") + "/")]
    return max(found, key=len) if found else None


def right_of(entries: Clients, address: str, name: str = "") -> list[str] | None:
    """The options with which a client may mount, None if it may not: the most specific entry wins, as in exports(5)."""
    matching = [(client, options) for client, options in entries if client_matches(client, address, name)]
    if not matching:
        return None

    def weight(entry: tuple[str, list[str]]) -> int:
        try:
            return ipaddress.ip_network(entry[0], strict=False).prefixlen
        except ValueError:
            return -1 if "*" in entry[0] or "?" in entry[0] else 33

    return list(max(matching, key=weight)[1])


def check_options(text: str) -> dict[str, str]:
    """Mount options as a dictionary; raises NfsError for one that nfs(5) and mount(8) do not know."""
    options = {}
    for word in filter(None, text.split(",")):
        key, _equals, value = word.partition("=")
        if key not in FLAGS and key not in VALUES and not key.startswith(("x-", "comment")):
            raise NfsError("an incorrect mount option was specified")
        options[key] = value
    return options


def own_address() -> str:
    """The address of this machine in its virtual network. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("168.63.129.16", 53))
        return str(probe.getsockname()[0])


def read_table(server: str) -> dict[str, t.Any]:
    """What a server exports and which paths it has bound, both empty at first."""
    try:
        table: dict[str, t.Any] = json.loads((SHARED / server / "table.json").read_text())
        return table
    except FileNotFoundError:
        return {"exports": {}, "bound": []}


def write_table(server: str, table: dict[str, t.Any]) -> None:
    """Replace a server's table at once."""
    (SHARED / server).mkdir(parents=True, exist_ok=True)
    draft = SHARED / server / f"table.json.{os.getpid()}"
    draft.write_text(json.dumps(table))
    draft.replace(SHARED / server / "table.json")


def data_of(server: str, path: str) -> Path:
    """Where the files below an exported path are."""
    return SHARED / server / "data" / path.lstrip("/")


def bind(server: str, path: str, first_time: bool) -> None:
    """Put the shared directory over an exported path; what was there before moves into it the first time."""
    data = data_of(server, path)
    if first_time:
        data.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", "-n", f"{path}/.", f"{data}/"], check=True)
        # mkdir cannot know the owner and mode that the directory itself has.
        subprocess.run(["chown", f"--reference={path}", str(data)], check=True)
        subprocess.run(["chmod", f"--reference={path}", str(data)], check=True)
    Path(path).mkdir(parents=True, exist_ok=True)
    if not os.path.samefile(data, path):
        subprocess.run(["mount", "-i", "-n", "--bind", str(data), path], check=True)


def configured() -> dict[str, Clients]:
    """What /etc/exports and /etc/exports.d/*.exports say together."""
    files = [CONFIGURATION[0], *sorted(CONFIGURATION[1].glob("*.exports"))]
    found: dict[str, Clients] = {}
    for path in files:
        if path.exists():
            for export, clients in parse_exports(path.read_text()).items():
                found.setdefault(export, []).extend(clients)
    return found


def export(wanted: dict[str, Clients], keep: bool) -> None:
    """Export ``wanted``, besides what is exported if ``keep``; raises NfsError for paths that are no directories."""
    server = own_address()
    table = read_table(server)
    missing = [path for path in wanted if not Path(path).is_dir()]
    good = {path: clients for path, clients in wanted.items() if path not in missing}
    for path in sorted(good):
        bind(server, path, path not in table["bound"])
        table["bound"] = sorted({*table["bound"], path})
    table["exports"] = {**(table["exports"] if keep else {}), **good}
    write_table(server, table)
    if missing:
        raise NfsError("; ".join(f"Failed to stat {path}: No such file or directory" for path in missing))


def exportfs(arguments: list[str]) -> int:
    """exportfs(8): -r, -a, -u, -v, -s, -o options client:/path; --bind-all puts the directories in place at boot."""
    short = "".join(word[1:] for word in arguments if word.startswith("-") and not word.startswith("--"))
    server = own_address()
    table = read_table(server)
    specs = [word for word in arguments if ":/" in word]
    if "--bind-all" in arguments:
        for path in sorted(table["bound"]):
            bind(server, path, first_time=False)
        return 0
    if "u" in short:
        gone = {word.split(":", 1)[1] for word in specs}
        kept = {} if "a" in short else {path: who for path, who in table["exports"].items() if path not in gone}
        write_table(server, {**table, "exports": kept})
    elif specs:
        options = arguments[arguments.index("-o") + 1].split(",") if "-o" in arguments else []
        export({word.split(":", 1)[1]: [(word.split(":", 1)[0], options)] for word in specs}, keep=True)
    elif "r" in short or "a" in short:
        export(configured(), keep="r" not in short)
    else:
        for path, entries in sorted(table["exports"].items()):
            for client, options in entries:
                print(
                    f"{path}\t{client}({','.join(options) or 'ro'})"
                    if "v" in short or "s" in short
                    else f"{path}\t{client}"
                )
    return 0


def connect(server: str, options: dict[str, str]) -> tuple[str, str]:
    """Reach the server's NFS port as nfs(5) retries it; returns the server's address and the own one."""
    try:
        address = str(socket.getaddrinfo(server, None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
    except socket.gaierror as error:
        raise NfsError(f"Failed to resolve server {server}: {error.strerror}") from error
    if ipaddress.ip_address(address).is_loopback:
        address = own_address()
    deadline = time.monotonic() + 60 * float(options.get("retry") or 2)
    while True:
        try:
            with socket.create_connection((address, int(options.get("port") or PORT)), timeout=5) as stream:
                return address, stream.getsockname()[0]
        except OSError as error:
            if time.monotonic() > deadline:
                reason = "Connection timed out" if isinstance(error, TimeoutError) else os.strerror(error.errno or 5)
                raise NfsError(f"{reason} for {server}:{PORT}") from error
            time.sleep(0.5)


def mount(arguments: list[str]) -> int:
    """mount.nfs(8): ``spec dir [-rwfnsv] [-o options]``."""
    source, target = [word for word in arguments if not word.startswith("-")][:2]
    text = arguments[arguments.index("-o") + 1] if "-o" in arguments else ""
    options = check_options(text + (",ro" if "-r" in arguments else ""))
    server, colon, path = source.partition(":")
    if not colon or not path.startswith("/"):
        raise NfsError("remote share not in 'host:dir' format")
    if not Path(target).is_dir():
        raise NfsError(f"mount point {target} does not exist")
    flags = [flag for flag in KEPT if flag in options]
    if "remount" in options:
        command = ["mount", "-i", "-n", "-o", ",".join(["remount", "bind", *flags]), target]
        return subprocess.run(command, check=False).returncode
    address, own = connect(server, options)
    exports = read_table(address)["exports"]
    exported = find_export(exports, path)
    data = data_of(address, os.path.normpath(path))
    if exported is None or not data.is_dir():
        raise NfsError(f"mounting {source} failed, reason given by server: No such file or directory")
    right = right_of(exports[exported], own, _name_of(own))
    if right is None:
        raise NfsError(f"access denied by server while mounting {source}")
    if "rw" not in right and "ro" not in flags:
        flags.append("ro")
    command = ["mount", "-i", "-n", "--bind", *(["-o", ",".join(flags)] if flags else []), str(data), target]
    return FAILED if subprocess.run(command, check=False).returncode else 0


def _name_of(address: str) -> str:
    try:
        return socket.gethostbyaddr(address)[0]
    except OSError:
        return ""


def showmount(arguments: list[str]) -> int:
    """``showmount -e [host]``: what a server exports."""
    names = [word for word in arguments if not word.startswith("-")]
    server = names[0] if names else own_address()
    address, _own = connect(server, {"retry": "0.05"})
    print(f"Export list for {server}:")
    for path, entries in sorted(read_table(address)["exports"].items()):
        print(path, ",".join(client for client, _options in entries))
    return 0


TOOLS = {"exportfs": exportfs, "mount.nfs": mount, "mount.nfs4": mount, "showmount": showmount}


def main(name: str, arguments: list[str]) -> int:
    """Run the tool of that name; its exit code."""
    try:
        return TOOLS[name](arguments)
    except NfsError as error:
        print(f"{name}: {error}", file=sys.stderr)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"{name}: {error}", file=sys.stderr)
    return 1 if name == "exportfs" else FAILED


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[0]).name, sys.argv[1:]))
