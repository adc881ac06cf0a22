"""Estimate from a file's structure, without an imaging library, what decoding the photo costs, and refuse bombs.

What a file hides all the same, because its format allows more than is read, meets the limits of the process that
decodes it (`decode_pool`). Sources: those of `headers`, `jpeg_segments` and `tiff`; GIF89a.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt

from mien.domain.errors import DamagedImage, ImageTooLarge, ImageTooSmall, UnsupportedImage
from mien.domain.image_types import UNKNOWN_FORMAT
from mien.engine import headers, jpeg_segments, tiff
from mien.engine.jpeg import REPAIR_COPIES
from mien.engine.limits import ORDINARY_SECONDS, RGB_BYTES, WORKING_PIXELS, Cost, Limits, refuse_above

MAX_EIGHTHS = 8
MIN_EIGHTHS = 4
"""A JPEG is decoded at 1/8 to 8/8 of its sides, and refused when the limits do not allow 4/8."""

MAX_SCANS = 100
MAX_METADATA = 16 * 1024 * 1024
MAX_ITEMS = 4_096
"""A photo has at most tens of scans, and hundreds of tiles."""

MAX_RUN_LENGTH_BYTES = 4 * 1024 * 1024
"""Of a run-length encoded bitmap, which is decoded byte by byte."""

EMPTY_BLOCKS_NANOSECONDS = 80
"""For each byte of a PNG's compressed blocks when they hold nothing, a dozen bytes each."""

UNREADABLE_HEADER = "The photo is damaged: its header cannot be read."
TOO_FEW_PIXELS = "The photo has {} x {} pixels; each side needs at least {}."
JPEG_HELPS = "export it as JPEG, which may have more: as {} "


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is known of a photo before anything is decoded.

    Attributes:
        width: pixels as stored, without EXIF orientation; 0 when only the decoder can tell.
        height: likewise.
        cost: an estimate from above.
        max_eighths: the largest scale at which a JPEG may be decoded; 8 for all other formats.
    """

    width: int
    height: int
    cost: Cost
    max_eighths: int = MAX_EIGHTHS

    @classmethod
    def unknown(cls, limits: Limits) -> Inspection:
        """Return what is true of any file: the decoder's process has to keep within the limits."""
        return cls(0, 0, Cost(limits.max_memory, limits.max_seconds).isolated(WORKING_PIXELS))

    @property
    def is_isolated(self) -> bool:
        """Whether the photo is decoded by a process of its own."""
        return self.cost.is_isolated


@dataclass(frozen=True, slots=True)
class _Decoder:
    """What a decoder takes, measured on a core of an AMD EPYC Zen 4: bytes and nanoseconds per pixel, and per byte.

    Attributes:
        most_bytes: per pixel of rarer pictures: ten bits a colour, colours at full resolution, transparency.
    """

    name: str
    pixel_bytes: int
    most_bytes: int
    pixel_ns: float
    byte_ns: float


_WEBP = _Decoder("WebP", 13, 13, 15, 40)
_AVIF = _Decoder("AVIF", 12, 16, 15, 60)
_HEIC = _Decoder("HEIC", 6, 14, 40, 60)
_TIFF = _Decoder("TIFF", 8, 12, 12, 20)
_GIF = _Decoder("GIF", 5, 8, 20, 20)
_BMP = _Decoder("BMP", 8, 8, 8, 2)


def inspect(content: bytes, limits: Limits) -> Inspection:
    """Estimate the cost of a photo from its structure.

    Args:
        content: a file that is not empty.
        limits: which images are accepted.

    Raises:
        ImageTooLarge: a limit is exceeded; `limit` names it.
        ImageTooSmall: a side is shorter than accepted.
        UnsupportedImage: the file does not begin as a known format.
        DamagedImage: the structure cannot be read.
    """
    try:
        inspection = _reader(content)(content, limits)
    except (struct.error, IndexError, OverflowError) as error:  # the last: an offset of 64 bits
        raise DamagedImage(UNREADABLE_HEADER) from error
    sides = (inspection.width, inspection.height)
    if 0 < min(sides) < limits.min_side:
        raise ImageTooSmall(TOO_FEW_PIXELS.format(*sides, limits.min_side))
    return inspection


def _reader(content: bytes) -> Callable[[bytes, Limits], Inspection]:
    for start, reader in _READERS:
        if start.match(content):
            return reader
    raise UnsupportedImage(UNKNOWN_FORMAT)


def _too_many_pixels(width: int, height: int, most: int, advice: str = "") -> ImageTooLarge:
    return ImageTooLarge(f"The photo has {width} x {height} pixels; {advice}at most {most:,} are accepted.", "pixels")


