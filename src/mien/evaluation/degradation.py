"""Degrade photos in known steps (small, blurred, dark, covered, ...) and measure how recognition suffers.

Degradations are pure functions of an RGB image, its landmarks and a strength; `SERIES` lists them with their steps.
They suit portraits like LFW's, where the face fills the middle. One clean photo per person is enrolled, and the
degraded photos are the probes.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import simplejpeg  # type: ignore[import-untyped]
from numpy.typing import NDArray
from PIL import Image

from mien.domain.errors import InvalidInput
from mien.domain.faces import Landmarks
from mien.engine.context import Pixels
from mien.evaluation.dataset import Folder
from mien.evaluation.embeddings import EmbeddedFace, EmbeddingEngine, central_face

Points = NDArray[np.float32]
"""Five landmarks (5, 2) in photo pixels: left eye, right eye, nose, left and right corner of the mouth."""

FACE_HEIGHT = 112
"""Pixels of a face's height in an LFW photo of 250 x 250."""

SUNGLASSES_COLOUR, MASK_COLOUR = (10, 10, 10), (160, 200, 220)


def downscaled(image: Pixels, points: Points, face_height: float) -> Pixels:
    """Scale the whole photo so that the face is `face_height` pixels high."""
    scale = face_height / FACE_HEIGHT
    return _rgb(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))


def blurred(image: Pixels, points: Points, sigma: float) -> Pixels:
    """Apply Gaussian blur; `sigma` in pixels of a face 112 high."""
    return _rgb(cv2.GaussianBlur(image, (0, 0), sigma)) if sigma else image


def compressed(image: Pixels, points: Points, quality: float) -> Pixels:
    """Compress the photo as a JPEG of this quality, 1 to 100."""
    return _rgb(simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(image, int(quality))))


def brightened(image: Pixels, points: Points, gain: float) -> Pixels:
    """Multiply every value by `gain` and clip it, as exposure does; a gain below 1 darkens."""
    return _rgb(np.clip(image * gain, 0, 255))


def noisy(image: Pixels, points: Points, sigma: float) -> Pixels:
    """Add Gaussian noise, `sigma` in grey levels; the same noise for photos of one size."""
    noise = np.random.default_rng(0).normal(0, sigma, image.shape)
    return _rgb(np.clip(image + noise, 0, 255))


def squeezed(image: Pixels, points: Points, share: float) -> Pixels:
    """Narrow one half of the face to `share` of its width: a stand-in for yaw."""
    height, width = image.shape[:2]
    nose = int(np.clip(points[2, 0], 1, width - 1))
    near = image[:, :nose]
    far = cv2.resize(image[:, nose:], (max(1, round((width - nose) * share)), height), interpolation=cv2.INTER_AREA)
    return _rgb(np.concatenate((near, far), axis=1))


def masked(image: Pixels, points: Points, share: float) -> Pixels:
    """Draw a light-blue mask from the chin up to `share` of the way from the mouth (0) to the eyes (1)."""
    left, right, mouth = points[0], points[1], points[3:].mean(axis=0)
    across = right - left
    top = mouth + ((left + right) / 2 - mouth) * share
    chin = mouth + (mouth - (left + right) / 2) * 0.7
    corners = [top - across, top + across, chin + across * 0.7, chin - across * 0.7]
    covered = image.copy()
    cv2.fillConvexPoly(covered, np.array(corners, np.int32), MASK_COLOUR)
    return covered


def sunglasses(image: Pixels, points: Points, size: float) -> Pixels:
    """Draw black glasses; the radius of a lens is `size` times half the distance of the eyes."""
    covered = image.copy()
    radius = int(np.linalg.norm(points[1] - points[0]) / 2 * size)
    for eye in points[:2]:
        cv2.circle(covered, tuple(int(v) for v in eye), radius, SUNGLASSES_COLOUR, -1)
    return covered


