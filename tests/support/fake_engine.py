"""Reads painted photos as `FaceEngine` reads real ones: quick, without models, and the same on every machine.

Photos go through the engine's own decoder and its own measure of quality, so that formats, sizes, errors and the
quality filter are the real ones; only who is in a photo is told by markers (tests.support.markers).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from functools import cache
from math import acos, atan2, degrees
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

import mien.engine
from mien.domain.errors import ImageError
from mien.domain.faces import Box, Detection, Landmarks, Point, Pose
from mien.domain.policy import MAX_FACES_PER_PHOTO
from mien.engine import Face, FacePortrait, Limits
from mien.engine.align import CROP_SIDE, TEMPLATE
from mien.engine.decode import admitted_photo
from mien.engine.portrait import cut_portrait
from mien.engine.quality import measure_quality
from tests.support.markers import CELLS, LOOK_ALIKES, dictionary, person_and_photo

if TYPE_CHECKING:
    import pytest

LONG_SIDE = 2400
"""Pixels to which larger photos are made smaller, so that a crowd is still legible and a huge photo quick."""

CERTAIN, DOUBTFUL = 99.5, 60.0
PHOTO_SPREAD = 0.6
"""How far a person's photos lie from their centre: their cosines are 1 / (1 + 0.6²), about 0.74."""

LOOK_ALIKE_SPREAD = 0.9
"""How far a look-alike's centre lies from the other's: a cosine of 0.74, and 0.55 between their photos."""

CONTENT_SPREAD = 0.02
Vector = NDArray[np.float32]
T = TypeVar("T")

_UNIT_SQUARE = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
_MARKER_ON_FACE = (_UNIT_SQUARE * (CELLS - 2) + 1) / CELLS


class FakeFaceEngine:
    """Takes the arguments of `FaceEngine` and answers as it does, about painted photos."""

    def __init__(
        self,
        *,
        threads: int | None = None,
        models_dir: Path | None = None,
        limits: Limits = Limits(),  # noqa: B008 (frozen)
        mirrored: bool = False,
    ) -> None:
        self.model_version = "painted-1" + "-mirrored" * mirrored
        self._limits = limits

    def detect(self, image: bytes) -> list[Detection]:
        return [Detection(**_without_embedding(face)) for face in self.read(image)]

    def read(self, image: bytes, max_faces: int = MAX_FACES_PER_PHOTO, *, mirrored: bool | None = None) -> list[Face]:
        """Find and describe the painted faces, the largest first. Raises ImageError's leaves."""
        with admitted_photo(image, self._limits) as photo:
            pixels = np.ascontiguousarray(photo.pixels(LONG_SIDE))
        corners, markers, _ = cv2.aruco.ArucoDetector(dictionary()).detectMarkers(pixels)
        if markers is None:
            return []
        scale = photo.width / pixels.shape[1]
        found = zip(corners, markers.ravel().tolist(), strict=True)
        faces = [_face(pixels, four[0], marker, scale) for four, marker in found]
        faces.sort(key=lambda face: (-face.box.area, face.box.left, face.box.top))
        return faces[:max_faces]

    def portraits(self, image: bytes) -> list[FacePortrait]:
        """Find and describe the painted faces, and cut each out. Raises ImageError's leaves."""
        with admitted_photo(image, self._limits) as photo:
            pixels = np.ascontiguousarray(photo.pixels(LONG_SIDE))
        height, width = pixels.shape[:2]
        return [
            FacePortrait(face, *cut_portrait(pixels, np.array(_in_pixels(face.box, width, height), np.float32)))
            for face in self.read(image)
        ]

    def portraits_many(self, images: Iterable[bytes]) -> Iterator[list[FacePortrait] | ImageError]:
        return _each(images, self.portraits)

    def read_many(self, images: Iterable[bytes]) -> Iterator[list[Face] | ImageError]:
        return _each(images, self.read)


def _each(images: Iterable[bytes], read: Callable[[bytes], T]) -> Iterator[T | ImageError]:
    for image in images:
        try:
            yield read(image)
        except ImageError as error:
            yield error


def use_fake_engine(patch: pytest.MonkeyPatch) -> None:
    """Everything that opens an engine from now on opens a fake one."""
    patch.setattr(mien.engine, "FaceEngine", FakeFaceEngine)


def embedding(person: int, photo: int) -> Vector:
    """Unit vector (128,) of a person on a photo."""
    return _unit(_centre(person) + PHOTO_SPREAD * _direction(person, photo, 1))


def _face(pixels: NDArray[np.uint8], corners: Vector, marker: int, scale: float) -> Face:
    height, width = pixels.shape[:2]
    place = cv2.getPerspectiveTransform(_MARKER_ON_FACE, corners)
    outline = cv2.perspectiveTransform(_UNIT_SQUARE[None], place)[0]
    left, top = outline.min(axis=0)
    right, bottom = outline.max(axis=0)
    points = cv2.perspectiveTransform(TEMPLATE[None] / CROP_SIDE, place)[0]
    to_crop = cv2.getPerspectiveTransform(outline, _UNIT_SQUARE * CROP_SIDE)
    crop = cv2.warpPerspective(pixels, to_crop, (CROP_SIDE, CROP_SIDE), flags=cv2.INTER_AREA)
    person, photo = person_and_photo(marker)
    noise = np.random.default_rng(list(hashlib.sha256(crop.tobytes()).digest())).standard_normal(128)
    return Face(
        Box(float(left / width), float(top / height), float((right - left) / width), float((bottom - top) / height)),
        Landmarks(*(Point(float(x / width), float(y / height)) for x, y in points)),
        _confidence(crop),
        _pose(outline),
        measure_quality(crop, float(min(right - left, bottom - top)) * scale),
        rotation=0,
        embedding=_unit(embedding(person, photo) + CONTENT_SPREAD * _unit(noise)),
    )


def _in_pixels(box: Box, width: int, height: int) -> tuple[float, float, float, float]:
    return box.left * width, box.top * height, box.width * width, box.height * height


def _confidence(crop: NDArray[np.uint8]) -> float:
    """A doubtful face's rim is blue, any other's white."""
    red, _, blue = crop[2 : CROP_SIDE // CELLS - 2].reshape(-1, 3).mean(axis=0)
    return DOUBTFUL if red < 0.8 * blue else CERTAIN


def _pose(outline: Vector) -> Pose:
    """Roll follows the upper edge; a face that is narrower than it is high looks aside, a flat one looks down."""
    across, down = outline[1] - outline[0], outline[3] - outline[0]
    wide, high = float(np.linalg.norm(across)), float(np.linalg.norm(down))
    return Pose(
        roll=degrees(atan2(float(across[1]), float(across[0]))),
        yaw=degrees(acos(min(wide / high, 1.0))),
        pitch=-degrees(acos(min(high / wide, 1.0))),
    )


@cache
def _centre(person: int) -> Vector:
    if person in LOOK_ALIKES:
        return _unit(_centre(LOOK_ALIKES[person]) + LOOK_ALIKE_SPREAD * _direction(person, 0, 0))
    return _direction(person, 0, 0)


def _direction(*seed: int) -> Vector:
    return _unit(np.random.default_rng(seed).standard_normal(128))


def _unit(vector: NDArray[Any]) -> Vector:
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def _without_embedding(face: Face) -> dict[str, Any]:
    return {field.name: getattr(face, field.name) for field in fields(Detection)}
