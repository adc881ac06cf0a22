"""Refine the boxes and landmarks of detected faces by further detection passes on enlarged crops.

YuNet's landmarks are precise from about 200 pixels of face upwards, and the similarity of two embeddings depends on
them more than on anything else. A face gets two passes at two scales; an uncertain one (a profile, say) gets many,
since two alone would follow the noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np

from mien.engine.context import Floats, Network, Pixels
from mien.engine.detect import RawDetections, detect_on_canvas, round_up

UNCERTAIN_SCORE = 0.85
UNCERTAIN_MIN_SIZE = 80
"""Pixels of a face's shorter side; smaller faces are not worth many passes."""

MAX_UNCERTAIN = 8
"""Uncertain faces of one photo that get many passes: each takes 0.12 s of a core, as long as ten other photos."""

MIN_SCORE = 0.1
MIN_RELATIVE_SCORE = 0.3
"""Share of the best cell's score from which a cell counts."""

MIRRORED_ORDER = [1, 0, 2, 4, 3]
"""Landmarks of a mirrored face: left and right swapped."""


@dataclass(frozen=True, slots=True)
class RefinementScales:
    """At which scales a face is passed through the detector again.

    Attributes:
        sizes: pixels of the face's longer side on the canvas, one pass for each.
        margin: pixels of the canvas around it, in all.
        mirrored: whether to pass the plain crop (False), the mirrored one (True), or both.
    """

    sizes: tuple[int, ...]
    margin: int
    mirrored: tuple[bool, ...]


TWO_SCALES = RefinementScales((232, 288), 24, (False,))
MANY_SCALES = RefinementScales(tuple(range(120, 321, 20)), 48, (False, True))


@dataclass(frozen=True, slots=True)
class DetectedFace:
    """A face to refine, in pixels of `pixels`.

    Attributes:
        pixels: the decoded photo, RGB (height, width, 3), at the scale that refinement and alignment use.
        box: (4,) left, top, width, height.
        points: (5, 2) landmarks.
        score: 0 to 1.
        scales: the scales at which this face is refined.
    """

    pixels: Pixels
    box: Floats
    points: Floats
    score: float
    scales: RefinementScales


def faces_to_refine(pixels: Pixels, found: RawDetections) -> tuple[DetectedFace, ...]:
    """Choose how the faces of one photo are refined: only the first MAX_UNCERTAIN uncertain ones by many passes.

    Args:
        pixels: RGB (height, width, 3) at the scale that refinement and alignment use.
        found: the faces in these pixels, largest first.
    """
    is_uncertain = (found.scores < UNCERTAIN_SCORE) & (found.boxes[:, 2:].min(axis=1) >= UNCERTAIN_MIN_SIZE)
    gets_many = is_uncertain & (np.cumsum(is_uncertain) <= MAX_UNCERTAIN)
    scales = [MANY_SCALES if many else TWO_SCALES for many in gets_many.tolist()]
    faces = zip(found.boxes, found.points, found.scores, scales, strict=True)
    return tuple(DetectedFace(pixels, *face) for face in faces)


@dataclass(frozen=True, slots=True)
class RefinedLandmarks:
    """The result for one face, in pixels of `DetectedFace.pixels`.

    Attributes:
        box: (4,) mean over the passes.
        points: (k, 5, 2) k >= 1 estimates of the landmarks: their mean for two passes, one per pass for many.
    """

    box: Floats
    points: Floats


def refine(large_faces: Network, any_size: Network, faces: Sequence[DetectedFace]) -> list[RefinedLandmarks]:
    """Refine the landmarks of each face.

    Args:
        large_faces: YuNet with the coarsest grid only, which suffices for two passes: 784 of 792 faces were best
            predicted by its cells.
        any_size: YuNet with all grids, for many passes.
        faces: faces of one or several photos.
    """
    return [
        _refine_around_centre(any_size, face) if face.scales is MANY_SCALES else _refine_twice(large_faces, face)
        for face in faces
    ]


def _refine_twice(network: Network, face: DetectedFace) -> RefinedLandmarks:
    """Average the landmarks of two passes, whose errors differ a little with the scale."""
    refined = _refine_at_scales(network, face, face.box, TWO_SCALES)
    return RefinedLandmarks(refined.box, refined.points.mean(axis=0, keepdims=True))


