"""Build the REST API as a FastAPI application, for `mien serve` on one machine and for Mangum on AWS Lambda.

Importing this module loads neither the recognition models nor their libraries.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fastapi_offline
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware

from mien.api import problems, schemas
from mien.api.context import ApiContext, BoundedExecutor, Health
from mien.api.descriptions import describe
from mien.api.forwarding import HeadMiddleware
from mien.api.kept_answers import KeptFiles, keep
from mien.api.request_bodies import BodyMiddleware
from mien.api.routes import service
from mien.api.security import Guard, HostOriginMiddleware
from mien.api.telemetry import Metrics, TelemetryMiddleware
from mien.app.app import FaceApp
from mien.domain.waiting import available_cores
from mien.security.api_keys import KeyFile
from mien.security.audit import Audit, LogLines
from mien.security.rate_limit import RatePerKey
from mien.security.signing import Signer
from mien.settings import Settings

if TYPE_CHECKING:
    from mien.api.routes.page import SamplePhotos

PACKAGE = "mien.api.routes"
PARTS = ("uploads", "recognition", "people", "groups", "corrections", "history", "page", "service")
"""The modules of routes, in the order in which the OpenAPI document lists them."""
STORAGE_THREADS, LENGTHY_THREADS = 4, 2
CORS: dict[str, Any] = {
    "allow_methods": ["*"],
    "allow_headers": ["X-Api-Key", "Authorization", "Content-Type"],
    "expose_headers": ["Location", "X-Request-Id", "Retry-After"],
}


def create_api(
    app: FaceApp,
    settings: Settings,
    *,
    audit: Audit | None = None,
    signer: Signer | None = None,
    forms: bool = False,
    hosts: Collection[str] | None = None,
    gauges: Mapping[str, Callable[[], float]] | None = None,
    count_call: Callable[[str], bool] | None = None,
    samples: SamplePhotos | None = None,
    pages_stay: bool = False,
    parts: Collection[str] = PARTS,
) -> FastAPI:
    """Build the REST API of an application.

    Args:
        app: The application that answers the requests.
        settings: Threads, queue lengths, API keys, allowed origins.
        audit: The audit log; lines in the log of the server when None.
        signer: Signs page cursors and upload forms. All servers that one client may reach need the same signer;
            without one, cursors end with this process.
        forms: Also accept the photos of signed upload forms, for backends whose bucket cannot do that itself.
        hosts: The host names under which the server may be called; None accepts any.
        gauges: Further metrics by name, each read when Prometheus asks.
        count_call: Counts a call of the API key with an id, and returns whether it is within its rate; in this process
            when None.
        samples: Fetches photos for a first try; None when there are none.
        pages_stay: Whether the page's files stay as they are while this runs, so that browsers may keep them under
            addresses that change with them, instead of asking each time.
        parts: The modules of `routes` that are served; no other is loaded.
    """
    api = _fastapi()
    api.state.settings, api.state.samples = settings, samples
    api.state.static = service.static_path(is_versioned=pages_stay)
    api.state.context = context = _context(app, settings, audit or LogLines(), signer, gauges or {}, count_call)
    for part in (part for part in PARTS if part in parts):
        for routes in import_module(f"{PACKAGE}.{part}").ROUTERS:
            api.include_router(routes)
    if forms:
        api.include_router(import_module(f"{PACKAGE}.uploads").form_routes)
    if (service.PAGES / "static").is_dir():
        api.mount("/static", KeptFiles(service.PAGES / "static", api.state.static.removeprefix("static/")))
    problems.install(api)
    api.add_middleware(HeadMiddleware)
    api.add_middleware(BodyMiddleware, max_photo_bytes=app.policy.max_image_bytes)
    origins, keyless = settings.cors_origins, settings.api_keys_file is None
    api.add_middleware(HostOriginMiddleware, hosts=hosts, origins=origins, keyless=keyless)
    if settings.cors_origins:
        api.add_middleware(CORSMiddleware, allow_origins=settings.cors_origins, **CORS)
    api.add_middleware(TelemetryMiddleware, metrics=context.metrics)
    return api


def _context(
    app: FaceApp,
    settings: Settings,
    audit: Audit,
    signer: Signer | None,
    gauges: Mapping[str, Callable[[], float]],
    count_call: Callable[[str], bool] | None,
) -> ApiContext:
    # One thread more than cores: while one waits for a disk, a lock or the event loop, the cores stay busy; with more,
    # each request takes more processor time, because threads take the interpreter from one another.
    threads = (settings.threads or available_cores()) + 1
    inference = BoundedExecutor(threads, settings.max_waiting)
    storage = BoundedExecutor(STORAGE_THREADS, settings.max_waiting)
    keys = KeyFile(settings.api_keys_file) if settings.api_keys_file else None
    return ApiContext(
        app=app,
        audit=audit,
        signer=signer or Signer(secrets.token_bytes()),
        guard=Guard(keys, count_call or RatePerKey(settings.rate_per_minute).take),
        inference=inference,
        lengthy=BoundedExecutor(LENGTHY_THREADS, settings.max_waiting),
        storage=storage,
        metrics=Metrics({"inferences_waiting": lambda: inference.pending, **gauges}),
        health=Health(app, inference, storage),
    )


def _fastapi() -> FastAPI:
    # FastAPI's own page at /docs loads its scripts from another host; this one brings them along.
    api = FastAPIOffline(
        title="Mien",
        version=version("mien"),
        summary="Upload photos of people you know; show it a new photo; it says who is in it.",
        license_info={"name": "MIT", "identifier": "MIT"},
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    generate = api.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        components = document["components"]
        components["schemas"]["Problem"] = schemas.Problem.model_json_schema()
        components["securitySchemes"] = {"key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"}}
        document["security"] = [{"key": []}, {}]
        describe(document)
        return document

    api.openapi = openapi  # type: ignore[method-assign]
    keep(api, Path(fastapi_offline.__file__).parent / "static")
    return api
