"""The contact sheet shows every face that it names."""

from __future__ import annotations

import pytest
from PIL import Image, ImageDraw

from mien.annotate import Label, Tile, contact_sheet
from mien.annotate.contact_sheet import MARGIN, TILE_SIZE, TITLE_HEIGHT
from mien.annotate.labels import STYLES
from mien.domain.faces import Box
from mien.domain.records import RecognitionStatus

MATCHED = STYLES[RecognitionStatus.MATCHED]
SKIN = (200, 30, 90)


def portrait(size: tuple[int, int], box: Box) -> Image.Image:
    photo = Image.new("RGB", size, "white")
    left, top = box.left * size[0], box.top * size[1]
    ImageDraw.Draw(photo).rectangle((left, top, left + box.width * size[0], top + box.height * size[1]), fill=SKIN)
    return photo


@pytest.mark.parametrize("size", [(900, 2200), (2200, 900), (300, 300)])
@pytest.mark.parametrize("box", [Box(0.0, 0.0, 0.1, 0.05), Box(0.9, 0.9, 0.1, 0.1), Box(0.3, 0.2, 0.4, 0.3)])
def test_a_tile_shows_the_face(size, box):
    tile = Tile(portrait(size, box), (Label(box, "Ada", "", MATCHED),), "Ada")
    sheet = contact_sheet("One", [tile]).crop(
        (MARGIN, TITLE_HEIGHT, MARGIN + TILE_SIZE[0], TITLE_HEIGHT + TILE_SIZE[1])
    )
    assert _count(sheet) > 0.004 * TILE_SIZE[0] * TILE_SIZE[1]


def test_rows_are_filled_in_order():
    tile = Tile(Image.new("RGB", (100, 100), "white"), (), "a photo without faces", "photo.jpg")
    three, four = (contact_sheet("Photos", [tile] * count) for count in (3, 4))
    assert three.width == four.width
    assert four.height > three.height


def test_nobody_is_cut_off_a_wide_group():
    boxes = [Box(0.01, 0.3, 0.08, 0.4), Box(0.91, 0.3, 0.08, 0.4)]
    photo = portrait((1600, 700), boxes[0])
    photo.paste(portrait((1600, 700), boxes[1]).crop((800, 0, 1600, 700)), (800, 0))
    tile = Tile(photo, tuple(Label(box, "Ada", "", MATCHED) for box in boxes), "Two")
    left, right = (
        contact_sheet("One", [tile]).crop(
            (MARGIN + x, TITLE_HEIGHT, MARGIN + x + TILE_SIZE[0] // 2, TITLE_HEIGHT + TILE_SIZE[1])
        )
        for x in (0, TILE_SIZE[0] // 2)
    )
    assert min(_count(half) for half in (left, right)) > 100


def _count(image: Image.Image) -> int:
    near = (count for count, colour in image.getcolors(1 << 20) if _is_near(colour))
    return sum(near)


def _is_near(colour: tuple[int, int, int]) -> bool:
    return all(abs(a - b) < 12 for a, b in zip(colour, SKIN, strict=True))
