"""Write an audit entry for each request of the REST API: a class of routes, and their actions.

A request is recorded once its caller is known, also when it then fails. One that is turned away before anything is
looked up (no key, an unknown key, too many requests) is counted by the metrics only, so that nobody can fill the log
without a key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from mien.api.context import ApiContext, record_work
from mien.domain.errors import InvalidInput, Overloaded, StorageError
from mien.domain.records import Erasure
from mien.security.audit import ACCEPTED, DONE, Action, Activity

ACTIONS: dict[str, Action] = {
    "upload": Action.UPLOAD,
    "presign": Action.UPLOAD,
    "receive": Action.UPLOAD,
    "uploads": Action.READ,
    "image": Action.READ,
    "move": Action.MOVE,
    "recognize": Action.RECOGNIZE,
    "recognize_stored": Action.RECOGNIZE,
    "recognitions": Action.READ,
    "recognition": Action.READ,
    "detect": Action.DETECT,
    "compare": Action.COMPARE,
    "faces": Action.READ,
    "face": Action.READ,
    "face_image": Action.READ,
    "delete_face": Action.DELETE,
    "users": Action.READ,
    "user": Action.READ,
    "forget": Action.ERASE,
    "erasure": Action.READ,
    "delete_recognition": Action.DELETE,
    "delete_recognitions": Action.DELETE,
    "change_user": Action.CHANGE_PERSON,
    "merge": Action.MERGE,
    "unmerge": Action.UNMERGE,
    "reject": Action.REJECT,
    "rejections": Action.READ,
    "undo": Action.UNDO_REJECTION,
    "hygiene": Action.INSPECT,
    "groups": Action.READ,
    "group_faces": Action.CHANGE_GROUP,
    "group": Action.READ,
    "faces_of_group": Action.READ,
    "change_group": Action.CHANGE_GROUP,
    "name_group": Action.NAME_GROUP,
    "undo_name": Action.NAME_GROUP,
    "split_group": Action.CHANGE_GROUP,
    "merge_groups": Action.CHANGE_GROUP,
    "dismiss_group": Action.DELETE,
    "delete_group": Action.DELETE,
    "audit": Action.AUDIT,
}
"""The action of each route, by the route's name."""

EXEMPT: dict[str, str] = {
    "upload_state": "a client asks for it every second until its own photo is indexed",
    "health": "tells nothing of anybody",
    "metrics": "tells nothing of anybody",
    "calibration": "tells nothing of anybody",
    "page": "tells nothing of anybody",
    "render": "tells nothing of anybody: it returns the photo that was sent",
    "samples": "tells nothing of anybody who is enrolled",
    "sample": "tells nothing of anybody who is enrolled",
    "system": "tells nothing of anybody",
}
"""The routes without an entry, with the reason."""


class AuditedRoute(APIRoute):
    """A route that writes an entry for each request, before the response is sent."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        action = ACTIONS.get(self.name)
        if action is None:
            return handle

        async def handle_and_record(request: Request) -> Response:
            entry = _Entry(request, action)
            token = record_work.set(entry.do)
            try:
                await self._check_early(request)
                response = await handle(request)
            except Exception as error:
                entry.fail(error)
                if not isinstance(error, Overloaded):
                    with suppress(StorageError):  # the error that came first is the answer
                        await entry.write_if_missing()
                raise
            finally:
                record_work.reset(token)
            await entry.write_if_missing()
            return response

        return handle_and_record

    async def _check_early(self, request: Request) -> None:
        """Check key, scope and rate before the body is read, which FastAPI does in the other order for JSON."""
        for guard in self.dependencies:
            if guard.dependency is not None:
                await guard.dependency(request)
        if self.body_field is not None:
            await request.body()  # here, because FastAPI would call every error in it a malformed body


class _Entry:
    """The entry of one request: written by the thread that does the work, or else when the request ends."""

    def __init__(self, request: Request, action: Action) -> None:
        self._request, self._activity = request, Activity("", action)
        self._is_written = False

    def do(self, work: Callable[[], Any]) -> Any:
        """Do the work and write the entry. A request that does work twice does its errand first.

        An erasure is requested first, and then finished, perhaps after the answer: then it has an entry for either.
        """
        result, activity = work(), self._activity
        if activity.action is Action.ERASE and isinstance(result, Erasure):
            activity.outcome = ACCEPTED
        elif not self._is_written or activity.outcome == ACCEPTED:
            activity.outcome = DONE
            activity.note(result)
            self._write()
        return result

    def fail(self, error: Exception) -> None:
        if isinstance(error, (RequestValidationError, HTTPException, ClientDisconnect)):
            self._activity.outcome = InvalidInput.code
        else:
            self._activity.fail(error)

    async def write_if_missing(self) -> None:
        if not self._is_written:
            await asyncio.to_thread(self._write)

    def _write(self) -> None:
        request, activity = self._request, self._activity
        caller = getattr(request.state, "caller", None)
        if caller is None:
            return
        activity.actor = caller
        activity.concern(request.path_params.get("user_id") or request.query_params.get("user_id") or None)
        activity.user_ids.update(getattr(request.state, "user_ids", ()))  # whom a route found out from a name
        context: ApiContext = request.app.state.context
        context.audit.record(activity)
        self._is_written = True
