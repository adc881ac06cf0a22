"""The choices an operator makes about enrolment and recognition; the defaults are on the safe side."""

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
    """`threshold` is a similarity or an error rate, as `rates.threshold` reads it. A runner-up makes a match
    ambiguous when its odds, s / (100 - s), are less than `margin` times smaller (4 is 0.05 of cosine), or when it is
    beyond chance itself (docs/accuracy.md)."""

    threshold: str | float = MATCH_THRESHOLD
    margin: float = 4.0
    several_faces: SeveralFaces = SeveralFaces.LARGEST
    candidates: int = 5
    max_image_bytes: int = 15 * 1024 * 1024
