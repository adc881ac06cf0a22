"""The server's log: every request in it, every line JSON, none in a client's words, and not more than a disk bears."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from mien.api import logs, telemetry
from mien.api.logs import LimitedHandler
from mien.api.telemetry import Metrics, TelemetryMiddleware
from mien.security.api_keys import KeyFile
from mien.security.api_keys import Scope as KeyScope
from mien.settings import Settings
from tests.api.conftest import JPEG, Service
from tests.cli.test_listening import served
from tests.rekognition.raw import post

Lines = list[dict[str, Any]]

NOISE = """
import logging, os, sys, threading, warnings
import cv2, numpy
from mien.api.logs import json_on_stderr

SIZE = b"\\3\\0\\1\\0\\0\\0\\7\\0\\0\\0"
BROKEN_TIFF = b"II*\\0\\x08\\0\\0\\0\\2\\0\\0\\1" + SIZE + b"\\1\\1" + SIZE + b"SECRET"

class Ended:
    def __del__(self):
        raise ValueError("SECRET")

with json_on_stderr():
    os.write(2, b"SECRET from a native library\\n")
    cv2.imdecode(numpy.frombuffer(BROKEN_TIFF, numpy.uint8), 1)
    print("SECRET", file=sys.stderr)
    warnings.warn("SECRET")
    logging.getLogger("multipart").warning("SECRET %s", "SECRET")
    thread = threading.Thread(target=lambda: int("SECRET"))
    thread.start()
    thread.join()
    del (ended := [Ended()])[0]
    logging.getLogger("mien.test").error("named", exc_info=ValueError("SECRET"), extra={"name_of_somebody": "SECRET"})
    os.write(2, b"SECRET of the last moment\\n")
print("SECRET is gone", file=sys.stderr)
"""


def test_whoever_writes_to_standard_error_writes_json() -> None:
    ended = subprocess.run([sys.executable, "-c", NOISE], capture_output=True, text=True, check=True)
    *lines, last = ended.stderr.splitlines()
    assert last == "SECRET is gone"
    assert "SECRET" not in "".join(lines)
    parsed = [json.loads(line) for line in lines]
    messages = {line["message"] for line in parsed}
    assert {"a native library wrote to standard error", "a library warns", "named"} <= messages
    assert {"an exception was not handled", "a library has something to say"} <= messages
    assert parsed[-1]["message"] == "a native library wrote to standard error"
    (named,) = [line for line in parsed if line["message"] == "named"]
    assert (named["level"], named["error"]) == ("error", "ValueError")


def test_warnings_whose_texts_a_file_chooses_are_not_kept() -> None:
    script = """
import warnings
from mien.api.logs import json_on_stderr
with json_on_stderr():
    for number in range(1000):
        warnings.warn(f"tag {number}")
    print([key for key in globals().get("__warningregistry__", {}) if key != "version"])
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


@pytest.fixture
def written() -> Iterator[Callable[[], Lines]]:
    """What a handler writes of the logger `mien.flood`."""
    stream, logger = StringIO(), logging.getLogger("mien.flood")
    handler = LimitedHandler(stream)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logs.log.addHandler(handler)
    logs.log.setLevel(logging.INFO)

    def lines() -> Lines:
        handler.summarize()
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    yield lines
    logger.removeHandler(handler)
    logs.log.removeHandler(handler)


@pytest.mark.parametrize("extra", [{}, {"status": 401}, {"status": 200}])
def test_of_a_flood_some_lines_are_written_and_the_others_counted(
    written: Callable[[], Lines], extra: dict[str, int]
) -> None:
    level = logging.INFO if extra else logging.WARNING
    for _ in range(5000):
        logging.getLogger("mien.flood").log(level, "refused", extra=extra)
    lines = written()
    assert len(lines) < 2500
    assert (
        len([line for line in lines if line["message"] == "refused"]) + sum(line.get("suppressed", 0) for line in lines)
        == 5000
    )


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_lines_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, logger = Terminal(), logging.getLogger("mien.shown")
    monkeypatch.setattr(logger, "handlers", [LimitedHandler(stream)])
    monkeypatch.setattr(logger, "propagate", False)
    logger.setLevel(logging.INFO)
    request = {"method": "POST", "route": "/recognize", "status": 200, "ms": 297.9, "bytes_in": 15750}
    logger.info("request", extra=request | {"request_id": "9275d3bc", "key_id": "1a2b3c4d"})
    logger.warning("a photo could not be indexed", extra={"attempt": 3, "name_of_somebody": "SECRET"})
    first, second = (line.partition(" ")[2] for line in stream.getvalue().splitlines())
    assert first == "POST /recognize 200 298 ms key_id=1a2b3c4d"
    assert second == "warning a photo could not be indexed attempt=3"


def test_no_line_of_a_caller_with_a_key_is_left_out(written: Callable[[], Lines]) -> None:
    for _ in range(3000):
        logging.getLogger("mien.flood").info("request", extra={"status": 200, "key_id": "one"})
    assert len(written()) == 3000


