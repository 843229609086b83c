# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files between a container and a file system: what moves, what conflicts, and what users cannot make it do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.providers import blobs
from sandbox.providers.storagecache.content import Content
from tests.unit.sandbox.providers.storagecache.test_file_systems import CONTAINER, FS, GROUP, HSM, request, subnet

if TYPE_CHECKING:
    from tests.unit.sandbox.conftest import Arm

__all__ = ["subnet"]


@pytest.fixture
def content(arm: Arm, subnet: str) -> Content:
    arm.make(FS, request(subnet, hsm=HSM))
    return Content(arm.core, arm.core.store.get(f"{GROUP}{FS}"))  # type: ignore[arg-type]


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_prefix_chooses_what_is_brought(content: Content) -> None:
    write(content.container, a__one="1", a__two="2", b__three="3")
    assert content.bring(["/a"], "Fail").moved == ["a/one", "a/two"]
    assert not (content.files / "b").exists()
    assert content.bring(["/"], "Fail").there == ["a/one", "a/two"]


@pytest.mark.parametrize(
    ("mode", "stopped", "text"),
    [
        ("Fail", True, "ours"),
        ("Skip", False, "ours"),
        ("OverwriteIfDirty", False, "theirs"),
        ("OverwriteAlways", False, "theirs"),
    ],
)
def test_conflicts_are_met_as_the_job_says(content: Content, mode: str, stopped: bool, text: str) -> None:
    write(content.container, file="theirs")
    write(content.files, file="ours")
    done = content.bring(["/"], mode)
    assert (done.conflicts, done.stopped) == (["file"], stopped)
    assert (content.files / "file").read_text() == text


def test_nothing_leaves_or_enters_through_links_of_users(content: Content, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    write(outside, secret="secret")
    write(content.container, evil__file="evil", link="evil")
    (content.files / "evil").symlink_to(outside)
    (content.files / "link").symlink_to(outside / "secret")
    done = content.bring(["/"], "OverwriteAlways")
    assert (done.moved, len(done.errors)) == ([], 2)
    assert content.take(["/"]).moved == []
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]
    assert (outside / "secret").read_text() == "secret"
    assert content.forget(["evil/secret"]) == []


def test_files_go_with_the_file_system_and_blobs_with_the_container(arm: Arm, content: Content) -> None:
    write(content.files, file="ours")
    write(content.container, file="theirs")
    files, container = content.files, content.container
    arm.send("DELETE", FS)
    arm.wait()
    assert not files.exists()
    assert container.exists()
    blobs.remove(arm.core, f"{CONTAINER}/data")
    assert not container.exists()


def test_what_is_no_container_is_refused(arm: Arm, subnet: str) -> None:
    for wrong in (f"{GROUP}/providers/Microsoft.Storage/storageAccounts/a", "data", f"{CONTAINER}/../../etc"):
        settings = {"settings": {"container": wrong, "loggingContainer": f"{CONTAINER}/log"}}
        assert arm.send("PUT", FS, request(subnet, hsm=settings)).status == 400
