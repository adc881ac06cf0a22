"""Take uploads, tell their status, return photos, and move them to another person.

`form_routes` does on one machine what S3 does with a presigned form: it stores the photo that the form was signed
for, without an API key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import RedirectResponse

from mien.api import schemas
from mien.api.audit import AuditedRoute
from mien.api.context import Context, Cursor, Limit, external_path, needs
from mien.api.forwarding import IS_HEAD
from mien.api.photo_input import photo_request_body, read_file, read_form, read_photo
from mien.api.problems import problem_responses
from mien.app.app import LINK_SECONDS
from mien.app.upload_notices import ABOUT_PHOTO
from mien.domain import image_types, object_keys, records
from mien.domain.dates import parse_day
from mien.domain.errors import AccessDenied, ImageNotFound
from mien.security.api_keys import Scope
from mien.security.audit import UPLOAD_FORM_HOLDER
from mien.security.signing import UPLOAD_FORM, UPLOAD_FORM_ISSUER, UPLOAD_FORM_PATH

PERSON = "The person in the photo."
NAME = "The name of the person in the photo: somebody enrolled, or somebody new, who gets a user id."
CONSENT = "The last day (in UTC) of the person's consent, such as 2027-06-30; needs the scope `manage`, too."
UserId = Annotated[str | None, Query(max_length=80, description=PERSON, examples=["Alice"])]
Name = Annotated[str | None, Query(max_length=200, description=NAME, examples=["Alice Smith"])]

LOCATION = {"description": "Where to ask for the state", "schema": {"type": "string", "format": "uri-reference"}}

routes = APIRouter(tags=["uploads"], route_class=AuditedRoute)
ROUTERS = (routes,)
form_routes = APIRouter(include_in_schema=False, route_class=AuditedRoute)
may_upload, may_manage = needs(Scope.UPLOAD), needs(Scope.MANAGE)


@routes.post(
    "/upload",
    status_code=202,
    dependencies=[may_upload],
    responses={202: {"headers": {"Location": LOCATION}}, **problem_responses(400, 409, 413, 415, 422)},
    openapi_extra=photo_request_body("image", user_id=PERSON, name=NAME, consent_until=CONSENT),
)
async def upload(
    request: Request,
    response: Response,
    context: Context,
    user_id: UserId = None,
    name: Name = None,
    consent_until: Annotated[str | None, Query(description=CONSENT, examples=["2027-06-30"])] = None,
) -> schemas.Upload:
    """Upload a photo of one person. Its face is indexed soon after; `Location` says where to ask for the state.

    Say whose photo it is by `user_id` or by `name`. With both, a person who is new, or whose name is their user id,
    gets the name. 409 when the user id or the name differs from another person's only in case, in Unicode form or in
    characters that do not show.
    """
    image, sent = await read_photo(request, "user_id", "name", "consent_until")
    person = (user_id if user_id is not None else sent.get("user_id"), name if name is not None else sent.get("name"))
    written_day = sent.get("consent_until") if consent_until is None else consent_until
    last_day = parse_day(written_day) if written_day else None
    if last_day is not None:  # it may bring the erasure of a person forward
        context.guard.check(request, Scope.MANAGE)
    discreet = _is_discreet(request)
    stored = await context.storage.run(context.app.upload, image, *person, consent_until=last_day, discreet=discreet)
    response.headers["Location"] = external_path(request, f"/uploads/{stored.image_path}")
    if not discreet:
        return _upload(stored)
    unsettled = replace(stored, status=records.UploadStatus.PENDING, face_ids=(), timestamp=datetime.now(UTC))
    return _upload(_without_who(replace(unsettled, reasons=(), warnings=()))).model_copy(update={"name": person[1]})


@routes.post("/uploads", status_code=201, dependencies=[may_upload], responses=problem_responses(400, 409, 413, 422))
async def presign(request: Request, form_request: schemas.FormRequest, context: Context) -> schemas.Form:
    """Get a signed form that uploads one photo directly to the bucket."""
    person = form_request.user_id, form_request.name
    form = await context.storage.run(
        context.app.presign_upload, form_request.content_type, *person, discreet=_is_discreet(request)
    )
    response = schemas.Form.model_validate(form)
    if form.url.startswith("/"):
        response.url = str(request.base_url).rstrip("/") + form.url
        claims = {"key": form.image_path, "key_id": context.guard.key_id(request)}
        response.fields["issuer"] = context.signer.sign(UPLOAD_FORM_ISSUER, claims)
    return response


@routes.get("/uploads", dependencies=[may_manage], responses=problem_responses(422))
async def uploads(
    context: Context,
    user_id: Annotated[str | None, Query(max_length=80, description="Only this person's.")] = None,
    status: Annotated[records.UploadStatus | None, Query(description="Only those with this status.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> schemas.Uploads:
    """List the uploads, newest first: all, those of a person, or those of a status, such as the rejected ones.

    With a `status`, a page may hold fewer than `limit`; the last one has no `next_cursor`.
    """
    listing = {"list": "uploads", "user_id": user_id, "status": status}
    token = context.cursors.verify(listing, cursor)
    page = await context.storage.run(context.app.uploads, user_id, status, limit, token)
    return await context.written(
        lambda: schemas.Uploads(
            uploads=[_upload(each) for each in page.items], next_cursor=context.cursors.sign(listing, page.next_token)
        )
    )


@routes.get("/uploads/{image_path:path}", dependencies=[may_upload], responses=problem_responses(404, 422))
async def upload_state(image_path: str, request: Request, context: Context) -> schemas.Upload:
    """Get the state of an upload.

    It is `pending` at first; then `indexed` with its faces, `rejected` with the reasons, or `failed` because of a
    server error; upload the photo again to retry. To a key with the scope `upload` alone, it tells nothing of who is
    enrolled.
    """
    state = await context.storage.run(context.app.upload_status, image_path)
    return _upload(_without_who(state) if _is_discreet(request) else state)


@routes.get(
    "/images/{image_path:path}",
    dependencies=[may_manage],
    response_class=Response,
    responses={
        **problem_responses(404, 413, 422),
        200: {"content": {"image/*": {}, "application/json": {"schema": schemas.PhotoLink.model_json_schema()}}},
        307: {"description": "On AWS: the photo is at the address in `Location`, for a minute"},
    },
)
async def image(
    image_path: str,
    request: Request,
    context: Context,
    size: Annotated[int | None, Query(ge=16, le=4096, description="Convert it to a JPEG of this longer side.")] = None,
) -> Response:
    """Get an uploaded photo, byte for byte; with `size`, a JPEG of at most so many pixels a side.

    On AWS, without `size`, a redirect to the bucket, which is valid for a minute; to a client that accepts
    `application/json` only, the address as JSON. Whoever follows the redirect must not send the API key along.
    """
    link = await context.storage.run(context.app.image_link, image_path)
    if link is not None and size is None and not request.scope.get(IS_HEAD):  # the link is signed for GET
        return _link(request, link)
    stored = await context.storage.run(context.app.image, image_path)
    if not stored.content_type.startswith("image/"):
        raise ImageNotFound("There is no photo under this path.")
    headers = {
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
        "Cache-Control": "private, no-store",
    }
    if size is not None:
        jpeg = await context.inference.run(context.app.render, stored.body, size)
        return Response(jpeg, headers=headers, media_type="image/jpeg")
    return Response(stored.body, headers=headers, media_type=stored.content_type)


def _link(request: Request, link: str) -> Response:
    """Redirect to a photo, or name its address to clients that would follow a redirect with their key."""
    headers = {"Cache-Control": "private, no-store", "Vary": "Accept"}
    accepted = {each.partition(";")[0].strip().lower() for each in request.headers.get("accept", "").split(",")}
    if accepted == {"application/json"}:
        body = schemas.PhotoLink(url=link, expires_in=LINK_SECONDS)
        return Response(body.model_dump_json(), headers=headers, media_type="application/json")
    return RedirectResponse(link, headers=headers)


@routes.patch(
    "/images/{image_path:path}", dependencies=[may_manage], responses=problem_responses(400, 404, 409, 413, 415, 422)
)
async def move(image_path: str, to: schemas.Move, context: Context) -> schemas.Upload:
    """Move a photo to another person, because it shows that one."""
    return _upload(await context.inference.run(context.app.move, image_path, to.user_id, to.name))


@form_routes.post(UPLOAD_FORM_PATH, status_code=204)
async def receive(request: Request, context: Context) -> None:
    signed: dict[str, Any] = {}

    def check(fields: Mapping[str, str]) -> int:
        signed.update(_signed(fields, context))
        request.state.caller = UPLOAD_FORM_HOLDER
        return int(signed["bytes"])

    form = await read_form(request, before_file=check)
    photo = await read_file(form, "file")
    if image_types.sniff(photo)[0] != signed["type"]:
        raise AccessDenied("The form was signed for another path or content type.")
    context.guard.check_key_id(signed["key_id"])  # it may have been revoked while the photo was sent
    signed_at = datetime.fromtimestamp(signed.get("at", 0), UTC)
    await context.storage.run(context.app.receive, signed["key"], photo, signed_at)


def _signed(fields: Mapping[str, str], context: Context) -> dict[str, Any]:
    """Return what a form was signed for, by which API key. Raises InvalidInput and AccessDenied."""
    signed = context.signer.verify(UPLOAD_FORM, fields.get("policy", ""))
    issuer = context.signer.verify(UPLOAD_FORM_ISSUER, fields.get("issuer", ""))
    if not fields.get("key") == signed["key"] == issuer["key"]:
        raise AccessDenied("The form was signed for another path or content type.")
    context.guard.check_key_id(issuer["key_id"])
    return signed | {"key_id": issuer["key_id"]}


def _is_discreet(request: Request) -> bool:
    """Return whether the caller must not learn who is enrolled, having the scope `upload` alone."""
    scopes: frozenset[Scope] = request.state.scopes
    return scopes == {Scope.UPLOAD}


def _without_who(upload: records.Upload) -> records.Upload:
    """Leave out what tells of people; a photo that was rejected for that alone waits for somebody who may manage it."""
    reasons = tuple(notice for notice in upload.reasons if notice.code in ABOUT_PHOTO)
    warnings = tuple(notice for notice in upload.warnings if notice.code in ABOUT_PHOTO)
    is_rejected_for_who = upload.status is records.UploadStatus.REJECTED and not reasons
    return replace(
        upload,
        status=records.UploadStatus.PENDING if is_rejected_for_who else upload.status,
        user_id=object_keys.user_id_of(upload.image_path),
        name=None,
        reasons=reasons,
        warnings=warnings,
    )


def _upload(upload: records.Upload) -> schemas.Upload:
    return schemas.Upload(
        image_path=upload.image_path,
        user_id=upload.user_id,
        name=upload.name,
        status=upload.status,
        timestamp=upload.timestamp,
        face_ids=list(upload.face_ids),
        reasons=[notice.message for notice in upload.reasons],
        warnings=[notice.message for notice in upload.warnings],
        remarks=schemas.Remark.from_each([*upload.reasons, *upload.warnings]),
    )
