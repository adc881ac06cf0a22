"""Our wire API as the tests' Rekognition, on the fake engine, which a test can make slow or broken."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.gallery import Gallery
from mien.rekognition.server import create_app
from mien.rekognition.settings import SigV4, WireSettings
from tests.support.fake_engine import FakeFaceEngine

COLLECTION = "face-collection"
EMULATORS_HEADER = b"x-ministack-invoke-depth"
"""What only the emulator adds to a function's calls; our wire API takes it for a proxy's, and answers no proxy."""


class Rekognition:
    """An ASGI application that can be told how to behave."""

    def __init__(self, engine: FakeFaceEngine, gallery: Gallery) -> None:
        self._engine, self._gallery = engine, gallery
        self.stalled = threading.Event()
        self.refused = 0
        self._app = self._with()

    def throttle(self, **per_second: float) -> None:
        """Requests per second by operation. Of 50 calls, five are refused however slow the test is."""
        self._app = Throttle(self._with(rates=per_second), self._count_refused)

    def _count_refused(self) -> None:
        self.refused += 1

    def fail(self, status: int, code: str) -> None:
        self._app = JSONResponse({"__type": code, "Message": "as asked"}, status)

    def stall_after(self, operation: str) -> None:
        """Do what is asked, but never answer; `stalled` tells that it is done."""
        self._app = Stall(self._with(), operation, self.stalled)

    def heal(self) -> None:
        self.stalled.clear()
        self._app = self._with()

    def faces(self) -> list[str]:
        return [face.face_id for face in self._gallery.faces.list(COLLECTION).items]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = [(name, value) for name, value in scope["headers"] if name != EMULATORS_HEADER]
            await self._app({**scope, "headers": headers}, receive, send)

    def _with(self, **settings: Any) -> ASGIApp:
        options = WireSettings(sigv4=SigV4.ACCEPT_ANY, max_waiting=1000, **settings)
        return create_app(self._engine, self._gallery, settings=options)


class Throttle:
    def __init__(self, app: ASGIApp, note: Callable[[], None]) -> None:
        self._app, self._note, self._calls = app, note, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._calls += 1
        if self._calls % 50 >= 5:
            await self._app(scope, receive, send)
            return
        self._note()
        error = {"__type": "ProvisionedThroughputExceededException", "Message": "as asked"}
        await JSONResponse(error, 400)(scope, receive, send)


class Stall:
    def __init__(self, app: ASGIApp, operation: str, stalled: threading.Event) -> None:
        self._app, self._operation, self._stalled = app, operation, stalled

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        target = dict(scope["headers"]).get(b"x-amz-target", b"").decode()
        await self._app(scope, receive, self._never if target.endswith(f".{self._operation}") else send)

    async def _never(self, _: Message) -> None:
        self._stalled.set()
        while self._stalled.is_set():  # until healed
            await asyncio.sleep(0.05)
        raise ConnectionAbortedError
