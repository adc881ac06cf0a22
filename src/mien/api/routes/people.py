"""Faces and people: looked at, corrected, forgotten."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from mien.api import schemas
from mien.api.context import Context, listed, needs, problems
from mien.api.routes.recognition import Cursor, Limit
from mien.app.app import FaceApp
from mien.domain import records
from mien.security.api_keys import Scope

MOST_COUNTED = 1000

routes = APIRouter(dependencies=[needs(Scope.MANAGE)])


@routes.get("/faces", tags=["faces"], responses=problems(422))
async def faces(
    desk: Context,
    user_id: Annotated[str | None, Query(max_length=80)] = None,
    image_path: str | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> schemas.Faces:
    """Enrolled faces, newest first, by person or by photo."""
    listing = {"list": "faces", "user_id": user_id, "image_path": image_path}
    token = desk.cursors.open(listing, cursor)
    page = await desk.storage.run(desk.app.faces, user_id, image_path, limit, token)
    return schemas.Faces(
        faces=listed(schemas.Face, page.items), next_cursor=desk.cursors.seal(listing, page.next_token)
    )


@routes.get("/faces/{face_id}", tags=["faces"], responses=problems(404, 422))
async def face(face_id: str, desk: Context) -> schemas.Face:
    """Where a face came from and whose it is."""
    return schemas.Face.model_validate(await desk.storage.run(desk.app.face, face_id))


@routes.delete("/faces/{face_id}", tags=["faces"], status_code=204, responses=problems(404, 422))
async def delete_face(face_id: str, desk: Context) -> None:
    """Remove a face, and its photo when no other face on it is enrolled."""
    await desk.storage.run(desk.app.delete_face, face_id)


@routes.get("/users", tags=["users"], responses=problems(422))
async def users(desk: Context, limit: Limit = 50, cursor: Cursor = None) -> schemas.People:
    """Everybody who is enrolled, newest first."""
    listing = {"list": "users"}
    page = await desk.storage.run(desk.app.people, limit, desk.cursors.open(listing, cursor))
    return schemas.People(
        users=await desk.storage.run(lambda: [summary(desk.app, person) for person in page.items]),
        next_cursor=desk.cursors.seal(listing, page.next_token),
    )


@routes.get("/users/{user_id:path}", tags=["users"], responses=problems(404, 422))
async def user(user_id: str, desk: Context) -> schemas.PersonDetail:
    """A person and their faces, newest first."""
    return await desk.storage.run(detail, desk.app, user_id)


@routes.delete("/users/{user_id:path}", tags=["users"], responses=problems(404, 422))
async def forget(user_id: str, desk: Context) -> schemas.Receipt:
    """Erase every trace of a person: vectors, metadata, images, results. Answers what was removed."""
    return schemas.Receipt.model_validate(await desk.storage.run(desk.app.forget, user_id))


def summary(app: FaceApp, person: records.Person) -> schemas.Person:
    found = app.faces(user_id=person.user_id, limit=MOST_COUNTED).items
    best = schemas.Face.model_validate(found[0]) if found else None
    return schemas.Person(user_id=person.user_id, timestamp=person.timestamp, face_count=len(found), best_face=best)


def detail(app: FaceApp, user_id: str) -> schemas.PersonDetail:
    person = app.person(user_id)
    found = app.faces(user_id=person.user_id, limit=MOST_COUNTED).items
    seen = app.recognitions(user_id=person.user_id, limit=1).items
    return schemas.PersonDetail(
        user_id=person.user_id,
        timestamp=person.timestamp,
        faces=listed(schemas.Face, found),
        last_seen=seen[0].timestamp if seen else None,
    )
