# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in for Lustre's client: sources, options, servers that do not answer."""

from __future__ import annotations

import errno
import socket

import pytest

from sandbox.machines.guest.lustre import sandbox_lustre as client


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("10.0.3.4@tcp:/lustrefs", (["10.0.3.4"], "lustrefs", "")),
        ("10.0.3.4@tcp0:/lustrefs/", (["10.0.3.4"], "lustrefs", "")),
        ("10.0.3.4@tcp:10.0.3.5@tcp:/scratch/a/b", (["10.0.3.4", "10.0.3.5"], "scratch", "a/b")),
        ("mgs:/lustrefs", (["mgs"], "lustrefs", "")),
    ],
)
def test_a_source_names_servers_and_file_system(source: str, parts: tuple[list[str], str, str]) -> None:
    hosts, name, below = client.parse_source(source)
    assert (hosts, name, below.strip(".")) == parts


@pytest.mark.parametrize("source", ["10.0.3.4:lustrefs", "/lustrefs", "10.0.3.4@ib:/lustrefs", "10.0.3.4@tcp:/"])
def test_what_is_no_source_is_refused(source: str) -> None:
    with pytest.raises(client.LustreError) as refused:
        client.parse_source(source)
    assert refused.value.number == errno.EINVAL


def test_unknown_options_are_refused() -> None:
    assert client.check_options("noatime,flock,_netdev,retry=3")["retry"] == "3"
    with pytest.raises(client.LustreError, match="nfsvers"):
        client.check_options("rw,nfsvers=4.2")


def test_a_server_that_does_not_answer_is_an_input_output_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setattr(client, "PORT", unused.getsockname()[1])
    with pytest.raises(client.LustreError, match="Is the MGS running") as refused:
        client.reach(["127.0.0.1"], patience=0)
    assert refused.value.number == errno.EIO
