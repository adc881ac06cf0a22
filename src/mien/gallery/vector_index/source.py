"""Define what the vector index reads from the database, and the sizes from which it changes its behaviour.

docs/search.md has the measurements behind the sizes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
"""Row numbers (n,)."""

Vectors = NDArray[np.float32]
"""Vectors (n, 128), or one value for each of n vectors (n,)."""


@dataclass(frozen=True, slots=True)
class IndexConfig:
    """Sizes of the index.

    Args:
        seal_threshold: This many rows outside every segment become a new segment; below, search is exact.
        max_segment: Rows of the largest segment, which is what one build reads and writes at most.
        max_buffer: More rows than this outside the segments are not held in memory, but read from the database for
            each search.
        max_deleted_ratio: A segment with a larger share of deleted rows is rebuilt without them.
        max_memory: Bytes; beyond, the indexes of the vector sets that were searched least recently are closed.
        retry_after: Seconds before a build that failed is tried again.
    """

    seal_threshold: int = 16_384
    max_segment: int = 524_288
    max_buffer: int = 131_072
    max_deleted_ratio: float = 0.1
    max_memory: int = 512 * 1024 * 1024
    retry_after: float = 60.0


class VectorSource(Protocol):
    """The durable vectors, of which the index is a cache, by vector set: one searchable set, such as the faces of a
    collection.

    Vectors are only added and deleted, never changed: a vector that changes is a new row. Row numbers are positive,
    rise in the order of commits and are never used twice. The name of a vector set is a plain file name. Every method
    may be called from any thread.
    """

    @property
    def identity(self) -> str:
        """Which database and which model; files of another identity are foreign."""
        ...

    def newest(self, vector_set: str) -> int:
        """Return the highest row, 0 when the set is empty."""
        ...

    def count(self, vector_set: str, after: int, upto: int) -> int:
        """Return how many rows lie in (after, upto]."""
        ...

    def scan(self, vector_set: str, after: int, upto: int | None = None) -> Iterator[tuple[Rows, Vectors]]:
        """Yield the rows in (after, upto] with their vectors (n, 128), ascending, some thousands at a time.

        Without `upto` to the last row, including rows that are added meanwhile.
        """
        ...

    def fetch(self, vector_set: str, rows: Rows) -> tuple[Rows, Vectors]:
        """Return those of the rows that exist, ascending, with their vectors (n, 128)."""
        ...
