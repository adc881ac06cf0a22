"""Serve the wire API as an ASGI application: read bodies up to a limit, answer in a pool of threads.

`create_app` serves alone, or behind another application that passes on every POST with an X-Amz-Target header. AWS
clients correct their clocks by the Date header, which the ASGI server sends (uvicorn does).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from mien.rekognition.dispatcher import Dispatcher, WireResponse, operation_name, throttled
from mien.rekognition.images import ReadObject, no_local_bucket
from mien.rekognition.service import EventualConsistency, Service
from mien.rekognition.settings import WireSettings, is_loopback
from mien.rekognition.sigv4 import RawRequest
from mien.security.audit import LogLines

if TYPE_CHECKING:
    from mien.engine import FaceEngine
    from mien.gallery import Gallery
    from mien.security.audit import Audit

MAX_BODY_BYTES = 15 * 1024 * 1024
MAX_DISCARDED_BYTES = 128 * 1024 * 1024
"""A body that is too large is still read up to this size, so that the client gets to read the response."""

BODY_TIMEOUT_SECONDS = 60.0


def create_app(
    engine: FaceEngine,
    gallery: Gallery,
    *,
    audit: Audit | None = None,
    settings: WireSettings = WireSettings(),  # noqa: B008 (frozen)
    read_object: ReadObject = no_local_bucket,
) -> Starlette:
    """Create the ASGI application of the wire API.

    Args:
        engine: Detects and embeds faces.
        gallery: Stores and searches them; its model version must be the engine's.
        audit: The audit log; lines in the log of the server when None.
        settings: Access keys, rates and limits; the default verifies signatures and knows no key.
        read_object: Reads objects of buckets that this server holds itself; all others are read from S3.
    """
    operation_name("")  # loads the model of the service, which would make the first request wait
    service = Service(engine, gallery, read_object, settings.account, EventualConsistency(settings.delay))
    workers = settings.workers or (os.cpu_count() or 1) + 1
    pool = ThreadPoolExecutor(workers, thread_name_prefix="rekognition")

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        pool.shutdown()

    wire_app = WireApp(Dispatcher(service, settings, audit or LogLines()), pool, settings.max_waiting)
    return Starlette(routes=[Route("/{path:path}", wire_app)], lifespan=lifespan)


class WireApp:
    """The ASGI application of one route: reads a request, and has it answered in the pool.

    For the log, it puts `route`, `operation` and, once it is verified, `access_key_id` into the request's state.
    """

    def __init__(self, dispatcher: Dispatcher, pool: ThreadPoolExecutor, max_waiting: int) -> None:
        """Answer with `dispatcher` in `pool`; more than `max_waiting` requests at once are throttled."""
        self._dispatcher, self._pool, self._max_waiting = dispatcher, pool, max_waiting
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request; nothing is sent to a client that has gone."""
        request = Request(scope, receive)
        request.state.route, request.state.operation = "/", operation_name(request.headers.get("x-amz-target", ""))
        self._waiting += 1
        try:
            response = await self._respond(request)
        except ClientDisconnect:
            return
        finally:
            self._waiting -= 1
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        is_overloaded = self._waiting > self._max_waiting
        try:
            async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
                body = await _read_body(request, 0 if is_overloaded else MAX_BODY_BYTES)
        except TimeoutError:
            return Response("The body did not come in time.", 408, headers={"connection": "close"})
        if is_overloaded:
            return _response(throttled())
        if body is None:
            return Response("The body is too large.", 413, headers={"connection": "close"})
        loop = asyncio.get_running_loop()
        raw, is_local = _raw_request(request, body), _is_local(request)
        answer = await loop.run_in_executor(self._pool, lambda: self._dispatcher.dispatch(raw, is_local=is_local))
        request.state.access_key_id = answer.access_key_id
        return _response(answer)


async def _read_body(request: Request, max_bytes: int) -> bytes | None:
    """Return the body, or None when it has more than `max_bytes`."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= max_bytes:
            chunks.append(chunk)
        elif size <= MAX_DISCARDED_BYTES:
            chunks.clear()
        else:
            return None
    return b"".join(chunks) if size <= max_bytes else None


def _raw_request(request: Request, body: bytes) -> RawRequest:
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    path = request.scope.get("raw_path") or request.scope["path"].encode()
    query: bytes = request.scope["query_string"]
    return RawRequest(request.method, path.decode("latin-1"), query.decode("latin-1"), headers, body)


def _is_local(request: Request) -> bool:
    """Return whether the request comes from this machine and not from a web page, whose browser sends its Origin."""
    return request.client is not None and is_loopback(request.client.host) and "origin" not in request.headers


def _response(wire: WireResponse) -> Response:
    headers = {"x-amzn-requestid": wire.request_id, "content-type": wire.content_type}
    return Response(wire.body, wire.status, headers=headers)
