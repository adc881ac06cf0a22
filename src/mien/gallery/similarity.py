"""Cosine to similarity 0..100 and back, for the shipped calibration or a collection's own.

The curve is one logistic (mien.rates says what its values mean). A collection's own calibration
is a shift and a stretch of the cosines that lays its strangers on the shipped ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.rates import MIDPOINT, STEEPNESS

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Calibration:
    """shipped cosine = (cosine - offset) / scale; `comparisons`: how many impostor pairs it rests on."""

    offset: float = 0.0
    scale: float = 1.0
    comparisons: int = 0


SHIPPED = Calibration()


def similarity(cosine: ArrayLike, calibration: Calibration = SHIPPED) -> Floats:
    """Similarity 0..100 of cosines, in float32 and in their shape, rising with the cosine."""
    shipped = (np.asarray(cosine, np.float32) - np.float32(calibration.offset)) / np.float32(calibration.scale)
    odds_against = np.exp(np.float32(-STEEPNESS) * (shipped - np.float32(MIDPOINT)))
    return np.asarray(np.float32(100) / (np.float32(1) + odds_against), np.float32)


def cosine_at(similarity: float, calibration: Calibration = SHIPPED) -> float:
    """The cosine with this similarity: -1 at 0, and infinite at 100, which no cosine of float32 need exceed."""
    if similarity <= 0:
        return -1.0
    if similarity >= 100:
        return float("inf")
    shipped = MIDPOINT - float(np.log(100 / similarity - 1)) / STEEPNESS
    return calibration.offset + calibration.scale * shipped
