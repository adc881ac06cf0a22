"""Hold the rows that are in no segment yet as whole vectors, and search them exactly.

A vector set that is smaller than a segment is in the buffer as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from mien.domain.faces import EMBEDDING_DIMENSION
from mien.gallery.vector_index.kernels import cosines
from mien.gallery.vector_index.quantization import kth_largest
from mien.gallery.vector_index.segment import CandidateRows
from mien.gallery.vector_index.source import Rows, Vectors, VectorSource

_ROUNDING_ERROR = 1e-5
_MIN_CAPACITY = 16
_NO_ROWS: Rows = np.empty(0, np.int64)


class _GrowingArrays:
    """Rows and vectors with spare capacity. What was written is never changed, so buffers of any length share them."""

    def __init__(self, capacity: int) -> None:
        self.rows: Rows = np.empty(capacity, np.int64)
        self.vectors: Vectors = np.empty((capacity, EMBEDDING_DIMENSION), np.float32)
        self.used = 0

    def extended(self, size: int, rows: Rows, vectors: Vectors) -> _GrowingArrays:
        """Return arrays with the first `size` rows of these and more rows after them.

        They are these arrays when nothing is written after `size` and there is room, else a copy of twice the size.
        One thread at a time may call this.
        """
        end = size + len(rows)
        arrays = self
        if size != self.used or end > len(self.rows):
            arrays = _GrowingArrays(max(2 * size, end, _MIN_CAPACITY))
            arrays.rows[:size], arrays.vectors[:size] = self.rows[:size], self.vectors[:size]
        arrays.rows[size:end], arrays.vectors[size:end] = rows, vectors
        arrays.used = end
        return arrays


@dataclass(frozen=True, slots=True)
class WriteBuffer:
    """The rows of a vector set in (after, upto]; immutable.

    Methods that change something return another buffer, which shares what both hold. A buffer that would exceed
    `max_rows` overflows: it holds no rows, and reads them from the source for each search.
    """

    source: VectorSource
    vector_set: str
    max_rows: int
    after: int
    upto: int
    tombstones: Rows
    """Held rows that are known to be deleted, ascending."""
    _size: int
    _arrays: _GrowingArrays | None
    """None: overflowed."""

    @classmethod
    def empty(cls, source: VectorSource, vector_set: str, after: int, max_rows: int) -> WriteBuffer:
        return cls(source, vector_set, max_rows, after, after, _NO_ROWS, 0, _GrowingArrays(0))

    def __len__(self) -> int:
        """Rows held; of an overflowed buffer, one more than it may hold."""
        return self.max_rows + 1 if self._arrays is None else self._size

    @property
    def rows(self) -> Rows:
        """The rows held, ascending."""
        return _NO_ROWS if self._arrays is None else self._arrays.rows[: self._size]

    @property
    def memory(self) -> int:
        """Bytes held."""
        return 0 if self._arrays is None else self._arrays.rows.nbytes + self._arrays.vectors.nbytes

    def catch_up(self, newest: int) -> WriteBuffer:
        """Read the rows up to `newest`, and those committed since. One thread at a time may call this.

        If a row is replaced by a newer one while we read, stopping at `newest` would miss both.
        """
        if self._arrays is None:
            return replace(self, upto=max(self.upto, newest))
        arrays, size, upto = self._arrays, self._size, self.upto
        for rows, vectors in self.source.scan(self.vector_set, self.upto):
            if size + len(rows) > self.max_rows:
                return replace(self, upto=max(int(rows[-1]), newest), tombstones=_NO_ROWS, _size=0, _arrays=None)
            arrays = arrays.extended(size, rows, vectors)
            size, upto = size + len(rows), int(rows[-1])
        return replace(self, upto=max(upto, newest), _size=size, _arrays=arrays)

    def after_seal(self, after: int) -> WriteBuffer:
        """Return what is left when segments hold the rows up to `after`; it must catch up again if it is too short."""
        rest = WriteBuffer.empty(self.source, self.vector_set, after, self.max_rows)
        if self._arrays is None or not self.after <= after <= self.upto:
            return rest
        kept = slice(int(np.searchsorted(self.rows, after, side="right")), self._size)
        return rest._holding(self.rows[kept], self._arrays.vectors[kept], self.upto, self.tombstones)

    def mark_deleted(self, rows: Rows) -> WriteBuffer:
        """Return this buffer without these rows in its results."""
        deleted = np.intersect1d(rows, self.rows)
        return replace(self, tombstones=np.union1d(self.tombstones, deleted)) if len(deleted) else self

    def compacted(self) -> WriteBuffer:
        """Return this buffer without the rows that are known to be deleted."""
        if self._arrays is None or not len(self.tombstones):
            return self
        rest = WriteBuffer.empty(self.source, self.vector_set, self.after, self.max_rows)
        live = ~np.isin(self.rows, self.tombstones)
        return rest._holding(self.rows[live], self._arrays.vectors[: self._size][live], self.upto, _NO_ROWS)

    def candidates(self, probes: Vectors, floors: Vectors, limit: int | None) -> list[CandidateRows]:
        """Return for each probe (m, 128) the rows that reach its floor (m,) and may be among the best `limit`."""
        parts: list[list[CandidateRows]] = [[] for _ in probes]
        floors = floors.copy()
        for rows, vectors in self._blocks():
            live = None if not len(self.tombstones) else ~np.isin(rows, self.tombstones)
            for number, probe in enumerate(probes):
                scores = cosines(probe, vectors)
                kept = scores >= floors[number] - _ROUNDING_ERROR
                kept = kept if live is None else kept & live
                part = CandidateRows(rows[kept], scores[kept], _ROUNDING_ERROR)
                if limit is not None:
                    floors[number] = max(floors[number], kth_largest(part.cosines, limit) - _ROUNDING_ERROR)
                parts[number].append(part)
        return [_joined(own) for own in parts]

    def _holding(self, rows: Rows, vectors: Vectors, upto: int, tombstones: Rows) -> WriteBuffer:
        arrays = _GrowingArrays(0).extended(0, rows, vectors)
        own = tombstones[tombstones > self.after]
        return replace(self, upto=upto, tombstones=own, _size=len(rows), _arrays=arrays)

    def _blocks(self) -> Iterator[tuple[Rows, Vectors]]:
        if self._arrays is None:
            return self.source.scan(self.vector_set, self.after)
        return iter([(self.rows, self._arrays.vectors[: self._size])] if self._size else [])


def _joined(parts: list[CandidateRows]) -> CandidateRows:
    if len(parts) == 1:
        return parts[0]
    return CandidateRows(
        np.concatenate([_NO_ROWS, *(part.rows for part in parts)]),
        np.concatenate([np.empty(0, np.float32), *(part.cosines for part in parts)]),
        _ROUNDING_ERROR,
    )
