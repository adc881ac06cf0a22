"""Photos that cost far more than their bytes: for every accepted format, drawn at test time, none stored.

`BOMBS` names generators. A generator takes the bytes that its file may have, and fills them where more bytes make more
work. All random numbers have fixed seeds.
"""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Callable, Iterable
from functools import cache

import numpy as np
from PIL import Image

Generator = Callable[[int], bytes]
MEGABYTE = 1024 * 1024
NAMED_WEBP = base64.b64decode(
    "UklGRlIAAABXRUJQVlA4WAoAAAACAAAA/j8AiBMAQU5JTQYAAAAAAAAAAABBTk1GJgAAAAAAAAAAAA8AAA8AAGQAAABWUDhMDgAAAC8PwAMABxAR/Q9ERP8D"
)
"""A canvas of 16384 × 5001 around one frame of 16 × 16."""
EMPTY_BLOCKS = bytes.fromhex(
    "04c081000000000090ff6a24000e040000000080fc57230170200000000000e4bf1a098003010000000020ffd548001c08000000000"
    "0f9af4602e0400000000000c87f35120007020000000040feab910038100000000000f25f8d"
)
"""Eight of deflate, each of which defines a code of two letters and at once ends."""
ON_ITS_SIDE = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
"""EXIF data that only hold the orientation 6."""


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def plain(width: int, height: int, mode: str = "RGB") -> Image.Image:
    return Image.new(mode, (width, height))


@cache
def noise(side: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8))


# JPEG


