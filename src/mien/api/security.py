"""Decide who may call the API: API keys with scopes and rates, known host names and origins, bounded bodies.

Without a key file every request is allowed, which is why `mien serve` then listens on loopback only. There a browser
on the same machine is the danger: a page of another origin can post to loopback, and by DNS rebinding even
read from it. `HostOriginMiddleware` therefore accepts known host names and origins only.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as AsgiScope

from mien.api import problems
from mien.api.photo_input import JSON, content_type_of
from mien.domain.errors import AccessDenied, ImageTooLarge, MienError, NotAuthenticated, RateLimited
from mien.security.api_keys import ApiKey, KeyFile, Scope
from mien.security.audit import KEYLESS
from mien.security.rate_limit import TokenBucket

BURST_SECONDS = 5
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
PHOTO_ROUTES = ("/recognize", "/detect", "/compare", "/upload")
"""Routes that take photos in base64, which is a third longer."""

_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}


class Guard:
    """Checks the API key of a request: whether it exists, has the scope, and keeps to its rate."""

    def __init__(self, keys: KeyFile | None, rate_per_minute: int) -> None:
        """Make a guard.

        Args:
            keys: The known keys; None asks for no key.
            rate_per_minute: Requests that each key may make per minute in the long run.
        """
        self._keys = keys
        self._rate = rate_per_minute / 60
        self._buckets: dict[str, TokenBucket] = {}

    def check(self, request: Request, scope: Scope) -> None:
        """Check that the caller may make this request, and set `request.state.caller` for the audit log.

        Raises:
            NotAuthenticated: There is no key, or an unknown one.
            AccessDenied: The key lacks the scope.
            RateLimited: The key has made too many requests.
        """
        if self._keys is None:
            request.state.caller = KEYLESS
            return
        key = self._key(self._keys, request)
        request.state.caller = f"key {key.key_id}"
        if scope not in key.scopes:
            raise AccessDenied(f"This API key lacks the scope {scope}.")
        bucket = self._buckets.setdefault(key.key_id, TokenBucket(self._rate, BURST_SECONDS))
        if bucket.take() > 0:
            raise RateLimited("Too many requests with this API key.")

    def key_id(self, request: Request) -> str | None:
        """Return the id of the caller's API key; None where none is asked for. Raises NotAuthenticated."""
        return None if self._keys is None else self._key(self._keys, request).key_id

    def check_key_id(self, key_id: str | None) -> None:
        """Raise AccessDenied when keys are asked for and none has this id, for what a key signed for later use."""
        if self._keys is not None and key_id not in {key.key_id for key in self._keys.list()}:
            raise AccessDenied("The API key that asked for this was revoked.")

    @staticmethod
    def _key(keys: KeyFile, request: Request) -> ApiKey:
        text = _key_of(request)
        if text is None:
            raise NotAuthenticated("Send an API key in the header X-Api-Key.")
        return keys.check(text)


def _key_of(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return request.headers.get("x-api-key")


class HostOriginMiddleware:
    """Refuses requests for other host names, changes from pages of other origins, and bodies that are too large."""

    def __init__(
        self, app: ASGIApp, hosts: Collection[str] | None, origins: Collection[str], max_body_bytes: int
    ) -> None:
        """Wrap an application.

        Args:
            app: The application to protect.
            hosts: The host names under which the server may be called; None accepts any.
            origins: Further origins whose pages may change something, beside the server's own.
            max_body_bytes: The largest body with one photo; a comparison, which has two, may be twice as large.
        """
        self._app, self._hosts, self._origins, self._max_bytes = app, hosts, origins, max_body_bytes

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            self._check(request)
        except MienError as error:
            await problems.refusal(request, error)(scope, receive, send)
            return
        await self._app(scope, self._limited(scope, receive), send)

    def _check(self, request: Request) -> None:
        host = request.headers.get("host", "")
        if self._hosts is not None and urlsplit(f"//{host}").hostname not in self._hosts:
            raise AccessDenied("The server does not answer under this host name.")
        origin = request.headers.get("origin")
        is_foreign = origin is not None and urlsplit(origin).netloc != host and origin not in self._origins
        if is_foreign and request.method not in _SAFE_METHODS:
            raise AccessDenied("Pages of this origin may not call the server.")
        length = request.headers.get("content-length", "0")
        if length.isdigit() and int(length) > self._max_bytes_of(request.scope):
            raise _too_large(self._max_bytes_of(request.scope))

    def _max_bytes_of(self, scope: AsgiScope) -> int:
        path = scope["path"]
        max_bytes = self._max_bytes * (2 if path.endswith("/compare") else 1)
        is_base64 = path.endswith(PHOTO_ROUTES) and content_type_of(Headers(scope=scope)) == JSON
        return max_bytes * 4 // 3 if is_base64 else max_bytes

    def _limited(self, scope: AsgiScope, receive: Receive) -> Receive:
        max_bytes, received = self._max_bytes_of(scope), 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > max_bytes:
                raise _too_large(max_bytes)
            return message

        return limited


def _too_large(max_bytes: int) -> ImageTooLarge:
    return ImageTooLarge(f"The request has more than {max_bytes:,} bytes.")
