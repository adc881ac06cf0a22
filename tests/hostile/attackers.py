"""Attack a server over sockets, from several addresses of the loopback network, until a time is over.

`tests.hostile.siege` starts it as a process of its own, so that its work does not count as the server's or as the
honest client's: `python -m tests.hostile.attackers PORT SECONDS`, with keys and seed on standard
input. It prints what it got.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tests.hostile.bombs import BOMBS, MEGABYTE
from tests.hostile.generators import any_request, any_signature, any_wire_request
from tests.hostile.sockets import CASES, SMUGGLED
from tests.hostile.target import JPEG, JSON, Request, rest

HOST = "127.0.0.1"
ADDRESSES = tuple(f"127.0.0.{number}" for number in range(2, 10))
"""From which the attackers come: the server tells clients apart by their address."""

PATIENCE_SECONDS = 30.0
BOMB_BYTES = 4 * MEGABYTE
"""Of those bombs that may have any size."""

BUSY = {503, 507}
"""How a server says that it has too much to do: refusals, not failures."""

HALF_BODY = (
    b"POST /recognize HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/jpeg\r\nContent-Length: 99999\r\n\r\n\xff"
)
SLOW_HEADERS = b"GET /users HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: " + b"a" * 10_000


@dataclass
class Siege:
    """One run of all attackers.

    Attributes:
        port: the server's.
        seconds: how long it lasts.
        keys: API keys that attackers have got hold of; None among them for no key.
        seed: of the fuzzed requests.
    """

    port: int
    seconds: float
    keys: tuple[str | None, ...]
    seed: int
    statuses: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    async def run(self) -> None:
        number = iter(range(self.seed, sys.maxsize))
        attacks: list[Callable[[], Awaitable[None]]] = [
            *[lambda: self._send("rest", any_request(next(number), self.keys))] * 3,
            lambda: self._send("wire", any_wire_request(next(number))),
            lambda: self._send("signature", any_signature(next(number))),
            lambda: self._raw(random.Random(next(number))),
            *[lambda: self._bomb(random.Random(next(number)))] * 2,
            lambda: self._send("guess", rest("GET", "/users", key=f"mien_{next(number):08x}_{'a' * 43}")),
            lambda: self._send("huge", rest("POST", "/upload", body=bytes(16_000_000), kind=JPEG)),
            lambda: self._send("json", rest("POST", "/uploads", body=b"[" * 4_000_000, kind=JSON)),
            *[self._idle] * 400,
            *[lambda: self._drip("slow headers", SLOW_HEADERS, 1.0)] * 50,
            *[lambda: self._drip("half a body", HALF_BODY, 0.0)] * 100,
        ]
        with suppress(TimeoutError):
            async with asyncio.timeout(self.seconds):
                await asyncio.gather(*(self._again_and_again(attack) for attack in attacks))

    async def _again_and_again(self, attack: Callable[[], Awaitable[None]]) -> None:
        while True:
            with suppress(OSError, TimeoutError):
                await attack()
            await asyncio.sleep(0.05)

    async def _send(self, kind: str, request: Request) -> None:
        await self._exchange(kind, _as_bytes(request))

    async def _raw(self, rng: random.Random) -> None:
        damaged = bytearray(rng.choice((*CASES, *SMUGGLED)))
        damaged[rng.randrange(len(damaged) + 1) :][:2] = rng.randbytes(2)
        await self._exchange("raw", bytes(damaged) + b"\r\n\r\n")

    async def _bomb(self, rng: random.Random) -> None:
        name = rng.choice(tuple(BOMBS))
        photo = await asyncio.to_thread(_bomb, name)
        await self._send(f"bomb {name}", rest("POST", "/detect", key=self.keys[-1], body=photo, kind=JPEG))

    async def _exchange(self, kind: str, payload: bytes) -> None:
        async with self._connected() as (reader, writer):
            writer.write(payload)
            async with asyncio.timeout(PATIENCE_SECONDS):
                await writer.drain()
                answer = await reader.read(65536)
            for status in map(int, re.findall(rb"HTTP/1\.[01] (\d{3})", answer)):
                self.statuses[f"{kind.partition(' ')[0]} {status}"] += 1
                if status >= 500 and status not in BUSY and len(self.failures) < 100:
                    self.failures.append(f"{kind}: {status} for {payload[:300]!r}")

    async def _idle(self) -> None:
        async with self._connected() as (reader, _):
            await reader.read()

    async def _drip(self, kind: str, payload: bytes, pause: float) -> None:
        """Send a request byte by byte, or without a pause and never its end; wait until the server has had enough."""
        async with self._connected() as (reader, writer):
            if pause:
                for byte in payload:
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(pause)
            writer.write(payload)
            await reader.read()
            self.statuses[f"{kind}: ended"] += 1

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection(HOST, self.port, local_addr=(random.choice(ADDRESSES), 0))
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


@cache
def _bomb(name: str) -> bytes:
    return BOMBS[name](BOMB_BYTES)


def _as_bytes(request: Request) -> bytes:
    path = request.path.encode("ascii", "replace") + (b"?" + request.query if request.query else b"")
    lines = [request.method.encode() + b" " + path + b" HTTP/1.1", *(b": ".join(pair) for pair in request.headers)]
    return b"\r\n".join([*lines, b"connection: close", b"", b"".join(request.chunks)])


def main() -> None:
    port, seconds = int(sys.argv[1]), float(sys.argv[2])
    given: dict[str, Any] = json.loads(sys.stdin.read())
    siege = Siege(port, seconds, tuple(given["keys"]), given["seed"])
    asyncio.run(siege.run())
    print(json.dumps({"statuses": dict(sorted(siege.statuses.items())), "failures": siege.failures}))


if __name__ == "__main__":
    main()
