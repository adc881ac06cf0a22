"""What every index is asked, and how its answers are timed and judged."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import galleries
import numpy as np
from galleries import Vectors

PROBES, BATCH, BATCHES = 1000, 64, 12
SECONDS, FEWEST = 15.0, 100
"""One timing takes about so long, but is never of fewer probes."""


@dataclass(frozen=True)
class Asked:
    """One run: how many faces, and what a probe asks for."""

    faces: int
    threshold: float
    limit: int

    @property
    def least(self) -> float:
        from mien.gallery.scoring import cosine_at

        return cosine_at(self.threshold)


def milliseconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3


def exact_matches(asked: Asked, probes: Vectors) -> list[set[int]]:
    """For each probe the places in the gallery of what an exact search answers."""
    found: list[list[tuple[float, int]]] = [[] for _ in probes]
    for number, chunk in enumerate(galleries.gallery(asked.faces)):
        scores = probes @ chunk.T
        for probe, place in zip(*np.nonzero(scores >= asked.least), strict=True):
            found[probe].append((-float(scores[probe, place]), number * galleries.CHUNK + int(place)))
    return [{place for _, place in sorted(matches)[: asked.limit]} for matches in found]


def recall(found: list[set[int]], expected: list[set[int]]) -> float:
    return sum(len(one & other) for one, other in zip(found, expected, strict=True)) / sum(map(len, expected))


def speed(search: Callable[[Vectors], object], probes: Vectors) -> dict[str, Any]:
    """Latency of one probe, and per probe of 64 at once."""
    search(probes[:BATCH])
    slow = milliseconds(lambda: search(probes[:1])) / 1e3
    probes = probes[: max(FEWEST, int(SECONDS / slow))]
    single = [milliseconds(lambda at=at: search(probes[at : at + 1])) for at in range(len(probes))]
    starts = [at % max(1, len(probes) - BATCH) for at in range(0, BATCH * BATCHES, BATCH)]
    batches = [milliseconds(lambda at=at: search(probes[at : at + BATCH])) for at in starts]
    return {
        "p50_ms": float(np.percentile(single, 50)),
        "p99_ms": float(np.percentile(single, 99)),
        "batch64_ms_per_probe": float(np.median(batches)) / min(BATCH, len(probes)),
        "probes": len(probes),
    }
