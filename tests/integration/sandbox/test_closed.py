# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a sandbox keeps closed: to other hosts, and to who has no token."""

from __future__ import annotations

import os
import re
import typing as t
from pathlib import Path

import requests

from sandbox.arm.core import Core, Settings
from sandbox.arm.store import Store
from sandbox.providers import register_all

ARM = "https://management.azure.com"


def test_it_listens_on_loopback_and_nowhere_else(sandbox: t.Any) -> None:
    process = Path(f"/proc/{sandbox.status()['pid']}")
    sockets = {os.readlink(fd) for fd in (process / "fd").iterdir() if fd.exists() or fd.is_symlink()}
    found = []
    for table, state in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")):
        for line in (process / "net" / table).read_text().splitlines()[1:]:
            fields = line.split()
            if f"socket:[{fields[9]}]" in sockets and fields[3] == state:
                found.append(fields[1].split(":")[0])
    assert found == ["0100007F", "0100007F"]  # 127.0.0.1: TLS and the proxy


def test_nothing_of_resource_manager_is_answered_without_a_token(sandbox: t.Any, tmp_path: Path) -> None:
    core = Core(Settings(tmp_path), Store(tmp_path / "state.db"))
    register_all(core)
    session = requests.Session()
    session.trust_env, session.verify = False, sandbox.env["REQUESTS_CA_BUNDLE"]
    session.proxies = {"https": sandbox.env["HTTPS_PROXY"]}
    asked = {(route.method, re.sub(r"\{[^}]*\}", "x", route.template)) for route in core.router.routes()}
    told = {}
    for method, path in asked:
        answer = session.request(method, f"{ARM}{path}?api-version=2025-04-01", json={}, timeout=20)
        told[f"{method} {path}"] = answer.status_code
    assert len(told) > 300
    assert {what: code for what, code in told.items() if code != 401} == {}
