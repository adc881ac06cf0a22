"""Measure what hostile photos cost a running server, and what an honest client notices of many of them.

    python -m benchmarks.hostile [--photo PHOTO] [--seconds 20] [--only TEXT] [--crowd]
    python -m benchmarks.hostile --portraits FOLDER --only faces --path "/recognize?remember=true"

Each bomb of `tests.hostile.bombs` is sent to `POST /detect` alone: seconds by the clock, processor seconds, and memory
of server and decoders above the resting server. With --portraits, so are slow files full of the faces in FOLDER. Then,
and with --crowd only then, four clients send four each at once, again and again, while another one sends PHOTO, an
ordinary JPEG; each client has an API key of its own.
"""

from __future__ import annotations

import argparse
import http.client
import io
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from statistics import median, quantiles
from typing import TypeVar

from PIL import Image

from benchmarks.server import PORT, serving
from tests.hostile.bombs import BOMBS, MEGABYTE, Generator, encoded, noise

FILE_BYTES = 15 * MEGABYTE - 4096
T = TypeVar("T")
CLIENTS, AT_ONCE = 4, 4


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--photo", type=Path, help="an ordinary JPEG; a plain one by default")
    options.add_argument("--seconds", type=float, default=20.0)
    options.add_argument("--only", default="", help="bombs whose name contains this")
    options.add_argument("--crowd", action="store_true", help="send no bomb alone")
    options.add_argument("--portraits", type=Path, help="a folder of portraits, of any depth")
    options.add_argument("--path", default="/detect", help="the route that bombs sent alone are sent to")
    given = options.parse_args()
    photo = given.photo.read_bytes() if given.photo else _plain_photo()
    generators = BOMBS | (_of_faces(given.portraits) if given.portraits else {})
    bombs = {name: make(FILE_BYTES) for name, make in generators.items() if given.only in name}
    with tempfile.TemporaryDirectory() as data:
        honest, *attackers = (_key(data, f"client-{number}") for number in range(CLIENTS + 1))
        with serving(MIEN_DATA_DIR=data, MIEN_RATE_PER_MINUTE="1000000") as server:
            send(photo, honest)
            if not given.crowd:
                print(_table([_alone(server.pid, name, bomb, honest, given.path) for name, bomb in bombs.items()]))
            quiet = _latencies(photo, honest, given.seconds / 4)
            print(f"ordinary photo, alone   {_summary(quiet)}")
            _crowd(server.pid, photo, honest, list(bombs.values()), attackers, given.seconds)


def _key(data: str, name: str) -> str:
    """Return a new API key."""
    command = [sys.executable, "-m", "mien", "keys", "create", name]
    environment = os.environ | {"MIEN_DATA_DIR": data}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def _plain_photo() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (640, 480), "grey").save(stream, "JPEG")
    return stream.getvalue()


