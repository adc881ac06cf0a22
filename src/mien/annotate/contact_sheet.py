"""Annotated photos -> one contact sheet: rows of tiles of one height, each with a caption below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from mien.annotate.annotate import annotate
from mien.annotate.outline import Label, font
from mien.domain.faces import Box

TILE = (440, 550)
MARGIN = 28
CAPTION = 76
TITLE = 92
View = tuple[int, int, int, int]
GROUND, TEXT, SOFT = "#101414", "#e8efee", "#a3b3b1"
LETTERING = 1.45
FACE_SHARE = 0.34  # of the tile's height, for the largest face, where the photo has room around it


@dataclass(frozen=True, slots=True)
class Tile:
    """A photo with its labels, a caption and a second, quieter line."""

    photo: Image.Image
    labels: tuple[Label, ...]
    caption: str
    detail: str = ""


def contact_sheet(title: str, tiles: Sequence[Tile], columns: int = 3) -> Image.Image:
    """All tiles in rows of at most `columns`."""
    columns = max(1, min(columns, len(tiles)))
    rows = -(-len(tiles) // columns)
    cell = (TILE[0] + MARGIN, TILE[1] + CAPTION)
    sheet = Image.new("RGB", (cell[0] * columns + MARGIN, cell[1] * rows + TITLE), GROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, TITLE / 2), title, fill=TEXT, font=font(title, 34), anchor="lm")
    for number, tile in enumerate(tiles):
        left, top = MARGIN + number % columns * cell[0], TITLE + number // columns * cell[1]
        sheet.paste(_picture(tile), (left, top), _corners())
        _write(draw, left, top + TILE[1] + 12, tile)
    return sheet


def _write(draw: ImageDraw.ImageDraw, left: int, top: int, tile: Tile) -> None:
    draw.text((left, top), tile.caption, fill=TEXT, font=font(tile.caption, 21))
    draw.text((left, top + 27), tile.detail, fill=SOFT, font=font(tile.detail, 18))


def _picture(tile: Tile) -> Image.Image:
    view = _view(tile.photo.size, [label.box for label in tile.labels])
    part = Image.new("RGB", (view[2] - view[0], view[3] - view[1]), GROUND)
    part.paste(tile.photo, (-view[0], -view[1]))
    labels = [_moved(label, view, tile.photo.size) for label in tile.labels]
    picture = annotate(part.resize(TILE, Image.Resampling.LANCZOS), labels, LETTERING)
    return picture.resize(TILE, Image.Resampling.LANCZOS)


def _view(photo: tuple[int, int], boxes: Sequence[Box]) -> View:
    """What to show of the photo: a part of the tile's shape around all faces, else the photo with bars."""
    width, height = photo
    shape = TILE[0] / TILE[1]
    left, top, right, bottom = _around(photo, boxes)
    tall = min(height, width / shape, max((bottom - top) / FACE_SHARE, (right - left) / FACE_SHARE / shape))
    if right - left > tall * shape or bottom - top > tall:
        tall = max(height, width / shape)
    x = _within((left + right - tall * shape) / 2, width - tall * shape)
    y = _within((top + bottom) / 2 - tall * 0.42, height - tall)
    return round(x), round(y), round(x + tall * shape), round(y + tall)


def _around(photo: tuple[int, int], boxes: Sequence[Box]) -> tuple[float, float, float, float]:
    """All faces together, in pixels; the whole photo when there is none."""
    width, height = photo
    boxes = boxes or [Box(0, 0, 1, 1)]
    return (
        min(box.left for box in boxes) * width,
        min(box.top for box in boxes) * height,
        max(box.left + box.width for box in boxes) * width,
        max(box.top + box.height for box in boxes) * height,
    )


def _within(value: float, room: float) -> float:
    """A place inside the photo; in the middle of the bars when the view is larger than the photo."""
    return room / 2 if room < 0 else max(0.0, min(value, room))


def _moved(label: Label, view: View, photo: tuple[int, int]) -> Label:
    """The label in fractions of the view instead of the photo."""
    across, down = view[2] - view[0], view[3] - view[1]
    box = Box(
        (label.box.left * photo[0] - view[0]) / across,
        (label.box.top * photo[1] - view[1]) / down,
        label.box.width * photo[0] / across,
        label.box.height * photo[1] / down,
    )
    return Label(box, label.text, label.note, label.style)


def _corners() -> Image.Image:
    mask = Image.new("L", (TILE[0] * 2, TILE[1] * 2))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, mask.width - 1, mask.height - 1), 28, fill=255)
    return mask.resize(TILE, Image.Resampling.BOX)
