"""Where tags go: near their face, inside the picture, over no other tag and, where possible, over no face.

Rectangles are (left, top, right, bottom) in pixels. Tags are placed one after the other, those of the
smallest faces first, each where it covers least.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

Rect = tuple[float, float, float, float]
Size = tuple[float, float]

ON_TAG, ON_FACE, ON_OWN_FACE = 100.0, 10.0, 3.0
RINGS = 8


def place(faces: Sequence[Rect], sizes: Sequence[Size], picture: Size, gap: float) -> list[Rect]:
    """A rectangle of the given size for each face."""
    placed: dict[int, Rect] = {}
    for index in sorted(range(len(faces)), key=lambda i: _area(faces[i])):
        own = faces[index]
        others = [face for i, face in enumerate(faces) if i != index]
        spots = [_inside(spot, picture) for spot in _spots(own, sizes[index], gap)]

        def cost(spot: Rect, own: Rect = own, others: Sequence[Rect] = others, size: Size = sizes[index]) -> float:
            covered = ON_TAG * sum(overlap(spot, tag) for tag in placed.values())
            covered += ON_FACE * sum(overlap(spot, face) for face in others) + ON_OWN_FACE * overlap(spot, own)
            return covered + _distance(spot, own) * size[1]

        placed[index] = min(spots, key=cost)
    return [placed[i] for i in range(len(faces))]


def overlap(a: Rect, b: Rect) -> float:
    """The area that two rectangles share."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0.0) * max(height, 0.0)


def _spots(face: Rect, size: Size, gap: float) -> Iterator[Rect]:
    left, top, right, bottom = face
    width, height = size
    columns = (left, (left + right - width) / 2, right - width)
    for ring in range(RINGS):
        away = gap + ring * (height + gap)
        for x in columns:
            yield _rect(x, bottom + away, size)
            yield _rect(x, top - away - height, size)
        yield _rect(right + away, (top + bottom - height) / 2, size)
        yield _rect(left - away - width, (top + bottom - height) / 2, size)
    yield _rect(columns[1], bottom - height - gap, size)
    yield _rect(columns[1], top + gap, size)


def _rect(x: float, y: float, size: Size) -> Rect:
    return (x, y, x + size[0], y + size[1])


def _inside(rect: Rect, picture: Size) -> Rect:
    width, height = rect[2] - rect[0], rect[3] - rect[1]
    x = max(0.0, min(rect[0], picture[0] - width))
    y = max(0.0, min(rect[1], picture[1] - height))
    return _rect(x, y, (width, height))


def _distance(a: Rect, b: Rect) -> float:
    across = max(a[0] - b[2], b[0] - a[2], 0.0)
    down = max(a[1] - b[3], b[1] - a[3], 0.0)
    return across + down


def _area(rect: Rect) -> float:
    return (rect[2] - rect[0]) * (rect[3] - rect[1])
