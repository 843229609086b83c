# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One running sandbox: opens the state directory, listens, serves, and goes away cleanly."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import fcntl
import logging
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn

from sandbox import machines
from sandbox.arm import tls
from sandbox.arm.core import Core, Settings
from sandbox.arm.gateway import Gateway
from sandbox.arm.login import Login
from sandbox.arm.proxy import Proxy
from sandbox.arm.store import Store
from sandbox.arm.tokens import AUDIENCES, Principal, Tokens
from sandbox.clock import clock
from sandbox.faults import Rule
from sandbox.providers import prices, register_all
from sandbox.providers.imds import MetadataServers
from sandbox.state import StateDirectory, identify

log = logging.getLogger("sandbox.server")
# What it says is shown by a waiting ``up``.
progress = logging.getLogger("sandbox")


class AlreadyRunning(Exception):
    """Another server holds the state directory."""


class Server(uvicorn.Server):
    """uvicorn without its signal handling: one process runs several of these."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Sandbox:
    """Everything that one server process holds."""

    def __init__(
        self, state: StateDirectory, *, driver: str, time_scale: float, ephemeral: bool, owner: int = 0
    ) -> None:
        self._owner = owner
        self._state = state
        self._ephemeral = ephemeral
        credentials = state.credentials()
        settings = Settings(
            state=state.path,
            time_scale=time_scale,
            driver=driver,
            tenant=credentials.tenant,
            client=credentials.client_id,
            client_object=credentials.object_id,
        )
        self.core = Core(settings, Store(state.database))
        self._wind_up(self.core.store)
        self.tokens = Tokens(state.path, credentials.tenant)
        self._principal = Principal(credentials.object_id, credentials.client_id)
        self.gateway = Gateway(
            self.core, self.tokens, Login(self.tokens, credentials), state.admin_token(), self._reset
        )
        register_all(self.core)
        self.gateway.prices = prices.Prices(self.core).answer
        self.core.offer("gate", self.gateway.admit)
        self.core.offer("rights", self.gateway.access.check)
        self._proxy: Proxy | None = None
        self._metadata = MetadataServers(self.core, self.tokens)
        self._began = time.time()
        self._add_admin()

    @staticmethod
    def _wind_up(store: Store) -> None:
        """Set the clock as the last server left it: never before what has happened by then."""
        kept = store.setting("clock")
        if not kept or not kept["virtual"]:
            return
        query = "SELECT max(coalesce(ended, started)) FROM operations UNION SELECT max(changed) FROM resources"
        at = max([kept["now"], *(row[0] for row in store.db().execute(query) if row[0])])
        if kept["rate"] > 0:
            clock.run(kept["rate"], at)
        else:
            clock.stop(at, leap=kept["leap"])

    def _set_clock(self, body: dict[str, Any] | None) -> dict[str, Any]:
        """Set, or advance, and tell: ``do`` is stop, run, real or advance; see ``sandbox.clock.Clock``."""
        given = dict(body or {})
        do = given.pop("do", "")
        if do not in ("", "stop", "run", "real", "advance"):
            raise ValueError("a clock can stop, run, be real, or advance")
        if do:
            getattr(clock, do)(**given)
            self.core.store.set_setting("clock", clock.describe())
        return clock.describe()

    def _reset(self, port: int) -> bool:
        return self._proxy is not None and self._proxy.reset(port)

    async def run(self) -> None:
        """Serve until SIGTERM, SIGINT or the end of the owner, then take the machines down."""
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        if self._owner:
            self._go_down_with(self._owner, loop, stop)
        self._metadata.start(loop)
        before = self._state.server()
        self.core.driver = await asyncio.to_thread(
            machines.open_driver, self.core.settings.driver, self._state.path, self._metadata, progress.info
        )
        await asyncio.to_thread(self._recover)
        tls_socket, proxy_socket = listen(before.get("tls_port", 0)), listen(before.get("proxy_port", 0))
        server = self._https()
        serving = asyncio.create_task(server.serve(sockets=[tls_socket]))
        self._proxy = Proxy(tls.AZURE_HOSTS, tls_socket.getsockname()[1])
        await self._proxy.start(proxy_socket)
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        resumed = self.core.operations.resume()
        self._state.write_server(self._describe(tls_socket, proxy_socket))
        log.info("ready; %d operations resumed", resumed)
        await asyncio.wait({serving, asyncio.create_task(stop.wait())}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        await self._proxy.close()
        await self._shut_down(serving)

    @staticmethod
    def _go_down_with(owner: int, loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
        """A test that is killed cannot take its sandbox down; the kernel says when it is gone."""
        try:
            loop.add_reader(os.pidfd_open(owner), stop.set)
        except ProcessLookupError:
            stop.set()

    def _recover(self) -> None:
        """Adopt the machines of an earlier process, then bring networks and machines to what the resources say."""
        found = self.core.driver.recover()
        restore = self.core.service("network_recovered")
        if restore is not None:
            restore()
        restore = self.core.service("machines_recovered")
        if restore is not None:
            restore(found)

    def _https(self) -> Server:
        _unused, certificate, key = tls.ensure(self._state.path)
        config = uvicorn.Config(
            self.gateway.app(),
            ssl_certfile=certificate,
            ssl_keyfile=key,
            ssl_version=ssl.PROTOCOL_TLS_SERVER,
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_keep_alive=75,
            timeout_graceful_shutdown=2,
            server_header=False,
            date_header=False,
        )
        return Server(config)

    async def _shut_down(self, serving: asyncio.Task[None]) -> None:
        self.core.operations.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(serving), 5)
        await self._metadata.close()
        try:
            await asyncio.to_thread(self.core.driver.close)
        except machines.MachineError:
            log.exception("taking the machines down")
        self._state.forget_process()
        log.info("stopped")

    def _describe(self, tls_socket: socket.socket, proxy_socket: socket.socket) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "tls_port": tls_socket.getsockname()[1],
            "proxy_port": proxy_socket.getsockname()[1],
            "driver": self.core.settings.driver,
            "time_scale": self.core.settings.time_scale,
            "ephemeral": self._ephemeral,
        }

    # what the command line asks a running server for

    def _add_admin(self) -> None:
        faults = self.core.faults
        self.gateway.admin |= {
            "status": lambda _: self.status(),
            "token": lambda _: {"token": self.tokens.issue(self._principal, AUDIENCES[0])},
            "faults/list": lambda _: [dataclasses.asdict(rule) for rule in faults.rules()],
            "faults/add": lambda body: dataclasses.asdict(faults.add(Rule(**body))),
            "faults/clear": lambda body: {"removed": faults.clear((body or {}).get("id", ""))},
            "throttling": lambda body: (
                self.gateway.throttling.set_mode(**body) if body else self.gateway.throttling.describe()
            ),
            "authorization": self._authorization,
            "clock": self._set_clock,
            "permissions": lambda body: self.gateway.access.used(forget=bool((body or {}).get("forget"))),
            "tokens": self._set_tokens,
            "quota": self._set_quota,
            "capacity": self._set_capacity,
            **self.core.admin,
        }

    def _authorization(self, body: dict[str, Any]) -> dict[str, str]:
        if body.get("mode"):
            self.gateway.access.set_mode(body["mode"])
        return {"mode": self.gateway.access.mode()}

    def _set_tokens(self, body: dict[str, Any]) -> dict[str, Any]:
        if body.get("lifetime") is not None:
            if body["lifetime"] < 1:
                raise ValueError("tokens live for at least a second")
            self.tokens.lifetime = int(body["lifetime"])
        if body.get("expire"):
            self.tokens.expire()
        return {"lifetime": self.tokens.lifetime}

    def _set_quota(self, body: dict[str, Any]) -> dict[str, Any]:
        self.core.service("compute_limits").set_quota(body["location"], body["name"], body["value"])
        return body

    def _set_capacity(self, body: dict[str, Any]) -> dict[str, Any]:
        self.core.service("compute_limits").set_capacity(body["location"], body["name"], body["value"])
        return body

    def status(self) -> dict[str, Any]:
        """Resources, requests and machines, as ``sandbox status --json`` shows them."""
        running = self.core.store.db().execute("SELECT count(*) FROM operations WHERE ended IS NULL").fetchone()[0]
        return {
            "uptime": round(time.time() - self._began, 1),
            "resources": {self.core.router.types.get(k, k): n for k, n in self.core.store.counts().items()},
            "operations_running": running,
            "requests": dict(sorted(self.gateway.counts.items())),
            "requests_total": self.gateway.counts.total(),
            "faults": len(self.core.faults.rules()),
            "machines": {arm_id: str(state) for arm_id, state in self.core.driver.machines().items()},
        }


def listen(preferred: int) -> socket.socket:
    """A loopback listener, on the preferred port if it is free: so that an exported environment outlives a restart."""
    for port in dict.fromkeys((preferred, 0)):
        # Named explicitly: asyncio turns Nagle's algorithm off only on sockets that say they are TCP (40 ms a request).
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            listener.close()
            continue
        listener.listen(512)
        return listener
    raise OSError("no free port on 127.0.0.1")


@contextlib.contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold the state directory; the kernel lets go when the process ends, however it ends."""
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AlreadyRunning(str(path.parent)) from None
        # Named in the lock, too: a server that is still starting must be found by ``down``.
        lock.truncate(0)
        lock.write(identify(os.getpid()))
        lock.flush()
        yield


def serve(state: StateDirectory, *, driver: str, time_scale: float, ephemeral: bool, owner: int = 0) -> None:
    """Run a server in this process until it is told to stop. Raises AlreadyRunning if there is one."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    with hold(state.lock):
        asyncio.run(Sandbox(state, driver=driver, time_scale=time_scale, ephemeral=ephemeral, owner=owner).run())
        # Works may still be blocked in threads; they are recorded as running and the next server resumes them.
        logging.shutdown()
        sys.stderr.flush()
        os._exit(0)
