"""Compare every photo with every other (1:1), and compute the error rates of the scores.

FMR(t) is the share of impostor scores >= t, TMR(t) = 1 - FNMR(t) the share of genuine scores >= t (ISO/IEC
19795-1:2021, 3; NIST FRTE 1:1, "metrics"). A photo without a face takes part with scores that no threshold accepts, so
failures to acquire raise the FNMR (the "generalised" rates of ISO). 13,233 photos give 87.5 million comparisons; they
are computed in blocks, and impostor scores are only counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]
"""Cosines of embeddings, or the embeddings themselves (n, d)."""

BLOCK = 1024
"""Rows of embeddings that are compared with all later ones at a time."""

BINS = 1 << 20
"""Impostor scores are counted in bins of 2e-6 cosine, near the resolution of a float32 dot product."""

Z95 = 1.959964
MIN_FALSE_MATCHES = 10
"""Expected false matches from which a rate is reported; with fewer, the threshold is mostly chance."""


class Impostors:
    """Histogram of impostor cosines, so that 87 million of them take 8 MB and one pass."""

    def __init__(self) -> None:
        self._counts = np.zeros(BINS + 1, dtype=np.int64)

    def add(self, scores: Scores) -> None:
        """Count cosines of any shape; rounding errors beyond -1 and 1 go to the end bins."""
        bins = ((scores.ravel() + np.float32(1)) * np.float32(BINS // 2)).astype(np.int32)
        self._counts += np.bincount(np.clip(bins, 0, BINS), minlength=BINS + 1)

    def __len__(self) -> int:
        return int(self._counts.sum())

    @property
    def edges(self) -> NDArray[np.float64]:
        """Thresholds, ascending, at which `rates` are exact."""
        return np.arange(BINS + 1) / (BINS // 2) - 1.0

    @property
    def rates(self) -> NDArray[np.float64]:
        """FMR at every edge."""
        return np.cumsum(self._counts[::-1])[::-1] / max(len(self), 1)

    def moments(self) -> tuple[float, float]:
        """Return mean and standard deviation."""
        mean = float(np.average(self.edges, weights=self._counts))
        return mean, float(np.sqrt(np.average((self.edges - mean) ** 2, weights=self._counts)))

    @property
    def smallest_rate(self) -> float:
        """The smallest FMR that this number of comparisons supports."""
        return MIN_FALSE_MATCHES / max(len(self), 1)

    def threshold(self, fmr: float) -> float:
        """Return the smallest edge whose FMR is at most `fmr`; above 1 if there is none."""
        allowed = self.rates <= fmr
        return float(self.edges[np.argmax(allowed)]) if allowed.any() else 1.0 + 2.0 / BINS


@dataclass(frozen=True, slots=True)
class Comparisons:
    """Scores of all pairs of photos.

    Attributes:
        genuine: (m,) cosines of pairs of one person's photos.
        person: (m,) label of the person of each genuine pair.
        left: (m,) position of the first photo of each genuine pair.
        right: (m,) position of the second one.
        impostors: histogram of all other pairs.
    """

    genuine: Scores
    person: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    impostors: Impostors


def compare_all(embeddings: Scores, labels: NDArray[np.int64]) -> Comparisons:
    """Compare all pairs of embeddings.

    Args:
        embeddings: (n, d), unit length; zeros for a photo without a face, whose scores are 0.
        labels: (n,) person of each photo.
    """
    impostors = Impostors()
    genuine: list[tuple[Scores, NDArray[np.int64], NDArray[np.int64]]] = []
    for start in range(0, len(embeddings), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(embeddings)))
        scores = embeddings[rows] @ embeddings[start:].T
        later = np.arange(start, len(embeddings)) > rows[:, None]
        same = labels[rows][:, None] == labels[start:]
        impostors.add(scores[later & ~same])
        left, right = np.nonzero(later & same)
        genuine.append((scores[left, right], left + start, right + start))
    scores, left, right = (np.concatenate(parts) for parts in zip(*genuine, strict=True))
    return Comparisons(scores, labels[left], left, right, impostors)


def hardest_impostors(embeddings: Scores, labels: NDArray[np.int64], count: int) -> list[tuple[int, int, float]]:
    """Return the `count` impostor pairs with the highest cosines, highest first: (left, right, cosine)."""
    best: list[tuple[int, int, float]] = []
    for start in range(0, len(embeddings), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(embeddings)))
        scores = embeddings[rows] @ embeddings[start:].T
        impostor = (np.arange(start, len(embeddings)) > rows[:, None]) & (labels[rows][:, None] != labels[start:])
        flat = np.where(impostor, scores, -2).ravel()
        top = np.argpartition(flat, -min(count, len(flat)))[-count:]
        left, right = np.divmod(top, scores.shape[1])
        best += [
            (int(i) + start, int(j) + start, float(scores[i, j]))
            for i, j in zip(left, right, strict=True)
            if impostor[i, j]
        ]
        best = sorted(best, key=lambda pair: -pair[2])[:count]
    return best


@dataclass(frozen=True, slots=True)
class Rate:
    """A proportion with its 95 % interval, 0 to 1."""

    value: float
    low: float
    high: float


def rate_name(rate: float) -> str:
    """Format a rate as everywhere: 0.0001 as "1e-4"."""
    mantissa, exponent = f"{rate:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def wilson(successes: int, trials: int, z: float = Z95) -> Rate:
    """Compute a proportion of independent trials with its score interval (E. B. Wilson, JASA 22, 1927)."""
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
    """Compute the TMR with a bootstrap interval over people, since pairs of one person fail together.

    ISO/IEC 19795-1 asks for an interval that respects this dependence; with few people it is several times wider than
    Wilson's. When no pair fails (or all do) a bootstrap has no spread, and Wilson's interval over the number of people
    is used instead.

    Args:
        genuine: (m,) cosines.
        person: (m,) label of each pair's person.
        threshold: cosine from which a pair matches.
        draws: bootstrap samples.
        seed: of the random numbers.
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


