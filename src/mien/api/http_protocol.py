"""Speak HTTP/1.1 as uvicorn does, with a deadline for each phase of a connection.

uvicorn has no deadline but that of idle connections.
"""

from __future__ import annotations

from asyncio import TimerHandle
from contextvars import Context
from enum import Enum
from http import HTTPStatus
from typing import Any

import h11
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol

from mien.api.connections import Connection, Connections
from mien.api.http_parser import Parser
from mien.security.bodies import discard
from mien.security.origins import TRUST

HEADER_SECONDS = 10.0
BODY_SECONDS = 75.0
"""More than the application gives a body, so that the client is told."""

LINGER_SECONDS = 30.0
"""How long a body is still taken and thrown away after the answer, so that the client gets to read the answer."""

DOWNLOAD_SECONDS = 300.0
_PIECE_BYTES = 256 * 1024
"""Of a body, that are handed on at once."""


class Phase(Enum):
    """What a connection waits for."""

    REQUEST = "the first byte of a request"
    HEADERS = "the end of the headers"
    BODY = "the end of the body"
    ANSWER = "the application"
    LEFTOVER = "the end of a body that was answered before"


class _FlowWithoutContext(FlowControl):
    """Goes on reading in no context: asyncio keeps that of who wants more, with a request and its body in it."""

    def resume_reading(self) -> None:
        Context().run(super().resume_reading)


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it, with a deadline for each phase of a connection."""

    def __init__(self, connections: Connections, **uvicorns: Any) -> None:
        """Speak on one connection of `connections`; `uvicorns` are the arguments that uvicorn gives to a protocol."""
        super().__init__(**uvicorns)
        self.conn = self._parser = Parser()
        self.app = self._with_connection(self.app)
        self._connections = connections
        self._phase, self._until = Phase.REQUEST, 0.0
        self._timer: TimerHandle | None = None
        self._connection: Connection | None = None
        self._answered_at = self.loop.time()

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.flow = _FlowWithoutContext(transport)
        self._connection = self._connections.at(transport.get_extra_info("socket").fileno())
        if self._connection is not None:
            self._connection.abort = transport.abort
        self._expire_after(self._seconds(self._phase))

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._enter(self._present_phase())

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, unless it comes behind an answer: then nothing can be said any more."""
        try:
            if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
                super().send_400_response(msg)
        except h11.LocalProtocolError:  # an answer to HEAD has no body; uvicorn gives it one
            self._give_out_head()
        self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._connection is not None:
            self._connections.wait(self._connection)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._connection is not None and self._phase is Phase.ANSWER:
            self._connections.work(self._connection)

    def on_response_complete(self) -> None:
        """Go on with the connection without the context of the request that was answered."""
        Context().run(self._go_on)

    def _go_on(self) -> None:
        self._answered_at = self.loop.time()
        super().on_response_complete()
        self._unset_keepalive_if_required()  # `_timer` takes its place
        self._enter(self._present_phase(), anew=True)

    def _present_phase(self) -> Phase:
        is_sending = self.conn.their_state is h11.SEND_BODY
        if self.cycle is not None and not self.cycle.response_complete:
            return Phase.BODY if is_sending else Phase.ANSWER
        if is_sending:
            return Phase.LEFTOVER
        return Phase.HEADERS if self.conn.trailing_data[0] else Phase.REQUEST

    def _enter(self, phase: Phase, *, anew: bool = False) -> None:
        if phase is self._phase and not anew:
            return
        self._phase = phase
        self._expire_after(self._seconds(phase))
        if self._connection is None:
            return
        if phase is Phase.ANSWER and not self.flow.write_paused:
            self._connections.work(self._connection)
        elif anew:
            self._connections.wait(self._connection)

    def _seconds(self, phase: Phase) -> float:
        match phase:
            case Phase.REQUEST:
                return self.timeout_keep_alive
            case Phase.HEADERS:
                return HEADER_SECONDS
            case Phase.BODY:
                return BODY_SECONDS
            case Phase.ANSWER:
                return DOWNLOAD_SECONDS
            case Phase.LEFTOVER:
                return LINGER_SECONDS

    def _expire_after(self, seconds: float) -> None:
        """Set the deadline. A timer that comes before it stays, as most do: each request has several deadlines."""
        self._until = self.loop.time() + seconds
        if self._timer is None or self._until < self._timer.when():
            self._stop_timer()
            self._timer = self.loop.call_at(self._until, self._look)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if (seconds := self._until - self.loop.time()) > 0:
            self._expire_after(seconds)
        else:
            self._expire()

    def _expire(self) -> None:
        is_taking = self.transport.get_write_buffer_size() > 0
        if self._phase is Phase.ANSWER and not is_taking:  # the application's own time is not limited here
            self._enter(Phase.ANSWER, anew=True)
        elif is_taking and self.loop.time() - self._answered_at < DOWNLOAD_SECONDS:
            self._expire_after(self._seconds(self._phase))
        else:
            self.transport.abort()

    def _with_connection(self, app: Any) -> ASGIApp:
        async def with_connection(scope: Scope, receive: Receive, send: Send) -> None:
            scope[TRUST] = self._trust
            send = self._in_pieces(send)
            is_last = self.conn.they_are_waiting_for_100_continue or _has_two_lengths(scope)
            if is_last:
                send = _closing(send)
            elif _closes(scope):
                send = self._after_body(receive, send)
            try:
                await app(scope, receive, send)
            finally:
                self._give_out_head()

        return with_connection

    def _in_pieces(self, send: Send) -> Send:
        """Hand on a large answer as its client takes it, so that it is known how much of it is left in memory."""

        async def in_pieces(message: Message) -> None:
            body, connection = message.get("body", b""), self._connection
            if connection is None or len(body) <= _PIECE_BYTES:
                await send(message)
                if message["type"] == "http.response.start":
                    self.loop.call_soon(self._give_out_head)
                return
            try:
                for start in range(0, len(body), _PIECE_BYTES):
                    if connection.on_close is None:
                        return
                    self._connections.hold(connection, len(body) - start)
                    piece = body[start : start + _PIECE_BYTES]
                    has_more = start + len(piece) < len(body) or message.get("more_body", False)
                    await send({**message, "body": piece, "more_body": has_more})
            finally:
                self._connections.hold(connection, 0)

        return in_pieces

    def _after_body(self, receive: Receive, send: Send) -> Send:
        """Take the rest of the body before an answer ends, which a connection closed with bytes unread would lose.

        All bytes of the answer are sent at once: a client may wait for them before it sends its body. Where the
        connection stays, the rest is taken after the answer. A body that was too slow is not awaited again.
        """
        is_late = False

        async def after_body(message: Message) -> None:
            nonlocal is_late
            if message["type"] == "http.response.start":
                is_late = message["status"] == HTTPStatus.REQUEST_TIMEOUT
            elif not (message.get("more_body", False) or is_late) and self.conn.their_state is h11.SEND_BODY:
                await send({**message, "more_body": True})
                await discard(receive)
                message = {"type": "http.response.body"}
            await send(message)

        return after_body

    def _give_out_head(self) -> None:
        """Send the head of an answer of which no body followed at once."""
        if head := self._parser.take_head():
            self.transport.write(head)

    def _trust(self) -> None:
        if self._connection is not None:
            self._connections.trust(self._connection)


def _closes(scope: Scope) -> bool:
    """Return whether the connection closes after the answer, as the client wishes or its HTTP/1.0 has it."""
    options = b",".join(value for name, value in scope["headers"] if name == b"connection").lower().split(b",")
    return scope["http_version"] == "1.0" or b"close" in {option.strip() for option in options}


def _has_two_lengths(scope: Scope) -> bool:
    """Return whether a request says twice how long it is, so that a proxy may see another end (RFC 9112, 6.1)."""
    return {b"content-length", b"transfer-encoding"} <= {name for name, _ in scope["headers"]}


def _closing(send: Send) -> Send:
    """Announce the end of the connection in an answer, as where that comes before the body (RFC 9110, 10.1.1)."""

    async def closing(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
        await send(message)

    return closing
