"""A face's frame: a rounded rectangle, unbroken or dashed, as a smooth mask."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from PIL import Image, ImageDraw

SMOOTH = 3
XY = tuple[float, float]


def frame(size: tuple[int, int], width: float, dashes: tuple[float, float] | None) -> Image.Image:
    """A mask ("L") of `size` pixels with the frame at its edge; `dashes` in multiples of the line's width."""
    canvas = Image.new("L", (size[0] * SMOOTH, size[1] * SMOOTH))
    draw = ImageDraw.Draw(canvas)
    line = width * SMOOTH
    path = _outline(canvas.width - 1, canvas.height - 1, line)
    strokes = [path] if dashes is None else _dashes(path, dashes[0] * line, dashes[1] * line)
    for stroke in strokes:
        draw.line(stroke, fill=255, width=round(line), joint="curve")
    return canvas.resize(size, Image.Resampling.BOX)


def _outline(width: float, height: float, line: float) -> list[XY]:
    """A closed path along the middle of the line, in steps of at most a line's width."""
    inset = line / 2
    radius = min(width, height) * 0.12
    centres = ((width - radius, radius), (width - radius, height - radius), (radius, height - radius), (radius, radius))
    path = [
        (x + (radius - inset) * math.sin(turn), y - (radius - inset) * math.cos(turn))
        for quarter, (x, y) in enumerate(centres)
        for turn in (math.pi / 2 * (quarter + step / 12) for step in range(13))
    ]
    return list(_resampled([*path, path[0], path[1]], line / 2))


def _resampled(path: Sequence[XY], step: float) -> Iterator[XY]:
    for (x, y), (to_x, to_y) in pairwise(path):
        pieces = max(1, math.ceil(math.hypot(to_x - x, to_y - y) / step))
        yield from ((x + (to_x - x) * i / pieces, y + (to_y - y) * i / pieces) for i in range(pieces))


def _dashes(path: Sequence[XY], dash: float, gap: float) -> Iterator[list[XY]]:
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
