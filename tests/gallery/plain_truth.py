"""The truth as a plain dictionary, to hold the index to."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mien.gallery.vector_index import Rows, Tuning, Vectors
from mien.gallery.vector_index.kernels import cosines

SMALL = Tuning(seal_at=64, segment=512, resident_tail=400, dead_share=0.2, retry_after=0.0)


class PlainTruth:
    """Rows in memory. Answers `best` by looking at every one of them."""

    def __init__(self, identity: str = "database and model") -> None:
        self.identity = identity
        self.vectors: dict[int, Vectors] = {}
        self._last = 0

    def add(self, vectors: Vectors) -> list[int]:
        rows = list(range(self._last + 1, self._last + 1 + len(vectors)))
        self._last += len(vectors)
        self.vectors.update(zip(rows, vectors, strict=True))
        return rows

    def delete(self, rows: list[int]) -> None:
        for row in rows:
            del self.vectors[row]

    def newest(self, space: str) -> int:
        return max(self.vectors, default=0)

    def count(self, space: str, after: int, upto: int) -> int:
        return sum(after < row <= upto for row in list(self.vectors))

    def scan(self, space: str, after: int, upto: int | None = None) -> Iterator[tuple[Rows, Vectors]]:
        rows = sorted(row for row in list(self.vectors) if after < row <= (self._last if upto is None else upto))
        for start in range(0, len(rows), 50):
            yield self.fetch(space, np.array(rows[start : start + 50], np.int64))

    def fetch(self, space: str, rows: Rows) -> tuple[Rows, Vectors]:
        known = [row for row in sorted(rows.tolist()) if row in self.vectors]
        vectors = np.array([self.vectors[row] for row in known], np.float32).reshape(-1, 128)
        return np.array(known, np.int64), vectors

    def best(self, probe: Vectors, min_cosine: float, limit: int | None) -> list[int]:
        rows, vectors = self.fetch("", np.array(list(self.vectors), np.int64))
        found = cosines(probe, vectors)
        order = np.lexsort((rows, -found))
        return rows[order[found[order] >= min_cosine]][:limit].tolist()


def people(count: int, seed: int = 0, photos: int = 1) -> Vectors:
    """Unit vectors (count * photos, 128), those of one person close together."""
    random = np.random.default_rng(seed)
    centres = np.repeat(random.standard_normal((count, 128)), photos, axis=0)
    vectors = (centres + 0.6 * random.standard_normal(centres.shape)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
