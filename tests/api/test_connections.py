"""What clients can take by connections: deadlines for every phase, a limit that spares whoever has shown a key."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import resource
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from weakref import WeakSet, ref

import h11
import httpx
import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mien.api import connections, http_protocol, untaken
from mien.api.connections import SEND_BUFFER_BYTES, Connections, Listener, bounded
from mien.api.http_parser import Parser
from mien.api.http_protocol import BoundedProtocol
from mien.security import bodies
from mien.security.origins import TRUST
from tests.cli.test_listening import write_certificate
from tests.support.process import PATIENCE_SECONDS, wait_for


class Trace:
    """What a request leaves in its context, for as long as anything keeps that."""


trace: ContextVar[Trace | None] = ContextVar("trace", default=None)
inherited: list[bool] = []
left: WeakSet[Trace] = WeakSet()
begun: list[str] = []
ended: list[BoundedProtocol] = []
"""The connections over which nothing more comes."""


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers /early before the body is read, anything else after it; a key is an X-Api-Key of any kind.

    Of the answer to /head the head comes before the request's body is read, and at /failure nothing after it. /last is
    answered once a client has said that it sends nothing more.
    """
    request = Request(scope, receive)
    begun.append(scope["path"])
    if scope["path"] in {"/head", "/failure"}:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        assert scope["path"] != "/failure"
        await request.body()
        await send({"type": "http.response.body", "body": b"xx"})
        return
    if "x-api-key" in request.headers:
        scope[TRUST]()
    if scope["path"] == "/trace":
        inherited.append(trace.get() is not None)
        trace.set(Trace())
        left.add(trace.get() or Trace())
    if scope["path"] != "/early":
        await request.body()
    while scope["path"] == "/last" and not ended:
        await asyncio.sleep(0.01)
    status, size = (401 if scope["path"] == "/early" else 200), int(request.query_params.get("bytes", 2))
    await Response(b"x" * size, status)(scope, receive, send)


class Server:
    def __init__(self, port: int, listener: Listener) -> None:
        self.port, self.listener = port, listener

    @property
    def count(self) -> int:
        return len(self.listener.connections._open)


Serve = Callable[..., Server]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def serve(stack: ExitStack) -> Serve:
    def serve(most: int = 100, per_client: int = 100, keep_alive: float = 60, **more: object) -> Server:
        listener = bounded(socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP), lambda _: False)
        listener.bind(("127.0.0.1", 0))
        listener.connections = Connections(most, per_client, lambda _: False)
        protocol = partial(BoundedProtocol, listener.connections)
        config = uvicorn.Config(
            app, http=protocol, ws="none", lifespan="off", log_level="warning", timeout_keep_alive=keep_alive, **more
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        wait_for(lambda: server.started)

        def stop() -> None:
            server.should_exit = server.force_exit = True
            thread.join(PATIENCE_SECONDS)
            listener.close()

        stack.callback(stop)
        return Server(listener.getsockname()[1], listener)

    return serve


@pytest.fixture
def connect(stack: ExitStack) -> Callable[..., socket.socket]:
    def connect(server: Server, sent: bytes = b"") -> socket.socket:
        connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_SECONDS))
        connection.sendall(sent)
        return connection

    return connect


GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
KEYED = b"GET / HTTP/1.1\r\nHost: h\r\nX-Api-Key: k\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nx"
EARLY = b"POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nx"


def status(connection: socket.socket) -> int:
    """Read one whole answer and return its status."""
    connection.settimeout(PATIENCE_SECONDS)
    received = b""
    while not (found := re.fullmatch(rb"HTTP/1.1 (\d+).*?content-length: (\d+).*?\r\n\r\n(.*)", received, re.S)) or (
        len(found[3]) < int(found[2])
    ):
        more = connection.recv(65_536)
        assert more, "the connection ended"
        received += more
    return int(found[1])


def is_closed(connection: socket.socket) -> bool:
    connection.settimeout(PATIENCE_SECONDS)
    try:
        while connection.recv(65_536):
            pass
    except ConnectionError:
        pass
    return True


def is_open(connection: socket.socket) -> bool:
    connection.settimeout(0.05)
    try:
        return connection.recv(1, socket.MSG_PEEK) != b""
    except TimeoutError:
        return True
    except ConnectionError:
        return False


