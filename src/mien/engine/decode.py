"""Image bytes go in, an upright RGB photo comes out; the content decides the format, never a name.

Size and pixel limits are checked on the header, before memory is taken. A JPEG is decoded at the scale that is
asked for, so that a large photo need not be decoded whole to find its faces. Alpha is ignored.
"""

from __future__ import annotations

import struct
from copy import copy
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
import simplejpeg  # type: ignore[import-untyped]
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from mien.domain.errors import DamagedImage, EmptyImage, ImageTooLarge, ImageTooSmall, UnsupportedImage
from mien.engine.arrays import Pixels

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "ICO", "AVIF")
SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"II*\0", b"MM\0*")
ORIENTATION = 0x0112
TOO_MANY_PIXELS = "The image has more pixels than are accepted."
HARMLESS = "extraneous bytes"
PILLOW_ERRORS = (
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


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of an image is accepted; the pixel limit keeps a decoded photo under 270 MB."""

    max_bytes: int = 32 * 1024 * 1024
    max_pixels: int = 89_000_000
    min_side: int = 16


class Photo:
    """An image whose header is read and whose pixels are decoded as far as they are asked for.

    `width` and `height` are those of the upright image at its full size; `turned` says how many degrees clockwise
    it was turned after that.
    """

    def __init__(self, content: bytes, header: Image.Image) -> None:
        self._content, self._header = content, header
        self._orientation = _orientation(header)
        self.width, self.height = header.size
        self._scalable = header.format in ("JPEG", "MPO") and header.mode in ("RGB", "L")
        if self._orientation in (5, 6, 7, 8):
            self.width, self.height = self.height, self.width
        self._decoded: Pixels | None = None
        self.turned = 0

    def turn(self, degrees: int) -> Photo:
        """The same photo turned clockwise by 90, 180 or 270 degrees."""
        photo = copy(self)
        photo.turned = degrees
        if degrees != 180:
            photo.width, photo.height = self.height, self.width
        photo._decoded = None if self._decoded is None else _turned(self._decoded, degrees)
        return photo

    def pixels(self, long_side: int) -> Pixels:
        """Upright RGB (height, width, 3), its long side at least `long_side` or as long as the file offers."""
        wanted = min(long_side, max(self.width, self.height))
        if self._decoded is None or max(self._decoded.shape) < wanted:
            self._decoded = _turned(upright(self._decode(wanted), self._orientation), self.turned)
        return self._decoded

    def _decode(self, long_side: int) -> Pixels:
        if not self._scalable:
            return _decode_any(self._header)
        width, height = self._header.size
        scale = long_side / max(width, height)
        return _decode_jpeg(self._content, (int(width * scale), int(height * scale)))


def open_photo(content: bytes, limits: Limits = Limits()) -> Photo:
    """Read the header. Raises EmptyImage, UnsupportedImage, DamagedImage, ImageTooLarge or ImageTooSmall."""
    if not content:
        raise EmptyImage("The image is empty.")
    if len(content) > limits.max_bytes:
        raise ImageTooLarge(f"The image has {len(content):,} bytes; at most {limits.max_bytes:,} are accepted.")
    header = _header(content)
    width, height = header.size
    if width * height > limits.max_pixels:
        raise ImageTooLarge(f"The image has {width} x {height} pixels; at most {limits.max_pixels:,} are accepted.")
    if min(width, height) < limits.min_side:
        raise ImageTooSmall(f"The image has {width} x {height} pixels; each side needs at least {limits.min_side}.")
    return Photo(content, header)


def _header(content: bytes) -> Image.Image:
    try:
        return Image.open(BytesIO(content), formats=_formats(heif=content[4:8] == b"ftyp"))
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(TOO_MANY_PIXELS) from error
    except UnidentifiedImageError as error:
        if content.startswith(SIGNATURES):
            raise DamagedImage("The image is damaged: its header cannot be read.") from error
        raise UnsupportedImage(
            "The file is not an image of a known format (JPEG, PNG, WebP, AVIF, HEIC, TIFF, GIF, BMP, ICO)."
        ) from error
    except PILLOW_ERRORS as error:
        raise DamagedImage("The image is damaged: its header cannot be read.") from error


@cache
def _formats(*, heif: bool) -> tuple[str, ...]:
    Image.init()
    if not heif:
        return FORMATS
    import pillow_heif

    pillow_heif.register_heif_opener()
    return (*FORMATS, "HEIF")


def _orientation(header: Image.Image) -> int:
    if header.format == "TIFF":
        return 1  # Pillow turns a TIFF upright by itself
    try:
        return int(header.getexif().get(ORIENTATION, 1))
    except PILLOW_ERRORS:
        return 1


def _decode_jpeg(content: bytes, size: tuple[int, int], *, strict: bool = True) -> Pixels:
    width, height = size
    try:
        pixels: Pixels = simplejpeg.decode_jpeg(content, min_height=height, min_width=width, strict=strict)
    except ValueError as error:
        if strict and HARMLESS in str(error):
            return _decode_jpeg(content, size, strict=False)
        raise DamagedImage("The JPEG is damaged or cut short.") from error
    return pixels


def _decode_any(image: Image.Image) -> Pixels:
    try:
        image.load()
        return _rgb(image)
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(TOO_MANY_PIXELS) from error
    except PILLOW_ERRORS as error:
        raise DamagedImage("The image is damaged or cut short.") from error


def _rgb(image: Image.Image) -> Pixels:
    if image.mode.startswith(("I", "F")):
        return _eight_bit(np.asarray(image))
    return np.asarray(image.convert("RGB"))


def _eight_bit(values: NDArray[Any]) -> Pixels:
    top = 65535 if values.max(initial=0) > 255 else 255
    grey = (np.clip(values / top, 0, 1) * 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def _turned(pixels: Pixels, degrees: int) -> Pixels:
    return np.ascontiguousarray(np.rot90(pixels, -degrees // 90))


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo an EXIF orientation 1..8; any other value leaves the pixels as they are."""
    if orientation in (2, 4, 5, 7):
        pixels = pixels[:, ::-1]
    quarter_turns = {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0)
    return np.rot90(pixels, quarter_turns)
