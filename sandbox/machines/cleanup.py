# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking down all that has a prefix, from names alone."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from sandbox.machines import host, names
from sandbox.machines.network import remove_namespace

NSPAWN = (Path("/run/systemd/nspawn/propagate"), Path("/run/systemd/nspawn/unix-export"))


def sweep(prefix: str) -> list[str]:
    """Remove every process, namespace, link, route, table, control group that bears ``prefix``; what was removed.

    Mounts need no care: they live in namespaces that end with their processes. Needs no file of the state directory
    and no living server, and may be repeated. Raises ``ValueError`` for a text that is no prefix.
    """
    if not names.is_prefix(prefix):
        raise ValueError(f"{prefix!r} is not a prefix of a sandbox")
    done: list[str] = []
    if host.cgroup_root() is not None and host.kill(host.cgroup(prefix)):
        done.append(f"control group {prefix} with its processes")
    ours = [link for link in _links() if link.startswith(prefix)]
    done += [f"link {link}" for link in ours if host.attempt("ip", "link", "delete", link)]
    for namespace in sorted(path.name for path in host.NETNS.glob(f"{prefix}-*")):
        remove_namespace(namespace)
        done.append(f"network namespace {namespace}")
    if host.attempt("nft", "list", "table", "ip", prefix) and host.attempt("nft", "delete", "table", "ip", prefix):
        done.append(f"nftables table {prefix}")
    for directory in NSPAWN:
        for leftover in directory.glob(f"{prefix}-*"):
            host.attempt("umount", "-l", str(leftover))
            leftover.rmdir()
            done.append(str(leftover))
    return done + host.close_forwarding(prefix) + host.release_settings(prefix)


def leftovers() -> list[str]:
    """The prefixes of all sandboxes that have something on this host."""
    found = {path.name[: names.PREFIX_LENGTH] for path in host.NETNS.glob(f"{names.STEM}*")}
    found |= {link[: names.PREFIX_LENGTH] for link in _links()}
    root = host.cgroup_root()
    if root is not None:
        found |= {path.name for path in root.glob(f"{names.STEM}*")}
    return sorted(prefix for prefix in found if names.is_prefix(prefix))


def _links() -> list[str]:
    try:
        done = subprocess.run(["ip", "-json", "link"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []  # a host without iproute2 never had a sandbox with machines
    return [link["ifname"] for link in json.loads(done.stdout or "[]")]
