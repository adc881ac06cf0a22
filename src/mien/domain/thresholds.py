"""What a similarity means: error rates to similarity numbers and back, in plain arithmetic.

A similarity of 80 is the one that 1 in 10,000 pairs of strangers reaches, 99 that of 1 in 1,000,000.
Calibration (mien.gallery.scoring) moves cosines onto this scale, so these numbers hold for all
collections. They are measured on the default settings of the shipped model:

FMR 1e-1, 1e-2    lfw_dev, 614 photos of 320 people, 187,495 impostor pairs
FMR 1e-3, 1e-4    lfw_dev again, by a normal distribution fitted to its impostors (counted: 0.365, 0.416; 95 %: up
                  to 0.437). All 87 million impostor pairs of LFW gave 0.370 and 0.433 with an earlier
                  pipeline; people with hundreds of photos and wrong labels raise that tail
FMR 1e-5, 1e-6    extrapolated from there, on the safe side of that distribution (0.470, 0.512); LFW itself
                  cannot say, since at that depth most of its false matches are wrong labels

Terms: ISO/IEC 19795-1:2021 (FMR of one comparison, FPIR of one search).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

from mien.domain.errors import InvalidInput

FMR_TO_COSINE = ((1e-1, 0.211), (1e-2, 0.301), (1e-3, 0.367), (1e-4, 0.422), (1e-5, 0.475), (1e-6, 0.525))
"""False match rate of one comparison, and the cosine that gives it."""

CERTAIN_SIMILARITY = 99.0
"""The similarity of FMR 1e-6: two people who both reach it are one person under two names, or twins."""

LEAST_RATE, MOST_RATE = 1e-9, 0.5
MOST_CERTAIN = 1 - 1e-12  # the formula of FPIR takes the logarithm of what is left
MOST_BARE_RATE = 0.01
"""A number up to here is a rate even without its name: as a similarity it would take everybody for everybody."""

_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Threshold:
    """What counts as the same person: a similarity, and the error rates that it stands for where they are known.

    `fmr`: of one comparison of two strangers. `fpir`: of a stranger's search among all who are enrolled now.
    """

    similarity: float
    fmr: float | None = None
    fpir: float | None = None


def cosine_of_fmr(fmr: float) -> float:
    """The cosine that this share of stranger pairs reaches; interpolated in the normal quantile."""
    quantile = -_NORMAL.inv_cdf(fmr)
    (z0, c0), (z1, c1) = _segment(0, quantile)
    return c0 + (c1 - c0) * (quantile - z0) / (z1 - z0)


def fmr_of_cosine(cosine: float) -> float:
    """The inverse of `cosine_of_fmr`."""
    (z0, c0), (z1, c1) = _segment(1, cosine)
    return _NORMAL.cdf(-(z0 + (z1 - z0) * (cosine - c0) / (c1 - c0)))


def similarity_of_fmr(fmr: float) -> float:
    """The similarity 0..100 that this share of stranger pairs reaches."""
    return 100 / (1 + math.exp(-STEEPNESS * (cosine_of_fmr(fmr) - MIDPOINT)))


def fmr_of_similarity(similarity: float) -> float:
    """The false match rate at a similarity between 0 and 100, both left out."""
    return fmr_of_cosine(MIDPOINT - math.log(100 / similarity - 1) / STEEPNESS)


def fpir(fmr: float, gallery: int) -> float:
    """FPIR = 1 - (1 - FMR)^N: how often a stranger finds somebody among N people."""
    return -math.expm1(gallery * math.log1p(-fmr))


def fmr_for_fpir(fpir: float, gallery: int) -> float:
    """FMR = 1 - (1 - FPIR)^(1/N): how strict each comparison must be among N people."""
    return -math.expm1(math.log1p(-fpir) / max(gallery, 1))


def with_error_rates(similarity: float, gallery: int) -> Threshold:
    """A similarity with its rates among `gallery` faces; neither is told below 1e-9, where nothing is known."""
    strict = 0 < similarity < 100
    fmr = max(fmr_of_similarity(similarity), LEAST_RATE) if strict else (LEAST_RATE if similarity else 1.0)
    return Threshold(similarity, _rounded(fmr), _rounded(fpir(min(fmr, MOST_CERTAIN), gallery)))


def threshold(given: str | float, gallery: Callable[[], int] = lambda: 1) -> float:
    """A similarity from "80", "fmr=1e-4" (or "1e-4" alone) or "fpir=0.01"; the last needs the gallery's size.

    A bare number between 0.01 and 1 could be meant either way and is refused. InvalidInput says what may be written.
    """
    name, _, value = str(given).strip().lower().rpartition("=")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    match name.strip():
        case "" if number == 0 or 1 <= number <= 100:
            return number
        case "" if LEAST_RATE <= number <= MOST_BARE_RATE:
            return similarity_of_fmr(number)
        case "fmr" if LEAST_RATE <= number <= MOST_RATE:
            return similarity_of_fmr(number)
        case "fpir" if LEAST_RATE <= number <= MOST_RATE:
            return similarity_of_fmr(max(fmr_for_fpir(number, gallery()), LEAST_RATE))
    raise InvalidInput(
        f"The threshold {given!s:.40} cannot be used. Give a similarity (0, or 1 to 100), a false match rate such as "
        "fmr=1e-4, or a false alarm rate per search such as fpir=0.01 (rates from 1e-9 to 0.5)."
    )


def _rounded(rate: float) -> float:
    """To the four digits beyond which nothing was measured."""
    return float(f"{rate:.4g}")


def is_rate(given: str | float) -> bool:
    """Whether a threshold is given as an error rate; of those that `threshold` takes."""
    return "=" in str(given) or 0 < float(given) < 1


def odds_floor(similarity: float, odds: float) -> float:
    """The similarity whose odds s / (100 - s) are `odds` times smaller; a runner-up from there on is too near.

    Odds and not points, because near 100 a point is worth more: 99.9 and 95 are further apart than 80 and 60.
    On this model's scale a factor of 4 is a cosine of 0.05.
    """
    return 100 * similarity / (similarity + odds * (100 - similarity)) if similarity > 0 else 0.0


def _segment(column: int, value: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """The two neighbouring points (quantile, cosine) of the table; the outermost pair beyond its ends."""
    points = [(-_NORMAL.inv_cdf(fmr), cosine) for fmr, cosine in FMR_TO_COSINE]
    return next((pair for pair in pairwise(points) if value <= pair[1][column]), (points[-2], points[-1]))


def _logistic() -> tuple[float, float]:
    """Steepness and midpoint of the logistic that is 80 at FMR 1e-4 and 99 at FMR 1e-6."""
    at_80, at_99 = cosine_of_fmr(1e-4), cosine_of_fmr(1e-6)
    steepness = (math.log(99) - math.log(4)) / (at_99 - at_80)
    return steepness, at_80 - math.log(4) / steepness


STEEPNESS, MIDPOINT = _logistic()
