"""Answer errors with problem documents (RFC 9457). `STATUS` maps the error tree to HTTP status codes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from mien.api.telemetry import HUNG_UP
from mien.domain import errors
from mien.security.json_input import NOT_JSON, not_json

log = logging.getLogger(__name__)

STATUS: dict[type[errors.MienError], int] = {
    errors.EmptyImage: 400,
    errors.UnsupportedImage: 415,
    errors.ImageTooLarge: 413,
    errors.ImageError: 422,
    errors.NoFace: 422,
    errors.BodyTooSlow: 408,
    errors.MalformedRequest: 400,
    errors.InvalidInput: 422,
    errors.NotFound: 404,
    errors.AlreadyExists: 409,
    errors.LimitExceeded: 409,
    errors.ModelError: 503,
    errors.StorageFull: 507,
    errors.StorageBusy: 503,
    errors.StorageError: 500,
    errors.RateLimited: 429,
    errors.Overloaded: 503,
    errors.NotAuthenticated: 401,
    errors.AccessDenied: 403,
    errors.SetupError: 500,
}
RETRY_AFTER_SECONDS = 2
NOT_SET_UP = "The server is not set up correctly; its log says why."
MEDIA_TYPE = "application/problem+json"

_ROUTE_STATUSES = {
    400: "The photo is empty, or the request is malformed",
    404: "Not found",
    409: "A quota is full, or another person has this name or one that looks the same",
    413: "The photo is too large, or decoding it takes too much; `limit` names what it has too much of",
    415: "Not an image of a supported format",
    422: "The photo or a parameter cannot be used",
}
_COMMON_STATUSES = {
    401: "No API key, or an unknown one",
    403: "The API key lacks a scope, or a page of another site made the request",
    408: "The request's body did not arrive in time",
    429: "Too many requests; see Retry-After",
    500: "The data folder or a store failed",
    503: "Too busy; see Retry-After",
    507: "The disk is full",
}


def install(api: FastAPI) -> None:
    """Register handlers that turn every exception of the routes into a problem document."""
    api.add_exception_handler(errors.MienError, _mien_error)
    api.add_exception_handler(HTTPException, _http_error)
    api.add_exception_handler(RequestValidationError, _invalid_request)
    api.add_exception_handler(ClientDisconnect, _hung_up)
    api.add_exception_handler(Exception, _unexpected)


def status_of(error: errors.MienError) -> int:
    """Return the HTTP status of an error: that of its nearest ancestor in `STATUS`."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def refusal(request: Request, error: errors.MienError) -> Response:
    """Return an error as a problem document, with the headers that belong to its status."""
    status = status_of(error)
    headers = {}
    if status in {429, 503}:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status >= 500:
        log.error("request failed", extra=log_fields(error))
    limit = {"limit": error.limit} if isinstance(error, errors.ImageTooLarge) else {}
    return _problem(request, status, sentence(error), error.code, limit, **headers)


def sentence(error: errors.MienError) -> str:
    """Return what a client is told of an error; what is wrong with the settings, and with which file, is the log's."""
    return NOT_SET_UP if isinstance(error, errors.SetupError) else str(error)


def log_fields(error: errors.MienError) -> dict[str, str]:
    """Return what the log is told of an error: its kind, and what `sentence` leaves out."""
    cause = {"cause": str(error)} if isinstance(error, errors.SetupError) else {}
    return {"error": type(error).__name__, **cause}


def problem_responses(*statuses: int, media_type: str | None = None) -> dict[int | str, dict[str, Any]]:
    """Describe a route's error answers for the OpenAPI document.

    Args:
        statuses: The statuses of this route, beside those that any route may answer.
        media_type: The media type of a successful answer, when it is not JSON.
    """
    meanings: Mapping[int, str] = {status: _ROUTE_STATUSES[status] for status in statuses} | _COMMON_STATUSES
    responses: dict[int | str, dict[str, Any]] = {
        status: {
            "description": meaning,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, meaning in sorted(meanings.items())
    }
    if media_type is not None:
        responses[200] = {"content": {media_type: {}}}
    return responses


def document(status: int, detail: str, kind: str | None = None, request_id: str = "") -> dict[str, str | int]:
    """Return the body of a problem document; `kind` is the code of an error, by default made from the status."""
    title = HTTPStatus(status).phrase
    return {
        "type": f"urn:mien:{(kind or title.lower()).replace('_', '-').replace(' ', '-')}",
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": request_id,
    }


def _problem(
    request: Request,
    status: int,
    detail: str,
    kind: str | None = None,
    more: Mapping[str, str] | None = None,
    **headers: str,
) -> Response:
    body = document(status, detail, kind, request.scope.get("request_id", "")) | dict(more or {})
    return JSONResponse(body, status, headers, MEDIA_TYPE)


async def _mien_error(request: Request, error: Any) -> Response:
    return refusal(request, error)


async def _http_error(request: Request, error: Any) -> Response:
    is_unreadable = isinstance(error.__cause__, (ValueError, RecursionError))  # as FastAPI tells of JSON
    detail = NOT_JSON if is_unreadable else f"{error.detail}."
    return _problem(request, error.status_code, detail, **(error.headers or {}))


async def _invalid_request(request: Request, error: Any) -> Response:
    first = error.errors()[0]
    field = " ".join(str(part) for part in first["loc"] if part != "body")
    detail = f"{field}: {first['msg'].removeprefix('Value error, ')}."
    if first["type"] == "json_invalid":
        detail = not_json(first["loc"][-1])
    elif not field:
        detail = "Send a JSON object with the content type application/json."
    return _problem(request, 422, detail, "invalid-request")


async def _hung_up(_request: Request, _error: Any) -> Response:
    return Response(status_code=HUNG_UP)


async def _unexpected(request: Request, error: Any) -> Response:
    log.error("request failed", extra={"error": type(error).__name__})
    return _problem(request, 500, "Internal error. The server's log has an entry with this request id.")
