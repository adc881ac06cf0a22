"""Manage the vector indexes: open them for searches, close them to save memory, build them in the background."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

import numpy as np

from mien.gallery.vector_index.builder import Builder, Stopped
from mien.gallery.vector_index.erasing import Eraser
from mien.gallery.vector_index.index import Hits, VectorSetIndex
from mien.gallery.vector_index.segment import CORES
from mien.gallery.vector_index.source import IndexConfig, Rows, Vectors, VectorSource

_log = logging.getLogger(__name__)

_PAIR_PROBES = 64


class IndexManager:
    """The vector indexes in a folder; thread-safe, and several processes may share the folder.

    Args:
        folder: Holds one folder for each vector set that is not small; a cache of `source`.
        source: The database.
        config: The sizes of the indexes; None for the defaults.
    """

    def __init__(self, folder: Path, source: VectorSource, config: IndexConfig | None = None) -> None:
        self._folder = folder
        self._source = source
        self._config = config or IndexConfig()
        self._open: OrderedDict[str, VectorSetIndex] = OrderedDict()
        self._sizes: dict[str, int] = {}
        self._memory = 0
        self._lock = threading.Lock()
        self._workers = ThreadPoolExecutor(CORES, "mien-search")
        self._to_build: SimpleQueue[str | None] = SimpleQueue()
        self._queued: set[str] = set()
        self._not_before: dict[str, float] = {}
        self._closing = threading.Event()
        self._background = threading.Thread(target=self._build_queued, name="mien-build", daemon=True)
        self._background.start()
        for vector_set in self._built_sets():
            if self._eraser(vector_set).notes():
                self._queue(vector_set)

    def close(self) -> None:
        """Stop the background work; a build in progress is discarded."""
        self._closing.set()
        self._to_build.put(None)
        self._background.join()
        self._workers.shutdown()

    def search(self, vector_set: str, probes: Vectors, min_cosine: float, limit: int | None = None) -> list[Hits]:
        """Search for each probe (m, 128) the rows of at least `min_cosine`, best first, with their exact cosines."""
        index = self.index(vector_set)
        hits = index.search(probes, min_cosine, limit)
        self._make_room(vector_set, index)
        if index.needs_build:
            self._queue(vector_set)
        return hits

    def pairs(self, vector_set: str, min_cosine: float) -> Iterator[tuple[int, int, float]]:
        """Yield every pair of rows (lower, higher) of at least `min_cosine` with its cosine, as found."""
        for rows, vectors in self._source.scan(vector_set, 0, self._source.newest(vector_set)):
            for start in range(0, len(rows), _PAIR_PROBES):
                probes = vectors[start : start + _PAIR_PROBES]
                found = self.search(vector_set, probes, min_cosine)
                for row, (others, cosines) in zip(rows[start:].tolist(), found, strict=False):
                    higher = others > row
                    for other, cosine in zip(others[higher].tolist(), cosines[higher].tolist(), strict=True):
                        yield row, other, cosine

    def mark_deleted(self, vector_set: str, rows: Rows) -> None:
        """Leave deleted rows out sooner than a search would notice that they are deleted."""
        with self._lock:
            index = self._open.get(vector_set)
        if index:
            index.mark_deleted(np.asarray(rows, np.int64))
            if index.needs_build:
                self._queue(vector_set)

    @contextmanager
    def deletion(self, vector_set: str, *, wait: bool = True) -> Iterator[list[int]]:
        """Leave out of all searches, and erase from the files, the rows that the block deletes from the database.

        Args:
            vector_set: The name of the set.
            wait: Whether to wait for a builder of the set, or else to leave the erasure in the files to it.

        Yields a list for the rows. Raises OSError when the files cannot be overwritten.
        """
        rows: list[int] = []
        with self._eraser(vector_set).deletion(rows, wait=wait):
            yield rows
            self.mark_deleted(vector_set, np.array(rows, np.int64))

    def stale_sets(self) -> list[str]:
        """Name the vector sets whose files hold rows that the database does not have. Reads all of the files."""
        return [name for name in self._built_sets() if self._eraser(name).count_stale()]

    def build(self, vector_set: str, *, wait: bool = True) -> None:
        """Build what a vector set needs, in this thread.

        Args:
            vector_set: The name of the set.
            wait: Whether to wait for another builder of the set, in any process, or else to leave the work to it.

        Raises:
            OSError: The segments cannot be written; those that exist are as before.
        """
        index = self.index(vector_set)
        damaged = index.refresh().damaged
        builder = Builder(self._folder / vector_set, vector_set, self._source, self._config, self._closing.is_set)
        builder.build(damaged, wait=wait)
        index.refresh()

    def drop(self, vector_set: str) -> None:
        """Forget a vector set that was deleted."""
        with self._lock:
            self._open.pop(vector_set, None)
            self._memory -= self._sizes.pop(vector_set, 0)
        shutil.rmtree(self._folder / vector_set, ignore_errors=True)

    def index(self, vector_set: str) -> VectorSetIndex:
        """Return the index of a vector set, opened if need be."""
        with self._lock:
            index = self._open.get(vector_set)
            if index is None:
                folder = self._folder / vector_set
                index = VectorSetIndex(folder, vector_set, self._source, self._config, self._workers)
                self._open[vector_set] = index
            self._open.move_to_end(vector_set)
            return index

    def _eraser(self, vector_set: str) -> Eraser:
        return Eraser(self._folder / vector_set, vector_set, self._source)

    def _built_sets(self) -> list[str]:
        return sorted(path.name for path in self._folder.iterdir()) if self._folder.is_dir() else []

    def _make_room(self, vector_set: str, index: VectorSetIndex) -> None:
        with self._lock:
            memory = index.memory
            self._memory += memory - self._sizes.get(vector_set, 0)
            self._sizes[vector_set] = memory
            while self._memory > self._config.max_memory and len(self._open) > 1:
                oldest, _ = self._open.popitem(last=False)
                self._memory -= self._sizes.pop(oldest, 0)

    def _queue(self, vector_set: str) -> None:
        with self._lock:
            if vector_set not in self._queued and time.monotonic() >= self._not_before.get(vector_set, 0.0):
                self._queued.add(vector_set)
                self._to_build.put(vector_set)

    def _build_queued(self) -> None:
        while (vector_set := self._to_build.get()) is not None and not self._closing.is_set():
            try:
                self.build(vector_set, wait=False)
            except Stopped:
                return
            except Exception as error:
                _log.warning("A vector index could not be built; searches stay exact. %s", type(error).__name__)
                self._not_before[vector_set] = time.monotonic() + self._config.retry_after
            with self._lock:
                self._queued.discard(vector_set)
