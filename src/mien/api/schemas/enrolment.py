"""Define the JSON of uploads, enrolled faces and people, erasures, and the issues that an inspection finds."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum

from pydantic import Field

from mien.api.schemas.base import BOX, FACE_ID, PATH, BoundingBox, Day, Schema, Similarity, example, example_of
from mien.domain.faces import IssueKind
from mien.domain.records import UploadStatus

ERASURE_ID = "9f1c2b7d4e5a4c3f8b6d7e8f9a0b1c2d"


class Remark(Schema):
    code: str
    message: str
    face_id: str | None = None
    similarity: float | None = None


class Upload(Schema):
    """An uploaded photo and its state.

    `reasons` say why the photo was rejected or failed, `warnings` what to check about an indexed one. `remarks` are
    both, with codes for programs. A `failed` photo is not at fault: upload it again to retry.
    """

    model_config = example(
        image_path=PATH,
        user_id="Alice",
        name="Alice Smith",
        status="indexed",
        timestamp="2026-11-23T12:00:00Z",
        face_ids=[FACE_ID],
        reasons=[],
        warnings=[],
        remarks=[],
    )
    image_path: str
    user_id: str | None
    name: str | None
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
    name: str | None = None


class PhotoLink(Schema):
    """Where a photo can be read without a key, and for how many seconds. Send the API key nowhere but to Mien."""

    model_config = example(
        url="https://facial-recognition-bucket-….s3.amazonaws.com/…?X-Amz-Signature=…", expires_in=60
    )
    url: str
    expires_in: int


class Form(Schema):
    """A signed upload form. POST the `fields`, and then the photo as `file`, to `url` as multipart/form-data."""

    model_config = example(
        url="http://127.0.0.1:8000/forms",
        fields={"key": PATH, "Content-Type": "image/jpeg", "policy": "…"},
        image_path=PATH,
        expires_at="2026-11-23T12:15:00Z",
    )
    url: str
    fields: dict[str, str]
    image_path: str
    expires_at: datetime


class Move(Schema):
    """The person whose photo it is: by `user_id`, or by `name`."""

    model_config = example(user_id="Alice")
    user_id: str | None = None
    name: str | None = None


class Merge(Schema):
    """`into` is the user id of the person whom this one is."""

    model_config = example(into="p-3k9x0a7c2m5q8w1z")
    into: str


class Face(Schema):
    model_config = example(
        face_id=FACE_ID,
        user_id="Alice",
        name="Alice Smith",
        image_path=PATH,
        timestamp="2026-11-23T12:00:00Z",
        bounding_box=BOX,
        confidence=94.2,
    )
    face_id: str
    user_id: str | None
    name: str | None
    image_path: str
    timestamp: datetime
    bounding_box: BoundingBox = Field(validation_alias="box")
    confidence: Similarity


class Uploads(Schema):
    model_config = example(uploads=[example_of(Upload)], next_cursor=None)
    uploads: list[Upload]
    next_cursor: str | None


class Faces(Schema):
    model_config = example(faces=[example_of(Face)], next_cursor=None)
    faces: list[Face]
    next_cursor: str | None


class Person(Schema):
    """An enrolled person. `best_face` is the newest.

    `name` is the `user_id` until the person is named. `merged` are the user ids that were merged into this one.
    `consent_until` is the last day (in UTC) on which the person's consent holds; null for a consent without end.
    """

    model_config = example(
        user_id="Alice",
        name="Alice Smith",
        merged=[],
        timestamp="2026-11-23T12:00:00Z",
        face_count=3,
        best_face=None,
        consent_until="2027-06-30",
    )
    user_id: str
    name: str
    merged: list[str]
    timestamp: datetime
    face_count: int
    best_face: Face | None
    consent_until: date | None = None


class People(Schema):
    model_config = example(users=[example_of(Person)], next_cursor=None)
    users: list[Person]
    next_cursor: str | None


class PersonDetail(Schema):
    model_config = example(
        user_id="Alice",
        name="Alice Smith",
        merged=[],
        timestamp="2026-11-23T12:00:00Z",
        faces=[],
        last_seen="2026-11-24T08:30:00Z",
        consent_until="2027-06-30",
    )
    user_id: str
    name: str
    merged: list[str]
    timestamp: datetime
    faces: list[Face]
    last_seen: datetime | None
    consent_until: date | None = None


class PersonChange(Schema):
    """What to change about a person; what is left out stays as it is."""

    model_config = example(name="Alice Smith", consent_until="2027-06-30")
    name: str | None = None
    consent_until: Day | None = Field(None, description="The last day (in UTC) of the consent; null for no end.")


class Receipt(Schema):
    """What an erasure removed. `traces` names the stores that still hold something of the person: normally none."""

    model_config = example(
        user_id="Alice",
        timestamp="2026-11-23T12:00:00Z",
        faces=3,
        images=3,
        uploads=3,
        recognitions=12,
        traces=[],
        erasure_id=ERASURE_ID,
    )
    user_id: str
    timestamp: datetime
    faces: int
    images: int
    uploads: int
    recognitions: int
    traces: list[str] = Field(validation_alias="remaining_stores")
    erasure_id: str


class ErasureStatus(StrEnum):
    """How far an erasure has got."""

    PENDING = "pending"
    DONE = "done"


class ErasureCounts(Schema):
    """What an erasure removed. `traces` names the stores that still hold something of the person: normally none."""

    faces: int
    images: int
    uploads: int
    recognitions: int
    traces: list[str] = Field(validation_alias="remaining_stores")


class Erasure(Schema):
    """An erasure that takes longer than a request: `receipt` says what was removed, once it is done.

    `timestamp` is the time of the request, and of the end once it is done.
    """

    model_config = example(
        erasure_id=ERASURE_ID,
        status="done",
        timestamp="2026-11-23T12:00:30Z",
        receipt={"faces": 3, "images": 3, "uploads": 3, "recognitions": 12, "traces": []},
    )
    erasure_id: str
    status: ErasureStatus
    timestamp: datetime
    receipt: ErasureCounts | None = None


class Trouble(StrEnum):  # `IssueKind` under the name that it has in the OpenAPI document
    """What can look wrong with the enrolled faces."""

    SAME_FACE_TWO_NAMES = IssueKind.SAME_FACE_TWO_NAMES.value
    TWO_PEOPLE_ONE_NAME = IssueKind.TWO_PEOPLE_ONE_NAME.value
    NEAR_DUPLICATES = IssueKind.NEAR_DUPLICATES.value
    OUTLIER = IssueKind.OUTLIER.value
    POOR_QUALITY = IssueKind.POOR_QUALITY.value


class Finding(Schema):
    """Something that looks wrong with the enrolled faces. Deleting the faces in `remove` puts it right."""

    model_config = example(
        trouble="same_face_two_names",
        people=["Alice", "Bob"],
        face_ids=[FACE_ID, "0b6f9a52-8c1e-4d7a-9f33-5a2e7c4d1b90"],
        similarity=99.3,
        evidence="A face of Alice and a face of Bob have the similarity 99.3; one pair of different people in a "
        "million reaches 99.",
        action="Look at both photos. Move the one that has the wrong name to the right person, or merge the two "
        "people.",
        remove=[],
        names=["Alice Smith", "Bob Miller"],
    )
    trouble: Trouble
    people: list[str]
    face_ids: list[str]
    similarity: Similarity | None
    evidence: str
    action: str
    remove: list[str]
    names: list[str]


class Findings(Schema):
    model_config = example(findings=[example_of(Finding)])
    findings: list[Finding]
