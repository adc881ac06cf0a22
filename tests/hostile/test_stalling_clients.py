"""Clients that connect and wait, or send half of what they announced, take nothing from those who have a key."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from mien.api.connections import MAX_PER_CLIENT
from mien.security.api_keys import KeyFile, Scope
from tests.hostile.sockets import Server
from tests.support.painter import photo_of
from tests.support.process import PATIENCE_SECONDS, wait_for

STRANGER = "127.0.0.2"
"""An address of its own: 127.0.0.1 is trusted as a proxy, behind which there are many clients."""

HALF_BODY = (
    b"POST /detect HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/jpeg\r\nContent-Length: 9999\r\n\r\n\xff\xd8"
)
STALLED = (
    b"",
    b"G",
    b"GET /users HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
    HALF_BODY,
    b"POST /detect HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\nx",
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Amz-Target: RekognitionService.X\r\nContent-Length: 99\r\n\r\n{",
)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    folder = tmp_path_factory.mktemp("stalled")
    key = KeyFile(folder / "data" / "api-keys.json").create("honest", list(Scope))
    server = Server(folder)
    yield server, key
    server.process.terminate()
    server.process.wait()


def honest_answer(server: Server, key: str) -> int:
    url = f"http://127.0.0.1:{server.port}/detect"
    headers = {"X-Api-Key": key, "Content-Type": "image/jpeg"}
    answer = httpx.post(url, content=photo_of("Ada"), headers=headers, timeout=PATIENCE_SECONDS)
    assert answer.status_code == 200, answer.text
    return len(answer.json()["faces"])


def connect(server: Server, sent: bytes) -> socket.socket:
    stalled = socket.create_connection(("127.0.0.1", server.port), source_address=(STRANGER, 0))
    stalled.sendall(sent)
    stalled.setblocking(False)
    return stalled


def is_closed(stalled: socket.socket) -> bool:
    try:
        return stalled.recv(65536) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


@pytest.mark.parametrize("sent", STALLED)
def test_whoever_has_a_key_is_served_beside_a_flood_of_stalled_connections(
    key: tuple[Server, str], sent: bytes
) -> None:
    server, honest = key
    with ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(connect(server, sent))
        assert honest_answer(server, honest) == 1


@pytest.mark.parametrize("more", [{}, {"X-Amz-Target": "RekognitionService.ListFaces"}], ids=["REST", "wire API"])
def test_a_client_that_closes_after_a_body_that_is_too_large_reads_the_answer(
    key: tuple[Server, str], more: dict[str, str]
) -> None:
    server, _ = key
    path = "/" if more else "/detect"
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_SECONDS)
    headers = {"Content-Type": "image/jpeg", "Connection": "close", **more}
    connection.request("POST", path, bytes(40_000_000), headers)
    assert connection.getresponse().status == 413


def test_one_address_has_so_many_connections_and_the_oldest_make_room(key: tuple[Server, str]) -> None:
    server, honest = key
    too_many = 40
    with ExitStack() as stack:
        stalled = [stack.enter_context(connect(server, b"")) for _ in range(MAX_PER_CLIENT + too_many)]
        wait_for(lambda: all(is_closed(one) for one in stalled[:too_many]))
        assert not any(is_closed(one) for one in stalled[too_many:])
        assert honest_answer(server, honest) == 1


def test_the_log_stays_short_and_readable(key: tuple[Server, str], tmp_path: Path) -> None:
    server, honest = key
    for _ in range(2):
        with ExitStack() as stack:
            for _ in range(MAX_PER_CLIENT + 10):
                stack.enter_context(connect(server, b""))
            assert honest_answer(server, honest) == 1
    lines = server.log.read_text("utf-8").splitlines()
    assert len([line for line in lines if "too many connections" in line]) == 1
