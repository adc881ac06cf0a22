"""Refine the boxes and landmarks of detected faces by further detection passes on enlarged crops.

YuNet's landmarks are precise from about 200 pixels of face upwards, and the similarity of two embeddings depends on
them more than on anything else. A face gets two passes at two scales; an uncertain one (a profile, say) gets many,
since two alone would follow the noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.engine.context import Floats, Network, Pixels
from mien.engine.detect import RawDetections, detect_on_canvases, round_up
from mien.engine.halvings import Halvings

UNCERTAIN_SCORE = 0.85
UNCERTAIN_MIN_SIZE = 80
"""Pixels of a face's shorter side; smaller faces are not worth many passes."""

MAX_UNCERTAIN, MIN_UNCERTAIN = 8, 2
"""Uncertain faces of one photo that get many passes, and how many do in spite of PHOTO_SECONDS."""

FEW_UNCERTAIN = 2
"""Uncertain faces beyond which the photo takes as long as a large one."""

UNCERTAIN_SECONDS, FACE_SECONDS = 0.12, 0.008
"""What an uncertain face takes of a core, as long as ten other photos, and what any face takes."""

PHOTO_SECONDS = 1.7
"""That decoding a photo and reading its faces may take before fewer of them get many passes: of three seconds, what is
left for detection, and for averaging with mirrored faces."""

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
        pixels: the decoded photo, RGB (height, width, 3), at the scale that refinement and alignment of this face use.
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


def faces_to_refine(pixels: Pixels, found: RawDetections, decoding_seconds: float) -> tuple[DetectedFace, ...]:
    """Choose how the faces of one photo are refined: only the first few uncertain ones by many passes.

    Args:
        pixels: RGB (height, width, 3) at the scale that refinement and alignment use, but for large faces.
        found: the faces in these pixels, largest first.
        decoding_seconds: what decoding the photo is estimated to take of a core.
    """
    affordable = int((PHOTO_SECONDS - decoding_seconds - FACE_SECONDS * len(found)) / UNCERTAIN_SECONDS)
    most = max(MIN_UNCERTAIN, min(MAX_UNCERTAIN, affordable))
    is_uncertain = (found.scores < UNCERTAIN_SCORE) & (found.boxes[:, 2:].min(axis=1) >= UNCERTAIN_MIN_SIZE)
    gets_many = is_uncertain & (np.cumsum(is_uncertain) <= most)
    scales = [MANY_SCALES if many else TWO_SCALES for many in gets_many.tolist()]
    sides, halvings = found.boxes[:, 2:].max(axis=1).tolist(), Halvings(pixels)
    faces = zip(map(halvings.for_face, sides), found.boxes, found.points, found.scores, scales, strict=True)
    return tuple(
        DetectedFace(copy, box * np.float32(scale), points * np.float32(scale), score, at)
        for (copy, scale), box, points, score, at in faces
    )


def take_long(faces: Sequence[DetectedFace]) -> bool:
    """Whether refining the faces of a photo takes longer than a quick photo may."""
    return sum(face.scales is MANY_SCALES for face in faces) > FEW_UNCERTAIN


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
    twice = iter(_refine_twice(large_faces, [face for face in faces if face.scales is not MANY_SCALES]))
    return [_refine_around_centre(any_size, face) if face.scales is MANY_SCALES else next(twice) for face in faces]


def _refine_twice(network: Network, faces: Sequence[DetectedFace]) -> list[RefinedLandmarks]:
    """Average the landmarks of two passes, whose errors differ a little with the scale."""
    if not faces:
        return []
    refined = _refine_at_scales(network, faces, np.stack([face.box for face in faces]), TWO_SCALES)
    return [RefinedLandmarks(one.box, one.points.mean(axis=0, keepdims=True)) for one in refined]


def _refine_around_centre(network: Network, face: DetectedFace) -> RefinedLandmarks:
    """Run all passes once to centre the box, and again around it."""
    [centred] = _refine_at_scales(network, [face], face.box[None], MANY_SCALES)
    return _refine_at_scales(network, [face], centred.box[None], MANY_SCALES)[0]


def _refine_at_scales(
    network: Network, faces: Sequence[DetectedFace], boxes: Floats, scales: RefinementScales
) -> list[RefinedLandmarks]:
    """Refine faces around boxes (n, 4)."""
    crops = _FaceCrops(boxes, scales)
    estimates = crops.central_faces(
        *detect_on_canvases(network, crops.draw([face.pixels for face in faces]), MIN_SCORE)
    )
    return [
        RefinedLandmarks(estimates.boxes[own].mean(axis=0), estimates.points[own])
        if (own := estimates.faces == number).any()
        else RefinedLandmarks(box, face.points[None])
        for number, (box, face) in enumerate(zip(boxes, faces, strict=True))
    ]


@dataclass(frozen=True, slots=True)
class _Estimates:
    """What n of the passes found: boxes (n, 4), landmarks (n, 5, 2) in photo pixels; the face's number (n,)."""

    boxes: Floats
    points: Floats
    faces: NDArray[np.intp]


