"""Serve the REST API behind API Gateway. Each function answers its own routes, by the same code as on one machine.

Every route needs an API key here; only the page's own files are open, and the page asks its user for the key.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cache
from http import HTTPStatus
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from mangum import Mangum
from mangum.adapter import DEFAULT_TEXT_MIME_TYPES
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from mien.api import problems
from mien.api.api import CORS, create_api
from mien.api.security import CHECKED, Guard
from mien.api.telemetry import ROUTE, TelemetryMiddleware
from mien.backends.aws import clients
from mien.backends.aws.key_rates import KeyRates
from mien.backends.aws.secret_keys import SecretKeys
from mien.backends.aws.stack import open_inside
from mien.domain.errors import InvalidInput, MalformedRequest, MienError, NotAuthenticated, SetupError
from mien.lambdas import deadline
from mien.lambdas.telemetry import MODEL, count, logger, metrics
from mien.security.api_keys import ApiKey, KeyFile, Scope
from mien.security.audit import LogLines
from mien.security.origins import refuse_ambiguous
from mien.security.signing import Signer
from mien.settings import Settings

TEXT_TYPES = [*DEFAULT_TEXT_MIME_TYPES, problems.MEDIA_TYPE]
# Open on one machine. On AWS no route is, and a call of /health costs an inference.
_PARAMETER = re.compile(r"\{[^}]+\}")
SERVER_ERRORS = 500  # the statuses from here on
MAX_ANSWER = 6_000_000  # bytes of JSON; Lambda fails with more than 6,291,556
GATEWAY_SECONDS = 28.0  # API Gateway answers 504 itself after 29
GUARDED_RESOURCES = frozenset({"/health", "/calibration", "/openapi.json"})

_METHODS: dict[str, frozenset[tuple[str, str]]] = {
    "upload": frozenset(
        {
            ("POST", "/upload"),
            ("POST", "/uploads"),
            ("GET", "/uploads/{image_path+}"),
            ("PATCH", "/images/{image_path+}"),
            ("POST", "/rejections"),
        }
    ),
    "recognize": frozenset(
        {
            ("GET", "/recognize"),
            ("POST", "/recognize"),
            ("POST", "/compare"),
            ("POST", "/detect"),
            ("POST", "/render"),
            ("GET", "/health"),
        }
    ),
    "people": frozenset(
        {
            ("GET", "/recognitions"),
            ("GET", "/recognitions/{recognition_id}"),
            ("DELETE", "/recognitions"),
            ("DELETE", "/recognitions/{recognition_id}"),
            ("GET", "/uploads"),
            ("GET", "/faces"),
            ("GET", "/faces/{face_id}"),
            ("GET", "/faces/{face_id}/image"),
            ("DELETE", "/faces/{face_id}"),
            ("GET", "/rejections"),
            ("DELETE", "/rejections/{face_id}"),
            ("GET", "/hygiene"),
            ("GET", "/users"),
            ("GET", "/users/{user_id+}"),
            ("PATCH", "/users/{user_id+}"),
            ("POST", "/users/{user_id+}"),
            ("DELETE", "/users/{user_id+}"),
            ("GET", "/erasures/{erasure_id}"),
            ("GET", "/images/{image_path+}"),
            ("GET", "/calibration"),
            ("GET", "/openapi.json"),
            ("GET", "/"),
            ("GET", "/static/{file+}"),
            ("OPTIONS", "/{path+}"),
        }
    ),
}

ROUTES = {
    name: methods | {("HEAD", resource) for method, resource in methods if method == "GET"}
    for name, methods in _METHODS.items()
}
"""The method and resource of each route of each function, as in the template: where GET is answered, HEAD is, too."""

PARTS = {
    "upload": ("uploads", "corrections"),
    "recognize": ("recognition", "page", "service"),
    "people": ("uploads", "recognition", "people", "corrections", "history", "page", "service"),
}
"""The modules of the API's routes that each function loads: those of its own, and for `people`, which serves the
description of the whole API, of all that are served on AWS."""

_STATUS_METRICS = {"matched": "FacesMatched", "ambiguous": "FacesAmbiguous", "unknown": "FacesUnknown"}


@logger.inject_lambda_context
@metrics.log_metrics
def recognize(event: dict[str, Any], context: Any) -> Any:
    """Handle a request of the function `recognize`: the routes that analyse a photo and store no faces."""
    response = answer("recognize", event, context)
    is_answered = response["statusCode"] == HTTPStatus.OK and response["body"]
    if is_answered and event["resource"] == "/recognize" and event["path"].endswith("/recognize"):
        for face in json.loads(response["body"])["faces"]:
            count(_STATUS_METRICS[face["status"]])
    return response


@logger.inject_lambda_context
@metrics.log_metrics
def people(event: dict[str, Any], context: Any) -> Any:
    """Handle a request of the function `people`: the routes that list or erase what is stored, and the page.

    Lambda halts a function once it has answered, so an erasure that goes on after that, or failed, is handed to the
    function of the queue.
    """
    response = answer("people", event, context)
    is_erasure = (event.get("httpMethod"), event.get("resource")) == ("DELETE", "/users/{user_id+}")
    if is_erasure and (response["statusCode"] == HTTPStatus.ACCEPTED or response["statusCode"] >= SERVER_ERRORS):
        from mien.lambdas import queue_messages  # loads what reads events, which no other request needs

        queue_messages.send(queue_messages.ERASURES)
    return response


def answer(function: str, event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer a request in API Gateway's format. The first call of an instance opens the application.

    Args:
        function: The function that was called, a key of `ROUTES`.
        event: The request, as API Gateway sends it for a Lambda proxy integration of a REST API. Any other, such as
            one of an HTTP API, is refused.
        context: Lambda's context object.
    """
    if not isinstance(event.get("resource"), str) or not isinstance(event.get("httpMethod"), str):
        return _problem(HTTPStatus.BAD_REQUEST, "The event is no request of a REST API.", MalformedRequest.code)
    if (event["httpMethod"], event["resource"]) not in ROUTES[function]:
        return _problem(HTTPStatus.NOT_FOUND, "There is no such route.", "not_found")
    deadline.begin(context, GATEWAY_SECONDS)
    try:
        response = _gateway(function).answer(event, context)
        if len(response["body"]) > MAX_ANSWER / 4 and _bytes_of(response) > MAX_ANSWER:
            raise InvalidInput(
                f"The answer has more than {MAX_ANSWER:,} bytes, too many for AWS Lambda. Ask for fewer with limit."
            )
    except MienError as error:  # the secret or the event cannot be read, or the answer not be returned
        logger.error("request refused", extra=problems.log_fields(error))
        response = _problem(problems.status_of(error), problems.sentence(error), error.code)
    if response["statusCode"] == HTTPStatus.SERVICE_UNAVAILABLE:
        count("Throttled")
    if response["statusCode"] in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        count("KeysRefused")
    return response


