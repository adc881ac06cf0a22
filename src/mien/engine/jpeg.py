"""Decode JPEGs as browsers show them: odd headers and missing ends are repaired, missing picture data is counted.

A JPEG that the decoder takes without a warning is decoded once and looked at no further. Any other is rebuilt from
its own segments, without the bytes between them and with regular headers, and decoded again; `_VERDICTS` decides on
the warnings that are left. A photo is refused when more than `MAX_MISSING` of its picture is missing.

Sources: ITU-T T.81, annex G (progressive scans); libjpeg, jerror.h and jdmarker.c (the warnings),
jdhuff.c (rows without data are mid-grey).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from functools import reduce

import numpy as np
import simplejpeg  # type: ignore[import-untyped]
from numpy.typing import NDArray

from mien.domain.errors import DamagedImage
from mien.engine.context import Pixels
from mien.engine.jpeg_segments import DATA, EOI, FRAMES, PROGRESSIVE, SCAN, SEQUENTIAL, SOI, segments

MAX_MISSING = 1 / 3
"""Share of the picture that may be missing at most."""

REPAIR_COPIES = 3
"""Copies of the file that a repair makes at most: rebuilt, and beginnings of it that are rebuilt again."""

_PREFIX_STEPS = 8
"""Decodings that look for the place where picture data becomes invalid; each halves the uncertainty."""

_STRIP_PIXELS = 65_536
_JFIF, _ADOBE = b"JFIF\0", b"Adobe"
_GREY = 128


class _Verdict(Enum):
    """What a warning says about a picture."""

    HARMLESS = auto()
    MISSING = auto()  # some of the picture has no data; it is grey
    INVALID = auto()  # from some place on, the data is not this picture's


_VERDICTS = {
    "extraneous bytes before marker": _Verdict.HARMLESS,
    "unknown JFIF revision": _Verdict.HARMLESS,
    "Unknown Adobe color transform": _Verdict.HARMLESS,
    "Invalid SOS parameters": _Verdict.HARMLESS,
    "Inconsistent progression sequence": _Verdict.HARMLESS,
    "bad ICC marker": _Verdict.HARMLESS,
    "Premature end of JPEG file": _Verdict.MISSING,
    "premature end of data segment": _Verdict.MISSING,
    "instead of RST": _Verdict.MISSING,
    "bad Huffman code": _Verdict.INVALID,
    "bad arithmetic code": _Verdict.INVALID,
}
"""By a part of libjpeg's text. libjpeg tells only a file's first warning, so all are followed by a look at the pixels;
whatever is not named here is an error that no browser survives either."""


@dataclass(frozen=True, slots=True)
class _Scan:
    """A scan: where its data begins in the rebuilt file, and what of the picture it holds."""

    start: int
    has_luma: bool
    has_detail: bool


@dataclass(frozen=True, slots=True)
class _Rebuilt:
    """A JPEG of the same picture with regular headers and an end marker."""

    content: bytes
    scans: tuple[_Scan, ...]
    is_progressive: bool

    def has_detail(self, *, last_is_complete: bool) -> bool:
        """Whether the complete scans of a progressive file hold more of the luma than one value for each 8 × 8."""
        complete = self.scans if last_is_complete else self.scans[:-1]
        return any(scan.has_luma and scan.has_detail for scan in complete)


def decode_jpeg(content: bytes, min_size: tuple[int, int], largest_size: tuple[int, int]) -> Pixels:
    """Decode a JPEG at the smallest scale with at least this size; at full size when there is none.

    One that has to be mended, which takes many decodings, is decoded at the scale of `largest_size`, so that nobody
    has to ask for it again.

    Args:
        content: a JPEG of one (grey) or three components.
        min_size: width and height in pixels before the EXIF orientation is applied.
        largest_size: likewise; the largest that may be asked for.

    Returns:
        RGB (height, width, 3), uint8; what is missing of the picture is grey, 128.

    Raises:
        DamagedImage: too much of the picture is missing.
    """
    try:
        return _decode(content, *min_size)
    except ValueError:
        pass
    try:
        return _decode_damaged(rebuild(content), *largest_size)
    except ValueError as error:
        raise DamagedImage("The photo is damaged or cut short.") from error


def rebuild(content: bytes) -> _Rebuilt:
    """Copy a JPEG's segments up to the first that is not one, with regular headers, and add an end marker.

    Raises:
        ValueError: there is no picture data.
    """
    parts: list[bytes | memoryview] = [SOI]
    scans, is_progressive, size, frame, luma = [], False, len(SOI), 0, -1
    for code, start, end in segments(content):
        if end > len(content):
            break
        if code == DATA:
            parts.append(memoryview(content)[start:end])  # without a copy
            size += end - start
            continue
        segment = content[start:end]
        if code in FRAMES and len(segment) > 10:
            frame, luma, is_progressive = code, segment[10], code in PROGRESSIVE
        elif code == SCAN:
            if frame in SEQUENTIAL:
                segment = segment[:-3] + b"\x00\x3f\x00"
            scans.append(_Scan(size + len(segment), luma in segment[5:-3:2], segment[-2] > 0))
        elif code == 0xE0 and segment[4:9] == _JFIF:
            segment = segment[:9] + b"\x01" + segment[10:]
        elif code == 0xEE and segment[4:9] == _ADOBE and segment[15:16] > b"\x02":
            continue
        parts.append(segment)
        size += len(segment)
    if not scans:
        raise ValueError("no picture data")
    return _Rebuilt(b"".join(parts) + EOI, tuple(scans), is_progressive)


def missing_share(strips: Iterable[NDArray[np.uint8]]) -> float:
    """Return the share of pixels that decoders write where picture data is missing.

    Args:
        strips: the picture from top to bottom, each (rows, width, channels), so that nothing of its size arises.
    """
    missing = total = 0
    for strip in strips:
        distance = strip - np.uint8(_GREY - 1)  # 0 or 1; what is darker wraps around
        furthest = reduce(np.bitwise_or, (distance[..., channel] for channel in range(strip.shape[2])))
        missing, total = missing + int(np.count_nonzero(furthest <= 1)), total + furthest.size
    return missing / total


def _decode(content: bytes, min_width: int, min_height: int, *, strict: bool = True) -> Pixels:
    pixels: Pixels = simplejpeg.decode_jpeg(content, min_width=min_width, min_height=min_height, strict=strict)
    return pixels


def _decode_damaged(jpeg: _Rebuilt, min_width: int, min_height: int) -> Pixels:
    """Decode what there is. Raises ValueError for an error of the decoder, or when too little is left."""
    verdict = _verdict(jpeg.content)
    if verdict is _Verdict.INVALID:
        jpeg = _valid_part(jpeg)
    pixels = _decode(jpeg.content, min_width, min_height, strict=False)
    rows = max(1, _STRIP_PIXELS // pixels.shape[1])
    if missing_share(pixels[top : top + rows] for top in range(0, len(pixels), rows)) > MAX_MISSING:
        raise ValueError("too much of the picture is missing")
    if jpeg.is_progressive and not jpeg.has_detail(last_is_complete=verdict in (None, _Verdict.HARMLESS)):
        raise ValueError("the picture has no detail")
    return pixels


def _verdict(content: bytes) -> _Verdict | None:
    """Decide on the decoder's first warning; None when there is none. Raises ValueError for an error."""
    try:
        _decode(content, 1, 1)
    except ValueError as error:
        for text, verdict in _VERDICTS.items():
            if text in str(error):
                return verdict
        raise
    return None


def _valid_part(jpeg: _Rebuilt) -> _Rebuilt:
    """Return the longest beginning of a file, as bisection finds it, that decodes without invalid data."""
    valid, invalid = jpeg.scans[0].start, len(jpeg.content)
    for _ in range(_PREFIX_STEPS):
        middle = (valid + invalid) // 2
        if _verdict(rebuild(jpeg.content[:middle]).content) is _Verdict.INVALID:
            invalid = middle
        else:
            valid = middle
    return rebuild(jpeg.content[:valid])
