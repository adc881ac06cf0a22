"""Prepare photos for Rekognition, which takes JPEG and PNG up to 5 MiB: convert other formats, scale large photos.

This is the only module on AWS that loads Pillow, so that functions which never see a photo do not.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import pillow_heif
from PIL import Image, ImageOps, UnidentifiedImageError

from mien.domain import image_types
from mien.domain.errors import DamagedImage, ImageTooLarge, ImageTooSmall, UnsupportedImage
from mien.domain.faces import Box

MAX_BYTES = 5_242_880  # Rekognition's limit on Image.Bytes
MIN_SIDE = 80  # pixels, Rekognition's limit on an image
SIDES = (4096, 2048, 1024)  # pixels; larger photos gain nothing and cost transfer, noisy ones are scaled further
MAX_RENDERED_PIXELS = 60_000_000
MAX_RENDERED_BYTES = 4_450_000  # in base64 and with its headers, less than the 6 MB that a function returns
LARGE_DECODERS = {"WEBP": 27_000_000, "AVIF": 29_000_000}
"""Pixels by format, for those that take more memory: all take some 450 MB at most, and the functions have 1,024."""
_ACCEPTED_TYPES = {"image/jpeg", "image/png"}

pillow_heif.register_heif_opener()


@dataclass(frozen=True)
class PreparedPhoto:
    """An image file within Rekognition's limits.

    Attributes:
        data: The file.
        width: Width of the upright image, in pixels.
        height: Height of the upright image, in pixels.
    """

    data: bytes
    width: int
    height: int

    @cached_property
    def upright(self) -> Image.Image:
        return _upright(self.data)

    def crop(self, box: Box, margin: float) -> tuple[bytes, Box]:
        """Cut out a box with some of its surroundings.

        Args:
            box: A box in fractions of the upright photo.
            margin: How much to add on each side, in box sizes.

        Returns:
            The crop as a JPEG of at least 80 × 80 pixels, and the box in fractions of the crop.
        """
        left, right = _span(box.left, box.width, margin, self.width)
        top, bottom = _span(box.top, box.height, margin, self.height)
        part = self.upright.crop((left, top, right, bottom))
        inside = Box(
            (box.left * self.width - left) / part.width,
            (box.top * self.height - top) / part.height,
            box.width * self.width / part.width,
            box.height * self.height / part.height,
        )
        scale = max(1.0, MIN_SIDE / min(part.size))
        if scale > 1:
            part = part.resize((round(part.width * scale + 0.5), round(part.height * scale + 0.5)))
        return _jpeg(part), inside


def photo(image: bytes) -> PreparedPhoto:
    """Make a PreparedPhoto of any image file; raise an ImageError for one that cannot be used."""
    content_type, _ = image_types.sniff(image)
    if content_type in _ACCEPTED_TYPES and len(image) <= MAX_BYTES:
        return PreparedPhoto(image, *_size(image))
    upright = _upright(image)
    for side in SIDES:
        upright.thumbnail((side, side))
        data = _jpeg(upright)
        if len(data) <= MAX_BYTES:
            return PreparedPhoto(data, *_checked(upright.size))
    raise ImageTooLarge("The photo cannot be made small enough for Rekognition.")


def is_accepted(image: bytes) -> bool:
    """Tell whether Rekognition takes a file of this type from S3. Raises ImageError for one that is too small."""
    content_type, _ = image_types.sniff(image)
    if content_type not in _ACCEPTED_TYPES:
        return False
    _size(image)
    return True


def face_image(image: bytes, box: Box, side: int) -> bytes:
    """Return the square around a face of an image file as a JPEG; raise an ImageError for one that cannot be used.

    Args:
        image: The image file.
        box: The face, in fractions of the upright image.
        side: The side of the result in pixels; a smaller face is not enlarged.
    """
    with _pillow_errors():
        opened = Image.open(io.BytesIO(image))
        extent = box.square(*opened.size)[2] / max(opened.size)
        opened.draft("RGB", (round(side / extent), round(side / extent)))  # decodes a JPEG at a fraction of its size
        upright = ImageOps.exif_transpose(opened).convert("RGB")
    left, top, extent = box.square(*upright.size)
    face = upright.crop((round(left), round(top), round(left + extent), round(top + extent)))
    face.thumbnail((side, side))
    return _jpeg(face)


def render(image: bytes, long_side: int) -> bytes:
    """Return an image file as an upright JPEG of at most so many pixels a side; raise an ImageError if it cannot be.

    One that would have more bytes than a function returns gets fewer pixels.
    """
    with _pillow_errors():
        opened = Image.open(io.BytesIO(image))
        opened.draft("RGB", (long_side, long_side))  # decodes a JPEG at a fraction of its size
        most = LARGE_DECODERS.get(opened.format or "", MAX_RENDERED_PIXELS)
        if opened.width * opened.height > most:
            raise ImageTooLarge(
                f"Photos of more than {most:,} pixels are not converted here; a JPEG may help.", "pixels"
            )
        opened.thumbnail((long_side, long_side))
        upright = ImageOps.exif_transpose(opened).convert("RGB")
        while len(data := _jpeg(upright)) > MAX_RENDERED_BYTES:
            upright.thumbnail((upright.width * 3 // 4, upright.height * 3 // 4))
        return data


def _span(start: float, length: float, margin: float, pixels: int) -> tuple[int, int]:
    first = max(0, int((start - margin * length) * pixels))
    last = min(pixels, int((start + (1 + margin) * length) * pixels) + 1)
    return min(first, pixels - 1), max(last, first + 1)


def _size(image: bytes) -> tuple[int, int]:
    with _pillow_errors():
        opened = Image.open(io.BytesIO(image))
        is_sideways = opened.getexif().get(0x0112, 1) >= 5  # EXIF orientations 5 to 8
    return _checked(opened.size[::-1] if is_sideways else opened.size)


def _checked(size: tuple[int, int]) -> tuple[int, int]:
    if min(size) < MIN_SIDE:
        raise ImageTooSmall(f"The photo is smaller than {MIN_SIDE} by {MIN_SIDE} pixels.")
    return size


def _upright(image: bytes) -> Image.Image:
    with _pillow_errors():
        return ImageOps.exif_transpose(Image.open(io.BytesIO(image))).convert("RGB")


def _jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=92)
    return file.getvalue()


@contextmanager
def _pillow_errors() -> Iterator[None]:
    try:
        yield
    except UnidentifiedImageError as error:
        raise UnsupportedImage("The file is not an image of a supported format.") from error
    except Image.DecompressionBombError as error:
        raise ImageTooLarge("The photo has too many pixels.") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise DamagedImage("The photo is damaged or cut short.") from error
