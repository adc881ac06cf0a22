"""How the service itself is: health by a real inference, metrics, what similarities mean, the page."""

from __future__ import annotations

import html
from importlib.metadata import version
from pathlib import Path

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import HTMLResponse

from mien.api import schemas
from mien.api.context import Context, needs, problems
from mien.domain import thresholds
from mien.security.api_keys import Scope

PAGES = Path(__file__).parents[1] / "pages"
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src blob:; "
    "connect-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
)

routes = APIRouter(tags=["service"])


@routes.get("/health", responses=problems())
async def health(desk: Context) -> schemas.Health:
    """A real inference on a grey image; fails when the models or the recogniser do."""
    await desk.health.check()
    return schemas.Health(status="ok", version=version("mien"))


@routes.get(
    "/metrics",
    dependencies=[needs(Scope.MANAGE)],
    response_class=Response,
    responses=problems(media_type="text/plain"),
)
async def metrics(desk: Context) -> Response:
    """For Prometheus."""
    return Response(generate_latest(desk.metrics.registry), media_type=CONTENT_TYPE_LATEST)


@routes.get("/calibration", responses=problems())
async def calibration(desk: Context) -> schemas.Calibration:
    """How often two strangers reach each similarity, for the shipped model; no points where that is not known."""
    usual = await desk.storage.run(desk.app.threshold)
    tenths = range(5, 1000, 5) if usual.fmr is not None else ()
    points = [schemas.CalibrationPoint(similarity=t / 10, fmr=thresholds.fmr_of_similarity(t / 10)) for t in tenths]
    return schemas.Calibration(points=points, default_threshold=usual.similarity)


@routes.get("/", include_in_schema=False)
async def page(request: Request) -> HTMLResponse:
    """The page, told under which prefix (a stage of API Gateway, a proxy's path) it is served."""
    base = html.escape(request.scope.get("root_path", "").rstrip("/") + "/")
    document = (PAGES / "index.html").read_text("utf-8").replace('<base href="/">', f'<base href="{base}">')
    return HTMLResponse(document, headers={"Content-Security-Policy": CONTENT_POLICY})
