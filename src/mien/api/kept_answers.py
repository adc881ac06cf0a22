"""Answer from memory what is the same for everybody: the page's files, those of /docs, the OpenAPI document.

Anybody may ask for these, as often as they like, so that they must cost next to nothing. They are compressed once, for
clients that take it; nothing else is, because compressed secrets could be guessed from their lengths (BREACH).
"""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from mimetypes import guess_type
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

REVALIDATED, IMMUTABLE = "no-cache", "public, max-age=31536000, immutable"
"""For browsers: ask each time whether a copy is current; or keep it for good."""

MAX_PREFIXES = 16
"""Path prefixes whose OpenAPI document is kept: of one server there are one or two."""


@dataclass(frozen=True)
class KeptAnswer:
    """An answer as it is and compressed."""

    plain: bytes
    compressed: bytes
    tag: str
    media_type: str

    @classmethod
    def of(cls, content: bytes, media_type: str) -> KeptAnswer:
        """Keep the content of an answer."""
        tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        return cls(content, gzip.compress(content, mtime=0), tag, media_type)

    def to(self, scope: Scope, cache_control: str) -> Response:
        """Return the answer to a request; without a body where the client has the same already."""
        asked = Headers(scope=scope)
        is_compressed = takes_gzip(",".join(asked.getlist("accept-encoding")))
        # a strong tag says that the bytes are those of the plain answer
        headers = {"ETag": f"W/{self.tag}" if is_compressed else self.tag, "Vary": "Accept-Encoding"}
        headers["Cache-Control"] = cache_control
        if self.tag in (tag.strip(" W/") for tag in asked.get("if-none-match", "").split(",")):
            return NotModifiedResponse(Headers(headers))
        if is_compressed:
            headers["Content-Encoding"] = "gzip"
        return Response(self.compressed if is_compressed else self.plain, 200, headers, self.media_type)


class KeptFiles(StaticFiles):
    """The files of a folder. Browsers ask whether they are current, but for those whose address has their version."""

    def __init__(self, folder: Path, version: str = "") -> None:
        """Serve the files that a folder has now; `version` is a path before theirs, which changes with any of them."""
        super().__init__(directory=folder)
        self._version = version
        self._files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}

    async def get_response(self, path: str, scope: Scope) -> Response:
        if scope["method"] not in {"GET", "HEAD"}:
            raise HTTPException(status_code=405)
        is_versioned = bool(self._version) and path.startswith(self._version)
        file = self._files.get(path.removeprefix(self._version))
        if file is None:
            raise HTTPException(status_code=404)
        return _kept_file(file, file.stat().st_mtime_ns).to(scope, IMMUTABLE if is_versioned else REVALIDATED)


class KeptDocument:
    """Answers with the OpenAPI document of an API."""

    def __init__(self, api: FastAPI) -> None:
        self._api = api
        self._below = lru_cache(MAX_PREFIXES)(self._kept)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._below(scope.get("root_path", "").rstrip("/")).to(scope, REVALIDATED)(scope, receive, send)

    def _kept(self, prefix: str) -> KeptAnswer:
        document = self._api.openapi()
        if prefix:
            document = document | {"servers": [{"url": prefix}]}
        return KeptAnswer.of(bytes(JSONResponse(document).body), "application/json")


def keep(api: FastAPI, documents: Path) -> None:
    """Answer from memory what FastAPI and FastAPIOffline make or read for each request.

    Args:
        api: The API.
        documents: The folder with the files of /docs.
    """
    kept: dict[str, ASGIApp] = {"/openapi.json": KeptDocument(api), "/static-offline-docs": KeptFiles(documents)}
    for route in api.routes:
        known: Any = route
        if known.path in kept:
            known.app = kept[known.path]


@lru_cache(maxsize=256)
def _kept_file(path: Path, _changed: int) -> KeptAnswer:
    media_type, _ = guess_type(path)
    return KeptAnswer.of(path.read_bytes(), media_type or "application/octet-stream")


def takes_gzip(accepted: str) -> bool:
    """Return whether an Accept-Encoding gives gzip, or else everything, a weight above zero (RFC 9110, 12.5.3)."""
    codings = (coding.partition(";") for coding in re.sub(r"\s", "", accepted.lower()).split(","))
    weights = {name: weight for name, _, weight in codings}
    weight = weights.get("gzip", weights.get("*", "q=0"))
    return re.fullmatch(r"|q=(0\.0*[1-9]\d*|1(\.0*)?)", weight) is not None
