"""Share among the routes: the application, worker threads with bounded queues, page cursors, health, permissions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ParamSpec, TypeVar, cast
from urllib.parse import quote

from fastapi import Depends, Query, Response
from pydantic import BaseModel
from starlette.requests import Request

from mien.api.security import Guard
from mien.api.telemetry import Metrics
from mien.app.app import FaceApp
from mien.domain.errors import InvalidInput
from mien.domain.image_types import FACELESS_PNG
from mien.domain.results import HealthWarning
from mien.domain.waiting import RequestThreads
from mien.security.api_keys import Scope
from mien.security.audit import Audit
from mien.security.signing import Signer

MAX_CURSOR_LENGTH = 600
"""No cursor is longer: the longest names a person of 80 bytes, on the backend with the longest tokens."""

Cursor = Annotated[
    str | None, Query(max_length=MAX_CURSOR_LENGTH, description="The `next_cursor` of the previous page.")
]
Limit = Annotated[int, Query(ge=1, le=1000)]


class Cursors:
    """Signs page tokens, so that a client can neither change them nor use them for another listing.

    A client can read the token in a cursor, which names the last item of the page before. The listing's filters are
    in it as a keyed hash only.
    """

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def sign(self, listing: Mapping[str, object], token: str | None) -> str | None:
        """Return the cursor of a listing's next page; None after the last one.

        Args:
            listing: The listing's name and filters.
            token: The `next_token` of the page before.
        """
        return None if token is None else self._signer.sign("cursor", {"of": self._hash(listing), "at": token})

    def verify(self, listing: Mapping[str, object], cursor: str | None) -> str | None:
        """Return the page token of a cursor; None stands for the first page.

        Raises:
            InvalidInput: The cursor was changed, or belongs to another listing.
        """
        if cursor is None:
            return None
        claims = self._signer.verify("cursor", cursor)
        if claims["of"] != self._hash(listing):
            raise InvalidInput("The cursor belongs to another listing.")
        return str(claims["at"])

    def _hash(self, listing: Mapping[str, object]) -> str:
        return self._signer.hash("&".join(f"{name}={value}" for name, value in sorted(listing.items())))


HEALTHY_SECONDS = 5

record_work: ContextVar[Callable[[Callable[[], Any]], Any] | None] = ContextVar("record_work", default=None)
"""Does the work of a request and writes its entry in the audit log; None on routes that have no entry."""

P = ParamSpec("P")
T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


class BoundedExecutor:
    """Runs blocking calls on a fixed number of threads, with a bounded queue before them."""

    def __init__(self, threads: int, max_waiting: int) -> None:
        """Make the executor.

        Args:
            threads: How many calls run at once, beside those that have stepped aside.
            max_waiting: How many more may wait for a thread.
        """
        self._pool = RequestThreads(threads, "mien-api", max_waiting)

    @property
    def pending(self) -> int:
        """How many calls wait or are being made."""
        return self._pool.pending

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` on a thread and return its result. The same thread writes the request's entry in the audit log.

        Raises:
            Overloaded: The queue is full, and no client has more calls in it than this one. Nothing was run.
        """
        job, record = partial(work, *args, **kwargs), record_work.get()
        job = job if record is None else partial(record, job)
        return await asyncio.get_running_loop().run_in_executor(self._pool, job)


class Health:
    """Checks the service by a real inference, and remembers success for some seconds.

    Anybody may ask for the health, so a check must not cost an inference each time, nor one for each who asks at once.
    """

    def __init__(self, app: FaceApp, inference: BoundedExecutor, storage: BoundedExecutor) -> None:
        self._app, self._inference, self._storage = app, inference, storage
        self._healthy_until = 0.0
        self._warnings: Sequence[HealthWarning] = ()
        self._running: asyncio.Task[None] | None = None

    async def check(self) -> list[HealthWarning]:
        """Detect faces in a test image, unless that worked a moment ago; raise whatever it raises.

        Returns what does not work as it should though the service works.
        """
        if time.monotonic() > self._healthy_until:
            if self._running is None or self._running.done():
                self._running = asyncio.create_task(self._check())
            await asyncio.shield(self._running)  # one who leaves does not end it for the others
        return list(self._warnings)

    async def _check(self) -> None:
        await self._inference.run(self._app.detect, FACELESS_PNG)
        self._warnings = await self._storage.run(self._app.warnings)
        self._healthy_until = time.monotonic() + HEALTHY_SECONDS


@dataclass(frozen=True)
class ApiContext:
    """The objects that all routes of one API share.

    Attributes:
        app: The application.
        audit: The audit log.
        signer: Signs cursors and upload forms.
        guard: Checks API keys.
        inference: Threads for calls that analyse photos.
        lengthy: Threads for calls that go through all that is stored, wait for erasures, or fetch something.
        storage: Threads for all other calls that block.
        metrics: What Prometheus reads.
        health: The health check.
    """

    app: FaceApp
    audit: Audit
    signer: Signer
    guard: Guard
    inference: BoundedExecutor
    lengthy: BoundedExecutor
    storage: BoundedExecutor
    metrics: Metrics
    health: Health

    @property
    def cursors(self) -> Cursors:
        return Cursors(self.signer)

    async def written(self, make: Callable[[], M]) -> M:
        """Make a page of a listing and write its JSON on a thread: where FastAPI does so, all others wait meanwhile.

        What is returned is a response in truth, which FastAPI passes on.
        """
        body = await self.storage.run(lambda: make().model_dump_json().encode())
        return cast(M, Response(body, media_type="application/json"))


async def _context(request: Request) -> ApiContext:
    context: ApiContext = request.app.state.context
    return context


Context = Annotated[ApiContext, Depends(_context)]


def needs(scope: Scope) -> Any:
    """Make a route dependency that refuses callers whose API key lacks the scope."""

    async def check(request: Request) -> None:  # without `Context`, for which FastAPI would solve one more dependency
        (await _context(request)).guard.check(request, scope)

    return Depends(check)


def external_path(request: Request, path: str) -> str:
    """Return a path of this API as the client reaches it: quoted, and behind the prefix of a stage or a proxy."""
    return quote(request.scope.get("root_path", "") + path)
