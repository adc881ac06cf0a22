"""List the audit log."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from mien.api import schemas
from mien.api.audit import AuditedRoute
from mien.api.context import Context, needs
from mien.api.cursors import Cursor
from mien.api.problems import problem_responses
from mien.api.routes.recognition import Limit, Since
from mien.security.api_keys import Scope
from mien.security.audit import Action, AuditFilter

routes = APIRouter(tags=["audit"], dependencies=[needs(Scope.MANAGE)], route_class=AuditedRoute)


@routes.get("/audit", responses=problem_responses(422))
async def audit(
    context: Context,
    since: Since = None,
    until: Since = None,
    action: Action | None = None,
    actor: Annotated[str | None, Query(max_length=140, examples=["key 1a2b3c4d"])] = None,
    user_id: Annotated[str | None, Query(max_length=80, description="Entries that concern this person.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> schemas.AuditEntries:
    """List the audit log, newest first: who did what, when, with what outcome. People are named by pseudonyms."""
    wanted = AuditFilter(since, until, action, actor, user_id)
    listing = {"list": "audit", "of": wanted}
    token = context.cursors.verify(listing, cursor)
    page = await context.storage.run(context.audit.find, wanted, limit, token)
    return schemas.AuditEntries(
        entries=schemas.AuditEntry.from_each(page.items), next_cursor=context.cursors.sign(listing, page.next_token)
    )
