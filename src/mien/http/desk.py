"""What the routes share: the application, the gate before it, and how to describe a route."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends
from starlette.requests import Request

from mien.app import FaceApp
from mien.http import schemas
from mien.http.auth import Guard
from mien.http.cursors import Cursors
from mien.http.gate import Gate
from mien.http.health import Health
from mien.http.observe import Metrics
from mien.http.problems import MEDIA_TYPE
from mien.keys import Scope
from mien.signing import Signer

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
class Desk:
    """`inference` is for what looks at photos, `storage` for all else that blocks."""

    app: FaceApp
    signer: Signer
    guard: Guard
    inference: Gate
    storage: Gate
    metrics: Metrics
    health: Health

    @property
    def cursors(self) -> Cursors:
        return Cursors(self.signer)


async def _desk(request: Request) -> Desk:
    found: Desk = request.app.state.desk
    return found


OnDesk = Annotated[Desk, Depends(_desk)]


def needs(scope: Scope) -> Any:
    """A dependency: the caller's key must have the scope."""

    async def check(request: Request, desk: OnDesk) -> None:
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
