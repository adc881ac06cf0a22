"""What one search asks of all segments, made once, and how each thread that takes part makes the call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import local
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.gallery.vector_index.kernels.calls import call
from mien.gallery.vector_index.kernels.search import ROOM, SCRATCH

Bytes = NDArray[np.int8]
Codes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Rows = NDArray[np.int64]

_OF_THREAD = local()


@dataclass(frozen=True, slots=True)
class Held:
    """A segment of n faces as the kernel takes it; the arrays must not move or go."""

    codes: Codes
    """`packed`"""
    stored: Bytes
    """(n, 128)"""
    steps: Floats
    """(n,)"""
    rows: Rows
    """(n,)"""
    dead: NDArray[np.bool_] | None
    """(n,): known to be deleted; None when none is"""

    @property
    def words(self) -> tuple[int, ...]:
        addresses = (array.ctypes.data for array in (self.codes, self.stored, self.steps, self.rows))
        return len(self.rows), len(self.codes), *addresses, 0 if self.dead is None else self.dead.ctypes.data


@dataclass(frozen=True, slots=True)
class Cut:
    """What m probes ask of a segment: tables (m, 64, 16), least sums (m,), floors (m,) of the cosines of its bytes."""

    entries: Codes
    least: NDArray[np.int16]
    floors: Floats

    @property
    def words(self) -> tuple[int, ...]:
        return tuple(array.ctypes.data for array in (self.entries, self.least, self.floors))


class Plan:
    """One search for probes (m, 128) in segments; `words` are what Held and Cut say of each.

    `kept` is whatever holds their arrays: they must outlive the last thread that takes part, also when another fails.
    """

    def __init__(self, probes: Floats, words: Sequence[Sequence[int]], kept: object) -> None:
        self._kept = kept
        self._probes = np.ascontiguousarray(probes, np.float32)
        self._table = np.array(words, np.int64)
        self._taken = np.zeros(len(words), np.int64)

    def take(self) -> Iterator[list[tuple[Rows, Floats]]]:
        """What this thread finds: again and again for each probe some rows that reach its floor, and their cosines.

        Several threads may take: each row is found by one of them.
        """
        probes = len(self._probes)
        notes = _notes(probes)
        early = True
        while early:
            notes.counts[:] = 0
            early = call("search", self._table, len(self._table), self._taken, probes, self._probes, *notes)
            yield notes.of(probes)


class _Notes:
    """Room for what a thread finds, used for search after search: fresh memory would be mapped and zeroed for each."""

    def __init__(self, probes: int) -> None:
        self._scratch = np.empty((2, SCRATCH), np.int32)
        self._rows = np.empty((probes, ROOM), np.int64)
        self._cosines = np.empty((probes, ROOM), np.float32)
        self.counts = np.zeros(probes, np.int64)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return iter((self._scratch, self._rows, self._cosines, self.counts))

    def of(self, probes: int) -> list[tuple[Rows, Floats]]:
        counts = enumerate(self.counts[:probes].tolist())
        return [(self._rows[probe, :count].copy(), self._cosines[probe, :count].copy()) for probe, count in counts]


def _notes(probes: int) -> _Notes:
    """This thread's, for so many probes or more."""
    notes: _Notes | None = getattr(_OF_THREAD, "notes", None)
    if notes is None or len(notes.counts) < probes:
        notes = _OF_THREAD.notes = _Notes(probes)
    return notes