class _FaceCrops:
    """Square canvases with a face in the middle of each, and the mappings between photo pixels and canvas pixels.

    A crop covers whole pixels of the photo: resizing them is several times quicker than sampling between them.

    Args:
        boxes: (n, 4) of the faces, in photo pixels.
        scales: the canvases of each face.
    """

    def __init__(self, boxes: Floats, scales: RefinementScales) -> None:
        of_each = list(product(scales.sizes, scales.mirrored))
        self._per_face, count = len(of_each), len(boxes)
        self._mirrored = np.array([mirrored for _, mirrored in of_each] * count)
        self._sizes = np.array([size for size, _ in of_each] * count)
        self._sides = np.array([round_up(size + scales.margin) for size, _ in of_each] * count)
        repeated = boxes.repeat(self._per_face, axis=0)
        longer = repeated[:, 2:].max(axis=1).astype(np.float64)
        self._spans = np.maximum(np.rint(longer * self._sides / self._sizes), 1).astype(int)
        self._scales = (self._sides / self._spans).astype(np.float32)[:, None]
        centres = repeated[:, :2] + repeated[:, 2:] / 2
        self._corners = np.rint(centres - self._spans[:, None] / 2).astype(int)
        # Coordinates are those of pixel centres, hence the halves.
        self._shifts = ((0.5 - self._corners) * self._scales - 0.5).astype(np.float32)

    def draw(self, photos: Sequence[Pixels]) -> Iterator[Pixels]:
        """Draw the canvases (side, side, 3) of each face's photo; what lies outside is black."""
        crops = zip(self._sides.tolist(), self._spans.tolist(), self._corners.tolist(), self._mirrored, strict=True)
        drawn, canvas = None, np.empty(0, np.uint8)
        for number, (side, span, corner, mirrored) in enumerate(crops):
            crop = (number // self._per_face, side, span, corner)
            if crop != drawn:  # a mirrored canvas comes after the plain one, whose resizing takes most of the time
                region = _region(photos[crop[0]], corner, span)
                interpolation = cv2.INTER_LINEAR if side >= span else cv2.INTER_AREA
                drawn, canvas = crop, cv2.resize(region, (side, side), interpolation=interpolation)  # type: ignore[assignment]
            yield canvas[:, ::-1] if mirrored else canvas

    def central_faces(self, candidates: RawDetections, crops: NDArray[np.intp]) -> _Estimates:
        """Find the face in the middle of each canvas, where there is one.

        Neighbouring cells are averaged by their scores, which is more stable than the best one alone.

        Args:
            candidates: cells of all canvases, in canvas pixels, in the order of the canvases.
            crops: the number of each cell's canvas.
        """
        centres = candidates.boxes[:, :2] + candidates.boxes[:, 2:] / 2
        distances = np.abs(centres - self._sides[crops, None] / 2).max(axis=1)
        is_central = distances <= self._sizes[crops] / 4
        candidates, crops = candidates[is_central], crops[is_central]
        found, starts, counts = np.unique(crops, return_index=True, return_counts=True)
        best = np.maximum.reduceat(candidates.scores, starts).repeat(counts) if len(found) else candidates.scores
        weights = np.where(candidates.scores >= MIN_RELATIVE_SCORE * best, candidates.scores, np.float32(0))
        values = np.concatenate([np.ones((len(crops), 1)), candidates.boxes, candidates.points.reshape(-1, 10)], axis=1)
        sums = np.add.reduceat(values * weights[:, None], starts) if len(found) else values
        means = (sums[:, 1:] / sums[:, :1]).astype(np.float32)
        return self._in_photo(means[:, :4], means[:, 4:].reshape(-1, 5, 2), found)

    def _in_photo(self, boxes: Floats, points: Floats, crops: NDArray[np.intp]) -> _Estimates:
        mirrored = self._mirrored[crops]
        if mirrored.any():
            side = self._sides[crops][mirrored]
            boxes[mirrored, 0] = side - 1 - boxes[mirrored, 0] - boxes[mirrored, 2]
            points[mirrored] = points[mirrored][:, MIRRORED_ORDER]
            points[mirrored, :, 0] = side[:, None] - 1 - points[mirrored, :, 0]
        shifts, scales = self._shifts[crops], self._scales[crops]
        boxes[:, :2] -= shifts
        return _Estimates(boxes / scales, (points - shifts[:, None]) / scales[:, None], crops // self._per_face)


def _region(pixels: Pixels, corner: tuple[int, int], span: int) -> Pixels:
    """Cut a square out of a photo; what lies outside is black."""
    height, width = pixels.shape[:2]
    left, top = corner
    right, bottom = left + span, top + span
    inside = pixels[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    missing = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
    return cv2.copyMakeBorder(inside, *missing, cv2.BORDER_CONSTANT) if any(missing) else inside  # type: ignore[return-value]
