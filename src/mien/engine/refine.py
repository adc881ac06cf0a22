"""Faces as they were found go in, better landmarks for each come out: two more looks at the enlarged face.

YuNet's landmarks are good from about 200 pixels of face upwards, and the likeness of two embeddings hangs on them
more than on anything else. A doubtful face (a profile, say) gets many looks: one alone follows the noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np

from mien.engine.arrays import Floats, Network, Pixels
from mien.engine.detect import Candidates, padded, seen_on

DOUBTFUL = 0.85
DOUBTFUL_SIZE = 80
MIN_SCORE = 0.1
VOTE = 0.3
MIRRORED_ORDER = [1, 0, 2, 4, 3]


@dataclass(frozen=True, slots=True)
class Looks:
    """The sizes in pixels that a face is enlarged to, the margin left, and whether it is seen plain or mirrored."""

    sizes: tuple[int, ...]
    margin: int
    mirrored: tuple[bool, ...]


TWO_LOOKS = Looks((232, 288), 24, (False,))
MANY_LOOKS = Looks(tuple(range(120, 321, 20)), 48, (False, True))
USUAL_CANVASES = tuple((padded(size + TWO_LOOKS.margin),) * 2 for size in TWO_LOOKS.sizes)


@dataclass(frozen=True, slots=True)
class Rough:
    """A face as it was found: the photo's pixels, box (4,), points (5, 2), score."""

    pixels: Pixels
    box: Floats
    points: Floats
    score: float

    @property
    def looks(self) -> Looks:
        """How often it needs to be looked at."""
        return MANY_LOOKS if self.score < DOUBTFUL and min(self.box[2:]) >= DOUBTFUL_SIZE else TWO_LOOKS


@dataclass(frozen=True, slots=True)
class Refined:
    """The steadier box (4,) of a face, and k >= 1 opinions about its landmarks: (k, 5, 2)."""

    box: Floats
    points: Floats


def refine(near: Network, every_size: Network, faces: Sequence[Rough]) -> list[Refined]:
    """Look again at each face.

    `near` sees large faces only: what two looks see comes from YuNet's last grid (784 faces of 792).
    """
    return [_centred(every_size, face) if face.looks is MANY_LOOKS else _twice(near, face) for face in faces]


def _twice(network: Network, face: Rough) -> Refined:
    """Landmarks between those of two looks, since a look errs a little differently at every size."""
    seen = _look(network, face, face.box, TWO_LOOKS)
    return Refined(seen.box, seen.points.mean(axis=0, keepdims=True))


def _centred(network: Network, face: Rough) -> Refined:
    return _look(network, face, _look(network, face, face.box, MANY_LOOKS).box, MANY_LOOKS)


def _look(network: Network, face: Rough, box: Floats, looks: Looks) -> Refined:
    shots = [_Shot(box, size, looks.margin, mirrored) for size, mirrored in product(looks.sizes, looks.mirrored)]
    views = [view for shot in shots for view in shot.middle_of(seen_on(network, shot.of(face.pixels), MIN_SCORE))]
    return _agreed(views or [Refined(box, face.points[None])])


def _agreed(views: list[Refined]) -> Refined:
    return Refined(np.mean([view.box for view in views], axis=0), np.concatenate([view.points for view in views]))


class _Shot:
    """A square canvas on which the face in `box` is about `size` pixels large.

    It shows whole pixels of the photo: enlarging them is several times quicker than drawing them between others.
    """

    def __init__(self, box: Floats, size: int, margin: int, mirrored: bool) -> None:
        self._size, self._mirrored = size, mirrored
        self._side = padded(size + margin)
        self._span = max(round(float(max(box[2:])) * self._side / size), 1)
        self._scale = np.float32(self._side / self._span)
        self._corner = np.round(box[:2] + box[2:] / 2 - self._span / 2).astype(int)
        self._shift = ((0.5 - self._corner) * self._scale - 0.5).astype(np.float32)  # by the centres of pixels

    def of(self, pixels: Pixels) -> Pixels:
        way = cv2.INTER_LINEAR if self._scale >= 1 else cv2.INTER_AREA
        drawn = cv2.resize(self._region(pixels), (self._side, self._side), interpolation=way)
        return drawn[:, ::-1] if self._mirrored else drawn  # type: ignore[return-value]

    def _region(self, pixels: Pixels) -> Pixels:
        height, width = pixels.shape[:2]
        (left, top), (right, bottom) = self._corner.tolist(), (self._corner + self._span).tolist()
        inside = pixels[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
        missing = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
        return cv2.copyMakeBorder(inside, *missing, cv2.BORDER_CONSTANT) if any(missing) else inside  # type: ignore[return-value]

    def middle_of(self, found: Candidates) -> list[Refined]:
        """The face in the middle of the canvas, on the photo again; none when nothing was seen there."""
        off = np.abs(found.boxes[:, :2] + found.boxes[:, 2:] / 2 - self._side / 2).max(axis=1)
        found = found[off <= self._size / 4]
        if not len(found):
            return []
        box, points = _voted(found)
        if self._mirrored:
            box, points = _mirror(box, points, self._side)
        box[:2] -= self._shift
        return [Refined(box / self._scale, (points[None] - self._shift) / self._scale)]


def _voted(seen: Candidates) -> tuple[Floats, Floats]:
    """The mean of neighbouring cells' opinions, weighted by score: steadier than the surest cell's alone."""
    weights = np.where(seen.scores >= VOTE * seen.scores.max(), seen.scores, np.float32(0))
    weights /= weights.sum()
    points: Floats = np.einsum("k,kij->ij", weights, seen.points)
    return weights @ seen.boxes, points


def _mirror(box: Floats, points: Floats, side: int) -> tuple[Floats, Floats]:
    box, points = box.copy(), points[MIRRORED_ORDER]
    box[0] = side - 1 - box[0] - box[2]
    points[:, 0] = side - 1 - points[:, 0]
    return box, points
