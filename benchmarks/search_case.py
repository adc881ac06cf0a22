"""Define what every index is asked, and how its latency and recall are measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import galleries
from benchmarks.galleries import Vectors

MAX_PROBES, BATCH, BATCHES = 1000, 64, 12
TARGET_SECONDS, MIN_PROBES = 15.0, 100
"""A measurement of single probes takes about so long, but uses at least so many probes."""


@dataclass(frozen=True)
class SearchCase:
    """One run.

    Attributes:
        faces: size of the gallery.
        threshold: similarity that a match must reach, 0 to 100.
        limit: matches per probe, at most.
    """

    faces: int
    threshold: float
    limit: int

    @property
    def min_cosine(self) -> float:
        """The cosine of the threshold."""
        from mien.gallery.scoring import cosine_at

        return cosine_at(self.threshold)


def milliseconds(work: Callable[[], Any]) -> float:
    """Time a call."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3


def exact_matches(case: SearchCase, probes: Vectors) -> list[set[int]]:
    """Compute for each probe the positions in the gallery that an exact search returns."""
    matches: list[list[tuple[float, int]]] = [[] for _ in probes]
    for number, chunk in enumerate(galleries.gallery(case.faces)):
        scores = probes @ chunk.T
        for probe, position in zip(*np.nonzero(scores >= case.min_cosine), strict=True):
            matches[probe].append((-float(scores[probe, position]), number * galleries.CHUNK + int(position)))
    return [{position for _, position in sorted(ranked)[: case.limit]} for ranked in matches]


def recall(found: list[set[int]], expected: list[set[int]]) -> float:
    """Compute the share of the expected positions that were found, over all probes."""
    hits = sum(len(some & wanted) for some, wanted in zip(found, expected, strict=True))
    return hits / sum(map(len, expected))


def latency(search: Callable[[Vectors], object], probes: Vectors) -> dict[str, Any]:
    """Measure the latency of one probe, and per probe of a batch of 64; warms up first."""
    search(probes[:BATCH])
    seconds = milliseconds(lambda: search(probes[:1])) / 1e3
    probes = probes[: max(MIN_PROBES, int(TARGET_SECONDS / seconds))]
    single = [milliseconds(lambda at=at: search(probes[at : at + 1])) for at in range(len(probes))]
    starts = [at % max(1, len(probes) - BATCH) for at in range(0, BATCH * BATCHES, BATCH)]
    batches = [milliseconds(lambda at=at: search(probes[at : at + BATCH])) for at in starts]
    return {
        "p50_ms": float(np.percentile(single, 50)),
        "p99_ms": float(np.percentile(single, 99)),
        "batch64_ms_per_probe": float(np.median(batches)) / min(BATCH, len(probes)),
        "probes": len(probes),
    }
