"""Who may call what: keys with scopes, and a rate per key. Without a file of keys everybody may everything,
which is why the server then listens on loopback only.

What is turned away before any route sees it: foreign hosts, foreign origins, bodies that are too large.

Without keys a browser on the same machine is the danger: a page of another origin may post to loopback, and
by DNS rebinding even read from it. So the Host has to be known, and the Origin has to be ours.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as AsgiScope

from mien.api import problems
from mien.domain.errors import AccessDenied, ImageTooLarge, MienError, NotAuthenticated, RateLimited
from mien.security.api_keys import KeyFile, Scope
from mien.security.rate_limit import TokenBucket

BURST_SECONDS = 5


class Guard:
    def __init__(self, keys: KeyFile | None, rate_per_minute: int) -> None:
        self._keys = keys
        self._rate = rate_per_minute / 60
        self._buckets: dict[str, TokenBucket] = {}

    def check(self, request: Request, scope: Scope) -> None:
        """Raises NotAuthenticated, AccessDenied or RateLimited."""
        if self._keys is None:
            return
        text = _key_of(request)
        if text is None:
            raise NotAuthenticated("This needs an API key, in the header X-Api-Key.")
        key = self._keys.check(text)
        if scope not in key.scopes:
            raise AccessDenied(f"This API key lacks the scope {scope}.")
        bucket = self._buckets.setdefault(key.key_id, TokenBucket(self._rate, BURST_SECONDS))
        if bucket.take() > 0:
            raise RateLimited("This API key makes too many calls.")


def _key_of(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    return request.headers.get("x-api-key")


LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_SAFE = {"GET", "HEAD", "OPTIONS"}


class HostOriginMiddleware:
    """`hosts`: the names under which the server may be called; None lets every name pass.

    `max_body_bytes` is for one photo; comparing takes two.
    """

    def __init__(
        self, app: ASGIApp, hosts: Collection[str] | None, origins: Collection[str], max_body_bytes: int
    ) -> None:
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

    def _limit(self, scope: AsgiScope) -> int:
        return self._max_bytes * (2 if scope["path"].endswith("/compare") else 1)

    def _measured(self, scope: AsgiScope, receive: Receive) -> Receive:
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
