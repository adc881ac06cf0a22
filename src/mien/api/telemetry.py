"""Give each request an id, log a line for it, and count it for Prometheus.

None of them holds personal data: a request is logged by its route's template, never by its path.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.domain.records import Recognition

log = logging.getLogger("mien.access")

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER, UNKNOWN, MALFORMED = "other", "unknown", "malformed"
BAD_REQUEST, HUNG_UP, INTERNAL_ERROR, UNAVAILABLE = 400, 499, 500, 503
"""499 stands for a client that did not wait for the end of the answer; nobody gets it."""

ROUTE = "route"
"""Of a request's state: the template of its route, where whoever answers knows it better than the application."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9\-]{1,64}")
_SECONDS_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_SIMILARITY_BUCKETS = (*range(0, 95, 5), 95, 96, 97, 98, 99, 100)


class Metrics:
    """The Prometheus metrics of one server."""

    def __init__(self, gauges: Mapping[str, Callable[[], float]]) -> None:
        """Register the metrics.

        Args:
            gauges: Further gauges by name, without the prefix `mien_`; each is read at every scrape.
        """
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "mien_requests", "Requests answered", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "mien_request_seconds", "Time to answer", ["route"], buckets=_SECONDS_BUCKETS, registry=self.registry
        )
        self.faces = Counter("mien_recognized_faces", "Faces searched, by outcome", ["status"], registry=self.registry)
        self.similarities = Histogram(
            "mien_match_similarity",
            "Similarity of matched and ambiguous faces",
            buckets=_SIMILARITY_BUCKETS,
            registry=self.registry,
        )
        self.operations = Counter(
            "mien_operations", "Wire API operations answered", ["operation", "status"], registry=self.registry
        )
        self.operation_seconds = Histogram(
            "mien_operation_seconds",
            "Time to answer a wire API operation",
            ["operation"],
            buckets=_SECONDS_BUCKETS,
            registry=self.registry,
        )
        for name, read in gauges.items():
            Gauge(f"mien_{name}", name.replace("_", " "), registry=self.registry).set_function(read)

    def count_request(self, method: str, route: str, status: int, seconds: float, operation: str | None = None) -> None:
        """Count a request; one of the wire API by its operation. All of these come from fixed sets."""
        if operation is None:
            self.requests.labels(method, route, status).inc()
            self.seconds.labels(route).observe(seconds)
        else:
            self.operations.labels(operation, status).inc()
            self.operation_seconds.labels(operation).observe(seconds)

    def count_recognition(self, recognition: Recognition) -> None:
        """Count the outcome and the similarity of every face of a recognition."""
        for face in recognition.faces:
            self.faces.labels(face.status).inc()
            if face.similarity is not None:
                self.similarities.observe(face.similarity)


@dataclass(slots=True)
class _Exchange:
    """What has passed between client and server of one request so far.

    `answered_at` is when the whole answer was there; how long its client takes to read it is not the server's time.
    """

    status: int = INTERNAL_ERROR
    bytes_in: int = 0
    bytes_out: int = 0
    answered_at: float | None = None
    has_hung_up: bool = False
    request_id: str = ""


