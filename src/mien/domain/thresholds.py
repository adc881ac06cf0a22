"""Convert similarities to error rates and back, in plain arithmetic.

1 in 10,000 pairs of strangers reaches a similarity of 80, 1 in 1,000,000 one of 99. Calibration
(`mien.gallery.scoring`) maps the cosines of a collection onto this scale, so these numbers hold for all collections.
They were measured with the default settings of the default model:

FMR 1e-1, 1e-2    lfw_dev: 614 photos of 320 people, 187,495 impostor pairs
FMR 1e-3, 1e-4    lfw_dev, by a normal distribution fitted to its impostors (counted: 0.365, 0.416; 95 % confidence:
                  up to 0.437). All 87 million impostor pairs of LFW gave 0.370 and 0.433 with an earlier pipeline;
                  people with hundreds of photos and wrong labels raise that tail
FMR 1e-5, 1e-6    extrapolated, on the safe side of that distribution (0.470, 0.512); LFW itself cannot tell, since
                  at that depth most of its false matches are wrong labels

Terms follow ISO/IEC 19795-1:2021: FMR, the false match rate, is the share of comparisons of two strangers that reach
a threshold; FPIR, the false positive identification rate, the share of searches by a stranger that find somebody.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from statistics import NormalDist

from mien.domain.errors import InvalidInput
from mien.domain.policy import MATCH_THRESHOLD

FMR_TO_COSINE = ((1e-1, 0.211), (1e-2, 0.301), (1e-3, 0.367), (1e-4, 0.422), (1e-5, 0.475), (1e-6, 0.525))
"""False match rates of one comparison, and the cosine that gives each."""

CERTAIN_SIMILARITY = 99.0
"""The similarity at FMR 1e-6: two people who both reach it are one person under two names, or twins."""

STEEPNESS = (math.log(99 / 1) - math.log(80 / 20)) / (0.525 - 0.422)
MIDPOINT = 0.422 - math.log(80 / 20) / STEEPNESS
"""Of the logistic function from cosine to similarity: 80 at FMR 1e-4 and 99 at FMR 1e-6, by the table above."""

MIN_RATE, MAX_RATE = 1e-9, 0.5
MAX_FMR_OF_FPIR = 1 - 1e-12
"""The formula of FPIR takes the logarithm of 1 - FMR."""

MAX_BARE_RATE = 0.01
"""The largest number that is read as a rate without its name: as a similarity it would match everybody."""

AUTOMATIC = "auto"
"""The threshold that follows the gallery: `MATCH_THRESHOLD`, and in larger galleries the similarity at this FPIR."""

AUTOMATIC_FPIR = 0.01

VERY_LIKELY_FPIR = 0.0002
"""A match is very likely when at most this share of strangers' searches reaches its similarity."""

_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Threshold:
    """The lowest similarity of a match, and the error rates that it stands for; None where they are not known.

    `similarity` is 0 to 100. `fmr` is the rate for one comparison, `fpir` that for one search among everybody who
    is enrolled now, both 0 to 1.
    """

    similarity: float
    fmr: float | None = None
    fpir: float | None = None


class Likelihood(StrEnum):
    """How likely it is that a face is whom Mien takes it for, in words that a person can act on."""

    VERY_LIKELY = "very_likely"
    LIKELY = "likely"
    AMBIGUOUS = "ambiguous"
    UNKNOWN = "unknown"

    @property
    def words(self) -> str:
        """The same words as on the page."""
        return "likely, please check" if self is Likelihood.LIKELY else self.value.replace("_", " ")


def likelihood_of_match(similarity: float, threshold: Threshold) -> Likelihood:
    """Say how likely a match is.

    Args:
        similarity: Of the face to the person, 0 to 100.
        threshold: The one that it reached, with its error rates, which tell how many faces were enrolled. Where they
            are not known, a similarity of `CERTAIN_SIMILARITY` is very likely.
    """
    if threshold.fmr is None or threshold.fpir is None:
        is_very_likely = similarity >= CERTAIN_SIMILARITY
    elif threshold.fmr >= 1 or threshold.fpir >= 1:  # so many strangers reach it that the gallery's size is lost
        is_very_likely = False
    else:
        enrolled = math.log1p(-threshold.fpir) / math.log1p(-threshold.fmr)
        is_very_likely = fpir(_fmr_or_least(similarity), max(1, round(enrolled))) <= VERY_LIKELY_FPIR
    return Likelihood.VERY_LIKELY if is_very_likely else Likelihood.LIKELY


def format_similarity(similarity: float) -> str:
    """Format a similarity with one decimal, rounded down; no two photos are certain, so 100.0 is never shown."""
    return f"{min(math.floor(similarity * 10 + 1e-6) / 10, 99.9):.1f}"


def cosine_of_fmr(fmr: float) -> float:
    """Return the cosine that this share of stranger pairs reaches, interpolated in the normal quantile."""
    quantile = -_NORMAL.inv_cdf(fmr)
    (z0, c0), (z1, c1) = _segment(0, quantile)
    return c0 + (c1 - c0) * (quantile - z0) / (z1 - z0)


