# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lustre's client inside an emulated machine, whose kernel has none: mount.lustre and lfs by the name it is run as.

The content of a file system lies in a directory of the host that every machine of the virtual network sees as
``/run/sandbox-exports/<address of the management server>/<name>``; a mount binds it. Names, addresses, port 988 and
mount options mean what they mean; striping, quotas, root squashing and the speed of Lustre do not exist.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import subprocess
import sys
import time
import typing as t
from pathlib import Path

SHARED = Path("/run/sandbox-exports")
PORT = 988
SOURCE = re.compile(r"(?P<nids>[^:/]+(?::[^:/]+)*):/(?P<name>[A-Za-z0-9_.-]{1,64})(?P<below>(?:/[^/]+)*)/?")
NID = re.compile(r"(?P<host>[A-Za-z0-9.-]+)(?:@(?P<network>tcp|o2ib)\d*)?")
# Seconds in which a real client gives up on a server that does not answer.
PATIENCE = 20.0

_FLAGS = """
    ro rw nosuid suid nodev dev noexec exec noatime atime nodiratime relatime norelatime strictatime sync async
    remount defaults nofail auto noauto user nouser _netdev flock localflock noflock user_xattr nouser_xattr acl noacl
    lazystatfs nolazystatfs user_fid2path nouser_fid2path verbose noverbose always_ping encrypt noencrypt
    checksum nochecksum lruresize nolruresize 32bitapi statfs_project nostatfs_project
"""
FLAGS = set(_FLAGS.split())
VALUES = {"retry", "skpath", "network", "foreign", "max_sectors_kb", "context"}
KEPT = ("ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime")


class LustreError(Exception):
    """What the real tool would print; ``number`` is its exit code, an errno."""

    def __init__(self, text: str, number: int) -> None:
        super().__init__(text)
        self.number = number


def parse_source(source: str) -> tuple[list[str], str, str]:
    """The servers' hosts, the name of the file system and the path below it; raises LustreError."""
    found = SOURCE.fullmatch(source)
    nids = [NID.fullmatch(nid) for nid in re.split("[:,]", found["nids"])] if found else []
    if found is None or not all(nids):
        raise LustreError(f"{source} is not of the form <server>@tcp:/<name>", errno.EINVAL)
    return [nid["host"] for nid in nids if nid], found["name"], os.path.normpath(found["below"] or "/").lstrip("/")


def check_options(text: str) -> dict[str, str]:
    """Mount options as a dictionary; raises LustreError for one that mount.lustre(8) and mount(8) do not know."""
    options = {}
    for word in filter(None, text.split(",")):
        key, _equals, value = word.partition("=")
        if key not in FLAGS and key not in VALUES and not key.startswith(("x-", "comment")):
            raise LustreError(f"invalid option {word}", errno.EINVAL)
        options[key] = value
    return options


def reach(hosts: t.Sequence[str], patience: float = PATIENCE) -> str:
    """The address of the first management server that answers; raises LustreError if none does."""
    deadline = time.monotonic() + patience
    while True:
        for host in hosts:
            try:
                address = str(socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
                with socket.create_connection((address, PORT), timeout=3):
                    return address
            except OSError:
                continue
        if time.monotonic() > deadline:
            raise LustreError("Input/output error\nIs the MGS running?", errno.EIO)
        time.sleep(0.5)


def mount(arguments: list[str]) -> int:
    """mount.lustre(8): ``source dir [-fhnrvV] [-o options]``."""
    words = iter(arguments)
    plain, texts = [], []
    for word in words:
        if word == "-o":
            texts.append(next(words, ""))
        elif not word.startswith("-"):
            plain.append(word)
    if len(plain) != 2:
        raise LustreError("usage: mount.lustre <source> <directory> [-o options]", errno.EINVAL)
    source, target = plain
    options = check_options(",".join([*texts, *(["ro"] if "-r" in arguments else [])]))
    flags = [flag for flag in KEPT if flag in options]
    if "remount" in options:
        command = ["mount", "-i", "-n", "-o", ",".join(["remount", "bind", *flags]), target]
        return subprocess.run(command, check=False).returncode
    hosts, name, below = parse_source(source)
    doing = f"mount {source} at {target} failed"
    if not Path(target).is_dir():
        raise LustreError(f"{doing}: No such file or directory", errno.ENOENT)
    try:
        address = reach(hosts)
    except LustreError as error:
        raise LustreError(f"{doing}: {error}", error.number) from error
    data = SHARED / address / name
    if not data.is_dir():
        raise LustreError(
            f"{doing}: Invalid argument\nThis may have multiple causes.\nIs '{name}' the correct filesystem name?", 22
        )
    if not (data / below).resolve().is_relative_to(data.resolve()) or not (data / below).is_dir():
        raise LustreError(f"{doing}: No such file or directory", errno.ENOENT)
    bind = ["mount", "-i", "-n", "--bind", *(["-o", ",".join(flags)] if flags else []), str(data / below), target]
    return errno.EIO if subprocess.run(bind, check=False).returncode else 0


def lfs(arguments: list[str]) -> int:
    """``lfs df [-h] [path]``: how full it is."""
    if not arguments or arguments[0] != "df":
        raise LustreError("of lfs, an emulated machine has df only", errno.EINVAL)
    return subprocess.run(["df", *arguments[1:]], check=False).returncode


TOOLS: t.Mapping[str, t.Callable[[list[str]], int]] = {"mount.lustre": mount, "lfs": lfs}


def main(name: str, arguments: list[str]) -> int:
    """Run the tool of that name; its exit code."""
    try:
        return TOOLS[name](arguments)
    except LustreError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return error.number
    except OSError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return error.errno or errno.EIO


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[0]).name, sys.argv[1:]))
