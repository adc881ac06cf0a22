"""Who is on a photo, who was, and what can be said of faces without names."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import AwareDatetime

from mien.api import photo_input, schemas
from mien.api.context import ApiContext, Context, listed, needs, photo_body, problems
from mien.domain import records
from mien.security.api_keys import Scope

Threshold = Annotated[
    str | None,
    Query(
        max_length=40,
        description="The least similarity that counts, 0 or 1 to 100, or an error rate: `fmr=1e-4` (`1e-4` alone) for "
        "each comparison, `fpir=0.01` for a search among the faces enrolled now.",
        examples=["80", "fmr=1e-4", "fpir=0.01"],
    ),
]
Limit = Annotated[int, Query(ge=1, le=1000)]
Cursor = Annotated[str | None, Query(max_length=600, description="`next_cursor` of the page before.")]

routes = APIRouter(tags=["recognition"], dependencies=[needs(Scope.RECOGNIZE)])


def answer(recognition: records.Recognition, desk: ApiContext) -> schemas.Recognition:
    desk.metrics.recognized(recognition)
    return schemas.Recognition.model_validate(recognition)


@routes.post("/recognize", responses=problems(400, 413, 415, 422), openapi_extra=photo_body("image"))
async def recognize(
    request: Request, desk: Context, threshold: Threshold = None, store: bool = True
) -> schemas.Recognition:
    """Who is on the photo in the request? The photo is not kept; the answer is, unless `store=false`."""
    image, _ = await photo_input.photo(request)
    return answer(await desk.inference.run(desk.app.recognize, image, threshold, store=store), desk)


@routes.get("/recognize", responses=problems(400, 404, 413, 415, 422))
async def recognize_stored(
    image_path: Annotated[str, Query(examples=[schemas.PATH])], desk: Context, threshold: Threshold = None
) -> schemas.Recognition:
    """Who is on a photo that was uploaded?"""
    return answer(await desk.inference.run(desk.app.recognize_stored, image_path, threshold), desk)


@routes.get("/recognitions", responses=problems(422))
async def recognitions(
    desk: Context,
    user_id: Annotated[str | None, Query(max_length=80)] = None,
    since: Annotated[AwareDatetime | None, Query(examples=["2026-11-23T00:00:00Z"])] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> schemas.Recognitions:
    """The stored answers, newest first; of one person: those that name them."""
    listing = {"list": "recognitions", "user_id": user_id, "since": since}
    token = desk.cursors.open(listing, cursor)
    page = await desk.storage.run(desk.app.recognitions, user_id, since, limit, token)
    return schemas.Recognitions(
        recognitions=listed(schemas.Recognition, page.items),
        next_cursor=desk.cursors.seal(listing, page.next_token),
    )


@routes.get("/recognitions/{recognition_id}", responses=problems(404, 422))
async def recognition(recognition_id: str, desk: Context) -> schemas.Recognition:
    """One stored answer."""
    found = await desk.storage.run(desk.app.recognition, recognition_id)
    return schemas.Recognition.model_validate(found)


@routes.post("/detect", responses=problems(400, 413, 415, 422), openapi_extra=photo_body("image"))
async def detect(request: Request, desk: Context) -> schemas.Detections:
    """The photo's faces, largest first, without names."""
    image, _ = await photo_input.photo(request)
    found = await desk.inference.run(desk.app.detect, image)
    return schemas.Detections(faces=listed(schemas.Detection, found))


@routes.post(
    "/compare",
    responses=problems(400, 413, 415, 422),
    openapi_extra=photo_body("source", "target"),
)
async def compare(request: Request, desk: Context) -> schemas.Comparisons:
    """Is the largest face of `source` on `target`?"""
    form = await photo_input.read_form(request)
    source, target = await photo_input.part(form, "source"), await photo_input.part(form, "target")
    found = await desk.inference.run(desk.app.compare, source, target)
    return schemas.Comparisons(matches=listed(schemas.Comparison, found))
