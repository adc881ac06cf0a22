"""An immutable run of rows in lossy form: probes in, candidates out.

A candidate's cosine is off by at most `error`. Every row whose cosine reaches the floor is among the
candidates (see codec.py for the odds), however many they are: there is no fixed number to fall off.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.gallery.nearest.arithmetic import places
from mien.gallery.nearest.codec import Bytes, Calibration, Codebook, Codes
from mien.gallery.nearest.kernels import narrow, scan
from mien.gallery.nearest.truth import Rows, Vectors


@dataclass(frozen=True, slots=True)
class Candidates:
    """Rows (n,) with cosines (n,), each off by at most `error`."""

    rows: Rows
    cosines: Vectors
    error: float


@dataclass(frozen=True, slots=True)
class Look:
    """What a segment is asked for probes (m, 128) and their floors: its tables, and the sums that reach the floors."""

    probes: Vectors
    floors: Sequence[float]
    entries: Codes
    least: list[int]


class Segment:
    """The rows in (after, upto]: `rows` (n,) ascending, `codes` held, `stored` (n, 128) mapped, its `steps` (n,)."""

    def __init__(
        self,
        name: str,
        span: tuple[int, int],
        rows: Rows,
        stored: Bytes,
        book: Codebook,
        codes: Codes,
        steps: Vectors,
        calibration: Calibration,
    ) -> None:
        self.name = name
        self.after, self.upto = span
        self._rows = rows
        self._stored = stored
        self._book = book
        self._codes = codes
        self._calibration = calibration
        self._steps = steps
        self._mean = np.array(calibration.mean, np.float32)
        self._error = calibration.slack
        self._dead: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def memory(self) -> int:
        """Bytes held, and those of the mapping."""
        return self._rows.nbytes + self._steps.nbytes + self._stored.nbytes + self._codes.nbytes

    @property
    def dead(self) -> int:
        """How many rows are known to be deleted."""
        return 0 if self._dead is None else int(self._dead.sum())

    def without(self, rows: Rows) -> Segment:
        """The same, but that these rows are left out of its answers."""
        positions = places(self._rows, rows)
        if not len(positions):
            return self
        rest = copy(self)
        rest._dead = np.zeros(len(self), bool) if self._dead is None else self._dead.copy()
        rest._dead[positions] = True
        return rest

    def likely(self, probe: Vectors, limit: int, size: int) -> float:
        """A guess at a cosine that the best `limit` of `size` faces like these reach."""
        return self._calibration.likely(float(probe @ self._mean), limit, size) - self._error

    def look(self, probes: Vectors, floors: Sequence[float]) -> Look:
        """What `near` needs to find for each probe (m, 128) the rows that reach its floor (m,)."""
        tables = self._book.tables(probes)
        least = [tables.least(number, floor, self._calibration) for number, floor in enumerate(floors)]
        return Look(probes, [floor - self._error for floor in floors], tables.entries, least)

    def near(self, look: Look, taken: NDArray[np.int64]) -> Iterator[list[Candidates]]:
        """For each probe the rows that reach its floor by 4 bits, then by 8, and are not known to be deleted.

        Of those blocks of rows that no other thread takes, some at a time: `taken` (1,) counts them.
        """
        while taken[0] < len(self._codes):
            found = scan(self._codes, len(self), taken, look.entries, look.least)
            narrow(self._stored, self._steps, look.probes, look.floors, found)
            yield [self._alive(*near) for near in found.of_each()]

    def _alive(self, positions: NDArray[np.int32], cosines: Vectors) -> Candidates:
        kept = slice(None) if self._dead is None else ~self._dead[positions]
        return Candidates(self._rows[positions[kept]], cosines[kept].copy(), self._error)
