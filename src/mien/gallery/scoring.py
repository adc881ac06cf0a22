"""Compute similarities from cosines, calibrate a collection, and aggregate a user's embeddings.

Similarity 0 to 100 is a logistic curve of the cosine, shipped with the model; mien.domain.thresholds says what its
values mean. A collection's own calibration is a linear map of its cosines, fitted so that its impostor cosines are
distributed as those that the curve was made from. Impostor cosines of the model are nearly normal (docs/accuracy.md),
so an offset and a scale describe how another camera or population differs; the far tail, for which a small collection
has too few pairs, keeps the shipped shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.domain.errors import InvalidInput
from mien.domain.thresholds import FMR_TO_COSINE, MIDPOINT, STEEPNESS, cosine_of_fmr

Floats = NDArray[np.float32]

MIN_COMPARISONS = 1000
"""Ten impostor pairs are then above the cosine of FMR 1e-2, the fewest from which a tail can be estimated."""

_PAIRS_PER_RATE = 10
_MIN_SCALE = 0.1
_MAX_RATE = FMR_TO_COSINE[0][0]
_RATES = 20
_MAX_SAMPLE = 4000


@dataclass(frozen=True, slots=True)
class Calibration:
    """How a collection's cosines map to the shipped ones: shipped cosine = (cosine - offset) / scale.

    `comparisons` is the number of impostor pairs that it was fitted to.
    """

    offset: float = 0.0
    scale: float = 1.0
    comparisons: int = 0


SHIPPED = Calibration()


def similarity(cosine: ArrayLike, calibration: Calibration = SHIPPED) -> Floats:
    """Compute similarities, 0 to 100 in float32 and in the shape of `cosine`; they rise with the cosine."""
    shipped = (np.asarray(cosine, np.float32) - np.float32(calibration.offset)) / np.float32(calibration.scale)
    odds_against = np.exp(np.float32(-STEEPNESS) * (shipped - np.float32(MIDPOINT)))
    return np.asarray(np.float32(100) / (np.float32(1) + odds_against), np.float32)


def compare(one: Floats, other: Floats, calibration: Calibration = SHIPPED) -> float:
    """Return the similarity of two embeddings, unit vectors (128,): 0 to 100."""
    return float(similarity(one @ other, calibration))


def cosine_at(similarity: float, calibration: Calibration = SHIPPED) -> float:
    """Return the cosine of a similarity: -1 at 0, and infinity at 100, which no cosine in float32 need exceed."""
    if similarity <= 0:
        return -1.0
    if similarity >= 100:
        return float("inf")
    shipped = MIDPOINT - float(np.log(100 / similarity - 1)) / STEEPNESS
    return calibration.offset + calibration.scale * shipped


def aggregate(embeddings: Floats) -> Floats:
    """Return the mean of unit vectors (k, d), made unit again (d,); zeros where they cancel out or are zero.

    docs/accuracy.md compares it with a trimmed mean, weights by centrality, and the best single photo.
    """
    centre = embeddings.mean(axis=0)
    length = np.linalg.norm(centre)
    return np.asarray(centre / length if length > 0 else centre, np.float32)


def calibrate(impostors: Floats) -> Calibration:
    """Fit a calibration to the cosines (n,) of impostor pairs.

    Raises:
        InvalidInput: There are fewer than 1,000 pairs, or their cosines do not spread.
    """
    smallest = smallest_rate(len(impostors))
    if len(impostors) < MIN_COMPARISONS:
        support = f"These support no smaller false match rate than {smallest:.1e}." if smallest < 1 else ""
        raise InvalidInput(
            f"{len(impostors)} pairs of different people are too few to calibrate on; {MIN_COMPARISONS} are "
            f"needed. {support}".rstrip()
        )
    rates = np.geomspace(_MAX_RATE, smallest, _RATES)
    own = np.quantile(impostors, 1 - rates)
    shipped = np.array([cosine_of_fmr(rate) for rate in rates])
    scale, offset = np.polyfit(shipped, own, 1)
    if scale < _MIN_SCALE:
        raise InvalidInput("All pairs of different people are equally similar; no calibration fits them.")
    return Calibration(float(offset), float(scale), len(impostors))


def smallest_rate(comparisons: int) -> float:
    """Return the smallest FMR that so many comparisons support; below, the shipped curve's shape holds."""
    return _PAIRS_PER_RATE / max(comparisons, 1)


def impostor_cosines(embeddings: Floats, people: ArrayLike, *, seed: int = 0) -> Floats:
    """Compute the cosines (m,) of all pairs of different people.

    Args:
        embeddings: Unit vectors (n, d); of more than 4,000, a random 4,000 are compared.
        people: The person of each vector, by number or name (n,).
        seed: Of the random choice.
    """
    labels = np.asarray(people)
    if len(embeddings) > _MAX_SAMPLE:
        chosen = np.random.default_rng(seed).choice(len(embeddings), _MAX_SAMPLE, replace=False)
        embeddings, labels = embeddings[chosen], labels[chosen]
    left, right = np.triu_indices(len(embeddings), 1)
    impostor = labels[left] != labels[right]
    cosines: Floats = (embeddings @ embeddings.T)[left[impostor], right[impostor]]
    return cosines
