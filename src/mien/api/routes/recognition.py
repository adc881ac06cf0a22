"""Recognise faces, list recognitions, and detect or compare faces without names."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from mien.api import schemas
from mien.api.audit import AuditedRoute
from mien.api.context import ApiContext, Context, Cursor, Limit, needs
from mien.api.forwarding import IS_HEAD
from mien.api.photo_input import photo_request_body, read_photo, read_photos
from mien.api.problems import problem_responses
from mien.domain import records
from mien.security.api_keys import Scope

Threshold = Annotated[
    str | None,
    Query(
        max_length=40,
        description="The lowest similarity of a match: 0, or 1 to 100. Or an error rate: `fmr=1e-4` (or `1e-4` alone) "
        "for each comparison, `fpir=0.01` for a search among the faces enrolled now. Or `auto`: 80, and more in a "
        "gallery so large that more than 1 in 100 strangers would be named.",
        examples=["auto", "80", "fmr=1e-4", "fpir=0.01"],
    ),
]


Since = Annotated[
    schemas.Moment | None,
    Query(
        description="A moment or a date; in UTC where it names no time zone.",
        examples=["2026-11-23T00:00:00Z", "2026-11-23"],
    ),
]
Remember = Annotated[bool, Query(description="Whether to keep portraits of unknown faces, to know them again.")]

routes = APIRouter(tags=["recognition"], dependencies=[needs(Scope.RECOGNIZE)], route_class=AuditedRoute)
ROUTERS = (routes,)


@routes.post("/recognize", responses=problem_responses(400, 413, 415, 422), openapi_extra=photo_request_body("image"))
async def recognize(
    request: Request, context: Context, threshold: Threshold = None, store: bool = True, remember: Remember = False
) -> schemas.Recognition:
    """Recognise every face in the photo of the request.

    The photo is not kept. The recognition is stored, unless `store=false`. With `remember=true`, portraits of unknown
    faces are kept, and each such face has a `stranger`: the group of faces that it belongs to, and when those were
    seen. That needs the scope `upload`, too.
    """
    if remember:
        context.guard.check(request, Scope.UPLOAD)
    image, _ = await read_photo(request)
    if remember:
        recognition = await context.inference.run(context.app.groups.remember, image, threshold, store=store)
        return await context.storage.run(_with_strangers, recognition, context)
    recognition = await context.inference.run(context.app.recognize, image, threshold, store=store)
    return _counted(recognition, context)


@routes.get("/recognize", responses=problem_responses(400, 404, 413, 415, 422))
async def recognize_stored(
    request: Request,
    image_path: Annotated[str, Query(examples=[schemas.PATH])],
    context: Context,
    threshold: Threshold = None,
    store: bool = True,
) -> schemas.Recognition:
    """Recognise every face in an uploaded photo. The recognition is stored, unless `store=false` or with HEAD."""
    store = store and not request.scope.get(IS_HEAD)
    recognize = context.app.recognize_stored
    return _counted(await context.inference.run(recognize, image_path, threshold, store=store), context)


@routes.get("/recognitions", responses=problem_responses(422))
async def recognitions(
    context: Context,
    user_id: Annotated[str | None, Query(max_length=80)] = None,
    since: Since = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> schemas.Recognitions:
    """List the stored recognitions, newest first.

    With `user_id`: those that name the person, as a match or as a candidate. A page of photos of crowds may hold fewer
    than `limit`; the last one has no `next_cursor`.
    """
    listing = {"list": "recognitions", "user_id": user_id, "since": since}
    token = context.cursors.verify(listing, cursor)
    page = await context.storage.run(context.app.recognitions, user_id, since, limit, token)
    return await context.written(
        lambda: schemas.Recognitions(
            recognitions=schemas.Recognition.from_each(page.items),
            next_cursor=context.cursors.sign(listing, page.next_token),
        )
    )


@routes.get("/recognitions/{recognition_id}", responses=problem_responses(404, 422))
async def recognition(recognition_id: str, context: Context) -> schemas.Recognition:
    """Get one stored recognition."""
    stored = await context.storage.run(context.app.recognition, recognition_id)
    return schemas.Recognition.model_validate(stored)


@routes.post("/detect", responses=problem_responses(400, 413, 415, 422), openapi_extra=photo_request_body("image"))
async def detect(request: Request, context: Context) -> schemas.Detections:
    """Detect the faces in a photo, without naming them. The largest comes first."""
    image, _ = await read_photo(request)
    detections = await context.inference.run(context.app.detect, image)
    return schemas.Detections(faces=schemas.Detection.from_each(detections))


@routes.post(
    "/compare",
    responses=problem_responses(400, 413, 415, 422),
    openapi_extra=photo_request_body("source", "target"),
)
async def compare(request: Request, context: Context) -> schemas.Comparisons:
    """Compare the largest face in `source` with every face in `target`. The most similar comes first."""
    source, target = await read_photos(request, "source", "target")
    comparisons = await context.inference.run(context.app.compare, source, target)
    return schemas.Comparisons(matches=schemas.Comparison.from_each(comparisons))


def _with_strangers(recognition: records.Recognition, context: ApiContext) -> schemas.Recognition:
    """Tell of each remembered face when its group was seen."""
    answer = _counted(recognition, context)
    group_ids = [face.group_id for face in recognition.faces if face.group_id is not None]
    counts = context.app.groups.counts(group_ids) if group_ids else {}
    for face, recognized in zip(answer.faces, recognition.faces, strict=True):
        if recognized.group_id in counts:
            face.stranger = schemas.Stranger.model_validate(counts[recognized.group_id])
    return answer


def _counted(recognition: records.Recognition, context: ApiContext) -> schemas.Recognition:
    context.metrics.count_recognition(recognition)
    return schemas.Recognition.model_validate(recognition)
