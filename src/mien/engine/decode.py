"""Decode image files to upright RGB pixels. The content decides the format, never a file name.

Limits are checked on the file's structure, before memory is allocated. A JPEG is decoded at a reduced scale when fewer
pixels are asked for, so that a large photo need not be decoded in full to detect its faces. A JPEG or PNG whose
decoding is short is decoded in the caller's thread, everything else in a process that can be ended. Alpha is ignored,
and so are all frames of an animation but the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from typing import Protocol

import numpy as np
import simplejpeg  # type: ignore[import-untyped]
from PIL import Image

from mien.domain.errors import EmptyImage, ImageTooLarge, ImageTooSmall
from mien.engine import jpeg, pillow_decoder
from mien.engine.admission import BUDGET, Admission, Budget
from mien.engine.context import Pixels
from mien.engine.decode_pool import Decoded, DecodingPool
from mien.engine.inspection import MAX_EIGHTHS, TOO_FEW_PIXELS, Inspection, inspect
from mien.engine.limits import Limits
from mien.engine.pillow_decoder import JPEG_START, TOO_MANY_PIXELS, is_scalable, orientation, read_header

OVERVIEW_SIDE = 2560
"""Pixels of the longer side of a copy of a heavy photo, which suffices for every detection pass."""

MAX_WITHOUT_OVERVIEW = 10_000_000
"""Decoded pixels beyond which any other photo has such a copy, too: each pass and each rotation takes all of them."""

REPEATED_SECONDS = 0.4
"""Up to which estimate a JPEG in a process of its own is decoded anew at a larger scale, as any other is."""

MIN_SECONDS = 0.01
"""An alarm that is set to no time at all never rings."""

POOL = DecodingPool()


class _Source(Protocol):
    """Decodes one file."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels as stored."""

    @property
    def orientation(self) -> int:
        """The value of EXIF tag 0x0112."""

    def decode(self, long_side: int) -> Pixels:
        """Return RGB (height, width, 3) as stored; its longer side has at least `long_side` pixels, if there are."""


