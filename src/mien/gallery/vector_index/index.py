"""Search one vector set: sealed segments and the write buffer; every candidate is re-scored from the database.

The index only proposes rows. What it answers was read from the database in the same search, with its cosine. A row that
it proposes and the database no longer has is deleted, and left out from then on. So no late, foreign or deleted row is
ever answered, whatever the files of the index hold.

Searches read an immutable snapshot without a lock. One writer at a time makes the next snapshot and publishes it by a
single assignment.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mien.gallery.vector_index import files
from mien.gallery.vector_index.kernels import cosines
from mien.gallery.vector_index.quantization import find_rows, kth_largest
from mien.gallery.vector_index.segment import CandidateRows, Segment, scan_segments
from mien.gallery.vector_index.source import IndexConfig, Rows, Vectors, VectorSource
from mien.gallery.vector_index.write_buffer import WriteBuffer

Hits = tuple[Rows, Vectors]
"""Rows (n,) and their exact cosines (n,), best first, equal ones by row."""

MIN_COSINE = -2.0
"""Below every cosine."""

_NEVER = -1
_MIN_TOMBSTONES = 64
"""A buffer with fewer is not compacted."""
_PROBE_BATCH = 64
_FLOOR_STEP = 0.1
_LIMIT_GROWTH = 4


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One state of the index: segments without gaps from the first row on, and the buffer of the rows after them.

    `damaged` names the segments that could not be opened.
    """

    segments: tuple[Segment, ...]
    buffer: WriteBuffer
    damaged: frozenset[str] = frozenset()

    @property
    def memory(self) -> int:
        """Bytes held."""
        return self.buffer.memory + sum(segment.memory for segment in self.segments)

    def with_segments(self, segments: Sequence[Segment], damaged: frozenset[str]) -> Snapshot:
        """Exchange the segments; those that are in both keep what is known to be deleted."""
        known = {segment.name: segment for segment in self.segments}
        after = segments[-1].upto if segments else 0
        buffer = self.buffer if self.buffer.after == after else self.buffer.after_seal(after)
        return Snapshot(tuple(known.get(segment.name, segment) for segment in segments), buffer, damaged)

    def mark_deleted(self, rows: Rows, max_deleted_ratio: float) -> Snapshot:
        """Leave deleted rows out of the results."""
        buffer = self.buffer.mark_deleted(rows)
        if len(buffer.tombstones) > max(_MIN_TOMBSTONES, max_deleted_ratio * len(buffer)):
            buffer = buffer.compacted()
        return replace(self, segments=tuple(segment.mark_deleted(rows) for segment in self.segments), buffer=buffer)


