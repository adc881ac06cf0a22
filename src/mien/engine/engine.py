"""Run the recognition pipeline: decode, detect, refine, align, embed.

Coordinates pass through three frames: canvas pixels (a detection pass), photo pixels (the upright, perhaps rotated
photo at the scale of a decoding), and fractions of the upright photo (every result).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mien.domain.errors import ImageError
from mien.domain.faces import Box, Detection
from mien.domain.policy import MAX_FACES_PER_PHOTO
from mien.engine import model_files
from mien.engine.align import CROP_SIDE, AlignedFace, face_size
from mien.engine.context import EngineContext, Floats, Pixels
from mien.engine.decode import Photo, admitted_photo
from mien.engine.detect import CANVAS_STEP, RawDetections
from mien.engine.embed import embed
from mien.engine.limits import Limits
from mien.engine.model_factory import ModelFactory
from mien.engine.multiscale import CROWD, find_faces
from mien.engine.networks.onnx_passes import STRIDES
from mien.engine.portrait import cut_portrait
from mien.engine.refine import DetectedFace, faces_to_refine, refine, take_long

T = TypeVar("T")

PREPROCESSING_VERSION = 2
"""Part of the model version: raised when a change moves embeddings too far to compare."""

MIN_FACE_SIZE = 2 * CROP_SIDE
"""Pixels of the smallest face at the scale for refinement and alignment, as far as the photo offers them."""

READ_BATCH = 8
"""Photos whose faces are refined and embedded together."""

MAX_PENDING_BYTES = 64 * 1024 * 1024
"""Decoded pixels that a batch holds before its faces are embedded."""


@dataclass(frozen=True, slots=True)
class Face(Detection):
    """A detected face with its embedding.

    Attributes:
        embedding: (128,), float32, unit length. The dot product of two embeddings is their cosine.
    """

    embedding: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FacePortrait:
    """A face that was cut out of its photo.

    Attributes:
        face: The face, in the frame of its photo.
        image: A JPEG that shows the face with some surroundings.
        box: The face's place in that JPEG, in fractions of it.
    """

    face: Face
    image: bytes
    box: Box


class FaceEngine:
    """Detects and embeds the faces in photos. Thread-safe: one engine serves any number of threads.

    No lock is held while a model runs. The models are prepared at the first call, and the result is cached in the
    user's cache folder.

    Args:
        threads: cores to use; None for all.
        models_dir: folder with other builds of the two model files; None for the shipped ones.
        limits: which images are accepted.
        mirrored: average every embedding with that of the mirrored face, the probes' too, which is more stable and
            takes twice the embedding time. Such a gallery has a model version of its own.

    Attributes:
        model_version: names models and preprocessing; embeddings of equal versions are comparable.

    Raises:
        WeightsMissing: a model file does not exist or cannot be read.
        WeightsDamaged: a shipped model file has another SHA-256. A damaged file in `models_dir` is found by the first
            call of `detect`, `read` or `read_many`, which then raises it.
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
        self._context = EngineContext(threads)
        self.model_version = _model_version(detector, embedder, mirrored)
        factory = ModelFactory(self._context)
        self._detector = factory.detector(detector)
        self._large_face_refiner = factory.detector(detector, STRIDES[-1:])
        self._embedder = factory.embedder(embedder)
        self._limits, self._mirrored = limits, mirrored
        self._is_prepared = False

    def detect(self, image: bytes) -> list[Detection]:
        """Detect the faces in a photo.

        Args:
            image: a JPEG, PNG, WebP, AVIF, HEIC, TIFF, GIF or BMP file.

        Returns:
            At most 100 detections, largest first. Boxes and landmarks are fractions of the upright photo (EXIF
            orientation applied), confidence is 0 to 100.

        Raises:
            ImageError: EmptyImage, UnsupportedImage, DamagedImage, ImageTooLarge or ImageTooSmall.
            Overloaded: other photos keep the engine busy for longer than this thread waits.
        """
        with self._context.track_call(), admitted_photo(image, self._limits, self._context.budget) as photo:
            return [face.detection for face in self._align([self._detect(photo)])[0]]

    def read(self, image: bytes, max_faces: int = MAX_FACES_PER_PHOTO, *, mirrored: bool | None = None) -> list[Face]:
        """Detect and embed the faces in a photo.

        Args:
            image: a JPEG, PNG, WebP, AVIF, HEIC, TIFF, GIF or BMP file.
            max_faces: how many of the largest faces to embed, at most 100.
            mirrored: average each embedding with that of the mirrored face, as for enrolment and for comparing two
                photos: their faces are embedded once. None for the engine's own setting. Both kinds are comparable.

        Returns:
            Faces, largest first; frames and ranges as for `detect`.

        Raises:
            ImageError: EmptyImage, UnsupportedImage, DamagedImage, ImageTooLarge or ImageTooSmall.
            Overloaded: other photos keep the engine busy for longer than this thread waits.
        """
        with self._context.track_call(), admitted_photo(image, self._limits, self._context.budget) as photo:
            return self._embed([self._detect(photo)], max_faces, mirrored)[0]

    def portraits(self, image: bytes) -> list[FacePortrait]:
        """Detect and embed the faces in a photo as `read` does, and cut each out of it."""
        with self._context.track_call(), admitted_photo(image, self._limits, self._context.budget) as photo:
            return self._cut_out([self._detect(photo)])[0]

    def read_many(self, images: Iterable[bytes]) -> Iterator[list[Face] | ImageError]:
        """Detect and embed the faces in many photos, on all cores.

        Args:
            images: image files; taken from the iterable as they are needed.

        Yields:
            For each photo, in order, the same as `read`, or the ImageError that it would raise.
        """
        return self._describe_many(images, self._embed)

    def portraits_many(self, images: Iterable[bytes]) -> Iterator[list[FacePortrait] | ImageError]:
        """Do the same as `portraits` for many photos, on all cores; see `read_many`."""
        return self._describe_many(images, self._cut_out)

    def _describe_many(
        self, images: Iterable[bytes], describe: Callable[[Sequence[_DetectedPhoto]], list[T]]
    ) -> Iterator[T | ImageError]:
        pending: deque[Future[list[T | ImageError]]] = deque()
        source = iter(images)
        batches = iter(lambda: list(islice(source, READ_BATCH)), [])
        threads = self._context.threads  # two workers a core wait for one another: 2 to 6 % fewer photos
        ahead = islice(batches, 2 * threads + 1)  # a slow photo does not stop the other cores
        with ThreadPoolExecutor(threads) as pool:
            pending.extend(pool.submit(self._describe_batch, batch, describe) for batch in ahead)
            try:
                while pending:
                    yield from pending.popleft().result()
                    pending.extend(pool.submit(self._describe_batch, batch, describe) for batch in islice(batches, 1))
            finally:  # who is interrupted does not wait for batches that have not begun
                pool.shutdown(wait=False, cancel_futures=True)

    def _describe_batch(
        self, images: Sequence[bytes], describe: Callable[[Sequence[_DetectedPhoto]], list[T]]
    ) -> list[T | ImageError]:
        results: list[T | ImageError] = []
        with self._context.track_call():
            for outcomes in _within_memory(map(self._detect_or_error, images)):
                described = iter(describe([photo for photo in outcomes if isinstance(photo, _DetectedPhoto)]))
                results += [next(described) if isinstance(photo, _DetectedPhoto) else photo for photo in outcomes]
        return results

    def _detect_or_error(self, image: bytes) -> _DetectedPhoto | ImageError:
        try:
            with admitted_photo(image, self._limits, self._context.budget) as photo:
                return self._detect(photo)
        except ImageError as error:
            return error

    def _detect(self, photo: Photo) -> _DetectedPhoto:
        if photo.is_isolated and not self._is_prepared:
            self._detector(np.zeros((1, CANVAS_STEP, CANVAS_STEP, 3), np.uint8))  # while its process starts
        self._is_prepared = True
        photo, candidates = find_faces(self._detector, photo)
        if not len(candidates):
            return _DetectedPhoto(photo, None, ())
        pixels, scale = _pixels_for_alignment(photo, candidates)
        faces = faces_to_refine(pixels, candidates.scaled(scale), photo.cost.seconds)
        if photo.admission and (len(faces) >= CROWD or take_long(faces)):
            photo.admission.count_as_large()
        return _DetectedPhoto(photo, pixels, faces)

    def _align(self, photos: Sequence[_DetectedPhoto]) -> list[list[AlignedFace]]:
        """Refine, align and measure the faces of several photos; each photo's faces, largest first."""
        faces = [face for photo in photos for face in photo.faces]
        refined = iter(refine(self._large_face_refiner, self._detector, faces))
        aligned = [[AlignedFace.of(photo.photo, face, next(refined)) for face in photo.faces] for photo in photos]
        return [sorted(faces, key=lambda face: face.detection.box.area, reverse=True) for faces in aligned]

    def _embed(
        self,
        photos: Sequence[_DetectedPhoto],
        max_faces: int = MAX_FACES_PER_PHOTO,
        mirrored: bool | None = None,
    ) -> list[list[Face]]:
        return self._embed_aligned([faces[:max_faces] for faces in self._align(photos)], mirrored)

    def _cut_out(self, photos: Sequence[_DetectedPhoto]) -> list[list[FacePortrait]]:
        aligned = self._align(photos)
        cut = [[cut_portrait(face.pixels, face.box) for face in faces] for faces in aligned]
        return [
            [FacePortrait(face, *portrait) for face, portrait in zip(faces, portraits, strict=True)]
            for faces, portraits in zip(self._embed_aligned(aligned), cut, strict=True)
        ]

    def _embed_aligned(
        self, aligned: Sequence[Sequence[AlignedFace]], mirrored: bool | None = None
    ) -> list[list[Face]]:
        crops = [face.crops for faces in aligned for face in faces]
        embeddings = iter(embed(self._embedder, crops, mirrored=self._mirrored if mirrored is None else mirrored))
        return [[_face(face.detection, next(embeddings)) for face in faces] for faces in aligned]


