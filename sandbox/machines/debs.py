# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian packages that stand in for what the kernel of an emulated machine cannot do, as an apt repository on a disk.

Their version is above any real one, so that ``apt install nfs-kernel-server`` takes them.
"""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

GUEST = Path(__file__).parent / "guest"
VERSION = "99:1.0"

ENABLE_SERVER = """#!/bin/sh
set -e
if [ "$1" = configure ]; then
    mkdir -p /etc/exports.d
    [ -e /etc/exports ] || echo '# /etc/exports: who may mount what, see exports(5)' >/etc/exports
    systemctl enable --quiet sandbox-exports.service nfs-server.service
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload
        systemctl start sandbox-exports.service nfs-server.service
    fi
fi
"""


@dataclass(frozen=True)
class Deb:
    """A package: ``files``: path in the machine -> (file below ``guest``, mode); ``links``: path -> target."""

    name: str
    description: str
    files: t.Mapping[str, tuple[str, int]]
    links: t.Mapping[str, str] = field(default_factory=dict)
    directories: tuple[str, ...] = ()
    depends: str = ""
    provides: str = ""
    postinst: str = ""

    def control(self) -> str:
        """The package's control paragraph."""
        fields = {
            "Package": self.name, "Version": VERSION, "Architecture": "all", "Section": "net", "Priority": "optional",
            "Maintainer": "azure_hpc.cluster <noreply@example.org>", "Depends": self.depends,
            "Provides": self.provides, "Description": self.description,
        }  # fmt: skip
        return "".join(f"{key}: {value}\n" for key, value in fields.items() if value)


UNITS = ("nfs-server.service", "sandbox-nfsd.socket", "sandbox-nfsd@.service", "sandbox-exports.service")
SYSTEM = "usr/lib/systemd/system"
TOOL = "/usr/lib/sandbox/sandbox_nfs.py"
LUSTRE = "/usr/lib/sandbox/sandbox_lustre.py"

DEBS = (
    Deb(
        name="nfs-common",
        description="NFS client of an emulated machine",
        files={TOOL.lstrip("/"): ("nfs/sandbox_nfs.py", 0o755)},
        links={f"usr/sbin/{name}": TOOL for name in ("mount.nfs", "mount.nfs4", "showmount")},
        directories=("etc/nfs.conf.d",),
        depends="python3",
        provides="nfs-client",
    ),
    Deb(
        name="nfs-kernel-server",
        description="NFS server of an emulated machine",
        files={f"{SYSTEM}/{unit}": (f"nfs/{unit}", 0o644) for unit in UNITS},
        links={"usr/sbin/exportfs": TOOL, f"{SYSTEM}/nfs-kernel-server.service": "nfs-server.service"},
        depends=f"nfs-common (= {VERSION})",
        provides="nfs-server",
        postinst=ENABLE_SERVER,
    ),
    Deb(
        name="lustre-client-utils",
        description="Lustre client of an emulated machine",
        files={LUSTRE.lstrip("/"): ("lustre/sandbox_lustre.py", 0o755)},
        links={"usr/sbin/mount.lustre": LUSTRE, "usr/bin/lfs": LUSTRE},
        depends="python3",
    ),
)


def make_repository(target: Path) -> None:
    """Build all packages into the directory ``target`` with the index that apt wants."""
    target.mkdir(parents=True, exist_ok=True)
    paragraphs = []
    for deb in DEBS:
        file = _build(deb, target)
        content = file.read_bytes()
        paragraphs.append(
            f"{deb.control()}Filename: ./{file.name}\nSize: {len(content)}\n"
            f"SHA256: {hashlib.sha256(content).hexdigest()}\n"
        )
    (target / "Packages").write_text("\n".join(paragraphs))


def _build(deb: Deb, target: Path) -> Path:
    file = target / f"{deb.name}.deb"
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        root.chmod(0o755)
        for path, (source, mode) in deb.files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            # The interpreter is named here, not in the file: it is a module, too.
            shebang = "#!/usr/bin/python3\n" if source.endswith(".py") else ""
            (root / path).write_text(shebang + (GUEST / source).read_text())
            (root / path).chmod(mode)
        for path, link in deb.links.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).symlink_to(link)
        for path in deb.directories:
            (root / path).mkdir(parents=True, exist_ok=True)
        (root / "DEBIAN").mkdir()
        (root / "DEBIAN/control").write_text(deb.control())
        if deb.postinst:
            (root / "DEBIAN/postinst").write_text(deb.postinst)
            (root / "DEBIAN/postinst").chmod(0o755)
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "--build", str(root), str(file)], check=True, capture_output=True
        )
    return file
