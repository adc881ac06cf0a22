"""Read the headers and tables of PNG, WebP, bitmaps and HEIF, in steps whose number is limited.

Sources: PNG, W3C third edition; WebP container specification; Microsoft's documentation of bitmaps; ISO/IEC 14496-12
and 23008-12 (HEIF). What is too short raises struct.error.
"""

from __future__ import annotations

import struct

from mien.engine.jpeg_segments import EXIF, has_many_tags

MAX_CHUNKS = 10_000
"""A photo has at most a few thousand."""

MAX_BOXES = 64
MAX_TEXTS = 32
MAX_EXIF_BYTES = 64 * 1024


def png_chunks(content: bytes) -> tuple[int, int, bool]:
    """Return how many chunks there are, the bytes of those without pixels, and whether tags may make much work."""
    at, chunks, metadata, texts, is_odd = 8, 0, 0, 0, False
    while at + 8 <= len(content) and chunks <= MAX_CHUNKS:
        size, kind = struct.unpack_from(">I4s", content, at)
        start = content[at + 8 : at + 8 + min(size, MAX_EXIF_BYTES)]
        if kind == b"eXIf":
            is_odd = is_odd or size > MAX_EXIF_BYTES or has_many_tags(EXIF + start)
        elif kind in (b"tEXt", b"zTXt", b"iTXt", b"iCCP"):
            texts += 1
            is_odd = is_odd or texts > MAX_TEXTS or start.startswith(b"Raw profile")
        at, chunks = at + 12 + size, chunks + 1
        metadata += 0 if kind in (b"IDAT", b"fdAT") else min(size, len(content))
        if kind == b"IEND":
            break
    return chunks, metadata, is_odd


def webp_size(kind: bytes, head: bytes) -> tuple[int, int]:
    """Return the width and height that a chunk of a WebP tells; (0, 0) for one that tells none.

    Args:
        kind: The chunk's name.
        head: Its first ten bytes, or all that there are.
    """
    if kind == b"VP8X" and len(head) >= 10:
        return 1 + int.from_bytes(head[4:7], "little"), 1 + int.from_bytes(head[7:10], "little")
    if kind == b"VP8 " and len(head) >= 10:
        return struct.unpack_from("<H", head, 6)[0] & 0x3FFF, struct.unpack_from("<H", head, 8)[0] & 0x3FFF
    if kind == b"VP8L" and len(head) >= 5:
        bits = int.from_bytes(head[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return 0, 0


def bitmap_header(content: bytes, at: int) -> tuple[int, int, int]:
    """Return width, height and compression of a bitmap's header, OS/2's or Windows's."""
    (size,) = struct.unpack_from("<I", content, at)
    if size == 12:
        width, height = struct.unpack_from("<HH", content, at + 4)
        return width, height, 0
    width, height, _, _, compression = struct.unpack_from("<iiHHI", content, at + 4)
    return abs(width), abs(height), compression


def heif_tables(content: bytes) -> bytes:
    """Return the boxes of a HEIF or AVIF that describe its pictures, without their data."""
    at, tables = 0, []
    for _ in range(MAX_BOXES):
        if at + 8 > len(content):
            break
        size, kind = struct.unpack_from(">I4s", content, at)
        if size < 8:
            break
        if kind in (b"meta", b"moov"):
            tables.append(content[at : at + size])
        at += size
    return b"".join(tables)
