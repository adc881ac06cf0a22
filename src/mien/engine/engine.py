"""Image bytes go in, faces with embeddings come out: decode, detect, refine, align, embed, in this order.

One engine serves any number of threads; nothing waits on a lock while a model runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.domain.errors import ImageError
from mien.domain.faces import Box, Detection, Landmarks, Point
from mien.domain.limits import MAX_FACES_PER_PHOTO
from mien.engine import model_files
from mien.engine.align import SIDE, crop, face_size
from mien.engine.arrays import Floats, Pixels
from mien.engine.context import EngineContext
from mien.engine.decode import Limits, Photo, open_photo
from mien.engine.detect import Candidates
from mien.engine.embed import embed
from mien.engine.model_factory import ModelFactory
from mien.engine.multiscale import find_faces
from mien.engine.onnx_passes import STRIDES
from mien.engine.quality import measure, pose
from mien.engine.refine import USUAL_CANVASES, Refined, Rough, refine

PREPROCESSING = 2
SHARP_ENOUGH = 2 * SIDE
GROUP = 8  # photos whose faces go through the models together
MOST_HELD = 64 * 1024 * 1024
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
        detector, embedder = (
            model_files.load(file, models_dir) for file in (model_files.DETECTOR, model_files.EMBEDDER)
        )
        self._machine = EngineContext(threads)
        self.model_version = _version(detector, embedder, mirrored)
        networks = ModelFactory(self._machine)
        self._finder = networks.detector(detector, STRIDES)
        self._near = networks.detector(detector, STRIDES[-1:], USUAL_CANVASES)
        self._refiner = networks.detector(detector, STRIDES, USUAL_CANVASES)
        self._embedder = networks.embedder(embedder)
        self._limits, self._mirrored = limits, mirrored

    def detect(self, image: bytes) -> list[Detection]:
        """Find the faces on a photo, the largest first, at most 100. Raises ImageError's leaves."""
        with self._machine.caller():
            return [found.detection for found in self._find([self._see(image)])[0]]

    def read(self, image: bytes, most: int = MAX_FACES_PER_PHOTO) -> list[Face]:
        """Find and describe the faces on a photo, the largest first, at most `most`. Raises ImageError's leaves."""
        with self._machine.caller():
            return self._describe([self._see(image)], most)[0]

    def read_many(self, images: Iterable[bytes]) -> Iterator[list[Face] | ImageError]:
        """Read photos on all cores; answers come in order, an unusable photo's error in its place."""
        waiting: deque[Future[list[list[Face] | ImageError]]] = deque()
        source = iter(images)
        groups = iter(lambda: list(islice(source, GROUP)), [])
        workers = WORKERS_PER_CORE * self._machine.threads
        with ThreadPoolExecutor(workers) as pool:
            waiting.extend(pool.submit(self._read_group, group) for group in islice(groups, workers + 1))
            while waiting:
                yield from waiting.popleft().result()
                waiting.extend(pool.submit(self._read_group, group) for group in islice(groups, 1))

    def _read_group(self, images: Sequence[bytes]) -> list[list[Face] | ImageError]:
        answers: list[list[Face] | ImageError] = []
        with self._machine.caller():
            for seen in _within_memory(map(self._see_or_refuse, images)):
                described = iter(self._describe([sight for sight in seen if isinstance(sight, _Sight)]))
                answers += [next(described) if isinstance(sight, _Sight) else sight for sight in seen]
        return answers

    def _see_or_refuse(self, image: bytes) -> _Sight | ImageError:
        try:
            return self._see(image)
        except ImageError as error:
            return error

    def _see(self, image: bytes) -> _Sight:
        photo, found = find_faces(self._finder, open_photo(image, self._limits))
        if not len(found):
            return _Sight(photo, None, ())
        pixels, scale = _sharp_pixels(photo, found)
        found = found.scaled(scale)
        faces = zip(found.boxes, found.points, found.scores, strict=True)
        return _Sight(photo, pixels, tuple(Rough(pixels, *face) for face in faces))

    def _find(self, sights: Sequence[_Sight]) -> list[list[_Found]]:
        refined = iter(refine(self._near, self._refiner, [face for sight in sights for face in sight.faces]))
        found = [[_found(sight, face, next(refined)) for face in sight.faces] for sight in sights]
        return [sorted(faces, key=lambda face: face.detection.box.area, reverse=True) for faces in found]

    def _describe(self, sights: Sequence[_Sight], most: int = MAX_FACES_PER_PHOTO) -> list[list[Face]]:
        found = [faces[:most] for faces in self._find(sights)]
        crops = [face.crops for faces in found for face in faces]
        vectors = iter(embed(self._embedder, crops, mirrored=self._mirrored))
        return [[_face(face.detection, next(vectors)) for face in faces] for faces in found]


