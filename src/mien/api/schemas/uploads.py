"""Uploads and their states, signed forms, photos that move to another person."""

from __future__ import annotations

from datetime import datetime

from mien.api.schemas.base import FACE_ID, PATH, Schema, example
from mien.domain.records import UploadStatus


class Remark(Schema):
    code: str
    message: str
    face_id: str | None = None
    similarity: float | None = None


class Upload(Schema):
    """`reasons` say why a photo was rejected or failed, `warnings` what to know of an indexed one; `remarks` are both.

    A failed photo is no worse than others: something else kept failing. Uploading it again has it tried once more.
    """

    model_config = example(
        image_path=PATH,
        user_id="Alice",
        status="indexed",
        timestamp="2026-11-23T12:00:00Z",
        face_ids=[FACE_ID],
        reasons=[],
        warnings=[],
        remarks=[],
    )
    image_path: str
    user_id: str | None
    status: UploadStatus
    timestamp: datetime
    face_ids: list[str]
    reasons: list[str]
    warnings: list[str]
    remarks: list[Remark]


class FormRequest(Schema):
    model_config = example(user_id="Alice", content_type="image/jpeg")
    content_type: str
    user_id: str | None = None


class Form(Schema):
    """POST the `fields` and then the photo as `file`, as multipart/form-data, to `url`."""

    url: str
    fields: dict[str, str]
    image_path: str
    expires_at: datetime


class Move(Schema):
    model_config = example(user_id="Alice")
    user_id: str