def _bytes_of(response: dict[str, Any]) -> int:
    """Return how many bytes Lambda sends for a response: JSON in UTF-8 without escapes, 4 for a character at most."""
    return len(json.dumps(response, ensure_ascii=False).encode())


def _problem(status: int, detail: str, code: str) -> dict[str, Any]:
    headers = {"Content-Type": problems.MEDIA_TYPE, "Cache-Control": "no-store"}
    with suppress(MienError):
        if Settings.from_environment().cors_origins:  # as the gateway's own refusals, which tell nothing of anybody
            headers["Access-Control-Allow-Origin"] = "*"
    return {"statusCode": status, "headers": headers, "body": json.dumps(problems.document(status, detail, code))}


class Gateway:
    """The REST API on the resources of the stack, with the API keys of the stack's secret."""

    def __init__(self, function: str, settings: Settings) -> None:
        if settings.keys_secret is None:
            raise SetupError("MIEN_KEYS_SECRET is not set. Without keys, nobody may call the API.")
        self._keys = SecretKeys(settings.keys_secret, Path(gettempdir()) / "mien-api-keys.json")
        self._keys.refresh()
        guarded = replace(settings, api_keys_file=self._keys.copy)
        signer = Signer(self._keys.signing.encode())
        audit = LogLines(signer, MODEL)
        rates = KeyRates(clients.dynamodb(), settings.records_table, settings.rate_per_minute)
        app = open_inside(guarded, deadline.seconds_left)
        api = create_api(
            app, guarded, audit=audit, signer=signer, count_call=rates.take, pages_stay=True, parts=PARTS[function]
        )
        guard = Guard(KeyFile(self._keys.copy), rates.take)
        stage: ASGIApp = StageMiddleware(api, guard)
        if settings.cors_origins:  # here, too, because the stage refuses calls before the API sees them
            stage = CORSMiddleware(stage, allow_origins=settings.cors_origins, **CORS)
        watched = TelemetryMiddleware(stage, api.state.context.metrics)
        self._mangum = Mangum(watched, lifespan="off", text_mime_types=TEXT_TYPES)

    def answer(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        self._keys.refresh(_known_to_the_authorizer(event))
        try:
            _stage(event)
            refuse_ambiguous("1.1", _headers(event))
            response: dict[str, Any] = self._mangum(event, context)
        except MienError:
            raise
        except Exception as error:  # not the application's, which Mangum answers with 500
            raise MalformedRequest("The request cannot be read.") from error
        return response


class StageMiddleware:
    """Sets the path prefix of the API's stage, and asks for a key where the API itself does not."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app, self._guard = app, guard

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        event = scope["aws.event"]
        try:
            if (bearer := _bearer(event)) is not None:
                scope["state"][CHECKED] = bearer
            if event["resource"] in GUARDED_RESOURCES:
                self._guard.check(Request(scope), Scope.RECOGNIZE)
        except MienError as error:
            scope["state"][ROUTE] = event["resource"]
            await problems.refusal(Request(scope), error)(scope, receive, send)
            return
        stage = _stage(event)
        prefix = stage or _base_path(event["resource"], event["path"])
        await self._app({**scope, "root_path": prefix, "path": stage + scope["path"]}, receive, send)


def _base_path(resource: str, path: str) -> str:
    """Return what comes before a resource in a path: the base path of a custom domain, which has no stage."""
    escaped = (re.escape(part) for part in _PARAMETER.split(resource))
    found = re.fullmatch(f"(/.*?)??{'.+'.join(escaped)}", path)
    return (found.group(1) or "") if found else ""


def _stage(event: dict[str, Any]) -> str:
    """Return the path prefix of the API's stage. Raises an error of any kind for what no path can be."""
    path: bytes = event["path"].encode()
    whole: bytes = event["requestContext"]["path"].encode()
    return whole.removesuffix(path).decode()


def _known_to_the_authorizer(event: dict[str, Any]) -> str | None:
    """Return the id of the key that the authorizer knows, which may be newer than the keys of this instance."""
    told = _told_by_the_authorizer(event)
    key_id = None if "scopes" in told else told.get("principalId")
    return key_id if isinstance(key_id, str) else None


def _bearer(event: dict[str, Any]) -> ApiKey | None:
    """Return what a token allows that the authorizer has verified, as a key; None for a call with a key.

    The gateway keeps the authorizer's answer for a minute, so a token may have ended since. Raises NotAuthenticated.
    """
    told = _told_by_the_authorizer(event)
    if "scopes" not in told:
        return None
    if int(told["until"]) < time.time():
        raise NotAuthenticated("The token has expired.")
    return ApiKey(told["principalId"], "", frozenset(map(Scope, told["scopes"].split())), "")


def _told_by_the_authorizer(event: dict[str, Any]) -> dict[str, Any]:
    context = event.get("requestContext")
    told = context.get("authorizer") if isinstance(context, dict) else None
    return told if isinstance(told, dict) else {}


def _headers(event: dict[str, Any]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the headers as the client sent them; Mangum joins those of one name."""
    for name, values in (event.get("multiValueHeaders") or {}).items():
        yield from ((name.lower().encode(), value.encode()) for value in values)


@cache
def _gateway(function: str) -> Gateway:
    return Gateway(function, Settings.from_environment())


deadline.prepare(__name__, _gateway)
