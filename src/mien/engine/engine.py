"""Image bytes go in, faces with embeddings come out: decode, detect, refine, align, embed, in this order.

One engine serves any number of threads; nothing waits on a lock while a model runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.engine import weights
from mien.engine.align import SIDE, crop, face_size
from mien.engine.decode import Limits, Photo, Pixels, open_photo
from mien.engine.detect import Candidates, Floats
from mien.engine.embed import embed
from mien.engine.fold import fold
from mien.engine.look import find_faces
from mien.engine.quality import measure, pose
from mien.engine.refine import refine
from mien.engine.runtime import Network, Runtime
from mien.errors import ImageError
from mien.model import Box, Detection, Landmarks, Point

PREPROCESSING = 1
SHARP_ENOUGH = 2 * SIDE
WORKERS_PER_CORE = 2  # one infers while the other prepares or waits for the interpreter: 1.3 times the photos of one


@dataclass(frozen=True, slots=True)
class Face(Detection):
    """A detection and its embedding: float32, unit length, shape (128,)."""

    embedding: NDArray[np.float32]


class FaceEngine:
    """Finds the faces on a photo and describes each by a vector.

    `threads`: cores to use, all by default. `models_dir`: a folder with other builds of the two model files.
    `mirrored`: average each embedding with that of the mirrored face (twice the embedding time).
    Raises WeightsMissing or WeightsDamaged.
    """

    def __init__(
        self,
        *,
        threads: int | None = None,
        models_dir: Path | None = None,
        limits: Limits = Limits(),  # noqa: B008 (frozen)
        mirrored: bool = False,
    ) -> None:
        detector, embedder = (weights.load(file, models_dir) for file in (weights.DETECTOR, weights.EMBEDDER))
        self._runtime = Runtime(threads)
        self.model_version = f"sface-{PREPROCESSING}-{embedder.sha256[:12]}"
        self._detector = _network(self._runtime, detector, [-1, -1, -1, 3])
        self._embedder = _network(self._runtime, embedder, [1, SIDE, SIDE, 3])
        self._limits, self._mirrored = limits, mirrored

    def detect(self, image: bytes) -> list[Detection]:
        """Find the faces on a photo, the largest first, at most 100. Raises ImageError's leaves."""
        with self._runtime.caller():
            return [detection for detection, _ in self._find(image)]

    def read(self, image: bytes) -> list[Face]:
        """Find and describe the faces on a photo, the largest first, at most 100. Raises ImageError's leaves."""
        with self._runtime.caller():
            return [
                _face(detection, embed(self._embedder, crops, mirrored=self._mirrored))
                for detection, crops in self._find(image)
            ]

    def read_many(self, images: Iterable[bytes]) -> Iterator[list[Face] | ImageError]:
        """Read photos on all cores; answers come in order, an unusable photo's error in its place."""
        waiting: deque[Future[list[Face] | ImageError]] = deque()
        source = iter(images)
        workers = WORKERS_PER_CORE * self._runtime.threads
        with ThreadPoolExecutor(workers) as pool:
            waiting.extend(pool.submit(self._read, image) for image in islice(source, 2 * workers))
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(self._read, image) for image in islice(source, 1))

    def _read(self, image: bytes) -> list[Face] | ImageError:
        try:
            return self.read(image)
        except ImageError as error:
            return error

    def _find(self, image: bytes) -> list[tuple[Detection, list[Pixels]]]:
        photo, found = find_faces(self._detector, open_photo(image, self._limits))
        if not len(found):
            return []
        pixels, scale = _sharp_pixels(photo, found)
        found = found.scaled(scale)
        looks = refine(self._detector, pixels, found)
        faces = [
            (
                _detection(photo, pixels, box, points.mean(axis=0), score),
                [crop(pixels, five) for five in points],
            )
            for (box, points), score in zip(looks, found.scores, strict=True)
        ]
        return sorted(faces, key=lambda face: face[0].box.area, reverse=True)


def _network(runtime: Runtime, model: weights.Weights, shape: list[int]) -> Network:
    return runtime.network(model.sha256, lambda: fold(model.content), shape)


def _sharp_pixels(photo: Photo, found: Candidates) -> tuple[Pixels, float]:
    """Pixels on which the smallest face is still larger than its crop, as far as the photo offers them."""
    smallest = min(face_size(points) for points in found.points)
    long_side = max(photo.width, photo.height)
    pixels = photo.pixels(int(min(1.0, SHARP_ENOUGH / smallest) * long_side))
    return pixels, pixels.shape[1] / photo.width


def _detection(photo: Photo, pixels: Pixels, box: Floats, points: Floats, score: float) -> Detection:
    size = np.array([pixels.shape[1], pixels.shape[0]], np.float32)
    corners = turned_back(np.stack([box[:2], box[:2] + box[2:]]) / size, photo.turned)
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    full_size = float(min(box[2:])) * photo.width / pixels.shape[1]
    return Detection(
        box=Box(left, top, right - left, bottom - top),
        landmarks=Landmarks(*(Point(x, y) for x, y in turned_back(points / size, photo.turned).tolist())),
        confidence=100 * float(score),
        pose=pose(points),
        quality=measure(crop(pixels, points), full_size),
        turned=photo.turned,
    )


def turned_back(points: NDArray[np.floating[Any]], degrees: int) -> NDArray[np.floating[Any]]:
    """Where points (..., 2), fractions of a photo turned clockwise, lie on the photo as it came."""
    x, y = points[..., 0], points[..., 1]
    back = {0: (x, y), 90: (y, 1 - x), 180: (1 - x, 1 - y), 270: (1 - y, x)}[degrees]
    return np.stack(back, axis=-1)


def _face(found: Detection, vector: Floats) -> Face:
    return Face(
        found.box,
        found.landmarks,
        found.confidence,
        found.pose,
        found.quality,
        found.turned,
        embedding=vector,
    )
