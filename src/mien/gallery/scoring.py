"""Cosine to similarity 0..100 and back, for the shipped calibration or a collection's own.

The curve is one logistic (mien.domain.thresholds says what its values mean). A collection's own calibration
is a shift and a stretch of the cosines that lays its strangers on the shipped ones.

Several embeddings of one person to the one that stands for them.

The mean of the unit vectors, made unit again. docs/accuracy.md compares it with a trimmed mean, weights
by centrality, and the best single photo.

Calibration from one's own strangers: their cosines are laid on those of the shipped table.

The impostor cosines of this model are nearly normal (docs/accuracy.md), so a shift and a stretch
say how another camera or population differs; the far tail, which no small collection can show,
keeps the shipped shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.domain.errors import InvalidInput
from mien.domain.thresholds import FMR_TO_COSINE, MIDPOINT, STEEPNESS, cosine_of_fmr

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


def aggregate(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unit rows (k, d) to a unit vector (d,); zeros where the rows cancel out or are all zero."""
    centre = embeddings.mean(axis=0)
    length = np.linalg.norm(centre)
    return np.asarray(centre / length if length > 0 else centre, np.float32)


ENOUGH_PER_RATE = 10
LEAST_COMPARISONS = 1000
"""Ten strangers' pairs beyond the cosine of FMR 1e-2, the least that says anything about a tail."""

LEAST_SCALE = 0.1
LARGEST_RATE = FMR_TO_COSINE[0][0]
SAMPLE = 4000


def calibrate(strangers: Floats) -> Calibration:
    """The calibration that impostor cosines (n,) ask for. InvalidInput when they are too few or not spread."""
    smallest = smallest_rate(len(strangers))
    if len(strangers) < LEAST_COMPARISONS:
        support = f"These support no smaller false match rate than {smallest:.1e}." if smallest < 1 else ""
        raise InvalidInput(
            f"{len(strangers)} pairs of different people are too few to calibrate on; {LEAST_COMPARISONS} are "
            f"needed. {support}".rstrip()
        )
    rates = np.geomspace(LARGEST_RATE, smallest, 20)
    own = np.quantile(strangers, 1 - rates)
    shipped = np.array([cosine_of_fmr(rate) for rate in rates])
    scale, offset = np.polyfit(shipped, own, 1)
    if scale < LEAST_SCALE:
        raise InvalidInput("The photos of different people are all equally alike; no calibration fits them.")
    return Calibration(float(offset), float(scale), len(strangers))


def smallest_rate(comparisons: int) -> float:
    """The smallest FMR that so many comparisons support; below, a calibration has the shipped curve's shape."""
    return ENOUGH_PER_RATE / max(comparisons, 1)


def stranger_cosines(embeddings: Floats, people: NDArray[np.int64], *, seed: int = 0) -> Floats:
    """Cosines (n,) of all pairs of different people among unit rows; of a random 4,000 rows when there are more."""
    if len(embeddings) > SAMPLE:
        rows = np.random.default_rng(seed).choice(len(embeddings), SAMPLE, replace=False)
        embeddings, people = embeddings[rows], people[rows]
    left, right = np.triu_indices(len(embeddings), 1)
    stranger = people[left] != people[right]
    cosines: Floats = (embeddings @ embeddings.T)[left[stranger], right[stranger]]
    return cosines
