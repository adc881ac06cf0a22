"""Open all formats with Pillow, and decode those that Pillow decodes: by strips to RGB, reduced when they are huge."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from importlib import import_module
from io import BytesIO
from math import ceil, sqrt
from typing import Any

import numpy as np
from PIL import AvifImagePlugin, Image, JpegImagePlugin, TiffImagePlugin, UnidentifiedImageError

from mien.domain import image_types
from mien.domain.errors import DamagedImage, ImageTooLarge, UnsupportedImage
from mien.engine import jpeg
from mien.engine.context import Pixels
from mien.engine.inspection import UNREADABLE_HEADER
from mien.engine.limits import WORKING_PIXELS

JPEG_START = b"\xff\xd8"
TOO_MANY_PIXELS = "The photo has more pixels than are accepted."
PILLOW_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF")
_PLUGINS = ("Avif", "Bmp", "Gif", "Jpeg", "Mpo", "Png", "Tiff", "WebP")
EXIF_ORIENTATION = 0x0112
_BITS, _COLOURS, _PLANES = 258, 262, 284  # tags of TIFF
_WHITE_IS_ZERO = 0
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

_TIFF_WITHOUT_MEMORY = "decoder error -9"
"""What Pillow says when there is no memory for a strip or tile of a TIFF."""

STRIP_PIXELS = 1_000_000
"""Pixels that are converted at once, so that no copy of the whole photo arises on the way to RGB."""


def is_scalable(header: Image.Image) -> bool:
    """Tell whether libjpeg decodes this file, at any of its scales; all others are decoded by Pillow."""
    return header.format in ("JPEG", "MPO") and header.mode in ("RGB", "L")


def read_header(content: bytes) -> tuple[bytes, Image.Image]:
    """Open an image; a JPEG with a header that Pillow does not take is rebuilt first. Raises ImageError."""
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
        raise ImageTooLarge(TOO_MANY_PIXELS, "pixels") from error
    except UnidentifiedImageError as error:
        if _is_known_format(content):
            raise DamagedImage(UNREADABLE_HEADER) from error
        raise UnsupportedImage(image_types.UNKNOWN_FORMAT) from error
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
    Image.preinit()
    for name in _PLUGINS:
        import_module(f"PIL.{name}ImagePlugin")
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    TiffImagePlugin.OPEN_INFO.setdefault((b"MM", _WHITE_IS_ZERO, (1,), 1, (16,), ()), ("I;16B", "I;16B"))
    if not heif:
        return PILLOW_FORMATS
    import pillow_heif

    pillow_heif.options.DECODE_THREADS = 1
    pillow_heif.register_heif_opener()
    return (*PILLOW_FORMATS, "HEIF")


def load_decoders() -> None:
    """Load the decoders of all formats, so that no file is opened later."""
    for heif in (False, True):
        _pillow_formats(heif=heif)
    import_module("PIL.ImageCms")  # with which Pillow converts CIELab


def orientation(header: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8, that is still to be applied; 1 when there is none."""
    if header.format == "TIFF":
        return 1  # Pillow applies a TIFF's orientation by itself
    try:
        return int(header.getexif().get(EXIF_ORIENTATION, 1))
    except _PILLOW_ERRORS:
        return 1


def decode(image: Image.Image, content: bytes) -> Pixels:
    """Decode an opened image to RGB (height, width, 3), uint8. Raises DamagedImage, ImageTooLarge and MemoryError."""
    try:
        if image.format == "HEIF":
            return _heif_to_rgb(image, content)
        if image.format == "WEBP":
            return _webp_to_rgb(image)
        return _to_rgb(_loaded(image, content))
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(TOO_MANY_PIXELS, "pixels") from error
    except _PILLOW_ERRORS as error:
        if str(error) == _TIFF_WITHOUT_MEMORY:
            raise MemoryError from error
        raise DamagedImage("The photo is damaged or cut short.") from error


def _loaded(image: Image.Image, content: bytes) -> Image.Image:
    """Have Pillow decode; a JPEG that it does not take is rebuilt. Raises what Pillow raises."""
    if image.format == "TIFF":
        _name_deep_planes(image)
    try:
        image.load()
    except _PILLOW_ERRORS:
        if image.format not in ("JPEG", "MPO"):
            raise
        image.close()  # or it would keep its memory
        return _rebuilt_jpeg(content)
    return image


def _name_deep_planes(image: Any) -> None:
    """Have Pillow read a TIFF's uncompressed planes of 16 bits as such; it takes them for planes of 8 bits."""
    if image.tag_v2.get(_PLANES) == 2 and image.tag_v2.get(_BITS, (8,))[0] == 16:
        depth = ";16L" if image.tag_v2.prefix == b"II" else ";16B"
        image.tile = [
            tile._replace(args=(tile.args[0] + depth, *tile.args[1:])) if tile.codec_name == "raw" else tile
            for tile in image.tile
        ]


