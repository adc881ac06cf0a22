"""Synthetic faces: unit vectors around a centre for each person, so that only faces of one person are similar."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.domain.faces import Box

Vectors = NDArray[np.float32]
MODEL = "test-1"


@dataclass(frozen=True)
class SyntheticFace:
    box: Box
    confidence: float
    embedding: Vectors


def embedding(person: int, photo: int = 0, spread: float = 0.4) -> Vectors:
    """Make the unit vector (128,) of one person in one photo."""
    centre = _unit(np.random.default_rng(person).standard_normal(128))
    noise = _unit(np.random.default_rng((person, photo, 1)).standard_normal(128))
    return _unit(centre + spread * noise)


def embeddings(count: int, seed: int = 0) -> Vectors:
    """Unit vectors (count, 128) of different people."""
    rows = np.random.default_rng(seed).standard_normal((count, 128))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def face(person: int, photo: int = 0, place: int = 0) -> SyntheticFace:
    """Faces at different places do not overlap."""
    return SyntheticFace(Box(0.01 * place, 0.25, 0.01, 0.5), 99.5, embedding(person, photo))


def image_id(number: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, str(number)))


def _unit(vector: NDArray[np.float64]) -> Vectors:
    return np.asarray(vector / np.linalg.norm(vector), np.float32)
