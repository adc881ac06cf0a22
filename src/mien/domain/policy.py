"""Define limits, default thresholds and the operator's choices, each named once.

The limits are those of Amazon Rekognition. Source: its API Reference (the page of the operation is named with each
value) and the Developer Guide's page "Guidelines and quotas in Amazon Rekognition".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MATCH_THRESHOLD = 80.0
"""The lowest similarity, 0 to 100, of a match by default.

SearchFaces and SearchFacesByImage (`FaceMatchThreshold`), SearchUsers and SearchUsersByImage
(`UserMatchThreshold`), CompareFaces (`SimilarityThreshold`).
"""

ASSOCIATION_THRESHOLD = 75.0
"""The lowest similarity, 0 to 100, of a face to the user that it is associated with, by default.

AssociateFaces (`UserMatchThreshold`).
"""

MAX_FACES_PER_PHOTO = 100
"""How many faces are detected in one photo at most: the largest. DetectFaces, IndexFaces, CompareFaces."""

MAX_FACES_PER_PAGE = 1000
"""How many recognised faces a page of recognitions has, but one recognition at least: a megabyte and more of JSON."""

MAX_FACES_PER_USER = 100
"""How many faces a user may have. AssociateFaces; the quota "face vectors per user"."""

MAX_FACE_MATCHES = 4096
"""How many faces a search returns at most. SearchFaces and SearchFacesByImage (`MaxFaces`)."""

MAX_USER_MATCHES = 500
"""How many users a search returns at most. SearchUsers and SearchUsersByImage (`MaxUsers`)."""


class SeveralFaces(StrEnum):
    """What to do with a photo that is uploaded for a person and shows several faces."""

    LARGEST = "largest"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Policy:
    """Choices that hold for all photos.

    `threshold`: what counts as a match, a similarity or an error rate as `thresholds.parse` reads it; "auto" follows
    the size of the gallery. `margin`: a
    runner-up makes a match ambiguous when its odds, s / (100 - s), are less than this many times lower (4 is a cosine
    difference of 0.05), or when it reaches `thresholds.CERTAIN_SIMILARITY`. `several_faces`: which photos of several
    people may be enrolled. `candidates`: the maximum number of candidates that a recognition lists for each face.
    `max_image_bytes`: the largest photo. `max_faces`: how many faces of a photo are recognised at most, the
    largest. `user_vectors`: whether the faces of a person are also searched together, as one. `enrollment_checks`:
    whether a new face is compared with those that are enrolled, to warn of look-alikes. `result_days`: how many
    days stored recognitions are kept, `visitor_days`: how many days photos that were uploaded for nobody are; None
    keeps them until somebody deletes them.
    """

    threshold: str | float = "auto"
    margin: float = 4.0
    several_faces: SeveralFaces = SeveralFaces.LARGEST
    candidates: int = 5
    max_image_bytes: int = 15 * 1024 * 1024
    max_faces: int = MAX_FACES_PER_PHOTO
    user_vectors: bool = True
    enrollment_checks: bool = True
    result_days: int | None = None
    visitor_days: int | None = None
