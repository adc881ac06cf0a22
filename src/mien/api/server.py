"""One socket, three doors: REST, the page, and on `POST /` with an X-Amz-Target the Rekognition wire API.

The socket opens while the models load; who needs them waits for them. One folder may be served by several
processes: the queue leases its events, and SQLite keeps the writers apart.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import Future, ThreadPoolExecutor

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from mien.api.api import create_api
from mien.api.security import LOOPBACK
from mien.backends.embedded.backend import EmbeddedBackend
from mien.config import Settings, open_embedded
from mien.domain.errors import ImageNotFound, InvalidInput
from mien.rekognition.settings import is_loopback


class Server:
    """The ASGI application of `mien serve`; `rekognition_only` leaves the wire API alone."""

    def __init__(
        self,
        settings: Settings,
        host: str = "127.0.0.1",
        *,
        rekognition_only: bool = False,
    ) -> None:
        self._wire_settings = settings.wire_settings(host)
        self._bucket_name = settings.bucket
        self._rekognition_only = rekognition_only
        self._machine = open_embedded(settings)
        # One more than there are cores: each also waits for the disk, and an engine with one caller is slower.
        self._worker = self._machine.worker((settings.threads or os.cpu_count() or 1) + 1)
        self._api = _api(self._machine, settings, host)
        self._loader = ThreadPoolExecutor(1, "mien-load")
        self._wire: Future[ASGIApp] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif self._is_wire(scope) and self._wire is not None:
            wire = await asyncio.wrap_future(self._wire)
            await wire(scope, receive, send)
        else:
            await self._api(scope, receive, send)

    def _is_wire(self, scope: Scope) -> bool:
        if self._rekognition_only:
            return True
        named = any(name == b"x-amz-target" for name, _ in scope.get("headers", ()))
        return named and scope.get("method") == "POST" and scope.get("path") == "/"

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._wire = self._loader.submit(self._open_wire)
        if not self._rekognition_only:
            self._worker.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.to_thread(self._close)
        await send({"type": "lifespan.shutdown.complete"})

    def _open_wire(self) -> ASGIApp:
        from mien.rekognition.server import create_app

        return create_app(
            self._machine.engine(),
            self._machine.gallery(),
            settings=self._wire_settings,
            read_object=self._read_object,
        )

    def _read_object(self, bucket: str, key: str, version: str | None) -> bytes | None:
        if bucket != self._bucket_name:
            return None
        try:
            return self._machine.bucket.get(key).body
        except InvalidInput:
            raise ImageNotFound("There is no photo under this key.") from None

    def _close(self) -> None:
        if not self._rekognition_only:
            self._worker.stop()
        self._loader.shutdown(cancel_futures=True)
        self._machine.close()


def _api(machine: EmbeddedBackend, settings: Settings, host: str) -> FastAPI:
    gauges = {"events_waiting": machine.queue.waiting, "events_dead": machine.queue.dead}
    closed = is_loopback(host) and settings.api_keys_file is None
    hosts = LOOPBACK if closed else None
    return create_api(machine.app, settings, signer=machine.signer, forms=True, hosts=hosts, gauges=gauges)
