"""How recognition suffers: clean enrolment photos, probes made worse step by step."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.domain.errors import InvalidInput
from mien.domain.faces import Landmarks
from mien.evaluation.degradation import Pixels, Points, Series
from mien.evaluation.embeddings import Engine, Face, central
from mien.evaluation.folder import Folder


@dataclass(frozen=True, slots=True)
class Step:
    """At one severity: TMR and FMR of the clean threshold, and the share of probes on which no face was found.

    A probe without a face counts as not matched in `tmr`.
    """

    value: float
    tmr: float
    fmr: float
    not_found: float


@dataclass(frozen=True, slots=True)
class Probes:
    """Clean enrolments (m, d), one per person, and the photos to spoil: pixels, landmarks, and whose they are."""

    enrolled: NDArray[np.float32]
    photos: list[tuple[Pixels, Points]]
    person: NDArray[np.int64]


def prepare(engine: Engine, folder: Folder, *, per_person: int = 2) -> Probes:
    """Each person's first photo is enrolled, the next ones are probes; people with fewer are left out."""
    groups = [np.flatnonzero(folder.labels == person) for person in range(len(folder.people))]
    groups = [group[: per_person + 1] for group in groups if len(group) > per_person]
    if len(groups) < 2:
        raise InvalidInput(f"Degradation needs two people with {per_person + 1} photos each.")
    paths = [folder.photos[place].path for group in groups for place in group]
    found = [_central(answer) for answer in engine.read_many(path.read_bytes() for path in paths)]
    photos: list[tuple[Pixels, Points]] = []
    person: list[int] = []
    enrolled: list[NDArray[np.float32]] = []
    for start in range(0, len(found), per_person + 1):
        faces = [face for face in found[start : start + per_person + 1] if face]
        if len(faces) > per_person:
            places = range(start + 1, start + per_person + 1)
            photos += [_loaded(paths[i], face.landmarks) for i, face in zip(places, faces[1:], strict=True)]
            person += [len(enrolled)] * per_person
            enrolled.append(faces[0].embedding)
    return Probes(np.stack(enrolled), photos, np.array(person))


def measure(engine: Engine, probes: Probes, series: Series, threshold: float) -> Iterator[Step]:
    """One Step per severity; `threshold` is a cosine."""
    for value in series.steps:
        spoiled = (_png(series.change(pixels, points, value)) for pixels, points in probes.photos)
        faces = [_central(answer) for answer in engine.read_many(spoiled)]
        blank = np.zeros(probes.enrolled.shape[1], np.float32)
        vectors = np.stack([face.embedding if face else blank for face in faces])
        accepted = vectors @ probes.enrolled.T >= threshold
        own = probes.person[:, None] == np.arange(len(probes.enrolled))
        lost = sum(face is None for face in faces) / len(faces)
        yield Step(value, float(accepted[own].mean()), float(accepted[~own].mean()), lost)


def _central(answer: Sequence[Face] | Exception) -> Face | None:
    return None if isinstance(answer, Exception) else central(answer)


def _loaded(path: Path, marks: Landmarks) -> tuple[Pixels, Points]:
    pixels = np.asarray(Image.open(path).convert("RGB"))
    height, width = pixels.shape[:2]
    five = (marks.left_eye, marks.right_eye, marks.nose, marks.mouth_left, marks.mouth_right)
    return pixels, np.array([(point.x * width, point.y * height) for point in five], np.float32)


def _png(image: Pixels) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG", compress_level=1)
    return out.getvalue()
