from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from io import BytesIO

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from mien.domain import image_types
from mien.domain.errors import DamagedImage, EmptyImage, ImageError, ImageTooLarge, ImageTooSmall, UnsupportedImage
from mien.engine.decode import OVERVIEW_SIDE, Limits, apply_exif_orientation, open_photo
from tests.hostile import bombs

FORMATS = ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "HEIF"]


def decoded(content: bytes) -> np.ndarray:
    photo = open_photo(content)
    pixels = photo.pixels(max(photo.width, photo.height))
    assert pixels.dtype == np.uint8
    assert pixels.shape == (photo.height, photo.width, 3)
    return pixels


def error(left: np.ndarray, right: Image.Image) -> float:
    return float(np.abs(left.astype(float) - np.asarray(right.convert("RGB"))).mean())


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_picture(scene, encode, form):
    if form == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    assert error(decoded(encode(scene, form)), scene) < 6


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "I;16"])
def test_every_colour_mode_gives_rgb(scene, encode, mode):
    if mode == "I;16":
        image = Image.fromarray(np.asarray(scene.convert("L")).astype(np.uint16) * 257)
        expected = scene.convert("L")
    else:
        image = scene.convert(mode)
        expected = image
    form = "JPEG" if mode == "CMYK" else "PNG"
    assert error(decoded(encode(image, form)), expected) < 6


def test_alpha_is_ignored(scene, encode):
    transparent = scene.copy()
    transparent.putalpha(0)
    assert error(decoded(encode(transparent, "PNG")), scene) == 0


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied(scene, encode, orientation, form):
    exif = Image.Exif()
    exif[0x0112] = orientation
    tagged = scene.copy()
    tagged.getexif()[0x0112] = orientation
    assert error(decoded(encode(scene, form, exif=exif)), ImageOps.exif_transpose(tagged)) < 6


def heic(image: Image.Image, **options: object) -> bytes:
    pytest.importorskip("pillow_heif").register_heif_opener()
    stream = BytesIO()
    image.save(stream, "HEIF", enc_params={"preset": "ultrafast"}, **options)
    return stream.getvalue()


def drawn(width: int, height: int) -> Image.Image:
    """Colours that tell every place: red grows to the right, green downwards; blue is above."""
    down = Image.linear_gradient("L").resize((width, height))
    across = Image.linear_gradient("L").rotate(90).resize((width, height))
    return Image.merge("RGB", (across, down, down.point(lambda value: 255 - value)))


@pytest.mark.parametrize("tile_size", [0, 64])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
def test_a_heic_is_decoded_in_tiles_and_in_one_piece_in_every_mode(mode, tile_size):
    image = drawn(202, 138).convert(mode)
    assert error(decoded(heic(image, tile_size=tile_size)), image) < 6


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_a_heic_is_applied_once(scene, orientation):
    tagged = scene.copy()
    tagged.getexif()[0x0112] = orientation
    exif = tagged.getexif().tobytes()
    assert error(decoded(heic(scene, exif=exif)), ImageOps.exif_transpose(tagged)) < 6


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height", "factor"), [(5712, 4284, 1), (6048, 8064, 2)])
def test_a_heic_as_large_as_phones_make_them_gives_the_picture(width, height, factor):
    image = drawn(width, height)
    photo = open_photo(heic(image, tile_size=512))
    pixels = photo.pixels(max(width, height))
    assert (photo.width, photo.height) == (width, height)
    assert pixels.shape == (height // factor, width // factor, 3)
    assert error(pixels, image.reduce(factor)) < 6


@pytest.mark.slow
@pytest.mark.parametrize("form", ["AVIF", "WEBP"])
def test_other_photos_of_24_megapixels_give_the_picture(encode, form):
    image = drawn(5712, 4284)
    options = {"AVIF": {"speed": 10}, "WEBP": {"method": 0}}[form]
    assert error(decoded(encode(image, form, **options)), image) < 6


def test_an_impossible_orientation_changes_nothing(scene):
    pixels = np.asarray(scene)
    assert np.array_equal(apply_exif_orientation(pixels, 77), pixels)


def test_a_jpeg_is_decoded_at_the_scale_that_is_asked_for(scene, encode):
    content = encode(scene.resize((1600, 1200)), "JPEG")
    photo = open_photo(content)
    assert photo.pixels(400).shape == (300, 400, 3)
    assert photo.pixels(700).shape == (600, 800, 3)
    assert photo.pixels(300).shape == (600, 800, 3), "the larger decoding is kept"
    assert photo.pixels(9999).shape == (1200, 1600, 3)


def test_only_the_first_picture_of_an_animation_counts(scene, encode):
    black = Image.new("RGB", scene.size)
    assert error(decoded(encode(scene, "WEBP", save_all=True, append_images=[black], lossless=True)), scene) == 0


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        (b"", EmptyImage),
        (b"This is a letter, not a photo.\n" * 9, UnsupportedImage),
        (b"%PDF-1.7 ...", UnsupportedImage),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", UnsupportedImage),
        (b"\xff\xd8\xff\xe0 no more", DamagedImage),
        (b"\x89PNG\r\n\x1a\n", DamagedImage),
    ],
)
def test_what_is_no_photo_is_refused_with_a_sentence(content, refusal):
    with pytest.raises(refusal, match=r"^The .*\.$"):
        open_photo(content)


def test_too_many_bytes_are_refused(scene, encode):
    with pytest.raises(ImageTooLarge, match="bytes"):
        open_photo(encode(scene, "PNG"), Limits(max_bytes=50))


