"""Handle what stands between clients and the server: answer HEAD, and take the path prefix of a reverse proxy.

A proxy that publishes Mien below a path tells it in `X-Forwarded-Prefix`, having removed it from the request; or
`MIEN_ROOT_PATH` names it. The header counts only from a proxy that is trusted, as uvicorn trusts those that
`FORWARDED_ALLOW_IPS` lists for `X-Forwarded-For` and `X-Forwarded-Proto`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien import setting_parsers
from mien.domain.errors import InvalidInput

IS_HEAD = "mien.is_head"
"""In the scope of a request that is a HEAD, which is then answered as GET: it must change nothing."""


class HeadMiddleware:
    """Answers HEAD as GET is answered, without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] != "http.response.body":
                await send(message)
            elif not message.get("more_body", False):
                await send({"type": "http.response.body", "body": b""})

        scope["method"], scope[IS_HEAD] = "GET", True
        try:
            await self._app(scope, receive, send_head)
        finally:
            scope["method"] = "HEAD"  # what the log and the metrics, which stand outside, tell


class PrefixMiddleware:
    """Sets the path prefix under which clients see the server. Must stand outside of what changes `scope["client"]`."""

    def __init__(self, app: ASGIApp, root_path: str, is_trusted: Callable[[str], bool]) -> None:
        """Wrap an application.

        Args:
            app: The application.
            root_path: The prefix where no proxy names one; empty, or as `setting_parsers.root_path` returns it. A
                request's path may begin with it or not.
            is_trusted: Whether a peer, by its address, may name the prefix.
        """
        self._app, self._root_path, self._is_trusted = app, root_path, is_trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            prefix = self._named_by_proxy(scope)
            if prefix:
                scope = _below(scope, prefix)
            elif self._root_path:
                is_kept = f"{scope['path']}/".startswith(f"{self._root_path}/")
                scope = {**scope, "root_path": self._root_path} if is_kept else _below(scope, self._root_path)
        await self._app(scope, receive, send)

    def _named_by_proxy(self, scope: Scope) -> str:
        text = next((value for name, value in scope["headers"] if name == b"x-forwarded-prefix"), b"")
        if not text or not scope.get("client") or not self._is_trusted(scope["client"][0]):
            return ""
        try:
            return setting_parsers.root_path(text.decode("latin-1"))
        except InvalidInput:
            return ""


def path_below_prefix(scope: Scope) -> str:
    """Return a request's path without the prefix under which clients see the server."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


def trusted_peers(text: str) -> Callable[[str], bool]:
    """Return the test whether a peer is in a list as that of FORWARDED_ALLOW_IPS: addresses, networks, or `*`."""
    entries = [entry.strip() for entry in text.split(",")]
    networks = []
    for entry in entries:
        try:
            networks.append(ipaddress.ip_network(entry, strict=False))
        except ValueError:  # `*`, or a name, such as that of a socket
            continue

    def is_trusted(peer: str) -> bool:
        if "*" in entries or peer in entries:
            return True
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in networks)

    return is_trusted


def _below(scope: Scope, prefix: str) -> Scope:
    """Return the scope of the same request below a prefix, as ASGI wants it: the path includes the prefix."""
    raw_path = scope.get("raw_path")
    paths = {"path": prefix + scope["path"], "raw_path": raw_path and prefix.encode() + raw_path}
    return {**scope, "root_path": prefix, **paths}
