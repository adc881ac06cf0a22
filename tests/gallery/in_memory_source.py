"""The source as a plain dictionary, to hold the index to."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mien.gallery.vector_index import IndexConfig, Rows, Vectors
from mien.gallery.vector_index.kernels import cosines

SMALL = IndexConfig(seal_threshold=64, max_segment=512, max_buffer=400, max_deleted_ratio=0.2, retry_after=0.0)


class InMemorySource:
    """Rows in memory. Answers `best` by looking at every one of them."""

    def __init__(self, identity: str = "database and model") -> None:
        self.identity = identity
        self.vectors: dict[int, Vectors] = {}
        self.scanned: list[str] = []
        self._last = 0

    def add(self, vectors: Vectors) -> list[int]:
        rows = list(range(self._last + 1, self._last + 1 + len(vectors)))
        self._last += len(vectors)
        self.vectors.update(zip(rows, vectors, strict=True))
        return rows

    def delete(self, rows: list[int]) -> None:
        for row in rows:
            del self.vectors[row]

    def newest(self, vector_set: str) -> int:
        return max(self.vectors, default=0)

    def count(self, vector_set: str, after: int, upto: int) -> int:
        return sum(after < row <= upto for row in list(self.vectors))

    def scan(self, vector_set: str, after: int, upto: int | None = None) -> Iterator[tuple[Rows, Vectors]]:
        self.scanned.append(vector_set)
        rows = sorted(row for row in list(self.vectors) if after < row <= (self._last if upto is None else upto))
        for start in range(0, len(rows), 50):
            yield self.fetch(vector_set, np.array(rows[start : start + 50], np.int64))

    def fetch(self, vector_set: str, rows: Rows) -> tuple[Rows, Vectors]:
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