def test_a_single_pixel_is_refused(encode):
    with pytest.raises(ImageTooSmall, match="1 x 1"):
        open_photo(encode(Image.new("RGB", (1, 1)), "PNG"))


def png_of(width: int, height: int) -> bytes:
    """A PNG that is a few kilobytes long and claims any size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [9_500, 30_000])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_decompression_bomb_is_refused_by_its_header(side):
    with pytest.raises(ImageTooLarge, match="pixels"):
        open_photo(png_of(side, side))


@pytest.mark.parametrize("form", ["PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"])
@pytest.mark.parametrize("tenth", range(1, 10))
def test_a_photo_cut_short_is_refused(scene, encode, form, tenth):
    content = encode(scene.resize((480, 320)), form)
    with pytest.raises((DamagedImage, UnsupportedImage)):
        decoded(content[: len(content) * tenth // 10])


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_mutated_photos_decode_or_are_refused(scene, encode, data):
    content = bytearray(encode(scene, data.draw(st.sampled_from(FORMATS[:7]))))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ImageError):
        photo = open_photo(bytes(content), Limits(max_pixels=1_000_000))
        assert photo.pixels(64).ndim == 3


@given(content=st.binary(max_size=200))
@settings(deadline=None)
def test_random_bytes_are_refused(content):
    with pytest.raises(ImageError):
        decoded(content)


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_whose_header_is_damaged_is_refused(scene, encode, form):
    content = encode(scene, form)
    with pytest.raises((DamagedImage, UnsupportedImage)):
        decoded(content[:12])


def test_an_icon_is_no_photo_to_enrol_and_none_to_read(scene, encode):
    icon = encode(scene, "ICO")
    for read in (decoded, image_types.sniff):
        with pytest.raises(UnsupportedImage, match=image_types.UNKNOWN_FORMAT):
            read(icon)


def test_a_tiff_for_large_files_is_a_photo_to_read_and_to_enrol(scene, encode):
    content = encode(scene, "TIFF", big_tiff=True)
    assert content[2:4] == b"+\0"
    assert error(decoded(content), scene) < 6
    assert image_types.sniff(content) == ("image/tiff", "tiff")


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_grey_tiff_of_16_bits_gives_the_picture_in_any_order_of_bytes(scene, encode, order):
    grey = scene.convert("L")
    image = Image.fromarray((np.asarray(grey).astype(np.uint16) * 257).astype(f"{order}u2"))
    content = encode(image, "TIFF")
    assert content.startswith(b"II" if order == "<" else b"MM")
    assert error(decoded(content), grey) < 2


@pytest.mark.parametrize(("size", "given"), [((2600, 3800), 3800), ((2700, 3800), OVERVIEW_SIDE), ((2500, 2500), 2500)])
def test_the_passes_of_a_large_photo_that_is_not_heavy_take_a_smaller_copy(size, given):
    photo = open_photo(bombs.png(*size, 1, 0))
    assert photo.cost.is_ordinary
    assert [max(photo.pixels(side).shape) for side in (640, 3800, 640)] == [given, max(size), given]
    assert max(photo.rotated(90).pixels(640).shape) == given


@pytest.mark.parametrize(("kind", "white"), [("u1", 255), ("<u2", 65535), (">u2", 65535), ("<f4", 1)])
def test_a_tiff_in_which_white_is_zero_gives_the_picture_and_not_its_negative(scene, encode, kind, white):
    grey = scene.convert("L")
    negative = Image.fromarray((white - np.asarray(grey) / 255 * white).astype(kind))
    colours = (">" if kind == ">u2" else "<") + "HHIH"
    black_is_zero, white_is_zero = (struct.pack(colours, 262, 3, 1, meaning) for meaning in (1, 0))
    content = encode(negative, "TIFF").replace(black_is_zero, white_is_zero)
    assert white_is_zero in content
    assert error(decoded(content), grey) < 2


def test_a_tiff_of_cielab_gives_the_picture(scene, encode):
    assert error(decoded(encode(scene.convert("LAB"), "TIFF")), scene) < 3


@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_whose_colours_lie_apart_gives_the_picture(scene, bits):
    width, height = scene.size
    planes = np.stack([np.asarray(plane) for plane in scene.split()])
    data = (planes if bits == 8 else planes.astype("<u2") * 257).tobytes()
    size, lists = len(data) // 3, 8 + len(data)
    data += struct.pack("<3H3I3I", *[bits] * 3, *(8 + size * plane for plane in range(3)), *[size] * 3)
    three = {"t258": 3, "t273": 4, "t279": 4}
    places = dict(zip(three, (lists, lists + 6, lists + 18), strict=True))
    more = {name: (kind, 3, struct.pack("<I", places[name])) for name, kind in three.items()}
    more |= {"t262": bombs.long(2), "t277": bombs.long(3), "t284": bombs.long(2)}
    assert error(decoded(bombs.tiff_picture(width, height, 1, data, **more)), scene) < 2


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0])
def test_a_tiff_of_fractions_gives_the_picture(scene, encode, white):
    grey = scene.convert("L")
    image = Image.fromarray((np.asarray(grey) / 255 * white).astype(np.float32))
    assert error(decoded(encode(image, "TIFF")), grey) < 2


def test_a_tiff_for_large_files_whose_directory_lies_beyond_all_files_is_damaged():
    with pytest.raises(DamagedImage):
        open_photo(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 2**64 - 1))


def test_an_empty_file_is_refused():
    with pytest.raises(EmptyImage):
        decoded(b"")
