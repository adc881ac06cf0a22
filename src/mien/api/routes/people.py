"""List, change and erase enrolled faces and people."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import JSONResponse

from mien.api import schemas
from mien.api.audit import AuditedRoute
from mien.api.context import Context, Cursor, Limit, external_path, needs
from mien.api.problems import problem_responses
from mien.app.app import FaceApp
from mien.domain import records, results
from mien.security.api_keys import Scope

log = logging.getLogger(__name__)

MAX_SHOWN_FACES = 1000
ERASURE_SECONDS = 10.0
"""How long a request waits for an erasure."""

LOCATION = {"description": "Where to ask for the receipt", "schema": {"type": "string", "format": "uri-reference"}}

routes = APIRouter(dependencies=[needs(Scope.MANAGE)], route_class=AuditedRoute)
ROUTERS = (routes,)


@routes.get("/faces", tags=["faces"], responses=problem_responses(422))
async def faces(
    context: Context,
    user_id: Annotated[str | None, Query(max_length=80)] = None,
    image_path: str | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> schemas.Faces:
    """List the enrolled faces, newest first: all, those of a person, or those of a photo."""
    listing = {"list": "faces", "user_id": user_id, "image_path": image_path}
    token = context.cursors.verify(listing, cursor)
    page = await context.storage.run(context.app.faces, user_id, image_path, limit, token)
    return await context.written(
        lambda: schemas.Faces(
            faces=schemas.Face.from_each(page.items), next_cursor=context.cursors.sign(listing, page.next_token)
        )
    )


@routes.get("/faces/{face_id}", tags=["faces"], responses=problem_responses(404, 422))
async def face(face_id: str, context: Context) -> schemas.Face:
    """Get an enrolled face: its person, its photo, and where in the photo it is."""
    return schemas.Face.model_validate(await context.storage.run(context.app.face, face_id))


@routes.get(
    "/faces/{face_id}/image",
    tags=["faces"],
    response_class=Response,
    responses=problem_responses(404, 413, 415, 422, media_type="image/jpeg"),
)
async def face_image(
    face_id: str, context: Context, size: Annotated[int, Query(ge=32, le=640, description="Pixels.")] = 160
) -> Response:
    """Get an enrolled face, cut out of its photo, as a small JPEG: what a list of many faces shows."""
    image = await context.inference.run(context.app.face_image, face_id, size)
    headers = {"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox"}
    return Response(image, headers=headers | {"Cache-Control": "private, no-store"}, media_type="image/jpeg")


@routes.delete("/faces/{face_id}", tags=["faces"], status_code=204, responses=problem_responses(404, 422))
async def delete_face(face_id: str, context: Context) -> None:
    """Delete a face, and its photo when no other face in it is enrolled."""
    await context.storage.run(context.app.delete_face, face_id)


@routes.get("/users", tags=["users"], responses=problem_responses(422))
async def users(
    context: Context,
    consent_before: Annotated[
        schemas.Day | None, Query(description="Only those whose consent ends before this day.")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> schemas.People:
    """List the enrolled people, newest first.

    With `consent_before`: those whose last day of consent comes before this day, the latest of these days first.
    """
    listing = {"list": "users"} | ({"consent_before": consent_before} if consent_before else {})
    token = context.cursors.verify(listing, cursor)
    page = await context.storage.run(context.app.people, limit, token, consent_before)
    return await context.written(
        lambda: schemas.People(
            users=_summaries(context.app, page.items), next_cursor=context.cursors.sign(listing, page.next_token)
        )
    )


@routes.get("/users/{user_id:path}", tags=["users"], responses=problem_responses(404, 422))
async def user(user_id: str, context: Context) -> schemas.PersonDetail:
    """Get a person with their faces, newest first."""
    return await context.storage.run(_detail, context.app, user_id)


@routes.patch("/users/{user_id:path}", tags=["users"], responses=problem_responses(400, 404, 409, 422))
async def change_user(user_id: str, change: schemas.PersonChange, context: Context) -> schemas.Person:
    """Rename a person, or set the last day of their consent, or take it back with null.

    The new name shows in all answers, also in stored recognitions; no photo is moved. After the last day of the
    consent the person is erased.
    """
    if change.consent_until is not None:
        context.app.check_consent(change.consent_until)  # before the name is changed
    if change.name is not None:
        await context.storage.run(context.app.rename, user_id, change.name)
    if "consent_until" in change.model_fields_set:
        await context.storage.run(context.app.set_consent, user_id, change.consent_until)
    return await context.storage.run(_one, context.app, await context.storage.run(context.app.person, user_id))


@routes.post("/users/{user_id:path}/merge", tags=["users"], responses=problem_responses(400, 404, 422))
async def merge(user_id: str, other: schemas.Merge, context: Context) -> schemas.Person:
    """Merge a person into another, because both are the same. From then on, both user ids stand for that person.

    No photo is moved, so that `unmerge` can undo it exactly.
    """
    person = await context.storage.run(context.app.merge, user_id, other.into)
    return await context.storage.run(_one, context.app, person)


@routes.post("/users/{user_id:path}/unmerge", tags=["users"], responses=problem_responses(404, 422))
async def unmerge(user_id: str, context: Context) -> schemas.Person:
    """Undo the merge of a user id: it stands for a person of its own again, with the photos it had."""
    person = await context.storage.run(context.app.unmerge, user_id)
    return await context.storage.run(_one, context.app, person)


@routes.delete(
    "/users/{user_id:path}",
    tags=["users"],
    response_model=schemas.Receipt,
    responses={
        202: {"model": schemas.Erasure, "description": "Accepted", "headers": {"Location": LOCATION}},
        **problem_responses(404, 422),
    },
)
async def forget(user_id: str, request: Request, context: Context) -> schemas.Receipt | Response:
    """Erase a person from every store: embeddings, metadata, photos, recognitions. Returns what was removed.

    When that takes longer than some seconds, the answer is 202, and `Location` says where to ask for the receipt.
    """
    erasure = await context.storage.run(context.app.request_erasure, user_id)
    work = asyncio.ensure_future(context.lengthy.run(context.app.finish_erasure, erasure))
    done, _ = await asyncio.wait([work], timeout=ERASURE_SECONDS)
    if done:
        return schemas.Receipt.model_validate(work.result())
    work.add_done_callback(_log_failure)
    location = external_path(request, f"/erasures/{erasure.erasure_id}")
    return JSONResponse(_erasure(erasure).model_dump(mode="json"), 202, {"Location": location})


@routes.get("/erasures/{erasure_id}", tags=["users"], responses=problem_responses(404, 422))
async def erasure(erasure_id: str, context: Context) -> schemas.Erasure:
    """Get the state of an erasure and, once it is done, what it removed."""
    return _erasure(await context.storage.run(context.app.erasure, erasure_id))


def _one(app: FaceApp, person: records.Person) -> schemas.Person:
    return _summaries(app, [person])[0]


def _erasure(erasure: records.Erasure | records.ErasureReceipt) -> schemas.Erasure:
    is_done = isinstance(erasure, records.ErasureReceipt)
    return schemas.Erasure(
        erasure_id=erasure.erasure_id or "",
        status=schemas.ErasureStatus.DONE if is_done else schemas.ErasureStatus.PENDING,
        timestamp=erasure.timestamp,
        receipt=schemas.ErasureCounts.model_validate(erasure) if is_done else None,
    )


def _log_failure(work: asyncio.Future[results.ErasureReport]) -> None:
    if not work.cancelled() and (error := work.exception()):
        log.warning("erasure failed", extra={"error": type(error).__name__})


def _summaries(app: FaceApp, people: Sequence[records.Person]) -> list[schemas.Person]:
    consents, faces = app.consents([person.user_id for person in people]), app.face_summaries(people)
    return [_summary(person, faces.get(person.user_id), consents.get(person.user_id)) for person in people]


def _summary(person: records.Person, faces: results.FaceSummary | None, consent_until: date | None) -> schemas.Person:
    return schemas.Person(
        user_id=person.user_id,
        name=person.name,
        merged=list(person.merged),
        timestamp=person.timestamp,
        face_count=faces.count if faces else 0,
        best_face=schemas.Face.model_validate(faces.newest) if faces else None,
        consent_until=consent_until,
    )


def _detail(app: FaceApp, user_id: str) -> schemas.PersonDetail:
    person = app.person(user_id)
    faces = app.faces(user_id=person.user_id, limit=MAX_SHOWN_FACES).items
    latest = app.recognitions(user_id=person.user_id, limit=1).items
    return schemas.PersonDetail(
        user_id=person.user_id,
        name=person.name,
        merged=list(person.merged),
        timestamp=person.timestamp,
        faces=schemas.Face.from_each(faces),
        last_seen=latest[0].timestamp if latest else None,
        consent_until=app.consents([person.user_id]).get(person.user_id),
    )