def _rebuilt_jpeg(content: bytes) -> Image.Image:
    """Load a JPEG of four components that lacks its end. Raises what Pillow raises."""
    image = _open(jpeg.rebuild(content).content)
    image.load()
    width, height = image.size
    rows = ceil(STRIP_PIXELS / width)
    strips = (image.crop((0, top, width, min(top + rows, height))) for top in range(0, height, rows))
    if jpeg.missing_share(map(np.asarray, strips)) > jpeg.MAX_MISSING:
        raise OSError("too much of the picture is missing")
    return image


def _heif_to_rgb(image: Image.Image, content: bytes) -> Pixels:
    """Decode with libheif, and take strips out of its memory: Pillow would copy the whole photo into its own."""
    import pillow_heif

    heif = pillow_heif.open_heif(content, remove_stride=False)  # owns the memory in which the strips are
    if heif.mode not in ("RGB", "RGBA"):
        image.load()
        return _to_rgb(image)
    try:
        data = heif.data
    except RuntimeError as error:
        if "memory" in str(error).lower():
            raise MemoryError from error
        raise
    (width, height), channels = heif.size, len(heif.mode)
    if (width, height) != image.size:
        raise ValueError("the picture has another size than its container says")
    rows = np.ndarray((height, width, channels), np.uint8, data, strides=(heif.stride, channels, 1))
    return _reduced(width, height, lambda top, bottom: rows[top:bottom, :, :3])


def _webp_to_rgb(image: Image.Image) -> Pixels:
    """Take the picture from Pillow's decoder of WebP, and free that one, whose memory is twice as large, before more.

    Raises:
        EOFError: the picture is damaged.
    """
    width, height = image.size
    webp: Any = image
    picture = np.frombuffer(webp._get_next()[0], np.uint8).reshape(height, width, 4)
    webp._decoder = None
    return _reduced(width, height, lambda top, bottom: picture[top:bottom, :, :3])


def _to_rgb(image: Image.Image) -> Pixels:
    """Convert a decoded image by strips."""
    is_negative = _is_negative(image)
    if image.mode == "I;16B":
        image = image.convert("I")  # of the other byte order Pillow finds no largest value
    is_deep_grey = image.mode.startswith(("I", "F"))
    convert = _grey_to_rgb(image, is_negative=is_negative) if is_deep_grey else _strip_to_rgb
    width, height = image.size
    return _reduced(width, height, lambda top, bottom: convert(image.crop((0, top, width, bottom))))


def _reduced(width: int, height: int, strip: Callable[[int, int], Pixels]) -> Pixels:
    """Put a photo together, reduced by a whole factor when it has more than WORKING_PIXELS.

    Args:
        width: pixels of the decoded photo.
        height: likewise.
        strip: returns RGB (rows, width, 3), uint8, from a first row up to another one.
    """
    factor = max(1, ceil(sqrt(width * height / WORKING_PIXELS)))
    pixels = np.empty((-(-height // factor), -(-width // factor), 3), np.uint8)
    rows = max(1, STRIP_PIXELS // (width * factor))
    for top in range(0, len(pixels), rows):
        rgb = strip(top * factor, min((top + rows) * factor, height))
        pixels[top : top + rows] = rgb if factor == 1 else np.asarray(Image.fromarray(rgb).reduce(factor))
    return pixels


def _strip_to_rgb(strip: Image.Image) -> Pixels:
    return np.asarray(strip.convert("RGB"))


def _is_negative(image: Any) -> bool:
    """Whether Pillow leaves it to its caller to exchange black and white: of more than 8 bits in a TIFF it does."""
    return image.format == "TIFF" and bool(image.tag_v2.get(_COLOURS) == _WHITE_IS_ZERO)


def _grey_to_rgb(image: Image.Image, *, is_negative: bool) -> Callable[[Image.Image], Pixels]:
    """Return what scales 16-bit, 32-bit and floating-point grey to 8 bits.

    The largest value tells how white is written: above 255 as 65535, else as 255, or as 1 among fractions up to it.
    """
    low_high: Any = image.getextrema()
    is_fraction = image.mode == "F" and low_high[1] <= 1
    white = 65535 if low_high[1] > 255 else 1 if is_fraction else 255

    def convert(strip: Image.Image) -> Pixels:
        grey = (np.clip(np.asarray(strip) / white, 0, 1) * 255).astype(np.uint8)
        if is_negative:
            grey = 255 - grey
        return np.repeat(grey[:, :, None], 3, axis=2)

    return convert