def d_prime(genuine: Scores, impostors: Impostors) -> float:
    """Compute d', the distance of the means in standard deviations, which still differs where no errors are left."""
    mean, deviation = impostors.moments()
    return float((genuine.mean() - mean) / np.sqrt((genuine.var() + deviation**2) / 2))


def equal_error(genuine: Scores, impostors: Impostors) -> tuple[float, float]:
    """Return (EER, threshold): the mean of FNMR and FMR at the edge where they are nearest to each other."""
    fnmr = np.searchsorted(np.sort(genuine), impostors.edges, side="left") / len(genuine)
    fmr = impostors.rates
    nearest = int(np.argmin(np.abs(fnmr - fmr)))
    return float((fnmr[nearest] + fmr[nearest]) / 2), float(impostors.edges[nearest])


def best_threshold(scores: Scores, same: NDArray[np.bool_]) -> float:
    """Return the threshold with the fewest errors, midway between neighbouring scores.

    Args:
        scores: (n,) cosines.
        same: (n,) whether each pair is genuine.
    """
    order = np.argsort(scores, kind="stable")
    ascending, labels = scores[order].astype(np.float64), same[order]
    refused_genuine = np.concatenate(([0], np.cumsum(labels)))
    refused_impostors = np.concatenate(([0], np.cumsum(~labels)))
    errors = refused_genuine + (refused_impostors[-1] - refused_impostors)
    errors[1:-1][ascending[1:] == ascending[:-1]] = len(scores) + 1  # no threshold lies between equal scores
    padded = np.concatenate(([ascending[0] - 1], ascending, [ascending[-1] + 1]))
    cut = int(np.argmin(errors))
    return float((padded[cut] + padded[cut + 1]) / 2)


def fold_accuracies(scores: Scores, same: NDArray[np.bool_], folds: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compute the accuracy of each fold at the threshold that is best on all the others (LFW, "View 2").

    Args:
        scores: (n,) cosines.
        same: (n,) whether each pair is genuine.
        folds: (n,) fold of each pair.
    """
    accuracies = []
    for fold in np.unique(folds):
        held_out = folds == fold
        threshold = best_threshold(scores[~held_out], same[~held_out])
        accuracies.append(np.mean((scores[held_out] >= threshold) == same[held_out]))
    return np.array(accuracies)
