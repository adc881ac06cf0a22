"""A face's frame: a rounded rectangle, unbroken or dashed, as a smooth mask.

A font for a text: Pillow's own when it has the letters, else the first installed one that has them.

The search looks at the folders where systems keep fonts, sans serifs first, and only for such texts.

What is written at a face, and in which style: verdicts differ in colour, in lightness and in line.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import floor
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from mien.domain.faces import Box
from mien.domain.records import RecognitionStatus, RecognizedFace

SMOOTH = 3
XY = tuple[float, float]


def frame(size: tuple[int, int], width: float, dashes: tuple[float, float] | None) -> Image.Image:
    """A mask ("L") of `size` pixels with the frame at its edge; `dashes` in multiples of the line's width."""
    canvas = Image.new("L", (size[0] * SMOOTH, size[1] * SMOOTH))
    draw = ImageDraw.Draw(canvas)
    line = width * SMOOTH
    path = _outline(canvas.width - 1, canvas.height - 1, line)
    strokes = [path] if dashes is None else _dashes(path, dashes[0] * line, dashes[1] * line)
    for stroke in strokes:
        draw.line(stroke, fill=255, width=round(line), joint="curve")
    return canvas.resize(size, Image.Resampling.BOX)


def _outline(width: float, height: float, line: float) -> list[XY]:
    """A closed path along the middle of the line, in steps of at most a line's width."""
    inset = line / 2
    radius = min(width, height) * 0.12
    centres = ((width - radius, radius), (width - radius, height - radius), (radius, height - radius), (radius, radius))
    path = [
        (x + (radius - inset) * math.sin(turn), y - (radius - inset) * math.cos(turn))
        for quarter, (x, y) in enumerate(centres)
        for turn in (math.pi / 2 * (quarter + step / 12) for step in range(13))
    ]
    return list(_resampled([*path, path[0], path[1]], line / 2))


def _resampled(path: Sequence[XY], step: float) -> Iterator[XY]:
    for (x, y), (to_x, to_y) in pairwise(path):
        pieces = max(1, math.ceil(math.hypot(to_x - x, to_y - y) / step))
        yield from ((x + (to_x - x) * i / pieces, y + (to_y - y) * i / pieces) for i in range(pieces))


def _dashes(path: Sequence[XY], dash: float, gap: float) -> Iterator[list[XY]]:
    stroke: list[XY] = []
    travelled = 0.0
    for start, end in pairwise(path):
        if travelled % (dash + gap) <= dash:
            stroke.append(start)
        elif stroke:
            yield stroke
            stroke = []
        travelled += math.dist(start, end)
    if stroke:
        yield stroke


Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
UNASSIGNED = "\U000effff"


def font(text: str, size: int) -> Font:
    """A font of this size in pixels that has the text's letters, if there is any."""
    file = None if _has(ImageFont.load_default(64), text) else _installed(frozenset(text))
    return ImageFont.load_default(size) if file is None else ImageFont.truetype(str(file), size)


def can_write(text: str) -> bool:
    """Whether any font has every letter of the text."""
    return _has(font(text, 64), text)


@cache
def _installed(letters: frozenset[str]) -> Path | None:
    for file in _files():
        try:
            if _has(ImageFont.truetype(str(file), 64), "".join(letters)):
                return file
        except OSError:  # a format that FreeType does not read
            continue
    return None


@cache
def _files() -> tuple[Path, ...]:
    found = [file for folder in _folders() for kind in ("tt[fc]", "ot[fc]") for file in folder.rglob(f"*.{kind}")]
    return tuple(sorted(found, key=lambda file: (not _is_plain_sans(file.stem.lower()), file.name)))


def _is_plain_sans(name: str) -> bool:
    special = ("bold", "italic", "oblique", "mono", "thin", "light", "condensed")
    return "sans" in name and not any(word in name for word in special)


def _folders() -> Iterator[Path]:
    if sys.platform == "darwin":
        yield from (Path("/System/Library/Fonts"), Path("/Library/Fonts"), Path.home() / "Library/Fonts")
    elif os.name == "nt":
        yield Path(os.environ.get("WINDIR", "C:/Windows")) / "Fonts"
    else:
        yield from (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), Path.home() / ".local/share/fonts")


def _has(face: Font, text: str) -> bool:
    missing = bytes(face.getmask(UNASSIGNED))
    return all(letter.isspace() or bytes(face.getmask(letter)) != missing for letter in set(text))


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
