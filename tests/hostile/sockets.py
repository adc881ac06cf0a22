"""A server as a process of its own, and bytes to send to it over sockets that are not HTTP, or nearly so."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import httpx

from tests.support.process import free_port, serve

AT_ONCE = 16
SILENCE_SECONDS = 0.3
"""After so long without a byte a connection is given up; an answer that comes later is the next test's to find."""

HOST = b"Host: 127.0.0.1\r\n"
CASES = (
    b"",
    b"\r\n" * 100,
    b"\0" * 1000,
    b"GET\r\n\r\n",
    b"GET /users\r\n\r\n",
    b"GET /users HTTP/0.9\r\n\r\n",
    b"GET /users HTTP/9.9\r\n" + HOST + b"\r\n",
    b"GET /users HTTP/1.1\r\n\r\n",
    b"GET /users HTTP/1.1\n" + HOST + b"\n",
    b"GET /users HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    b"GET http://evil.example/users HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET //evil.example/users HTTP/1.1\r\n" + HOST + b"\r\n",
    b"CONNECT evil.example:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /users\0 HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /?" + b"a=&" * 30_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 200_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"".join(b"X%d: y\r\n" % number for number in range(5000)) + b"\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"X : y\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b" folded\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"X: a\rb\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    b"POST /detect HTTP/1.1\r\n" + HOST + b"Content-Length: -5\r\n\r\n",
    b"POST /detect HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"POST /detect HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999999999999999999\r\n\r\n",
    b"POST /detect HTTP/1.1\r\n" + HOST + b"Content-Length: \xb2\r\n\r\n",
    b"POST /detect HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\nx",
    b"POST /detect HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n",
    b"POST /detect HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"e" * 100_000 + b"\r\nx\r\n",
    b"POST /detect HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"POST /detect HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    bytes.fromhex("160301020001000001fc0303") + bytes(500),
)  # fmt: skip
HIDDEN = b"DELETE /users/hidden HTTP/1.1\r\n" + HOST + b"\r\n"
SMUGGLED = (
    b"POST /detect HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    b"POST /detect HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: %d\r\n\r\n0\r\n\r\n" + HIDDEN,
    b"POST /detect HTTP/1.1\r\n" + HOST + b"Transfer-Encoding:\x0bchunked\r\nContent-Length: %d\r\n\r\n" + HIDDEN,
    b"POST /detect HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\nContent-Length: 0\r\n\r\n" + HIDDEN,
)


class Server:
    def __init__(self, folder: Path) -> None:
        self.log, self.port = folder / "log", free_port()
        self.process = serve(folder / "data", self.port, log=self.log)

    async def statuses(self, payload: bytes) -> list[int]:
        """Send some bytes on a connection of their own, and return the statuses of all answers to them."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        received = b""
        try:
            writer.write(payload)
            await writer.drain()
            while chunk := await asyncio.wait_for(reader.read(65536), SILENCE_SECONDS):
                received += chunk
        except (TimeoutError, ConnectionError):
            pass
        finally:
            writer.transport.abort()
        return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3})", received)]

    def check(self) -> None:
        """An honest client is served, and the log is JSON without a word of any client."""
        assert self.process.poll() is None
        assert httpx.get(f"http://127.0.0.1:{self.port}/users", timeout=60).json()["users"] == []
        lines = logged(self.log)
        assert all(isinstance(json.loads(line), dict) for line in lines)
        assert "evil.example" not in "".join(lines)


def logged(log: Path) -> list[str]:
    """The lines of a server's log, without the greeting before the first one."""
    lines = log.read_text("utf-8", "replace").splitlines()
    return lines[next((at for at, line in enumerate(lines) if line.startswith("{")), len(lines)) :]


def all_statuses(server: Server, payloads: list[bytes]) -> list[list[int]]:
    async def ask_all() -> list[list[int]]:
        free = asyncio.Semaphore(AT_ONCE)

        async def ask(payload: bytes) -> list[int]:
            async with free:
                return await server.statuses(payload)

        return await asyncio.gather(*map(ask, payloads))

    return asyncio.run(ask_all())
