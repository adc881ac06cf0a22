"""Read the first directory of a TIFF: the tags that decide what decoding it costs. Source: TIFF 6.0; BigTIFF."""

from __future__ import annotations

import struct
from dataclasses import dataclass

MAX_TAGS = 512
MAX_STRIPS = 262_144
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
_WIDTH, _HEIGHT, _BITS, _SAMPLES = 256, 257, 258, 277
_STRIP_BYTES, _TILE_WIDTH, _TILE_HEIGHT, _TILE_BYTES = 279, 322, 323, 325
_WANTED = {_WIDTH, _HEIGHT, _BITS, _SAMPLES, _STRIP_BYTES, _TILE_WIDTH, _TILE_HEIGHT, _TILE_BYTES}


@dataclass(frozen=True, slots=True)
class TiffHeader:
    """What the first directory says.

    Attributes:
        width: pixels.
        height: pixels.
        pixel_bytes: bytes of a pixel when it is decompressed, at least 1.
        tile_pixels: pixels of a tile; 0 without tiles.
        strips: how many strips or tiles there are.
        strip_bytes: bytes of all strips and tiles together, as they say.
        tags: how many there are.
        tag_bytes: bytes of all their values together.
    """

    width: int
    height: int
    pixel_bytes: int
    tile_pixels: int
    strips: int
    strip_bytes: int
    tags: int
    tag_bytes: int


def read_header(content: bytes) -> TiffHeader:
    """Read the first directory. Raises struct.error for one that lies outside the file."""
    order = "<" if content[:2] == b"II" else ">"
    is_big = content[2:4] in (b"+\0", b"\0+")
    (at,) = struct.unpack_from(order + ("Q" if is_big else "I"), content, 8 if is_big else 4)
    (tags,) = struct.unpack_from(order + ("Q" if is_big else "H"), content, at)
    at += 8 if is_big else 2
    values: dict[int, tuple[int, ...]] = {}
    tag_bytes = strips = 0
    for number in range(min(tags, MAX_TAGS)):
        entry = at + number * (20 if is_big else 12)
        tag, kind, count = struct.unpack_from(order + ("HHQ" if is_big else "HHI"), content, entry)
        size = count * _TYPE_BYTES.get(kind, 1)
        tag_bytes += size
        strips = max(strips, count if tag in (_STRIP_BYTES, _TILE_BYTES) else 0)
        if tag in _WANTED and tag not in values:
            values[tag] = _integers(content, order, entry + (12 if is_big else 8), kind, count, 8 if is_big else 4)
    bits, samples = _first(values, _BITS, 1), _first(values, _SAMPLES, 1)
    return TiffHeader(
        _first(values, _WIDTH, 0),
        _first(values, _HEIGHT, 0),
        max(1, bits * samples // 8),
        _first(values, _TILE_WIDTH, 0) * _first(values, _TILE_HEIGHT, 0),
        strips,
        sum(values.get(_STRIP_BYTES, ())) + sum(values.get(_TILE_BYTES, ())),
        tags,
        tag_bytes,
    )


def _first(values: dict[int, tuple[int, ...]], tag: int, default: int) -> int:
    return values[tag][0] if values.get(tag) else default


def _integers(content: bytes, order: str, at: int, kind: int, count: int, room: int) -> tuple[int, ...]:
    """Read the integers of an entry whose value or offset is at `at`; none for other kinds, too many, and outside."""
    if kind not in _INTEGERS or count > MAX_STRIPS:
        return ()
    size = count * _TYPE_BYTES[kind]
    if size > room:
        (at,) = struct.unpack_from(order + ("Q" if room == 8 else "I"), content, at)
    if at + size > len(content):
        return ()
    return struct.unpack_from(f"{order}{count}{_INTEGERS[kind]}", content, at)
