"""The REST API as a FastAPI application: for `mien serve` on one machine, for Mangum on Lambda.

Importing it loads neither the recognition models nor their libraries.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Collection, Mapping
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware
from starlette.staticfiles import StaticFiles

from mien.api import problems, schemas
from mien.api.context import ApiContext, BoundedExecutor, Health
from mien.api.routes import corrections, people, recognition, service, uploads
from mien.api.security import Guard, HostOriginMiddleware
from mien.api.telemetry import Metrics, Observer
from mien.app.app import FaceApp
from mien.config import Settings
from mien.security.api_keys import KeyFile
from mien.security.signing import Signer

STORAGE_THREADS = 4
FORM_BYTES = 64 * 1024  # what a multipart body adds to its photos
CORS: dict[str, Any] = {
    "allow_methods": ["*"],
    "allow_headers": ["X-Api-Key", "Authorization", "Content-Type"],
    "expose_headers": ["Location", "X-Request-Id", "Retry-After"],
}


def create_api(
    app: FaceApp,
    settings: Settings,
    *,
    signer: Signer | None = None,
    forms: bool = False,
    hosts: Collection[str] | None = None,
    gauges: Mapping[str, Callable[[], float]] | None = None,
) -> FastAPI:
    """The REST API on an application.

    `signer` seals page cursors: the same one wherever the same client may come next. `forms`: take signed
    upload forms, where no other store does. `hosts`: see Fence.
    """
    api = _describe()
    api.state.desk = desk = _desk(app, settings, signer, gauges or {})
    for module in (uploads, recognition, people, corrections, service):
        api.include_router(module.routes)
    if forms:
        api.include_router(uploads.form_routes)
    if (service.PAGES / "static").is_dir():
        api.mount("/static", StaticFiles(directory=service.PAGES / "static"))
    problems.install(api)
    max_bytes = app.policy.max_image_bytes + FORM_BYTES
    api.add_middleware(HostOriginMiddleware, hosts=hosts, origins=settings.cors_origins, max_body_bytes=max_bytes)
    if settings.cors_origins:
        api.add_middleware(CORSMiddleware, allow_origins=settings.cors_origins, **CORS)
    api.add_middleware(Observer, metrics=desk.metrics)
    return api


def _desk(
    app: FaceApp, settings: Settings, signer: Signer | None, gauges: Mapping[str, Callable[[], float]]
) -> ApiContext:
    # Two more than there are cores: while some wait for a disk, a lock or the event loop, the cores stay busy.
    inference = BoundedExecutor((settings.threads or os.cpu_count() or 1) + 2, settings.max_waiting)
    keys = KeyFile(settings.api_keys_file) if settings.api_keys_file else None
    return ApiContext(
        app=app,
        signer=signer or Signer((settings.secret or secrets.token_hex()).encode()),
        guard=Guard(keys, settings.rate_per_minute),
        inference=inference,
        storage=BoundedExecutor(STORAGE_THREADS, settings.max_waiting),
        metrics=Metrics({"inferences_waiting": lambda: inference.inside, **gauges}),
        health=Health(app, inference),
    )


def _describe() -> FastAPI:
    # Not FastAPI itself, whose description at /docs loads its script from another host.
    api = FastAPIOffline(
        title="Mien",
        version=version("mien"),
        summary="Upload photos of people you know; show it a new photo; it says who is on it.",
        license_info={"name": "MIT", "identifier": "MIT"},
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    document = api.openapi

    def openapi() -> dict[str, object]:
        described = document()
        components = described["components"]
        components["schemas"]["Problem"] = schemas.Problem.model_json_schema()
        components["securitySchemes"] = {"key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"}}
        described["security"] = [{"key": []}, {}]
        return described

    api.openapi = openapi  # type: ignore[method-assign]
    return api
