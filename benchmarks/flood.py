"""Measure how keyed clients fare while strangers hold idle, slow and half-sent connections.

    python -m benchmarks.flood PHOTOS

The server runs in a process of its own on an empty data folder with API keys; the strangers run in another one, on
loopback, and connect again whenever they are cut off. Keyed clients are measured before, meanwhile and after.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import quantiles

IDLE, SLOW, HALF = 5000, 200, 500
HALF_BODY, CONNECTING, MIN_CALLS = 50_000, 100, 100
JSON = "Content-Type: application/x-amz-json-1.1"
HALF_SENT = (
    f"POST / HTTP/1.1\r\nHost: h\r\nX-Amz-Target: RekognitionService.ListFaces\r\n{JSON}\r\n",
    "POST /recognize HTTP/1.1\r\nHost: h\r\nContent-Type: image/jpeg\r\n",
    "POST /bucket HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=x\r\n",
)
"""To the wire API, whose signature covers the body; to a route with keys; to upload forms."""

Figures = dict[str, tuple[float, float]]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("photos", type=Path)
    options.add_argument("--seconds", type=float, default=15.0)
    options.add_argument("--strangers", type=int, metavar="PORT", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.strangers:
        asyncio.run(hold(given.strangers))
        return
    photo = next(iter(sorted(given.photos.rglob("*.jpg")))).read_bytes()
    with serving() as (port, key, pid):
        measure(port, key, photo, 3)
        before = measure(port, key, photo, given.seconds)
        memory = resident(pid)
        with strangers(port, given.photos):
            print(f"strangers          {connections(pid):,} connections, {resident(pid) - memory:.0f} MiB more memory")
            meanwhile = measure(port, key, photo, given.seconds)
            print(f"                   {connections(pid):,} connections at the end")
        after = measure(port, key, photo, given.seconds)
    for name, figures in (("before", before), ("meanwhile", meanwhile), ("after", after)):
        calls = "; ".join(f"{call} {p50:.1f} ms median, {p99:.1f} ms p99" for call, (p50, p99) in figures.items())
        print(f"{name:18} {calls}")
    for call, (_, p99) in meanwhile.items():
        print(f"{call:18} p99 {2 * p99 / (before[call][1] + after[call][1]):.1f} times as long as undisturbed")


@contextmanager
def serving() -> Iterator[tuple[int, str, int]]:
    """Start a server; yields its port, an API key and its process id."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"MIEN_DATA_DIR": folder, "MIEN_RATE_PER_MINUTE": "1000000"}
        mien = [sys.executable, "-m", "mien"]
        made = subprocess.run(
            [*mien, "keys", "create", "bench"], env=environment, capture_output=True, text=True, check=True
        )
        key = made.stdout.strip()
        server = subprocess.Popen([*mien, "serve", "--port", "0"], env=environment, stderr=subprocess.PIPE, text=True)
        assert server.stderr is not None
        try:
            port = next(
                int(found[1]) for line in server.stderr if (found := re.search(r"http://127.0.0.1:(\d+)", line))
            )
            with ThreadPoolExecutor(1) as pool:
                lines = pool.submit(server.stderr.readlines)
                try:
                    yield port, key, server.pid
                finally:
                    server.terminate()
                    server.wait()
                told = [line for line in lines.result() if '"status": 200' not in line]
                print(f"log                {len(told):,} lines that are not of successful requests")
        finally:
            server.kill()
            server.wait()


@contextmanager
def strangers(port: int, photos: Path) -> Iterator[None]:
    """Start the strangers; yields once all are connected."""
    command = [sys.executable, "-m", "benchmarks.flood", str(photos), "--strangers", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.kill()
        process.wait()


async def hold(port: int) -> None:
    """Hold all connections, each on its own, and replace those that the server ends."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gate, left = asyncio.Semaphore(CONNECTING), IDLE + SLOW + HALF

    async def stranger(number: int) -> None:
        nonlocal left
        is_first = True
        while True:
            with suppress(OSError):
                async with gate:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.write(beginning(number))
                    await writer.drain()
                if is_first:
                    left, is_first = left - 1, False
                    if not left:
                        print("ready", flush=True)
                await (drip(reader, writer) if IDLE <= number < IDLE + SLOW else until_closed(reader))
                writer.close()
            await asyncio.sleep(0.5)

    await asyncio.gather(*(stranger(number) for number in range(IDLE + SLOW + HALF)))


def beginning(number: int) -> bytes:
    """What a stranger sends first: nothing or a whole request, some headers, or half of a body."""
    if number < IDLE:
        return b"" if number % 2 else b"GET /users HTTP/1.1\r\nHost: h\r\n\r\n"
    if number < IDLE + SLOW:
        return b"GET /users HTTP/1.1\r\nHost: h\r\nX-Slow: "
    head = HALF_SENT[number % len(HALF_SENT)]
    return f"{head}Content-Length: {HALF_BODY}\r\n\r\n{{{' ' * (HALF_BODY // 2)}".encode()


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while not reader.at_eof():
        writer.write(b"x")
        await writer.drain()
        with suppress(TimeoutError):
            await asyncio.wait_for(reader.read(1000), 1)


async def until_closed(reader: asyncio.StreamReader) -> None:
    while await reader.read(65_536):
        pass


def measure(port: int, key: str, photo: bytes, seconds: float) -> Figures:
    """Call the server from two threads, each on a connection of its own and now and then on a new one.

    Returns the median and the 99th percentile of each call, in milliseconds.
    """
    headers = {"X-Api-Key": key, "Content-Type": "image/jpeg"}
    calls: dict[str, Callable[[http.client.HTTPConnection], None]] = {
        "GET /users": lambda connection: connection.request("GET", "/users", headers=headers),
        "POST /recognize": lambda connection: connection.request("POST", "/recognize?store=false", photo, headers),
    }
    until = time.monotonic() + seconds

    def repeat(call: Callable[[http.client.HTTPConnection], None]) -> list[float]:
        spent, connection = [], http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while time.monotonic() < until or len(spent) < MIN_CALLS:
            if len(spent) % 20 == 0:
                connection.close()
            begun = time.perf_counter()
            call(connection)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
            spent.append((time.perf_counter() - begun) * 1000)
            time.sleep(0.01)
        return spent

    with ThreadPoolExecutor(len(calls)) as pool:
        cuts = [quantiles(spent, n=100, method="inclusive") for spent in pool.map(repeat, calls.values())]
    return {call: (cut[49], cut[98]) for call, cut in zip(calls, cuts, strict=True)}


def connections(pid: int) -> int:
    return sum(
        os.readlink(file).startswith("socket:") for file in Path(f"/proc/{pid}/fd").iterdir() if file.is_symlink()
    )


def resident(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
