"""Define the JSON of recognitions, detections and comparisons."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from mien.api.schemas.base import BOX, FACE_ID, PATH, BoundingBox, Schema, Similarity, example
from mien.domain.records import RecognitionStatus
from mien.domain.thresholds import Likelihood


class Candidate(Schema):
    user_id: str | None
    name: str | None
    similarity: Similarity
    face_id: str | None
    image_path: str | None


class Stranger(Schema):
    """Who an unknown face is as far as it was seen before: its group, how many faces that has, and since when."""

    group_id: str
    faces: int
    first_seen: datetime
    last_seen: datetime


class RecognizedFace(Schema):
    bounding_box: BoundingBox = Field(validation_alias="box")
    confidence: Similarity
    status: RecognitionStatus
    user_id: str | None
    name: str | None
    similarity: Similarity | None
    likelihood: Likelihood = Field(
        description="How likely it is that the face is this person: `very_likely` when at most 1 in 5000 strangers "
        "would reach the similarity among the faces enrolled at that time, else `likely`, which a person should check."
    )
    candidates: list[Candidate]
    stranger: Stranger | None = None


class Recognition(Schema):
    """Who is in a photo. A face has a `user_id` and a `name` only when its `status` is `matched`.

    Names are those of today, also in recognitions that were stored before a person was renamed or merged.

    `threshold_fmr` is the false match rate of one comparison at the threshold; `threshold_fpir` is the rate at which
    a stranger would be named among the faces enrolled at that time. Both are null where the recogniser publishes no
    rates. `faces_left_out` counts the faces that were seen but not searched for, because the photo shows more than
    the server looks for, or than it had time for.
    """

    model_config = example(
        recognition_id="0c9f4d5e-9d43-4c11-8a55-7c7ad3fdc0f2",
        image_path=None,
        timestamp="2026-11-23T12:00:00Z",
        threshold=80.0,
        threshold_fmr=0.0001,
        threshold_fpir=0.0012,
        faces_left_out=0,
        faces=[
            {
                "bounding_box": BOX,
                "confidence": 94.2,
                "status": "matched",
                "user_id": "Alice",
                "name": "Alice Smith",
                "similarity": 99.3,
                "likelihood": "very_likely",
                "candidates": [
                    {
                        "user_id": "Alice",
                        "name": "Alice Smith",
                        "similarity": 99.3,
                        "face_id": FACE_ID,
                        "image_path": PATH,
                    }
                ],
            }
        ],
    )
    recognition_id: str
    image_path: str | None
    timestamp: datetime
    threshold: Similarity
    threshold_fmr: float | None
    threshold_fpir: float | None
    faces_left_out: int
    faces: list[RecognizedFace]


class Recognitions(Schema):
    recognitions: list[Recognition]
    next_cursor: str | None


class DeletedRecognitions(Schema):
    """How many recognitions a request deleted; `next_cursor` leads to those that it did not look at."""

    deleted: int
    next_cursor: str | None


class Point(Schema):
    x: float
    y: float


class Landmarks(Schema):
    left_eye: Point
    right_eye: Point
    nose: Point
    mouth_left: Point
    mouth_right: Point


class Pose(Schema):
    roll: float
    yaw: float
    pitch: float


class Quality(Schema):
    brightness: Similarity
    sharpness: Similarity


class Detection(Schema):
    bounding_box: BoundingBox = Field(validation_alias="box")
    confidence: Similarity
    landmarks: Landmarks
    pose: Pose
    quality: Quality


class Detections(Schema):
    faces: list[Detection]


class Comparison(Schema):
    similarity: Similarity
    face: Detection


class Comparisons(Schema):
    """The largest face in the source photo against every face in the target photo, most similar first."""

    matches: list[Comparison]
