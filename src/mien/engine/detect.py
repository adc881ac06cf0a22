"""RGB pixels go in, candidates (boxes, five landmarks, scores) in the same pixels come out: one pass of YuNet.

Wu, Peng, Yu: YuNet: A Tiny Millisecond-level Face Detector, Machine Intelligence Research 2023. The network
predicts at every cell of three grids (strides 8, 16, 32): class, objectness, box, five points. A score is the
geometric mean of the first two.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import log

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.engine.arrays import Floats, Network, Pixels
from mien.engine.onnx_passes import STRIDES

OVERLAP = 0.3
CANVAS = 128  # the runtime keeps some megabytes for every canvas shape it meets, so there are few


@dataclass(frozen=True, slots=True)
class Candidates:
    """n possible faces: boxes (n, 4) as left, top, width, height; points (n, 5, 2); scores (n,) in 0..1.

    The points are left eye, right eye, nose, left and right corner of the mouth, as the viewer sees them.
    """

    boxes: Floats
    points: Floats
    scores: Floats

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Candidates:
        return Candidates(self.boxes[index], self.points[index], self.scores[index])

    def scaled(self, factor: float) -> Candidates:
        """The same faces on the photo enlarged by `factor`; the centre of a pixel stays one."""
        return Candidates(self.boxes * np.float32(factor), self.points * np.float32(factor), self.scores)


def join(parts: list[Candidates]) -> Candidates:
    """All candidates of several passes in one set."""
    return Candidates(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.points for part in parts]),
        np.concatenate([part.scores for part in parts]),
    )


def distinct(found: Candidates) -> Candidates:
    """Each face once, the surest of those that overlap; the surest first."""
    kept = cv2.dnn.NMSBoxes(found.boxes.tolist(), found.scores.tolist(), 0.0, OVERLAP)
    return found[np.asarray(kept, np.intp)]


def detect(network: Network, pixels: Pixels, min_score: float) -> Candidates:
    """Find the faces on an image at the size it has; the surest first."""
    height, width = pixels.shape[:2]
    canvas = np.zeros((padded(height, CANVAS), padded(width, CANVAS), 3), np.uint8)
    canvas[:height, :width] = pixels
    return distinct(seen_on(network, canvas, min_score))


def seen_on(network: Network, canvas: Pixels, min_score: float) -> Candidates:
    """All candidates on an image whose sides are multiples of 32, unsorted."""
    [table] = network(canvas[None])
    places = _places(*canvas.shape[:2])[-len(table) :]  # a network for large faces has the last grid only
    least = min_score**2  # neither factor of a score is less than its square
    at = np.flatnonzero(np.minimum(table[:, 0], table[:, 1]) >= log(least / (1 - least)))
    seen = _candidates(table[at], places[at])
    return seen[seen.scores >= min_score]


def _candidates(cells: Floats, places: Floats) -> Candidates:
    corners, strides = places[:, :2], places[:, 2:]
    sizes = np.exp(cells[:, 4:6]) * strides
    middles = (corners + cells[:, 2:4]) * strides
    points = (cells[:, 6:].reshape(-1, 5, 2) + corners[:, None]) * strides[:, None]
    scores = ((1 + np.exp(-cells[:, 0])) * (1 + np.exp(-cells[:, 1]))) ** np.float32(-0.5)
    return Candidates(np.concatenate([middles - sizes / 2, sizes], axis=1), points, scores)


@lru_cache(maxsize=64)
def _places(height: int, width: int) -> Floats:
    """Column, row and stride of each cell, in the order of the network's table: (cells, 3)."""
    grids = []
    for stride in STRIDES:
        rows, columns = np.indices((height // stride, width // stride), np.float32)
        grids.append(np.stack([columns, rows, np.full_like(rows, stride)], axis=-1).reshape(-1, 3))
    return np.concatenate(grids)


def padded(length: int, step: int = STRIDES[-1]) -> int:
    """The next multiple of `step`; the grids cover multiples of 32 whole."""
    return -(-length // step) * step
