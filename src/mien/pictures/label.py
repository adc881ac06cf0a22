"""What is written at a face, and in which style: verdicts differ in colour, in lightness and in line."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

from mien.model import Box
from mien.records import RecognitionStatus, RecognizedFace


@dataclass(frozen=True, slots=True)
class Style:
    """An sRGB colour, and the line: dash and gap in multiples of its width (None: unbroken)."""

    colour: str
    dashes: tuple[float, float] | None = None


STYLES = {  # the colours of the web page
    RecognitionStatus.MATCHED: Style("#2dd4bf"),
    RecognitionStatus.AMBIGUOUS: Style("#fbbf24", (4, 2.5)),
    RecognitionStatus.UNKNOWN: Style("#e2e8f0", (1, 2.5)),
}


@dataclass(frozen=True, slots=True)
class Label:
    """A face's box and its tag; `note` (a similarity, say) is set off from `text`."""

    box: Box
    text: str
    note: str
    style: Style


def label(face: RecognizedFace) -> Label:
    """Who it is, who it may be, or that nobody knows."""
    if face.status is RecognitionStatus.MATCHED:
        text = face.user_id or ""
    elif face.status is RecognitionStatus.AMBIGUOUS:
        text = " or ".join(c.user_id for c in face.candidates[:2] if c.user_id) + "?"
    else:
        text = "unknown"
    note = "" if face.similarity is None else str(floor(face.similarity))  # only a full 100 reads 100
    return Label(face.box, text, note, STYLES[face.status])
