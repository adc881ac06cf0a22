"""Bound the bodies of requests: how large, how slow, and how much memory all of them take together."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.api import problems
from mien.api.forwarding import path_below_prefix
from mien.api.photo_input import JSON, content_type_of
from mien.domain.errors import BodyTooSlow, ImageTooLarge
from mien.security.rate_limit import ByteBudget, Claim
from mien.security.signing import UPLOAD_FORM_PATH

BODY_SECONDS, PAUSE_SECONDS = 60.0, 20.0
"""How long a body may take, and how long nothing of it may arrive."""

MAX_BODIES_BYTES = 512 * 1024 * 1024
"""Of all requests in progress together, so that many clients cannot fill the memory."""

MAX_JSON_BYTES = 64 * 1024
"""Of the routes that take no photos."""

PHOTO_ROUTES = ("/recognize", "/detect", "/compare", "/render", "/upload", "/rejections")
"""Routes that take photos also in base64, which is a third longer."""


class BodyMiddleware:
    """Refuses bodies that are too large, too slow, or too many."""

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        """Wrap an application.

        Args:
            app: The application to protect.
            max_body_bytes: The largest body with one photo; a comparison, which has two, may be twice as large.
        """
        self._app, self._max_bytes, self._budget = app, max_body_bytes, ByteBudget(MAX_BODIES_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, max_bytes, claim = Headers(scope=scope), self._max_bytes_of(scope), Claim(self._budget)
        length = headers.get("content-length", "")
        if length.isdecimal() and (len(length) > len(str(max_bytes)) or int(length) > max_bytes):
            await problems.refusal(Request(scope), _too_large(max_bytes))(scope, receive, send)
            return
        try:
            await self._app(scope, _bounded(receive, max_bytes, claim), send)
        finally:
            claim.end()

    def _max_bytes_of(self, scope: Scope) -> int:
        path = path_below_prefix(scope)  # the whole: a person may be called `compare`
        if scope["method"] != "POST" or path not in (*PHOTO_ROUTES, UPLOAD_FORM_PATH):
            return min(MAX_JSON_BYTES, self._max_bytes)
        max_bytes = self._max_bytes * (2 if path == "/compare" else 1)
        is_base64 = path in PHOTO_ROUTES and content_type_of(Headers(scope=scope)) == JSON
        return max_bytes * 4 // 3 if is_base64 else max_bytes


def _bounded(receive: Receive, max_bytes: int, claim: Claim) -> Receive:
    received, is_complete, until = 0, False, 0.0

    async def bounded() -> Message:
        nonlocal received, is_complete, until
        if is_complete:  # what is waited for now is the client's leaving
            return await receive()
        now = asyncio.get_running_loop().time()
        until = until or now + BODY_SECONDS
        try:
            async with asyncio.timeout_at(min(until, now + PAUSE_SECONDS)):
                message = await receive()
        except TimeoutError:
            raise BodyTooSlow("The request's body did not arrive in time.") from None
        size = len(message.get("body", b""))
        received += size
        if received > max_bytes:
            raise _too_large(max_bytes)
        claim.take(size)
        is_complete = not message.get("more_body", False)
        return message

    return bounded


def _too_large(max_bytes: int) -> ImageTooLarge:
    return ImageTooLarge(f"The request has more than {max_bytes:,} bytes.")
