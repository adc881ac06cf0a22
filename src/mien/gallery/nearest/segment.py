"""An immutable run of rows in lossy form: probes in, candidates out.

A candidate's cosine is off by at most `error`. Every row whose cosine reaches the floor is among the
candidates (see codec.py for the odds), however many they are: there is no fixed number to fall off.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from mien.gallery.nearest.arithmetic import cosines, nth_best, places
from mien.gallery.nearest.codec import GROUPS, Bytes, Calibration
from mien.gallery.nearest.products import reaching
from mien.gallery.nearest.truth import Rows, Vectors

_MANY = 16
"""So many probes are faster by their products with every row than one by one by the 4-bit codes."""
_LOWER = 0.1


@dataclass(frozen=True, slots=True)
class Candidates:
    """Rows (n,) with cosines (n,), each off by at most `error`."""

    rows: Rows
    cosines: Vectors
    error: float


class Segment:
    """The rows in (after, upto]: `rows` (n,) ascending, `codes` held, `stored` (n, 128) mapped, its `steps` (n,)."""

    def __init__(
        self,
        name: str,
        span: tuple[int, int],
        rows: Rows,
        stored: Bytes,
        codes: faiss.IndexIVFPQFastScan,
        steps: Vectors,
        calibration: Calibration,
    ) -> None:
        self.name = name
        self.after, self.upto = span
        self._rows = rows
        self._stored = stored
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
        codes = len(self) * (self._codes.code_size + self._rows.itemsize)
        return self._rows.nbytes + self._steps.nbytes + self._stored.nbytes + codes

    @property
    def dead(self) -> int:
        """How many rows are known to be deleted."""
        return 0 if self._dead is None else int(self._dead.sum())

    def bury(self, rows: Rows) -> None:
        """Leave these rows out of all later answers."""
        positions = places(self._rows, rows)
        if len(positions):
            dead = np.zeros(len(self), bool) if self._dead is None else self._dead.copy()
            dead[positions] = True
            self._dead = dead

    def candidates(self, probes: Vectors, floors: Vectors, limit: int | None) -> list[Candidates]:
        """For each probe (m, 128) all rows that reach its floor (m,) and may be among the best `limit`.

        Raises the floors in place to what the best `limit` found here prove to be the least that counts.
        """
        guesses = np.array([self._guess(*one, limit) for one in zip(probes, floors.tolist(), strict=True)], np.float32)
        found = []
        for number, positions in enumerate(self._proposed(probes, guesses)):
            probe, floor, guess = probes[number], float(floors[number]), float(guesses[number])
            near = self._narrow(probe, positions, guess)
            while guess > (raised := self._raised(near, floor, limit)):
                guess = max(floor, guess - _LOWER)
                near = self._narrow(probe, self._scanned(probe, guess), guess)
            floors[number] = raised
            found.append(near)
        return found

    def _guess(self, probe: Vectors, floor: float, limit: int | None) -> float:
        """The floor, or a higher one that the best `limit` seem to reach."""
        if limit is None:
            return floor
        return max(floor, self._calibration.likely(float(probe @ self._mean), limit, len(self)) - self._error)

    def _raised(self, near: Candidates, floor: float, limit: int | None) -> float:
        """The floor, or the higher one that the best `limit` of these prove to be the least that counts."""
        return floor if limit is None else max(floor, nth_best(near.cosines, limit) - self._error)

    def _proposed(self, probes: Vectors, floors: Vectors) -> Iterable[Rows]:
        """For each probe the positions of all rows that may reach its floor."""
        if len(probes) >= _MANY:
            return reaching(self._stored, self._steps, probes, floors, self._error)
        return (self._scanned(probe, floor) for probe, floor in zip(probes, floors.tolist(), strict=True))

    def _scanned(self, probe: Vectors, floor: float) -> Rows:
        """As `_proposed`, by the 4-bit codes.

        FAISS counts scores in 16 bits from the lowest possible to the highest; a cut beyond either would overflow.
        """
        scores = np.empty((GROUPS, self._codes.pq.ksub), np.float32)
        self._codes.pq.compute_inner_prod_table(faiss.swig_ptr(probe), faiss.swig_ptr(scores))
        cut = self._calibration.cut(floor)
        if not cut > scores.min(1).sum():
            return np.arange(len(self))
        if cut >= scores.max(1).sum():
            return np.empty(0, np.int64)
        _, _, positions = self._codes.range_search(probe[np.newaxis], cut)
        found: Rows = positions
        return found

    def _narrow(self, probe: Vectors, positions: Rows, floor: float) -> Candidates:
        """Those of the positions that reach the floor by 8 bits and are not known to be deleted."""
        if self._dead is not None:
            positions = positions[~self._dead[positions]]
        near = cosines(probe, np.take(self._stored, positions, axis=0).astype(np.float32)) * self._steps[positions]
        kept = near >= floor - self._error
        return Candidates(self._rows[positions[kept]], near[kept], self._error)
