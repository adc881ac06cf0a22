"""The wire API as an ASGI application: reads bodies up to a limit, and answers in a bounded pool of threads.

`create_app` serves alone or behind another application that passes on every POST with an X-Amz-Target header.
The Date header, by which AWS clients correct their clocks, is the ASGI server's (uvicorn sends it).
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

from mien.rekognition.dispatcher import Answer, Dispatcher, throttled
from mien.rekognition.eventual_consistency import Delay, Tokens
from mien.rekognition.images import ReadObject, not_ours
from mien.rekognition.service import Service
from mien.rekognition.settings import WireSettings, is_loopback
from mien.rekognition.sigv4 import Received

if TYPE_CHECKING:
    from mien.engine import FaceEngine
    from mien.gallery import Gallery

MOST_BODY = 15 * 1024 * 1024
MOST_READ = 128 * 1024 * 1024
SLOWEST_BODY = 60.0


def create_app(
    engine: FaceEngine,
    gallery: Gallery,
    *,
    settings: WireSettings = WireSettings(),  # noqa: B008 (frozen)
    read_object: ReadObject = not_ours,
) -> Starlette:
    """The wire API on an engine and a gallery. `read_object` reads the buckets that are ours."""
    service = Service(engine, gallery, read_object, settings.account, Tokens(), Delay(settings.delay))
    workers = settings.workers or (os.cpu_count() or 1) + 1
    pool = ThreadPoolExecutor(workers, thread_name_prefix="rekognition")

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        pool.shutdown()

    door = Door(Dispatcher(service, settings), pool, settings.most_waiting)
    return Starlette(routes=[Route("/{path:path}", door)], lifespan=lifespan)


class Door:
    """Takes requests off the wire; the work is done in the pool, so that the event loop stays free."""

    def __init__(self, front: Dispatcher, pool: ThreadPoolExecutor, most_waiting: int) -> None:
        self._front, self._pool, self._most_waiting = front, pool, most_waiting
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self._waiting += 1
        try:
            response = await self._respond(request)
        except ClientDisconnect:
            return
        finally:
            self._waiting -= 1
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        crowded = self._waiting > self._most_waiting
        try:
            async with asyncio.timeout(SLOWEST_BODY):
                body = await _body(request, 0 if crowded else MOST_BODY)
        except TimeoutError:
            return Response("The body did not come in time.", 408, headers={"connection": "close"})
        if crowded:
            return _response(throttled())
        if body is None:
            return Response("The body is too large.", 413, headers={"connection": "close"})
        loop = asyncio.get_running_loop()
        received, local = _received(request, body), _is_local(request)
        return _response(await loop.run_in_executor(self._pool, lambda: self._front.answer(received, local=local)))


async def _body(request: Request, most: int) -> bytes | None:
    """None when there is more of it than `most`; it is still read, so that the client gets to its answer."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size <= most:
            parts.append(part)
        elif size <= MOST_READ:
            parts.clear()
        else:
            return None
    return b"".join(parts) if size <= most else None


def _received(request: Request, body: bytes) -> Received:
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    path = request.scope.get("raw_path") or request.scope["path"].encode()
    query: bytes = request.scope["query_string"]
    return Received(request.method, path.decode("latin-1"), query.decode("latin-1"), headers, body)


def _is_local(request: Request) -> bool:
    """From this machine, and not sent by a web page (a browser always names the page's origin)."""
    return request.client is not None and is_loopback(request.client.host) and "origin" not in request.headers


def _response(answer: Answer) -> Response:
    headers = {"x-amzn-requestid": answer.request_id, "content-type": answer.content_type}
    return Response(answer.body, answer.status, headers=headers)
