"""A signal ends `mien serve`, whatever is under way, and the next start goes on with it."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.support.painter import photo_of
from tests.support.process import free_port, wait_for

WAIT = 60.0
"""Far more than ten seconds, for a busy machine, and far less than what is under way takes."""

SLEEPY = """
import os, sys, time
from pathlib import Path
import mien.engine
from tests.support.fake_engine import FakeFaceEngine

class Engine(FakeFaceEngine):
    def __init__(self, **options):
        super().__init__(**options)
        if os.environ.get("SLEEP_AT_START"):
            time.sleep(600)

    def read(self, image, max_faces=100, **options):
        if len(image) > 5000:
            Path(os.environ["READS"]).touch()
            time.sleep(600)
        return super().read(image, max_faces)

mien.engine.FaceEngine = Engine
from mien.cli.main import main
main()
"""


def _listens(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/openapi.json", timeout=WAIT).status_code == 200
    except httpx.TransportError:
        return False


def _is_bound(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


@contextmanager
def serving(
    folder: Path, ready: Callable[[int], bool] = _listens, log: int = subprocess.DEVNULL, **settings: str
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A server whose engine sleeps over photos; yields its process and port."""
    port = free_port()
    environment = os.environ | {"MIEN_DATA_DIR": str(folder / "data"), "READS": str(folder / "reads")} | settings
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPY, "serve", "--port", str(port)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=log,
    )
    try:
        wait_for(lambda: ready(port))
        yield process, port
    finally:
        process.kill()
        process.wait()


def upload(port: int) -> str:
    url, headers = f"http://127.0.0.1:{port}/upload?user_id=Ada", {"Content-Type": "image/jpeg"}
    answer = httpx.post(url, content=photo_of("Ada"), headers=headers, timeout=WAIT)
    assert answer.status_code == 202
    return str(answer.json()["image_path"])


def half_sent(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(b"POST /upload?user_id=Eve HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n")
    client.sendall(b"Content-Length: 100000\r\n\r\n\xff\xd8\xff")
    return client


@pytest.mark.parametrize("ending", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_what_is_under_way_ends_and_the_next_start_goes_on(tmp_path: Path, ending: signal.Signals) -> None:
    with serving(tmp_path) as (process, port), socket.create_connection(("127.0.0.1", port)), half_sent(port):
        path = upload(port)
        wait_for((tmp_path / "reads").exists)
        (tmp_path / "reads").unlink()
        with socket.create_connection(("127.0.0.1", port)) as waiting:
            body = photo_of("Ada", photo=1)
            waiting.sendall(b"POST /recognize HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n")
            waiting.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
            wait_for((tmp_path / "reads").exists)
            process.send_signal(ending)
            assert process.wait(WAIT) == 0
    with closing(sqlite3.connect(tmp_path / "data" / "mien.db")) as database:
        assert database.execute("SELECT Key, Holder, Attempts, Lost, Dead FROM Events").fetchall() == [
            (path, None, 1, 0, 0)
        ]


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Nobody else can write to the database meanwhile."""
    with closing(sqlite3.connect(folder / "data" / "mien.db", isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield


@pytest.mark.slow
def test_a_database_that_another_process_holds_does_not_keep_it(tmp_path: Path) -> None:
    with serving(tmp_path) as (process, port), held(tmp_path), half_sent(port):
        process.terminate()
        assert process.wait(WAIT) == 0


def fill(pipe: int) -> None:
    os.set_blocking(pipe, False)
    with suppress(BlockingIOError):
        while os.write(pipe, b"x"):
            pass
    os.set_blocking(pipe, True)


def test_a_log_that_nobody_reads_does_not_keep_it(tmp_path: Path) -> None:
    reader, log = os.pipe()
    with open(reader, "rb"), open(log, "wb"), serving(tmp_path, log=log) as (process, port):
        fill(log)
        with suppress(httpx.ReadTimeout):
            while httpx.get(f"http://127.0.0.1:{port}/users", timeout=3):  # until it waits for its log's reader
                pass
        process.terminate()
        assert process.wait(WAIT) == 0


@pytest.mark.slow
@pytest.mark.parametrize("under_way", ["model", "database"])
def test_a_start_that_does_not_get_on_can_be_ended(tmp_path: Path, under_way: str) -> None:
    with serving(tmp_path, SLEEP_AT_START="yes" if under_way == "model" else "") as (process, _):
        if under_way == "model":
            process.terminate()
            assert process.wait(WAIT) == 0
            return
    with held(tmp_path), serving(tmp_path, ready=_is_bound) as (process, _):
        process.terminate()
        assert process.wait(WAIT) == 0