def _rgb(image: NDArray[np.generic]) -> Pixels:
    return np.ascontiguousarray(image, dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Series:
    """A degradation and its steps.

    Attributes:
        name: heading of the series.
        unit: what a step measures.
        change: function of image (height, width, 3), landmarks and step.
        steps: strengths, in the order of the report.
    """

    name: str
    unit: str
    change: Callable[[Pixels, Points, float], Pixels]
    steps: tuple[float, ...]


SERIES = (
    Series("Resolution", "height of the face, pixels", downscaled, (112, 80, 56, 40, 32, 24, 20)),
    Series("Blur", "sigma, pixels of a face 112 high", blurred, (0, 1, 2, 3, 4, 6)),
    Series("JPEG", "quality", compressed, (90, 50, 30, 20, 10, 5)),
    Series("Pose (squeezed half face)", "width left of one half", squeezed, (1.0, 0.8, 0.6, 0.45, 0.3)),
    Series("Mask", "how far up to the eyes", masked, (0.0, 0.25, 0.5, 0.7)),
    Series("Sunglasses", "lens radius / half the eyes' distance", sunglasses, (0.0, 0.3, 0.6, 0.9)),
    Series("Brightness", "exposure factor", brightened, (0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.5, 4.0)),
    Series("Noise", "sigma, grey levels", noisy, (0, 5, 10, 15, 20, 30, 40)),
)


@dataclass(frozen=True, slots=True)
class DegradationStep:
    """Rates at one step of a series.

    Attributes:
        value: the step.
        tmr: share of genuine comparisons at or above the threshold; a probe without a face does not match.
        fmr: share of impostor comparisons at or above it.
        no_face: share of probes in which no face was detected.
    """

    value: float
    tmr: float
    fmr: float
    no_face: float


@dataclass(frozen=True, slots=True)
class Probes:
    """Enrolled faces and the photos to degrade.

    Attributes:
        enrolled: (people, d) one clean embedding per person.
        photos: image and landmarks of each probe.
        person: (probes,) row of `enrolled` that each probe belongs to.
    """

    enrolled: NDArray[np.float32]
    photos: list[tuple[Pixels, Points]]
    person: NDArray[np.int64]


def prepare_probes(engine: EmbeddingEngine, folder: Folder, *, per_person: int = 2) -> Probes:
    """Enrol each person's first photo, and take the next `per_person` as probes.

    People with fewer photos, or with a photo without a face, are left out.

    Raises:
        InvalidInput: fewer than two people have enough photos.
    """
    groups = [np.flatnonzero(folder.labels == person) for person in range(len(folder.people))]
    groups = [group[: per_person + 1] for group in groups if len(group) > per_person]
    if len(groups) < 2:
        raise InvalidInput(f"Degradation needs two people with {per_person + 1} photos each.")
    paths = [folder.photos[position].path for group in groups for position in group]
    faces = [_face_or_none(result) for result in engine.read_many(path.read_bytes() for path in paths)]
    photos: list[tuple[Pixels, Points]] = []
    person: list[int] = []
    enrolled: list[NDArray[np.float32]] = []
    for start in range(0, len(faces), per_person + 1):
        own_faces = [face for face in faces[start : start + per_person + 1] if face]
        if len(own_faces) > per_person:
            positions = range(start + 1, start + per_person + 1)
            photos += [_load(paths[i], face.landmarks) for i, face in zip(positions, own_faces[1:], strict=True)]
            person += [len(enrolled)] * per_person
            enrolled.append(own_faces[0].embedding)
    return Probes(np.stack(enrolled), photos, np.array(person))


def measure_series(
    engine: EmbeddingEngine, probes: Probes, series: Series, threshold: float
) -> Iterator[DegradationStep]:
    """Compare the degraded probes with every enrolled face, step by step; `threshold` is a cosine."""
    for value in series.steps:
        degraded = (_png(series.change(pixels, points, value)) for pixels, points in probes.photos)
        faces = [_face_or_none(result) for result in engine.read_many(degraded)]
        no_embedding = np.zeros(probes.enrolled.shape[1], np.float32)
        vectors = np.stack([face.embedding if face else no_embedding for face in faces])
        accepted = vectors @ probes.enrolled.T >= threshold
        genuine = probes.person[:, None] == np.arange(len(probes.enrolled))
        no_face = sum(face is None for face in faces) / len(faces)
        yield DegradationStep(value, float(accepted[genuine].mean()), float(accepted[~genuine].mean()), no_face)


def _face_or_none(result: Sequence[EmbeddedFace] | Exception) -> EmbeddedFace | None:
    return None if isinstance(result, Exception) else central_face(result)


def _load(path: Path, landmarks: Landmarks) -> tuple[Pixels, Points]:
    pixels = np.asarray(Image.open(path).convert("RGB"))
    height, width = pixels.shape[:2]
    five = (landmarks.left_eye, landmarks.right_eye, landmarks.nose, landmarks.mouth_left, landmarks.mouth_right)
    return pixels, np.array([(point.x * width, point.y * height) for point in five], np.float32)


def _png(image: Pixels) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG", compress_level=1)
    return out.getvalue()
