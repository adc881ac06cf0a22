"""List the people whom nobody has named, as groups of their faces, and say who they are."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from mien.api import schemas
from mien.api.audit import AuditedRoute
from mien.api.context import Context, Cursor, Limit, needs
from mien.api.problems import problem_responses
from mien.security.api_keys import Scope

routes = APIRouter(prefix="/groups", tags=["groups"], dependencies=[needs(Scope.MANAGE)], route_class=AuditedRoute)
ROUTERS = (routes,)


@routes.get("", responses=problem_responses(422))
async def groups(
    context: Context,
    min_faces: Annotated[int, Query(ge=1, le=1_000_000, description="Only groups of at least so many faces.")] = 1,
    skipped: Annotated[bool, Query(description="Whether to list skipped groups, too.")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> schemas.Groups:
    """List the groups of unknown faces, the largest first."""
    listing = {"list": "groups", "min_faces": min_faces, "skipped": skipped}
    token = context.cursors.verify(listing, cursor)
    page = await context.storage.run(context.app.groups.list, min_faces, skipped=skipped, limit=limit, token=token)
    return await context.written(
        lambda: schemas.Groups(
            groups=schemas.Group.from_each(page.items), next_cursor=context.cursors.sign(listing, page.next_token)
        )
    )


@routes.post("", responses=problem_responses(422))
async def group_faces(context: Context) -> schemas.GroupedFaces:
    """Group the faces of all photos of nobody that have no group yet, such as those of an earlier version."""
    return schemas.GroupedFaces(faces=await context.lengthy.run(context.app.groups.add_all))


@routes.get("/{group_id}", responses=problem_responses(404, 422))
async def group(group_id: str, context: Context) -> schemas.Group:
    """Get a group with its clearest faces."""
    return schemas.Group.model_validate(await context.storage.run(context.app.groups.get, group_id))


@routes.get("/{group_id}/faces", responses=problem_responses(404, 422))
async def faces_of_group(
    group_id: str, context: Context, limit: Limit = 1000, cursor: Cursor = None
) -> schemas.GroupFaces:
    """List the faces of a group, the clearest first."""
    listing = {"list": "faces of group", "group_id": group_id}
    token = context.cursors.verify(listing, cursor)
    page = await context.storage.run(context.app.groups.faces, group_id, limit=limit, token=token)
    return await context.written(
        lambda: schemas.GroupFaces(
            faces=schemas.Face.from_each(page.items), next_cursor=context.cursors.sign(listing, page.next_token)
        )
    )


@routes.patch("/{group_id}", responses=problem_responses(400, 404, 422))
async def change_group(group_id: str, change: schemas.GroupChange, context: Context) -> schemas.Group:
    """Skip a group, so that it is not listed any more, or list it again."""
    changed = await context.storage.run(context.app.groups.skip, group_id, skipped=change.skipped)
    return schemas.Group.model_validate(changed)


@routes.post("/{group_id}/name", responses=problem_responses(400, 404, 409, 422))
async def name_group(group_id: str, who: schemas.GroupName, context: Context) -> schemas.Naming:
    """Say who a group is: all its faces are enrolled for that person.

    When somebody else is giving the group another name at the same moment, one of both gets 409. Repeat a request that
    was interrupted to continue it.
    """
    naming = await context.inference.run(context.app.groups.name, group_id, who.user_id, who.name)
    person = await context.storage.run(context.app.person, naming.user_id)
    return schemas.Naming(
        group_id=group_id,
        user_id=person.user_id,
        name=person.name,
        enrolled=naming.enrolled,
        left=naming.left,
    )


@routes.post("/{group_id}/unname", responses=problem_responses(404, 422))
async def undo_name(group_id: str, context: Context) -> schemas.Group:
    """Take a name back: the faces that the group gave to the person are unknown again."""
    return schemas.Group.model_validate(await context.inference.run(context.app.groups.undo_name, group_id))


@routes.post("/{group_id}/split", responses=problem_responses(400, 404, 422))
async def split_group(group_id: str, split: schemas.GroupSplit, context: Context) -> schemas.Groups:
    """Divide a group that shows two people. The two are kept apart from then on."""
    parts = await context.storage.run(context.app.groups.split, group_id, split.face_ids)
    return schemas.Groups(groups=schemas.Group.from_each(parts), next_cursor=None)


@routes.post("/{group_id}/merge", responses=problem_responses(400, 404, 422))
async def merge_groups(group_id: str, other: schemas.GroupMerge, context: Context) -> schemas.Group:
    """Merge a group into another, because both show the same person."""
    return schemas.Group.model_validate(await context.storage.run(context.app.groups.merge, group_id, other.into))


@routes.post("/{group_id}/dismiss", responses=problem_responses(404, 422))
async def dismiss_group(group_id: str, context: Context) -> schemas.GroupedFaces:
    """Say that a group shows no face. Its faces are deleted, and not found again in the same photos."""
    return schemas.GroupedFaces.model_validate(await context.storage.run(context.app.groups.dismiss, group_id))


@routes.delete("/{group_id}", responses=problem_responses(404, 422))
async def delete_group(group_id: str, context: Context) -> schemas.GroupedFaces:
    """Erase the faces of a group: embeddings, metadata and portraits."""
    return schemas.GroupedFaces.model_validate(await context.storage.run(context.app.groups.erase, group_id))