def fmr_of_cosine(cosine: float) -> float:
    """Return the share of stranger pairs that reach a cosine: the inverse of `cosine_of_fmr`."""
    (z0, c0), (z1, c1) = _segment(1, cosine)
    return _NORMAL.cdf(-(z0 + (z1 - z0) * (cosine - c0) / (c1 - c0)))


def similarity_of_fmr(fmr: float) -> float:
    """Return the similarity, 0 to 100, that this share of stranger pairs reaches."""
    return 100 / (1 + math.exp(-STEEPNESS * (cosine_of_fmr(fmr) - MIDPOINT)))


def fmr_of_similarity(similarity: float) -> float:
    """Return the false match rate at a similarity above 0 and below 100."""
    return fmr_of_cosine(MIDPOINT - math.log(100 / similarity - 1) / STEEPNESS)


def fpir(fmr: float, enrolled: int) -> float:
    """Return 1 - (1 - FMR)^N: how often a stranger's search finds somebody among N enrolled."""
    return -math.expm1(enrolled * math.log1p(-fmr))


def fmr_for_fpir(fpir: float, enrolled: int) -> float:
    """Return 1 - (1 - FPIR)^(1/N): the FMR that each comparison must have among N enrolled."""
    return -math.expm1(math.log1p(-fpir) / max(enrolled, 1))


def with_error_rates(similarity: float, enrolled: int) -> Threshold:
    """Return a similarity with its error rates among `enrolled` faces; the FMR is never given below 1e-9."""
    fmr = _fmr_or_least(similarity)
    return Threshold(similarity, _rounded(fmr), _rounded(fpir(min(fmr, MAX_FMR_OF_FPIR), enrolled)))


def parse(given: str | float, count_enrolled: Callable[[], int] = lambda: 1) -> float:
    """Convert a threshold as people write it to a similarity, 0 to 100.

    Args:
        given: A similarity (0, or 1 to 100), `fmr=1e-4` (or 1e-4 alone, up to 0.01), or `fpir=0.01`; rates from 1e-9
            to 0.5. Or `auto`: 80, and more where more than 1 in 100 strangers would reach that.
        count_enrolled: Returns how many faces are enrolled; called for `auto` and an FPIR only.

    Raises InvalidInput for anything else, also for bare numbers between 0.01 and 1, which could be meant either way.
    """
    if is_automatic(given):
        return max(MATCH_THRESHOLD, similarity_of_fmr(fmr_for_fpir(AUTOMATIC_FPIR, count_enrolled())))
    name, _, value = str(given).strip().lower().rpartition("=")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    match name.strip():
        case "" if number == 0 or 1 <= number <= 100:
            return number
        case "" if MIN_RATE <= number <= MAX_BARE_RATE:
            return similarity_of_fmr(number)
        case "fmr" if MIN_RATE <= number <= MAX_RATE:
            return similarity_of_fmr(number)
        case "fpir" if MIN_RATE <= number <= MAX_RATE:
            return similarity_of_fmr(max(fmr_for_fpir(number, count_enrolled()), MIN_RATE))
    raise InvalidInput(
        f"The threshold {given!s:.40} cannot be used. Give a similarity (0, or 1 to 100), a false match rate such as "
        "fmr=1e-4, a false positive identification rate such as fpir=0.01 (rates from 1e-9 to 0.5), or auto."
    )


def is_rate(given: str | float) -> bool:
    """Return whether a threshold that `parse` accepts is an error rate and not a similarity."""
    return not is_automatic(given) and ("=" in str(given) or 0 < float(given) < 1)


def is_automatic(given: str | float) -> bool:
    """Return whether a threshold is the one that follows the size of the gallery."""
    return str(given).strip().lower() == AUTOMATIC


def odds_floor(similarity: float, odds_ratio: float) -> float:
    """Return the similarity whose odds, s / (100 - s), are `odds_ratio` times lower than those of `similarity`.

    A runner-up from there on makes a match ambiguous. Odds and not points, because a point weighs more near 100:
    99.9 and 95 are further apart than 80 and 60. For the default model a ratio of 4 is a cosine difference of 0.05.
    """
    return 100 * similarity / (similarity + odds_ratio * (100 - similarity)) if similarity > 0 else 0.0


def _segment(column: int, value: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Find the two neighbouring points (quantile, cosine) of the table; the outermost pair beyond its ends."""
    points = [(-_NORMAL.inv_cdf(fmr), cosine) for fmr, cosine in FMR_TO_COSINE]
    return next((pair for pair in pairwise(points) if value <= pair[1][column]), (points[-2], points[-1]))


def _fmr_or_least(similarity: float) -> float:
    """Return the false match rate at a similarity of 0 to 100, but at least 1e-9."""
    if similarity <= 0:
        return 1.0
    return max(fmr_of_similarity(similarity), MIN_RATE) if similarity < 100 else MIN_RATE


def _rounded(rate: float) -> float:
    """Round to four digits, beyond which nothing was measured."""
    return float(f"{rate:.4g}")
