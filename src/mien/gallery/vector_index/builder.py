"""Builds segments from the truth: seals long tails, merges small segments, drops deleted rows.

One builder at a time works on a space, over all processes (a file lock). What it makes appears by one
rename; dying, a full disk or a second builder leave at most a folder that the next build removes.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np

from mien.gallery.vector_index import files
from mien.gallery.vector_index.kernels import packed
from mien.gallery.vector_index.quantization import (
    TRAINING,
    Bytes,
    Codebook,
    byte_error,
    calibrate,
    from_bytes,
    to_bytes,
)
from mien.gallery.vector_index.source import DIMENSIONS, Rows, Tuning, Vectors, VectorSource

_CHUNK = 16_384
_MERGE = 2


class Stopped(Exception):
    """The process is closing; the build is given up."""


@dataclass(frozen=True, slots=True)
class Span:
    """The rows in (after, upto], `most` of them at most."""

    after: int
    upto: int
    most: int


class Builder:
    """Builds what is due in one space. `stopped` is asked now and then and ends the work."""

    def __init__(
        self, folder: Path, space: str, truth: VectorSource, tuning: Tuning, stopped: Callable[[], bool]
    ) -> None:
        self._folder = folder
        self._space = space
        self._truth = truth
        self._tuning = tuning
        self._stopped = stopped

    def build(self, damaged: frozenset[str] = frozenset(), *, wait: bool = False) -> None:
        """Build until nothing is due. When another builder is at work, wait or leave it to that. OSError, Stopped."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with _locked(self._folder / "lock", wait) as mine:
            if not mine:
                return
            for name in damaged:
                files.remove(self._folder / name)
            self._clean()
            for due in (self._thinned, self._sealed):
                while span := due([files.span_of(name) for name in files.chain(self._folder)]):
                    self._make(span)
                    self._clean()

    def _clean(self) -> None:
        for folder in files.leftovers(self._folder, files.chain(self._folder)):
            files.remove(folder)

    def _thinned(self, spans: list[tuple[int, int, int]]) -> Span | None:
        """The first segment of which too much is deleted, with as many of its followers as make it worth while."""
        for first, (after, upto, size) in enumerate(spans):
            live = self._truth.count(self._space, after, upto)
            if size - live <= self._tuning.dead_share * size:
                continue
            for _, further, more in spans[first + 1 :]:
                if live >= self._tuning.seal_at:
                    break
                live, upto = live + more, further
            if live >= self._tuning.seal_at:
                return Span(after, upto, live)
            for span in spans[first:]:
                files.remove(self._folder / files.name_of(*span))
            return None
        return None

    def _sealed(self, spans: list[tuple[int, int, int]]) -> Span | None:
        """The tail, when it is long, with the segments before it that are not much longer."""
        after = spans[-1][1] if spans else 0
        newest = self._truth.newest(self._space)
        total = self._truth.count(self._space, after, newest)
        if total < self._tuning.seal_at:
            return None
        for start, _, size in reversed(spans):
            if size > _MERGE * total or size + total > self._tuning.segment:
                break
            after, total = start, total + size
        return Span(after, newest, self._tuning.segment)

    def _make(self, span: Span) -> None:
        folder = self._folder / f"{files.BUILDING}-{uuid4().hex}"
        folder.mkdir()
        try:
            rows, steps, error = self._copy(folder, span)
            stored = np.memmap(folder / "vectors", np.int8, "r", shape=(len(rows), DIMENSIONS))
            self._encode(folder, np.asarray(stored), steps, error)
            target = self._folder / files.name_of(span.after, self._reached(span, rows), len(rows))
            files.remove(target)
            folder.rename(target)
        except BaseException:
            files.remove(folder)
            raise

    def _reached(self, span: Span, rows: Rows) -> int:
        """Up to where a segment with these rows covers the span: to its end, also where the last rows are deleted."""
        full = len(rows) == span.most and self._truth.count(self._space, int(rows[-1]), span.upto) > 0
        return int(rows[-1]) if full else span.upto

    def _copy(self, folder: Path, span: Span) -> tuple[Rows, Vectors, float]:
        """Write `rows`, `steps` and `vectors`; return the first two and the bound of the 8-bit error.

        NumPy's `tofile` says nothing when the disk is full at the last few kilobytes, so it is not used here.
        """
        error = 0.0
        all_rows, all_steps = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
        with (folder / "vectors").open("wb") as file:
            for rows, vectors in self._scan(span):
                stored, step = to_bytes(vectors)
                file.write(stored.data)
                error = max(error, byte_error(vectors, stored, step))
                all_rows.append(rows)
                all_steps.append(np.full(len(rows), step, np.float32))
        (folder / "rows").write_bytes(np.concatenate(all_rows).data)
        (folder / "steps").write_bytes(np.concatenate(all_steps).data)
        return np.concatenate(all_rows), np.concatenate(all_steps), error

    def _scan(self, span: Span) -> Iterator[tuple[Rows, Vectors]]:
        left = span.most
        for rows, vectors in self._truth.scan(self._space, span.after, span.upto):
            self._check()
            yield rows[:left], vectors[:left]
            left -= len(rows)
            if left <= 0:
                return

    def _encode(self, folder: Path, stored: Bytes, steps: Vectors, error: float) -> None:
        """Write `codebook`, `codes` and the manifest, trained on a sample of the stored vectors."""
        size = len(steps)
        chosen = np.sort(np.random.default_rng(size).permutation(size)[:TRAINING])
        sample = from_bytes(stored[chosen], steps[chosen])
        book = Codebook.trained(sample)
        (folder / "codebook").write_bytes(book.centroids.data)
        with (folder / "codes").open("wb") as file:
            for start in range(0, size, _CHUNK):
                self._check()
                part = slice(start, start + _CHUNK)
                file.write(packed(book.encode(from_bytes(stored[part], steps[part]))).data)
        files.write_manifest(folder, self._truth.identity, size, calibrate(book, sample, error))

    def _check(self) -> None:
        if self._stopped():
            raise Stopped


@contextmanager
def _locked(path: Path, wait: bool) -> Iterator[bool]:
    """Whether the lock was free; it falls with the process that holds it."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
