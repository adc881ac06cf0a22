"""Calibration from one's own strangers: their cosines are laid on those of the shipped table.

The impostor cosines of this model are nearly normal (docs/accuracy.md), so a shift and a stretch
say how another camera or population differs; the far tail, which no small collection can show,
keeps the shipped shape.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.errors import InvalidInput
from mien.gallery.similarity import Calibration
from mien.rates import FMR_TO_COSINE, cosine_of_fmr

ENOUGH_PER_RATE = 10
LEAST_COMPARISONS = 1000
"""Ten strangers' pairs beyond the cosine of FMR 1e-2, the least that says anything about a tail."""

LEAST_SCALE = 0.1
LARGEST_RATE = FMR_TO_COSINE[0][0]
SAMPLE = 4000

Floats = NDArray[np.float32]


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
