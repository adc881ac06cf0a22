"""Photos that cost far more than their bytes are refused by their structure, or ended by limits of their process."""

from __future__ import annotations

import sys
from contextlib import suppress
from math import isqrt

import numpy as np
import pytest

from mien.domain.errors import DamagedImage, ImageError, ImageTooLarge
from mien.engine import Limits, decode, measure
from mien.engine.decode import open_photo
from mien.engine.decode_pool import Decoded
from mien.engine.limits import WORKING_PIXELS
from tests.hostile import bombs
from tests.hostile.bombs import BOMBS, MEGABYTE

REFUSED = {
    "segments": lambda: bombs.jpeg_of_segments(MEGABYTE),
    "scans": lambda: bombs.jpeg_scans(640, 640, 100_000),
    "scans, of a huge picture": lambda: bombs.jpeg_with_size(12_000, 9_000, bombs.jpeg_scans(16, 16, 3_000)),
    "memory, progressive": lambda: bombs.jpeg_with_size(9_400, 9_400, bombs.jpeg_scans(16, 16, 0, subsampling=0)),
    "memory, four colours": lambda: bombs.jpeg_with_size(
        9_000, 9_000, bombs.encoded(bombs.plain(16, 16, "CMYK"), "JPEG")
    ),
    "pixels, JPEG": lambda: bombs.jpeg_with_size(20_000, 20_000, bombs.encoded(bombs.plain(16, 16), "JPEG")),
    "pixels, PNG": lambda: bombs.png(9_500, 9_500, 1, 0),
    "metadata, JPEG of fill bytes": lambda: bombs.jpeg_fill(2 * MEGABYTE),
    "metadata, JPEG of zeros": lambda: bombs.jpeg_fill(2 * MEGABYTE, b"\xff\xfe\0\2" + bytes(5_000)),
    "metadata, JPEG of extensions": lambda: bombs.jpeg_fill(2 * MEGABYTE, b"\xff\xc8\xff\xff" + b"\xff" * 65_533),
    "metadata, JPEG without a picture": lambda: b"\xff\xd8\xff\xfe\0\2\xff\xd9" + bytes(2 * MEGABYTE),
    "chunks, PNG": lambda: bombs.png_chunks(MEGABYTE),
    "pixels, WebP": lambda: bombs.NAMED_WEBP,
    "chunks, WebP": lambda: bombs.webp_frames(MEGABYTE),
    "pixels, GIF": lambda: bombs.gif_screen(65_000, 65_000),
    "chunks, GIF": lambda: bombs.gif_comments(4 * MEGABYTE),
    "pixels, BMP": lambda: bombs.bmp_claim(30_000, 30_000),
    "pixels, BMP of OS/2": lambda: bombs.bmp_claim(9_000, 9_000, os2=True),
    "bytes, BMP": lambda: bombs.bmp_runs(600, 600, 8 * MEGABYTE),
    "memory, TIFF": lambda: bombs.tiff_tile(65_520),
    "bytes, TIFF": lambda: bombs.tiff_shared_strips(1_000, MEGABYTE),
    "metadata, TIFF": lambda: bombs.tiff_tags(400, MEGABYTE),
    "tags, TIFF": lambda: bombs.tiff_tags(20_000, MEGABYTE),
    "pixels, BigTIFF": lambda: bombs.tiff({256: bombs.long(60_000), 257: bombs.long(60_000)}, big=True),
    "frames, AVIF": lambda: bombs.heif_items(bombs.avif_plain(64), MEGABYTE),
    "pixels, AVIF": lambda: bombs.with_lying_size(bombs.avif_plain(64), 16_000, 16_000),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_bomb_is_refused_by_its_structure_and_the_limit_is_named(name):
    with pytest.raises(ImageTooLarge, match=r"^The photo has .*accepted\.$") as refused:
        measure(REFUSED[name]())
    assert name.startswith(refused.value.limit)


CHEAP = [
    "JPEG, size made up",
    "JPEG, tags that share their value",
    "JPEG, strip",
    "PNG, compressed texts",
    "PNG, colour profiles",
    "PNG, tags that share their value",
    "PNG, strip",
    "AVIF, size made up",
    "TIFF, large tiles",
    "TIFF, JPEG of many scans",
    "BMP, escapes",
]


@pytest.mark.parametrize(
    "name", [*CHEAP, *(pytest.param(name, marks=pytest.mark.slow) for name in BOMBS if name not in CHEAP)]
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_every_bomb_is_refused_or_decoded_to_few_pixels(name):
    with suppress(ImageError):
        photo = open_photo(BOMBS[name](15 * MEGABYTE))
        height, width, channels = photo.pixels(sys.maxsize).shape
        assert (height * width <= WORKING_PIXELS, channels) == (True, 3)


@pytest.mark.parametrize("name", ["JPEG, strip", "PNG, strip"])
def test_a_strip_is_a_photo_without_faces(real_engine, name):
    assert real_engine.detect(BOMBS[name](MEGABYTE)) == []


def test_a_photo_in_which_decoders_of_metadata_would_drown_is_decoded_elsewhere():
    harmless = bombs.encoded(bombs.plain(64, 64), "JPEG")
    assert not measure(harmless).is_isolated
    assert measure(bombs.jpeg_exif(4_000, 10_000)).is_isolated
    assert measure(bombs.png_exif(4_000, 60_000)).is_isolated
    assert measure(bombs.jpeg_fill(MEGABYTE // 2)).is_isolated
    for pieces in (b"\xff\xdb\xfd\xea" + (b"\0" + b"\1" * 64) * 1000, bombs.photoshop_notes(5000)):
        assert not measure(bombs.jpeg_fill(len(pieces), pieces)).is_isolated
        assert measure(bombs.jpeg_fill(90 * len(pieces), pieces)).is_isolated
    assert measure(bombs.jpeg_fill(MEGABYTE, b"\xff\xed\x13\x88" + b"8BIM" * 1_250 + b"\0\0")).is_isolated


@pytest.mark.parametrize("size", [(64, 64), (1400, 1200)])
@pytest.mark.parametrize("is_text", [True, False])
def test_a_png_of_many_bytes_may_make_much_work_and_is_decoded_elsewhere(is_text, size):
    content = bombs.png_empty_blocks(5 * MEGABYTE, is_text=is_text, width=size[0], height=size[1])
    assert measure(content).is_isolated
    assert open_photo(content).pixels(64).shape[2] == 3
    assert measure(bombs.encoded(bombs.noise(400), "PNG")).cost.is_quick


def test_fill_bytes_that_lead_to_no_marker_are_passed_once():
    """A reader that tries each of them as the beginning of a marker needs hours."""
    fill = b"\xff" * MEGABYTE + b"\0"
    with pytest.raises(ImageTooLarge):
        measure(b"\xff\xd8" + fill)
    content = bombs.encoded(bombs.plain(64, 64), "JPEG")
    pixels = open_photo(content[:-2] + fill + content[-2:]).pixels(64)
    assert pixels.shape == (64, 64, 3)
    with pytest.raises(DamagedImage):
        open_photo(content[:-40] + fill).pixels(64)


def test_a_jpeg_is_decoded_whatever_its_sampling_is_called():
    assert open_photo(bombs.jpeg_odd_sampling()).pixels(64).shape == (64, 64, 3)


@pytest.mark.parametrize("form", ["WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_formats_with_large_decoders_are_decoded_in_a_process_of_their_own(form):
    assert measure(bombs.encoded(bombs.plain(64, 64), form)).is_isolated


def test_the_wire_and_the_header_must_agree_on_the_size():
    """Two frames, of which readers of headers see one and the decoder the other."""
    content = bombs.encoded(bombs.plain(64, 64), "JPEG")
    frame = content.index(b"\xff\xc0")
    end = frame + 2 + int.from_bytes(content[frame + 2 : frame + 4], "big")
    other = bombs.jpeg_with_size(8_000, 8_000, content)[frame:end]
    with pytest.raises(DamagedImage):
        open_photo(content[:frame] + other + content[frame:]).pixels(64)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(lambda: bombs.with_lying_size(bombs.heic(64), 5712, 4284), id="HEIC, a phone's 24 megapixels"),
        pytest.param(lambda: bombs.with_lying_size(bombs.heic(64), 6048, 8064), id="HEIC, a phone's 48 megapixels"),
        pytest.param(lambda: bombs.with_lying_size(bombs.heic(64), 8160, 6120), id="HEIC, a phone's 50 megapixels"),
        pytest.param(lambda: bombs.with_lying_size(bombs.avif_plain(64), 5712, 4284), id="AVIF"),
        pytest.param(lambda: bombs.webp_canvas(5712, 4284), id="WebP"),
    ],
)
def test_sizes_that_phones_make_are_accepted(content):
    assert measure(content()).width in (5712, 6048, 8160)


def test_a_format_that_takes_more_memory_says_that_a_jpeg_may_have_more_pixels():
    sentence = r"16320 x 12240 pixels; export it as JPEG, which may have more: as HEIC at most 59,\d+,\d+ are accepted"
    with pytest.raises(ImageTooLarge, match=sentence):
        measure(bombs.with_lying_size(bombs.heic(64), 16_320, 12_240))


@pytest.mark.parametrize(("colour", "most"), [(0, 89_000_000), (2, 62_128_960), (6, 62_128_960)])
def test_a_png_may_have_as_many_pixels_as_fit_into_memory_and_more_as_a_jpeg(colour, most):
    side = isqrt(most)
    assert measure(bombs.with_lying_size(bombs.png(64, 64, 8, colour), side, side))
    advice = "" if colour == 0 else "export it as JPEG, which may have more: as PNG "
    with pytest.raises(ImageTooLarge, match=rf"; {advice}at most {most:,} are accepted"):
        measure(bombs.with_lying_size(bombs.png(64, 64, 8, colour), side + 1, side + 1))


@pytest.mark.slow
def test_a_photo_for_which_libheif_finds_no_memory_is_too_large_and_not_damaged():
    photo = open_photo(bombs.heic(4000, chroma=444), Limits(max_memory=97_000_000))
    with pytest.raises(ImageTooLarge) as refused:
        photo.pixels(sys.maxsize)
    assert refused.value.limit == "memory"


def test_a_tiff_for_whose_only_strip_there_is_no_memory_is_too_large_and_not_damaged():
    with pytest.raises(ImageTooLarge) as refused:
        open_photo(bombs.tiff_of_one_strip(6_400)).pixels(sys.maxsize)
    assert refused.value.limit == "memory"


def test_limits_follow_the_operator(tmp_path):
    content = bombs.encoded(bombs.plain(64, 64), "WEBP")
    with pytest.raises(ImageTooLarge, match="64 x 64"):
        measure(content, Limits(max_memory=64 * 64))


class SlowPool:
    """Decodes any photo of 2000 x 1000 pixels in 0.9 s, and keeps what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, float]] = []

    def prepare(self) -> None:
        """Nothing has to be started."""

    def decode(self, _content, long_side, limits, _memory):
        self.asked.append((long_side, round(limits.max_seconds, 2)))
        width = long_side or 2000
        return Decoded((2000, 1000), 1, 0.9), np.zeros((max(1, width // 2), width, 3), np.uint8)


def test_a_photo_has_one_limit_of_time_however_often_it_is_decoded(monkeypatch):
    pool = SlowPool()
    monkeypatch.setattr(decode, "POOL", pool)
    content = bombs.encoded(bombs.plain(2000, 1000), "JPEG", progressive=True)
    photo = open_photo(content[:2] + b"\xff\xe5\0\2" * 200 + content[2:])
    for long_side in (photo.width // 4, 1000, 2000):
        photo.pixels(long_side)
    assert photo.is_isolated
    assert pool.asked == [(1, 1.7), (0, 0.8)]


@pytest.mark.parametrize("segments", [0, 200], ids=["by the server", "by a process of its own"])
def test_a_jpeg_that_has_to_be_mended_is_decoded_once(segments):
    content = bombs.jpeg_damaged_late(bombs.noise(640))
    photo = open_photo(content[:2] + b"\xff\xe5\0\2" * segments + content[2:])
    assert photo.is_isolated == bool(segments)
    pixels = photo.pixels(100)
    assert pixels.shape == (640, 640, 3)
    assert all(photo.pixels(long_side) is pixels for long_side in (80, 320, 640))
