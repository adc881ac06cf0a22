"""RGB pixels go in, candidates (boxes, five landmarks, scores) in the same pixels come out: one pass of YuNet.

Wu, Peng, Yu: YuNet: A Tiny Millisecond-level Face Detector, Machine Intelligence Research 2023. The network
predicts at every cell of three grids (strides 8, 16, 32): class, objectness, box, five points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.engine.decode import Pixels
from mien.engine.runtime import Arrays, Network

Floats = NDArray[np.float32]

STRIDES = (8, 16, 32)
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
    found = found[np.argsort(-found.scores, kind="stable")]
    kept: list[int] = []
    for index in range(len(found)):
        if not kept or _overlap(found.boxes[index], found.boxes[kept]).max() < OVERLAP:
            kept.append(index)
    return found[np.array(kept, np.intp)]


def _overlap(box: Floats, others: Floats) -> Floats:
    start = np.maximum(box[:2], others[:, :2])
    end = np.minimum(box[:2] + box[2:], others[:, :2] + others[:, 2:])
    shared = np.prod(np.maximum(end - start, 0), axis=1)
    result: Floats = shared / (box[2:].prod() + others[:, 2:].prod(axis=1) - shared)
    return result


def detect(network: Network, pixels: Pixels, min_score: float) -> Candidates:
    """Find the faces on an image at the size it has; the surest first."""
    height, width = pixels.shape[:2]
    canvas = np.zeros((1, padded(height, CANVAS), padded(width, CANVAS), 3), np.uint8)
    canvas[0, :height, :width] = pixels[:, :, ::-1]
    return distinct(read_heads(network(canvas), canvas.shape[:3], min_score)[0])


def read_heads(outputs: Arrays, shape: tuple[int, ...], min_score: float) -> list[Candidates]:
    """Turn YuNet's twelve outputs into candidates, one set for each image of the batch `shape` (n, height, width)."""
    count, _, width = shape
    classes, objects, boxes, points = (outputs[first : first + 3] for first in (0, 3, 6, 9))
    found: list[list[Candidates]] = [[] for _ in range(count)]
    for level, stride in enumerate(STRIDES):
        scores = np.sqrt(classes[level] * objects[level]).reshape(count, -1)
        for image, cell in enumerate(scores >= min_score):
            at = np.flatnonzero(cell)
            corner = np.stack([at % (width // stride), at // (width // stride)], axis=1).astype(np.float32)
            box = boxes[level].reshape(count, -1, 4)[image, at]
            kps = points[level].reshape(count, -1, 5, 2)[image, at]
            found[image].append(_place(box, kps, corner, stride, scores[image, at]))
    return [join(levels) for levels in found]


def _place(box: Floats, points: Floats, corner: Floats, stride: int, scores: Floats) -> Candidates:
    size = np.exp(box[:, 2:]) * stride
    middle = (corner + box[:, :2]) * stride
    return Candidates(np.concatenate([middle - size / 2, size], axis=1), (points + corner[:, None]) * stride, scores)


def padded(length: int, step: int = STRIDES[-1]) -> int:
    """The next multiple of `step`; the grids cover multiples of 32 whole."""
    return -(-length // step) * step
