"""Measure other vector indexes on the same galleries, with as many neighbours as a gallery search returns at most.

Each has its usual settings: HNSW with M 32 and 256 candidates, faceflash with 512 bits. Each is built, and opened again
from its file, in a process of its own, so that `start_s` (start of the process to the first answer) and `rss_mb` (the
whole process that opened the file) mean the same as for Mien. A peer that is not installed (`uv sync --group bench`) is
reported and left out; one that is not built within the budget reports the faces that were added.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchmarks import galleries
from benchmarks.galleries import Vectors
from benchmarks.search_case import MAX_PROBES, SearchCase, exact_matches, latency, recall

M, CANDIDATES, STEP = 32, 256, 10_000
NOT_INSTALLED = 3


class Peer(Protocol):
    """A vector index. `search` returns positions in the gallery (n, k), best first, -1 where there are fewer."""

    def begin(self, faces: int) -> None: ...
    def add(self, vectors: Vectors) -> None: ...
    def search(self, probes: Vectors, k: int) -> Any: ...
    def save(self, path: str) -> None: ...
    def load(self, path: str) -> None: ...


class FaissIndex:
    recipe = "Flat"

    def begin(self, faces: int) -> None:
        import faiss

        self.index = faiss.index_factory(galleries.DIMENSIONS, self.recipe, faiss.METRIC_INNER_PRODUCT)
        if self.recipe != "Flat":
            faiss.ParameterSpace().set_index_parameter(self.index, "efSearch", CANDIDATES)

    def add(self, vectors: Vectors) -> None:
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
    def begin(self, faces: int) -> None:
        self.index = self._new()
        self.index.init_index(faces, ef_construction=CANDIDATES, M=M)

    def add(self, vectors: Vectors) -> None:
        self.index.add_items(vectors)

    def search(self, probes: Vectors, k: int) -> Any:
        self.index.set_ef(max(CANDIDATES, k))
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
    def begin(self, faces: int) -> None:
        self.index = self._new()

    def add(self, vectors: Vectors) -> None:
        self.index.add(np.arange(len(self.index), len(self.index) + len(vectors)), vectors)

    def search(self, probes: Vectors, k: int) -> Any:
        return np.atleast_2d(self.index.search(probes, k).keys.astype(np.int64))

    def save(self, path: str) -> None:
        self.index.save(path)

    def load(self, path: str) -> None:
        self.index = self._new()
        self.index.load(path)

    def _new(self) -> Any:
        from usearch.index import Index

        return Index(ndim=galleries.DIMENSIONS, metric="ip", connectivity=M, expansion_search=CANDIDATES)


class Faceflash:
    """Fits its codes on the first batch and copies everything for each further one, so batches are large."""

    step = galleries.CHUNK

    def begin(self, faces: int) -> None:
        self.index = self._new()

    def add(self, vectors: Vectors) -> None:
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


def measured(case: SearchCase, name: str, folder: Path | None, budget: float) -> dict[str, float | None] | None:
    """Measure one peer; None if it is not installed."""
    terms = [str(case.faces), str(case.threshold), str(case.limit), str(budget)]
    with tempfile.TemporaryDirectory(dir=folder) as place:
        figures, _ = _in_new_process("measure", name, str(Path(place) / "index"), *terms)
        if figures and "p50_ms" in figures:
            opened, seconds = _in_new_process("open", name, str(Path(place) / "index"), *terms)
            figures |= {"start_s": seconds, **(opened or {})}
            figures["disk_mb"] = sum(path.stat().st_size for path in Path(place).rglob("*") if path.is_file()) / 1e6
    return figures


def _in_new_process(*arguments: str) -> tuple[dict[str, float | None] | None, float]:
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "benchmarks.peers", *arguments], stdout=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - start
    if done.returncode == NOT_INSTALLED:
        print(f"{arguments[1]} is not installed.", file=sys.stderr)
        return None, seconds
    done.check_returncode()
    return json.loads(done.stdout), seconds


def _measure(peer: Peer, path: str, case: SearchCase, budget: float) -> dict[str, float | None]:
    built, seconds = _build(peer, case, budget)
    if built < case.faces:
        return {"built_faces": built, "budget_s": budget}
    k = min(case.limit, case.faces)
    probes = galleries.probes(min(MAX_PROBES, case.faces))
    figures: dict[str, float | None] = {"build_s": seconds, **latency(lambda some: peer.search(some, k), probes)}
    some = probes[: int(figures["probes"] or 0)]
    found = [set(row.tolist()) for row in peer.search(some, k)]
    figures["recall_of_matches"] = recall(found, exact_matches(case, some))
    peer.save(path)
    return figures


def _build(peer: Peer, case: SearchCase, budget: float) -> tuple[int, float]:
    """Add faces until the budget is spent; returns their number and the seconds."""
    built, seconds = 0, 0.0
    peer.begin(case.faces)
    for part in _parts(case.faces, getattr(peer, "step", STEP)):
        start = time.perf_counter()
        peer.add(part)
        seconds += time.perf_counter() - start
        built += len(part)
        print(f"\r{type(peer).__name__}: {built:,} of {case.faces:,} faces in {seconds:.0f} s", end="", file=sys.stderr)
        if seconds > budget:
            break
    print(file=sys.stderr)
    return built, seconds


def _parts(faces: int, step: int) -> Iterator[Vectors]:
    for chunk in galleries.gallery(faces):
        for start in range(0, len(chunk), step):
            yield chunk[start : start + step]


def _open(peer: Peer, path: str, case: SearchCase) -> dict[str, float | None]:
    """Measure the memory of this process after the first answer; the parent process measures the time."""
    peer.load(path)
    random = np.random.default_rng(1).standard_normal((1, galleries.DIMENSIONS)).astype(np.float32)
    peer.search(random / np.linalg.norm(random), min(case.limit, case.faces))
    return {
        "rss_mb": int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
        * os.sysconf("SC_PAGE_SIZE")
        / 1e6
    }


def main(what: str, name: str, path: str, faces: str, threshold: str, limit: str, budget: str) -> None:
    case, peer = SearchCase(int(faces), float(threshold), int(limit)), PEERS[name]()
    try:
        figures = _open(peer, path, case) if what == "open" else _measure(peer, path, case, float(budget))
    except ImportError:
        sys.exit(NOT_INSTALLED)
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
