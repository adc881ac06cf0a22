"""Read photos from requests: from a multipart field, or from the raw body with an image's content type."""

from __future__ import annotations

import asyncio
import base64
import binascii
import string
import sys
from collections.abc import Callable, Mapping
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from mien.domain.errors import EmptyImage, ImageTooLarge, InvalidInput, UnsupportedImage
from mien.security.json_input import parse_object

JSON = "application/json"
MAX_FILES = 2
MAX_FIELDS = 16
MAX_FIELD_BYTES = 16 * 1024
MAX_MEMBERS = 32


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
        InvalidInput: There is no photo in the field `image`.
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
    if not is_photo(content_type):
        raise UnsupportedImage(
            "Send the photo as the form field `image`, as the body with a content type such as image/jpeg, "
            "or in base64 as the field `image` of a JSON object."
        )
    image = await request.body()
    if not image:
        raise EmptyImage("The photo has no bytes.")
    return image, {}


async def read_photos(request: Request, *fields: str) -> list[bytes]:
    """Return the photos of a form or a JSON object, in the order of `fields`.

    Raises:
        UnsupportedImage: The request has another content type.
        InvalidInput: There is no photo in a field.
        EmptyImage: A photo has no bytes.
    """
    if content_type_of(request.headers) == JSON:
        sent = await _read_json(request)
        return [await _read_base64(sent, field) for field in fields]
    form = await read_form(request)
    return [await read_file(form, field) for field in fields]


async def read_form(request: Request, before_file: Callable[[Mapping[str, str]], int] | None = None) -> FormData:
    """Return a multipart form of at most two files.

    Args:
        request: The request.
        before_file: Is given the fields before the first file, before anything of the file is kept, and returns how
            many bytes the files may have; what it raises refuses the form.

    Raises:
        UnsupportedImage: The request has another content type.
        InvalidInput: The form is malformed, or has no file though `before_file` is given.
        ImageTooLarge: The files have more bytes.
    """
    if not _is_form(request):
        raise UnsupportedImage("Send the photos as multipart/form-data, or in base64 as JSON.")
    try:
        return await _FormParser(request, before_file).parse()
    except MultiPartException as error:
        raise HTTPException(400, error.message.removesuffix(".")) from None
    except UnicodeError:  # of an encoding such as `undefined`
        raise HTTPException(400, "The form is not in the encoding that it names") from None


class _FormParser(MultiPartParser):
    """Keeps files in memory, which their size allows, so that no photo passes through a temporary file."""

    spool_max_size = sys.maxsize

    def __init__(self, request: Request, before_file: Callable[[Mapping[str, str]], int] | None) -> None:
        stream, limits = request.stream(), {"max_files": MAX_FILES, "max_fields": MAX_FIELDS}
        super().__init__(request.headers, stream, **limits, max_part_size=MAX_FIELD_BYTES)
        self._before_file, self._left = before_file, sys.maxsize

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        if self._current_part.file is not None and self._before_file is not None:
            self._left = self._before_file({name: value for name, value in self.items if isinstance(value, str)})
            self._before_file = None

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._current_part.file is not None:
            self._left -= end - start
            if self._left < 0:
                raise ImageTooLarge("The photo has more bytes than the form was signed for.")
        super().on_part_data(data, start, end)

    async def parse(self) -> FormData:
        form = await super().parse()
        if self._before_file is not None:
            raise InvalidInput("The form has no file.")
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


def is_photo(content_type: str) -> bool:
    """Return whether a body of this media type is meant as a photo by itself."""
    return content_type.startswith("image/") or content_type == "application/octet-stream"


async def _read_json(request: Request) -> dict[str, Any]:
    return await asyncio.to_thread(parse_object, await request.body(), MAX_MEMBERS)


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
    return base64.b64decode(text.encode("ascii").translate(None, string.whitespace.encode()), validate=True)


def _is_form(request: Request) -> bool:
    return content_type_of(request.headers) == "multipart/form-data"
