"""The rows that no segment holds yet: whole vectors, exact search. A small space is nothing but a tail."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy

import numpy as np

from mien.gallery.vector_index.kernels import cosines
from mien.gallery.vector_index.quantization import nth_best
from mien.gallery.vector_index.scan import Candidates
from mien.gallery.vector_index.source import DIMENSIONS, Rows, Vectors, VectorSource

_ROUNDING = 1e-5


class WriteBuffer:
    """The rows of a space after `after`, followed up to `upto`.

    Grows by one thread at a time while others search: they look at the arrays as far as they were
    filled when they began. More rows than `most` are not held but read anew for each search.
    """

    def __init__(self, truth: VectorSource, space: str, after: int, most: int) -> None:
        self.after = self.upto = after
        self._truth = truth
        self._space = space
        self._most = most
        self._held: tuple[Rows, Vectors] | None = (np.empty(0, np.int64), np.empty((0, DIMENSIONS), np.float32))
        self._spare: tuple[Rows, Vectors] = self._held
        self._dead: Rows = np.empty(0, np.int64)

    def __len__(self) -> int:
        """Rows held; `most` and more are only known to be many."""
        return self._most + 1 if self._held is None else len(self._held[0])

    @property
    def memory(self) -> int:
        return sum(array.nbytes for array in self._spare)

    @property
    def dead(self) -> int:
        """How many rows are known to be deleted."""
        return len(self._dead)

    def follow(self, newest: int) -> None:
        """Take in the rows up to `newest`, and those that came since.

        Not only the former: a row that another takes the place of meanwhile would be missed, and so would the other.
        """
        if self._held is not None:
            for rows, vectors in self._truth.scan(self._space, self.upto):
                self._append(rows, vectors)
                self.upto = int(rows[-1])
                if len(self) > self._most:
                    self._held, self._spare = None, (self._dead[:0], np.empty((0, DIMENSIONS), np.float32))
                    break
        self.upto = max(self.upto, newest)

    def trimmed(self, after: int) -> WriteBuffer:
        """What is left of the tail when a segment holds the rows up to `after`."""
        rest = WriteBuffer(self._truth, self._space, after, self._most)
        if self._held is not None and self.after <= after <= self.upto:
            rows, vectors = self._held
            first = int(np.searchsorted(rows, after, side="right"))
            rest._append(rows[first:], vectors[first:])
            rest.upto = self.upto
            rest._dead = self._dead[self._dead > after]
        return rest

    def swept(self) -> WriteBuffer:
        """The tail without the rows known to be deleted."""
        rest = WriteBuffer(self._truth, self._space, self.after, self._most)
        if self._held is not None:
            rows, vectors = self._held
            alive = ~np.isin(rows, self._dead)
            rest._append(rows[alive], vectors[alive])
            rest.upto = self.upto
        return rest

    def without(self, rows: Rows) -> WriteBuffer:
        """The same, but that these rows are left out of its answers. Only the newer of the two may be followed."""
        rest = copy(self)
        rest._dead = np.union1d(self._dead, rows[rows > self.after])
        return rest

    def candidates(self, probes: Vectors, floors: Vectors, limit: int | None) -> list[Candidates]:
        """As Segment.candidates."""
        parts: list[list[Candidates]] = [[] for _ in probes]
        for rows, vectors in self._chunks():
            alive = None if not len(self._dead) else ~np.isin(rows, self._dead)
            for number, probe in enumerate(probes):
                near = cosines(probe, vectors)
                kept = near >= floors[number] - _ROUNDING
                kept = kept if alive is None else kept & alive
                part = Candidates(rows[kept], near[kept], _ROUNDING)
                if limit is not None:
                    floors[number] = max(floors[number], nth_best(part.cosines, limit) - _ROUNDING)
                parts[number].append(part)
        return [_joined(part) for part in parts]

    def _chunks(self) -> Iterator[tuple[Rows, Vectors]]:
        if self._held is None:
            return self._truth.scan(self._space, self.after)
        return iter([self._held] if len(self._held[0]) else [])

    def _append(self, rows: Rows, vectors: Vectors) -> None:
        size = len(self)
        if size + len(rows) > len(self._spare[0]):
            self._grow(max(2 * size, size + len(rows), 16))
        self._spare[0][size : size + len(rows)] = rows
        self._spare[1][size : size + len(rows)] = vectors
        self._held = (self._spare[0][: size + len(rows)], self._spare[1][: size + len(rows)])

    def _grow(self, capacity: int) -> None:
        size = len(self)
        rows, vectors = np.empty(capacity, np.int64), np.empty((capacity, DIMENSIONS), np.float32)
        rows[:size], vectors[:size] = self._spare[0][:size], self._spare[1][:size]
        self._spare = (rows, vectors)


def _joined(parts: list[Candidates]) -> Candidates:
    if len(parts) == 1:
        return parts[0]
    empty = Candidates(np.empty(0, np.int64), np.empty(0, np.float32), _ROUNDING)
    return Candidates(
        np.concatenate([part.rows for part in parts or [empty]]),
        np.concatenate([part.cosines for part in parts or [empty]]),
        _ROUNDING,
    )
