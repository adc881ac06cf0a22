"""Correct mistakes: say that a face is not a person, and find what looks wrong."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from mien.api import schemas
from mien.api.audit import AuditedRoute
from mien.api.context import Context, Cursor, Limit, needs
from mien.api.photo_input import photo_request_body, read_photo
from mien.api.problems import problem_responses
from mien.security.api_keys import Scope

UserId = Annotated[str, Query(max_length=80)]

routes = APIRouter(tags=["care"], dependencies=[needs(Scope.MANAGE)], route_class=AuditedRoute)
ROUTERS = (routes,)


@routes.post(
    "/rejections",
    status_code=201,
    responses=problem_responses(400, 404, 413, 415, 422),
    openapi_extra=photo_request_body("image"),
)
async def reject(request: Request, user_id: UserId, context: Context) -> schemas.Face:
    """Record that a photo does not show a person.

    Of the faces in the photo, the one most similar to the person is rejected. From then on, a face at least as
    similar to the rejected face as to the person is not matched to them.
    """
    image, _ = await read_photo(request)
    return schemas.Face.model_validate(await context.inference.run(context.app.reject, image, user_id))


@routes.get("/rejections", responses=problem_responses(422))
async def rejections(user_id: UserId, context: Context, limit: Limit = 50, cursor: Cursor = None) -> schemas.Faces:
    """List the faces that were rejected for a person, newest first."""
    listing = {"list": "rejections", "user_id": user_id}
    token = context.cursors.verify(listing, cursor)
    page = await context.storage.run(context.app.rejections, user_id, limit, token)
    return await context.written(
        lambda: schemas.Faces(
            faces=schemas.Face.from_each(page.items), next_cursor=context.cursors.sign(listing, page.next_token)
        )
    )


@routes.delete("/rejections/{face_id}", status_code=204, responses=problem_responses(404, 422))
async def undo(face_id: str, context: Context) -> None:
    """Take back a rejection."""
    await context.storage.run(context.app.undo_rejection, face_id)


@routes.get("/hygiene", responses=problem_responses(422))
async def hygiene(context: Context) -> schemas.Findings:
    """Inspect the enrolled faces and list what looks wrong, with the evidence and a remedy. Changes nothing."""
    return schemas.Findings(findings=schemas.Finding.from_each(await context.lengthy.run(context.app.inspect)))
