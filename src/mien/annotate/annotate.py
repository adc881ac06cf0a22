"""Draw outlines and name tags on a photo, legible on white, black and busy ground.

Lines and letters grow with the photo; a small photo is enlarged, since names need pixels. Every light line has a dark
rim, and every tag a ground of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from PIL import Image, ImageDraw

from mien.annotate.labels import Label, Rect, can_write, font, place_tags
from mien.domain.faces import Box
from mien.engine.decode import admitted_photo

XY = tuple[float, float]

MIN_LONG_SIDE = 720
"""Pixels to which a smaller photo is enlarged."""

MIN_LETTER_SIZE = 9
TEXT_COLOUR = "#06201d"
RIM_COLOUR = (0, 0, 0, 150)
CORNER_RADIUS = 0.12
"""Of an outline, as a share of its shorter side."""

OVERSAMPLING = 3
"""Pixels in each direction that are averaged to a smooth one."""


def open_upright(image: bytes, long_side: int | None = None) -> Image.Image:
    """Decode a photo as the engine does and under its limits.

    Args:
        image: an image file.
        long_side: pixels of the longer side that are needed; None for full size. The result may be larger.

    Returns:
        RGB, EXIF orientation applied.

    Raises:
        ImageError: EmptyImage, UnsupportedImage, DamagedImage, ImageTooLarge or ImageTooSmall.
    """
    with admitted_photo(image) as photo:
        return Image.fromarray(photo.pixels(long_side or max(photo.width, photo.height)))


def annotate(photo: Image.Image, labels: Sequence[Label], letter_scale: float = 1.0) -> Image.Image:
    """Draw labels on a copy of a photo.

    Args:
        photo: upright.
        labels: boxes in fractions of the photo.
        letter_scale: factor of the size of letters and lines.

    Returns:
        RGB, of the photo's size or enlarged.
    """
    image = _enlarge(photo).convert("RGB")
    letter_size = max(13, round(min(image.size) / 32 * letter_scale))
    line_width = letter_size / 6
    boxes = [_to_pixels(label.box, image) for label in labels]
    tags = [
        _draw_tag(label, number, letter_size, image.width, is_alone=len(labels) == 1)
        for number, label in enumerate(labels, 1)
    ]
    places = place_tags(boxes, [(tag.width, tag.height) for tag in tags], image.size, letter_size / 4)
    for label, box in zip(labels, boxes, strict=True):
        _draw_outline(image, label, box, line_width)
    for label, box, tag, place in zip(labels, boxes, tags, places, strict=True):
        _draw_leader(image, label, box, place, line_width)
        image.paste(tag, (round(place[0]), round(place[1])), tag)
    return image


def _enlarge(photo: Image.Image) -> Image.Image:
    scale = MIN_LONG_SIDE / max(photo.size)
    if scale <= 1:
        return photo
    return photo.resize((round(photo.width * scale), round(photo.height * scale)), Image.Resampling.LANCZOS)


def _to_pixels(box: Box, image: Image.Image) -> Rect:
    left, top = max(0.0, box.left), max(0.0, box.top)
    right, bottom = min(1.0, box.left + box.width), min(1.0, box.top + box.height)
    width, height = image.size
    return (left * width, top * height, right * width, bottom * height)


def _draw_outline(image: Image.Image, label: Label, box: Rect, line_width: float) -> None:
    rim = max(1.0, line_width / 3)
    size = (max(4, round(box[2] - box[0])), max(4, round(box[3] - box[1])))
    size_with_rim = (size[0] + 2 * round(rim), size[1] + 2 * round(rim))
    corner = (round(box[0]), round(box[1]))
    corner_with_rim = (corner[0] - round(rim), corner[1] - round(rim))
    shade = _outline_mask(size_with_rim, line_width + 2 * rim, None).point(lambda value: value * RIM_COLOUR[3] // 255)
    image.paste(RIM_COLOUR[:3], corner_with_rim, shade)
    image.paste(label.style.colour, corner, _outline_mask(size, line_width, label.style.dashes))


def _outline_mask(size: tuple[int, int], line_width: float, dashes: tuple[float, float] | None) -> Image.Image:
    """Mask ("L") of a rounded rectangle along the edge; `dashes` in multiples of the line's width."""
    canvas = Image.new("L", (size[0] * OVERSAMPLING, size[1] * OVERSAMPLING))
    draw = ImageDraw.Draw(canvas)
    line = line_width * OVERSAMPLING
    path = _rounded_rectangle(canvas.width - 1, canvas.height - 1, line)
    strokes = [path] if dashes is None else _dash(path, dashes[0] * line, dashes[1] * line)
    for stroke in strokes:
        draw.line(stroke, fill=255, width=round(line), joint="curve")
    return canvas.resize(size, Image.Resampling.BOX)


