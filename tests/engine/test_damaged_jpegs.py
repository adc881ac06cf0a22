"""JPEGs as phones, cameras, copies and cut connections leave them."""

from __future__ import annotations

import re
import struct
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from mien.domain.errors import DamagedImage, ImageTooLarge
from mien.engine.decode import Limits, measure, open_photo
from mien.engine.inspection import MAX_SCANS
from tests.support.painter import landscape, paint

BASELINE, PROGRESSIVE = {"quality": 90}, {"quality": 90, "progressive": True}
KINDS = pytest.mark.parametrize("options", [BASELINE, PROGRESSIVE], ids=["baseline", "progressive"])


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return paint("Ada", "Grace", size=(640, 480))


def decoded(content: bytes, limits: Limits = Limits()) -> np.ndarray:  # noqa: B008 (frozen)
    photo = open_photo(content, limits)
    return photo.pixels(max(photo.width, photo.height))


def difference(content: bytes, picture: Image.Image) -> float:
    pixels = decoded(content)
    assert pixels.shape == (picture.height, picture.width, 3)
    return float(np.abs(pixels.astype(float) - np.asarray(picture.convert("RGB"))).mean())


def scan_header_end(content: bytes, start: int) -> int:
    return start + 2 + struct.unpack(">H", content[start + 2 : start + 4])[0]


def with_scan_bytes(content: bytes, three: bytes) -> bytes:
    """As Samsung's cameras write the last bytes of the scan header: 0, 0, 0."""
    end = scan_header_end(content, content.index(b"\xff\xda"))
    return content[: end - 3] + three + content[end:]


def inserted(content: bytes, marker: bytes, extra: bytes) -> bytes:
    place = content.index(marker)
    return content[:place] + extra + content[place:]


@pytest.mark.parametrize("three", [b"\0\0\0", b"\0\x3f\x01", b"\x01\x3f\0", b"\0\0\x10"])
def test_a_scan_header_with_odd_parameters_does_no_harm(picture, encode, three):
    assert difference(with_scan_bytes(encode(picture, "JPEG", **BASELINE), three), picture) < 6


def test_a_progressive_photo_with_an_odd_first_scan_is_taken(picture, encode):
    decoded(with_scan_bytes(encode(picture, "JPEG", **PROGRESSIVE), b"\0\0\0"))


@KINDS
@pytest.mark.parametrize("end", [b"", b"\xff", b"\0\0", b"\xff\x77", b"\xff\xff", b"garbage" * 40, b"\xff\xd8\xff\xe1"])
def test_a_photo_without_its_end_marker_is_taken(picture, encode, options, end):
    assert difference(encode(picture, "JPEG", **options)[:-2] + end, picture) < 6


@KINDS
@pytest.mark.parametrize("more", [b"\0" * 999, b"\xff\xd8\xff\xe0", b"MotionPhoto_Data" * 99])
def test_bytes_after_the_end_do_no_harm(picture, encode, options, more):
    assert difference(encode(picture, "JPEG", **options) + more, picture) < 6


def test_the_video_behind_a_photo_of_a_phone_counts_as_no_scan(picture, encode):
    video = np.random.default_rng(7).integers(0, 256, 9_000_000, dtype=np.uint8).tobytes()
    assert video.count(b"\xff\xda") > MAX_SCANS
    content = encode(picture, "JPEG", **BASELINE)
    assert difference(content + video, picture) < 6
    assert measure(content + video).cost.is_ordinary


@KINDS
@pytest.mark.parametrize("marker", [b"\xff\xdb", b"\xff\xc4", b"\xff\xda", b"\xff\xd9"])
@pytest.mark.parametrize("extra", [b"\0", b"\0\0\0", b"junk", b"\xff\xff\xff"])
def test_bytes_before_a_marker_do_no_harm(picture, encode, options, marker, extra):
    assert difference(inserted(encode(picture, "JPEG", **options), marker, extra), picture) < 6


@pytest.mark.parametrize("major", [0, 2, 9, 255])
def test_an_unknown_version_of_jfif_does_no_harm(picture, encode, major):
    content = bytearray(encode(picture, "JPEG", **BASELINE))
    content[content.index(b"JFIF") + 5] = major
    assert difference(bytes(content), picture) < 6


