"""All spaces of a gallery: opened when searched, closed when memory is short, built in the background."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import numpy as np

from mien.gallery.vector_index.builder import Builder, Stopped
from mien.gallery.vector_index.index import Hits, VectorSetIndex
from mien.gallery.vector_index.scan import CORES
from mien.gallery.vector_index.source import Rows, Tuning, Vectors, VectorSource

_log = logging.getLogger(__name__)
_PAIRS_AT_ONCE = 64


class Indexes:
    """The vector indexes in a folder, a cache of `truth`; thread-safe, and several processes may share the folder."""

    def __init__(self, folder: Path, truth: VectorSource, tuning: Tuning | None = None) -> None:
        self._folder = folder
        self._truth = truth
        self._tuning = tuning or Tuning()
        self._open: OrderedDict[str, VectorSetIndex] = OrderedDict()
        self._sizes: dict[str, int] = {}
        self._held = 0
        self._lock = threading.Lock()
        self._workers = ThreadPoolExecutor(CORES, "mien-search")
        self._due: SimpleQueue[str | None] = SimpleQueue()
        self._queued: set[str] = set()
        self._not_before: dict[str, float] = {}
        self._closing = threading.Event()
        self._background = threading.Thread(target=self._build_due, name="mien-build", daemon=True)
        self._background.start()

    def close(self) -> None:
        """Stop the background work; what was half built is thrown away."""
        self._closing.set()
        self._due.put(None)
        self._background.join()
        self._workers.shutdown()

    def search(self, space: str, probes: Vectors, min_cosine: float, limit: int | None = None) -> list[Hits]:
        """For each probe (m, 128) the rows of at least `min_cosine`, best first, with their exact cosines."""
        index = self._index(space)
        hits = index.search(probes, min_cosine, limit)
        self._make_room(space, index)
        if index.due:
            self._queue(space)
        return hits

    def pairs(self, space: str, min_cosine: float) -> Iterator[tuple[int, int, float]]:
        """Every pair of rows (lower, higher) of at least `min_cosine`, as it is found."""
        for rows, vectors in self._truth.scan(space, 0, self._truth.newest(space)):
            for start in range(0, len(rows), _PAIRS_AT_ONCE):
                probes = vectors[start : start + _PAIRS_AT_ONCE]
                found = self.search(space, probes, min_cosine)
                for row, (others, cosines) in zip(rows[start:].tolist(), found, strict=False):
                    higher = others > row
                    for other, cosine in zip(others[higher].tolist(), cosines[higher].tolist(), strict=True):
                        yield row, other, cosine

    def bury(self, space: str, rows: Rows) -> None:
        """Forget deleted rows sooner than a search would notice."""
        with self._lock:
            index = self._open.get(space)
        if index:
            index.bury(np.asarray(rows, np.int64))
            if index.due:
                self._queue(space)

    def build(self, space: str, *, wait: bool = True) -> None:
        """Build what is due in a space, in this thread, after or instead of another builder. Raises OSError."""
        index = self._index(space)
        index.refresh()
        builder = Builder(self._folder / space, space, self._truth, self._tuning, self._closing.is_set)
        builder.build(index.damaged, wait=wait)
        index.refresh()

    def drop(self, space: str) -> None:
        """Forget a deleted space."""
        with self._lock:
            self._open.pop(space, None)
            self._held -= self._sizes.pop(space, 0)
        shutil.rmtree(self._folder / space, ignore_errors=True)

    def _index(self, space: str) -> VectorSetIndex:
        with self._lock:
            index = self._open.get(space)
            if index is None:
                index = VectorSetIndex(self._folder / space, space, self._truth, self._tuning, self._workers)
                self._open[space] = index
            self._open.move_to_end(space)
            return index

    def _make_room(self, space: str, index: VectorSetIndex) -> None:
        with self._lock:
            memory = index.memory
            self._held += memory - self._sizes.get(space, 0)
            self._sizes[space] = memory
            while self._held > self._tuning.memory and len(self._open) > 1:
                oldest, _ = self._open.popitem(last=False)
                self._held -= self._sizes.pop(oldest, 0)

    def _queue(self, space: str) -> None:
        with self._lock:
            if space not in self._queued and time.monotonic() >= self._not_before.get(space, 0.0):
                self._queued.add(space)
                self._due.put(space)

    def _build_due(self) -> None:
        while (space := self._due.get()) is not None and not self._closing.is_set():
            try:
                self.build(space, wait=False)
            except Stopped:
                return
            except Exception as error:
                _log.warning("A search index could not be built; searches stay exact. %s", type(error).__name__)
                self._not_before[space] = time.monotonic() + self._tuning.retry_after
            with self._lock:
                self._queued.discard(space)
