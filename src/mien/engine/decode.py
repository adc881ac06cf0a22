"""Decode image files to upright RGB pixels. The content decides the format, never a file name.

Limits are checked on the header, before memory is allocated. A JPEG is decoded at a reduced scale when fewer pixels
are asked for, so that a large photo need not be decoded in full to detect its faces. Alpha is ignored, and so are all
frames of an animation but the first.
"""

from __future__ import annotations

import struct
from copy import copy
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin, UnidentifiedImageError

from mien.domain import image_types
from mien.domain.errors import DamagedImage, EmptyImage, ImageTooLarge, ImageTooSmall, UnsupportedImage
from mien.engine import jpeg
from mien.engine.context import Pixels

PILLOW_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "ICO", "AVIF")
EXIF_ORIENTATION = 0x0112
JPEG_START = b"\xff\xd8"
UNREADABLE_HEADER = "The photo is damaged: its header cannot be read."
TOO_MANY_PIXELS = "The photo has more pixels than are accepted."

MAX_EIGHTHS = 8
MIN_EIGHTHS = 4
"""A JPEG is decoded at a whole number of eighths of its sides, and may be so large that half of them can be decoded."""

_PILLOW_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    RuntimeError,
    struct.error,
)
"""What Pillow's decoders raise on damaged files."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Which images are accepted.

    Attributes:
        max_bytes: size of the file.
        max_pixels: width times height at the scale at which the file is decoded; the default keeps a decoded photo
            under 270 MB. Most JPEGs can be decoded at half their sides, so they may be four times as large.
        min_side: pixels of the shorter side.
    """

    max_bytes: int = 32 * 1024 * 1024
    max_pixels: int = 89_000_000
    min_side: int = 16


