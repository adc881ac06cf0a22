"""Place tags near their faces: inside the image, over no other tag and, where possible, over no face.

Rectangles are (left, top, right, bottom) in image pixels. Tags are placed one after the other, those of the smallest
faces first, each where it costs least.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

Rect = tuple[float, float, float, float]
Size = tuple[float, float]

TAG_COST, FACE_COST, OWN_FACE_COST = 100.0, 10.0, 3.0
"""Cost of a covered pixel, beside the distance to the face times the tag's height."""

MAX_RINGS = 8
"""Rings of positions around a face, each one tag further away."""


def place_tags(faces: Sequence[Rect], sizes: Sequence[Size], image: Size, gap: float) -> list[Rect]:
    """Place a tag for each face.

    Args:
        faces: boxes of the faces.
        sizes: (width, height) of each face's tag.
        image: (width, height) of the image.
        gap: pixels between a face and its tag.

    Returns:
        The rectangles of the tags, in the order of the faces.
    """
    placed: dict[int, Rect] = {}
    for index in sorted(range(len(faces)), key=lambda i: _area(faces[i])):
        own = faces[index]
        others = [face for i, face in enumerate(faces) if i != index]
        positions = [_move_inside(position, image) for position in _positions(own, sizes[index], gap)]

        def cost(tag: Rect, own: Rect = own, others: Sequence[Rect] = others, size: Size = sizes[index]) -> float:
            covered = TAG_COST * sum(shared_area(tag, other) for other in placed.values())
            covered += FACE_COST * sum(shared_area(tag, face) for face in others)
            covered += OWN_FACE_COST * shared_area(tag, own)
            return covered + _distance(tag, own) * size[1]

        placed[index] = min(positions, key=cost)
    return [placed[i] for i in range(len(faces))]


def shared_area(a: Rect, b: Rect) -> float:
    """Compute the area in which two rectangles overlap."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0.0) * max(height, 0.0)


def _positions(face: Rect, size: Size, gap: float) -> Iterator[Rect]:
    """Below, above and beside the face, ring by ring, and last inside it; of equal costs the first one wins."""
    left, top, right, bottom = face
    width, height = size
    columns = (left, (left + right - width) / 2, right - width)
    for ring in range(MAX_RINGS):
        distance = gap + ring * (height + gap)
        for x in columns:
            yield _rect(x, bottom + distance, size)
            yield _rect(x, top - distance - height, size)
        yield _rect(right + distance, (top + bottom - height) / 2, size)
        yield _rect(left - distance - width, (top + bottom - height) / 2, size)
    yield _rect(columns[1], bottom - height - gap, size)
    yield _rect(columns[1], top + gap, size)


def _rect(x: float, y: float, size: Size) -> Rect:
    return (x, y, x + size[0], y + size[1])


def _move_inside(rect: Rect, image: Size) -> Rect:
    width, height = rect[2] - rect[0], rect[3] - rect[1]
    x = max(0.0, min(rect[0], image[0] - width))
    y = max(0.0, min(rect[1], image[1] - height))
    return _rect(x, y, (width, height))


def _distance(a: Rect, b: Rect) -> float:
    across = max(a[0] - b[2], b[0] - a[2], 0.0)
    down = max(a[1] - b[3], b[1] - a[3], 0.0)
    return across + down


def _area(rect: Rect) -> float:
    return (rect[2] - rect[0]) * (rect[3] - rect[1])
