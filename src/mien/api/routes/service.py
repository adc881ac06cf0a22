"""Serve health, metrics, the calibration of similarities, and the web page."""

from __future__ import annotations

import hashlib
import html
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import HTMLResponse

from mien.api import schemas
from mien.api.context import Context, needs
from mien.api.problems import problem_responses
from mien.domain import thresholds
from mien.security.api_keys import Scope
from mien.settings import Backend, Settings

PAGES = Path(__file__).parents[1] / "pages"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src blob:; "
    "manifest-src 'self'; connect-src {origins}; base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
)

routes = APIRouter(tags=["service"])
ROUTERS = (routes,)


@routes.get("/health", responses=problem_responses())
async def health(context: Context) -> schemas.Health:
    """Check the service by detecting faces in a test image; fails when the recogniser does.

    `warnings` says what does not work as it should though Mien works: a limit of the system that is reached, folders
    among the photos that cannot be a person's (their number), erasures that are stuck (their ids). `remarks` says the
    same with codes for programs, and with what varies in each sentence.
    """
    warnings = await context.health.check()
    return schemas.Health(
        status="ok",
        version=version("mien"),
        warnings=[warning.message for warning in warnings],
        remarks=schemas.HealthRemark.from_each(warnings),
    )


@routes.get(
    "/metrics",
    dependencies=[needs(Scope.MANAGE)],
    response_class=Response,
    responses=problem_responses(media_type="text/plain"),
)
async def metrics(context: Context) -> Response:
    """Get the metrics in Prometheus' text format."""
    return Response(generate_latest(context.metrics.registry), media_type=CONTENT_TYPE_LATEST)


@routes.get("/calibration", response_model=schemas.Calibration, responses=problem_responses())
async def calibration(context: Context) -> Response:
    """Get the false match rate (FMR) at each similarity; without points where the rates are not published."""
    default = await context.storage.run(context.app.threshold)
    return Response(_calibration(default.similarity, has_rates=default.fmr is not None), media_type="application/json")


@lru_cache(maxsize=4)
def _calibration(default_threshold: float, *, has_rates: bool) -> str:
    tenths = range(5, 1000, 5) if has_rates else ()
    points = [schemas.CalibrationPoint(similarity=t / 10, fmr=thresholds.fmr_of_similarity(t / 10)) for t in tenths]
    return schemas.Calibration(points=points, default_threshold=default_threshold).model_dump_json()


@routes.get("/", include_in_schema=False)
async def page(request: Request, context: Context) -> HTMLResponse:
    """Serve the page with the path prefix (a stage of API Gateway, or a proxy's path) as its base URL."""
    base = html.escape(request.scope.get("root_path", "").rstrip("/") + "/")
    document = (PAGES / "index.html").read_text("utf-8").replace('<base href="/">', f'<base href="{base}">')
    about = f'name="version" content="{html.escape(version("mien"))}"'
    document = document.replace('name="version" content=""', about)
    document = document.replace('content="docs groups samples"', f'content="{" ".join(_offers(request))}"')
    document = document.replace('"static/', f'"{request.app.state.static}')
    return HTMLResponse(document, headers={"Content-Security-Policy": _policy(context)})


def _offers(request: Request) -> Iterator[str]:
    """Yield what this server has of what the page links to, which is nothing where it runs as functions on AWS."""
    settings: Settings = request.app.state.settings
    if "aws.event" not in request.scope:
        yield "docs"
    if settings.backend is not Backend.AWS:
        yield "groups"
    if request.app.state.samples is not None:
        yield "samples"


def static_path(*, is_versioned: bool) -> str:
    """Return the path below which the page finds its files; a versioned one changes with any of them."""
    if not is_versioned:
        return "static/"
    files = sorted(path for path in (PAGES / "static").rglob("*") if path.is_file())
    content = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    return f"static/{content[:16]}/"


def _policy(context: Context) -> str:
    """Let the page's scripts read photos where the bucket has them."""
    link = context.app.link_to_bucket()
    origins = "'self'" if link is None else "'self' {0.scheme}://{0.netloc}".format(urlsplit(link))
    return CONTENT_SECURITY_POLICY.format(origins=origins)
