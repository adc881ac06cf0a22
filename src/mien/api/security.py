"""Decide who may call the API: API keys with scopes and rates, known host names and origins.

Without a key file every request is allowed, which is why `mien serve` then listens on loopback only. There a browser
on the same machine is the danger: a page of another site can post to loopback, tell from what loads whether somebody is
enrolled, and by DNS rebinding even read. `HostOriginMiddleware` therefore accepts known host names only and, without
keys, no request of another site's page; and it tells browsers to show and keep nothing elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as AsgiScope

from mien.api import problems
from mien.api.forwarding import path_below_prefix
from mien.domain.errors import AccessDenied, MienError, NotAuthenticated, RateLimited
from mien.domain.waiting import client
from mien.security.api_keys import ApiKey, KeyFile, Scope
from mien.security.audit import KEYLESS
from mien.security.origins import (
    TRUST,
    host_name,
    is_foreign_origin,
    is_from_other_site,
    is_own_page,
    refuse_ambiguous,
)

PAGES = ("/", "/docs")
"""What any site may link to; it tells nothing of anybody."""

CHECKED = "checked"
"""The part of a request's state with the ApiKey of a caller whom what stands in front has checked, as on AWS."""

_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"frame-ancestors 'none'"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]
"""What every answer says that does not say it itself."""


class Guard:
    """Checks the API key of a request: whether it exists, has the scope, and keeps to its rate."""

    def __init__(self, keys: KeyFile | None, count_call: Callable[[str], bool]) -> None:
        """Make a guard.

        Args:
            keys: The known keys; None asks for no key.
            count_call: Counts a call of the key with an id, and returns whether it is within the key's rate.
        """
        self._keys, self._count_call = keys, count_call

    def check(self, request: Request, scope: Scope) -> None:
        """Check that the caller may make this request; what was checked before is not checked again.

        Sets `request.state.caller` for the audit log, and `request.state.scopes`.

        Raises:
            NotAuthenticated: There is no key, or an unknown one.
            AccessDenied: The key lacks the scope.
            RateLimited: The key has made too many requests.
        """
        if scope in getattr(request.state, "granted", ()):
            return
        if self._keys is None:
            request.state.caller, request.state.scopes = KEYLESS, frozenset(Scope)
        else:
            self._check_key(self._key(self._keys, request), request, scope)
        request.state.granted = {scope, *getattr(request.state, "granted", ())}
        request.scope.get(TRUST, lambda: None)()
        client.set(request.state.caller)

    def _check_key(self, key: ApiKey, request: Request, scope: Scope) -> None:
        request.state.caller, request.state.scopes = f"key {key.key_id}", key.scopes
        if scope not in key.scopes:
            raise AccessDenied(f"This API key lacks the scope {scope}.")
        if not hasattr(request.state, "granted") and not self._count_call(key.key_id):
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
        checked: ApiKey | None = getattr(request.state, CHECKED, None)
        if checked is not None:
            return checked
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
    """Refuses ambiguous requests, those for other host names and those of other sites' pages.

    It also guards every answer in browsers.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None, origins: Collection[str], *, keyless: bool) -> None:
        """Wrap an application.

        Args:
            app: The application to protect.
            hosts: The host names under which the server may be called; None accepts any.
            origins: Further origins whose pages may call the server, beside its own.
            keyless: Whether requests need no API key, so that those of any page on this machine would be answered.
        """
        self._app, self._hosts, self._origins, self._keyless = app, hosts, origins, keyless

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = list(message.get("headers", ()))
                names = {name.lower() for name, _ in own}
                message["headers"] = [*own, *(header for header in _HEADERS if header[0] not in names)]
            await send(message)

        try:
            self._check(request)
        except MienError as error:
            await problems.refusal(request, error)(scope, receive, send_guarded)
            return
        await self._app(scope, receive, send_guarded)

    def _check(self, request: Request) -> None:
        headers = request.headers
        refuse_ambiguous(request.scope.get("http_version", "1.1"), headers.raw)
        host = headers.get("host", "")
        name = host_name(host)
        if (host and name is None) or (self._hosts is not None and name not in self._hosts):
            raise AccessDenied("The server does not answer under this host name.")
        if request.method not in _SAFE_METHODS and is_foreign_origin(headers, self._origins):
            raise AccessDenied("Pages of this origin may not call the server.")
        if self._keyless and not self._is_link_to_page(request):
            self._check_site(request)

    def _check_site(self, request: Request) -> None:
        if is_from_other_site(request.headers, self._origins):
            raise AccessDenied("Without API keys, the server answers pages of its own only.")
        is_writing_get = request.method in _SAFE_METHODS and path_below_prefix(request.scope) == "/recognize"
        if is_writing_get and not is_own_page(request.headers) and request.headers.get("origin") not in self._origins:
            raise AccessDenied("This would store a recognition, so a link or an address cannot ask for it.")

    def _is_link_to_page(self, request: Request) -> bool:
        is_document = request.headers.get("sec-fetch-dest", "document") == "document"
        is_link = request.method in _SAFE_METHODS and "origin" not in request.headers
        return is_link and is_document and path_below_prefix(request.scope) in PAGES
