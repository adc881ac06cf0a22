"""Requests -> photos: a multipart field, or the raw body with an image's content type."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from mien.domain.errors import EmptyImage, InvalidInput, UnsupportedImage

BODY_SECONDS = 60


async def photo(request: Request) -> tuple[bytes, str | None]:
    """The photo, and the form's `user_id` if there is a form with one."""
    if _is_form(request):
        form = await read_form(request)
        user_id = form.get("user_id")
        return await part(form, "image"), user_id if isinstance(user_id, str) else None
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not kind.startswith("image/") and kind != "application/octet-stream":
        raise UnsupportedImage(
            "Send the photo as the form field `image`, or as the body with a content type such as image/jpeg."
        )
    image = await _in_time(request.body())
    if not image:
        raise EmptyImage("The photo has no bytes.")
    return image, None


async def read_form(request: Request) -> FormData:
    if not _is_form(request):
        raise UnsupportedImage("Send the photos as multipart/form-data.")
    form: FormData = await _in_time(request.form(max_files=2, max_fields=16))
    return form


async def part(form: FormData, name: str) -> bytes:
    """Raises InvalidInput when there is no such file in the form."""
    file = form.get(name)
    if not isinstance(file, UploadFile):
        raise InvalidInput(f"The form has no file in the field `{name}`.")
    image = await file.read()
    if not image:
        raise EmptyImage("The photo has no bytes.")
    return image


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


async def _in_time(reading: Any) -> Any:
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await reading
    except TimeoutError:
        raise InvalidInput("The request's body did not arrive in time.") from None
