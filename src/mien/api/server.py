"""Serve the REST API, the web page and the Rekognition wire API on one socket: `mien serve`.

A `POST /` with the header X-Amz-Target belongs to the wire API, everything else to the REST API. The socket opens
before the models are loaded; requests that need them wait. Several processes may serve one data folder: the event
queue leases each event to one of them, and SQLite locks writers out of each other's transactions.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from mien.api.api import create_api
from mien.api.forwarding import path_below_prefix
from mien.api.logs import log_loop_errors
from mien.api.routes.page import SamplePhotos
from mien.api.telemetry import MalformedRequests, TelemetryMiddleware
from mien.backends.embedded.backend import EmbeddedBackend
from mien.config import open_embedded
from mien.domain.errors import ImageNotFound, InvalidInput, SetupError
from mien.domain.waiting import available_cores
from mien.rekognition.settings import SigV4
from mien.security.origins import LOOPBACK_NAMES, is_loopback
from mien.settings import Settings

UNVERSIONED = "null"
"""S3's name for the only version of an object in a bucket that keeps none."""

CLOSE_SECONDS, POLL_SECONDS = 3.0, 0.05
"""How long closing may take: a thread that does not come back is left to the end of the process."""


class Server:
    """The ASGI application of `mien serve` on the embedded backend."""

    def __init__(
        self,
        settings: Settings,
        host: str = "127.0.0.1",
        *,
        rekognition_only: bool = False,
        samples: SamplePhotos | None = None,
    ) -> None:
        """Open the data folder.

        Args:
            settings: The application's settings.
            host: The address that the server listens on.
            rekognition_only: Serve the wire API and nothing else. What the folder promises is kept all the same: photos
                that come or go by hand, what expires, erasures to finish.
            samples: Fetches photos for a first try on the page.

        Raises:
            SetupError: The settings do not fit together, or name another backend.
        """
        if settings.api_keys_file is None and {"*", "null"} & set(settings.cors_origins):
            raise SetupError(
                "Without API keys, MIEN_CORS_ORIGINS must name its origins: any web page could read who is enrolled. "
                "Name them, or run `mien keys create NAME`."
            )
        self._wire_settings = settings.wire_settings(host)
        self._bucket_name = settings.bucket
        self._rekognition_only = rekognition_only
        self._backend = open_embedded(settings)
        # One thread more than cores: each also waits for the disk, and an engine with a single caller is slower.
        self._worker = self._backend.worker((settings.threads or available_cores()) + 1, settings.look_seconds)
        self._api = _api(self._backend, settings, host, samples)
        metrics = self._api.state.context.metrics
        self._requests = TelemetryMiddleware(self._answer, metrics)
        self._malformed = MalformedRequests(metrics)
        self._loader = ThreadPoolExecutor(1, "mien-load")
        self._wire: Future[ASGIApp] | None = None

    def warnings(self) -> list[str]:
        """Say in sentences what an operator may not expect of the wire API's access."""
        if self._wire_settings.sigv4 is SigV4.ACCEPT_ANY:
            return [
                "The Rekognition wire API is open: any program on this machine may call it, whatever it signs with "
                "(MIEN_SIGV4=accept-any)."
            ]
        if not self._wire_settings.keys:
            return ["The Rekognition wire API answers nobody: MIEN_ACCESS_KEYS_FILE has to name its access keys."]
        return []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await self._requests(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._is_wire(scope) and self._wire is not None:
            wire = await asyncio.wrap_future(self._wire)
            await wire(scope, receive, send)
        else:
            await self._api(scope, receive, send)

    def _is_wire(self, scope: Scope) -> bool:
        if self._rekognition_only:
            return True
        has_target = any(name == b"x-amz-target" for name, _ in scope.get("headers", ()))
        return has_target and scope.get("method") == "POST" and path_below_prefix(scope) == "/"

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        log_loop_errors(asyncio.get_running_loop())
        logging.getLogger("uvicorn.error").addFilter(self._malformed)
        self._wire = self._loader.submit(self._open_wire)
        await asyncio.to_thread(self._worker.start)  # not here, where a locked database would keep signals waiting
        await send({"type": "lifespan.startup.complete"})
        await receive()
        logging.getLogger("uvicorn.error").removeFilter(self._malformed)
        closing = threading.Thread(target=self._close, daemon=True)
        closing.start()
        until = time.monotonic() + CLOSE_SECONDS
        while closing.is_alive() and time.monotonic() < until:
            await asyncio.sleep(POLL_SECONDS)
        await send({"type": "lifespan.shutdown.complete"})

    def _open_wire(self) -> ASGIApp:
        from mien.rekognition.server import create_app

        return create_app(
            self._backend.engine(),
            self._backend.gallery(),
            audit=self._backend.audit,
            settings=self._wire_settings,
            read_object=self._read_object,
        )

    def _read_object(self, bucket: str, key: str, version: str | None) -> bytes | None:
        if bucket != self._bucket_name:
            return None
        if version not in (None, UNVERSIONED):
            raise ImageNotFound("The bucket keeps no versions.")
        try:
            return self._backend.bucket.get(key).body
        except InvalidInput:
            raise ImageNotFound("There is no photo under this key.") from None

    def stop_working(self) -> None:
        """Index nothing more, and hand back what is not finished soon."""
        self._worker.stop()

    def _close(self) -> None:
        self.stop_working()
        self._loader.shutdown(cancel_futures=True)
        self._backend.close()


def _api(backend: EmbeddedBackend, settings: Settings, host: str, samples: SamplePhotos | None) -> FastAPI:
    gauges = {"events_waiting": backend.queue.waiting, "events_dead": backend.queue.dead}
    hosts = LOOPBACK_NAMES if is_loopback(host) and settings.api_keys_file is None else None
    return create_api(
        backend.app,
        settings,
        audit=backend.audit,
        signer=backend.signer,
        forms=True,
        hosts=hosts,
        gauges=gauges,
        samples=samples,
    )
