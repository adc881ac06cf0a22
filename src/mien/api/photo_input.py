"""Read photos from requests: from a multipart field, or from the raw body with an image's content type."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from mien.domain.errors import EmptyImage, InvalidInput, UnsupportedImage

T = TypeVar("T")

BODY_SECONDS = 60
JSON = "application/json"
MAX_FILES = 2
MAX_FIELDS = 16


def photo_request_body(*fields: str, **texts: str) -> dict[str, Any]:
    """Describe the request body of a route that takes photos, for the OpenAPI document.

    The same fields may be sent as JSON, photos in base64. A route of one photo also takes it as the raw body.

    Args:
        fields: The form's fields that hold a photo; all are required.
        texts: The form's further fields, each with its description.
    """
    binary = {"type": "string", "format": "binary"}
    properties: dict[str, Any] = dict.fromkeys(fields, binary)
    properties |= {name: {"type": "string", "description": text} for name, text in texts.items()}
    form = {"type": "object", "properties": properties, "required": list(fields)}
    in_json = form | {"properties": properties | {field: {"type": "string", "format": "byte"} for field in fields}}
    content: dict[str, Any] = {"multipart/form-data": {"schema": form}, JSON: {"schema": in_json}}
    if len(fields) == 1:
        content |= {kind: {"schema": binary} for kind in ("image/jpeg", "image/png", "application/octet-stream")}
    return {"requestBody": {"required": True, "content": content}}


async def read_photo(request: Request, *texts: str) -> tuple[bytes, dict[str, str]]:
    """Return the photo of a request, and those of the fields `texts` that a form or a JSON object has.

    Raises:
        UnsupportedImage: The content type is none of a form, JSON and an image.
        InvalidInput: There is no photo in the field `image`, or the body did not arrive in time.
        EmptyImage: The photo has no bytes.
    """
    if _is_form(request):
        form = await read_form(request)
        values = {name: value for name in texts if isinstance(value := form.get(name), str)}
        return await read_file(form, "image"), values
    content_type = content_type_of(request.headers)
    if content_type == JSON:
        sent = await _read_json(request)
        values = {name: value for name in texts if isinstance(value := sent.get(name), str)}
        return await _read_base64(sent, "image"), values
    if not content_type.startswith("image/") and content_type != "application/octet-stream":
        raise UnsupportedImage(
            "Send the photo as the form field `image`, as the body with a content type such as image/jpeg, "
            "or in base64 as the field `image` of a JSON object."
        )
    image = await _in_time(request.body())
    if not image:
        raise EmptyImage("The photo has no bytes.")
    return image, {}


async def read_photos(request: Request, *fields: str) -> list[bytes]:
    """Return the photos of a form or a JSON object, in the order of `fields`.

    Raises:
        UnsupportedImage: The request has another content type.
        InvalidInput: There is no photo in a field, or the body did not arrive in time.
        EmptyImage: A photo has no bytes.
    """
    if content_type_of(request.headers) == JSON:
        sent = await _read_json(request)
        return [await _read_base64(sent, field) for field in fields]
    form = await read_form(request)
    return [await read_file(form, field) for field in fields]


async def read_form(request: Request) -> FormData:
    """Return a multipart form of at most two files.

    Raises:
        UnsupportedImage: The request has another content type.
        InvalidInput: The body did not arrive in time.
    """
    if not _is_form(request):
        raise UnsupportedImage("Send the photos as multipart/form-data, or in base64 as JSON.")
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


def content_type_of(headers: Mapping[str, str]) -> str:
    """Return the media type of a request's body, without parameters, in small letters; empty without one."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


async def _read_json(request: Request) -> dict[str, Any]:
    body = await _in_time(request.body())
    try:
        sent = await asyncio.to_thread(json.loads, body)
    except (ValueError, RecursionError):
        raise InvalidInput("The body is not JSON.") from None
    if not isinstance(sent, dict):
        raise InvalidInput("The body is not a JSON object.")
    return sent


async def _read_base64(sent: dict[str, Any], field: str) -> bytes:
    text = sent.get(field)
    if not isinstance(text, str):
        raise InvalidInput(f"The JSON object has no text in the field `{field}`.")
    try:
        image = await asyncio.to_thread(_decode_base64, text)
    except (binascii.Error, ValueError):
        raise InvalidInput(f"The field `{field}` is not base64.") from None
    if not image:
        raise EmptyImage("The photo has no bytes.")
    return image


def _decode_base64(text: str) -> bytes:
    """Decode base64, with or without line breaks and the beginning of a data URL."""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    return base64.b64decode("".join(text.split()), validate=True)


def _is_form(request: Request) -> bool:
    return content_type_of(request.headers) == "multipart/form-data"


async def _in_time(reading: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await reading
    except TimeoutError:
        raise InvalidInput("The request's body did not arrive in time.") from None
