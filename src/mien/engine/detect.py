"""Detect faces with YuNet in one pass over a canvas.

Wu, Peng, Yu: YuNet: A Tiny Millisecond-level Face Detector, Machine Intelligence Research 2023. For every cell of
three grids (strides 8, 16, 32) the network predicts class, objectness, a box and five landmarks. A cell's score is the
geometric mean of the probabilities of class and objectness.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import factorial, log

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.engine.context import Floats, Network, Pixels
from mien.engine.networks.onnx_passes import STRIDES

MAX_OVERLAP = 0.3
"""Intersection over union from which two boxes are the same face."""

MAX_CANDIDATES = 5_000
"""Of which overlaps are suppressed, best scores first. Each is compared with all that are kept, which takes 16 seconds
for the 57,000 of a picture that is nothing but tiny faces."""

CANVAS_STEP = 128
"""Canvas sides of a detection pass are multiples of it: few shapes, since each takes some megabytes."""


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
    """Keep the best of the candidates that overlap (non-maximum suppression), best score first, of MAX_CANDIDATES."""
    kept = cv2.dnn.NMSBoxes(faces.boxes.tolist(), faces.scores.tolist(), 0.0, MAX_OVERLAP, top_k=MAX_CANDIDATES)
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