def _refine_around_centre(network: Network, face: DetectedFace) -> RefinedLandmarks:
    """Run all passes once to centre the box, and again around it."""
    centred = _refine_at_scales(network, face, face.box, MANY_SCALES)
    return _refine_at_scales(network, face, centred.box, MANY_SCALES)


def _refine_at_scales(network: Network, face: DetectedFace, box: Floats, scales: RefinementScales) -> RefinedLandmarks:
    crops = [_FaceCrop(box, size, scales.margin, mirrored) for size, mirrored in product(scales.sizes, scales.mirrored)]
    estimates = [
        estimate
        for crop in crops
        for estimate in crop.central_face(detect_on_canvas(network, crop.draw(face.pixels), MIN_SCORE))
    ]
    if not estimates:
        return RefinedLandmarks(box, face.points[None])
    return RefinedLandmarks(
        np.mean([estimate.box for estimate in estimates], axis=0),
        np.concatenate([estimate.points for estimate in estimates]),
    )


class _FaceCrop:
    """A square canvas with a face in its middle, and the mapping between photo pixels and canvas pixels.

    The crop covers whole pixels of the photo: resizing them is several times quicker than sampling between them.

    Args:
        box: (4,) of the face, in photo pixels.
        size: pixels of the face's longer side on the canvas.
        margin: pixels of the canvas around it, in all.
        mirrored: whether to mirror the canvas left to right.
    """

    def __init__(self, box: Floats, size: int, margin: int, mirrored: bool) -> None:
        self._size, self._mirrored = size, mirrored
        self._side = round_up(size + margin)
        self._span = max(round(float(max(box[2:])) * self._side / size), 1)
        self._scale = np.float32(self._side / self._span)
        self._corner = np.round(box[:2] + box[2:] / 2 - self._span / 2).astype(int)
        # Coordinates are those of pixel centres, hence the halves.
        self._shift = ((0.5 - self._corner) * self._scale - 0.5).astype(np.float32)

    def draw(self, pixels: Pixels) -> Pixels:
        """Return the canvas (side, side, 3); what lies outside the photo is black."""
        interpolation = cv2.INTER_LINEAR if self._scale >= 1 else cv2.INTER_AREA
        canvas = cv2.resize(self._region(pixels), (self._side, self._side), interpolation=interpolation)
        return canvas[:, ::-1] if self._mirrored else canvas  # type: ignore[return-value]

    def _region(self, pixels: Pixels) -> Pixels:
        height, width = pixels.shape[:2]
        (left, top), (right, bottom) = self._corner.tolist(), (self._corner + self._span).tolist()
        inside = pixels[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
        missing = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
        return cv2.copyMakeBorder(inside, *missing, cv2.BORDER_CONSTANT) if any(missing) else inside  # type: ignore[return-value]

    def central_face(self, candidates: RawDetections) -> list[RefinedLandmarks]:
        """Map the face in the middle of the canvas to photo pixels; an empty list if none was detected there."""
        centres = candidates.boxes[:, :2] + candidates.boxes[:, 2:] / 2
        candidates = candidates[np.abs(centres - self._side / 2).max(axis=1) <= self._size / 4]
        if not len(candidates):
            return []
        box, points = _score_weighted_mean(candidates)
        if self._mirrored:
            box, points = _mirror(box, points, self._side)
        box[:2] -= self._shift
        return [RefinedLandmarks(box / self._scale, (points[None] - self._shift) / self._scale)]


def _score_weighted_mean(candidates: RawDetections) -> tuple[Floats, Floats]:
    """Average box (4,) and landmarks (5, 2) over neighbouring cells, which is more stable than the best cell alone."""
    scores = candidates.scores
    weights = np.where(scores >= MIN_RELATIVE_SCORE * scores.max(), scores, np.float32(0))
    weights /= weights.sum()
    points: Floats = np.einsum("k,kij->ij", weights, candidates.points)
    return weights @ candidates.boxes, points


def _mirror(box: Floats, points: Floats, side: int) -> tuple[Floats, Floats]:
    box, points = box.copy(), points[MIRRORED_ORDER]
    box[0] = side - 1 - box[0] - box[2]
    points[:, 0] = side - 1 - points[:, 0]
    return box, points
