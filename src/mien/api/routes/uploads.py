"""Photos come in, their state and they themselves can be asked for.

What S3 does with a presigned form, on one machine: takes the photo that the form was signed for, without a key.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from mien.api import photo_input, schemas
from mien.api.context import Context, address, needs, photo_body, problems
from mien.domain import image_types, records
from mien.domain.errors import AccessDenied, ImageNotFound, ImageTooLarge
from mien.security.api_keys import Scope
from mien.security.signing import UPLOAD_FORM, UPLOAD_FORM_PATH

UserId = Annotated[str | None, Query(max_length=80, description="Whom the photo shows.", examples=["Alice"])]

LOCATION = {"description": "Where to ask for the state", "schema": {"type": "string", "format": "uri-reference"}}

routes = APIRouter(tags=["uploads"])
may_upload, may_manage = needs(Scope.UPLOAD), needs(Scope.MANAGE)


@routes.post(
    "/upload",
    status_code=202,
    dependencies=[may_upload],
    responses={202: {"headers": {"Location": LOCATION}}, **problems(400, 413, 415, 422)},
    openapi_extra=photo_body("image", user_id="Whom the photo shows."),
)
async def upload(request: Request, response: Response, desk: Context, user_id: UserId = None) -> schemas.Upload:
    """Upload a photo of one person; its face is indexed soon after. `Location` tells where to ask."""
    image, named = await photo_input.photo(request)
    taken = await desk.storage.run(desk.app.upload, image, user_id if user_id is not None else named)
    response.headers["Location"] = address(request, f"/uploads/{taken.image_path}")
    return state(taken)


@routes.post("/uploads", status_code=201, dependencies=[may_upload], responses=problems(400, 413, 422))
async def presign(request: Request, wanted: schemas.FormRequest, desk: Context) -> schemas.Form:
    """A signed form, by which a large photo can be uploaded past this API."""
    form = await desk.storage.run(desk.app.presign_upload, wanted.content_type, wanted.user_id)
    answer = schemas.Form.model_validate(form)
    if form.url.startswith("/"):
        answer.url = str(request.base_url).rstrip("/") + form.url
    return answer


@routes.get("/uploads/{image_path:path}", dependencies=[may_upload], responses=problems(404, 422))
async def upload_state(image_path: str, desk: Context) -> schemas.Upload:
    """`pending`, then `indexed` with its faces or `rejected` with the reasons, or `failed`: worth another try."""
    return state(await desk.storage.run(desk.app.upload_state, image_path))


@routes.get(
    "/images/{image_path:path}",
    dependencies=[may_manage],
    response_class=Response,
    responses=problems(404, 422, media_type="image/*"),
)
async def image(image_path: str, desk: Context) -> Response:
    """An uploaded photo, as it came."""
    found = await desk.storage.run(desk.app.image, image_path)
    if not found.content_type.startswith("image/"):
        raise ImageNotFound("There is no photo under this path.")
    headers = {
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "private, max-age=3600",
    }
    return Response(found.body, headers=headers, media_type=found.content_type)


@routes.patch("/images/{image_path:path}", dependencies=[may_manage], responses=problems(400, 404, 409, 413, 415, 422))
async def move(image_path: str, to: schemas.Move, desk: Context) -> schemas.Upload:
    """Give a photo to another person: to correct a name, or to merge two."""
    return state(await desk.inference.run(desk.app.move, image_path, to.user_id))


def state(upload: records.Upload) -> schemas.Upload:
    return schemas.Upload(
        image_path=upload.image_path,
        user_id=upload.user_id,
        status=upload.status,
        timestamp=upload.timestamp,
        face_ids=list(upload.face_ids),
        reasons=[remark.message for remark in upload.reasons],
        warnings=[remark.message for remark in upload.warnings],
        remarks=[schemas.Remark.model_validate(remark) for remark in (*upload.reasons, *upload.warnings)],
    )


form_routes = APIRouter(include_in_schema=False)


@form_routes.post(UPLOAD_FORM_PATH, status_code=204)
async def receive(request: Request, desk: Context) -> None:
    form = await photo_input.read_form(request)
    signed = desk.signer.open(UPLOAD_FORM, str(form.get("policy", "")))
    image = await photo_input.part(form, "file")
    if form.get("key") != signed["key"] or image_types.sniff(image)[0] != signed["type"]:
        raise AccessDenied("The form was signed for another path or content type.")
    if len(image) > signed["bytes"]:
        raise ImageTooLarge(f"The photo has more than {signed['bytes']} bytes.")
    await desk.storage.run(desk.app.receive, signed["key"], image)
