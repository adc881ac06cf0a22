"""Reads photos from requests: from a multipart field, or from the raw body with an image's content type."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from mien.domain.errors import EmptyImage, InvalidInput, UnsupportedImage

T = TypeVar("T")

BODY_SECONDS = 60
MAX_FILES = 2
MAX_FIELDS = 16


def photo_request_body(*fields: str, **texts: str) -> dict[str, Any]:
    """Describe the request body of a route that takes photos, for the OpenAPI document.

    A route of one photo also takes it as the raw body.

    Args:
        fields: The form's fields that hold a photo; all are required.
        texts: The form's further fields, each with its description.
    """
    binary = {"type": "string", "format": "binary"}
    properties: dict[str, Any] = dict.fromkeys(fields, binary)
    properties |= {name: {"type": "string", "description": text} for name, text in texts.items()}
    form = {"type": "object", "properties": properties, "required": list(fields)}
    content: dict[str, Any] = {"multipart/form-data": {"schema": form}}
    if len(fields) == 1:
        content |= {kind: {"schema": binary} for kind in ("image/jpeg", "image/png", "application/octet-stream")}
    return {"requestBody": {"required": True, "content": content}}


async def read_photo(request: Request, *texts: str) -> tuple[bytes, dict[str, str]]:
    """Return the photo of a request, and those of the form's fields `texts` that a form has.

    Raises:
        UnsupportedImage: The content type is neither a form nor an image.
        InvalidInput: The form has no file in the field `image`, or the body did not arrive in time.
        EmptyImage: The photo has no bytes.
    """
    if _is_form(request):
        form = await read_form(request)
        values = {name: value for name in texts if isinstance(value := form.get(name), str)}
        return await read_file(form, "image"), values
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not content_type.startswith("image/") and content_type != "application/octet-stream":
        raise UnsupportedImage(
            "Send the photo as the form field `image`, or as the body with a content type such as image/jpeg."
        )
    image = await _in_time(request.body())
    if not image:
        raise EmptyImage("The photo has no bytes.")
    return image, {}


async def read_form(request: Request) -> FormData:
    """Return a multipart form of at most two files.

    Raises:
        UnsupportedImage: The request has another content type.
        InvalidInput: The body did not arrive in time.
    """
    if not _is_form(request):
        raise UnsupportedImage("Send the photos as multipart/form-data.")
    form: FormData = await _in_time(request.form(max_files=MAX_FILES, max_fields=MAX_FIELDS))
    return form


async def read_file(form: FormData, name: str) -> bytes:
    """Return the bytes of a form's file.

    Raises:
        InvalidInput: The field does not exist, or is not a file.
        EmptyImage: The file has no bytes.
    """
    file = form.get(name)
    if not isinstance(file, UploadFile):
        raise InvalidInput(f"The form has no file in the field `{name}`.")
    image = await file.read()
    if not image:
        raise EmptyImage("The photo has no bytes.")
    return image


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


async def _in_time(reading: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await reading
    except TimeoutError:
        raise InvalidInput("The request's body did not arrive in time.") from None