class Photo:
    """An image file that was inspected, and whose pixels are decoded on demand. Made by `open_photo`.

    Attributes:
        cost: what decoding it is estimated to cost.
        is_isolated: whether it is decoded by a process of its own, which takes a moment to start.
        rotation: degrees clockwise by which the upright image was rotated: 0, 90, 180 or 270.
        admission: as what it is worked on; None outside a budget.
    """

    admission: Admission | None = None

    def __init__(self, source: _Source, inspection: Inspection) -> None:
        self.cost, self.is_isolated, self.rotation = inspection.cost, isinstance(source, _IsolatedSource), 0
        self._source, self._max_eighths = source, inspection.max_eighths
        self._decoded: Pixels | None = None
        self._overview: Pixels | None = None
        self._rotated_from: Pixels | None = None
        self._is_largest = False

    @property
    def width(self) -> int:
        """Pixels of the upright image (EXIF orientation applied) at full size, after `rotation`."""
        return self._source.size[self._is_on_its_side()]

    @property
    def height(self) -> int:
        """Likewise."""
        return self._source.size[not self._is_on_its_side()]

    def _is_on_its_side(self) -> bool:
        return (self._source.orientation in (5, 6, 7, 8)) != (self.rotation in (90, 270))

    def rotated(self, degrees: int) -> Photo:
        """Return a copy of an unrotated photo, rotated clockwise by 90, 180 or 270 degrees."""
        photo = copy(self)
        photo.rotation = degrees
        return photo

    def pixels(self, long_side: int) -> Pixels:
        """Decode the photo, at a reduced scale where the format allows it.

        Args:
            long_side: pixels of the longer side that are needed.

        Returns:
            RGB (height, width, 3), uint8, upright and rotated; its longer side has at least `long_side` pixels, or as
            many as the file offers or as are kept of a huge one. The largest decoding so far is kept and returned
            again; a heavy or large one is also kept at OVERVIEW_SIDE.

        Raises:
            DamagedImage: picture data is missing or invalid.
            ImageTooLarge: the decoder finds more than the header said, or takes too much.
        """
        upright = self._upright(long_side)
        if not self.rotation:
            return upright
        if self._rotated_from is not upright:
            self._rotated_from, self._rotated = upright, _rotate(upright, self.rotation)
        return self._rotated

    def _upright(self, long_side: int) -> Pixels:
        if self._overview is not None and long_side <= OVERVIEW_SIDE:
            return self._overview
        needed = min(long_side, max(self._source.size) * self._max_eighths // MAX_EIGHTHS)
        if self._decoded is None or (max(self._decoded.shape) < needed and not self._is_largest):
            pixels = self._source.decode(needed)
            self._is_largest = max(pixels.shape) < needed
            self._decoded = np.ascontiguousarray(apply_exif_orientation(pixels, self._source.orientation))
            self._overview = None
        if long_side > OVERVIEW_SIDE or not self._needs_overview(self._decoded):
            return self._decoded
        self._overview = _reduce(self._decoded, OVERVIEW_SIDE)
        return self._overview

    def _needs_overview(self, decoded: Pixels) -> bool:
        height, width = decoded.shape[:2]
        return max(height, width) > OVERVIEW_SIDE and (
            not self.cost.is_ordinary or height * width > MAX_WITHOUT_OVERVIEW
        )


class _LocalSource:
    """Decodes a file in the caller's thread."""

    def __init__(self, content: bytes, header: Image.Image, max_eighths: int) -> None:
        self._content, self._header, self._max_eighths = content, header, max_eighths
        self.orientation = orientation(header)

    @property
    def size(self) -> tuple[int, int]:
        return self._header.size

    def decode(self, long_side: int) -> Pixels:
        if not is_scalable(self._header):
            return pillow_decoder.decode(self._header, self._content)
        largest = self._max_eighths / MAX_EIGHTHS
        scale = min(long_side / max(self.size), largest)
        return jpeg.decode_jpeg(self._content, self._scaled(scale), self._scaled(largest))

    def _scaled(self, scale: float) -> tuple[int, int]:
        width, height = self.size
        return int(width * scale), int(height * scale)


class _IsolatedSource:
    """Has a file decoded by a process of the pool, which also tells its size and orientation.

    A JPEG whose decoding is short enough to do it repeatedly is decoded at the scale that is asked for, as any other
    is; all else at once at the largest scale that is kept.
    """

    def __init__(self, content: bytes, limits: Limits, inspection: Inspection) -> None:
        POOL.prepare()
        self._content, self._limits, self._memory = content, limits, inspection.cost.memory
        self._seconds_left = limits.max_seconds
        self._has_scales = content.startswith(JPEG_START) and inspection.cost.seconds <= REPEATED_SECONDS
        self._decoded: Decoded | None = None
        self._pixels: Pixels | None = None

    @property
    def size(self) -> tuple[int, int]:
        return self._known().size

    @property
    def orientation(self) -> int:
        return self._known().orientation

    def decode(self, long_side: int) -> Pixels:
        pixels, self._pixels = self._pixels, None
        if pixels is None or max(pixels.shape) < long_side:
            _, pixels = self._ask(long_side if self._has_scales else 0)
        return pixels

    def _known(self) -> Decoded:
        if self._decoded is None:
            self._decoded, self._pixels = self._ask(int(self._has_scales))
        return self._decoded

    def _ask(self, long_side: int) -> tuple[Decoded, Pixels]:
        """Decode, within what is left of the photo's time; one that takes longer than estimated at once as a whole."""
        limits = replace(self._limits, max_seconds=max(self._seconds_left, MIN_SECONDS))
        decoded, pixels = POOL.decode(self._content, long_side, limits, self._memory)
        self._seconds_left -= decoded.seconds
        self._has_scales = self._has_scales and decoded.seconds <= REPEATED_SECONDS
        return decoded, pixels


@contextmanager
def admitted_photo(
    content: bytes,
    limits: Limits = Limits(),  # noqa: B008 (frozen)
    budget: Budget = BUDGET,
) -> Iterator[Photo]:
    """Open a photo, and count it in a budget until the block ends.

    Args: and Raises: as `open_photo`; and Overloaded when other heavy photos are worked on for too long.
    """
    photo = open_photo(content, limits)
    with budget.admit(photo.cost) as photo.admission:
        yield photo


def open_photo(content: bytes, limits: Limits = Limits()) -> Photo:  # noqa: B008 (frozen)
    """Inspect an image file and check it against the limits.

    Args:
        content: a JPEG, PNG, WebP, AVIF, HEIC, TIFF, GIF or BMP file.
        limits: which sizes are accepted.

    Raises:
        EmptyImage: no bytes.
        ImageTooLarge: too many bytes, pixels, scans …; `limit` names of what.
        ImageTooSmall: a side is shorter than accepted.
        UnsupportedImage: not one of these formats.
        DamagedImage: one of these formats, but the header cannot be read.
    """
    inspection = measure(content, limits)
    if not inspection.is_isolated:
        repaired, header = read_header(content)
        if header.size == (inspection.width, inspection.height) and _is_seen_alike(repaired, header):
            return Photo(_LocalSource(repaired, header, inspection.max_eighths), inspection)
        inspection = Inspection.unknown(limits)
    return Photo(_IsolatedSource(content, limits, inspection), inspection)


def measure(content: bytes, limits: Limits = Limits()) -> Inspection:  # noqa: B008 (frozen)
    """Inspect an image file without opening it. Raises as `open_photo`."""
    if not content:
        raise EmptyImage("The photo has no bytes.")
    if len(content) > limits.max_bytes:
        raise ImageTooLarge(f"The photo has {len(content):,} bytes; at most {limits.max_bytes:,} are accepted.")
    return inspect(content, limits)


def decode_isolated(content: bytes, long_side: int, limits: Limits) -> tuple[Decoded, Pixels]:
    """Decode a file in this process, which is one of the pool.

    Args:
        content: the file.
        long_side: pixels of the longer side that are needed; 0 for as many as are kept.
        limits: as for `open_photo`.

    Returns:
        What the file says, and its pixels, RGB (height, width, 3), as stored.

    Raises:
        ImageError: as `open_photo` and `Photo.pixels`.
    """
    inspection = measure(content, limits)
    content, header = read_header(content)
    source = _LocalSource(content, header, inspection.max_eighths)
    most = max(source.size) * inspection.max_eighths // MAX_EIGHTHS
    if source.size[0] * source.size[1] * inspection.max_eighths**2 > limits.max_pixels * MAX_EIGHTHS**2:
        raise ImageTooLarge(TOO_MANY_PIXELS, "pixels")
    if min(source.size) < limits.min_side:
        raise ImageTooSmall(TOO_FEW_PIXELS.format(*source.size, limits.min_side))
    pixels = source.decode(min(long_side or most, most))
    return Decoded(source.size, source.orientation), pixels


def _is_seen_alike(content: bytes, header: Image.Image) -> bool:
    """Whether the decoder of JPEGs will see the size that was inspected; what it cannot read at all it refuses."""
    if not is_scalable(header):
        return True
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(content, strict=False)
    except ValueError:
        return True
    except KeyError:  # it has no name for the sampling or the colours, and so tells no size
        return False
    return (width, height) == header.size


def _rotate(pixels: Pixels, degrees: int) -> Pixels:
    """Rotate clockwise by 90, 180 or 270 degrees."""
    import cv2  # not at the top: a process that only decodes needs no OpenCV

    return cv2.rotate(pixels, degrees // 90 - 1)  # type: ignore[return-value]


def _reduce(pixels: Pixels, long_side: int) -> Pixels:
    import cv2

    scale = long_side / max(pixels.shape)
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


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
