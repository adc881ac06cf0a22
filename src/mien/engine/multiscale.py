"""A photo goes in, all its faces come out: which sizes of the photo, and which turns, are worth a look.

The detector sees faces of about 10 to 300 pixels. The first look is at a middling size; a larger one follows
only where the first found small faces or none, and a smaller one where a face may be too near. YuNet also finds
faces that lie on their side, but is less sure of them, and its landmarks are then wrong: such photos are turned.
"""

from __future__ import annotations

import cv2
import numpy as np

from mien.domain.limits import MAX_FACES_PER_PHOTO
from mien.engine.arrays import Network, Pixels
from mien.engine.decode import Photo
from mien.engine.detect import Candidates, detect, distinct, join

MIN_SCORE = 0.7
FIRST = 640
LARGER = (1280, 2560)
SMALLER = 256
SMALL_FACE = 40
TURNS = (90, 180, 270)
SURE = 0.88
CLEARLY = 0.03


def find_faces(network: Network, photo: Photo) -> tuple[Photo, Candidates]:
    """The photo, turned if its faces stand upright only then, and the faces in its pixels, the largest first."""
    found = _at_growing_sizes(network, photo)
    surest = _surest(found)
    if surest < SURE:
        for turned in [photo.turn(degrees) for degrees in TURNS]:
            seen = _look_at(network, turned, FIRST)
            if _surest(seen) > max(surest + CLEARLY, MIN_SCORE):
                photo, found, surest = turned, seen, _surest(seen)
    area = found.boxes[:, 2] * found.boxes[:, 3]
    return photo, found[np.argsort(-area, kind="stable")[:MAX_FACES_PER_PHOTO]]


def _surest(found: Candidates) -> float:
    return float(found.scores.max(initial=0))


def _at_growing_sizes(network: Network, photo: Photo) -> Candidates:
    offered = max(photo.width, photo.height)
    looks = [_look_at(network, photo, FIRST)]
    if not len(looks[0]):
        looks.append(_look_at(network, photo, SMALLER))
    for side, reached in zip(LARGER, (FIRST, *LARGER), strict=False):
        if offered > reached and _may_hide_small(looks[-1], reached / offered):
            looks.append(_look_at(network, photo, side))
    return distinct(join(looks))


def _may_hide_small(found: Candidates, scale: float) -> bool:
    return not len(found) or float(found.boxes[:, 2:].max(axis=1).min()) * scale < SMALL_FACE


def _look_at(network: Network, photo: Photo, side: int) -> Candidates:
    pixels = photo.pixels(side)
    return _look(network, pixels, side).scaled(photo.width / pixels.shape[1])


def _look(network: Network, pixels: Pixels, side: int) -> Candidates:
    scale = side / max(pixels.shape[:2])
    if scale >= 1:
        return detect(network, pixels, MIN_SCORE)
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return detect(network, small, MIN_SCORE).scaled(1 / scale)  # type: ignore[arg-type]
