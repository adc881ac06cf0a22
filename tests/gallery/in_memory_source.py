"""A vector source in memory, to compare an index with, and synthetic vectors."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np

from mien.gallery.vector_index import IndexConfig, Rows, Vectors
from mien.gallery.vector_index.kernels import cosines

SMALL = IndexConfig(seal_threshold=64, max_segment=512, max_buffer=400, max_deleted_ratio=0.2, retry_after=0.0)
BLOCK = 50


class InMemorySource:
    """Rows in a dictionary; thread-safe. `best` answers searches by comparing with every row."""

    def __init__(self, identity: str = "database and model") -> None:
        self.identity = identity
        self.vectors: dict[int, Vectors] = {}
        self.scanned: list[str] = []
        self._last = 0
        self._lock = threading.RLock()

    def add(self, vectors: Vectors) -> list[int]:
        with self._lock:
            rows = list(range(self._last + 1, self._last + 1 + len(vectors)))
            self._last += len(vectors)
            self.vectors.update(zip(rows, vectors, strict=True))
            return rows

    def delete(self, rows: list[int]) -> None:
        with self._lock:
            for row in rows:
                del self.vectors[row]

    def replace(self, row: int, vector: Vectors) -> int:
        """Delete a row and add one, as one transaction; return the new row."""
        with self._lock:
            self.delete([row])
            return self.add(vector[None])[0]

    def newest(self, vector_set: str) -> int:
        with self._lock:
            return max(self.vectors, default=0)

    def count(self, vector_set: str, after: int, upto: int) -> int:
        with self._lock:
            return sum(after < row <= upto for row in self.vectors)

    def scan(self, vector_set: str, after: int, upto: int | None = None) -> Iterator[tuple[Rows, Vectors]]:
        self.scanned.append(vector_set)
        while True:
            with self._lock:
                rows = sorted(row for row in self.vectors if after < row and (upto is None or row <= upto))[:BLOCK]
                block = self.fetch(vector_set, np.array(rows, np.int64))
            if not rows:
                return
            yield block
            after = rows[-1]

    def fetch(self, vector_set: str, rows: Rows) -> tuple[Rows, Vectors]:
        with self._lock:
            known = [row for row in sorted(rows.tolist()) if row in self.vectors]
            vectors = np.array([self.vectors[row] for row in known], np.float32).reshape(-1, 128)
        return np.array(known, np.int64), vectors

    def best(self, probe: Vectors, min_cosine: float, limit: int | None) -> list[int]:
        with self._lock:
            rows, vectors = self.fetch("", np.array(list(self.vectors), np.int64))
        scores = cosines(probe, vectors)
        order = np.lexsort((rows, -scores))
        return rows[order[scores[order] >= min_cosine]][:limit].tolist()


def people(count: int, seed: int = 0, photos: int = 1) -> Vectors:
    """Unit vectors (count * photos, 128), those of one person close together."""
    random = np.random.default_rng(seed)
    centres = np.repeat(random.standard_normal((count, 128)), photos, axis=0)
    vectors = (centres + 0.6 * random.standard_normal(centres.shape)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
