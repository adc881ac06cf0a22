"""An immutable run of rows in lossy form: probes in, candidates out.

A candidate's cosine is off by at most `error`. Every row whose cosine reaches the floor is among the
candidates (see codec.py for the odds), however many they are: there is no fixed number to fall off.
"""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from mien.gallery.nearest.arithmetic import cosines, nth_best, places
from mien.gallery.nearest.codec import Bytes, Calibration
from mien.gallery.nearest.truth import Rows, Vectors


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
        codes: faiss.IndexPQFastScan,
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
        return self._rows.nbytes + self._steps.nbytes + self._stored.nbytes + self._codes.codes.size()

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
        found: list[Candidates | None] = [None] * len(probes)
        centres = (probes @ self._mean).tolist()
        widths = np.array(
            [
                self._calibration.width(centre, floor, limit, len(self))
                for centre, floor in zip(centres, floors.tolist(), strict=True)
            ]
        )
        while len(waiting := np.array([number for number, near in enumerate(found) if near is None], np.int64)):
            width = int(widths[waiting].min())
            alike = waiting[widths[waiting] == width]
            scores, positions = self._codes.search(probes[alike], width)
            for number, own_scores, own_positions in zip(alike, scores, positions, strict=True):
                near = self._narrow(probes[number], own_scores, own_positions, float(floors[number]))
                if limit is not None:
                    floors[number] = max(floors[number], nth_best(near.cosines, limit) - self._error)
                if width == len(self) or own_scores[-1] < self._calibration.cut(float(floors[number])):
                    found[number] = near
            widths[alike] = min(4 * width, len(self))
        return [near for near in found if near is not None]

    def _narrow(self, probe: Vectors, scores: Vectors, positions: Rows, floor: float) -> Candidates:
        """The candidates by 4 bits that reach the floor by 8 bits; scores are descending."""
        enough = np.searchsorted(-scores, -self._calibration.cut(floor), side="right")
        positions = positions[:enough]
        if self._dead is not None:
            positions = positions[~self._dead[positions]]
        near = cosines(probe, np.take(self._stored, positions, axis=0).astype(np.float32)) * self._steps[positions]
        kept = near >= floor - self._error
        return Candidates(self._rows[positions[kept]], near[kept], self._error)
