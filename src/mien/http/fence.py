"""What is turned away before any route sees it: foreign hosts, foreign origins, bodies that are too large.

Without keys a browser on the same machine is the danger: a page of another origin may post to loopback, and
by DNS rebinding even read from it. So the Host has to be known, and the Origin has to be ours.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.errors import AccessDenied, ImageTooLarge, MienError
from mien.http import problems

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_SAFE = {"GET", "HEAD", "OPTIONS"}


class Fence:
    """`hosts`: the names under which the server may be called; None lets every name pass.

    `max_body_bytes` is for one photo; comparing takes two.
    """

    def __init__(
        self, app: ASGIApp, hosts: Collection[str] | None, origins: Collection[str], max_body_bytes: int
    ) -> None:
        self._app, self._hosts, self._origins, self._max_bytes = app, hosts, origins, max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            self._check(request)
        except MienError as error:
            await problems.refusal(request, error)(scope, receive, send)
            return
        await self._app(scope, self._measured(scope, receive), send)

    def _check(self, request: Request) -> None:
        host = request.headers.get("host", "")
        if self._hosts is not None and urlsplit(f"//{host}").hostname not in self._hosts:
            raise AccessDenied("The server is not called by this host name.")
        origin = request.headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc != host and origin not in self._origins
        if foreign and request.method not in _SAFE:
            raise AccessDenied("Pages of this origin may not call the server.")
        length = request.headers.get("content-length", "0")
        if length.isdigit() and int(length) > self._limit(request.scope):
            raise _too_large(self._limit(request.scope))

    def _limit(self, scope: Scope) -> int:
        return self._max_bytes * (2 if scope["path"].endswith("/compare") else 1)

    def _measured(self, scope: Scope, receive: Receive) -> Receive:
        limit, seen = self._limit(scope), 0

        async def measured() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise _too_large(limit)
            return message

        return measured


def _too_large(limit: int) -> ImageTooLarge:
    return ImageTooLarge(f"The request has more than {limit} bytes.")
