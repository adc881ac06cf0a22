"""Say how large the body of a request may be, by its route, and bound it."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from mien.api import problems
from mien.api.forwarding import path_below_prefix
from mien.api.photo_input import JSON, content_type_of, is_photo
from mien.domain.errors import ImageTooLarge
from mien.security.bodies import ByteBudget, Claim, bounded, refuse_declared
from mien.security.signing import UPLOAD_FORM_PATH

MAX_BODIES_BYTES = 512 * 1024 * 1024
"""Of all requests in progress together, so that many clients cannot fill the memory."""

FORM_OVERHEAD_BYTES = 64 * 1024
"""What a form may hold beside its photos."""

MAX_JSON_BYTES = 64 * 1024
"""Of the routes that take no photos."""

PHOTO_ROUTES = ("/recognize", "/detect", "/compare", "/render", "/upload", "/rejections")
"""Routes that take photos also in base64, which is a third longer."""


class BodyMiddleware:
    """Refuses bodies that are too large, too slow, or too many."""

    def __init__(self, app: ASGIApp, max_photo_bytes: int) -> None:
        """Wrap an application.

        Args:
            app: The application to protect.
            max_photo_bytes: The largest photo; a comparison has two.
        """
        self._app, self._max_photo, self._budget = app, max_photo_bytes, ByteBudget(MAX_BODIES_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, claim = Headers(scope=scope), Claim(self._budget)
        what, max_bytes = self._limit_of(scope, content_type_of(headers))
        try:
            refuse_declared(headers, max_bytes, what)
        except ImageTooLarge as error:
            await problems.refusal(Request(scope), error)(scope, receive, send)
            return
        try:
            await self._app(scope, bounded(receive, max_bytes, claim, what), send)
        finally:
            claim.end()

    def _limit_of(self, scope: Scope, content_type: str) -> tuple[str, int]:
        """Return what a body is called in its refusal, and how many bytes it may have."""
        path = path_below_prefix(scope)  # the whole: a person may be called `compare`
        if scope["method"] != "POST" or path not in (*PHOTO_ROUTES, UPLOAD_FORM_PATH):
            return "request", MAX_JSON_BYTES
        if is_photo(content_type):
            return "photo", self._max_photo
        max_bytes = (self._max_photo + FORM_OVERHEAD_BYTES) * (2 if path == "/compare" else 1)
        is_base64 = path in PHOTO_ROUTES and content_type == JSON
        return "request", max_bytes * 4 // 3 if is_base64 else max_bytes
