"""Other vector indexes on the same galleries, asked for as many neighbours as a gallery search answers at most.

Each with its usual settings: HNSW with M 32 and 256 candidates, faceflash with 512 bits. A peer that is
not installed (`uv sync --group bench`) is named and left out. `rss_mb` is what the process grew by.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

import galleries
from galleries import Vectors
from search import Asked, exact_matches, recall, speed

M, EFFORT = 32, 256


class Peer(Protocol):
    """`search` gives places in the gallery (n, k), best first, -1 where there are fewer."""

    def build(self, vectors: Vectors) -> None: ...
    def search(self, probes: Vectors, k: int) -> Any: ...
    def save(self, path: str) -> None: ...
    def load(self, path: str) -> None: ...


class FaissIndex:
    recipe = "Flat"

    def build(self, vectors: Vectors) -> None:
        import faiss

        self.index = faiss.index_factory(galleries.DIMENSIONS, self.recipe, faiss.METRIC_INNER_PRODUCT)
        if self.recipe != "Flat":
            faiss.ParameterSpace().set_index_parameter(self.index, "efSearch", EFFORT)
        self.index.add(vectors)

    def search(self, probes: Vectors, k: int) -> Any:
        return self.index.search(probes, k)[1]

    def save(self, path: str) -> None:
        import faiss

        faiss.write_index(self.index, path)

    def load(self, path: str) -> None:
        import faiss

        self.index = faiss.read_index(path)


class FaissHnsw(FaissIndex):
    recipe = f"HNSW{M}"


class Hnswlib:
    def build(self, vectors: Vectors) -> None:
        self.index = self._new()
        self.index.init_index(len(vectors), ef_construction=EFFORT, M=M)
        self.index.add_items(vectors)

    def search(self, probes: Vectors, k: int) -> Any:
        self.index.set_ef(max(EFFORT, k))
        return self.index.knn_query(probes, k)[0].astype(np.int64)

    def save(self, path: str) -> None:
        self.index.save_index(path)

    def load(self, path: str) -> None:
        self.index = self._new()
        self.index.load_index(path)

    def _new(self) -> Any:
        import hnswlib

        return hnswlib.Index("ip", galleries.DIMENSIONS)


class Usearch:
    def build(self, vectors: Vectors) -> None:
        self.index = self._new()
        self.index.add(np.arange(len(vectors)), vectors)

    def search(self, probes: Vectors, k: int) -> Any:
        return np.atleast_2d(self.index.search(probes, k).keys.astype(np.int64))

    def save(self, path: str) -> None:
        self.index.save(path)

    def load(self, path: str) -> None:
        self.index = self._new()
        self.index.load(path)

    def _new(self) -> Any:
        from usearch.index import Index

        return Index(ndim=galleries.DIMENSIONS, metric="ip", connectivity=M, expansion_search=EFFORT)


class Faceflash:
    def build(self, vectors: Vectors) -> None:
        self.index = self._new()
        self.index.add_batch(vectors, ["x"] * len(vectors))

    def search(self, probes: Vectors, k: int) -> Any:
        found = self.index.search_batch(probes, k) if len(probes) > 1 else [self.index.search(probes[0], k)]
        return np.array([[place for *_, place in one] + [-1] * (k - len(one)) for one in found])

    def save(self, path: str) -> None:
        self.index.save(path)

    def load(self, path: str) -> None:
        self.index = self._new()
        self.index.load(path)

    def _new(self) -> Any:
        from faceflash import FaceIndex

        return FaceIndex(dim=galleries.DIMENSIONS)


PEERS: dict[str, Callable[[], Peer]] = {
    "faiss-flat": FaissIndex,
    "faiss-hnsw": FaissHnsw,
    "hnswlib": Hnswlib,
    "usearch": Usearch,
    "faceflash": Faceflash,
}


def measured(asked: Asked, names: list[str]) -> dict[str, dict[str, float | None]]:
    """The figures of each peer that is installed."""
    vectors = np.concatenate(list(galleries.gallery(asked.faces)))
    probes = galleries.probes(min(1000, asked.faces))
    expected = exact_matches(asked, probes)
    table: dict[str, dict[str, float | None]] = {}
    for name in names:
        try:
            table[name] = _measured(PEERS[name](), vectors, probes, expected, asked)
        except ImportError:
            print(f"{name} is not installed.", file=sys.stderr)
    return table


def _measured(
    peer: Peer, vectors: Vectors, probes: Vectors, expected: list[set[int]], asked: Asked
) -> dict[str, float | None]:
    before, start = _resident(), time.perf_counter()
    peer.build(vectors)
    figures: dict[str, float | None] = {"build_s": time.perf_counter() - start, "rss_mb": _resident() - before}
    k = min(asked.limit, len(vectors))
    figures |= speed(lambda some: peer.search(some, k), probes)
    figures["recall_of_matches"] = recall([set(row.tolist()) for row in peer.search(probes, k)], expected)
    with tempfile.TemporaryDirectory() as folder:
        peer.save(path := str(Path(folder) / "index"))
        start = time.perf_counter()
        peer.load(path)
        peer.search(probes[:1], k)
        figures["start_s"] = time.perf_counter() - start
    return figures


def _resident() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