@dataclass(frozen=True, slots=True)
class _DetectedPhoto:
    """A photo after detection: the pixels for refinement and alignment (None without faces), and the faces in them."""

    photo: Photo
    pixels: Pixels | None
    faces: tuple[DetectedFace, ...]


def _within_memory(photos: Iterable[_DetectedPhoto | ImageError]) -> Iterator[list[_DetectedPhoto | ImageError]]:
    """Split a batch into lists that end with the photo by which their pixels exceed MAX_PENDING_BYTES."""
    pending: list[_DetectedPhoto | ImageError] = []
    size = 0
    for photo in photos:
        pending.append(photo)
        size += photo.pixels.nbytes if isinstance(photo, _DetectedPhoto) and photo.pixels is not None else 0
        if size > MAX_PENDING_BYTES:
            yield pending
            pending, size = [], 0
    yield pending


def _model_version(detector: model_files.LoadedModel, embedder: model_files.LoadedModel, mirrored: bool) -> str:
    other_detector = "" if detector.sha256 == model_files.DETECTOR.sha256 else f"-{detector.sha256[:8]}"
    return f"sface-{PREPROCESSING_VERSION}-{embedder.sha256[:12]}{other_detector}{'-mirrored' * mirrored}"


def _pixels_for_alignment(photo: Photo, candidates: RawDetections) -> tuple[Pixels, float]:
    """Decode the photo so that its smallest face has MIN_FACE_SIZE; returns pixels and their scale to full size."""
    smallest = min(face_size(points) for points in candidates.points)
    long_side = max(photo.width, photo.height)
    pixels = photo.pixels(int(min(1.0, MIN_FACE_SIZE / smallest) * long_side))
    return pixels, pixels.shape[1] / photo.width


def _face(detection: Detection, embedding: Floats) -> Face:
    return Face(
        detection.box,
        detection.landmarks,
        detection.confidence,
        detection.pose,
        detection.quality,
        detection.rotation,
        embedding=embedding,
    )