@pytest.mark.parametrize(
    ("deadline", "sent"),
    [
        ("HEADER_SECONDS", b"GET"),
        ("HEADER_SECONDS", GET[:-2]),
        ("HEADER_SECONDS", GET + b"G"),
        ("BODY_SECONDS", POST),
        ("BODY_SECONDS", GET + POST),
        ("LINGER_SECONDS", EARLY),
    ],
)
def test_what_is_not_sent_in_time_ends_the_connection(
    serve: Serve, connect: Callable[..., socket.socket], monkeypatch: pytest.MonkeyPatch, deadline: str, sent: bytes
) -> None:
    monkeypatch.setattr(http_protocol, deadline, 0.2)
    server = serve()
    assert is_closed(connect(server, sent))
    wait_for(lambda: server.count == 0)


@pytest.mark.parametrize("sent", [b"", GET, EARLY + b"x" * 99, b"\r\n"])
def test_an_idle_connection_ends(serve: Serve, connect: Callable[..., socket.socket], sent: bytes) -> None:
    server = serve(keep_alive=0.2)
    assert is_closed(connect(server, sent))


@pytest.mark.parametrize(("deadline", "start"), [("HEADER_SECONDS", GET[:-2]), ("LINGER_SECONDS", EARLY)])
def test_a_byte_now_and_then_does_not_move_a_deadline(
    serve: Serve, connect: Callable[..., socket.socket], monkeypatch: pytest.MonkeyPatch, deadline: str, start: bytes
) -> None:
    monkeypatch.setattr(http_protocol, deadline, 0.3)
    connection = connect(serve(), start)

    def drip() -> bool:
        try:
            connection.sendall(b"x")
        except ConnectionError:
            return True
        return False

    wait_for(drip)


@pytest.mark.parametrize("sends_no_more", [False, True])
def test_whoever_does_not_read_is_given_up(
    serve: Serve, connect: Callable[..., socket.socket], monkeypatch: pytest.MonkeyPatch, sends_no_more: bool
) -> None:
    monkeypatch.setattr(http_protocol, "DOWNLOAD_SECONDS", 0.3)
    server = serve(keep_alive=0.2)
    connection = connect(server, b"GET /?bytes=50000000 HTTP/1.1\r\nHost: h\r\n\r\n")
    assert connection.recv(1, socket.MSG_PEEK)
    if sends_no_more:
        connection.shutdown(socket.SHUT_WR)  # upon which asyncio begins to close the connection
    wait_for(lambda: server.count == 0)


@pytest.mark.parametrize("sent", [b"", GET[:-2], POST, GET])
def test_a_deadline_holds_also_after_a_handshake_that_took_longer(
    serve: Serve, connect: Callable[..., socket.socket], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sent: bytes
) -> None:
    for deadline in ("HEADER_SECONDS", "BODY_SECONDS"):
        monkeypatch.setattr(http_protocol, deadline, 0.2)
    cert, key = write_certificate(tmp_path, "one")
    server = serve(keep_alive=0.2, ssl_certfile=cert, ssl_keyfile=key)
    plain = connect(server)
    wait_for(lambda: server.count == 1)
    time.sleep(0.4)
    context = ssl.create_default_context(cafile=str(cert))
    with context.wrap_socket(plain, server_hostname="localhost") as connection:
        connection.sendall(sent)
        assert is_closed(connection)


def test_the_head_of_an_answer_does_not_wait_for_a_body_that_comes_later(
    serve: Serve, connect: Callable[..., socket.socket]
) -> None:
    connection = connect(serve(), b"POST /head HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nx")
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    assert head.startswith(b"HTTP/1.1 200")
    connection.sendall(b"x" * 99)
    assert connection.recv(10) == b"xx"


def test_an_answer_that_fails_after_its_head_has_a_head(serve: Serve, connect: Callable[..., socket.socket]) -> None:
    connection = connect(serve(), b"GET /failure HTTP/1.1\r\nHost: h\r\n\r\n")
    answer = b"".join(iter(lambda: connection.recv(1000), b""))
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"\r\n\r\n")


