"""A font for a text: Pillow's own when it has the letters, else the first installed one that has them.

The search looks at the folders where systems keep fonts, sans serifs first, and only for such texts.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from PIL import ImageFont

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
