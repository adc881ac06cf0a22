"""An immutable run of rows in lossy form, and what finds those that are like a probe.

Every row whose cosine reaches the floor is found (see codec.py for the odds), however many they are: there is no
fixed number to fall off. The cosines of what is found are off by at most `error`.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace

import numpy as np

from mien.gallery.vector_index.kernels import Cut, Held
from mien.gallery.vector_index.quantization import Calibration, Codebook, places
from mien.gallery.vector_index.source import Rows, Vectors


class Segment:
    """The rows in (after, upto], ascending."""

    def __init__(self, name: str, span: tuple[int, int], held: Held, book: Codebook, calibration: Calibration) -> None:
        self.name = name
        self.after, self.upto = span
        self.error = calibration.slack
        self._hold(held)
        self._book = book
        self._calibration = calibration
        self._mean = np.array(calibration.mean, np.float32)

    def __len__(self) -> int:
        return len(self._held.rows)

    @property
    def memory(self) -> int:
        """Bytes held, and those of the mapping."""
        held = self._held
        return held.rows.nbytes + held.steps.nbytes + held.stored.nbytes + held.codes.nbytes

    @property
    def dead(self) -> int:
        """How many rows are known to be deleted."""
        return 0 if self._held.dead is None else int(self._held.dead.sum())

    def without(self, rows: Rows) -> Segment:
        """The same, but that these rows are left out of its answers."""
        positions = places(self._held.rows, rows)
        if not len(positions):
            return self
        dead = np.zeros(len(self), bool) if self._held.dead is None else self._held.dead.copy()
        dead[positions] = True
        rest = copy(self)
        rest._hold(replace(self._held, dead=dead))
        return rest

    def likely(self, probe: Vectors, limit: int, size: int) -> float:
        """A guess at a cosine that the best `limit` of `size` faces like these reach."""
        return self._calibration.likely(float(probe @ self._mean), limit, size) - self.error

    def cut(self, probes: Vectors, floors: Sequence[float]) -> Cut:
        """What finds for each probe (m, 128) the rows that reach its floor (m,) and are not known to be deleted."""
        tables = self._book.tables(probes)
        least = [tables.least(number, floor, self._calibration) for number, floor in enumerate(floors)]
        near = [floor - self.error for floor in floors]
        return Cut(tables.entries, np.array(least, np.int16), np.array(near, np.float32))

    def _hold(self, held: Held) -> None:
        self._held = held
        self.words = held.words  # it takes some microseconds to ask for them
