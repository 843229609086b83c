# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state directory of a sandbox: its files, its credentials, and the process that serves it."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import uuid
from pathlib import Path
from typing import Any

from sandbox.arm import tls
from sandbox.arm.login import Credentials

SUBSCRIPTION = "00000000-0000-4000-8000-000000000001"


class StateDirectory:
    """Where one sandbox keeps everything. Made if absent, readable by its owner only."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()

    def make(self) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.chmod(0o700)

    @property
    def database(self) -> Path:
        return self.path / "state.db"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def log(self) -> Path:
        return self.path / "server.log"

    @property
    def ca(self) -> Path:
        return self.path / "ca.pem"

    def credentials(self) -> Credentials:
        """The service principal that may sign in; its secret is random and kept in a file of mode 0600."""
        path = self.path / "credentials.json"
        if not path.exists():
            made = {
                "tenant": str(uuid.uuid4()),
                "client_id": str(uuid.uuid4()),
                # Hexadecimal: a secret that begins with a dash is an option to a command line.
                "secret": secrets.token_hex(24),
                "object_id": str(uuid.uuid4()),
            }
            tls.write_private(path, json.dumps(made).encode())
        return Credentials(**json.loads(path.read_text()))

    def admin_token(self) -> str:
        path = self.path / "admin.token"
        if not path.exists():
            tls.write_private(path, secrets.token_urlsafe(30).encode())
        return path.read_text()

    def server(self) -> dict[str, Any]:
        """What the last server wrote about itself (ports, driver, ...); empty if there never was one."""
        try:
            found: dict[str, Any] = json.loads((self.path / "server.json").read_text())
        except (OSError, ValueError):
            return {}
        return found

    def write_server(self, description: dict[str, Any]) -> None:
        description["started"] = start_time(description["pid"])
        fresh = self.path / "server.json.new"
        fresh.write_text(json.dumps(description))
        fresh.replace(self.path / "server.json")

    def forget_process(self) -> None:
        """Keep ports and driver for the next server, but name no process any more."""
        description = self.server()
        description.pop("pid", None)
        (self.path / "server.json").write_text(json.dumps(description))

    def running(self) -> int:
        """The pid of the living server, 0 if none: a pid alone may by now be anybody's."""
        description = self.server()
        pid = description.get("pid", 0)
        return pid if pid and start_time(pid) == description.get("started") else 0

    def holder(self) -> int:
        """The pid of the server that holds the directory, be it ready or still starting; 0 if none."""
        return _living(self.lock) or _living(self.starting)

    @property
    def starting(self) -> Path:
        """Names the process that was started last: it may not have come to take the lock yet."""
        return self.path / "starting"

    def wipe(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def environment(self) -> dict[str, str]:
        """The variables that let any Azure client meet this sandbox. Raises LookupError before the first ``up``."""
        port = self.server().get("proxy_port")
        if not port:
            raise LookupError(f"no sandbox has been started in {self.path}")
        proxy, known = f"http://127.0.0.1:{port}", self.credentials()
        return {
            "HTTPS_PROXY": proxy,
            "https_proxy": proxy,
            "REQUESTS_CA_BUNDLE": str(self.ca),
            "AZURE_SUBSCRIPTION_ID": SUBSCRIPTION,
            "AZURE_TENANT": known.tenant,
            "AZURE_TENANT_ID": known.tenant,
            "AZURE_CLIENT_ID": known.client_id,
            "AZURE_SECRET": known.secret,
            "AZURE_CLIENT_SECRET": known.secret,
        }


def identify(pid: int) -> str:
    """A process as the files of the state directory name it: with its start, because pids are used again."""
    return f"{pid} {start_time(pid)}"


def _living(path: Path) -> int:
    """The pid in a file, 0 unless that very process lives."""
    try:
        pid, started = map(int, path.read_text().split())
    except (OSError, ValueError):
        return 0
    return pid if started and start_time(pid) == started else 0


def start_time(pid: int) -> int:
    """When the process started, in clock ticks since boot; 0 if it does not live (a zombie does not)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])


def default_path() -> Path:
    """``$AZURE_SANDBOX_STATE``, else ``.dev/sandbox`` of the repository."""
    given = os.environ.get("AZURE_SANDBOX_STATE")
    return Path(given) if given else Path(__file__).resolve().parents[1] / ".dev" / "sandbox"
