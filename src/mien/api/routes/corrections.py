"""Care of the gallery: who somebody is not, and what is wrong with who is enrolled."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from mien.api import photo_input, schemas
from mien.api.context import Context, listed, needs, photo_body, problems
from mien.api.routes.recognition import Cursor, Limit
from mien.security.api_keys import Scope

UserId = Annotated[str, Query(max_length=80)]

routes = APIRouter(tags=["care"], dependencies=[needs(Scope.MANAGE)])


@routes.post(
    "/rejections", status_code=201, responses=problems(400, 404, 413, 415, 422), openapi_extra=photo_body("image")
)
async def reject(request: Request, user_id: UserId, desk: Context) -> schemas.Face:
    """The photo's face that is most like this person is not them; later answers heed it."""
    image, _ = await photo_input.photo(request)
    return schemas.Face.model_validate(await desk.inference.run(desk.app.reject, image, user_id))


@routes.get("/rejections", responses=problems(422))
async def rejections(user_id: UserId, desk: Context, limit: Limit = 50, cursor: Cursor = None) -> schemas.Faces:
    """The faces that are known not to be this person."""
    listing = {"list": "rejections", "user_id": user_id}
    token = desk.cursors.open(listing, cursor)
    page = await desk.storage.run(desk.app.rejections, user_id, limit, token)
    return schemas.Faces(
        faces=listed(schemas.Face, page.items), next_cursor=desk.cursors.seal(listing, page.next_token)
    )


@routes.delete("/rejections/{face_id}", status_code=204, responses=problems(404, 422))
async def undo(face_id: str, desk: Context) -> None:
    """Take a rejection back."""
    await desk.storage.run(desk.app.undo_rejection, face_id)


@routes.get("/hygiene", responses=problems(422))
async def hygiene(desk: Context) -> schemas.Findings:
    """Enrolled faces that look wrong, each with its evidence and what repairs it. Nothing is changed."""
    return schemas.Findings(findings=listed(schemas.Finding, await desk.storage.run(desk.app.hygiene)))