def _isolated(decoder: _Decoder, width: int, height: int, content: bytes, limits: Limits) -> Inspection:
    """Judge a photo that is decoded at full size in a process of its own."""
    if not width * height:
        return Inspection.unknown(limits)
    most = max_pixels(decoder, limits)
    if width * height > most:
        advice = JPEG_HELPS.format(decoder.name) if most < limits.max_pixels else ""
        raise _too_many_pixels(width, height, most, advice)
    memory = min(width * height * decoder.most_bytes, limits.max_memory)
    seconds = (width * height * decoder.pixel_ns + len(content) * decoder.byte_ns) / 1e9
    return Inspection(width, height, Cost(memory, seconds).isolated(width * height))


def max_pixels(decoder: _Decoder, limits: Limits) -> int:
    """Return how many pixels a format may have that cannot be decoded at a reduced scale."""
    return min(limits.max_pixels, limits.max_memory // decoder.pixel_bytes)


# JPEG


def _jpeg(content: bytes, limits: Limits) -> Inspection:
    header = jpeg_segments.read_header(content)
    refuse_above("segments", header.segments, jpeg_segments.MAX_SEGMENTS, "segments before its picture data")
    refuse_above("metadata", header.fill, jpeg_segments.MAX_FILL, "bytes between its segments")
    pixels = header.width * header.height
    is_whole = not header.is_decoded_by_rows
    # a decoder by rows takes one scan; what looks like more are a phone's video behind the photo, or its thumbnails
    scans = max(content.count(b"\xff\xda"), 1) if is_whole else 1
    refuse_above("scans", scans, MAX_SCANS, "scans")
    eighths = _jpeg_eighths(header, limits, is_whole=is_whole)
    memory = _jpeg_memory(header, eighths, is_whole=is_whole)
    refuse_above("memory", memory, limits.max_memory, "bytes to decode")
    samples = pixels * max(header.samples, 1.0)
    slowness = 6 if header.is_arithmetic else 1
    seconds = (
        samples * (2.2 + (1.5 * scans if is_whole else 0)) + len(content) * (30 if is_whole else 10) * slowness
    ) / 1e9
    refuse_above("scans", round(seconds, 1), 2 * limits.max_seconds, "seconds of work in its scans")
    cost = Cost(min(memory + REPAIR_COPIES * len(content), limits.max_memory), seconds)
    if header.odd or not cost.is_ordinary:
        cost = cost.isolated(pixels)
    return Inspection(header.width, header.height, cost, eighths)


def _jpeg_eighths(header: jpeg_segments.Header, limits: Limits, *, is_whole: bool) -> int:
    """Return the largest scale at which a JPEG may be decoded. Raises ImageTooLarge."""
    pixels = header.width * header.height
    is_scalable = header.is_scalable
    if pixels > limits.max_pixels:
        eighths = isqrt(limits.max_pixels * MAX_EIGHTHS**2 // pixels)
        if eighths < MIN_EIGHTHS or is_whole or not is_scalable:
            raise _too_many_pixels(header.width, header.height, limits.max_pixels)
    if not is_scalable or pixels <= min(limits.max_pixels, WORKING_PIXELS):
        return MAX_EIGHTHS
    return max(1, isqrt(min(limits.max_pixels, WORKING_PIXELS) * MAX_EIGHTHS**2 // pixels))


def _jpeg_memory(header: jpeg_segments.Header, eighths: int, *, is_whole: bool) -> int:
    """Bytes of the coefficients (two each) of what cannot be decoded by rows, and of the decoded photo."""
    pixels = header.width * header.height
    output = pixels * eighths**2 // MAX_EIGHTHS**2 * (RGB_BYTES if header.components in (1, 3) else 4 + RGB_BYTES)
    return output + (round(2 * header.samples * pixels) if is_whole else 0)


# PNG


def _png(content: bytes, limits: Limits) -> Inspection:
    if content[12:16] != b"IHDR":
        raise DamagedImage(UNREADABLE_HEADER)
    width, height, depth, colour = struct.unpack_from(">IIBB", content, 16)
    pixels = width * height
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 4)
    pixel_bytes = 1 if depth <= 8 and channels == 1 else 4
    most = _most_png_pixels(pixel_bytes, limits)
    if pixels > most:
        advice = JPEG_HELPS.format("PNG") if most < limits.max_pixels else ""
        raise _too_many_pixels(width, height, most, advice)
    chunks, metadata, is_odd = headers.png_chunks(content)
    refuse_above("chunks", chunks, headers.MAX_CHUNKS, "chunks")
    refuse_above("metadata", metadata, MAX_METADATA, "bytes beside its picture")
    raw = height * (width * depth * channels // 8 + 1)
    memory = pixels * pixel_bytes + min(pixels, WORKING_PIXELS) * RGB_BYTES
    surplus = max(0, len(content) - raw)
    cost = Cost(memory, (raw * 10 + pixels * 5 + surplus * EMPTY_BLOCKS_NANOSECONDS) / 1e9)
    could_hide = len(content) * EMPTY_BLOCKS_NANOSECONDS / 1e9
    if is_odd or could_hide > ORDINARY_SECONDS or not cost.is_ordinary:
        cost = cost.isolated(pixels)
    return Inspection(width, height, cost)


def _most_png_pixels(pixel_bytes: int, limits: Limits) -> int:
    """Return how many pixels fit into the memory of a decoder, which holds up to WORKING_PIXELS of them twice."""
    twice = min(limits.max_memory // (pixel_bytes + RGB_BYTES), WORKING_PIXELS)
    return min(limits.max_pixels, max(twice, (limits.max_memory - WORKING_PIXELS * RGB_BYTES) // pixel_bytes))


# WebP


def _webp(content: bytes, limits: Limits) -> Inspection:
    width = height = chunks = 0
    at = 12
    while at + 8 <= len(content) and chunks <= headers.MAX_CHUNKS:
        kind, size = struct.unpack_from("<4sI", content, at)
        across, down = headers.webp_size(kind, content[at + 8 : at + 18])
        width, height = max(width, across), max(height, down)
        at, chunks = at + 8 + size + size % 2, chunks + 1
    refuse_above("chunks", chunks, headers.MAX_CHUNKS, "chunks")
    return _isolated(_WEBP, width, height, content, limits)


# GIF


def _gif(content: bytes, limits: Limits) -> Inspection:
    width, height, flags = struct.unpack_from("<HHB", content, 6)
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    start, blocks = at, 0
    while content[at : at + 1] == b"!":
        at += 2
        while (size := content[at]) and blocks <= headers.MAX_CHUNKS:
            at, blocks = at + 1 + size, blocks + 1
        at, blocks = at + 1, blocks + 1
        refuse_above("chunks", blocks, headers.MAX_CHUNKS, "blocks before its picture")
    refuse_above("metadata", at - start, MAX_METADATA, "bytes before its picture")
    if content[at : at + 1] == b",":
        left, top, across, down = struct.unpack_from("<HHHH", content, at + 1)
        width, height = max(width, left + across), max(height, top + down)
    return _isolated(_GIF, width, height, content, limits)


# BMP


def _bmp(content: bytes, limits: Limits) -> Inspection:
    width, height, compression = headers.bitmap_header(content, 14)
    if compression in (1, 2):
        refuse_above("bytes", len(content), MAX_RUN_LENGTH_BYTES, "run-length encoded bytes")
    return _isolated(_BMP, width, height, content, limits)


# TIFF and HEIF


def _tiff(content: bytes, limits: Limits) -> Inspection:
    header = tiff.read_header(content)
    refuse_above("tags", header.tags, tiff.MAX_TAGS, "tags")
    refuse_above("metadata", header.tag_bytes, MAX_METADATA, "bytes of tags")
    refuse_above("chunks", header.strips, tiff.MAX_STRIPS, "strips and tiles")
    strips = max(2 * len(content), MAX_METADATA)  # they may share their bytes, but not to read them over and over
    refuse_above("bytes", header.strip_bytes, strips, "bytes of strips and tiles")
    tile = header.tile_pixels * header.pixel_bytes
    refuse_above("memory", tile, limits.max_memory // 2, "bytes in a tile")
    return _isolated(_TIFF, header.width, header.height, content, limits)


def _heif(content: bytes, limits: Limits) -> Inspection:
    """Judge by the largest picture that a file describes."""
    tables = headers.heif_tables(content)
    refuse_above("frames", tables.count(b"infe"), MAX_ITEMS, "pictures and tiles")
    refuse_above("frames", tables.count(b"ispe"), MAX_ITEMS, "sizes of pictures")
    places = (found.end() + 4 for found in re.finditer(b"ispe", tables))
    sizes = [struct.unpack_from(">II", tables, at) for at in places if at + 8 <= len(tables)]
    width, height = max(sizes, key=lambda size: size[0] * size[1], default=(0, 0))
    return _isolated(_AVIF if content[8:11] == b"avi" else _HEIC, width, height, content, limits)


_READERS: tuple[tuple[re.Pattern[bytes], Callable[[bytes, Limits], Inspection]], ...] = (
    (re.compile(rb"\xff\xd8"), _jpeg),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), _png),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), _webp),
    (re.compile(rb"GIF8[79]a"), _gif),
    (re.compile(rb"BM"), _bmp),
    (re.compile(rb"II(\*\0|\0\*|\+\0)|MM(\0\*|\*\0|\0\+)"), _tiff),
    (re.compile(rb"....ftyp", re.DOTALL), _heif),
)