class VectorSetIndex:
    """Searches one vector set; thread-safe.

    Args:
        folder: Of the set's segments; it need not exist.
        vector_set: The name of the set.
        source: The database.
        config: The sizes of the index.
        workers: Scan segments side by side.
    """

    def __init__(
        self, folder: Path, vector_set: str, source: VectorSource, config: IndexConfig, workers: Executor
    ) -> None:
        self._folder = folder
        self._vector_set = vector_set
        self._source = source
        self._config = config
        self._workers = workers
        self._snapshot = Snapshot((), WriteBuffer.empty(source, vector_set, 0, config.max_buffer))
        self._writing = threading.Lock()
        self._opening = threading.Lock()
        self._opened_mtime = _NEVER

    @property
    def memory(self) -> int:
        """Bytes held."""
        return self._snapshot.memory

    @property
    def needs_build(self) -> bool:
        """Whether there is a long buffer, a damaged segment, or a segment with many deleted rows."""
        snapshot = self._snapshot
        return (
            len(snapshot.buffer) >= self._config.seal_threshold
            or bool(snapshot.damaged)
            or any(segment.deleted > self._config.max_deleted_ratio * len(segment) for segment in snapshot.segments)
        )

    def search(self, probes: Vectors, min_cosine: float, limit: int | None) -> list[Hits]:
        """Search for each probe (m, 128) the best `limit` rows of at least `min_cosine`; None for all rows."""
        probes = np.ascontiguousarray(probes, np.float32)
        proposed_limit = limit
        while True:
            proposed = self._propose(probes, min_cosine, proposed_limit)
            hits, deleted = self._verify(probes, proposed, min_cosine, limit)
            self.mark_deleted(deleted)
            if not len(deleted):
                return hits
            proposed_limit = proposed_limit and _LIMIT_GROWTH * proposed_limit

    def mark_deleted(self, rows: Rows) -> None:
        """Leave rows that are deleted from the database out of all later searches.

        Searches in progress keep their snapshot: they would not notice that a row took the place of a deleted one.
        """
        if len(rows):
            with self._writing:
                self._snapshot = self._snapshot.mark_deleted(rows, self._config.max_deleted_ratio)

    def refresh(self) -> Snapshot:
        """Return a snapshot that has what was committed before this call, and uses what was built, in any process.

        What it knows to be deleted was deleted before the database was asked for its newest rows. Otherwise a search
        could miss a row that was deleted since together with the one that took its place.
        """
        self._open_new_segments()
        snapshot = self._snapshot
        newest = self._source.newest(self._vector_set)
        if newest <= snapshot.buffer.upto:
            return snapshot
        with self._writing:
            snapshot = replace(self._snapshot, buffer=self._snapshot.buffer.catch_up(newest))
            self._snapshot = snapshot
        return snapshot

    def _open_new_segments(self) -> None:
        """Open the segments that were built since; one thread does it, and only for the first time others wait."""
        mtime = self._folder.stat().st_mtime_ns if self._folder.is_dir() else 0
        if mtime == self._opened_mtime or not self._opening.acquire(blocking=self._opened_mtime == _NEVER):
            return
        try:
            if mtime != self._opened_mtime:
                segments, damaged = self._open_chain()
                with self._writing:
                    self._snapshot = self._snapshot.with_segments(segments, damaged)
                self._opened_mtime = mtime
        finally:
            self._opening.release()

    def _open_chain(self) -> tuple[list[Segment], frozenset[str]]:
        opened = {segment.name: segment for segment in self._snapshot.segments}
        damaged: frozenset[str] = frozenset()
        while True:
            names = files.chain(self._folder, damaged)
            try:
                for name in names:
                    opened.setdefault(name, files.open_segment(self._folder / name, self._source.identity))
            except files.DamagedSegment as error:
                damaged |= {str(error)}
            else:
                return [opened[name] for name in names], damaged

    def _propose(self, probes: Vectors, min_cosine: float, limit: int | None) -> list[Rows]:
        """Return for each probe all rows that may be among the best `limit` of at least `min_cosine`."""
        snapshot = self.refresh()
        lowest = max(min_cosine, MIN_COSINE)
        found = [[own] for own in snapshot.buffer.candidates(probes, np.full(len(probes), lowest, np.float32), limit)]
        for start in range(0, len(probes) if snapshot.segments else 0, _PROBE_BATCH):
            batch = slice(start, start + _PROBE_BATCH)
            floors = [max(lowest, _guaranteed_kth(parts, limit)) for parts in found[batch]]
            scanned = self._scan(snapshot.segments, probes[batch], floors, limit)
            for parts, further in zip(found[batch], scanned, strict=True):
                parts += further
        return [_best(parts, min_cosine, limit) for parts in found]

    def _scan(
        self, segments: Sequence[Segment], probes: Vectors, floors: Sequence[float], limit: int | None
    ) -> list[list[CandidateRows]]:
        """Return for each probe the candidates of all segments that may be among the best `limit`.

        With a limit a higher floor is tried first, and lowered for those probes of which too few rows reach it.
        """
        tried = [_first_floor(segments, probe, floor, limit) for probe, floor in zip(probes, floors, strict=True)]
        found = scan_segments(segments, probes, tried, self._workers)
        while short := [n for n, own in enumerate(found) if tried[n] > max(floors[n], _guaranteed_kth(own, limit))]:
            for number in short:
                tried[number] = max(floors[number], tried[number] - _FLOOR_STEP)
            again = scan_segments(segments, probes[short], [tried[number] for number in short], self._workers)
            for number, own in zip(short, again, strict=True):
                found[number] = own
        return found

    def _verify(
        self, probes: Vectors, proposed: list[Rows], min_cosine: float, limit: int | None
    ) -> tuple[list[Hits], Rows]:
        """Re-score proposed rows from the database; return the hits of each probe, and the rows that are deleted."""
        wanted = np.unique(np.concatenate(proposed)) if proposed else np.empty(0, np.int64)
        if not len(wanted):
            return [(wanted, np.empty(0, np.float32)) for _ in proposed], wanted
        rows, vectors = self._source.fetch(self._vector_set, wanted)
        hits = []
        for probe, own in zip(probes, proposed, strict=True):
            present = find_rows(rows, own)
            exact = cosines(probe, vectors[present])
            order = np.lexsort((rows[present], -exact))
            order = order[exact[order] >= min_cosine][:limit]
            hits.append((rows[present[order]], exact[order]))
        return hits, wanted[:0] if len(rows) == len(wanted) else np.setdiff1d(wanted, rows)


def _first_floor(segments: Sequence[Segment], probe: Vectors, floor: float, limit: int | None) -> float:
    """Return the floor, or a higher one that the best `limit` are estimated to reach."""
    if limit is None:
        return floor
    return max(floor, segments[0].estimate_floor(probe, limit, sum(map(len, segments))))


def _guaranteed_kth(parts: list[CandidateRows], limit: int | None) -> float:
    """Return the cosine that the best `limit` of the candidates reach for certain."""
    if limit is None or not parts:
        return -np.inf
    return kth_largest(np.concatenate([part.cosines - part.error for part in parts]), limit)


def _best(parts: list[CandidateRows], min_cosine: float, limit: int | None) -> Rows:
    """Return the rows that may be among the best `limit`, of the candidates of all parts."""
    rows = np.concatenate([part.rows for part in parts])
    highest = np.concatenate([part.cosines + part.error for part in parts])
    return rows[highest >= max(min_cosine, _guaranteed_kth(parts, limit))]
