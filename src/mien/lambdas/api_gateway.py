"""API Gateway's events -> the same FastAPI routes as on one machine, those that the function serves.

Every route needs a key here; only the page's own files are open, and the page asks for the key.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from http import HTTPStatus
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from mangum import Mangum
from mangum.adapter import DEFAULT_TEXT_MIME_TYPES
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from mien.api import problems
from mien.api.api import create_api
from mien.api.security import Guard
from mien.app.app import FaceApp
from mien.backends import aws
from mien.backends.aws.api_keys import SecretKeys
from mien.config import Settings
from mien.domain.errors import MienError, SetupError
from mien.lambdas.telemetry import count
from mien.security.api_keys import KeyFile, Scope

TEXTS = [*DEFAULT_TEXT_MIME_TYPES, problems.MEDIA_TYPE]
# Open on one machine; here no route is, and a call of /health costs an inference.
GUARDED = frozenset({"/health", "/calibration", "/openapi.json"})

Routes = frozenset[tuple[str, str]]
"""Method and resource, as in the template."""


def answer(event: dict[str, Any], context: Any, routes: Routes) -> dict[str, Any]:
    """The answer in API Gateway's shape. The first call of an instance opens the application."""
    if (event["httpMethod"], event["resource"]) not in routes:
        return {"statusCode": 404, "headers": {"Content-Type": "text/plain"}, "body": "There is no such route.\n"}
    given = _door().answer(event, context)
    if given["statusCode"] == HTTPStatus.SERVICE_UNAVAILABLE:
        count("Throttled")
    return given


class Door:
    """The API, and the keys that open it."""

    def __init__(self, settings: Settings) -> None:
        if settings.keys_secret is None:
            raise SetupError("MIEN_KEYS_SECRET names no secret; without keys nobody is let in.")
        self._keys = SecretKeys(settings.keys_secret, Path(gettempdir()) / "mien-api-keys.json")
        self._keys.refresh()
        guarded = replace(settings, api_keys_file=self._keys.copy, secret=self._keys.signing)
        # Not open_app: that one waits for the stack to index a photo, and this is the stack.
        api = create_api(FaceApp(*aws.ports(guarded), guarded.policy), guarded)
        guard = Guard(KeyFile(self._keys.copy), guarded.rate_per_minute)
        self._mangum = Mangum(Staged(api, guard), lifespan="off", text_mime_types=TEXTS)

    def answer(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        self._keys.refresh()
        answer: dict[str, Any] = self._mangum(event, context)
        return answer


class Staged:
    """Tells the API under which stage it is mounted, and asks for a key where the API itself does not."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app, self._guard = app, guard

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        event = scope["aws.event"]
        try:
            if event["resource"] in GUARDED:
                self._guard.check(Request(scope), Scope.RECOGNIZE)
        except MienError as error:
            await problems.refusal(Request(scope), error)(scope, receive, send)
            return
        stage = event["requestContext"]["path"].removesuffix(event["path"])
        await self._app({**scope, "root_path": stage, "path": stage + scope["path"]}, receive, send)


@cache
def _door() -> Door:
    return Door(Settings.from_environment())
