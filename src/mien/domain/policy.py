"""The operator's choices about enrolment and recognition. The defaults are cautious."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mien.domain.limits import MATCH_THRESHOLD


class SeveralFaces(StrEnum):
    """What to do with a photo that is uploaded for a person and shows several faces."""

    LARGEST = "largest"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Policy:
    """Choices that hold for all photos.

    `threshold`: what counts as a match, a similarity or an error rate as `thresholds.parse` reads it. `margin`: a
    runner-up makes a match ambiguous when its odds, s / (100 - s), are less than this many times lower (4 is a cosine
    difference of 0.05), or when it reaches `thresholds.CERTAIN_SIMILARITY`. `several_faces`: which photos of several
    people may be enrolled. `candidates`: how many candidates an answer lists for each face at most.
    `max_image_bytes`: the largest photo.
    """

    threshold: str | float = MATCH_THRESHOLD
    margin: float = 4.0
    several_faces: SeveralFaces = SeveralFaces.LARGEST
    candidates: int = 5
    max_image_bytes: int = 15 * 1024 * 1024
