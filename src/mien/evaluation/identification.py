"""Search labelled embeddings (1:N): closed-set rank-k rates, and open-set FNIR at a given FPIR.

Terms of ISO/IEC 19795-1:2021 and NIST FRTE 1:N: a mated probe shows an enrolled person, a non-mated probe somebody
else. FPIR(T) is the share of non-mated probes for which any enrolled person scores at least T; FNIR(T) is the share of
mated probes for which the right person does not come first, or scores below T.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.evaluation.verification import Scores

Labels = NDArray[np.int64]
Aggregate = Callable[[Scores], Scores]
"""Combines several embeddings of one person (k, d) into one unit vector (d,)."""

FPIRS = (0.001, 0.01, 0.1)
GALLERIES = 10
PROBE_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class OpenSet:
    """FNIR at one FPIR, over several random galleries.

    Attributes:
        gallery: people enrolled.
        photos: photos enrolled of each.
        fpir: the given rate.
        fnir: mean over the galleries.
        fnir_std: standard deviation over the galleries.
        threshold: mean cosine.
        probes: mated and non-mated probes of one gallery, on average.
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
    """Best scores of all probes against one gallery.

    Attributes:
        mated_scores: (m,) best cosine of each mated probe.
        mated_rank_one: (m,) whether it is the right person's.
        non_mated_scores: (k,) best cosine of each non-mated probe.
    """

    mated_scores: Scores
    mated_rank_one: NDArray[np.bool_]
    non_mated_scores: Scores

    def sizes(self) -> tuple[int, int]:
        """Return the numbers of mated and non-mated probes."""
        return len(self.mated_scores), len(self.non_mated_scores)

    def threshold(self, fpir: float) -> float:
        """Return the smallest threshold that at most this share of the non-mated probes reaches."""
        allowed = int(fpir * len(self.non_mated_scores) + 1e-9)
        descending = np.sort(self.non_mated_scores)[::-1]
        return float(np.nextafter(descending[allowed], np.float32(2)) if allowed < len(descending) else -1)

    def fnir(self, threshold: float) -> float:
        """Return the FNIR at a threshold."""
        return float(1 - np.mean(self.mated_rank_one & (self.mated_scores >= threshold)))


def rank_rates(embeddings: Scores, labels: Labels, ranks: int = 10) -> NDArray[np.float64]:
    """Compute the closed-set CMC: each person's first photo is enrolled, every other one is a probe.

    Args:
        embeddings: (n, d), unit length.
        labels: (n,) person of each photo.
        ranks: how many ranks.

    Returns:
        (ranks,) element k - 1 is the share of probes whose person is among the k best; ties count as errors.
    """
    _, enrolled = np.unique(labels, return_index=True)
    probes = np.setdiff1d(np.arange(len(labels)), enrolled)
    gallery = embeddings[enrolled]
    better = np.empty(len(probes), dtype=np.int64)
    for block in np.array_split(np.arange(len(probes)), len(probes) // PROBE_BLOCK + 1):
        scores = embeddings[probes[block]] @ gallery.T
        own_columns = np.searchsorted(labels[enrolled], labels[probes[block]])
        own = scores[np.arange(len(block)), own_columns]
        better[block] = np.sum(scores >= own[:, None], axis=1) - 1
    return np.array([np.mean(better < rank) for rank in range(1, ranks + 1)])


def draw_galleries(labels: Labels, gallery: int, photos: int, *, count: int, seed: int = 0) -> Iterator[list[Labels]]:
    """Draw random galleries: for each of `gallery` people the positions of `photos` photos to enrol.

    Only people with a further photo are enrolled, so that every enrolled person has mated probes.
    """
    people, counts = np.unique(labels, return_counts=True)
    candidates = people[counts > photos]
    rng = np.random.default_rng(seed)
    for _ in range(count):
        chosen = rng.choice(candidates, gallery, replace=False)
        yield [rng.choice(np.flatnonzero(labels == person), photos, replace=False) for person in chosen]


def search(embeddings: Scores, labels: Labels, enrolled: list[Labels], aggregate: Aggregate) -> Searches:
    """Search every photo that is not enrolled in one gallery.

    Args:
        embeddings: (n, d), unit length.
        labels: (n,) person of each photo.
        enrolled: positions of each enrolled person's photos.
        aggregate: combines a person's enrolled embeddings.
    """
    gallery = np.stack([aggregate(embeddings[positions]) for positions in enrolled])
    people = np.array([labels[positions[0]] for positions in enrolled])
    probes = np.setdiff1d(np.arange(len(labels)), np.concatenate(enrolled))
    scores = embeddings[probes] @ gallery.T
    best = scores.argmax(axis=1)
    mated = np.isin(labels[probes], people)
    top = scores[np.arange(len(probes)), best]
    return Searches(top[mated], people[best[mated]] == labels[probes][mated], top[~mated])


def open_set(
    embeddings: Scores,
    labels: Labels,
    gallery: int,
    photos: int,
    aggregate: Aggregate,
    *,
    fpirs: tuple[float, ...] = FPIRS,
    count: int = GALLERIES,
) -> list[OpenSet]:
    """Measure FNIR at each FPIR over random galleries.

    Args:
        embeddings: (n, d), unit length.
        labels: (n,) person of each photo.
        gallery: people to enrol.
        photos: photos to enrol of each.
        aggregate: combines a person's enrolled embeddings.
        fpirs: rates; those for which there is less than one non-mated probe are left out.
        count: galleries.
    """
    runs = [
        search(embeddings, labels, enrolled, aggregate)
        for enrolled in draw_galleries(labels, gallery, photos, count=count)
    ]
    mated, non_mated = (int(np.mean(sizes)) for sizes in zip(*map(Searches.sizes, runs), strict=True))
    results = []
    for fpir in (fpir for fpir in fpirs if fpir * non_mated >= 1):
        thresholds = [run.threshold(fpir) for run in runs]
        fnirs = [run.fnir(threshold) for run, threshold in zip(runs, thresholds, strict=True)]
        mean, deviation = float(np.mean(fnirs)), float(np.std(fnirs))
        results.append(OpenSet(gallery, photos, fpir, mean, deviation, float(np.mean(thresholds)), (mated, non_mated)))
    return results


def gallery_sizes(labels: Labels, photos: int, requested: tuple[int, ...] | None = None) -> list[int]:
    """Return the gallery sizes that can be measured: enough people with `photos` + 1 photos, and some left over.

    Without a request: a quarter and a half of the people with enough photos, and 800.
    """
    _, counts = np.unique(labels, return_counts=True)
    candidates = int(np.sum(counts > photos))
    sizes = requested or (candidates // 4, candidates // 2, 800)
    return sorted({size for size in sizes if 2 <= size <= candidates and size < len(counts)})
