# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A CONNECT proxy on loopback that knows Azure's host names and nothing else.

A CONNECT to one of them on port 443 ends at the sandbox's own TLS port; everything else is refused with 403. So
clients need only ``HTTPS_PROXY``, and nothing ever leaves the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterable

HEAD_LIMIT = 16384
HEAD_TIMEOUT = 30


class Proxy:
    """``hosts`` end at ``127.0.0.1:target``."""

    def __init__(self, hosts: Iterable[str], target: int) -> None:
        self._hosts = frozenset(hosts)
        self._target = target
        self._server: asyncio.Server | None = None
        self._tunnels: dict[int, asyncio.StreamWriter] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, listener: socket.socket) -> None:
        self._server = await asyncio.start_server(self._accept, sock=listener, limit=HEAD_LIMIT)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def reset(self, port: int) -> bool:
        """Reset the client's connection whose tunnel comes from local ``port``. False if there is none."""
        writer = self._tunnels.get(port)
        if writer is None:
            return False
        client: socket.socket | None = writer.get_extra_info("socket")
        if client is not None:
            # Lingering for no time makes the kernel send RST instead of FIN.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return True

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, TimeoutError):
            await self._serve(reader, writer)
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(HEAD_TIMEOUT):
                head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            await _refuse(writer, "431 Request Header Fields Too Large", "the request head is too long")
            return
        method, _unused, rest = head.split(b"\r\n", 1)[0].decode("latin-1").partition(" ")
        host, _unused, port = rest.partition(" ")[0].rpartition(":")
        if method != "CONNECT" or host.lower() not in self._hosts or port != "443":
            await _refuse(
                writer, "403 Forbidden", f"the sandbox's proxy only knows Azure, not {rest.partition(' ')[0]}"
            )
            return
        upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self._target)
        local: int = upstream.get_extra_info("sockname")[1]
        self._tunnels[local] = writer
        try:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await writer.drain()
            client: socket.socket | None = writer.get_extra_info("socket")
            await asyncio.gather(_pump(reader, upstream, client), _pump(upstream_reader, writer))
        finally:
            self._tunnels.pop(local, None)
            upstream.close()


async def _refuse(writer: asyncio.StreamWriter, status: str, reason: str) -> None:
    body = reason.encode() + b"\n"
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, source: socket.socket | None = None
) -> None:
    """Copy until the end of one direction, then close the other side's writing half."""
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(65536):
            if source is not None:
                # urllib3 leaves Nagle's algorithm on towards proxies: without a prompt ACK of the head it would keep
                # the body of every request back for 40 ms.
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            writer.write(chunk)
            await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        if writer.can_write_eof():
            writer.write_eof()
