"""An immutable run of rows in lossy form: probes in, candidates out.

A candidate's cosine is off by at most `error`. Every row whose cosine reaches the floor is among the
candidates (see codec.py for the odds), however many they are: there is no fixed number to fall off.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.gallery.nearest.arithmetic import nth_best, places
from mien.gallery.nearest.codec import Bytes, Calibration, Codebook, Codes
from mien.gallery.nearest.kernels import narrow, scan
from mien.gallery.nearest.truth import Rows, Vectors

_LOWER = 0.1


@dataclass(frozen=True, slots=True)
class Candidates:
    """Rows (n,) with cosines (n,), each off by at most `error`."""

    rows: Rows
    cosines: Vectors
    error: float


@dataclass(frozen=True, slots=True)
class Look:
    """What a segment is asked, so far as it can be worked out before it is looked at.

    `guesses` are the floors, or higher ones that the best `limit` seem to reach; `entries` and `least` cut the
    codes there.
    """

    probes: Vectors
    floors: Vectors
    limit: int | None
    guesses: list[float]
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

    def look(self, probes: Vectors, floors: Vectors, limit: int | None) -> Look:
        """What `candidates` needs to find for each probe (m, 128) all rows that reach its floor (m,)."""
        guesses = [self._guess(*one, limit) for one in zip(probes, floors.tolist(), strict=True)]
        return Look(probes, floors, limit, guesses, *self._cut(probes, guesses))

    def candidates(self, look: Look) -> list[Candidates]:
        """For each probe all rows that reach its floor and may be among the best `limit`.

        Raises the floors in place to what the best `limit` found here prove to be the least that counts.
        """
        found = self._near(look.probes, look.entries, look.least, look.guesses)
        for number, near in enumerate(found):
            floor, guess = float(look.floors[number]), look.guesses[number]
            while guess > (raised := self._raised(near, floor, look.limit)):
                guess = max(floor, guess - _LOWER)
                probe = look.probes[number : number + 1]
                (near,) = self._near(probe, *self._cut(probe, [guess]), [guess])
            look.floors[number] = raised
            found[number] = near
        return found

    def _guess(self, probe: Vectors, floor: float, limit: int | None) -> float:
        """The floor, or a higher one that the best `limit` seem to reach."""
        if limit is None:
            return floor
        return max(floor, self._calibration.likely(float(probe @ self._mean), limit, len(self)) - self._error)

    def _raised(self, near: Candidates, floor: float, limit: int | None) -> float:
        """The floor, or the higher one that the best `limit` of these prove to be the least that counts."""
        return floor if limit is None else max(floor, nth_best(near.cosines, limit) - self._error)

    def _cut(self, probes: Vectors, floors: Sequence[float]) -> tuple[Codes, list[int]]:
        """The tables by which the codes are scored, and for each probe the score that a row at its floor reaches."""
        tables = self._book.tables(probes)
        least = [tables.least(number, floor, self._calibration) for number, floor in enumerate(floors)]
        return tables.entries, least

    def _near(self, probes: Vectors, entries: Codes, least: Sequence[int], floors: Sequence[float]) -> list[Candidates]:
        """For each probe the rows that reach its floor by 4 bits, then by 8, and are not known to be deleted."""
        found = scan(self._codes, len(self), entries, least)
        cosines = narrow(self._stored, self._steps, probes, [floor - self._error for floor in floors], found)
        return [self._alive(*near) for near in zip(found.of(found.places), found.of(cosines), strict=True)]

    def _alive(self, positions: NDArray[np.int32], cosines: Vectors) -> Candidates:
        if self._dead is not None:
            alive = ~self._dead[positions]
            positions, cosines = positions[alive], cosines[alive]
        return Candidates(self._rows[positions], cosines, self._error)
