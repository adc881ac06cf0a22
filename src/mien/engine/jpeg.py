"""Decode JPEGs as browsers show them: odd headers and missing ends are repaired, missing picture data is counted.

A JPEG that the decoder takes without a warning is decoded once and looked at no further. Any other is rebuilt from
its own segments, without the bytes between them and with regular headers, and decoded again; `_VERDICTS` decides on
the warnings that are left. A photo is refused when more than `MAX_MISSING` of its picture is missing.

Sources: ITU-T T.81, annex B (segments and markers) and G (progressive scans); libjpeg, jerror.h and jdmarker.c (the
warnings), jdhuff.c (rows without data are mid-grey).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from functools import reduce

import numpy as np
import simplejpeg  # type: ignore[import-untyped]
from numpy.typing import NDArray

from mien.domain.errors import DamagedImage
from mien.engine.context import Pixels

MAX_MISSING = 1 / 3
"""Share of the picture that may be missing at most."""

MAX_SEGMENTS = 2000
"""A photo has tens of segments; what follows after so many counts as missing."""

MAX_FILL = 1024 * 1024
"""Bytes before the picture that are in none of its segments; readers of headers look at them one by one."""

REPAIR_COPIES = 3
"""Copies of the file that a repair makes at most: rebuilt, and beginnings of it that are rebuilt again."""

USUAL_SEGMENTS, USUAL_FILL, USUAL_PIECES = 100, 16 * 1024, 128 * 1024
"""Segments; bytes between them; bytes in those that readers of headers take apart, of a dozen bytes a piece."""

_PREFIX_STEPS = 8
"""Decodings that look for the place where picture data becomes invalid; each halves the uncertainty."""

_STRIP_PIXELS = 65_536
_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_JFIF, _ADOBE = b"JFIF\0", b"Adobe"
_SEQUENTIAL, _PROGRESSIVE, _ARITHMETIC = (0xC0, 0xC1, 0xC9), (0xC2, 0xCA), (0xC9, 0xCA)
_TAKEN_APART = (0xDB, 0xED)  # quantisation tables, and what Photoshop notes
_EXTENSION = 0xC8  # which readers of headers do not skip
_FRAMES = tuple(code for code in range(0xC0, 0xD0) if code not in (0xC4, 0xC8, 0xCC))
_MARKER = re.compile(rb"\xff([\xc0-\xcf\xd9-\xdf\xe0-\xef\xfe])")
_AFTER_DATA = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")  # without the fill bytes before: `\xff+` takes quadratic time
_SCAN, _DATA = 0xDA, 0
_GREY = 128
EXIF = b"Exif\0\0"
MAX_EXIF_TAGS = 256
"""A photo has at most a hundred."""


@dataclass(slots=True)
class Header:
    """The header up to the first scan. `samples` is per pixel: 1.5 when colours have half the sides, for example.

    An odd header is legal but rare, and may make readers of metadata work hard. `fill` counts bytes in no segment.
    """

    code: int = 0
    width: int = 0
    height: int = 0
    components: int = 0
    samples: float = 0.0
    segments: int = 0
    fill: int = 0
    exif_segments: int = 0
    odd: bool = False
    components_in_scan: int = 0

    @property
    def is_scalable(self) -> bool:
        """Whether it can be decoded at a reduced scale."""
        return self.code in (*_SEQUENTIAL, *_PROGRESSIVE) and self.components in (1, 3)

    @property
    def is_arithmetic(self) -> bool:
        """Whether its data is in the arithmetic code, which is several times slower."""
        return self.code in _ARITHMETIC

    @property
    def is_decoded_by_rows(self) -> bool:
        """Whether a decoder needs no memory for the whole picture at full size: all components in one scan."""
        return self.code in _SEQUENTIAL and self.components_in_scan == self.components


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


def read_header(content: bytes) -> Header:
    """Read the segments up to the first scan, whose data is not looked at."""
    header, code, end_of_last, pieces = Header(), 0, len(_SOI), 0
    for code, start, end in _segments(content):
        header.segments += 1
        header.fill += max(0, start - end_of_last)
        end_of_last = start if code == _EXTENSION else max(end, start)
        segment = content[start + 4 : end]
        if code in _FRAMES and len(segment) >= 9 and not header.code:
            _, header.height, header.width, header.components = struct.unpack_from(">BHHB", segment)
            header.code, header.samples = code, _samples_per_pixel(segment[6:])
            header.odd = header.odd or not header.is_scalable or segment[0] != 8
        elif code in _FRAMES:
            header.odd = True
        elif code in _TAKEN_APART:
            pieces += len(segment)
        elif code in (0xE1, 0xE2):
            header.exif_segments += segment.startswith(EXIF)
            header.odd = header.odd or header.exif_segments > 1 or has_many_tags(segment)
        elif code == _SCAN:
            header.components_in_scan = segment[0] if segment else 0
            break
    if code != _SCAN:
        header.fill += max(0, len(content) - end_of_last)
    header.odd = header.odd or header.segments > USUAL_SEGMENTS or header.fill > USUAL_FILL or pieces > USUAL_PIECES
    return header


def _segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start, end) of the segments, and of each scan's data behind its header.

    The last one is that before the end marker, or before what cannot be a segment; it may be longer than the file.
    """
    found = _MARKER.search(content, len(_SOI))
    for _ in range(MAX_SEGMENTS + 1):
        if not found or found[1] == b"\xd9" or found.end() + 2 > len(content):
            return
        code, start = found[1][0], found.end() - 2
        end = start + 2 + struct.unpack_from(">H", content, start + 2)[0]
        yield code, start, end
        after = None
        if code == _SCAN and end <= len(content):
            after = _AFTER_DATA.search(content, end)
            data = content[end : after.start() if after else len(content)]
            yield _DATA, end, end + len(data.rstrip(b"\xff"))
            if after and not _MARKER.match(content, after.start()):
                return
        found = after or _MARKER.search(content, end)


def _samples_per_pixel(components: bytes) -> float:
    factors = [(byte >> 4, byte & 15) for byte in components[1::3]]
    largest = max((across for across, _ in factors), default=1) * max((down for _, down in factors), default=1)
    return sum(across * down for across, down in factors) / max(largest, 1)


def has_many_tags(segment: bytes) -> bool:
    """Tell whether a segment with EXIF or multi-picture tags has more of them than is usual."""
    at = next((len(start) for start in (EXIF, b"MPF\0") if segment.startswith(start)), None)
    if at is None:
        return False
    order = "<" if segment[at : at + 2] == b"II" else ">"
    try:
        (first,) = struct.unpack_from(order + "I", segment, at + 4)
        return bool(struct.unpack_from(order + "H", segment, at + first)[0] > MAX_EXIF_TAGS)
    except struct.error:
        return False


def rebuild(content: bytes) -> _Rebuilt:
    """Copy a JPEG's segments up to the first that is not one, with regular headers, and add an end marker.

    Raises:
        ValueError: there is no picture data.
    """
    parts: list[bytes | memoryview] = [_SOI]
    scans, is_progressive, size, frame, luma = [], False, len(_SOI), 0, -1
    for code, start, end in _segments(content):
        if end > len(content):
            break
        if code == _DATA:
            parts.append(memoryview(content)[start:end])  # without a copy
            size += end - start
            continue
        segment = content[start:end]
        if code in _FRAMES and len(segment) > 10:
            frame, luma, is_progressive = code, segment[10], code in _PROGRESSIVE
        elif code == _SCAN:
            if frame in _SEQUENTIAL:
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
    return _Rebuilt(b"".join(parts) + _EOI, tuple(scans), is_progressive)


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
