"""The sizes at which the index changes its ways; the measurements behind them are in docs/search.md."""

from __future__ import annotations

from dataclasses import dataclass

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
