"""Scan segments, which are immutable runs of quantised rows, with several threads.

Every row whose cosine reaches the floor is found (see quantization.py for the odds), however many they are: there is no
fixed number of candidates beyond which matches are lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np

from mien.domain.waiting import available_cores
from mien.gallery.vector_index.kernels import QueryTables, ScanRequest, SegmentArrays
from mien.gallery.vector_index.quantization import Codebook, ScoreModel, find_rows
from mien.gallery.vector_index.source import Rows, Vectors

CORES = available_cores()

_MIN_PARALLEL_WORK = 131_072
"""Faces times probes: less is scanned before another thread would be awake."""


@dataclass(frozen=True, slots=True)
class CandidateRows:
    """Rows (n,) with their cosines (n,), each off by at most `error`."""

    rows: Rows
    cosines: Vectors
    error: float


class Segment:
    """The rows in (after, upto], ascending, in both quantised forms; immutable.

    Args:
        name: Of its folder.
        span: `after` and `upto`.
        arrays: What the kernels scan.
        codebook: Of the codes.
        model: What was measured on the vectors; its `sq8_error` bounds the error of the cosines found.
    """

    def __init__(
        self, name: str, span: tuple[int, int], arrays: SegmentArrays, codebook: Codebook, model: ScoreModel
    ) -> None:
        self.name = name
        self.after, self.upto = span
        self.error = model.sq8_error
        self.deleted = 0 if arrays.tombstones is None else int(arrays.tombstones.sum())
        self.descriptor = arrays.descriptor
        self._arrays = arrays
        self._codebook = codebook
        self._model = model
        self._mean = np.array(model.mean, np.float32)

    def __len__(self) -> int:
        return len(self._arrays.rows)

    @property
    def memory(self) -> int:
        """Bytes held, including those of the memory-mapped file."""
        arrays = self._arrays
        return arrays.rows.nbytes + arrays.scales.nbytes + arrays.int8_vectors.nbytes + arrays.codes.nbytes

    def mark_deleted(self, rows: Rows) -> Segment:
        """Return this segment without these rows in its results, which are `deleted` rows from then on."""
        positions = find_rows(self._arrays.rows, rows)
        if not len(positions):
            return self
        known = self._arrays.tombstones
        tombstones = np.zeros(len(self), bool) if known is None else known.copy()
        tombstones[positions] = True
        arrays = replace(self._arrays, tombstones=tombstones)
        return Segment(self.name, (self.after, self.upto), arrays, self._codebook, self._model)

    def estimate_floor(self, probe: Vectors, limit: int, size: int) -> float:
        """Estimate a cosine that the best `limit` of `size` faces like these reach."""
        return self._model.estimate_floor(float(probe @ self._mean), limit, size) - self.error

    def query_tables(self, probes: Vectors, floors: Sequence[float]) -> QueryTables:
        """Prepare a scan for the rows that reach, for each probe (m, 128), its floor (m,)."""
        tables = self._codebook.lookup_tables(probes)
        min_sums = [tables.min_sum(probe, floor, self._model) for probe, floor in enumerate(floors)]
        min_cosines = [floor - self.error for floor in floors]
        return QueryTables(tables.entries, np.array(min_sums, np.int16), np.array(min_cosines, np.float32))


def scan_segments(
    segments: Sequence[Segment], probes: Vectors, floors: Sequence[float], workers: Executor
) -> list[list[CandidateRows]]:
    """Scan all segments, with the help of the workers where it pays.

    Returns for each probe (m, 128), in several parts, the live rows that reach its floor (m,).
    """
    tables = [segment.query_tables(probes, floors) for segment in segments]
    descriptors = [(*segment.descriptor, *own.descriptor) for segment, own in zip(segments, tables, strict=True)]
    request = ScanRequest(probes, descriptors, kept=(segments, tables))
    error = max(segment.error for segment in segments)

    def worker() -> list[list[CandidateRows]]:
        parts = [[CandidateRows(*found, error) for found in part] for part in request.run()]
        return [list(candidates) for candidates in zip(*parts, strict=True)]

    parallel = sum(map(len, segments)) * len(probes) >= _MIN_PARALLEL_WORK
    others = [workers.submit(worker) for _ in range((CORES - 1) * parallel)]
    found = worker()
    for other in others:
        if not other.cancel():
            for mine, theirs in zip(found, other.result(), strict=True):
                mine.extend(theirs)
    return found
