"""Define faces: as they are detected, stored in a gallery, and found by a search.

Frozen values without arrays or libraries, shared by every layer and every backend. Boxes and points are fractions of
the upright photo's width and height (EXIF applied), from its top left corner; similarities and confidences run from 0
to 100, as in Rekognition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

EMBEDDING_DIMENSION = 128
"""Coordinates of an embedding."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle around a face, in fractions of the photo's width and height; it may reach over the edges."""

    left: float
    top: float
    width: float
    height: float

    @property
    def area(self) -> float:
        return self.width * self.height

    def overlap(self, other: Box) -> float:
        """Return the intersection over union with another box, 0 to 1."""
        across = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        down = min(self.top + self.height, other.top + other.height) - max(self.top, other.top)
        common = max(0.0, across) * max(0.0, down)
        return common / (self.area + other.area - common) if common else 0.0

    def square(self, width: int, height: int, margin: float = 0.3) -> tuple[float, float, float]:
        """Return the square around the box that lies in a photo: left, top and side in pixels.

        Args:
            width, height: The size of the photo, in pixels.
            margin: What is added on each side, as a fraction of the longer side of the box.
        """
        longer = max(self.width * width, self.height * height)
        side = max(1.0, min(longer * (1 + 2 * margin), width, height))
        left = (self.left + self.width / 2) * width - side / 2
        top = (self.top + self.height / 2) * height - side / 2
        return max(0.0, min(left, width - side)), max(0.0, min(top, height - side)), side


@dataclass(frozen=True, slots=True)
class Point:
    """A point in fractions of the photo's width and height."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Landmarks:
    """The five landmarks of a face; left and right are the viewer's, as in Rekognition."""

    left_eye: Point
    right_eye: Point
    nose: Point
    mouth_left: Point
    mouth_right: Point


@dataclass(frozen=True, slots=True)
class Pose:
    """The head's rotation in degrees. Roll > 0: clockwise; yaw > 0: to the viewer's right; pitch > 0: up."""

    roll: float
    yaw: float
    pitch: float


@dataclass(frozen=True, slots=True)
class Quality:
    """Brightness and sharpness of the face's pixels, 0 to 100, and `size`, the box's shorter side in pixels."""

    brightness: float
    sharpness: float
    size: float


@dataclass(frozen=True, slots=True)
class Detection:
    """A face detected in a photo.

    `confidence`, 0 to 100, is how certain the detector is that this is a face. `rotation` is by how many degrees
    clockwise (0, 90, 180, 270) the photo was rotated to detect the face; box and landmarks refer to the photo
    without that rotation.
    """

    box: Box
    landmarks: Landmarks
    confidence: float
    pose: Pose
    quality: Quality
    rotation: int


@dataclass(frozen=True, slots=True)
class SearchedFace:
    """A face of which a recognizer tells no more than where it is and, 0 to 100, how certain it is that it is one."""

    box: Box
    confidence: float


class QualityFilter(StrEnum):
    """The quality that a face must have to be indexed or searched."""

    NONE = "NONE"
    AUTO = "AUTO"
    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"


class Reason(StrEnum):
    """Why a face was rejected: by the quality filter, or for a limit on faces."""

    EXCEEDS_MAX_FACES = "EXCEEDS_MAX_FACES"
    EXTREME_POSE = "EXTREME_POSE"
    LOW_BRIGHTNESS = "LOW_BRIGHTNESS"
    LOW_SHARPNESS = "LOW_SHARPNESS"
    LOW_CONFIDENCE = "LOW_CONFIDENCE"
    SMALL_BOUNDING_BOX = "SMALL_BOUNDING_BOX"
    LOW_FACE_QUALITY = "LOW_FACE_QUALITY"


@dataclass(frozen=True, slots=True)
class Collection:
    """A named set of faces, whose embeddings all come from one version of the models."""

    collection_id: str
    model_version: str
    face_count: int
    user_count: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class StoredFace:
    """A face in a gallery, without its embedding, which stays inside the gallery."""

    face_id: str
    image_id: str
    box: Box
    confidence: float
    external_image_id: str | None
    user_id: str | None
    model_version: str


class UserStatus(StrEnum):
    """Whether a user has associated faces (ACTIVE) or none yet (CREATED)."""

    CREATED = "CREATED"
    ACTIVE = "ACTIVE"


@dataclass(frozen=True, slots=True)
class User:
    """A person in a collection: up to 100 associated faces, searched as one aggregated embedding."""

    user_id: str
    status: UserStatus


@dataclass(frozen=True, slots=True)
class FaceMatch:
    """A stored face and its similarity to the probe, 0 to 100."""

    similarity: float
    face: StoredFace


@dataclass(frozen=True, slots=True)
class UserMatch:
    """A user and the similarity of their aggregated faces to the probe, 0 to 100."""

    similarity: float
    user: User


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a listing; `next_token` asks for the following page and is None on the last."""

    items: tuple[T, ...]
    next_token: str | None


def iterate_pages(fetch: Callable[[str | None], Page[T]]) -> Iterator[T]:
    """Walk a whole listing, each page asked for when its first item is.

    Args:
        fetch: Returns the page after a `next_token`; None asks for the first page.
    """
    token = None
    while True:
        page = fetch(token)
        yield from page.items
        token = page.next_token
        if token is None:
            return


class IssueKind(StrEnum):
    """What can look wrong with enrolled faces."""

    SAME_FACE_TWO_NAMES = "same_face_two_names"
    TWO_PEOPLE_ONE_NAME = "two_people_one_name"
    NEAR_DUPLICATES = "near_duplicates"
    OUTLIER = "outlier"
    POOR_QUALITY = "poor_quality"


@dataclass(frozen=True, slots=True)
class Issue:
    """Something that looks wrong with enrolled faces: the people and faces concerned, and what to do about it.

    `similarity` is that between the faces, where it is the evidence. `remove` are the faces whose deletion repairs
    the issue; empty where deleting faces is not enough.
    """

    trouble: IssueKind
    people: tuple[str, ...]
    face_ids: tuple[str, ...]
    similarity: float | None
    evidence: str
    action: str
    remove: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
