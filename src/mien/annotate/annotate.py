"""Image bytes -> an upright Pillow image, read by the engine's own decoder and under its limits.

A photo and labels -> the photo with frames and name tags, legible on white, black and busy ground.

Lines and letters grow with the photo; a small photo is enlarged, since names need pixels. Every light
line has a dark rim, and every tag a ground of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from mien.annotate.label_layout import Rect, place
from mien.annotate.outline import Label, can_write, font, frame
from mien.domain.faces import Box
from mien.engine.decode import open_photo


def open_upright(image: bytes, long_side: int | None = None) -> Image.Image:
    """The photo in RGB, EXIF applied; `long_side`: not much larger than needed for so many pixels.

    Raises ImageError leaves.
    """
    photo = open_photo(image)
    return Image.fromarray(photo.pixels(long_side or max(photo.width, photo.height)))


LEAST_SIDE = 720
LEAST_LETTERS = 9
INK = "#06201d"
RIM = (0, 0, 0, 150)


def annotate(photo: Image.Image, labels: Sequence[Label], lettering: float = 1.0) -> Image.Image:
    """A new picture; the photo itself is left as it is. `lettering`: letters and lines larger by a factor."""
    picture = _enlarged(photo).convert("RGB")
    letters = max(13, round(min(picture.size) / 32 * lettering))
    boxes = [_pixels(label.box, picture) for label in labels]
    tags = [_tag(label, letters, number, picture.width) for number, label in enumerate(labels, 1)]
    spots = place(boxes, [(tag.width, tag.height) for tag in tags], picture.size, letters / 4)
    for label, box in zip(labels, boxes, strict=True):
        _draw_frame(picture, label, box, letters / 6)
    for label, box, tag, spot in zip(labels, boxes, tags, spots, strict=True):
        _draw_leader(picture, label, box, spot, letters / 6)
        picture.paste(tag, (round(spot[0]), round(spot[1])), tag)
    return picture


def _enlarged(photo: Image.Image) -> Image.Image:
    scale = LEAST_SIDE / max(photo.size)
    if scale <= 1:
        return photo
    return photo.resize((round(photo.width * scale), round(photo.height * scale)), Image.Resampling.LANCZOS)


def _pixels(box: Box, picture: Image.Image) -> Rect:
    left, top = max(0.0, box.left), max(0.0, box.top)
    right, bottom = min(1.0, box.left + box.width), min(1.0, box.top + box.height)
    width, height = picture.size
    return (left * width, top * height, right * width, bottom * height)


def _draw_frame(picture: Image.Image, label: Label, box: Rect, line: float) -> None:
    rim = max(1.0, line / 3)
    size = (max(4, round(box[2] - box[0])), max(4, round(box[3] - box[1])))
    grown = (size[0] + 2 * round(rim), size[1] + 2 * round(rim))
    at = (round(box[0]), round(box[1]))
    around = (at[0] - round(rim), at[1] - round(rim))
    shade = frame(grown, line + 2 * rim, None).point(lambda value: value * RIM[3] // 255)
    picture.paste(RIM[:3], around, shade)
    picture.paste(label.style.colour, at, frame(size, line, label.style.dashes))


def _draw_leader(picture: Image.Image, label: Label, box: Rect, spot: Rect, line: float) -> None:
    """A line from a tag that had to move away to its face."""
    start = (_nearest((spot[0] + spot[2]) / 2, box[0], box[2]), _nearest((spot[1] + spot[3]) / 2, box[1], box[3]))
    end = (_nearest(start[0], spot[0], spot[2]), _nearest(start[1], spot[1], spot[3]))
    if abs(start[0] - end[0]) + abs(start[1] - end[1]) > spot[3] - spot[1]:
        draw = ImageDraw.Draw(picture)
        draw.line((start, end), fill=RIM[:3], width=round(line * 1.6))
        draw.line((start, end), fill=label.style.colour, width=max(1, round(line * 0.8)))


def _nearest(value: float, low: float, high: float) -> float:
    return max(low, min(value, high))


def _tag(label: Label, letters: int, number: int, widest: int) -> Image.Image:
    """A pill with the text; with the face's number when no installed font can write the text."""
    name = label.text if can_write(label.text) else f"face {number}"
    text = f"{name}  {label.note}".rstrip()
    while font(text, letters).getlength(text) + 1.2 * letters > widest and letters > LEAST_LETTERS:
        letters -= 1
    face = font(text, letters)
    height, width = round(letters * 1.6), round(face.getlength(text) + letters * 1.2)
    tag = Image.new("RGBA", (width, height))
    draw = ImageDraw.Draw(tag)
    draw.rounded_rectangle((0, 0, width - 1, height - 1), height / 3, fill=label.style.colour, outline=RIM)
    draw.text((letters * 0.6, height / 2), text, fill=INK, font=face, anchor="lm")
    return tag
