"""Enrolled faces and people, what forgetting removed, and what looks wrong with them."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from mien.api.schemas.base import BOX, FACE_ID, PATH, BoundingBox, Schema, Similarity, example
from mien.domain.faces import IssueKind


class Face(Schema):
    model_config = example(
        face_id=FACE_ID,
        user_id="Alice",
        image_path=PATH,
        timestamp="2026-11-23T12:00:00Z",
        bounding_box=BOX,
        confidence=94.2,
    )
    face_id: str
    user_id: str | None
    image_path: str
    timestamp: datetime
    bounding_box: BoundingBox = Field(validation_alias="box")
    confidence: Similarity


class Faces(Schema):
    faces: list[Face]
    next_cursor: str | None


class Person(Schema):
    """`face_count` counts to 1000; `best_face` is the newest."""

    user_id: str
    timestamp: datetime
    face_count: int
    best_face: Face | None


class People(Schema):
    users: list[Person]
    next_cursor: str | None


class PersonDetail(Schema):
    user_id: str
    timestamp: datetime
    faces: list[Face]
    last_seen: datetime | None


class Receipt(Schema):
    """What was removed; `traces` names the stores that still hold something, and is empty."""

    user_id: str
    timestamp: datetime
    faces: int
    images: int
    uploads: int
    recognitions: int
    traces: list[str]


class Finding(Schema):
    """Something that looks wrong with who is enrolled; deleting the faces in `remove` repairs it."""

    trouble: IssueKind
    people: list[str]
    face_ids: list[str]
    similarity: Similarity | None
    evidence: str
    action: str
    remove: list[str]


class Findings(Schema):
    findings: list[Finding]
