"""Build segments from the database: seal long buffers, merge small segments, drop deleted rows.

One builder at a time works on a vector set, over all processes (a file lock). What it makes appears by one rename; a
killed process, a full disk or a second builder leave at most a folder that the next build removes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np

from mien.domain.faces import EMBEDDING_DIMENSION
from mien.gallery.store import private_files
from mien.gallery.vector_index import files
from mien.gallery.vector_index.erasing import Eraser
from mien.gallery.vector_index.kernels import packed
from mien.gallery.vector_index.quantization import (
    TRAINING_SAMPLE,
    Codebook,
    Int8Vectors,
    fit_score_model,
    from_int8,
    int8_error,
    to_int8,
)
from mien.gallery.vector_index.source import IndexConfig, Rows, Vectors, VectorSource

_ENCODE_CHUNK = 16_384
_MERGE_RATIO = 2
"""A segment is merged with what follows when it is at most this many times as long."""


class Stopped(Exception):
    """The process is closing, and the build is given up."""


@dataclass(frozen=True, slots=True)
class Span:
    """The rows in (after, upto], the first `max_rows` of them."""

    after: int
    upto: int
    max_rows: int


class Builder:
    """Builds what one vector set needs.

    Args:
        folder: Of the set's segments.
        vector_set: The name of the set.
        source: The database.
        config: The sizes of the index.
        stopped: Asked now and then; once it is true, the build ends with Stopped.
    """

    def __init__(
        self, folder: Path, vector_set: str, source: VectorSource, config: IndexConfig, stopped: Callable[[], bool]
    ) -> None:
        self._folder = folder
        self._vector_set = vector_set
        self._source = source
        self._config = config
        self._stopped = stopped
        self._eraser = Eraser(folder, vector_set, source)

    def build(self, damaged: frozenset[str] = frozenset(), *, wait: bool = False) -> None:
        """Build until nothing is left to build.

        Args:
            damaged: Names of segments to remove first.
            wait: Whether to wait for another builder, or else to leave the work to it.

        Raises:
            OSError: A segment cannot be written.
            Stopped: `stopped` became true.
        """
        private_files.make_folder(self._folder)
        with files.locked(self._folder / files.LOCK, wait) as locked:
            if not locked:
                return
            for name in damaged:
                files.remove(self._folder / name)
            self._remove_abandoned()
            for next_span in (self._next_to_thin, self._next_to_seal):
                while span := next_span([files.span_of(name) for name in files.chain(self._folder)]):
                    self._make(span)
                    self._remove_abandoned()
            self._eraser.finish()

    def _remove_abandoned(self) -> None:
        for folder in files.abandoned(self._folder, files.chain(self._folder)):
            files.remove(folder)

    def _next_to_thin(self, spans: list[tuple[int, int, int]]) -> Span | None:
        """Find the first segment with too many deleted rows, and as many of its followers as fill a new segment."""
        for first, (after, upto, size) in enumerate(spans):
            live = self._source.count(self._vector_set, after, upto)
            if size - live <= self._config.max_deleted_ratio * size:
                continue
            for _, further, more in spans[first + 1 :]:
                if live >= self._config.seal_threshold:
                    break
                live, upto = live + more, further
            if live >= self._config.seal_threshold:
                return Span(after, upto, live)
            for span in spans[first:]:
                files.remove(self._folder / files.name_of(*span))
            return None
        return None

    def _next_to_seal(self, spans: list[tuple[int, int, int]]) -> Span | None:
        """Find the rows after the last segment when they are many, and the segments before that are not much longer."""
        after = spans[-1][1] if spans else 0
        newest = self._source.newest(self._vector_set)
        total = self._source.count(self._vector_set, after, newest)
        if total < self._config.seal_threshold:
            return None
        for start, _, size in reversed(spans):
            if size > _MERGE_RATIO * total or size + total > self._config.max_segment:
                break
            after, total = start, total + size
        return Span(after, newest, self._config.max_segment)

    def _make(self, span: Span) -> None:
        folder = self._folder / f"{files.BUILDING}-{uuid4().hex}"
        private_files.make_folder(folder)
        try:
            rows, scales, error = self._copy(folder, span)
            vectors = np.memmap(folder / "vectors", np.int8, "r", shape=(len(rows), EMBEDDING_DIMENSION))
            self._encode(folder, np.asarray(vectors), scales, error)
            target = self._folder / files.name_of(span.after, self._reached(span, rows), len(rows))
            private_files.restrict_tree(folder)
            files.remove(target)
            folder.rename(target)
        except BaseException:
            files.remove(folder)
            raise

    def _reached(self, span: Span, rows: Rows) -> int:
        """Return up to which row a segment of `rows` covers the span: to its end even if its last rows are deleted."""
        full = len(rows) == span.max_rows and self._source.count(self._vector_set, int(rows[-1]), span.upto) > 0
        return int(rows[-1]) if full else span.upto

    def _copy(self, folder: Path, span: Span) -> tuple[Rows, Vectors, float]:
        """Write the files `rows`, `steps` (the scales) and `vectors`; return rows, scales and the largest int8 error.

        NumPy's `tofile` does not report a disk that is full at the last few kilobytes, so it is not used here.
        """
        error = 0.0
        all_rows, all_scales = [np.empty(0, np.int64)], [np.empty(0, np.float32)]
        with (folder / "vectors").open("wb") as file:
            for rows, vectors in self._scan(span):
                quantised, scale = to_int8(vectors)
                file.write(quantised.data)
                error = max(error, int8_error(vectors, quantised, scale))
                all_rows.append(rows)
                all_scales.append(np.full(len(rows), scale, np.float32))
        rows, scales = np.concatenate(all_rows), np.concatenate(all_scales)
        (folder / "rows").write_bytes(rows.data)
        (folder / "steps").write_bytes(scales.data)
        return rows, scales, error

    def _scan(self, span: Span) -> Iterator[tuple[Rows, Vectors]]:
        missing = span.max_rows
        for rows, vectors in self._source.scan(self._vector_set, span.after, span.upto):
            self._check()
            yield rows[:missing], vectors[:missing]
            missing -= len(rows)
            if missing <= 0:
                return

    def _encode(self, folder: Path, vectors: Int8Vectors, scales: Vectors, error: float) -> None:
        """Write the files `codebook` and `codes`, trained on a sample of the vectors, and the manifest."""
        size = len(scales)
        chosen = np.sort(np.random.default_rng(size).permutation(size)[:TRAINING_SAMPLE])
        sample = from_int8(vectors[chosen], scales[chosen])
        book = Codebook.trained(sample)
        (folder / "codebook").write_bytes(book.centroids.data)
        with (folder / "codes").open("wb") as file:
            for start in range(0, size, _ENCODE_CHUNK):
                self._check()
                part = slice(start, start + _ENCODE_CHUNK)
                file.write(packed(book.encode(from_int8(vectors[part], scales[part]))).data)
        files.write_manifest(folder, self._source.identity, size, fit_score_model(book, sample, error))

    def _check(self) -> None:
        if self._stopped():
            raise Stopped
