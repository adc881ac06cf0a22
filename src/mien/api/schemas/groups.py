"""Define the JSON of groups of unknown faces."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from mien.api.schemas.base import BOX, FACE_ID, Schema, example, example_of
from mien.api.schemas.enrolment import Face

GROUP_ID = "g-3f9c0a7be2d15486"
MAX_SPLIT_FACES = 1000
_FACE = {
    "face_id": FACE_ID,
    "user_id": None,
    "name": None,
    "image_path": "uploaded/_/6a0f3c1d9b7e4f52a8c3d0e1f2a4b5c6.jpg",
    "timestamp": "2026-11-24T12:00:00Z",
    "bounding_box": BOX,
    "confidence": 94.2,
}


class Group(Schema):
    """Faces that are alike and that nobody has named.

    `faces` is their number, `best` the clearest of them: `GET /images/{image_path}` shows a face's portrait, or the
    photo in which `bounding_box` is its place. `first_seen` and `last_seen` say when faces were found. `user_id` is the
    person whose name the group was being given when that was interrupted.
    """

    model_config = example(
        group_id=GROUP_ID,
        faces=12,
        first_seen="2026-11-24T12:00:00Z",
        last_seen="2026-11-27T09:15:02Z",
        skipped=False,
        user_id=None,
        best=[_FACE],
    )
    group_id: str
    faces: int
    first_seen: datetime
    last_seen: datetime
    skipped: bool
    user_id: str | None
    best: list[Face]


class Groups(Schema):
    model_config = example(groups=[example_of(Group)], next_cursor=None)
    groups: list[Group]
    next_cursor: str | None


class GroupFaces(Schema):
    model_config = example(faces=[_FACE], next_cursor=None)
    faces: list[Face]
    next_cursor: str | None


class GroupName(Schema):
    """Who a group is: the id of somebody, or a name. A name that nobody has makes a new person."""

    model_config = example(name="Ada Lovelace")
    user_id: str | None = None
    name: str | None = None


class Naming(Schema):
    """What naming a group did; `left` are faces that are not clear enough to be enrolled, and stay in the group."""

    model_config = example(group_id=GROUP_ID, user_id="p-3k9x0a7c2m5q8w1z", name="Ada Lovelace", enrolled=12, left=0)
    group_id: str
    user_id: str
    name: str
    enrolled: int
    left: int


class GroupChange(Schema):
    model_config = example(skipped=True)
    skipped: bool


class GroupSplit(Schema):
    """The faces of the second person; when there are none, Mien divides the group by likeness."""

    model_config = example(face_ids=[FACE_ID])
    face_ids: list[str] = Field(default=[], max_length=MAX_SPLIT_FACES)


class GroupMerge(Schema):
    model_config = example(into="g-9b1d4c7e0f2a3856")
    into: str


class GroupedFaces(Schema):
    """How many faces a request changed."""

    model_config = example(faces=12)
    faces: int
