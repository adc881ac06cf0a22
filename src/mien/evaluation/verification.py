"""Every photo against every other: the 1:1 scores of a labelled set of embeddings.

13,233 photos give 87.5 million comparisons; they are made in blocks, and those of strangers are only counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.evaluation.metrics import Impostors, Scores

BLOCK = 1024


@dataclass(frozen=True, slots=True)
class Comparisons:
    """Scores of one set. `genuine[i]` compares two photos of `person[i]`, at `left[i]` and `right[i]`."""

    genuine: Scores
    person: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    impostors: Impostors


def compare_all(embeddings: Scores, labels: NDArray[np.int64]) -> Comparisons:
    """All pairs of unit rows (n, d) with their people (n,). A row of zeros (no face) scores 0."""
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


def most_alike_strangers(embeddings: Scores, labels: NDArray[np.int64], count: int) -> list[tuple[int, int, float]]:
    """The `count` impostor pairs with the highest scores, highest first: (left, right, cosine)."""
    best: list[tuple[int, int, float]] = []
    for start in range(0, len(embeddings), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(embeddings)))
        scores = embeddings[rows] @ embeddings[start:].T
        stranger = (np.arange(start, len(embeddings)) > rows[:, None]) & (labels[rows][:, None] != labels[start:])
        flat = np.where(stranger, scores, -2).ravel()
        top = np.argpartition(flat, -min(count, len(flat)))[-count:]
        left, right = np.divmod(top, scores.shape[1])
        best += [
            (int(i) + start, int(j) + start, float(scores[i, j]))
            for i, j in zip(left, right, strict=True)
            if stranger[i, j]
        ]
        best = sorted(best, key=lambda pair: -pair[2])[:count]
    return best
