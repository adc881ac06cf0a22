"""Clients that connect and wait, or send half of what they announced, take nothing from those who have a key."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import h11
import httpx
import pytest

from mien.api.connections import MAX_PER_CLIENT
from mien.api.http_parser import Parser
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


WIRE = {"X-Amz-Target": "RekognitionService.ListFaces", "Content-Type": "application/x-amz-json-1.1"}
SIGNED = {
    "X-Amz-Date": "20260101T000000Z",
    "Authorization": "AWS4-HMAC-SHA256 Credential=any/20260101/us-east-1/rekognition/aws4_request, "
    "SignedHeaders=host;x-amz-date, Signature=" + "0" * 64,
}
"""By any access key, which is enough on the server's own machine as long as it has none."""

CLOSING = ({"Connection": "close"}, {"Connection": "TE, Close"}, {})
"""Ways to say that the connection closes after the answer; HTTP/1.0 needs none."""


def status_after_whole_body(server: Server, headers: dict[str, str], size: int, *, chunked: bool = False) -> int:
    """Send a body whole before reading the answer; in HTTP/1.0 when there is no header `Connection`."""
    path = "/" if "X-Amz-Target" in headers else "/detect"
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_SECONDS)
    if "Connection" not in headers:
        connection._http_vsn_str = "HTTP/1.0"  # type: ignore[attr-defined]
    body = (bytes(1_000_000) for _ in range(size // 1_000_000)) if chunked else bytes(size)
    headers = {"Content-Type": "image/jpeg", **headers}
    connection.request("POST", path, body, headers, encode_chunked=chunked)
    return connection.getresponse().status


@pytest.mark.parametrize("closing", CLOSING, ids=["close", "among others", "HTTP/1.0"])
@pytest.mark.parametrize("more", [{}, WIRE], ids=["REST", "wire API"])
def test_a_client_that_closes_after_a_body_that_is_too_large_reads_the_answer(
    key: tuple[Server, str], more: dict[str, str], closing: dict[str, str]
) -> None:
    server, _ = key
    assert status_after_whole_body(server, {**closing, **more}, 40_000_000) == 413


@pytest.mark.parametrize("more", [{}, WIRE | SIGNED], ids=["REST", "wire API"])
def test_a_client_that_closes_after_chunks_that_are_too_many_reads_the_answer(
    tmp_path: Path, more: dict[str, str]
) -> None:
    server = Server(tmp_path)  # without keys, so that the bodies are read
    try:
        headers = {"Connection": "close", "Transfer-Encoding": "chunked", **more}
        assert status_after_whole_body(server, headers, 40_000_000, chunked=True) == 413
    finally:
        server.process.terminate()
        server.process.wait()


@pytest.mark.parametrize("size", [5_000_000, 14_000_000])
@pytest.mark.parametrize(
    ("credentials", "status"),
    [({}, 401), ({"X-Api-Key": "wrong"}, 401), (WIRE, 400)],
    ids=["no key", "wrong key", "unsigned"],
)
def test_a_client_that_closes_reads_that_it_may_not_send_its_photo(
    key: tuple[Server, str], credentials: dict[str, str], status: int, size: int
) -> None:
    server, _ = key
    assert status_after_whole_body(server, {"Connection": "close", **credentials}, size) == status


def test_a_body_is_not_taken_without_end_before_the_answer(key: tuple[Server, str]) -> None:
    server, _ = key
    head = b"POST /detect HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: 999999999\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_SECONDS) as endless:
        endless.sendall(head)
        with pytest.raises(ConnectionError):
            endless.sendall(bytes(500_000_000))


MANY = b"".join(b"x%d: 1\r\n" % number for number in range(200))
LONG = b"X-Long: " + b"x" * 20_000 + b"\r\n"


@pytest.mark.parametrize("headers", [MANY, LONG], ids=["many", "long"])
@pytest.mark.parametrize("is_behind_body", [False, True], ids=["before a body", "behind a body in chunks"])
def test_many_or_long_headers_are_refused_also_where_they_come_at_once(headers: bytes, is_behind_body: bool) -> None:
    parser = Parser()
    head = b"POST /detect HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n"
    parser.receive_data(head + (b"\r\n0\r\n" + headers if is_behind_body else headers) + b"\r\n")
    if is_behind_body:
        assert isinstance(parser.next_event(), h11.Request)
    with pytest.raises(h11.RemoteProtocolError):
        parser.next_event()


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
    told = [line for line in lines if "too many connections, or too few that are read from" in line]
    assert 1 <= len(told) < 10  # one a minute, of hundreds of connections that were closed