@dataclass(frozen=True, slots=True)
class _Sight:
    """A photo, the pixels on which its faces are looked at again, and the faces as they were found."""

    photo: Photo
    pixels: Pixels | None
    faces: tuple[Rough, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    detection: Detection
    crops: list[Pixels]


def _within_memory(sights: Iterable[_Sight | ImageError]) -> Iterator[list[_Sight | ImageError]]:
    """The same, in lists whose pixels together take about MOST_HELD bytes at most, or one photo's."""
    held: list[_Sight | ImageError] = []
    size = 0
    for sight in sights:
        held.append(sight)
        size += sight.pixels.nbytes if isinstance(sight, _Sight) and sight.pixels is not None else 0
        if size > MOST_HELD:
            yield held
            held, size = [], 0
    yield held


def _version(detector: model_files.Weights, embedder: model_files.Weights, mirrored: bool) -> str:
    """What decides the numbers of an embedding: two that differ in it are not to be compared."""
    other_detector = "" if detector.sha256 == model_files.DETECTOR.sha256 else f"-{detector.sha256[:8]}"
    return f"sface-{PREPROCESSING}-{embedder.sha256[:12]}{other_detector}{'-mirrored' * mirrored}"


def _sharp_pixels(photo: Photo, found: Candidates) -> tuple[Pixels, float]:
    """Pixels on which the smallest face is still larger than its crop, as far as the photo offers them."""
    smallest = min(face_size(points) for points in found.points)
    long_side = max(photo.width, photo.height)
    pixels = photo.pixels(int(min(1.0, SHARP_ENOUGH / smallest) * long_side))
    return pixels, pixels.shape[1] / photo.width


def _found(sight: _Sight, face: Rough, seen: Refined) -> _Found:
    crops = [crop(face.pixels, five) for five in seen.points]
    middling = seen.points.mean(axis=0)
    typical = crops[0] if len(crops) == 1 else crop(face.pixels, middling)
    return _Found(_detection(sight.photo, face, seen.box, middling, typical), crops)


def _detection(photo: Photo, face: Rough, box: Floats, points: Floats, aligned: Pixels) -> Detection:
    size = np.array([face.pixels.shape[1], face.pixels.shape[0]], np.float32)
    corners = turned_back(np.stack([box[:2], box[:2] + box[2:]]) / size, photo.turned)
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    full_size = float(min(box[2:])) * photo.width / face.pixels.shape[1]
    return Detection(
        box=Box(left, top, right - left, bottom - top),
        landmarks=Landmarks(*(Point(x, y) for x, y in turned_back(points / size, photo.turned).tolist())),
        confidence=100 * float(face.score),
        pose=pose(points),
        quality=measure(aligned, full_size),
        turned=photo.turned,
    )


def turned_back(points: NDArray[np.floating[Any]], degrees: int) -> NDArray[np.floating[Any]]:
    """Where points (..., 2), fractions of a photo turned clockwise, lie on the photo as it came."""
    if not degrees:
        return points
    x, y = points[..., 0], points[..., 1]
    back = {90: (y, 1 - x), 180: (1 - x, 1 - y), 270: (1 - y, x)}[degrees]
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
