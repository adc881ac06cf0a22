"""Paints photos of made-up people, which `FakeFaceEngine` recognises: no real photo is needed to test a flow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageFilter

from tests.support.markers import CELLS, dictionary, marker_number

DARK, BRIGHT = 30, 225
DOUBTFUL_TINT = (0.6, 0.8, 1.0)
"""What a doubtful face's red, green and blue are multiplied by; the fake engine reads its confidence from it."""


@dataclass(frozen=True)
class Portrait:
    """One face to paint.

    `person`: a name of `CAST`, or a number from 0 to 99. `photo`: another number is another photo of the same
    person. `side`: the face's side in pixels. `dark`, `blurred` and `doubtful` make it fail the quality filter AUTO,
    as do a `side` of 16 and a `narrow` of 0.2 (its width as a share of its height: the head looks aside).
    """

    person: str | int
    photo: int = 0
    side: int = 128
    dark: bool = False
    blurred: bool = False
    doubtful: bool = False
    narrow: float = 1.0

    def image(self) -> Image.Image:
        cells = cv2.aruco.generateImageMarker(dictionary(), marker_number(self.person, self.photo), CELLS - 2)
        cells = np.pad(cells, 1, constant_values=255)
        low, high = (0, 26) if self.dark else (100, 150) if self.blurred else (DARK, BRIGHT)
        face = Image.fromarray(np.where(cells > 0, high, low).astype(np.uint8)).convert("RGB")
        face = face.resize((round(self.side * self.narrow), self.side), Image.Resampling.NEAREST)
        if self.blurred:
            face = face.filter(ImageFilter.GaussianBlur(self.side / CELLS / 5))
        if self.doubtful:
            face = Image.fromarray((np.asarray(face) * DOUBTFUL_TINT).astype(np.uint8))
        return face


def paint(*faces: Portrait | str | int, photo: int = 0, size: tuple[int, int] | None = None) -> Image.Image:
    """A picture, RGB, of these people side by side; without any, a landscape.

    A bare name or number stands for a portrait on photo number `photo`, the first the largest. `size`: width and
    height in pixels, as large as the faces need by default.
    """
    portraits = [
        face if isinstance(face, Portrait) else Portrait(face, photo, side=max(128 - 8 * place, 64))
        for place, face in enumerate(faces)
    ]
    step = max((portrait.side for portrait in portraits), default=128) * 3 // 2
    width, height = size or (max(len(portraits) * step, 2 * step), 2 * step)
    picture = landscape(
        width, height, photo, *(marker_number(portrait.person, portrait.photo) for portrait in portraits)
    )
    for place, portrait in enumerate(portraits):
        face = portrait.image()
        left = (2 * place + 1) * width // (2 * len(portraits)) - face.width // 2
        picture.paste(face, (left, (height - face.height) // 2))
    return picture


def landscape(width: int, height: int, *seed: int) -> Image.Image:
    """A smooth picture without a face; the grain makes sure that no two seeds share a stretch of bytes."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    colours = np.stack(
        [90 + 80 * x / width, 90 + 80 * y / height, np.full((height, width), random.integers(90, 190))], 2
    )
    return Image.fromarray((colours + random.integers(-5, 6, colours.shape)).astype(np.uint8))


def encoded(image: Image.Image, form: str = "JPEG", **options: object) -> bytes:
    """The picture as a file's bytes."""
    stream = BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def encoded_with_orientation(image: Image.Image, orientation: int) -> bytes:
    """A JPEG that lies on its side, or on its head, until its EXIF orientation (3, 6 or 8) is obeyed."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image.rotate({3: 180, 6: 90, 8: 270}[orientation], expand=True), exif=exif)


def photo_of(*faces: Portrait | str | int, photo: int = 0) -> bytes:
    """A JPEG of these people, as `paint` paints it."""
    return encoded(paint(*faces, photo=photo))


def photos_of(person: str | int, count: int = 5) -> list[bytes]:
    """JPEGs of one person alone."""
    return [photo_of(person, photo=number) for number in range(count)]


def side_by_side(*photos: bytes) -> bytes:
    """The photos as one JPEG."""
    parts = [Image.open(BytesIO(photo)) for photo in photos]
    whole = Image.new("RGB", (sum(part.width for part in parts), max(part.height for part in parts)))
    left = 0
    for part in parts:
        whole.paste(part, (left, 0))
        left += part.width
    return encoded(whole, quality=95)


def write_people(folder: Path, people: Iterable[str | int], photos: int = 5) -> Path:
    """Fill `folder` as `mien enroll` expects it: <name>/<name>_0001.jpg and so on."""
    for person in people:
        name = person if isinstance(person, str) else f"Person_{person:02}"
        (folder / name).mkdir(parents=True)
        for number, content in enumerate(photos_of(person, photos), 1):
            (folder / name / f"{name}_{number:04}.jpg").write_bytes(content)
    return folder
