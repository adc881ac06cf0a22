"""1:N search over labelled embeddings: closed-set rank-k and open-set FNIR at FPIR.

Terms of ISO/IEC 19795-1:2021 and NIST FRTE 1:N: a mated probe shows somebody who is enrolled, a
non-mated probe somebody who is not. FPIR(T) is the share of non-mated probes that find anybody at
T or above; FNIR(T) the share of mated probes that do not find the right person first, at T or above.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.evaluation.metrics import Scores

Labels = NDArray[np.int64]
Aggregate = Callable[[Scores], Scores]
"""Several embeddings of one person (k, d) to one unit vector (d,)."""

FPIRS = (0.001, 0.01, 0.1)
SPLITS = 10


@dataclass(frozen=True, slots=True)
class OpenSet:
    """FNIR at one FPIR, mean and deviation over the splits.

    `gallery`: people enrolled with `photos` photos each. `threshold`: the mean cosine. `probes` are the
    mated and non-mated searches of one split, on average.
    """

    gallery: int
    photos: int
    fpir: float
    fnir: float
    fnir_std: float
    threshold: float
    probes: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Searches:
    """One split's best scores. A mated probe counts only where the right person came first."""

    mate: Scores
    mate_first: NDArray[np.bool_]
    stranger: Scores

    def sizes(self) -> tuple[int, int]:
        return len(self.mate), len(self.stranger)

    def threshold(self, fpir: float) -> float:
        """The smallest score that at most this share of the non-mated searches reaches."""
        allowed = int(fpir * len(self.stranger) + 1e-9)
        descending = np.sort(self.stranger)[::-1]
        return float(np.nextafter(descending[allowed], np.float32(2)) if allowed < len(descending) else -1)

    def fnir(self, threshold: float) -> float:
        return float(1 - np.mean(self.mate_first & (self.mate >= threshold)))


def rank_rates(embeddings: Scores, labels: Labels, ranks: int = 10) -> NDArray[np.float64]:
    """Closed-set CMC: each person's first photo is enrolled, every other one searched.

    Element k - 1 is the share of probes whose person is among the k best. Ties count against.
    """
    _, enrolled = np.unique(labels, return_index=True)
    probes = np.setdiff1d(np.arange(len(labels)), enrolled)
    gallery = embeddings[enrolled]
    better = np.empty(len(probes), dtype=np.int64)
    for block in np.array_split(np.arange(len(probes)), len(probes) // 1024 + 1):
        scores = embeddings[probes[block]] @ gallery.T
        mate = np.searchsorted(labels[enrolled], labels[probes[block]])
        own = scores[np.arange(len(block)), mate]
        better[block] = np.sum(scores >= own[:, None], axis=1) - 1
    return np.array([np.mean(better < rank) for rank in range(1, ranks + 1)])


def splits(labels: Labels, gallery: int, photos: int, *, count: int, seed: int = 0) -> Iterator[list[Labels]]:
    """Random galleries: for each of `gallery` people the positions of their `photos` enrolled photos.

    Only people with at least one photo to spare are enrolled, so that everybody enrolled is searched for.
    """
    people, counts = np.unique(labels, return_counts=True)
    candidates = people[counts > photos]
    rng = np.random.default_rng(seed)
    for _ in range(count):
        chosen = rng.choice(candidates, gallery, replace=False)
        yield [rng.choice(np.flatnonzero(labels == person), photos, replace=False) for person in chosen]


def search(embeddings: Scores, labels: Labels, enrolled: list[Labels], aggregate: Aggregate) -> Searches:
    """Everybody not enrolled, and every photo of the enrolled that was kept back, against one gallery."""
    gallery = np.stack([aggregate(embeddings[positions]) for positions in enrolled])
    names = np.array([labels[positions[0]] for positions in enrolled])
    rest = np.setdiff1d(np.arange(len(labels)), np.concatenate(enrolled))
    scores = embeddings[rest] @ gallery.T
    best = scores.argmax(axis=1)
    mated = np.isin(labels[rest], names)
    top = scores[np.arange(len(rest)), best]
    return Searches(top[mated], names[best[mated]] == labels[rest][mated], top[~mated])


def open_set(
    embeddings: Scores,
    labels: Labels,
    gallery: int,
    photos: int,
    aggregate: Aggregate,
    *,
    fpirs: tuple[float, ...] = FPIRS,
    count: int = SPLITS,
) -> list[OpenSet]:
    """FNIR at each FPIR by repeated splits over people.

    A rate below one of the non-mated searches is left out: it cannot be shown.
    """
    runs = [
        search(embeddings, labels, enrolled, aggregate) for enrolled in splits(labels, gallery, photos, count=count)
    ]
    mated, strangers = (int(np.mean(sizes)) for sizes in zip(*map(Searches.sizes, runs), strict=True))
    results = []
    for fpir in (fpir for fpir in fpirs if fpir * strangers >= 1):
        thresholds = [run.threshold(fpir) for run in runs]
        fnirs = [run.fnir(threshold) for run, threshold in zip(runs, thresholds, strict=True)]
        mean, spread = float(np.mean(fnirs)), float(np.std(fnirs))
        results.append(OpenSet(gallery, photos, fpir, mean, spread, float(np.mean(thresholds)), (mated, strangers)))
    return results


def gallery_sizes(labels: Labels, photos: int, wanted: tuple[int, ...] | None = None) -> list[int]:
    """The sizes that leave somebody unknown to search for.

    By default 800 people, a half and a quarter of those who have photos enough.
    """
    _, counts = np.unique(labels, return_counts=True)
    candidates = int(np.sum(counts > photos))
    sizes = wanted or (candidates // 4, candidates // 2, 800)
    return sorted({size for size in sizes if 2 <= size <= candidates and size < len(counts)})
