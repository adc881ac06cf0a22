"""Serve the wire API as an ASGI application: read bodies up to a limit, answer in a pool of threads.

`create_app` serves alone, or behind another application that passes on every POST with an X-Amz-Target header. AWS
clients correct their clocks by the Date header, which the ASGI server sends (uvicorn does).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from mien.domain.errors import BodyTooSlow, ImageTooLarge, MalformedRequest, Overloaded
from mien.domain.waiting import RequestThreads, available_cores, client
from mien.rekognition.dispatcher import Dispatcher, SignedCall, WireResponse, operation_name, throttled
from mien.rekognition.images import ReadObject, no_local_bucket
from mien.rekognition.service import EventualConsistency, Service
from mien.rekognition.settings import WireSettings
from mien.rekognition.sigv4 import RawRequest
from mien.security.audit import LogLines
from mien.security.bodies import ByteBudget, Claim, bounded, declared_length, refuse_declared
from mien.security.origins import TRUST, client_network, is_local_program, refuse_ambiguous

if TYPE_CHECKING:
    from mien.engine import FaceEngine
    from mien.gallery import Gallery
    from mien.security.audit import Audit

MAX_BODY_BYTES = 15 * 1024 * 1024
MAX_BODIES_BYTES = 256 * 1024 * 1024
"""Of all requests in progress together, so that many clients cannot fill the memory."""

SMALL_BODY_BYTES = 64 * 1024
"""A larger body is read only from a caller who may have signed it; so that the order of checks is AWS's for others."""


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
    pool = RequestThreads(settings.workers or available_cores() + 1, "rekognition", settings.max_waiting)
    verifying = RequestThreads(1, "rekognition-signatures", settings.max_waiting)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        verifying.shutdown()
        pool.shutdown()

    wire_app = WireApp(Dispatcher(service, settings, audit or LogLines()), pool, verifying)
    return Starlette(routes=[Route("/{path:path}", wire_app)], lifespan=lifespan)


class WireApp:
    """The ASGI application of one route: reads a request, and has it answered in the pool.

    For the log, it puts `route`, `operation` and, once it is verified, `access_key_id` into the request's state.
    """

    def __init__(self, dispatcher: Dispatcher, pool: RequestThreads, verifying: RequestThreads) -> None:
        """Answer with `dispatcher`; what its threads refuse is throttled.

        Args:
            dispatcher: Answers requests.
            pool: Threads for the operations; a client is who has an access key.
            verifying: Threads for what comes before, which is short, for clients who are not known yet.
        """
        self._dispatcher, self._pool, self._verifying = dispatcher, pool, verifying
        self._budget = ByteBudget(MAX_BODIES_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request; nothing is sent to a client that has gone."""
        claim = Claim(self._budget)
        request = Request(scope, bounded(receive, MAX_BODY_BYTES, claim))
        request.state.route, request.state.operation = "/", operation_name(request.headers.get("x-amz-target", ""))
        try:
            response = await self._respond(request, claim)
        except ClientDisconnect:
            return
        finally:
            claim.end()
        await response(scope, receive, send)

    async def _respond(self, request: Request, claim: Claim) -> Response:
        try:
            refuse_ambiguous(request.scope.get("http_version", "1.1"), request.headers.raw)
            refuse_declared(request.headers, MAX_BODY_BYTES)
            return await self._respond_to_bounded(request, claim)
        except MalformedRequest as error:
            return Response(str(error), 400, headers={"connection": "close"})
        except ImageTooLarge as error:  # the connection stays, so that the client gets to read the answer
            return Response(str(error), 413)
        except BodyTooSlow as error:
            return Response(str(error), 408, headers={"connection": "close"})
        except Overloaded:
            return _response(throttled())

    async def _respond_to_bounded(self, request: Request, claim: Claim) -> Response:
        raw, is_local = _raw_request(request), _is_local(request)
        # With the address: whoever knows no more than the id of another's key must not use up what is that one's.
        client.set(f"{self._dispatcher.claimed_key_id(raw)} {client_network(_peer(request))}")
        if _is_large(request) and (refused := self._dispatcher.refuse_signer(raw, is_local=is_local)):
            return _response(refused)
        verified = await self._verify(replace(raw, body=await request.body()), is_local=is_local)
        if not isinstance(verified, SignedCall):
            return _response(verified)
        request.state.access_key_id = verified.caller.key_id
        if verified.caller.key_id is not None:
            request.scope.get(TRUST, lambda: None)()
        # From here on one key is one client, from however many addresses it is used.
        client.set(verified.caller.key_id or "")
        claim.hand_over()
        loop = asyncio.get_running_loop()
        return _response(await loop.run_in_executor(self._pool, self._dispatcher.answer, verified))

    async def _verify(self, raw: RawRequest, *, is_local: bool) -> SignedCall | WireResponse:
        """Verify a call: a small one at once, which is quicker than to have it done by a thread."""

        def verify() -> SignedCall | WireResponse:
            return self._dispatcher.verify(raw, is_local=is_local)

        if len(raw.body) <= SMALL_BODY_BYTES:
            return verify()
        return await asyncio.get_running_loop().run_in_executor(self._verifying, verify)


def _is_large(request: Request) -> bool:
    length = declared_length(request.headers)
    return length is None or length > SMALL_BODY_BYTES


def _raw_request(request: Request) -> RawRequest:
    """Return the request without its body."""
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    path = request.scope.get("raw_path") or request.scope["path"].encode()
    query: bytes = request.scope["query_string"]
    return RawRequest(request.method, path.decode("latin-1"), query.decode("latin-1"), headers, b"")


def _peer(request: Request) -> str:
    return request.client.host if request.client else ""


def _is_local(request: Request) -> bool:
    return is_local_program(_peer(request), request.scope.get("http_version", ""), request.headers)


def _response(wire: WireResponse) -> Response:
    headers = {"x-amzn-requestid": wire.request_id, "content-type": wire.content_type}
    return Response(wire.body, wire.status, headers=headers)
