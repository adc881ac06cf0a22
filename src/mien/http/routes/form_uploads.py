"""What S3 does with a presigned form, on one machine: takes the photo that the form was signed for, without a key."""

from __future__ import annotations

from fastapi import APIRouter, Request

from mien import formats
from mien.errors import AccessDenied, ImageTooLarge
from mien.http import intake
from mien.http.desk import OnDesk
from mien.signing import UPLOAD_FORM, UPLOAD_FORM_PATH

routes = APIRouter(include_in_schema=False)


@routes.post(UPLOAD_FORM_PATH, status_code=204)
async def receive(request: Request, desk: OnDesk) -> None:
    form = await intake.read_form(request)
    signed = desk.signer.open(UPLOAD_FORM, str(form.get("policy", "")))
    image = await intake.part(form, "file")
    if form.get("key") != signed["key"] or formats.sniff(image)[0] != signed["type"]:
        raise AccessDenied("The form was signed for another path or content type.")
    if len(image) > signed["bytes"]:
        raise ImageTooLarge(f"The photo has more than {signed['bytes']} bytes.")
    await desk.storage.run(desk.app.receive, signed["key"], image)
