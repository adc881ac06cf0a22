"""Arrange annotated photos as a contact sheet: rows of tiles of one size, each with a caption below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image, ImageDraw

from mien.annotate.annotate import annotate
from mien.annotate.labels import Label, font
from mien.domain.faces import Box

TILE_SIZE = (440, 550)
MARGIN = 28
CAPTION_HEIGHT = 76
TITLE_HEIGHT = 92
CORNER_RADIUS = 28
TITLE_SIZE, CAPTION_SIZE, DETAIL_SIZE = 34, 21, 18
"""Pixels of letters."""

GROUND, TEXT, SOFT_TEXT = "#101414", "#e8efee", "#a3b3b1"
LETTER_SCALE = 1.45
FACE_SHARE = 0.34
"""Of a tile's height, for all faces together, where the photo has room around them."""

HEADROOM = 0.42
"""Where the middle of the faces lies, from the top of the tile."""

View = tuple[int, int, int, int]
"""Left, top, right, bottom in photo pixels; may reach beyond the photo."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A photo on the sheet.

    Attributes:
        photo: upright.
        labels: of its faces; boxes in fractions of the photo.
        caption: the line below it.
        detail: a second, quieter line.
    """

    photo: Image.Image
    labels: tuple[Label, ...]
    caption: str
    detail: str = ""


def contact_sheet(title: str, tiles: Sequence[Tile], columns: int = 3) -> Image.Image:
    """Draw all tiles, in rows of at most `columns`, below a title."""
    columns = max(1, min(columns, len(tiles)))
    rows = -(-len(tiles) // columns)
    cell = (TILE_SIZE[0] + MARGIN, TILE_SIZE[1] + CAPTION_HEIGHT)
    sheet = Image.new("RGB", (cell[0] * columns + MARGIN, cell[1] * rows + TITLE_HEIGHT), GROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, TITLE_HEIGHT / 2), title, fill=TEXT, font=font(title, TITLE_SIZE), anchor="lm")
    for number, tile in enumerate(tiles):
        left, top = MARGIN + number % columns * cell[0], TITLE_HEIGHT + number // columns * cell[1]
        sheet.paste(_image(tile), (left, top), _rounded_corners())
        _write_captions(draw, left, top + TILE_SIZE[1] + 12, tile)
    return sheet


def _write_captions(draw: ImageDraw.ImageDraw, left: int, top: int, tile: Tile) -> None:
    draw.text((left, top), tile.caption, fill=TEXT, font=font(tile.caption, CAPTION_SIZE))
    draw.text((left, top + 27), tile.detail, fill=SOFT_TEXT, font=font(tile.detail, DETAIL_SIZE))


def _image(tile: Tile) -> Image.Image:
    view = _view(tile.photo.size, [label.box for label in tile.labels])
    part = Image.new("RGB", (view[2] - view[0], view[3] - view[1]), GROUND)
    part.paste(tile.photo, (-view[0], -view[1]))
    labels = [_in_view(label, view, tile.photo.size) for label in tile.labels]
    image = annotate(part.resize(TILE_SIZE, Image.Resampling.LANCZOS), labels, LETTER_SCALE)
    return image.resize(TILE_SIZE, Image.Resampling.LANCZOS)


def _view(photo: tuple[int, int], boxes: Sequence[Box]) -> View:
    """Choose a part of the tile's shape around all faces, or the whole photo with bars if they do not fit in one."""
    width, height = photo
    shape = TILE_SIZE[0] / TILE_SIZE[1]
    left, top, right, bottom = _bounds(photo, boxes)
    view_height = min(height, width / shape, max((bottom - top) / FACE_SHARE, (right - left) / FACE_SHARE / shape))
    if right - left > view_height * shape or bottom - top > view_height:
        view_height = max(height, width / shape)
    x = _keep_inside((left + right - view_height * shape) / 2, width - view_height * shape)
    y = _keep_inside((top + bottom) / 2 - view_height * HEADROOM, height - view_height)
    return round(x), round(y), round(x + view_height * shape), round(y + view_height)


def _bounds(photo: tuple[int, int], boxes: Sequence[Box]) -> tuple[float, float, float, float]:
    """All faces together, in photo pixels; the whole photo without faces."""
    width, height = photo
    boxes = boxes or [Box(0, 0, 1, 1)]
    return (
        min(box.left for box in boxes) * width,
        min(box.top for box in boxes) * height,
        max(box.left + box.width for box in boxes) * width,
        max(box.top + box.height for box in boxes) * height,
    )


def _keep_inside(start: float, room: float) -> float:
    """Move the start of the view into the photo; centre the photo if the view is larger (`room` is negative)."""
    return room / 2 if room < 0 else max(0.0, min(start, room))


def _in_view(label: Label, view: View, photo: tuple[int, int]) -> Label:
    """The label with its box in fractions of the view instead of the photo."""
    width, height = view[2] - view[0], view[3] - view[1]
    box = Box(
        (label.box.left * photo[0] - view[0]) / width,
        (label.box.top * photo[1] - view[1]) / height,
        label.box.width * photo[0] / width,
        label.box.height * photo[1] / height,
    )
    return replace(label, box=box)


def _rounded_corners() -> Image.Image:
    mask = Image.new("L", (TILE_SIZE[0] * 2, TILE_SIZE[1] * 2))
    corners = (0, 0, mask.width - 1, mask.height - 1)
    ImageDraw.Draw(mask).rounded_rectangle(corners, CORNER_RADIUS, fill=255)
    return mask.resize(TILE_SIZE, Image.Resampling.BOX)
