"""Starts `mien` as a process of its own, on the real engine or on the fake one."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import cycle
from pathlib import Path

import httpx

MIEN = (sys.executable, "-m", "mien")
MIEN_ON_FAKE_ENGINE = (sys.executable, str(Path(__file__).with_name("run_on_fake_engine.py")))
PATIENCE_SECONDS = 120.0
"""Costs nothing where all is well, and a busy machine may be ten times slower."""


def wait_for(condition: Callable[[], bool]) -> None:
    """Ask again and again until it is true; a test that waits in vain fails."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


def _ports() -> Iterator[int]:
    """Ports that Linux gives to nobody who asks for any, and that no other worker of pytest chooses."""
    worker, workers = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")), 16
    ports = range(20_000 + worker % workers, 32_768, workers)
    start = random.randrange(len(ports))
    return cycle((*ports[start:], *ports[:start]))


_PORTS = _ports()


def free_port() -> int:
    """Return a port on which nobody listens; it stays free until a process, seconds later, listens on it."""
    while True:
        port = next(_PORTS)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def serve(
    folder: Path,
    port: int,
    settings: Mapping[str, str] = {},
    mien: Sequence[str] = MIEN_ON_FAKE_ENGINE,
    log: Path = Path(os.devnull),
) -> subprocess.Popen[bytes]:
    """Start `mien serve` on a data folder, and wait until it answers. Its log goes to a file. The caller ends it."""
    with log.open("wb") as lines:
        server = subprocess.Popen(
            [*mien, "serve", "--port", str(port)],
            env=os.environ | {"MIEN_DATA_DIR": str(folder)} | settings,
            stdout=subprocess.DEVNULL,
            stderr=lines,
        )
    wait_for(lambda: _answers(port))
    return server


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=PATIENCE_SECONDS).status_code == 200
    except httpx.TransportError:
        return False
