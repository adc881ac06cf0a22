"""The index of one space: segments, then the tail, then the truth.

The cache only ever proposes rows. What is answered was read from the database in the same search, with
its cosine; a proposed row that the database no longer has is deleted, and left out from then on. So
neither a late, a foreign nor a deleted row can be answered, whatever the cache holds.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

import numpy as np

from mien.gallery.vector_index import files
from mien.gallery.vector_index.kernels import cosines
from mien.gallery.vector_index.quantization import nth_best, places
from mien.gallery.vector_index.scan import Candidates, sweep
from mien.gallery.vector_index.segment import Segment
from mien.gallery.vector_index.source import Rows, Tuning, Vectors, VectorSource
from mien.gallery.vector_index.write_buffer import WriteBuffer

Hits = tuple[Rows, Vectors]
"""Rows (n,) and their exact cosines (n,), best first, equal ones by row."""

_View = tuple[tuple[Segment, ...], WriteBuffer]
_NEVER = -1
_LEAST = -2.0
"""Every cosine is above this."""
_TAIL_DEAD = 64
_PROBES_AT_ONCE = 64
_LOWER = 0.1


class VectorSetIndex:
    """Searches one space; thread-safe. `workers` search segments side by side."""

    def __init__(self, folder: Path, space: str, truth: VectorSource, tuning: Tuning, workers: Executor) -> None:
        self._folder = folder
        self._space = space
        self._truth = truth
        self._tuning = tuning
        self._workers = workers
        self._view: _View = ((), WriteBuffer(truth, space, 0, tuning.resident_tail))
        self._seen = _NEVER
        self._opening = threading.Lock()
        self._following = threading.Lock()
        self.damaged: frozenset[str] = frozenset()

    @property
    def memory(self) -> int:
        """Bytes held."""
        segments, tail = self._view
        return tail.memory + sum(segment.memory for segment in segments)

    @property
    def due(self) -> bool:
        """Whether there is something to build: a long tail, a damaged segment, or many deleted rows."""
        segments, tail = self._view
        most = self._tuning.dead_share
        return (
            len(tail) >= self._tuning.seal_at
            or bool(self.damaged)
            or any(segment.dead > most * len(segment) for segment in segments)
        )

    def search(self, probes: Vectors, min_cosine: float, limit: int | None) -> list[Hits]:
        """For each probe (m, 128) the best `limit` rows of at least `min_cosine`."""
        probes = np.ascontiguousarray(probes, np.float32)
        asked = limit
        while True:
            proposed = self._propose(probes, min_cosine, asked)
            hits, deleted = self._verified(probes, proposed, min_cosine, limit)
            self.bury(deleted)
            if not len(deleted):
                return hits
            asked = asked and 4 * asked

    def bury(self, rows: Rows) -> None:
        """Leave deleted rows out of all later answers.

        Not out of those that are under way: they would not notice that a row took the place of another meanwhile.
        """
        if not len(rows):
            return
        with self._following:
            segments, tail = self._view
            segments, tail = tuple(segment.without(rows) for segment in segments), tail.without(rows)
            if tail.dead > max(_TAIL_DEAD, self._tuning.dead_share * len(tail)):
                tail = tail.swept()
            self._view = (segments, tail)

    def refresh(self) -> _View:
        """Take in what was committed and what was built, here or by another process.

        Whatever is known to be deleted was so before the newest row was looked up: else neither a row that was deleted
        since nor the one that took its place would be seen.
        """
        changed = self._folder.stat().st_mtime_ns if self._folder.is_dir() else 0
        if changed != self._seen and self._opening.acquire(blocking=self._seen == _NEVER):
            try:
                self._reopen(changed)
            finally:
                self._opening.release()
        while True:
            view = self._view
            newest = self._truth.newest(self._space)
            with self._following:
                if view is self._view:
                    if newest > view[1].upto:
                        view[1].follow(newest)
                    return view

    def _reopen(self, changed: int) -> None:
        if changed == self._seen:
            return
        segments = self._open_chain()
        after = segments[-1].upto if segments else 0
        with self._following:
            tail = self._view[1]
            self._view = (segments, tail if tail.after == after else tail.trimmed(after))
        self._seen = changed

    def _open_chain(self) -> tuple[Segment, ...]:
        opened = {segment.name: segment for segment in self._view[0]}
        damaged: frozenset[str] = frozenset()
        while True:
            names = files.chain(self._folder, damaged)
            try:
                for name in names:
                    opened.setdefault(name, files.open_segment(self._folder / name, self._truth.identity))
            except files.DamagedSegment as error:
                damaged |= {str(error)}
            else:
                self.damaged = damaged
                return tuple(opened[name] for name in names)

    def _propose(self, probes: Vectors, min_cosine: float, limit: int | None) -> list[Rows]:
        segments, tail = self.refresh()
        floors = np.full(len(probes), max(min_cosine, _LEAST), np.float32)
        found = [[near] for near in tail.candidates(probes, floors, limit)]
        for first in range(0, len(probes) if segments else 0, _PROBES_AT_ONCE):
            some = slice(first, first + _PROBES_AT_ONCE)
            for near, further in zip(
                found[some], self._of_segments(segments, probes[some], floors[some].tolist(), limit), strict=True
            ):
                near += further
        return [_best(parts, min_cosine, limit) for parts in found]

    def _of_segments(
        self, segments: Sequence[Segment], probes: Vectors, floors: Sequence[float], limit: int | None
    ) -> list[list[Candidates]]:
        """For each probe the candidates of all segments that may be among the best `limit`.

        With a limit a higher floor is tried first, and lowered for those probes of which too few reach it.
        """
        tried = [_guess(segments, probe, floor, limit) for probe, floor in zip(probes, floors, strict=True)]
        found = sweep(segments, probes, tried, self._workers)
        while short := [n for n, near in enumerate(found) if tried[n] > max(floors[n], _proven(near, limit))]:
            for number in short:
                tried[number] = max(floors[number], tried[number] - _LOWER)
            again = sweep(segments, probes[short], [tried[number] for number in short], self._workers)
            for number, near in zip(short, again, strict=True):
                found[number] = near
        return found

    def _verified(
        self, probes: Vectors, proposed: list[Rows], min_cosine: float, limit: int | None
    ) -> tuple[list[Hits], Rows]:
        wanted = np.unique(np.concatenate(proposed)) if proposed else np.empty(0, np.int64)
        rows, vectors = self._truth.fetch(self._space, wanted)
        hits = []
        for probe, own in zip(probes, proposed, strict=True):
            present = places(rows, own)
            exact = cosines(probe, vectors[present])
            order = np.lexsort((rows[present], -exact))
            order = order[exact[order] >= min_cosine][:limit]
            hits.append((rows[present[order]], exact[order]))
        return hits, wanted[:0] if len(rows) == len(wanted) else np.setdiff1d(wanted, rows)


def _guess(segments: Sequence[Segment], probe: Vectors, floor: float, limit: int | None) -> float:
    """The floor, or a higher one that the best `limit` seem to reach."""
    if limit is None:
        return floor
    return max(floor, segments[0].likely(probe, limit, sum(map(len, segments))))


def _proven(parts: list[Candidates], limit: int | None) -> float:
    """The cosine that the best `limit` of the candidates reach for certain."""
    if limit is None or not parts:
        return -np.inf
    return nth_best(np.concatenate([part.cosines - part.error for part in parts]), limit)


def _best(parts: list[Candidates], min_cosine: float, limit: int | None) -> Rows:
    """The rows that may be among the best `limit`, from the candidates of all parts."""
    rows = np.concatenate([part.rows for part in parts])
    highest = np.concatenate([part.cosines + part.error for part in parts])
    return rows[highest >= max(min_cosine, _proven(parts, limit))]
