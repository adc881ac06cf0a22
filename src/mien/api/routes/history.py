"""Delete stored recognitions, and list the audit log."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query, Request

from mien.api import schemas
from mien.api.audit import AuditedRoute
from mien.api.context import Context, Cursor, Limit, needs
from mien.api.problems import problem_responses
from mien.api.routes.recognition import Since
from mien.domain.errors import InvalidInput
from mien.domain.faces import Page
from mien.security.api_keys import Scope
from mien.security.audit import Action, AuditEntry, AuditFilter

routes = APIRouter(dependencies=[needs(Scope.MANAGE)], route_class=AuditedRoute)


@routes.delete(
    "/recognitions/{recognition_id}", tags=["recognition"], status_code=204, responses=problem_responses(404, 422)
)
async def delete_recognition(recognition_id: str, context: Context) -> None:
    """Delete one stored recognition."""
    await context.storage.run(context.app.delete_recognition, recognition_id)


@routes.delete("/recognitions", tags=["recognition"], responses=problem_responses(422))
async def delete_recognitions(
    context: Context,
    unnamed: Annotated[bool, Query(description="Has to be true: only these can be deleted together.")],
    cursor: Cursor = None,
) -> schemas.DeletedRecognitions:
    """Delete the stored recognitions that name nobody, neither as a match nor as a candidate.

    A request looks at 1000 recognitions, newest first. Send the next one with `cursor`, until `next_cursor` is null.
    """
    if not unnamed:
        raise InvalidInput("Only the recognitions that name nobody can be deleted together: unnamed=true.")
    listing = {"list": "unnamed recognitions"}
    token = context.cursors.verify(listing, cursor)
    deleted, next_token = await context.storage.run(context.app.delete_unnamed_recognitions, token)
    return schemas.DeletedRecognitions(deleted=deleted, next_cursor=context.cursors.sign(listing, next_token))


audit_routes = APIRouter(tags=["audit"], dependencies=[needs(Scope.MANAGE)], route_class=AuditedRoute)
ROUTERS = (routes, audit_routes)


@audit_routes.get("/audit", responses=problem_responses(422))
async def audit(
    request: Request,
    context: Context,
    since: Since = None,
    until: Since = None,
    action: Action | None = None,
    actor: Annotated[str | None, Query(max_length=140, examples=["key 1a2b3c4d"])] = None,
    user_id: Annotated[str | None, Query(max_length=80, description="Entries that concern this person.")] = None,
    person: Annotated[
        str | None, Query(max_length=200, description="Entries that concern the person of this user id or exact name.")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> schemas.AuditEntries:
    """List the audit log, newest first: who did what, when, with what outcome. People are named by pseudonyms."""
    if user_id is not None and person is not None:
        raise InvalidInput("Say whose entries you want by user_id or by person, not by both.")
    wanted = AuditFilter(since, until, action, actor, () if user_id is None else (user_id,))
    listing = {"list": "audit", "of": wanted, "person": person}
    token = context.cursors.verify(listing, cursor)

    def find() -> Page[AuditEntry]:
        if person is None:
            return context.audit.find(wanted, limit, token)
        request.state.user_ids = context.app.ids_of(person)
        return context.audit.find(replace(wanted, user_ids=request.state.user_ids), limit, token)

    page = await context.storage.run(find)
    return await context.written(
        lambda: schemas.AuditEntries(
            entries=schemas.AuditEntry.from_each(page.items), next_cursor=context.cursors.sign(listing, page.next_token)
        )
    )
