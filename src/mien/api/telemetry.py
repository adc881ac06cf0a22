"""Give each request an id, log a line for it, and count it for Prometheus.

None of them holds personal data: a request is logged by its route's template, never by its path.
"""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import count

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.domain.records import Recognition

log = logging.getLogger("mien.access")

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
        for name, read in gauges.items():
            Gauge(f"mien_{name}", name.replace("_", " "), registry=self.registry).set_function(read)

    def count_recognition(self, recognition: Recognition) -> None:
        """Count the outcome and the similarity of every face of a recognition."""
        for face in recognition.faces:
            self.faces.labels(face.status).inc()
            if face.similarity is not None:
                self.similarities.observe(face.similarity)


class TelemetryMiddleware:
    """Gives each HTTP request an id, measures it, and logs its outcome."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics
        self._process, self._numbers = uuid.uuid4().hex[:24], count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500
        scope["request_id"] = request_id = self._request_id(scope)

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            self._record(scope, status, time.perf_counter() - started)

    def _request_id(self, scope: Scope) -> str:
        """Return the client's request id, or a generated one: a prefix of this process and a counter.

        A UUID for each request would call the system's random generator in the event loop, which blocks it.
        """
        sent = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"").decode("latin-1")
        return sent if _REQUEST_ID.fullmatch(sent) else f"{self._process}{next(self._numbers):08x}"

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unknown")
        method = scope["method"] if route != "unknown" else "ANY"
        self._metrics.requests.labels(method, route, status).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        facts = {"method": method, "route": route, "status": status, "ms": round(seconds * 1000, 1)}
        log.info("request", extra=facts | {"request_id": scope["request_id"]})


class JsonLines(logging.Formatter):
    """Formats log records as one JSON object a line, with these extra fields and no others."""

    FIELDS = (
        *("method", "route", "status", "ms", "request_id", "task", "error", "attempt"),
        *("recognitions", "photos", "people", "failed"),  # counts of an expiry
    )

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).astimezone()
        line = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in self.FIELDS if hasattr(record, name)}
        return json.dumps(line)