def test_kinds_of_lines_are_not_counted_without_end(written: Callable[[], Lines]) -> None:
    for number in range(2 * logs.MAX_KINDS):
        logging.getLogger("mien.flood").warning("refused", extra={"error": str(number)})
    handler = logging.getLogger("mien.flood").handlers[0]
    assert isinstance(handler, LimitedHandler)
    assert len(handler._buckets) <= logs.MAX_KINDS + 2
    assert sum(1 + line.get("suppressed", 0) for line in written() if line["message"] == "refused") > logs.MAX_KINDS


def test_a_kind_of_lines_that_was_known_before_too_many_came_keeps_its_own_rate(written: Callable[[], Lines]) -> None:
    for number in (*range(2 * logs.MAX_KINDS), 0):
        logging.getLogger("mien.flood").warning("refused", extra={"error": str(number)})
    assert [line["error"] for line in written() if "error" in line].count("0") == 2


# What a server writes


def ask(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_every_request_has_its_place_in_log_and_metrics(tmp_path: Path) -> None:
    with served(tmp_path) as (address, process):
        port = int(address.rpartition(":")[2])
        assert b" 400 " in ask(port, b"SECRET \x00\r\n\r\n")
        assert b" 404 " in ask(port, b"GET /SECRET HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert b" 405 " in ask(port, b"SECRET /users HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert b" 403 " in ask(port, b"GET /users HTTP/1.1\r\nHost: SECRET\r\nConnection: close\r\n\r\n")
        head = b"POST /upload?user_id=SECRET HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n"
        ask(port, head + b"Content-Length: 1000\r\n\r\nSECRET")
        for target in ("ListCollections", "SECRET"):
            post(address, b'{"SECRET": "SECRET\\n"}', target)
        assert httpx.get(f"{address}/static/app.js", timeout=60).status_code in {200, 404}
        text = httpx.get(f"{address}/metrics", timeout=60).text
        process.terminate()
        assert process.stderr is not None
        lines = [json.loads(line) for line in process.stderr]
    assert "SECRET" not in json.dumps(lines)
    assert "SECRET" not in text
    requests = [line for line in lines if line["message"] == "request"]
    told = [(line["method"], line["route"], line["status"], line.get("operation")) for line in requests]
    assert told == [
        ("other", "malformed", 400, None),
        ("GET", "unknown", 404, None),
        ("other", "/users", 405, None),
        ("GET", "/users", 403, None),
        ("POST", "/upload", 499, None),
        ("POST", "/", 200, "ListCollections"),
        ("POST", "/", 400, "other"),
        ("GET", "/static", told[7][2], None),
        ("GET", "/metrics", 200, None),
    ]
    assert not [line for line in lines if line["level"] == "error"]
    assert 'mien_requests_total{method="other",route="malformed",status="400"} 1.0' in text
    assert 'mien_requests_total{method="POST",route="/upload",status="499"} 1.0' in text
    assert 'mien_operations_total{operation="ListCollections",status="200"} 1.0' in text
    assert 'mien_operations_total{operation="other",status="400"} 1.0' in text


def test_bytes_and_key_stand_in_the_line(
    open_service: Callable[..., Service], tmp_path: Path, caplog: pytest.LogCaptureFixture, robert: list[bytes]
) -> None:
    key = KeyFile(tmp_path / "keys.json").create("door", KeyScope)
    service = open_service(settings=Settings(api_keys_file=tmp_path / "keys.json"))
    with caplog.at_level(logging.INFO, "mien.access"):
        service.client.post("/detect", content=robert[0], headers=JPEG)
        answer = service.client.post("/detect", content=robert[0], headers=JPEG | {"X-Api-Key": key})
    refused, answered = (record.__dict__ for record in caplog.records if record.message == "request")
    assert (refused["status"], "key_id" in refused) == (401, False)
    assert (answered["status"], answered["key_id"]) == (200, key.split("_")[1])
    assert (answered["bytes_in"], answered["bytes_out"]) == (len(robert[0]), len(answer.content))


@pytest.mark.parametrize("raised", [None, RuntimeError("SECRET")])
def test_who_hangs_up_is_no_error_of_the_server(caplog: pytest.LogCaptureFixture, raised: Exception | None) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if raised:
            raise raised

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_: Message) -> None:
        pytest.fail("there is nobody to answer")

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    with caplog.at_level(logging.INFO, "mien.access"), suppress(RuntimeError):
        asyncio.run(TelemetryMiddleware(app, Metrics({}))(scope, receive, send))
    assert [record.__dict__["status"] for record in caplog.records] == [499]


def test_the_time_that_a_client_takes_to_read_is_not_the_servers(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(telemetry.time, "perf_counter", lambda: now[0])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        now[0] += 0.5
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a photo"})

    async def receive() -> Message:
        pytest.fail("nothing is received")

    async def send(message: Message) -> None:
        now[0] += 60 if message["type"] == "http.response.body" else 0

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    with caplog.at_level(logging.INFO, "mien.access"):
        asyncio.run(TelemetryMiddleware(app, Metrics({}))(scope, receive, send))
    assert [record.__dict__["ms"] for record in caplog.records] == [500.0]
