"""Candidates on a photo go in, better landmarks for each come out: a second look at the enlarged face.

YuNet's landmarks are good from about 200 pixels of face upwards, and the likeness of two embeddings hangs on them
more than on anything else. A doubtful face (a profile, say) gets many looks: one alone follows the noise.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from mien.engine.align import warp
from mien.engine.decode import Pixels
from mien.engine.detect import Candidates, Floats, padded, read_heads
from mien.engine.runtime import Network

Looks = tuple[tuple[int, bool], ...]

ONE_LOOK: Looks = ((264, False),)
MANY_LOOKS: Looks = tuple(product((128, 160, 192, 224, 256, 320), (False, True)))
DOUBTFUL = 0.85
DOUBTFUL_SIZE = 80
MIN_SCORE = 0.1
VOTE = 0.3
MARGIN = 48
MIRRORED_ORDER = [1, 0, 2, 4, 3]


def refine(network: Network, pixels: Pixels, found: Candidates) -> list[tuple[Floats, Floats]]:
    """For each candidate its steadier box (4,), and its landmarks as each of k >= 1 looks saw them (k, 5, 2)."""
    faces = zip(found.boxes, found.points, found.scores, strict=True)
    return [_refined(network, pixels, *face) for face in faces]


def _refined(network: Network, pixels: Pixels, box: Floats, points: Floats, score: float) -> tuple[Floats, Floats]:
    looks = ONE_LOOK
    if score < DOUBTFUL and min(box[2:]) >= DOUBTFUL_SIZE:
        looks = MANY_LOOKS
        box, _ = _looks(network, pixels, box, points, looks)
    return _looks(network, pixels, box, points, looks)


def _looks(network: Network, pixels: Pixels, box: Floats, points: Floats, looks: Looks) -> tuple[Floats, Floats]:
    seen = [_look(network, pixels, box, size, mirrored=mirrored) for size, mirrored in looks]
    boxes, fives = zip(*([face for face in seen if face] or [(box, points)]), strict=True)
    return np.mean(boxes, axis=0), np.stack(fives)


def _look(network: Network, pixels: Pixels, box: Floats, size: int, *, mirrored: bool) -> tuple[Floats, Floats] | None:
    side = padded(size + MARGIN)
    scale = np.float32(size / max(box[2], box[3]))
    shift = np.float32(side / 2) - (box[:2] + box[2:] / 2) * scale
    enlarged = warp(pixels, np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float32), side)
    if mirrored:
        enlarged = enlarged[:, ::-1]
    seen = read_heads(network(enlarged[None, :, :, ::-1]), (1, side, side), MIN_SCORE)[0]
    seen = seen[np.abs(seen.boxes[:, :2] + seen.boxes[:, 2:] / 2 - side / 2).max(axis=1) <= size / 4]
    if not len(seen):
        return None
    place, points = _voted(seen)
    if mirrored:
        place, points = _mirror(place, points, side)
    place[:2] -= shift
    return place / scale, ((points - shift) / scale).astype(np.float32)


def _voted(seen: Candidates) -> tuple[Floats, Floats]:
    """The mean of neighbouring cells' opinions, weighted by score: steadier than the surest cell's alone."""
    weights = np.where(seen.scores >= VOTE * seen.scores.max(), seen.scores, np.float32(0))
    weights /= weights.sum()
    points: Floats = np.tensordot(weights, seen.points, axes=1).astype(np.float32)
    return weights @ seen.boxes, points


def _mirror(box: Floats, points: Floats, side: int) -> tuple[Floats, Floats]:
    box, points = box.copy(), points[MIRRORED_ORDER]
    box[0] = side - 1 - box[0] - box[2]
    points[:, 0] = side - 1 - points[:, 0]
    return box, points
