"""Choose text, style and font of a face's label, and place it near its face.

Styles differ in colour, lightness and line, so that they are told apart without colour vision. Pillow's own font is
used where it has the letters of a text, otherwise the first installed one that has them; only then are the system's
font folders searched.

Labels are placed inside the image, over no other label and, where possible, over no face: one after the other, those
of the smallest faces first, each where it costs least. Rectangles are (left, top, right, bottom) in image pixels.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import ImageFont

from mien.domain.faces import Box
from mien.domain.records import RecognitionStatus, RecognizedFace
from mien.domain.thresholds import format_similarity

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

UNASSIGNED_LETTER = "\U000effff"
"""A code point that no font has: it shows how a font draws a missing letter."""

FONT_PATTERNS = ("*.tt[fc]", "*.ot[fc]")
PROBE_SIZE = 64
"""Pixels at which a font is asked for its letters."""


@dataclass(frozen=True, slots=True)
class Style:
    """How the outline of a face is drawn.

    Attributes:
        colour: sRGB, as "#rrggbb".
        dashes: length of dash and gap in multiples of the line's width; None for an unbroken line.
    """

    colour: str
    dashes: tuple[float, float] | None = None


STYLES = {
    RecognitionStatus.MATCHED: Style("#2dd4bf"),
    RecognitionStatus.AMBIGUOUS: Style("#fbbf24", (4, 2.5)),
    RecognitionStatus.UNKNOWN: Style("#e2e8f0", (1, 2.5)),
}
"""In the colours of the web page."""


@dataclass(frozen=True, slots=True)
class Label:
    """A face's box and the text of its tag.

    Attributes:
        box: in fractions of the photo.
        text: a name, two names, or "unknown".
        note: text shown after it, such as a similarity.
        style: how the outline is drawn.
    """

    box: Box
    text: str
    note: str
    style: Style


def label(face: RecognizedFace) -> Label:
    """Build the label of a recognised face: its name, the two likeliest names, or "unknown"."""
    if face.status is RecognitionStatus.MATCHED:
        text = face.name or face.user_id or ""
    elif face.status is RecognitionStatus.AMBIGUOUS:
        text = " or ".join(filter(None, (each.name or each.user_id for each in face.candidates[:2]))) + "?"
    else:
        text = "unknown"
    note = "" if face.similarity is None else format_similarity(face.similarity)
    return Label(face.box, text, note, STYLES[face.status])


def font(text: str, size: int) -> Font:
    """Return a font of `size` pixels that has the letters of a text, or Pillow's own if none has them."""
    file = None if _has_letters(ImageFont.load_default(PROBE_SIZE), text) else _installed_font(frozenset(text))
    return ImageFont.load_default(size) if file is None else ImageFont.truetype(str(file), size)


def can_write(text: str) -> bool:
    """Tell whether a font has every letter of a text."""
    return _has_letters(font(text, PROBE_SIZE), text)


@cache
def _installed_font(letters: frozenset[str]) -> Path | None:
    for file in _font_files():
        try:
            if _has_letters(ImageFont.truetype(str(file), PROBE_SIZE), "".join(letters)):
                return file
        except OSError:  # a format that FreeType does not read
            continue
    return None


@cache
def _font_files() -> tuple[Path, ...]:
    """Installed fonts, plain sans serifs first."""
    files = [file for folder in _font_folders() for pattern in FONT_PATTERNS for file in folder.rglob(pattern)]
    return tuple(sorted(files, key=lambda file: (not _is_plain_sans(file.stem.lower()), file.name)))


def _is_plain_sans(name: str) -> bool:
    special = ("bold", "italic", "oblique", "mono", "thin", "light", "condensed")
    return "sans" in name and not any(word in name for word in special)


def _font_folders() -> Iterator[Path]:
    if sys.platform == "darwin":
        yield from (Path("/System/Library/Fonts"), Path("/Library/Fonts"), Path.home() / "Library/Fonts")
    else:
        yield from (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), Path.home() / ".local/share/fonts")


def _has_letters(face: Font, text: str) -> bool:
    missing = bytes(face.getmask(UNASSIGNED_LETTER))
    return all(letter.isspace() or bytes(face.getmask(letter)) != missing for letter in set(text))


Rect = tuple[float, float, float, float]
Size = tuple[float, float]

TAG_COST, FACE_COST, OWN_FACE_COST = 100.0, 10.0, 3.0
"""Cost of a covered pixel, beside the distance to the face times the tag's height."""

MAX_RINGS = 8
"""Rings of positions around a face, each one tag further away."""


def place_tags(faces: Sequence[Rect], sizes: Sequence[Size], image: Size, gap: float) -> list[Rect]:
    """Place a tag for each face.

    Args:
        faces: boxes of the faces.
        sizes: (width, height) of each face's tag.
        image: (width, height) of the image.
        gap: pixels between a face and its tag.

    Returns:
        The rectangles of the tags, in the order of the faces.
    """
    placed: dict[int, Rect] = {}
    for index in sorted(range(len(faces)), key=lambda i: _area(faces[i])):
        own = faces[index]
        others = [face for i, face in enumerate(faces) if i != index]
        positions = [_move_inside(position, image) for position in _positions(own, sizes[index], gap)]

        def cost(tag: Rect, own: Rect = own, others: Sequence[Rect] = others, size: Size = sizes[index]) -> float:
            covered = TAG_COST * sum(shared_area(tag, other) for other in placed.values())
            covered += FACE_COST * sum(shared_area(tag, face) for face in others)
            covered += OWN_FACE_COST * shared_area(tag, own)
            return covered + _distance(tag, own) * size[1]

        placed[index] = min(positions, key=cost)
    return [placed[i] for i in range(len(faces))]


def shared_area(a: Rect, b: Rect) -> float:
    """Compute the area in which two rectangles overlap."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0.0) * max(height, 0.0)


def _positions(face: Rect, size: Size, gap: float) -> Iterator[Rect]:
    """Below, above and beside the face, ring by ring, and last inside it; of equal costs the first one wins."""
    left, top, right, bottom = face
    width, height = size
    columns = (left, (left + right - width) / 2, right - width)
    for ring in range(MAX_RINGS):
        distance = gap + ring * (height + gap)
        for x in columns:
            yield _rect(x, bottom + distance, size)
            yield _rect(x, top - distance - height, size)
        yield _rect(right + distance, (top + bottom - height) / 2, size)
        yield _rect(left - distance - width, (top + bottom - height) / 2, size)
    yield _rect(columns[1], bottom - height - gap, size)
    yield _rect(columns[1], top + gap, size)


def _rect(x: float, y: float, size: Size) -> Rect:
    return (x, y, x + size[0], y + size[1])


def _move_inside(rect: Rect, image: Size) -> Rect:
    width, height = rect[2] - rect[0], rect[3] - rect[1]
    x = max(0.0, min(rect[0], image[0] - width))
    y = max(0.0, min(rect[1], image[1] - height))
    return _rect(x, y, (width, height))


def _distance(a: Rect, b: Rect) -> float:
    across = max(a[0] - b[2], b[0] - a[2], 0.0)
    down = max(a[1] - b[3], b[1] - a[3], 0.0)
    return across + down


def _area(rect: Rect) -> float:
    return (rect[2] - rect[0]) * (rect[3] - rect[1])
