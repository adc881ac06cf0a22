"""Error rates of 1:1 comparison from scores, in plain NumPy.

FMR(t) is the share of impostor scores >= t, TMR(t) = 1 - FNMR(t) the share of genuine scores >= t
(ISO/IEC 19795-1:2021, 3; NIST FRTE 1:1, "metrics"). A photo without a face takes part with scores
that no threshold accepts, so failures to acquire raise the FNMR (the "generalised" rates of ISO).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]

BINS = 1 << 20
"""Impostor scores are counted in bins of 2e-6 cosine, near the resolution of a float32 dot product."""

Z95 = 1.959964
MIN_FALSE_MATCHES = 10
"""A rate is reported from this many expected false matches on; below, the threshold is mostly luck."""


class Impostors:
    """Counts of impostor cosines, so that 87 million of them take 8 MB and one pass."""

    def __init__(self) -> None:
        self._counts = np.zeros(BINS + 1, dtype=np.int64)

    def add(self, scores: Scores) -> None:
        """Counts any array of cosines; what lies outside -1..1 by rounding goes to the end bins."""
        bins = ((scores.ravel() + np.float32(1)) * np.float32(BINS // 2)).astype(np.int32)
        self._counts += np.bincount(np.clip(bins, 0, BINS), minlength=BINS + 1)

    def __len__(self) -> int:
        return int(self._counts.sum())

    @property
    def edges(self) -> NDArray[np.float64]:
        """The thresholds, ascending, at which `rates` are exact."""
        return np.arange(BINS + 1) / (BINS // 2) - 1.0

    @property
    def rates(self) -> NDArray[np.float64]:
        """FMR at every edge."""
        return np.cumsum(self._counts[::-1])[::-1] / max(len(self), 1)

    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation."""
        mean = float(np.average(self.edges, weights=self._counts))
        return mean, float(np.sqrt(np.average((self.edges - mean) ** 2, weights=self._counts)))

    @property
    def smallest_rate(self) -> float:
        """The smallest FMR that this many comparisons can support."""
        return MIN_FALSE_MATCHES / max(len(self), 1)

    def threshold(self, fmr: float) -> float:
        """The smallest edge whose FMR does not exceed `fmr`; above 1 where there is none."""
        allowed = self.rates <= fmr
        return float(self.edges[np.argmax(allowed)]) if allowed.any() else 1.0 + 2.0 / BINS


@dataclass(frozen=True, slots=True)
class Rate:
    """A proportion with its 95 % interval."""

    value: float
    low: float
    high: float


def rate_name(rate: float) -> str:
    """0.0001 -> "1e-4", the way in which rates are written everywhere."""
    mantissa, exponent = f"{rate:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def tmr(genuine: Scores, threshold: float) -> float:
    return float(np.mean(genuine >= threshold))


def wilson(successes: int, trials: int, z: float = Z95) -> Rate:
    """A proportion of independent trials with its score interval (E. B. Wilson, JASA 22, 1927)."""
    share = successes / trials
    centre = share + z * z / (2 * trials)
    spread = z * np.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    low = float(centre - spread) / scale if successes else 0.0
    high = float(centre + spread) / scale if successes < trials else 1.0
    return Rate(share, low, high)


def tmr_by_person(
    genuine: Scores, person: NDArray[np.int64], threshold: float, *, draws: int = 1000, seed: int = 0
) -> Rate:
    """TMR with a bootstrap interval over people: pairs of one person fail together, so people are drawn.

    `person[i]` is the person of `genuine[i]`. ISO/IEC 19795-1 asks for an interval that respects this
    dependence; with few people it is several times wider than Wilson's. When nobody fails (or all do)
    a bootstrap has no spread, and Wilson's interval over the number of people stands in.
    """
    _, index = np.unique(person, return_inverse=True)
    accepted = np.bincount(index, weights=genuine >= threshold)
    pairs = np.bincount(index)
    share = float(accepted.sum() / pairs.sum())
    if share in (0.0, 1.0):
        interval = wilson(round(share * len(pairs)), len(pairs))
        return Rate(share, interval.low, interval.high)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(pairs), np.full(len(pairs), 1 / len(pairs)), size=draws)
    shares = (weights @ accepted) / np.maximum(weights @ pairs, 1)
    low, high = np.quantile(shares, (0.025, 0.975))
    return Rate(share, float(low), float(high))


def separation(genuine: Scores, impostors: Impostors) -> float:
    """d', the distance of the means in mean deviations: it still tells where no error is left to count."""
    mean, deviation = impostors.moments()
    return float((genuine.mean() - mean) / np.sqrt((genuine.var() + deviation**2) / 2))


def equal_error(genuine: Scores, impostors: Impostors) -> tuple[float, float]:
    """(EER, threshold): where FNMR and FMR cross; the mean of both at the nearest edge."""
    fnmr = np.searchsorted(np.sort(genuine), impostors.edges, side="left") / len(genuine)
    fmr = impostors.rates
    nearest = int(np.argmin(np.abs(fnmr - fmr)))
    return float((fnmr[nearest] + fmr[nearest]) / 2), float(impostors.edges[nearest])


def best_threshold(scores: Scores, same: NDArray[np.bool_]) -> float:
    """The threshold with the fewest wrong pairs, midway between its neighbouring scores."""
    order = np.argsort(scores, kind="stable")
    ascending, labels = scores[order].astype(np.float64), same[order]
    refused_genuine = np.concatenate(([0], np.cumsum(labels)))
    refused_impostors = np.concatenate(([0], np.cumsum(~labels)))
    errors = refused_genuine + (refused_impostors[-1] - refused_impostors)
    # A cut between two equal scores cannot be made by any threshold.
    errors[1:-1][ascending[1:] == ascending[:-1]] = len(scores) + 1
    padded = np.concatenate(([ascending[0] - 1], ascending, [ascending[-1] + 1]))
    cut = int(np.argmin(errors))
    return float((padded[cut] + padded[cut + 1]) / 2)


def fold_accuracies(scores: Scores, same: NDArray[np.bool_], folds: NDArray[np.int64]) -> NDArray[np.float64]:
    """Accuracy of each fold at the threshold that is best on all the others (LFW, "View 2")."""
    accuracies = []
    for fold in np.unique(folds):
        held_out = folds == fold
        threshold = best_threshold(scores[~held_out], same[~held_out])
        accuracies.append(np.mean((scores[held_out] >= threshold) == same[held_out]))
    return np.array(accuracies)