class Photo:
    """An image file whose header was read, and whose pixels are decoded on demand. Made by `open_photo`.

    Attributes:
        width: pixels of the upright image (EXIF orientation applied) at full size, after `rotation`.
        height: likewise.
        rotation: degrees clockwise by which the upright image was rotated: 0, 90, 180 or 270.
    """

    def __init__(self, content: bytes, header: Image.Image, max_eighths: int = MAX_EIGHTHS) -> None:
        self._content, self._header, self._max_eighths = content, header, max_eighths
        self._orientation = _orientation(header)
        self.width, self.height = header.size
        if self._orientation in (5, 6, 7, 8):
            self.width, self.height = self.height, self.width
        self._decoded: Pixels | None = None
        self.rotation = 0

    def rotated(self, degrees: int) -> Photo:
        """Return a copy of an unrotated photo, rotated clockwise by 90, 180 or 270 degrees."""
        photo = copy(self)
        photo.rotation = degrees
        if degrees != 180:
            photo.width, photo.height = self.height, self.width
        photo._decoded = None if self._decoded is None else _rotate(self._decoded, degrees)
        return photo

    def pixels(self, long_side: int) -> Pixels:
        """Decode the photo, at a reduced scale where the format allows it.

        Args:
            long_side: pixels of the longer side that are needed.

        Returns:
            RGB (height, width, 3), uint8, upright and rotated; its longer side has at least `long_side` pixels, or as
            many as the file offers. The largest decoding so far is kept and returned again.

        Raises:
            DamagedImage: picture data is missing or invalid.
            ImageTooLarge: the decoder finds more pixels than the header said.
        """
        needed = min(long_side, max(self.width, self.height) * self._max_eighths // MAX_EIGHTHS)
        if self._decoded is None or max(self._decoded.shape) < needed:
            self._decoded = _rotate(apply_exif_orientation(self._decode(needed), self._orientation), self.rotation)
        return self._decoded

    def _decode(self, long_side: int) -> Pixels:
        if not _is_scalable(self._header):
            return _decode_with_pillow(self._header, self._content)
        width, height = self._header.size
        scale = min(long_side / max(width, height), self._max_eighths / MAX_EIGHTHS)
        return jpeg.decode_jpeg(self._content, int(width * scale), int(height * scale))


def open_photo(content: bytes, limits: Limits = Limits()) -> Photo:
    """Read an image's header and check it against the limits.

    Args:
        content: a JPEG, PNG, WebP, AVIF, HEIC, TIFF, GIF, BMP or ICO file.
        limits: which sizes are accepted.

    Raises:
        EmptyImage: no bytes.
        ImageTooLarge: too many bytes or pixels.
        ImageTooSmall: a side is shorter than accepted.
        UnsupportedImage: not one of these formats.
        DamagedImage: one of these formats, but the header cannot be read.
    """
    if not content:
        raise EmptyImage("The photo has no bytes.")
    if len(content) > limits.max_bytes:
        raise ImageTooLarge(f"The photo has {len(content):,} bytes; at most {limits.max_bytes:,} are accepted.")
    content, header = _read_header(content)
    width, height = header.size
    max_eighths = _max_eighths(content, header, limits.max_pixels)
    if min(width, height) < limits.min_side:
        raise ImageTooSmall(f"The photo has {width} x {height} pixels; each side needs at least {limits.min_side}.")
    return Photo(content, header, max_eighths)


def _max_eighths(content: bytes, header: Image.Image, max_pixels: int) -> int:
    """Return the largest scale at which an image may be decoded. Raises ImageTooLarge."""
    width, height = header.size
    if width * height <= max_pixels:
        return MAX_EIGHTHS
    eighths = isqrt(max_pixels * MAX_EIGHTHS**2 // (width * height))
    if eighths < MIN_EIGHTHS or not _is_scalable(header) or not jpeg.is_decoded_by_rows(content):
        raise ImageTooLarge(f"The photo has {width} x {height} pixels; at most {max_pixels:,} are accepted.")
    return eighths


def _is_scalable(header: Image.Image) -> bool:
    return header.format in ("JPEG", "MPO") and header.mode in ("RGB", "L")


def _read_header(content: bytes) -> tuple[bytes, Image.Image]:
    """Open an image; a JPEG with a header that Pillow does not take is rebuilt first."""
    try:
        return content, _open(content)
    except DamagedImage:
        if not content.startswith(JPEG_START):
            raise
        try:
            content = jpeg.rebuild(content).content
        except ValueError as error:
            raise DamagedImage(UNREADABLE_HEADER) from error
        return content, _open(content)


def _open(content: bytes) -> Image.Image:
    try:
        if content.startswith(JPEG_START):
            return JpegImagePlugin.jpeg_factory(BytesIO(content))  # without Pillow's own limit of pixels
        return Image.open(BytesIO(content), formats=_pillow_formats(heif=content[4:8] == b"ftyp"))
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(TOO_MANY_PIXELS) from error
    except UnidentifiedImageError as error:
        if _is_known_format(content):
            raise DamagedImage(UNREADABLE_HEADER) from error
        raise UnsupportedImage(
            "The file is not an image of a known format (JPEG, PNG, WebP, AVIF, HEIC, TIFF, GIF, BMP, ICO)."
        ) from error
    except _PILLOW_ERRORS as error:
        raise DamagedImage(UNREADABLE_HEADER) from error


def _is_known_format(content: bytes) -> bool:
    try:
        image_types.sniff(content)
    except UnsupportedImage:
        return False
    return True


@cache
def _pillow_formats(*, heif: bool) -> tuple[str, ...]:
    Image.init()
    if not heif:
        return PILLOW_FORMATS
    import pillow_heif

    pillow_heif.register_heif_opener()
    return (*PILLOW_FORMATS, "HEIF")


def _orientation(header: Image.Image) -> int:
    if header.format == "TIFF":
        return 1  # Pillow applies a TIFF's orientation by itself
    try:
        return int(header.getexif().get(EXIF_ORIENTATION, 1))
    except _PILLOW_ERRORS:
        return 1


def _decode_with_pillow(image: Image.Image, content: bytes) -> Pixels:
    try:
        try:
            image.load()
        except _PILLOW_ERRORS:
            if image.format not in ("JPEG", "MPO"):
                raise
            image = _rebuilt_jpeg(content)
        return _to_rgb(image)
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(TOO_MANY_PIXELS) from error
    except _PILLOW_ERRORS as error:
        raise DamagedImage("The photo is damaged or cut short.") from error


def _rebuilt_jpeg(content: bytes) -> Image.Image:
    """Load a JPEG of four components that lacks its end. Raises what Pillow raises."""
    image = _open(jpeg.rebuild(content).content)
    image.load()
    if jpeg.missing_share(np.asarray(image)) > jpeg.MAX_MISSING:
        raise OSError("too much of the picture is missing")
    return image


def _to_rgb(image: Image.Image) -> Pixels:
    if image.mode.startswith(("I", "F")):
        return _grey_to_rgb(np.asarray(image))
    return np.asarray(image.convert("RGB"))


def _grey_to_rgb(values: NDArray[Any]) -> Pixels:
    """Scale 16-bit, 32-bit and floating-point grey to 8 bits; values above 255 mean that white is 65535."""
    white = 65535 if values.max(initial=0) > 255 else 255
    grey = (np.clip(values / white, 0, 1) * 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def _rotate(pixels: Pixels, degrees: int) -> Pixels:
    return np.ascontiguousarray(np.rot90(pixels, -degrees // 90))


def apply_exif_orientation(pixels: Pixels, orientation: int) -> Pixels:
    """Rotate and mirror an image as its EXIF orientation (1 to 8) asks for; any other value changes nothing.

    Args:
        pixels: RGB (height, width, 3) as stored in the file.
        orientation: the value of EXIF tag 0x0112.

    Returns:
        A view of the pixels, upright.
    """
    if orientation in (2, 4, 5, 7):
        pixels = pixels[:, ::-1]
    quarter_turns = {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0)
    return np.rot90(pixels, quarter_turns)