class TelemetryMiddleware:
    """Gives each HTTP request an id, measures it, and logs its outcome.

    One that stands within another leaves that to it. Routes tell who called, and what, in the request's state: `caller`
    of the REST API; `operation` and `access_key_id` of the wire API.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics
        self._process, self._numbers = uuid.uuid4().hex[:24], count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state, root_path = scope.setdefault("state", {}), scope.get("root_path", "")
        if ROUTE in state:
            try:
                await self._app(scope, receive, send)
            finally:
                state[ROUTE] = _template(scope, root_path) if state[ROUTE] == UNKNOWN else state[ROUTE]
            return
        state[ROUTE] = UNKNOWN
        started, exchange = time.perf_counter(), _Exchange(request_id=self._request_id(scope))
        scope["request_id"] = exchange.request_id
        try:
            await self._app(scope, _counting(receive, exchange), _noting(send, exchange))
        except asyncio.CancelledError:
            exchange.status = exchange.status if exchange.bytes_out else UNAVAILABLE
            raise
        finally:
            route = _template(scope, root_path) if state[ROUTE] == UNKNOWN else state[ROUTE]
            ended = time.perf_counter() if exchange.answered_at is None else exchange.answered_at
            self._record(scope, exchange, route, ended - started)

    def _request_id(self, scope: Scope) -> str:
        """Return the client's request id, or a generated one: a prefix of this process and a counter.

        A UUID for each request would call the system's random generator in the event loop, which blocks it.
        """
        sent = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"").decode("latin-1")
        return sent if _REQUEST_ID.fullmatch(sent) else f"{self._process}{next(self._numbers):08x}"

    def _record(self, scope: Scope, exchange: _Exchange, route: str, seconds: float) -> None:
        status = HUNG_UP if exchange.has_hung_up else exchange.status
        method = scope["method"] if scope["method"] in METHODS else OTHER
        facts = {"method": method, "route": route, "status": status, "ms": round(seconds * 1000, 1)}
        facts |= {"bytes_in": exchange.bytes_in, "bytes_out": exchange.bytes_out, "request_id": exchange.request_id}
        self._metrics.count_request(method, route, status, seconds, scope["state"].get("operation"))
        log.info("request", extra=facts | _caller(scope["state"]))


class MalformedRequests(logging.Filter):
    """Gives what uvicorn refused as no HTTP its place in log and metrics, instead of uvicorn's own line."""

    def __init__(self, metrics: Metrics) -> None:
        super().__init__()
        self._metrics = metrics

    def filter(self, record: logging.LogRecord) -> bool:
        if record.msg != "Invalid HTTP request received.":
            return True
        self._metrics.count_request(OTHER, MALFORMED, BAD_REQUEST, 0.0)
        log.info("request", extra={"method": OTHER, "route": MALFORMED, "status": BAD_REQUEST})
        return False


def _counting(receive: Receive, exchange: _Exchange) -> Receive:
    async def counting() -> Message:
        message = await receive()
        exchange.bytes_in += len(message.get("body", b""))
        exchange.has_hung_up |= message["type"] == "http.disconnect" and exchange.answered_at is None
        return message

    return counting


def _noting(send: Send, exchange: _Exchange) -> Send:
    async def noting(message: Message) -> None:
        if message["type"] == "http.response.start":
            exchange.status = message["status"]
            own_id = next((value for name, value in message["headers"] if name == b"x-amzn-requestid"), None)
            if own_id is None:
                message["headers"] = [*message["headers"], (b"x-request-id", exchange.request_id.encode())]
            else:  # the wire API has request ids of its own
                exchange.request_id = own_id.decode("latin-1")
        else:
            exchange.bytes_out += len(message.get("body", b""))
            if not message.get("more_body", False):
                exchange.answered_at = time.perf_counter()
        await send(message)

    return noting


def _template(scope: Scope, root_path: str) -> str:
    """Return the template of the route that a request reached or, refused before that, would have reached.

    `root_path` is the request's own: a mounted application changes it in the scope.
    """
    if path := getattr(scope.get("route"), "path", None):
        return str(path)
    asked = {**scope, "root_path": root_path}
    matching = (route for route in _routes(scope["app"].routes if "app" in scope else ()) if _matches(route, asked))
    return str(getattr(next(matching, None), "path", UNKNOWN))


def _routes(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    """Yield routes, and in the place of included routers theirs."""
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is None:
            yield route
        else:
            yield from _routes(included.routes)


def _matches(route: BaseRoute, scope: Scope) -> bool:
    """Whether a route has the path of a request, be its method another one or not."""
    return route.matches(scope)[0] is not Match.NONE


def _caller(state: Mapping[str, Any]) -> dict[str, str]:
    """Return who called, as far as that was verified, and the operation of the wire API."""
    kind, _, key_id = state.get("caller", "").partition(" ")
    told = {"key_id": key_id if kind == "key" else None}
    told |= {name: state.get(name) for name in ("operation", "access_key_id")}
    return {name: value for name, value in told.items() if value}
