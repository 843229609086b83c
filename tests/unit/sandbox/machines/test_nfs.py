"""The machines' NFS tools read exports(5) and decide who may mount as the real server does."""

from __future__ import annotations

import importlib.util
import json
import socket
import sys
import types
from pathlib import Path

import pytest

import sandbox.machines
from sandbox.machines import debs


@pytest.fixture(scope="module")
def nfs() -> types.ModuleType:
    path = Path(sandbox.machines.__file__).parent / "guest/nfs/sandbox_nfs.py"
    spec = importlib.util.spec_from_file_location("sandbox_nfs", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["sandbox_nfs"] = module
    spec.loader.exec_module(module)
    return module


def test_exports_are_read_with_comments_continuations_quotes_and_defaults(nfs: types.ModuleType) -> None:
    text = """# comment
/export/home 10.20.0.0/16(rw,sync) \\
    head(ro)   # another
"/export/two words" -ro,async *(no_root_squash) 10.1.2.3
/export/all/
"""
    assert nfs.parse_exports(text) == {
        "/export/home": [("10.20.0.0/16", ["rw", "sync"]), ("head", ["ro"])],
        "/export/two words": [("*", ["ro", "async", "no_root_squash"]), ("10.1.2.3", ["ro", "async"])],
        "/export/all": [("*", [])],
    }


@pytest.mark.parametrize("line", ["export/home *(rw)", "/export/home *(rw"])
def test_a_bad_line_is_an_error(nfs: types.ModuleType, line: str) -> None:
    with pytest.raises(nfs.NfsError):
        nfs.parse_exports(line)


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        ("*", True),
        ("10.20.16.5", True),
        ("10.20.16.0/20", True),
        ("10.20.16.0/255.255.240.0", True),
        ("10.20.0.0/24", False),
        ("htc-*", True),
        ("htc-1.internal.cloudapp.net", True),
        ("*.example.org", False),
        ("htc-2", False),
    ],
)
def test_clients_are_matched_by_address_prefix_and_name(nfs: types.ModuleType, client: str, expected: bool) -> None:
    assert nfs.client_matches(client, "10.20.16.5", "htc-1.internal.cloudapp.net") is expected


def test_the_most_specific_client_decides(nfs: types.ModuleType) -> None:
    entries = [("*", ["ro"]), ("10.20.0.0/16", ["rw"]), ("10.20.16.5", ["ro", "special"])]
    assert nfs.right_of(entries, "10.20.16.5") == ["ro", "special"]
    assert nfs.right_of(entries, "10.20.16.6") == ["rw"]
    assert nfs.right_of(entries, "10.9.9.9") == ["ro"]
    assert nfs.right_of(entries[1:], "10.9.9.9") is None


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/export/home", "/export/home"), ("/export/home/a/../b", "/export/home"), ("/export", None),
     ("/export/homes", None), ("/export/home/../../etc", None)],
)  # fmt: skip
def test_a_path_is_exported_if_it_is_or_lies_below_an_export(nfs: types.ModuleType, path: str, expected: str) -> None:
    assert nfs.find_export({"/export/home": []}, path) == expected


def test_an_option_that_nfs_does_not_know_is_refused(nfs: types.ModuleType) -> None:
    assert nfs.check_options("rw,hard,nfsvers=4.2,x-systemd.automount,_netdev")["nfsvers"] == "4.2"
    with pytest.raises(nfs.NfsError, match="incorrect mount option"):
        nfs.check_options("rw,hrad")


def test_unexporting_keeps_the_directories_in_place(
    nfs: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nfs, "SHARED", tmp_path)
    monkeypatch.setattr(nfs, "own_address", lambda: "10.20.0.4")
    nfs.write_table("10.20.0.4", {"exports": {"/a": [["*", ["rw"]]], "/b": [["*", []]]}, "bound": ["/a", "/b"]})
    assert nfs.exportfs(["-u", "*:/a"]) == 0
    assert json.loads((tmp_path / "10.20.0.4/table.json").read_text()) == {
        "exports": {"/b": [["*", []]]},
        "bound": ["/a", "/b"],
    }


def test_a_server_can_mount_from_itself_by_any_name(nfs: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(nfs, "own_address", lambda: "127.0.0.1")
        assert nfs.connect("localhost", {"port": str(server.getsockname()[1])}) == ("127.0.0.1", "127.0.0.1")


def test_a_server_that_nobody_knows_or_that_does_not_listen_is_an_error(nfs: types.ModuleType) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    with pytest.raises(nfs.NfsError, match="refused"):
        nfs.connect("127.0.0.1", {"port": port, "retry": "0.001"})
    with pytest.raises(nfs.NfsError, match="Failed to resolve server"):
        nfs.connect("no.such.invalid", {})


def test_every_package_ships_files_that_exist_and_wins_over_the_real_one() -> None:
    for deb in debs.DEBS:
        assert all((debs.GUEST / source).is_file() for source, _mode in deb.files.values())
        assert "Version: 99:" in deb.control()
