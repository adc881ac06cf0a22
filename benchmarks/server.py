"""Measure the server: its share of the engine's throughput, latencies, and whether a burst is indexed completely.

    python -m benchmarks.server PHOTOS

PHOTOS is a folder of portraits, of any depth. The server runs in a process of its own on an empty data folder; the
engine alone is measured before and after it, on the same photos.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import quantiles
from typing import Any

from mien.engine import FaceEngine

PORT = int(os.environ.get("PORT", "18455"))
JPEG = {"Content-Type": "image/jpeg"}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("photos", type=Path)
    options.add_argument("--seconds", type=float, default=10.0)
    options.add_argument("--connections", type=int, default=8)
    options.add_argument("--enrolled", type=int, default=50)
    options.add_argument("--burst", type=int, default=0, help="uploads of a burst, 10000 for example")
    given = options.parse_args()
    photos = [path.read_bytes() for path in sorted(given.photos.rglob("*.jpg"))[:400]]
    engine = FaceEngine()
    before = _engine(engine, photos, given)
    with serving() as server:
        _fill(photos, given.enrolled)
        served = _served(photos, given, server.pid)
        resident = _resident(server.pid)
        burst = _burst(photos, given.burst, server.pid) if given.burst else ""
    after = _engine(engine, photos, given)
    _report(before, served, after)
    print(f"resident memory    {resident:.0f} MiB after {len(served.latencies)} recognitions and more")
    print(burst)


@dataclass(frozen=True)
class Run:
    """Calls per second, the latency of each in seconds, and processor time per call in seconds."""

    rate: float
    latencies: list[float]
    processor: float

    def __str__(self) -> str:
        cuts = quantiles(self.latencies, n=100, method="inclusive")
        p50, p99 = cuts[49] * 1000, cuts[98] * 1000
        return (
            f"{self.rate:6.1f}/s, {p50:.1f} ms median, {p99:.1f} ms p99 ({p99 / p50:.1f} times), "
            f"{self.processor * 1000:.1f} ms of processor time each"
        )


def _report(before: Run, served: Run, after: Run) -> None:
    print(f"engine alone       {before}")
    print(f"POST /recognize    {served}")
    print(f"engine alone       {after}")
    rate = served.rate / ((before.rate + after.rate) / 2)
    processor = (before.processor + after.processor) / 2 / served.processor
    print(f"server / engine    {rate:.0%} by the clock, {processor:.0%} by processor time")


def _engine(engine: FaceEngine, photos: list[bytes], given: argparse.Namespace) -> Run:
    """Measure the engine with as many threads as the server has connections."""
    return _repeat(lambda n: engine.read(photos[n % len(photos)]), given.connections, given.seconds, os.getpid())


def _served(photos: list[bytes], given: argparse.Namespace, pid: int) -> Run:
    send = _Client("POST", lambda number: ("/recognize", photos[number % len(photos)]))
    _repeat(send, given.connections, 2.0, pid)
    return _repeat(send, given.connections, given.seconds, pid)


def _repeat(work: Callable[[int], object], threads: int, seconds: float, pid: int) -> Run:
    """Call `work` from several threads; the processor time is that of process `pid`."""
    numbers, processor = count(), processor_seconds(pid)
    begun = time.perf_counter()

    def repeat(_: int) -> list[float]:
        spent = []
        while (started := time.perf_counter()) < begun + seconds:
            work(next(numbers))
            spent.append(time.perf_counter() - started)
        return spent

    with ThreadPoolExecutor(threads) as pool:
        spent = [one for many in pool.map(repeat, range(threads)) for one in many]
    rate = len(spent) / (time.perf_counter() - begun)
    return Run(rate, spent, (processor_seconds(pid) - processor) / len(spent))


def processor_seconds(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


class _Client:
    """HTTP client with one kept-alive connection per thread; a failed request ends the run."""

    def __init__(self, method: str, request: Callable[[int], tuple[str, bytes]]) -> None:
        self._method, self._request, self._local = method, request, threading.local()

    def __call__(self, number: int) -> bytes:
        if not hasattr(self._local, "connection"):
            self._local.connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
        path, body = self._request(number)
        self._local.connection.request(self._method, path, body, JPEG)
        answer = self._local.connection.getresponse()
        content: bytes = answer.read()
        assert answer.status < 300, (answer.status, content)
        return content


def _fill(photos: list[bytes], people: int) -> None:
    upload = _Client("POST", lambda number: (f"/upload?user_id=person{number}", photos[number]))
    for number in range(min(people, len(photos))):
        upload(number)
    _until_indexed()


def _burst(photos: list[bytes], uploads: int, pid: int) -> str:
    """Upload many photos at once; bytes after the end of the image, which decoders ignore, make each unique."""
    memory = _resident(pid)
    upload = _Client("POST", lambda n: (f"/upload?user_id=burst{n}", photos[n % len(photos)] + n.to_bytes(8, "big")))
    begun = time.perf_counter()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(upload, range(uploads)))
    taken = time.perf_counter() - begun
    peak = max([memory, *_until_indexed(lambda: _resident(pid))])
    whole = time.perf_counter() - begun
    faces = [person["face_count"] for person in _people() if person["user_id"].startswith("burst")]
    return (
        f"burst              {uploads} uploads accepted in {taken:.0f} s, done after {whole:.0f} s: "
        f"{len(faces)} people with {sum(faces)} faces, {_gauge('mien_events_dead'):.0f} dead letters; "
        f"memory {memory:.0f} MiB before, at most {peak:.0f} MiB"
    )


def _people() -> Iterator[dict[str, Any]]:
    get = _Client("GET", lambda _: (f"/users?limit=200{after}", b""))
    after = ""
    while True:
        page = json.loads(get(0))
        yield from page["users"]
        if page["next_cursor"] is None:
            return
        after = f"&cursor={page['next_cursor']}"


def _until_indexed(watch: Callable[[], float] = lambda: 0.0) -> list[float]:
    """Wait until the queue is empty; returns the values of `watch`, taken once a second."""
    seen = []
    while _gauge("mien_events_waiting"):
        seen.append(watch())
        time.sleep(1)
    return seen


def _gauge(name: str) -> float:
    lines = _Client("GET", lambda _: ("/metrics", b""))(0).decode().splitlines()
    return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])


def _resident(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def serving(**settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run `mien serve` with these settings until the block ends; on an empty data folder unless one is given."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "mien", "serve", "--port", str(PORT)]
        environment = os.environ | {"MIEN_DATA_DIR": folder} | settings
        begun = time.perf_counter()
        server = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        try:
            _until_healthy(server)
            print(f"cold start         {time.perf_counter() - begun:7.1f} s to the first inference answered")
            yield server
        finally:
            server.terminate()
            server.wait()


def _until_healthy(server: subprocess.Popen[bytes]) -> None:
    """Wait for the first answer; another server on the same port must not be measured in this one's place."""
    while True:
        if server.poll() is not None:
            raise SystemExit(f"The server did not start. Is port {PORT} in use? Set PORT to another one.")
        try:
            _Client("GET", lambda _: ("/health", b""))(0)
        except ConnectionError:
            time.sleep(0.05)
        else:
            return


if __name__ == "__main__":
    main()
