"""The sizes at which the index changes its ways; the measurements behind them are in docs/search.md.

What the index needs from the database it is a cache of: rows of vectors, never changed, only added and deleted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

DIMENSIONS = 128


@dataclass(frozen=True, slots=True)
class Tuning:
    """Counts are rows, memory is bytes; tests inject small ones.

    seal_at: so many rows outside every segment make a new one; below it, search is exact
    segment: the largest segment; what one build reads and writes at most
    resident_tail: more rows than this outside the segments are read from the database for each search
    dead_share: a segment with more deleted rows than this share is built anew
    memory: indexes of the least recently searched spaces are closed beyond this
    retry_after: seconds before a build that failed is tried again
    """

    seal_at: int = 16_384
    segment: int = 524_288
    resident_tail: int = 131_072
    dead_share: float = 0.1
    memory: int = 512 * 1024 * 1024
    retry_after: float = 60.0


Rows = NDArray[np.int64]
Vectors = NDArray[np.float32]


class VectorSource(Protocol):
    """The durable vectors, by space (one searchable set, such as the faces of a collection).

    Row numbers are positive, rise in the order of commits and are never used twice; a vector that
    changes is a new row. Every method may be called from any thread. A space is a plain file name.
    """

    @property
    def identity(self) -> str:
        """Which database and which model; files of another identity are foreign."""
        ...

    def newest(self, space: str) -> int:
        """The highest row of the space, 0 when it is empty."""
        ...

    def count(self, space: str, after: int, upto: int) -> int:
        """How many rows lie in (after, upto]."""
        ...

    def scan(self, space: str, after: int, upto: int | None = None) -> Iterator[tuple[Rows, Vectors]]:
        """The rows in (after, upto] with their vectors (n, 128), ascending, some thousands at a time.

        Without `upto` to the last row there is, also of those that come meanwhile.
        """
        ...

    def fetch(self, space: str, rows: Rows) -> tuple[Rows, Vectors]:
        """Those of the rows that exist, ascending, with their vectors."""
        ...
