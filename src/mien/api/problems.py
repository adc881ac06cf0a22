"""Errors -> problem documents (RFC 9457), by the one table of this edge."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from mien.domain import errors

log = logging.getLogger(__name__)

STATUS: dict[type[errors.MienError], int] = {
    errors.EmptyImage: 400,
    errors.UnsupportedImage: 415,
    errors.ImageTooLarge: 413,
    errors.ImageError: 422,
    errors.NoFace: 422,
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
MEDIA_TYPE = "application/problem+json"


def install(api: FastAPI) -> None:
    """Let every failure leave as a problem document."""
    api.add_exception_handler(errors.MienError, _mien_error)
    api.add_exception_handler(HTTPException, _http_error)
    api.add_exception_handler(RequestValidationError, _invalid_request)
    api.add_exception_handler(Exception, _unexpected)


def problem(request: Request, status: int, detail: str, kind: str | None = None, **headers: str) -> Response:
    title = HTTPStatus(status).phrase
    body = {
        "type": f"urn:mien:{kind or title.lower().replace(' ', '-')}",
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": request.scope.get("request_id", ""),
    }
    return JSONResponse(body, status, headers, MEDIA_TYPE)


def status_of(error: errors.MienError) -> int:
    """By the nearest class in the tree that the table has."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def refusal(request: Request, error: errors.MienError) -> Response:
    """An error as a problem document, with the headers that belong to its status."""
    status = status_of(error)
    headers = {}
    if status in {429, 503}:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status >= 500:
        log.error("request failed", extra={"error": type(error).__name__})
    return problem(request, status, str(error), error.code.replace("_", "-"), **headers)


async def _mien_error(request: Request, error: Any) -> Response:
    return refusal(request, error)


async def _http_error(request: Request, error: Any) -> Response:
    return problem(request, error.status_code, f"{error.detail}.", **(error.headers or {}))


async def _invalid_request(request: Request, error: Any) -> Response:
    first = error.errors()[0]
    place = " ".join(str(part) for part in first["loc"] if part != "body")
    return problem(request, 422, f"{place}: {first['msg']}.", "invalid-request")


async def _unexpected(request: Request, error: Any) -> Response:
    log.error("request failed", extra={"error": type(error).__name__})
    return problem(request, 500, "Something went wrong inside; the log knows it by the request id.")
