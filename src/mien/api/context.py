"""Page cursors that a client cannot look into, change, or carry to another listing.

How much is worked on at once: a few threads, a short queue before them, and a plain no beyond that.

Health is a real inference that succeeds; a check from the internet must not cost one each time.

What the routes share: the application, the gate before it, and how to describe a route.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ParamSpec, TypeVar
from urllib.parse import quote

from fastapi import Depends
from starlette.requests import Request

from mien.api import schemas
from mien.api.problems import MEDIA_TYPE
from mien.api.security import Guard
from mien.api.telemetry import Metrics
from mien.app.app import FaceApp
from mien.domain.errors import InvalidInput, Overloaded
from mien.security.api_keys import Scope
from mien.security.signing import Signer


class Cursors:
    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def seal(self, listing: Mapping[str, object], token: str | None) -> str | None:
        return None if token is None else self._signer.seal("cursor", {"of": _name(listing), "at": token})

    def open(self, listing: Mapping[str, object], cursor: str | None) -> str | None:
        """Raises InvalidInput for a cursor of another listing."""
        if cursor is None:
            return None
        facts = self._signer.open("cursor", cursor)
        if facts["of"] != _name(listing):
            raise InvalidInput("This cursor belongs to another listing.")
        return str(facts["at"])


def _name(listing: Mapping[str, object]) -> str:
    return "&".join(f"{name}={value}" for name, value in sorted(listing.items()))


P = ParamSpec("P")
T = TypeVar("T")


class BoundedExecutor:
    """Runs blocking calls on `threads` threads; at most `max_waiting` more may wait."""

    def __init__(self, threads: int, max_waiting: int) -> None:
        self._pool = ThreadPoolExecutor(threads, "mien-gate")
        self._most = threads + max_waiting
        self.inside = 0

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Raises Overloaded at once when the queue is full."""
        if self.inside >= self._most:
            raise Overloaded("Too many photos are waiting already.")
        self.inside += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, partial(work, *args, **kwargs))
        finally:
            self.inside -= 1


HEALTHY_SECONDS = 5
GREY_PIXELS = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAGAAAABgCAAAAADH8yjkAAAAPUlEQVR42u3NQQ0AAAgEoNPkRjeFDzcoQE1udQQCgUAgEAgEAoFA"
    "IBAIBAKBQCAQCAQCgUAgEAgEAsHTYAH5sQFASgoZHgAAAABJRU5ErkJggg=="
)


class Health:
    def __init__(self, app: FaceApp, inference: BoundedExecutor) -> None:
        self._app, self._inference = app, inference
        self._until = 0.0

    async def check(self) -> None:
        """Raises whatever keeps the service from recognising faces."""
        if time.monotonic() > self._until:
            await self._inference.run(self._app.detect, GREY_PIXELS)
            self._until = time.monotonic() + HEALTHY_SECONDS


_MEANINGS = {
    400: "The photo is empty or the request malformed",
    404: "There is no such thing",
    409: "A quota is full",
    413: "The photo is too large",
    415: "Not an image that can be read",
    422: "The photo or a parameter cannot be used",
}
_ALWAYS = {
    401: "No API key, or an unknown one",
    403: "The API key lacks a scope",
    429: "Too many calls; see Retry-After",
    500: "The data folder or a store failed",
    503: "Too busy; see Retry-After",
    507: "The disk is full",
}


@dataclass(frozen=True)
class ApiContext:
    """`inference` is for what looks at photos, `storage` for all else that blocks."""

    app: FaceApp
    signer: Signer
    guard: Guard
    inference: BoundedExecutor
    storage: BoundedExecutor
    metrics: Metrics
    health: Health

    @property
    def cursors(self) -> Cursors:
        return Cursors(self.signer)


async def _desk(request: Request) -> ApiContext:
    found: ApiContext = request.app.state.desk
    return found


Context = Annotated[ApiContext, Depends(_desk)]


def needs(scope: Scope) -> Any:
    """A dependency: the caller's key must have the scope."""

    async def check(request: Request, desk: Context) -> None:
        desk.guard.check(request, scope)

    return Depends(check)


def problems(*statuses: int, media_type: str | None = None) -> dict[int | str, dict[str, Any]]:
    """The failures of a route, for the OpenAPI document; `media_type` when it does not answer JSON."""
    meanings: Mapping[int, str] = {status: _MEANINGS[status] for status in statuses} | _ALWAYS
    responses: dict[int | str, dict[str, Any]] = {
        status: {
            "description": meaning,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, meaning in sorted(meanings.items())
    }
    if media_type is not None:
        responses[200] = {"content": {media_type: {}}}
    return responses


def photo_body(*fields: str, **texts: str) -> dict[str, Any]:
    """The request body of a route that takes photos; with one photo it may also be the raw body."""
    binary = {"type": "string", "format": "binary"}
    properties: dict[str, Any] = dict.fromkeys(fields, binary)
    properties |= {name: {"type": "string", "description": text} for name, text in texts.items()}
    form = {"type": "object", "properties": properties, "required": list(fields)}
    content: dict[str, Any] = {"multipart/form-data": {"schema": form}}
    if len(fields) == 1:
        content |= {kind: {"schema": binary} for kind in ("image/jpeg", "image/png", "application/octet-stream")}
    return {"requestBody": {"required": True, "content": content}}


def address(request: Request, path: str) -> str:
    """A path of this API as the client reaches it, behind a stage or a prefix too."""
    return quote(request.scope.get("root_path", "") + path)


def listed(kind: type[schemas.Schema], items: Any) -> list[Any]:
    return [kind.model_validate(item) for item in items]
