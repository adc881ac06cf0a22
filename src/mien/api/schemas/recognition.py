"""Define the JSON of recognitions, detections and comparisons."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from mien.api.schemas.base import BOX, FACE_ID, PATH, BoundingBox, Schema, Similarity, example, example_of
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
    the server looks for, or than it had time for. Of a photo, the 100 largest faces are seen.
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
    model_config = example(recognitions=[example_of(Recognition)], next_cursor=None)
    recognitions: list[Recognition]
    next_cursor: str | None


class DeletedRecognitions(Schema):
    """How many recognitions a request deleted; `next_cursor` leads to those that it did not look at."""

    model_config = example(deleted=41, next_cursor=None)
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
    model_config = example(
        bounding_box=BOX,
        confidence=94.2,
        landmarks={
            "left_eye": {"x": 0.39, "y": 0.38},
            "right_eye": {"x": 0.51, "y": 0.38},
            "nose": {"x": 0.45, "y": 0.46},
            "mouth_left": {"x": 0.40, "y": 0.53},
            "mouth_right": {"x": 0.50, "y": 0.53},
        },
        pose={"roll": 1.4, "yaw": -6.2, "pitch": 3.0},
        quality={"brightness": 71.5, "sharpness": 88.0},
    )
    bounding_box: BoundingBox = Field(validation_alias="box")
    confidence: Similarity
    landmarks: Landmarks
    pose: Pose
    quality: Quality


class Detections(Schema):
    model_config = example(faces=[example_of(Detection)])
    faces: list[Detection]


class Comparison(Schema):
    similarity: Similarity
    face: Detection


class Comparisons(Schema):
    """The largest face in the source photo against every face in the target photo, most similar first."""

    model_config = example(matches=[{"similarity": 99.3, "face": example_of(Detection)}])
    matches: list[Comparison]