def _of_faces(folder: Path) -> dict[str, Generator]:
    """Return what makes slow files: a hundred portraits upside down, with many uncertain faces; countless tiny ones."""

    def mosaic(side: int, across: int) -> Image.Image:
        canvas, tile = Image.new("RGB", (side, side)), side // across
        portraits = [
            Image.open(path).convert("RGB").resize((tile, tile)) for path in sorted(folder.rglob("*.jpg"))[:700:7]
        ]
        for number in range(across**2):
            place = (number % across * tile, number // across * tile)
            canvas.paste(portraits[number % len(portraits)], place)
        return canvas

    def hundred(side: int) -> Image.Image:
        return mosaic(side, 10).rotate(180)

    def tiny(side: int, across: int) -> Generator:
        return lambda _: encoded(mosaic(side, across), "JPEG")

    def with_noisy_alpha(_: int) -> bytes:
        canvas = hundred(5300)
        canvas.putalpha(noise(5300).getchannel(0))
        return encoded(canvas, "AVIF", quality=40, speed=9)

    return {
        "AVIF, faces, noisy alpha channel": with_noisy_alpha,
        "AVIF, faces": lambda _: encoded(hundred(5300), "AVIF", quality=90, speed=9),
        "JPEG, faces, progressive": lambda _: encoded(hundred(5900), "JPEG", progressive=True, subsampling=0),
    } | {
        f"JPEG, faces, {across} across {side} pixels": tiny(side, across)
        for side, across in ((640, 40), (1280, 32), (1280, 64), (1920, 96), (2560, 64), (3840, 96))
    }


def send(photo: bytes, key: str, path: str = "/detect") -> tuple[int, str]:
    """Return the status of a `POST`, and the limit or the error that it names."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=120)
    connection.request("POST", path, photo, {"Content-Type": "application/octet-stream", "X-API-Key": key})
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    return answer.status, body.get("limit") or body.get("type", "").removeprefix("urn:mien:")


def _alone(pid: int, name: str, bomb: bytes, key: str, path: str) -> tuple[str, int, float, float, float, str]:
    processor = _processor(pid)
    resting = _memory(pid)
    (taken, outcome), peak = _watch(pid, lambda: _timed(bomb, key, path))
    above = max(0.0, peak - resting)
    return name, len(bomb), taken, _processor(pid) - processor, above, " ".join(map(str, outcome)).strip()


def _timed(photo: bytes, key: str, path: str = "/detect") -> tuple[float, tuple[int, str]]:
    begun = time.perf_counter()
    outcome = send(photo, key, path)
    return time.perf_counter() - begun, outcome


def _watch(pid: int, work: Callable[[], T]) -> tuple[T, float]:
    """Return the result of `work`, and the MB that there were meanwhile at most."""
    peak, done = 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.03):
            peak = max(peak, _memory(pid))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        result = work()
    finally:
        done.set()
        thread.join()
    return result, peak


def _crowd(pid: int, photo: bytes, honest: str, bombs: list[bytes], attackers: list[str], seconds: float) -> None:
    until, statuses = time.monotonic() + seconds, []
    numbers = itertools.count()

    def attack(key: str) -> None:
        while time.monotonic() < until:
            statuses.append(send(bombs[next(numbers) % len(bombs)], key)[0])

    with ThreadPoolExecutor(CLIENTS * AT_ONCE) as threads:
        for key in attackers * AT_ONCE:
            threads.submit(attack, key)
        latencies, memory = _watch(pid, lambda: _latencies(photo, honest, seconds))
    counts = {status: statuses.count(status) for status in sorted(set(statuses))}
    print(f"ordinary photo, attacked {_summary(latencies)}; memory at most {memory:.0f} MB")
    print(f"answers to the attack    {counts}")


def _latencies(photo: bytes, key: str, seconds: float) -> list[float]:
    until, spent = time.monotonic() + seconds, []
    while time.monotonic() < until:
        taken, (status, _) = _timed(photo, key)
        assert status == 200, status
        spent.append(taken)
    return spent


def _summary(latencies: list[float]) -> str:
    p99 = quantiles(latencies, n=100, method="inclusive")[98]
    return f"{median(latencies) * 1000:.0f} ms median, {p99 * 1000:.0f} ms p99, {len(latencies)} requests"


def _table(rows: list[tuple[str, int, float, float, float, str]]) -> str:
    lines = ["| file | kB | seconds | processor seconds | MB | answer |", "|---|---:|---:|---:|---:|---|"]
    row = "| {} | {:.1f} | {:.2f} | {:.2f} | {:.0f} | {} |"
    return "\n".join(lines + [row.format(name, size / 1000, *rest) for name, size, *rest in rows])


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task").glob("*/children")
    return [pid, *(int(child) for file in children for child in file.read_text(encoding="ascii").split())]


def _memory(pid: int) -> float:
    """Return the MB of a process and its children; a page that several share counts once."""
    total = 0
    for one in _family(pid):
        with suppress(OSError):
            lines = Path(f"/proc/{one}/smaps_rollup").read_text(encoding="ascii").splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1000


def _processor(pid: int) -> float:
    """Return the processor seconds of a process and of its children, also of those that ended."""
    total = 0
    for one in _family(pid):
        with suppress(OSError):
            values = Path(f"/proc/{one}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            total += sum(map(int, values[11:15] if one == pid else values[11:13]))
    return total / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
