"""Answers -> a picture file: the annotated photo, or a contact sheet of several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mien.domain.errors import InvalidInput

if TYPE_CHECKING:
    from PIL.Image import Image

    from mien.domain.records import Recognition

MOST_PHOTOS = 200
LONG_SIDE = 1200  # pixels of a photo on a contact sheet, before it is cut
KINDS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}


def check(file: Path, photos: int = 1) -> None:
    """Raises InvalidInput, before any work is done, when so many photos cannot become a picture of this name."""
    if photos > MOST_PHOTOS:
        raise InvalidInput(f"A contact sheet holds at most {MOST_PHOTOS} photos, not {photos}.")
    if file.suffix.lower() not in KINDS:
        raise InvalidInput(f"The picture's name has to end in one of {', '.join(KINDS)}.")
    if not file.parent.is_dir():
        raise InvalidInput(f"There is no folder {file.parent} for the picture.")


def save(file: Path, answers: Sequence[tuple[Path, Recognition]]) -> None:
    if len(answers) == 1:
        write(file, _annotated(*answers[0]))
    elif answers:
        write(file, _sheet(answers))


def write(file: Path, picture: Image) -> None:
    """Raises InvalidInput when the file cannot be written."""
    try:
        picture.save(file, KINDS[file.suffix.lower()], quality=92)
    except OSError as error:
        raise InvalidInput(f"{file} cannot be written: {error.strerror}.") from error


def _annotated(path: Path, answer: Recognition) -> Image:
    from mien.annotate import annotate, label, open_upright

    return annotate(open_upright(path.read_bytes()), [label(face) for face in answer.faces])


def _sheet(answers: Sequence[tuple[Path, Recognition]]) -> Image:
    from mien.annotate import Tile, contact_sheet, label, open_upright

    tiles = [
        Tile(open_upright(path.read_bytes(), LONG_SIDE), tuple(label(face) for face in answer.faces), path.name)
        for path, answer in answers
    ]
    return contact_sheet(f"{len(tiles)} photos", tiles, columns=4)