@pytest.mark.parametrize("transform", [1, 3, 200])
def test_an_unknown_transform_of_adobe_does_no_harm(picture, encode, transform):
    adobe = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform])
    assert difference(inserted(encode(picture, "JPEG", **BASELINE), b"\xff\xdb", adobe), picture) < 6


@pytest.mark.parametrize("percent", [95, 80, 70])
def test_a_photo_that_lacks_little_is_taken(picture, encode, percent):
    content = encode(picture, "JPEG", **BASELINE)
    pixels = decoded(content[: len(content) * percent // 100])
    rows = picture.height * percent // 100 - 40
    assert np.abs(pixels[:rows].astype(float) - np.asarray(picture)[:rows]).mean() < 6
    assert (pixels[-8:] == 128).all()


@pytest.mark.parametrize("percent", [60, 50, 30, 10, 2])
@pytest.mark.parametrize("samsung", [False, True])
def test_a_photo_that_lacks_much_is_refused(picture, encode, percent, samsung):
    content = encode(picture, "JPEG", **BASELINE)
    content = with_scan_bytes(content, b"\0\0\0") if samsung else content
    with pytest.raises(DamagedImage, match=r"cut short\.$"):
        decoded(content[: len(content) * percent // 100])


@pytest.mark.parametrize("percent", [95, 80])
def test_a_progressive_photo_without_its_last_scans_is_taken(picture, encode, percent):
    content = encode(picture, "JPEG", **PROGRESSIVE)
    assert difference(content[: len(content) * percent // 100], picture) < 12


@pytest.mark.parametrize("scans", [1, 2])
def test_a_progressive_photo_without_detail_is_refused(picture, encode, scans):
    content = encode(picture, "JPEG", **PROGRESSIVE)
    starts = [found.start() for found in re.finditer(rb"\xff\xda", content)]
    for end in (starts[scans] - 40, starts[scans - 1] + 30):
        with pytest.raises(DamagedImage):
            decoded(content[:end])


def test_at_every_scale_the_same_photos_are_refused(picture, encode):
    content = encode(picture, "JPEG", **BASELINE)
    for percent, is_taken in ((80, True), (50, False)):
        photo = open_photo(content[: len(content) * percent // 100])
        for long_side in (640, 320, 80):
            if is_taken:
                photo.pixels(long_side)
            else:
                with pytest.raises(DamagedImage):
                    photo.pixels(long_side)


@pytest.fixture(scope="module")
def with_restarts(picture, encode) -> tuple[bytes, list[int]]:
    content = encode(picture, "JPEG", quality=90, restart_marker_rows=2)
    return content, [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", content)]


@pytest.mark.parametrize("damage", ["another number", "no marker", "cut out", "twice", "segment lost"])
def test_a_damaged_restart_marker_costs_its_rows_only(picture, with_restarts, damage):
    content, places = with_restarts
    here, following = places[4], places[5]
    damaged = {
        "another number": content[: here + 1] + b"\xd0" + content[here + 2 :],
        "no marker": content[:here] + b"\0\0" + content[here + 2 :],
        "cut out": content[:here] + content[here + 2 :],
        "twice": content[:here] + content[here : here + 2] + content[here:],
        "segment lost": content[:here] + content[following:],
    }[damage]
    pixels = decoded(damaged)
    rows = picture.height * 4 // (len(places) + 1) - 40
    assert np.abs(pixels[:rows].astype(float) - np.asarray(picture)[:rows]).mean() < 6


def test_most_of_the_restart_segments_are_needed(with_restarts):
    content, places = with_restarts
    with pytest.raises(DamagedImage):
        decoded(content[: places[2]] + content[places[-3] :])


@pytest.mark.parametrize(("percent", "is_taken"), [(90, True), (60, True), (5, False)])
def test_invalid_data_counts_as_missing_from_there_on(picture, encode, percent, is_taken):
    content = encode(picture, "JPEG", **PROGRESSIVE)
    place = len(content) * percent // 100
    damaged = content[:place] + b"\xff\0" * 200 + content[place:]
    if is_taken:
        assert difference(damaged, picture) < 20
    else:
        with pytest.raises(DamagedImage):
            decoded(damaged)


def test_a_photo_of_four_colours_without_its_end_is_taken(picture, encode):
    content = encode(picture.convert("CMYK"), "JPEG", quality=90)
    assert difference(content[:-2], picture) < 6
    with pytest.raises(DamagedImage):
        decoded(content[: len(content) // 2])


@pytest.mark.parametrize("segment", [b"\xff\xfe\0\2", b"\xff\xda\0\2", b"\xff\xc0\0\2", b"\xff\xdb\0\0"])
def test_a_file_of_nothing_but_segments_is_refused(segment):
    with pytest.raises((DamagedImage, ImageTooLarge)):
        decoded(b"\xff\xd8" + segment * 50_000)


def test_a_picture_that_is_grey_itself_is_taken(encode):
    grey = Image.new("RGB", (320, 240), (128, 128, 128))
    assert difference(encode(grey, "JPEG"), grey) < 1


@pytest.fixture(scope="module")
def large(encode) -> Image.Image:
    return landscape(1200, 900, 1)


def test_a_jpeg_is_judged_by_the_scale_at_which_it_is_decoded(large, encode):
    content = encode(large, "JPEG")
    photo = open_photo(content, Limits(max_pixels=1200 * 900 // 2))
    assert (photo.width, photo.height) == (1200, 900)
    assert photo.pixels(1200).shape == (563, 750, 3), "five eighths are the largest scale within the limit"
    assert photo.pixels(300).shape == (563, 750, 3)
    assert photo.rotated(90).pixels(1200).shape == (750, 563, 3)
    with pytest.raises(ImageTooLarge, match="1200 x 900"):
        open_photo(content, Limits(max_pixels=1200 * 900 // 4 - 1))


@pytest.mark.parametrize(
    ("form", "options"),
    [("JPEG", {"progressive": True}), ("PNG", {}), ("WEBP", {})],
)
def test_what_needs_memory_for_the_whole_picture_is_judged_by_its_full_size(large, encode, form, options):
    with pytest.raises(ImageTooLarge, match="1200 x 900"):
        open_photo(encode(large, form, **options), Limits(max_pixels=1200 * 900 - 1))


def test_a_jpeg_of_four_colours_is_judged_by_its_full_size(large, encode):
    with pytest.raises(ImageTooLarge, match="1200 x 900"):
        open_photo(encode(large.convert("CMYK"), "JPEG"), Limits(max_pixels=1200 * 900 - 1))


@pytest.mark.parametrize(("size", "is_taken"), [((12000, 9000), True), ((16320, 12240), True), ((30000, 30000), False)])
def test_the_photos_of_large_sensors_are_taken(encode, size, is_taken):
    tiny = encode(Image.new("RGB", (16, 16), "white"), "JPEG")
    frame = tiny.index(b"\xff\xc0")
    content = tiny[: frame + 5] + struct.pack(">HH", size[1], size[0]) + tiny[frame + 9 :]
    if is_taken:
        assert measure(content).width == size[0]
    else:
        with pytest.raises(ImageTooLarge):
            measure(content)


@pytest.mark.parametrize("how", ["cut off", "invalid"])
def test_a_repair_takes_no_more_memory_than_was_reserved(encode, how):
    whole = encode(landscape(2400, 1600), "JPEG", quality=90)
    place = len(whole) * 4 // 5
    content = whole[:place] if how == "cut off" else whole[:place] + b"\xff\0" * 200 + whole[place:]
    reserved, photo = measure(content).cost.memory, open_photo(content)
    tracemalloc.start()
    try:
        pixels = photo.pixels(2400)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert not photo.is_isolated
    assert pixels.nbytes <= peak <= reserved


@pytest.mark.parametrize("options", [BASELINE, PROGRESSIVE], ids=["baseline", "progressive"])
def test_a_photo_of_four_colours_that_was_cut_off_fits_into_its_memory(encode, options):
    content = encode(landscape(1200, 800).convert("CMYK"), "JPEG", **options)
    assert open_photo(content[: len(content) * 9 // 10]).pixels(1200).shape == (800, 1200, 3)