def _rounded_rectangle(width: float, height: float, line: float) -> list[XY]:
    """A closed path along the middle of the line, in steps of at most half the line's width."""
    inset = line / 2
    radius = min(width, height) * CORNER_RADIUS
    centres = ((width - radius, radius), (width - radius, height - radius), (radius, height - radius), (radius, radius))
    path = [
        (x + (radius - inset) * math.sin(angle), y - (radius - inset) * math.cos(angle))
        for quarter, (x, y) in enumerate(centres)
        for angle in (math.pi / 2 * (quarter + step / 12) for step in range(13))
    ]
    return list(_subdivide([*path, path[0], path[1]], line / 2))


def _subdivide(path: Sequence[XY], step: float) -> Iterator[XY]:
    for (x, y), (to_x, to_y) in pairwise(path):
        pieces = max(1, math.ceil(math.hypot(to_x - x, to_y - y) / step))
        yield from ((x + (to_x - x) * i / pieces, y + (to_y - y) * i / pieces) for i in range(pieces))


def _dash(path: Sequence[XY], dash: float, gap: float) -> Iterator[list[XY]]:
    stroke: list[XY] = []
    travelled = 0.0
    for start, end in pairwise(path):
        if travelled % (dash + gap) <= dash:
            stroke.append(start)
        elif stroke:
            yield stroke
            stroke = []
        travelled += math.dist(start, end)
    if stroke:
        yield stroke


def _draw_leader(image: Image.Image, label: Label, box: Rect, tag: Rect, line_width: float) -> None:
    """Draw a line to the face from a tag that is further away than its own height."""
    start = (_clamp((tag[0] + tag[2]) / 2, box[0], box[2]), _clamp((tag[1] + tag[3]) / 2, box[1], box[3]))
    end = (_clamp(start[0], tag[0], tag[2]), _clamp(start[1], tag[1], tag[3]))
    if abs(start[0] - end[0]) + abs(start[1] - end[1]) > tag[3] - tag[1]:
        draw = ImageDraw.Draw(image)
        draw.line((start, end), fill=RIM_COLOUR[:3], width=round(line_width * 1.6))
        draw.line((start, end), fill=label.style.colour, width=max(1, round(line_width * 0.8)))


def _clamp(value: float, low: float, high: float) -> float:
    return max(low, min(value, high))


def _draw_tag(label: Label, number: int, letter_size: int, max_width: int, *, is_alone: bool) -> Image.Image:
    """Draw the text on a rounded ground, with the face's number unless it is alone in the photo.

    The number stands for a text that no installed font can write.
    """
    written = label.text if is_alone else f"{number}  {label.text}"
    name = written if can_write(label.text) else f"face {number}"
    text = f"{name}  {label.note}".rstrip()
    while font(text, letter_size).getlength(text) + 1.2 * letter_size > max_width and letter_size > MIN_LETTER_SIZE:
        letter_size -= 1
    text_font = font(text, letter_size)
    height, width = round(letter_size * 1.6), round(text_font.getlength(text) + letter_size * 1.2)
    tag = Image.new("RGBA", (width, height))
    draw = ImageDraw.Draw(tag)
    draw.rounded_rectangle((0, 0, width - 1, height - 1), height / 3, fill=label.style.colour, outline=RIM_COLOUR)
    draw.text((letter_size * 0.6, height / 2), text, fill=TEXT_COLOUR, font=text_font, anchor="lm")
    return tag
