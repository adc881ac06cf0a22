"""Speak HTTP/1.1 as uvicorn does, with a deadline for each phase of a connection.

uvicorn has no deadline but that of idle connections.
"""

from __future__ import annotations

from asyncio import TimerHandle
from contextvars import Context
from enum import Enum
from typing import Any

import h11
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol

from mien.api.connections import Connection, Connections
from mien.api.http_endings import after_body, closes, closing, has_two_lengths
from mien.api.http_parser import Parser
from mien.security.bodies import MAX_DISCARDED_BYTES
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
        self._transports: tuple[Any, ...] = ()
        self._rest = self._leftover = 0
        self._is_next_due = self._has_ended = False
        self._answered_at = self.loop.time()

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.flow = _FlowWithoutContext(transport)
        below_tls = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None)
        self._transports = (transport,) if below_tls is None else (transport, below_tls)
        for each in self._transports:  # nothing more is written while anything waits for the client
            each.set_write_buffer_limits(high=1, low=0)
        self._connection = self._connections.at(transport.get_extra_info("socket").fileno())
        if self._connection is not None:
            self._connection.abort, self._connection.untaken_here = self._transports[-1].abort, self._untaken
        self._expire_after(self._seconds(self._phase))

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._leftover = self._leftover + len(data) if self._phase is Phase.LEFTOVER else 0
        if self._leftover > MAX_DISCARDED_BYTES:
            self._end()
            return
        super().data_received(data)
        self._enter(self._present_phase())

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep a connection whose client sends no more until its requests are answered; TLS cannot do that."""
        self._has_ended = True
        return self.scheme == "http" and (self._phase is Phase.ANSWER or self._is_next_due)

    def _should_upgrade(self) -> bool:
        return False  # nor warn for each request, as uvicorn does

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, unless it comes behind an answer: then nothing can be said any more."""
        try:
            if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
                super().send_400_response(msg)
        except h11.LocalProtocolError:  # an answer to HEAD has no body; uvicorn gives it one
            self._give_out_head()
        self._close()

    def _close(self) -> None:
        """Close the transport once: one of TLS that is closed again can no more be aborted, nor says what it holds."""
        if not self.transport.is_closing():
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._connection is not None:
            self._connections.wait(self._connection)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._is_next_due:
            self._is_next_due = False
            Context().run(self._go_on)
        elif self._connection is not None and self._phase is Phase.ANSWER:
            self._connections.work(self._connection)

    def on_response_complete(self) -> None:
        """Go on with the connection without the context of the request that was answered, once it is read from."""
        self._answered_at = self.loop.time()
        if self.flow.write_paused and not self.transport.is_closing():
            self._is_next_due = True
            self._enter(self._present_phase(), anew=True)
        else:
            Context().run(self._go_on)

    def _go_on(self) -> None:
        super().on_response_complete()
        self._unset_keepalive_if_required()  # `_timer` takes its place
        phase = self._present_phase()
        self._enter(phase, anew=True)
        if self._has_ended and phase is not Phase.ANSWER:
            self._close()

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
        is_taking = self._unwritten() > 0
        if self._phase is Phase.ANSWER and not is_taking:  # the application's own time is not limited here
            self._enter(Phase.ANSWER, anew=True)
        elif is_taking and self.loop.time() - self._answered_at < DOWNLOAD_SECONDS:
            self._expire_after(self._seconds(self._phase))
        else:
            self._end()

    def _end(self) -> None:
        if self._connection is not None:
            self._connection.end()
        else:
            self.transport.abort()

    def _unwritten(self) -> int:
        open_ones = (each for each in self._transports if getattr(each, "_ssl_protocol", each) is not None)
        return sum(each.get_write_buffer_size() for each in open_ones)

    def _untaken(self) -> int:
        return self._rest + self._unwritten()

    def _with_connection(self, app: Any) -> ASGIApp:
        async def with_connection(scope: Scope, receive: Receive, send: Send) -> None:
            connection = self._connection
            if connection is not None and not (connection.is_trusted or self._connections.turns.take()):
                await self._wait_for_turn(connection)
                if self.cycle.disconnected:
                    return
            scope[TRUST] = self._trust
            send = self._in_pieces(send)
            if self.conn.they_are_waiting_for_100_continue or has_two_lengths(scope):
                send = closing(send)
            elif closes(scope):
                send = after_body(receive, send, lambda: self.conn.their_state is h11.SEND_BODY)
            try:
                await app(scope, receive, send)
            finally:
                self._give_out_head()

        return with_connection

    async def _wait_for_turn(self, connection: Connection) -> None:
        """Wait with a stranger's request for its turn; meanwhile the connection may be closed as one that is idle."""
        self._connections.wait(connection)
        await self._connections.turns.wait(connection.client, self.transport.is_closing)
        if self._phase is Phase.ANSWER and not self.flow.write_paused:
            self._connections.work(connection)

    def _in_pieces(self, send: Send) -> Send:
        """Hand on an answer as its client takes it, so that it is known how much of it is left in memory."""

        async def in_pieces(message: Message) -> None:
            body, connection = message.get("body", b""), self._connection
            if message["type"] == "http.response.start":
                await send(message)
                self.loop.call_soon(self._give_out_head)
                return
            try:
                for start in range(0, len(body) or 1, _PIECE_BYTES):
                    piece, self._rest = body[start : start + _PIECE_BYTES], len(body) - start
                    if self._rest > len(piece):  # a small answer is noted once, after it
                        self._hold()
                    if connection is not None and connection.on_close is None:
                        return
                    self._rest -= len(piece)
                    await send(
                        {**message, "body": piece, "more_body": self._rest > 0 or message.get("more_body", False)}
                    )
            finally:
                self._rest = 0
                self._hold()

        return in_pieces

    def _hold(self) -> None:
        if self._connection is not None:
            self._connections.hold(self._connection)

    def _give_out_head(self) -> None:
        """Send the head of an answer of which no body followed at once."""
        if head := self._parser.take_head():
            self.transport.write(head)

    def _trust(self) -> None:
        if self._connection is not None:
            self._connections.trust(self._connection)
