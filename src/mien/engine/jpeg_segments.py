"""Read the segments of a JPEG: what its header says, and where its scans' data lies. Source: ITU-T T.81, annex B."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

MAX_SEGMENTS = 2000
"""A photo has tens of segments; what follows after so many counts as missing."""

MAX_FILL = 1024 * 1024
"""Bytes before the picture that are in none of its segments; readers of headers look at them one by one."""

USUAL_SEGMENTS, USUAL_FILL, USUAL_PIECES = 100, 16 * 1024, 128 * 1024
"""Segments; bytes between them; bytes in those that readers of headers take apart, of a dozen bytes a piece."""

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
SEQUENTIAL, PROGRESSIVE, _ARITHMETIC = (0xC0, 0xC1, 0xC9), (0xC2, 0xCA), (0xC9, 0xCA)
_TAKEN_APART = (0xDB, 0xED)  # quantisation tables, and what Photoshop notes
_EXTENSION = 0xC8  # which readers of headers do not skip
FRAMES = tuple(code for code in range(0xC0, 0xD0) if code not in (0xC4, 0xC8, 0xCC))
_MARKER = re.compile(rb"\xff([\xc0-\xcf\xd9-\xdf\xe0-\xef\xfe])")
_AFTER_DATA = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")  # without the fill bytes before: `\xff+` takes quadratic time
SCAN = 0xDA
DATA = 0  # in place of a marker, which the data of a scan does not have
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
        return self.code in (*SEQUENTIAL, *PROGRESSIVE) and self.components in (1, 3)

    @property
    def is_arithmetic(self) -> bool:
        """Whether its data is in the arithmetic code, which is several times slower."""
        return self.code in _ARITHMETIC

    @property
    def is_decoded_by_rows(self) -> bool:
        """Whether a decoder needs no memory for the whole picture at full size: all components in one scan."""
        return self.code in SEQUENTIAL and self.components_in_scan == self.components


def read_header(content: bytes) -> Header:
    """Read the segments up to the first scan, whose data is not looked at."""
    header, code, end_of_last, pieces = Header(), 0, len(SOI), 0
    for code, start, end in segments(content):
        header.segments += 1
        header.fill += max(0, start - end_of_last)
        end_of_last = start if code == _EXTENSION else max(end, start)
        segment = content[start + 4 : end]
        if code in FRAMES and len(segment) >= 9 and not header.code:
            _, header.height, header.width, header.components = struct.unpack_from(">BHHB", segment)
            header.code, header.samples = code, _samples_per_pixel(segment[6:])
            header.odd = header.odd or not header.is_scalable or segment[0] != 8
        elif code in FRAMES:
            header.odd = True
        elif code in _TAKEN_APART:
            pieces += len(segment)
        elif code in (0xE1, 0xE2):
            header.exif_segments += segment.startswith(EXIF)
            header.odd = header.odd or header.exif_segments > 1 or has_many_tags(segment)
        elif code == SCAN:
            header.components_in_scan = segment[0] if segment else 0
            break
    if code != SCAN:
        header.fill += max(0, len(content) - end_of_last)
    header.odd = header.odd or header.segments > USUAL_SEGMENTS or header.fill > USUAL_FILL or pieces > USUAL_PIECES
    return header


def segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start, end) of the segments, and of each scan's data behind its header.

    The last one is that before the end marker, or before what cannot be a segment; it may be longer than the file.
    """
    found = _MARKER.search(content, len(SOI))
    for _ in range(MAX_SEGMENTS + 1):
        if not found or found[1] == b"\xd9" or found.end() + 2 > len(content):
            return
        code, start = found[1][0], found.end() - 2
        end = start + 2 + struct.unpack_from(">H", content, start + 2)[0]
        yield code, start, end
        after = None
        if code == SCAN and end <= len(content):
            after = _AFTER_DATA.search(content, end)
            data = content[end : after.start() if after else len(content)]
            yield DATA, end, end + len(data.rstrip(b"\xff"))
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