def test_a_malformed_body_of_a_head_request_is_refused(
    serve: Serve, connect: Callable[..., socket.socket], caplog: pytest.LogCaptureFixture
) -> None:
    connection = connect(serve(), b"HEAD / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    answer = b"".join(iter(lambda: connection.recv(1000), b""))
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.endswith(b"\r\n\r\n")
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_a_body_that_was_answered_early_may_end_and_the_connection_goes_on(
    serve: Serve, connect: Callable[..., socket.socket]
) -> None:
    connection = connect(serve(), EARLY)
    assert status(connection) == 401
    connection.sendall(b"x" * 99 + GET)
    assert status(connection) == 200


@pytest.mark.parametrize("head", [b"HTTP/1.1\r\nConnection: close", b"HTTP/1.0"], ids=["close", "HTTP/1.0"])
def test_a_client_that_waits_with_its_body_is_refused_at_once(
    serve: Serve, connect: Callable[..., socket.socket], monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    monkeypatch.setattr(bodies, "DISCARD_SECONDS", 3600)
    connection = connect(serve(), b"POST /early?bytes=9 %s\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n" % head)
    assert status(connection) == 401
    connection.sendall(bytes(1_000_000))  # is taken: the connection was not closed with the answer
    assert connection.recv(1) == b""


@pytest.mark.parametrize("more", [b"", b"Connection: close\r\n"])
def test_a_body_that_turns_out_malformed_after_its_answer_ends_the_connection(
    serve: Serve, connect: Callable[..., socket.socket], caplog: pytest.LogCaptureFixture, more: bytes
) -> None:
    server = serve()
    connection = connect(server, b"POST /early HTTP/1.1\r\nHost: h\r\n%sTransfer-Encoding: chunked\r\n\r\n" % more)
    assert status(connection) == 401
    connection.sendall(b"no chunk\r\n")
    assert is_closed(connection)
    wait_for(lambda: server.count == 0)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_the_body_is_not_asked_for_when_the_answer_is_known(
    serve: Serve, connect: Callable[..., socket.socket]
) -> None:
    expecting = b"POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n"
    server = serve()
    refused = connect(server, expecting % b"/early")
    answer = b""
    while more := refused.recv(1000):
        answer += more
    assert answer.startswith(b"HTTP/1.1 401")
    assert b"connection: close" in answer.lower()
    taken = connect(server, expecting % b"/")
    assert taken.recv(1000).startswith(b"HTTP/1.1 100")
    taken.sendall(b"x")
    assert taken.recv(1000).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("sent", [b"", b"GET /", POST, GET, EARLY])
def test_when_full_the_stranger_who_waits_longest_goes(
    serve: Serve, connect: Callable[..., socket.socket], sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(most=5)
    with caplog.at_level(logging.WARNING):
        keyed = connect(server, KEYED)
        assert status(keyed) == 200
        strangers = []
        for _ in range(4):  # one after another, and each begins to wait anew when it has its answer
            strangers.append(connect(server, sent))
            if sent in {GET, EARLY}:
                assert status(strangers[-1]) in {200, 401}
        wait_for(lambda: server.count == 5)
        for number in range(4):
            newest = connect(server, GET)
            assert status(newest) == 200
            assert is_closed(strangers[number])
            assert is_open(newest)
        assert is_open(keyed)
        keyed.sendall(KEYED)
        assert status(keyed) == 200
    assert caplog.text.count("too many connections") == 1


def test_a_keyed_client_is_spared_also_while_it_sends_its_body(
    serve: Serve, connect: Callable[..., socket.socket]
) -> None:
    server = serve(most=3)
    keyed = connect(server, b"POST / HTTP/1.1\r\nHost: h\r\nX-Api-Key: k\r\nContent-Length: 2\r\n\r\nx")
    wait_for(lambda: any(one.is_trusted for one in server.listener.connections._open.values()))
    for _ in range(10):
        connect(server)
    keyed.sendall(b"x")
    assert status(keyed) == 200


def test_of_keyed_clients_the_one_that_waits_longest_goes(serve: Serve, connect: Callable[..., socket.socket]) -> None:
    server = serve(most=2)
    first, second = (connect(server, KEYED) for _ in range(2))
    assert [status(one) for one in (first, second)] == [200, 200]
    first.sendall(KEYED)
    assert status(first) == 200
    third = connect(server, KEYED)
    assert status(third) == 200
    assert is_closed(second)
    assert is_open(first)


def test_one_client_has_its_own_limit_and_a_proxy_has_none(stack: ExitStack) -> None:
    held = Connections(100, 2, lambda address: address == "10.0.0.1")

    def arrive(address: str) -> connections.Connection:
        one, other = socket.socketpair()
        stack.enter_context(other)
        connection = stack.enter_context(connections.Connection(one.family, one.type, one.proto, one.detach()))
        assert held.add(connection, address)
        return connection

    stranger = [arrive("192.0.2.7") for _ in range(3)]
    network = [arrive(f"2001:db8::{number}") for number in range(3)]
    other, mapped = arrive("2001:db8:0:1::1"), [arrive(f"::ffff:192.0.2.{number}") for number in range(3)]
    proxy = [arrive("10.0.0.1") for _ in range(10)]
    assert not any(one.fileno() in held._open for one in (stranger[0], network[0]))
    assert all(one.fileno() in held._open for one in (*stranger[1:], *network[1:], other, *mapped, *proxy))
    for one in (*stranger, *network, other, *mapped, *proxy):
        one.close()
    assert (held._open, held._of_client, list(held._waiting[False])) == ({}, {}, [])


def test_of_a_clients_answers_the_one_that_stands_still_goes(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(untaken, "MAX_UNTAKEN_BYTES", 100)
    held = Connections(10, 10, lambda _: False)
    pairs = [[stack.enter_context(end) for end in socket.socketpair()] for _ in range(3)]
    reading, still, new = [
        stack.enter_context(connections.Connection(one.family, one.type, one.proto, one.detach())) for one, _ in pairs
    ]
    for connection in (reading, still, new):
        assert held.add(connection, "192.0.2.7")
    for connection, size in ((reading, 60), (still, 30), (reading, 45), (new, 40)):
        connection.untaken_here = partial(int, size)
        held.hold(connection)
    assert list(held._open) == [reading.fileno(), new.fileno()]


def test_what_was_read_meanwhile_closes_no_connection(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(untaken, "MAX_UNTAKEN_BYTES", 100)
    held = Connections(10, 10, lambda _: False)
    pairs = [[stack.enter_context(end) for end in socket.socketpair()] for _ in range(2)]
    first, second = [
        stack.enter_context(connections.Connection(one.family, one.type, one.proto, one.detach())) for one, _ in pairs
    ]
    for connection in (first, second):
        assert held.add(connection, "192.0.2.7")
        connection.untaken_here = lambda: 80
        held.hold(connection)
        connection.untaken_here = lambda: 0
    assert len(held._open) == 2


def test_a_client_that_has_gone_makes_room_too(stack: ExitStack) -> None:
    held = Connections(1, 1, lambda _: True)
    unconnected = partial(connections.Connection, socket.AF_INET, socket.SOCK_STREAM)  # as after a client's reset
    gone, new = (stack.enter_context(unconnected()) for _ in range(2))
    assert held.add(gone, "10.0.0.1")
    assert held.add(new, "10.0.0.1")
    assert list(held._open) == [new.fileno()]


def test_a_handshake_that_stalls_is_a_connection_too(
    serve: Serve, connect: Callable[..., socket.socket], tmp_path: Path
) -> None:
    cert, key = write_certificate(tmp_path, "one")
    server = serve(most=3, ssl_certfile=cert, ssl_keyfile=key)
    stalled = [connect(server, b"\x16\x03\x01") for _ in range(3)]
    wait_for(lambda: server.count == 3)
    context = ssl.create_default_context(cafile=str(cert))
    for _ in range(3):
        answer = httpx.get(f"https://localhost:{server.port}/", verify=context, timeout=PATIENCE_SECONDS)
        assert answer.status_code == 200
    assert is_closed(stalled[0])
    assert server.count <= 3


def test_a_server_takes_as_many_files_as_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [(1024, 20_000)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: limits.append(wanted))
    with bounded(socket.socket(), lambda _: False) as listener:
        assert (limits[-1], listener.connections._max) == ((20_000, 20_000), 10_000)
    limits.append((256, 600))
    with bounded(socket.socket(), lambda _: False) as listener:
        assert (limits[-1], listener.connections._max) == ((600, 600), 300)


def chunked(path: str, chunk: bytes, count: int) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n".encode()
    return head + b"%x\r\n%s\r\n" % (len(chunk), chunk) * count


@pytest.mark.parametrize("path", ["/", "/early"])
def test_a_body_in_tiny_pieces_ends_the_connection(
    serve: Serve, connect: Callable[..., socket.socket], path: str
) -> None:
    server = serve()
    connection = connect(server, chunked(path, b"x", 500))

    def more() -> bool:
        try:
            connection.sendall(b"1\r\nx\r\n" * 500)
        except ConnectionError:
            return True
        return False

    wait_for(more)
    wait_for(lambda: server.count == 0)


@pytest.mark.parametrize("before", [b"", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"], ids=["alone", "behind another"])
def test_a_body_in_tiny_pieces_that_comes_with_its_headers_is_refused(
    serve: Serve, connect: Callable[..., socket.socket], before: bytes
) -> None:
    server = serve()
    connection = connect(server, before + chunked("/", b"x", 1000) + b"0\r\n\r\n")
    answers = b""
    while received := connection.recv(65536):
        answers += received
    statuses = [int(answer[:3]) for answer in answers.split(b"HTTP/1.1 ")[1:]]
    assert statuses[: before.count(b"GET")] == [200] * before.count(b"GET")
    assert set(statuses[before.count(b"GET") :]) <= {400}
    wait_for(lambda: server.count == 0)


@pytest.mark.parametrize(("chunk", "count"), [(b"x", 200), (b"\r\n" + b"x" * 1000, 1000), (b"x" * 10_000, 100)])
def test_a_body_in_usual_pieces_is_taken(
    serve: Serve, connect: Callable[..., socket.socket], chunk: bytes, count: int
) -> None:
    connection = connect(serve(), chunked("/", chunk, count) + b"0\r\n\r\n")
    assert status(connection) == 200


def test_a_request_leaves_nothing_to_its_connection_and_to_those_after_it(
    serve: Serve, connect: Callable[..., socket.socket]
) -> None:
    inherited.clear()
    body = b"x" * 2_000_000  # of which reading pauses
    connection = connect(serve(), b"POST /trace HTTP/1.1\r\nHost: h\r\nContent-Length: 2000000\r\n\r\n" + body)
    assert status(connection) == 200
    wait_for(lambda: gc.collect() >= 0 and not left)
    connection.sendall(GET.replace(b"/", b"/trace", 1) * 2)
    wait_for(lambda: len(inherited) == 3)
    assert inherited == [False, False, False]


def test_whoever_leaves_most_unread_goes_and_the_others_get_their_answers(
    serve: Serve, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(untaken, "MAX_UNTAKEN_BYTES", 50_000_000)
    server = serve()

    def ask(address: str) -> socket.socket:
        connection = stack.enter_context(socket.socket())
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # so that the system takes little of it
        connection.bind((address, 0))
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(b"GET /?bytes=20000000 HTTP/1.1\r\nHost: h\r\n\r\n")
        connection.recv(1, socket.MSG_PEEK)
        return connection

    greedy, honest, _, last = [ask(address) for address in ("127.0.0.2", "127.0.0.3", "127.0.0.2", "127.0.0.2")]
    wait_for(lambda: server.count == 2)
    assert is_closed(greedy)
    for reading in (honest, last):
        reading.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        assert status(reading) == 200


def test_when_full_whoever_does_not_read_goes_too(serve: Serve, connect: Callable[..., socket.socket]) -> None:
    server = serve(most=2)
    for _ in range(2):
        connect(server, b"GET /?bytes=50000000 HTTP/1.1\r\nHost: h\r\n\r\n" * 2)
    wait_for(lambda: len(server.listener.connections._waiting[False]) == 2)
    newest = connect(server, GET)
    assert status(newest) == 200


def test_an_answers_head_goes_out_with_the_first_bytes_of_its_body() -> None:
    parser = Parser()
    parser.receive_data(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
    for body in (b"first", b""):
        while not isinstance(parser.next_event(), h11.EndOfMessage):
            pass
        assert parser.send(h11.Response(status_code=200, headers=[("Content-Length", str(len(body)))])) == b""
        sent = [parser.send(event) for event in (*([h11.Data(data=body)] if body else []), h11.EndOfMessage())]
        assert sent[0].startswith(b"HTTP/1.1 200")
        assert sent[0].endswith(b"\r\n\r\n" + body)
        assert sent[1:] == [b""] * bool(body)
        parser.start_next_cycle()


def secured(server: Server, connection: socket.socket, certificate: Path) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(certificate))
    return context.wrap_socket(connection, server_hostname="localhost")


@pytest.mark.parametrize("has_tls", [False, True], ids=["plain", "TLS"])
def test_the_system_keeps_little_of_what_a_client_does_not_read_and_no_answer_is_made_ahead(
    serve: Serve, stack: ExitStack, tmp_path: Path, has_tls: bool
) -> None:
    cert, key = write_certificate(tmp_path, "one")
    server = serve(**({"ssl_certfile": cert, "ssl_keyfile": key} if has_tls else {}))

    def connect() -> socket.socket:
        plain = stack.enter_context(socket.socket())
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.connect(("127.0.0.1", server.port))
        return stack.enter_context(secured(server, plain, cert)) if has_tls else plain

    begun.clear()
    greedy = connect()
    greedy.sendall(b"GET /greedy?bytes=200000 HTTP/1.1\r\nHost: h\r\n\r\n" * 30)
    wait_for(lambda: bool(begun))
    for _ in range(20):  # each takes several rounds of the server's loop
        other = connect()
        other.sendall(GET)
        assert status(other) == 200
    assert begun.count("/greedy") <= 4
    (held,) = [one for one in server.listener.connections._open.values() if one.untaken() > 50_000]
    assert held.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * SEND_BUFFER_BYTES
    assert server.listener.connections._untaken._total > 50_000
    received = 0
    while received < 30 * 200_000:
        received += len(greedy.recv(65_536))
    assert begun.count("/greedy") == 30


def test_what_a_client_did_not_read_goes_with_its_connection(
    serve: Serve, connect: Callable[..., socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "DOWNLOAD_SECONDS", 0.3)
    server = serve(keep_alive=0.2)
    connection = connect(server, b"GET /?bytes=50000000 HTTP/1.1\r\nHost: h\r\n\r\n")
    wait_for(lambda: server.listener.connections._untaken._total > 0)
    wait_for(lambda: server.count == 0)
    with pytest.raises(ConnectionResetError):
        list(iter(lambda: connection.recv(1 << 20), b""))


def test_a_connection_over_tls_that_sends_garbage_tells_what_it_holds_and_can_be_ended(
    serve: Serve, connect: Callable[..., socket.socket], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[int] = []
    refuse = BoundedProtocol.send_400_response

    def send_400_response(protocol: BoundedProtocol, message: str) -> None:
        refuse(protocol, message)
        refused.append(protocol._unwritten())
        protocol._end()

    monkeypatch.setattr(BoundedProtocol, "send_400_response", send_400_response)
    cert, key = write_certificate(tmp_path, "one")
    server = serve(ssl_certfile=cert, ssl_keyfile=key)
    context = ssl.create_default_context(cafile=cert)
    with context.wrap_socket(connect(server), server_hostname="localhost") as connection:
        connection.sendall(b"garbage\r\n\r\n")
        wait_for(lambda: len(refused) == 1)
        wait_for(lambda: server.count == 0)


def test_nothing_of_a_connection_is_kept_once_it_has_closed(
    serve: Serve, connect: Callable[..., socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HANDSHAKE_SECONDS", 1000.0)
    closed: list[ref[BoundedProtocol]] = []
    lose = BoundedProtocol.connection_lost

    def connection_lost(protocol: BoundedProtocol, error: Exception | None) -> None:
        closed.append(ref(protocol))
        lose(protocol, error)

    monkeypatch.setattr(BoundedProtocol, "connection_lost", connection_lost)
    server = serve()
    for _ in range(3):
        connect(server, GET).close()
    wait_for(lambda: len(closed) == 3)
    wait_for(lambda: gc.collect() >= 0 and not any(each() for each in closed))


def test_whoever_waits_for_a_turn_makes_room(
    serve: Serve, connect: Callable[..., socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, waiting = serve(most=3), list[str]()

    async def never(client: str, _is_gone: Callable[[], bool]) -> None:
        waiting.append(client)
        await asyncio.Event().wait()

    monkeypatch.setattr(server.listener.connections.turns, "take", lambda: False)
    monkeypatch.setattr(server.listener.connections.turns, "wait", never)
    strangers = [connect(server, GET) for _ in range(3)]
    wait_for(lambda: len(waiting) == 3)
    newest = connect(server, GET)
    wait_for(lambda: len(waiting) == 4)
    wait_for(lambda: [is_open(one) for one in strangers].count(False) == 1)
    assert is_open(newest)
    wait_for(lambda: server.count == 3)


@pytest.mark.parametrize("more", [b"", b"GET /again HTTP/1.1\r\nHost: h\r\n\r\n"], ids=["one", "two"])
@pytest.mark.parametrize("head", [b"GET /last HTTP/1.1", b"POST /last HTTP/1.1\r\nContent-Length: 0"])
def test_a_client_that_sends_nothing_more_gets_its_answers(
    serve: Serve, connect: Callable[..., socket.socket], monkeypatch: pytest.MonkeyPatch, head: bytes, more: bytes
) -> None:
    ended.clear()
    receive_eof = BoundedProtocol.eof_received

    def eof_received(protocol: BoundedProtocol) -> bool:
        ended.append(protocol)
        return receive_eof(protocol)

    monkeypatch.setattr(BoundedProtocol, "eof_received", eof_received)
    server = serve()
    connection = connect(server, head + b"\r\nHost: h\r\n\r\n" + more)
    connection.shutdown(socket.SHUT_WR)
    if more:
        ended.append(BoundedProtocol.__new__(BoundedProtocol))  # whose end is not read before the first answer
    answers = b"".join(iter(lambda: connection.recv(1000), b""))
    assert answers.count(b"HTTP/1.1 200") == (2 if more else 1)
    wait_for(lambda: server.count == 0)


@pytest.mark.parametrize("sent", [b"", GET[:-2], POST])
def test_a_client_that_sends_nothing_more_where_there_is_nothing_to_answer_is_left(
    serve: Serve, connect: Callable[..., socket.socket], sent: bytes
) -> None:
    server = serve()
    connection = connect(server, sent)
    connection.shutdown(socket.SHUT_WR)
    assert is_closed(connection)
    wait_for(lambda: server.count == 0)


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c"])
def test_a_wish_for_another_protocol_is_no_reason_to_warn(
    serve: Serve,
    connect: Callable[..., socket.socket],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    protocol: bytes,
) -> None:
    head = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n" % protocol
    server = serve()
    monkeypatch.setattr(logging.getLogger("uvicorn"), "propagate", True)
    assert status(connect(server, head)) == 200
    assert [record.getMessage() for record in caplog.records if record.name.startswith("uvicorn")] == []


def test_one_empty_line_before_a_request_is_ignored(serve: Serve, connect: Callable[..., socket.socket]) -> None:
    server = serve()
    connection = connect(server, b"\r\n" + GET)
    assert status(connection) == 200
    connection.sendall(b"\r\n" + GET)
    assert status(connection) == 200
    assert connect(server, b"\r\n\r\n" + GET).recv(1000).startswith(b"HTTP/1.1 400")


def test_a_handshake_that_stalls_ends(
    serve: Serve, connect: Callable[..., socket.socket], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(connections, "HANDSHAKE_SECONDS", 0.2)
    cert, key = write_certificate(tmp_path, "one")
    server = serve(ssl_certfile=cert, ssl_keyfile=key)
    assert is_closed(connect(server, b"\x16\x03\x01"))


def test_a_connection_without_a_handshake_or_behind_it_stays(stack: ExitStack) -> None:
    one, other = (stack.enter_context(end) for end in socket.socketpair())
    connection = stack.enter_context(connections.Connection(one.family, one.type, one.proto, one.detach()))
    connection.abort = connection.close
    connection.end_unless_begun()
    assert is_open(other)


def test_what_is_left_of_a_body_is_not_taken_without_end(
    serve: Serve, connect: Callable[..., socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "MAX_DISCARDED_BYTES", 1_000_000)
    monkeypatch.setattr(http_protocol, "LINGER_SECONDS", 3600)
    connection = connect(serve(), b"POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 999999999\r\n\r\nx")
    assert status(connection) == 401
    with pytest.raises(ConnectionError):
        connection.sendall(bytes(500_000_000))
