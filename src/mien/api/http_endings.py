"""End connections with an answer so that the client gets to read it, and knows that it is the last one."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from starlette.types import Message, Receive, Scope, Send

from mien.security.bodies import discard


def after_body(receive: Receive, send: Send, is_body_left: Callable[[], bool]) -> Send:
    """Take the rest of the body before an answer ends, which a connection closed with bytes unread would lose.

    All bytes of the answer are sent at once: a client may wait for them before it sends its body. Where the
    connection stays, the rest is taken after the answer. A body that was too slow is not awaited again.
    """
    is_late = False

    async def send_after_body(message: Message) -> None:
        nonlocal is_late
        if message["type"] == "http.response.start":
            is_late = message["status"] == HTTPStatus.REQUEST_TIMEOUT
        elif not (message.get("more_body", False) or is_late) and is_body_left():
            await send({**message, "more_body": True})
            await discard(receive)
            message = {"type": "http.response.body"}
        await send(message)

    return send_after_body


def closes(scope: Scope) -> bool:
    """Return whether the connection closes after the answer, as the client wishes or its HTTP/1.0 has it."""
    options = b",".join(value for name, value in scope["headers"] if name == b"connection").lower().split(b",")
    return scope["http_version"] == "1.0" or b"close" in {option.strip() for option in options}


def has_two_lengths(scope: Scope) -> bool:
    """Return whether a request says twice how long it is, so that a proxy may see another end (RFC 9112, 6.1)."""
    return {b"content-length", b"transfer-encoding"} <= {name for name, _ in scope["headers"]}


def closing(send: Send) -> Send:
    """Announce the end of the connection in an answer, as where that comes before the body (RFC 9110, 10.1.1)."""

    async def closing(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
        await send(message)

    return closing
