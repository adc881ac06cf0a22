"""Search a photo for faces over its scales and rotations, in several detection passes.

A pass detects faces of about 10 to 300 pixels, though not all of those below 28. The first pass is at a medium scale;
larger scales follow where small faces may have been missed, the last of them enlarging the photo if it is not large.
Small faces of which that one is not certain get a pass of their own. A smaller scale follows where a face may be too
large. YuNet also detects faces that lie on their side, but with a lower score and wrong landmarks, so such photos are
rotated.
"""

from __future__ import annotations

from math import ceil

import cv2
import numpy as np

from mien.domain.policy import MAX_FACES_PER_PHOTO
from mien.engine.context import Floats, Network, Pixels
from mien.engine.decode import Photo
from mien.engine.detect import CANVAS_STEP, NO_FACES, RawDetections, concatenate, detect_once, suppress_overlaps

MIN_SCORE = 0.7
FIRST_SIDE = 640
LARGER_SIDES = (1280, 2560)
SMALLER_SIDE = 256
SMALL_FACE_SIZE = 40
"""Pixels of a face in a pass; where the smallest is below it, there may be still smaller ones."""

SMALLEST_SIZE = 10
"""Pixels of the smallest face that a pass may find."""

RELIABLE_SIZE = 28
"""Pixels of a face that no pass misses for its size; a photo whose smallest face is below it is enlarged."""

MAX_ENLARGEMENT = 2

DOUBTFUL_SCORE = 0.2
"""Lowest score at which a small face in the largest pass gets one of its own, which must be certain of it."""
CONFIRMATION_SIZE = 56
"""Pixels of the face in that pass."""
MAX_DOUBTFUL = 64
"""Doubtful faces of a photo that get one, best score first: together a quarter of the largest pass before."""

ROTATIONS = (90, 180, 270)
CONFIDENT_SCORE = 0.88
"""Below this best score, rotations of the photo are tried."""

MIN_SCORE_GAIN = 0.03
"""By which a rotation must raise the best score to be taken."""


CROWD = 40
"""Faces found by a pass from which the photo takes as long as a large one."""


def find_faces(network: Network, photo: Photo) -> tuple[Photo, RawDetections]:
    """Detect the faces in a photo at several scales, and rotate the photo if that makes them upright.

    Args:
        network: YuNet with all grids.
        photo: an unrotated photo.

    Returns:
        The photo, rotated where a rotation raises the best score clearly, and up to 100 faces in pixels of that photo
        at full size, largest first.

    Raises:
        ImageError: the photo cannot be decoded.
        Overloaded: there are many faces in the photo, and others keep the engine busy for too long.
    """
    faces = _detect_at_scales(network, photo)
    if _best_score(faces) < CONFIDENT_SCORE:
        photo, faces = _rotate_if_better(network, photo, faces)
    area = faces.boxes[:, 2] * faces.boxes[:, 3]
    return photo, faces[np.argsort(-area, kind="stable")[:MAX_FACES_PER_PHOTO]]


def _rotate_if_better(network: Network, photo: Photo, faces: RawDetections) -> tuple[Photo, RawDetections]:
    """Try the rotations one after another, so that there is never more than one rotated copy of a large photo."""
    best, chosen = _best_score(faces), 0
    for degrees in ROTATIONS:
        candidates = _detect_at(network, photo.rotated(degrees), FIRST_SIDE, MIN_SCORE)
        if _best_score(candidates) > max(best + MIN_SCORE_GAIN, MIN_SCORE):
            faces, best, chosen = candidates, _best_score(candidates), degrees
    return photo.rotated(chosen) if chosen else photo, faces


def _best_score(faces: RawDetections) -> float:
    return float(faces.scores.max(initial=0))


def _detect_at_scales(network: Network, photo: Photo) -> RawDetections:
    available = max(photo.width, photo.height)
    passes = [_detect_at(network, photo, FIRST_SIDE, MIN_SCORE)]
    if not len(passes[0]):
        passes.append(_detect_at(network, photo, SMALLER_SIDE, MIN_SCORE))
    for side, previous in zip(LARGER_SIDES, (FIRST_SIDE, *LARGER_SIDES), strict=False):
        if available > previous and _smallest(passes[-1]) * previous / available < SMALL_FACE_SIZE:
            is_last = side == LARGER_SIDES[-1] <= available
            passes.append(_detect_at(network, photo, side, DOUBTFUL_SCORE if is_last else MIN_SCORE))
    if side := _enlarged_side(available, passes[-1]):
        passes.append(_detect_enlarged(network, photo, side))
    return _confirm_doubtful(network, photo, suppress_overlaps(concatenate(passes)))


