"""Choose text, style and font of a face's label.

Styles differ in colour, lightness and line, so that they are told apart without colour vision. Pillow's own font is
used where it has the letters of a text, otherwise the first installed one that has them; only then are the system's
font folders searched.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import floor
from pathlib import Path

from PIL import ImageFont

from mien.domain.faces import Box
from mien.domain.records import RecognitionStatus, RecognizedFace

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
    note = "" if face.similarity is None else str(floor(face.similarity))  # rounded down: 99.9 is not to read 100
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