def jpeg_scans(width: int, height: int, size: int, *, subsampling: int = 2) -> bytes:
    """A progressive JPEG whose last scan is repeated until the file has `size` bytes."""
    content = encoded(plain(width, height), "JPEG", progressive=True, subsampling=subsampling)
    start = content.rindex(b"\xff\xda")
    scan = content[start:-2]
    return content[:-2] + scan * max(1, (size - len(content)) // len(scan)) + b"\xff\xd9"


def jpeg_of_segments(size: int) -> bytes:
    content = encoded(plain(64, 64), "JPEG")
    return content[:2] + b"\xff\xe5\0\2" * (size // 4) + content[2:]


def jpeg_fill(size: int, fill: bytes = b"\xff") -> bytes:
    """Bytes between segments, which are legal, and which a reader of headers takes one by one."""
    content = encoded(plain(64, 64), "JPEG")
    return content[:2] + fill * (size // len(fill)) + content[2:]


def photoshop_notes(count: int) -> bytes:
    """A segment of as many notes as Photoshop makes, all of them empty."""
    notes = b"Photoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\0\0" * count
    return b"\xff\xed" + struct.pack(">H", len(notes) + 2) + notes


def jpeg_odd_sampling() -> bytes:
    """A JPEG whose first component has 1 × 4 samples, for which its decoder has no name."""
    content = encoded(plain(64, 64), "JPEG")
    place = content.index(b"\xff\xc0") + 11
    return content[:place] + b"\x14" + content[place + 1 :]


def jpeg_exif(tags: int, value_bytes: int) -> bytes:
    """EXIF whose tags all point to the same long value."""
    entries = b"".join(struct.pack("<HHII", 0x9000 + n % 4096, 7, value_bytes, 26) for n in range(tags))
    body = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", tags) + entries + bytes(4)
    body = (body + bytes(value_bytes))[:65_533]
    content = encoded(plain(640, 640), "JPEG")
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + content[2:]


def jpeg_with_size(width: int, height: int, content: bytes) -> bytes:
    frame = min(place for code in (b"\xff\xc0", b"\xff\xc2") if (place := content.find(code)) > 0)
    return content[: frame + 5] + struct.pack(">HH", height, width) + content[frame + 9 :]


def jpeg_damaged_late(picture: Image.Image) -> bytes:
    """Invalid near its end, so that a repair decodes it again and again."""
    content = encoded(picture, "JPEG", progressive=True, quality=90)
    place = len(content) * 95 // 100
    return content[:place] + b"\xff\0" * 200 + content[place:]


def jpeg_restarts(side: int, size: int) -> bytes:
    """Nothing but restart markers where the picture's data should be."""
    content = jpeg_with_size(side, side, encoded(plain(64, 64), "JPEG"))
    start = content.index(b"\xff\xda")
    data = start + 2 + struct.unpack(">H", content[start + 2 : start + 4])[0]
    markers = b"".join(bytes([0xFF, 0xD0 + number]) for number in range(8))
    interval = b"\xff\xdd\0\4\0\1"
    return content[:start] + interval + content[start:data] + markers * (size // len(markers)) + b"\xff\xd9"


def jpeg_noise(side: int, **options: object) -> bytes:
    return encoded(noise(side), "JPEG", **options)


def jpeg_huge_face(side: int, mode: str) -> bytes:
    """A turned face as large as the photo, of which the detector is uncertain, and small ones that keep it so large."""
    from tests.support.real_photos import hopper

    with Image.open(hopper()) as photo:
        head = photo.crop((86, 47, 446, 407)).convert(mode)  # its face has 212 pixels
    grey = (128,) * len(mode)
    canvas, small = Image.new(mode, (side, side), grey), head.resize((side // 14, side // 14))
    huge = head.rotate(25, fillcolor=grey).resize((side * 4 // 3, side * 4 // 3))
    canvas.paste(huge, ((side - huge.width) // 2, (side - huge.height) // 2))
    for place in ((0, 0), (side - small.width, 0), (0, side - small.height)):
        canvas.paste(small, place)
    return encoded(canvas, "JPEG", quality=60)


# PNG


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    width: int, height: int, depth: int, colour: int, *, interlaced: bool = False, extra: Iterable[bytes] = ()
) -> bytes:
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = width * depth * channels // 8 + 1
    squeezer = zlib.compressobj(9)
    block = bytes(MEGABYTE)
    body = [squeezer.compress(block) for _ in range(row * (height + 16 * interlaced) // MEGABYTE + 1)]
    data = b"".join(body) + squeezer.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    palette = chunk(b"PLTE", bytes(768)) if colour == 3 else b""
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            palette,
            *extra,
            chunk(b"IDAT", data),
            chunk(b"IEND", b""),
        ]
    )


def png_texts(kind: bytes, count: int) -> bytes:
    squeezed = zlib.compress(bytes(MEGABYTE - 64), 9)
    bodies = {b"zTXt": b"a\0\0", b"iTXt": b"a\0\1\0\0\0", b"iCCP": b"a\0\0"}
    return png(640, 640, 8, 2, extra=[chunk(kind, bodies[kind] + squeezed)] * count)


def png_empty_blocks(size: int, *, is_text: bool, width: int = 64, height: int = 64) -> bytes:
    """A long way through blocks that hold nothing to the picture's data, or to the end of a text."""
    blocks = EMPTY_BLOCKS * (size // len(EMPTY_BLOCKS))
    picture, text = zlib.compress(bytes(height * (3 * width + 1))), zlib.compress(b"text")
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    chunks = (
        [chunk(b"zTXt", b"a\0\0" + text[:2] + blocks + text[2:]), chunk(b"IDAT", picture)]
        if is_text
        else [chunk(b"IDAT", picture[:2] + blocks + picture[2:])]
    )
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


def png_chunks(size: int) -> bytes:
    return png(64, 64, 8, 2, extra=[chunk(b"teSt", b"") * (size // 12)])


def png_exif(tags: int, value_bytes: int) -> bytes:
    entries = b"".join(struct.pack("<HHII", n, 7, value_bytes, 26) for n in range(tags))
    return png(
        640,
        640,
        8,
        2,
        extra=[chunk(b"eXIf", b"II*\0\x08\0\0\0" + struct.pack("<H", tags) + entries + bytes(4 + value_bytes))],
    )


def png_noise(side: int, depth: int = 8) -> bytes:
    if depth == 8:
        return encoded(noise(side), "PNG", compress_level=1)
    values = np.random.default_rng(side).integers(0, 65536, (side, side), dtype=np.uint16)
    return encoded(Image.fromarray(values), "PNG", compress_level=1)


# WebP


def webp_canvas(width: int, height: int) -> bytes:
    start = NAMED_WEBP.index(b"VP8X") + 12
    return (
        NAMED_WEBP[:start]
        + (width - 1).to_bytes(3, "little")
        + (height - 1).to_bytes(3, "little")
        + NAMED_WEBP[start + 6 :]
    )


def webp_frames(size: int) -> bytes:
    place = NAMED_WEBP.index(b"ANMF")
    frame = NAMED_WEBP[place:]
    body = webp_canvas(4000, 4000)[:place] + frame * (size // len(frame))
    return body[:4] + struct.pack("<I", len(body) - 8) + body[8:]


def webp_noise(side: int, **options: object) -> bytes:
    return encoded(noise(side), "WEBP", method=0, **options)


# GIF


def gif_screen(width: int, height: int) -> bytes:
    small = encoded(plain(16, 16, "P"), "GIF")
    return small[:6] + struct.pack("<HH", width, height) + small[10:]


def gif_comments(size: int) -> bytes:
    small = encoded(plain(64, 64, "P"), "GIF")
    place = small.index(b",", 13)
    return small[:place] + b"!\xfe" + (b"\xff" + b"a" * 255) * (size // 256) + b"\0" + small[place:]


def gif_frames(size: int) -> bytes:
    small = encoded(plain(64, 64, "P"), "GIF")
    place = small.index(b",", 13)
    return small[:-1] + small[place:-1] * (size // (len(small) - place)) + b";"


# BMP


def bmp_runs(width: int, height: int, size: int, *, escapes: bool = False) -> bytes:
    """Run-length encoded: one pixel each, or escapes that draw none."""
    body = (b"\0\2\0\0" if escapes else b"\1\0") * (size // (4 if escapes else 2))
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(body), 1, 1, 256, 256)
    offset = 14 + 40 + 1024
    return b"BM" + struct.pack("<IHHI", offset + len(body), 0, 0, offset) + header + bytes(1024) + body


def bmp_claim(width: int, height: int, *, os2: bool = False) -> bytes:
    header = (
        struct.pack("<IHHHH", 12, width, height, 1, 24)
        if os2
        else struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 1, 1, 0, 0)
    )
    return b"BM" + struct.pack("<IHHI", 14 + len(header) + 4096, 0, 0, 14 + len(header)) + header + bytes(4096)


# TIFF


def tiff(tags: dict[int, tuple[int, int, bytes]], data: bytes = b"", *, big: bool = False) -> bytes:
    """A little-endian TIFF of one directory behind its data; a tag is (type, count, value or offset)."""
    start = 16 if big else 8
    head = (
        struct.pack("<2sHHHQ", b"II", 43, 8, 0, start + len(data))
        if big
        else struct.pack("<2sHI", b"II", 42, 8 + len(data))
    )
    room = 8 if big else 4
    entries = b"".join(
        struct.pack("<HHQ" if big else "<HHI", tag, kind, count) + value.ljust(room, b"\0")
        for tag, (kind, count, value) in sorted(tags.items())
    )
    return head + data + struct.pack("<Q" if big else "<H", len(tags)) + entries + bytes(room)


def long(value: int) -> tuple[int, int, bytes]:
    return 4, 1, struct.pack("<I", value)


def tiff_picture(width: int, height: int, compression: int, data: bytes, **more: tuple[int, int, bytes]) -> bytes:
    tags = {256: long(width), 257: long(height), 258: long(8), 259: long(compression), 262: long(1), 277: long(1)}
    tags |= {278: long(height), 273: long(8), 279: long(len(data))}
    tags |= {int(name[1:]): value for name, value in more.items()}
    return tiff(tags, data)


def tiff_tile(side: int, compression: int = 8) -> bytes:
    data = zlib.compress(bytes(4096))
    more = {"t322": long(side), "t323": long(side), "t324": long(8), "t325": long(len(data))}
    return tiff_picture(640, 640, compression, data, **more)


def tiff_shared_strips(rows: int, size: int) -> bytes:
    """Every row is a strip of its own, and all strips are the same bytes."""
    data = bytes(size - 8 * rows - 1024)
    offsets, counts = struct.pack("<I", 8) * rows, struct.pack("<I", len(data)) * rows
    at = 8 + len(data)
    more = {
        "t273": (4, rows, struct.pack("<I", at)),
        "t278": long(1),
        "t279": (4, rows, struct.pack("<I", at + len(offsets))),
    }
    return tiff_picture(640, rows, 32773, data + offsets + counts, **more)


def tiff_tags(count: int, size: int) -> bytes:
    tags = {256: long(640), 257: long(640)} | {
        1000 + n: (7, size - 800_000, struct.pack("<I", 8)) for n in range(count)
    }
    return tiff(tags, bytes(size - 800_000))


def tiff_squeezed(side: int, compression: str) -> bytes:
    return encoded(plain(side, side), "TIFF", compression=compression)


def tiff_of_one_strip(side: int) -> bytes:
    """Four colours of 16 bits, in one strip that is twice as large as the decoded picture."""
    squeezer = zlib.compressobj(9)
    rows = [squeezer.compress(bytes(8 * side)) for _ in range(side)]
    data = struct.pack("<4H", 16, 16, 16, 16) + b"".join(rows) + squeezer.flush()
    more = {"t258": (3, 4, struct.pack("<I", 8)), "t262": long(2), "t273": long(16), "t277": long(4)}
    more |= {"t279": long(len(data) - 8), "t338": long(2)}
    return tiff_picture(side, side, 8, data, **more)


def tiff_jpeg_scans(side: int, size: int) -> bytes:
    """One strip that is a JPEG of many scans."""
    data = jpeg_scans(side, side, size)
    more = {"t262": long(6), "t277": long(3), "t258": long(8), "t530": (3, 2, struct.pack("<HH", 2, 2))}
    return tiff_picture(side, side, 7, data, **more)


# AVIF and HEIC


@cache
def avif_plain(side: int) -> bytes:
    return encoded(plain(side, side), "AVIF", speed=10, quality=10)


@cache
def heic(side: int, mode: str = "RGB", **options: object) -> bytes:
    import pillow_heif

    pillow_heif.register_heif_opener()
    picture = noise(side) if side < 2000 else plain(side, side, mode)
    return encoded(picture, "HEIF", quality=50, enc_params={"preset": "ultrafast"}, **options)


@cache
def heic_deep(side: int) -> bytes:
    """Ten bits a colour, as cameras and some phones make them."""
    import pillow_heif

    stream = io.BytesIO()
    pillow_heif.encode(
        "RGB;16", (side, side), bytes(6 * side**2), stream, quality=50, enc_params={"preset": "ultrafast"}
    )
    return stream.getvalue()


def with_lying_size(content: bytes, width: int, height: int) -> bytes:
    """Change the size that a HEIC or the header of a PNG tells, but not the picture."""
    place = content.index(b"IHDR") + 4 if content.startswith(b"\x89PNG") else content.index(b"ispe") + 8
    return content[:place] + struct.pack(">II", width, height) + content[place + 8 :]


def heif_items(content: bytes, size: int) -> bytes:
    """A container with a box of names in front that describes countless pictures."""
    end = struct.unpack(">I", content[:4])[0]
    names = b"\0\0\0\x15infe\x02\0\0\0\0\1\0\0av01\0" * (size // 21)
    box = struct.pack(">I", len(names) + 8) + b"meta" + names
    return content[:end] + box + content[end:]


BOMBS: dict[str, Generator] = {
    "JPEG, 9400 x 9400, scans repeated": lambda size: jpeg_scans(9400, 9400, min(size, 600_000)),
    "JPEG, 4000 x 4000, scans repeated": lambda size: jpeg_scans(4000, 4000, min(size, 600_000)),
    "JPEG, 9400 x 9400, progressive": lambda _: jpeg_scans(9400, 9400, 0),
    "JPEG, 9400 x 9400, progressive, all colours": lambda _: jpeg_scans(9400, 9400, 0, subsampling=0),
    "JPEG, 5500 x 5500, progressive, all colours": lambda _: jpeg_scans(5500, 5500, 0, subsampling=0),
    "JPEG, 12000 x 12000, baseline": lambda _: encoded(plain(12000, 12000), "JPEG"),
    "JPEG, 18000 x 18000, baseline": lambda _: encoded(plain(18000, 18000), "JPEG"),
    "JPEG, size made up": lambda _: jpeg_with_size(18000, 18000, encoded(plain(64, 64), "JPEG")),
    "JPEG, noise": lambda _: jpeg_noise(3000, quality=95),
    "JPEG, noise, progressive": lambda _: jpeg_noise(3000, quality=95, progressive=True),
    "JPEG, damaged late": lambda _: jpeg_damaged_late(plain(8000, 8000)),
    "JPEG, noise, damaged late": lambda _: jpeg_damaged_late(noise(2000)),
    "JPEG, restart markers": lambda size: jpeg_restarts(9000, size),
    "JPEG, four colours": lambda _: encoded(plain(7000, 7000, "CMYK"), "JPEG"),
    "JPEG, nothing but segments": jpeg_of_segments,
    "JPEG, tags that share their value": lambda _: jpeg_exif(4000, 12_000),
    "JPEG, strip": lambda _: encoded(plain(65000, 16), "JPEG"),
    "JPEG, huge face": lambda _: jpeg_huge_face(6000, "RGB"),
    "JPEG, huge face, grey": lambda _: jpeg_huge_face(3900, "L"),
    "PNG, 1 bit": lambda _: png(9400, 9400, 1, 0),
    "PNG, 8 bits": lambda _: png(7000, 7000, 8, 2),
    "PNG, 16 bits": lambda _: png(7000, 7000, 16, 6),
    "PNG, 16 bits of grey": lambda _: png(9000, 9000, 16, 0),
    "PNG, palette": lambda _: png(9400, 9400, 8, 3),
    "PNG, interlaced": lambda _: png(7000, 7000, 8, 2, interlaced=True),
    "PNG, compressed texts": lambda _: png_texts(b"zTXt", 400),
    "PNG, international texts": lambda _: png_texts(b"iTXt", 400),
    "PNG, colour profiles": lambda _: png_texts(b"iCCP", 400),
    "PNG, empty blocks": lambda size: png_empty_blocks(size, is_text=False),
    "PNG, empty blocks in a text": lambda size: png_empty_blocks(size, is_text=True),
    "PNG, chunks": png_chunks,
    "PNG, tags that share their value": lambda _: png_exif(60_000, 400_000),
    "PNG, noise": lambda _: png_noise(2200),
    "PNG, noise of 16 bits": lambda _: png_noise(2800, 16),
    "PNG, strip": lambda _: png(200_000, 16, 8, 2),
    "WebP, canvas": lambda _: NAMED_WEBP,
    "WebP, small canvas": lambda _: webp_canvas(5200, 5200),
    "WebP, frames": webp_frames,
    "WebP, lossless": lambda _: webp_noise(2200, lossless=True, quality=0),
    "WebP, noise": lambda _: webp_noise(4000, quality=80),
    "WebP, plain": lambda _: encoded(plain(5200, 5200), "WEBP", method=0),
    "AVIF, 8000 x 8000": lambda _: avif_plain(8000),
    "AVIF, 5400 x 5400": lambda _: avif_plain(5400),
    "AVIF, all colours": lambda _: encoded(plain(5400, 5400), "AVIF", speed=10, quality=10, subsampling="4:4:4"),
    "AVIF, noise": lambda _: encoded(noise(2500), "AVIF", speed=10, quality=90),
    "AVIF, size made up": lambda _: with_lying_size(avif_plain(5400), 64, 64),
    "AVIF, items": lambda size: heif_items(avif_plain(512), size),
    "HEIC, 7700 x 7700": lambda _: heic(7700),
    "HEIC, 7700 x 7700, tiles, on its side": lambda _: heic(7700, tile_size=512, exif=ON_ITS_SIDE),
    "HEIC, 7700 x 7700, all colours": lambda _: heic(7700, chroma=444),
    "HEIC, 7700 x 7700, transparent": lambda _: heic(7700, "RGBA"),
    "HEIC, 7700 x 7700, 10 bits": lambda _: heic_deep(7700),
    "HEIC, 5700 x 5700, 10 bits": lambda _: heic_deep(5700),
    "HEIC, noise": lambda _: heic(1900),
    "HEIC, size made up": lambda _: with_lying_size(heic(7700), 64, 64),
    "GIF, screen": lambda _: gif_screen(65000, 65000),
    "GIF, smaller screen": lambda _: gif_screen(8000, 8000),
    "GIF, comments": gif_comments,
    "GIF, frames": gif_frames,
    "BMP, size made up": lambda _: bmp_claim(30000, 30000),
    "BMP, OS/2": lambda _: bmp_claim(9000, 9000, os2=True),
    "BMP, runs": lambda size: bmp_runs(6000, 6000, size),
    "BMP, runs of 4 MB": lambda _: bmp_runs(6000, 6000, 4 * MEGABYTE - 4096),
    "BMP, escapes": lambda _: bmp_runs(6000, 6000, 4 * MEGABYTE - 4096, escapes=True),
    "TIFF, LZW": lambda _: tiff_squeezed(7000, "tiff_lzw"),
    "TIFF, deflate": lambda _: tiff_squeezed(6400, "tiff_deflate"),
    "TIFF, one strip": lambda _: tiff_of_one_strip(6400),
    "TIFF, huge tiles": lambda _: tiff_tile(65_520),
    "TIFF, large tiles": lambda _: tiff_tile(12_000),
    "TIFF, strips that share their bytes": lambda size: tiff_shared_strips(5000, size),
    "TIFF, tags that share their value": lambda size: tiff_tags(400, size),
    "TIFF, many tags": lambda size: tiff_tags(60_000, size),
    "TIFF, JPEG of many scans": lambda _: tiff_jpeg_scans(4000, 600_000),
    "BigTIFF, size made up": lambda _: tiff({256: long(60_000), 257: long(60_000)}, big=True),
}