def _enlarged_side(available: int, faces: RawDetections) -> int:
    """Return to which longer side a photo is enlarged, 0 for not at all; without a face, only a small one is."""
    enlarged = MAX_ENLARGEMENT * available
    if not len(faces):
        return enlarged if enlarged <= FIRST_SIDE else 0
    return min(enlarged, LARGER_SIDES[-1]) if available < LARGER_SIDES[-1] and _smallest(faces) < RELIABLE_SIZE else 0


def _smallest(faces: RawDetections) -> float:
    """Return the longer side of the smallest face; 0 if there is none, since it may be too small to be found."""
    return float(faces.boxes[:, 2:].max(axis=1).min()) if len(faces) else 0.0


def _detect_at(network: Network, photo: Photo, side: int, min_score: float) -> RawDetections:
    """Run a pass over the photo with a longer side of at most `side`; faces in pixels at full size."""
    pixels = photo.pixels(side)
    faces = _detect_resized(network, pixels, side, min_score).scaled(photo.width / pixels.shape[1])
    if len(faces) >= CROWD and photo.admission:
        photo.admission.count_as_large()
    return faces


def _detect_resized(network: Network, pixels: Pixels, side: int, min_score: float) -> RawDetections:
    scale = side / max(pixels.shape[:2])
    if scale >= 1:
        return _certain_or_small(detect_once(network, pixels, min_score))
    if min(pixels.shape[:2]) * scale < 1:  # a strip, of which a pass would see less than a row
        return NO_FACES
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return _certain_or_small(detect_once(network, small, min_score)).scaled(1 / scale)  # type: ignore[arg-type]


def _detect_enlarged(network: Network, photo: Photo, side: int) -> RawDetections:
    """Run a pass over the photo with a longer side of `side`, more than it has; faces in pixels at full size."""
    pixels = photo.pixels(side)
    scale = side / max(pixels.shape[:2])
    large = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    return _certain_or_small(detect_once(network, large, DOUBTFUL_SCORE)).scaled(1 / scale)  # type: ignore[arg-type]


def _certain_or_small(faces: RawDetections) -> RawDetections:
    """Leave out the doubtful faces that are not small, given in pixels of the pass."""
    sizes = faces.boxes[:, 2:].max(axis=1)
    return faces[(faces.scores >= MIN_SCORE) | ((sizes >= SMALLEST_SIZE) & (sizes < SMALL_FACE_SIZE))]


def _confirm_doubtful(network: Network, photo: Photo, faces: RawDetections) -> RawDetections:
    """Keep the certain faces, and of the doubtful ones those of which a pass over their surroundings is certain.

    In a photo without a certain face none is: the doubtful ones of landscapes would take the time to decode them.

    Args:
        faces: in pixels of the photo at full size, best score first.
    """
    is_certain = faces.scores >= MIN_SCORE
    certain, doubtful = faces[is_certain], faces[~is_certain].boxes[:MAX_DOUBTFUL]
    if not len(certain) or not len(doubtful):
        return certain
    enlargement = CONFIRMATION_SIZE / doubtful[:, 2:].max(axis=1).min()
    pixels = photo.pixels(ceil(min(enlargement, 1.0) * max(photo.width, photo.height)))
    scale = pixels.shape[1] / photo.width
    confirmed = [_confirmed(network, pixels, box).scaled(1 / scale) for box in doubtful * np.float32(scale)]
    return suppress_overlaps(concatenate([certain, *confirmed]))


def _confirmed(network: Network, pixels: Pixels, box: Floats) -> RawDetections:
    """Run a pass over the surroundings of a doubtful face (4,); return the face if it is certain there."""
    size, centre = float(box[2:].max()), box[:2] + box[2:] / 2
    span = max(int(CANVAS_STEP / CONFIRMATION_SIZE * size), 1)
    farthest = np.maximum(np.array(pixels.shape[1::-1]) - span, 0)
    left, top = np.clip(np.rint(centre - span / 2), 0, farthest).astype(int).tolist()
    region, scale = pixels[top : top + span, left : left + span], CANVAS_STEP / span
    height, width = (max(round(length * scale), 1) for length in region.shape[:2])
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas = cv2.resize(region, (width, height), interpolation=interpolation)
    faces = detect_once(network, canvas, MIN_SCORE).scaled(1 / scale).shifted(left, top)  # type: ignore[arg-type]
    distances = np.abs(faces.boxes[:, :2] + faces.boxes[:, 2:] / 2 - centre).max(axis=1)
    return faces[distances <= size / 4]
