"""Detect faces with YuNet: one pass over a canvas, and a search over the scales and rotations of a photo.

Wu, Peng, Yu: YuNet: A Tiny Millisecond-level Face Detector, Machine Intelligence Research 2023. For every cell of
three grids (strides 8, 16, 32) the network predicts class, objectness, a box and five landmarks. A cell's score is the
geometric mean of the probabilities of class and objectness.

A pass detects faces of about 10 to 300 pixels, though not all of those below 28. The first pass is at a medium scale;
larger scales follow where small faces may have been missed, the last of them enlarging the photo, then the surroundings
of each doubtful face in it. A smaller scale follows where a face may be too large. YuNet also detects faces that lie on
their side, but with a lower score and wrong landmarks, so such photos are rotated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import factorial, log

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.domain.policy import MAX_FACES_PER_PHOTO
from mien.engine.context import Floats, Network, Pixels
from mien.engine.decode import Photo
from mien.engine.networks.onnx_passes import STRIDES

MAX_OVERLAP = 0.3
"""Intersection over union from which two boxes are the same face."""

CANVAS_STEP = 128
"""Canvas sides of a detection pass are multiples of it: few shapes, since each takes some megabytes."""

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
"""Lowest score at which a small face in the enlarged photo gets a pass of its own, which must be certain of it."""
CONFIRMATION_SIZE = 56
"""Pixels of the face in that pass."""
MAX_DOUBTFUL = 64
"""Doubtful faces of a photo that get one, best score first: together a quarter of the largest pass before."""

ROTATIONS = (90, 180, 270)
CONFIDENT_SCORE = 0.88
"""Below this best score, rotations of the photo are tried."""

MIN_SCORE_GAIN = 0.03
"""By which a rotation must raise the best score to be taken."""


@dataclass(frozen=True, slots=True)
class RawDetections:
    """Faces that a detection pass found, n in all.

    Attributes:
        boxes: (n, 4) left, top, width, height, in pixels of the image that was passed in.
        points: (n, 5, 2) x, y of left eye, right eye, nose, left and right mouth corner, in the same pixels; left and
            right are the viewer's.
        scores: (n,) 0 to 1.
    """

    boxes: Floats
    points: Floats
    scores: Floats

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> RawDetections:
        return RawDetections(self.boxes[index], self.points[index], self.scores[index])

    def scaled(self, factor: float) -> RawDetections:
        """Return the same faces in pixels of the image enlarged by `factor`."""
        return RawDetections(self.boxes * np.float32(factor), self.points * np.float32(factor), self.scores)

    def shifted(self, x: int, y: int) -> RawDetections:
        """Return the same faces in pixels of an image in which this one begins at x, y."""
        corner = np.array([x, y], np.float32)
        return RawDetections(self.boxes + np.array([x, y, 0, 0], np.float32), self.points + corner, self.scores)


NO_FACES = RawDetections(np.empty((0, 4), np.float32), np.empty((0, 5, 2), np.float32), np.empty(0, np.float32))


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
        candidates = _detect_at(network, photo.rotated(degrees), FIRST_SIDE)
        if _best_score(candidates) > max(best + MIN_SCORE_GAIN, MIN_SCORE):
            faces, best, chosen = candidates, _best_score(candidates), degrees
    return photo.rotated(chosen) if chosen else photo, faces


def _best_score(faces: RawDetections) -> float:
    return float(faces.scores.max(initial=0))


def _detect_at_scales(network: Network, photo: Photo) -> RawDetections:
    available = max(photo.width, photo.height)
    passes = [_detect_at(network, photo, FIRST_SIDE)]
    if not len(passes[0]):
        passes.append(_detect_at(network, photo, SMALLER_SIDE))
    for side, previous in zip(LARGER_SIDES, (FIRST_SIDE, *LARGER_SIDES), strict=False):
        if available > previous and _smallest(passes[-1]) * previous / available < SMALL_FACE_SIZE:
            passes.append(_detect_at(network, photo, side))
    if side := _enlarged_side(available, passes[-1]):
        passes.append(_detect_enlarged(network, photo, side))
    return suppress_overlaps(concatenate(passes))


def _enlarged_side(available: int, faces: RawDetections) -> int:
    """Return to which longer side a photo is enlarged, 0 for not at all; without a face, only a small one is."""
    enlarged = MAX_ENLARGEMENT * available
    if not len(faces):
        return enlarged if enlarged <= FIRST_SIDE else 0
    return min(enlarged, LARGER_SIDES[-1]) if available < LARGER_SIDES[-1] and _smallest(faces) < RELIABLE_SIZE else 0


def _smallest(faces: RawDetections) -> float:
    """Return the longer side of the smallest face; 0 if there is none, since it may be too small to be found."""
    return float(faces.boxes[:, 2:].max(axis=1).min()) if len(faces) else 0.0


def _detect_at(network: Network, photo: Photo, side: int) -> RawDetections:
    """Run a pass over the photo with a longer side of at most `side`; faces in pixels at full size."""
    pixels = photo.pixels(side)
    return _detect_resized(network, pixels, side).scaled(photo.width / pixels.shape[1])


def _detect_resized(network: Network, pixels: Pixels, side: int) -> RawDetections:
    scale = side / max(pixels.shape[:2])
    if scale >= 1:
        return detect_once(network, pixels, MIN_SCORE)
    if min(pixels.shape[:2]) * scale < 1:  # a strip, of which a pass would see less than a row
        return NO_FACES
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return detect_once(network, small, MIN_SCORE).scaled(1 / scale)  # type: ignore[arg-type]


def _detect_enlarged(network: Network, photo: Photo, side: int) -> RawDetections:
    """Run a pass over the photo with a longer side of `side`, more than it has; faces in pixels at full size."""
    pixels = photo.pixels(side)
    scale = side / max(pixels.shape[:2])
    large = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    faces = detect_once(network, large, DOUBTFUL_SCORE)  # type: ignore[arg-type]
    sizes, is_sure = faces.boxes[:, 2:].max(axis=1), faces.scores >= MIN_SCORE
    doubtful = faces[~is_sure & (sizes >= SMALLEST_SIZE) & (sizes < SMALL_FACE_SIZE)].scaled(1 / scale)
    confirmed = [_confirmed(network, pixels, box) for box in doubtful.boxes[:MAX_DOUBTFUL]]
    return concatenate([faces[is_sure].scaled(1 / scale), *confirmed])


def _confirmed(network: Network, pixels: Pixels, box: Floats) -> RawDetections:
    """Run a pass over the surroundings of a doubtful face (4,), enlarged; return the face if it is certain there."""
    size, centre = float(box[2:].max()), box[:2] + box[2:] / 2
    span = max(int(CANVAS_STEP / CONFIRMATION_SIZE * size), 1)
    farthest = np.maximum(np.array(pixels.shape[1::-1]) - span, 0)
    left, top = np.clip(np.rint(centre - span / 2), 0, farthest).astype(int).tolist()
    region, scale = pixels[top : top + span, left : left + span], CANVAS_STEP / span
    large = cv2.resize(region, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    faces = detect_once(network, large, MIN_SCORE).scaled(1 / scale).shifted(left, top)  # type: ignore[arg-type]
    distances = np.abs(faces.boxes[:, :2] + faces.boxes[:, 2:] / 2 - centre).max(axis=1)
    return faces[distances <= size / 4]


def detect_once(network: Network, pixels: Pixels, min_score: float) -> RawDetections:
    """Run one detection pass over an image of any size, padded with black.

    Args:
        network: YuNet with all grids.
        pixels: RGB (height, width, 3), uint8.
        min_score: lowest score of a face, 0 to 1.

    Returns:
        Each face once, in pixels of the image, best score first.
    """
    height, width = pixels.shape[:2]
    canvas = np.zeros((round_up(height, CANVAS_STEP), round_up(width, CANVAS_STEP), 3), np.uint8)
    canvas[:height, :width] = pixels
    return suppress_overlaps(detect_on_canvas(network, canvas, min_score))


def detect_on_canvas(network: Network, canvas: Pixels, min_score: float) -> RawDetections:
    """Run the network once and decode its table, without suppressing overlaps.

    Args:
        network: YuNet with all grids, or with the coarsest ones only.
        canvas: RGB (height, width, 3), uint8; sides are multiples of 32.
        min_score: lowest score of a candidate, 0 to 1.

    Returns:
        Every cell with at least that score, in canvas pixels, in the order of the cells.
    """
    return detect_on_canvases(network, [canvas], min_score)[0]


def detect_on_canvases(
    network: Network, canvases: Iterable[Pixels], min_score: float
) -> tuple[RawDetections, NDArray[np.intp]]:
    """Run the network on one canvas after another, and decode all tables at once, which is quicker.

    Returns:
        As `detect_on_canvas`, in the order of the canvases, and the number of each cell's canvas (n,).
    """
    lowest = min_score**2  # a geometric mean of at least min_score needs both factors to be at least its square
    least_logit = log(lowest / (1 - lowest))
    rows, grids = [], []
    for canvas in canvases:
        [table] = network(canvas[None])
        cells = np.flatnonzero(np.minimum(table[:, 0], table[:, 1]) >= least_logit)
        rows.append(table[cells])
        grids.append(_cell_grid(*canvas.shape[:2])[-len(table) :][cells])
    numbers = np.repeat(np.arange(len(rows)), [len(some) for some in rows])
    candidates = _decode_cells(np.concatenate(rows), np.concatenate(grids))
    kept = candidates.scores >= min_score
    return candidates[kept], numbers[kept]


def suppress_overlaps(faces: RawDetections) -> RawDetections:
    """Keep the best of the candidates that overlap (non-maximum suppression), best score first."""
    kept = cv2.dnn.NMSBoxes(faces.boxes.tolist(), faces.scores.tolist(), 0.0, MAX_OVERLAP)
    return faces[np.asarray(kept, np.intp)]


def concatenate(passes: Sequence[RawDetections]) -> RawDetections:
    """Join the candidates of several passes, given in the same pixels."""
    return RawDetections(
        np.concatenate([faces.boxes for faces in passes]),
        np.concatenate([faces.points for faces in passes]),
        np.concatenate([faces.scores for faces in passes]),
    )


def _decode_cells(cells: Floats, grid: Floats) -> RawDetections:
    """Decode rows of the table (n, 16) at cells of the grid (n, 3) as YuNet encodes them."""
    corners, strides = grid[:, :2], grid[:, 2:]
    powers = exponential(np.concatenate([-cells[:, :2], cells[:, 4:6]], axis=1))
    sizes = powers[:, 2:] * strides
    centres = (corners + cells[:, 2:4]) * strides
    points = (cells[:, 6:].reshape(-1, 5, 2) + corners[:, None]) * strides[:, None]
    scores = 1 / np.sqrt((1 + powers[:, 0]) * (1 + powers[:, 1]))
    return RawDetections(np.concatenate([centres - sizes / 2, sizes], axis=1), points, scores)


_MAX_EXPONENT = 87.0
"""Of e, for a number that float32 has, and whose inverse it has, too."""
_TAYLOR = tuple(1 / factorial(n) for n in range(7, -1, -1))


def exponential(values: Floats) -> Floats:
    """Compute e**x, rounded from float64, with -87 <= x <= 87; the same bits on every processor, unlike NumPy's.

    e**x = 2**n * e**rest, and the rest, ln(2) / 2 at most, is so small that eight terms of Taylor's series suffice.
    """
    exponents = np.clip(values, -_MAX_EXPONENT, _MAX_EXPONENT).astype(np.float64)
    doublings = np.rint(exponents * (1 / log(2)))
    rest = exponents - doublings * log(2)
    total = np.full_like(rest, _TAYLOR[0])
    for coefficient in _TAYLOR[1:]:
        total *= rest
        total += coefficient
    return np.ldexp(total, doublings.astype(np.int32)).astype(np.float32)


@lru_cache(maxsize=64)
def _cell_grid(height: int, width: int) -> Floats:
    """Column, row and stride of each cell (cells, 3), in the order of the network's table."""
    grids = []
    for stride in STRIDES:
        rows, columns = np.indices((height // stride, width // stride), np.float32)
        grids.append(np.stack([columns, rows, np.full_like(rows, stride)], axis=-1).reshape(-1, 3))
    return np.concatenate(grids)


def round_up(length: int, step: int = STRIDES[-1]) -> int:
    """Return the next multiple of `step`; the coarsest grid needs multiples of 32."""
    return -(-length // step) * step
