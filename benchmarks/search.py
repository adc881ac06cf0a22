"""How fast the gallery searches, and beside it FAISS and other vector indexes in the same run.

    python benchmarks/search.py --faces 1000000 --json
    python benchmarks/search.py --faces 1000 --faces 10000 --faces 100000 --peers --plots docs

The threshold is 99 unless said otherwise: one pair of strangers in a million reaches it, so that a probe
finds about one stranger among a million faces. At 80 it finds a hundred, and the search takes longer.
Everything is measured through the public Gallery, on galleries made as `galleries.py` says. Of the
found, "matches" are the faces that an exact search finds: at least `--threshold`, at most `--limit`.
`rss_mb` is the whole process, with Python, NumPy and FAISS.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faiss
import numpy as np

import galleries
from galleries import Vectors
from mien.gallery import Gallery
from mien.gallery.similarity import cosine_at
from mien.model import Box

NAME, MODEL = "benchmark", "benchmark-1"
PROBES, BATCH, BATCHES, ADDED = 1000, 64, 12, 50
RAM_FOR_FLAT = 12_000_000


@dataclass(frozen=True)
class Asked:
    """One run: how many faces, and what a probe asks for."""

    faces: int
    threshold: float
    limit: int

    @property
    def least(self) -> float:
        return cosine_at(self.threshold)


@dataclass(frozen=True)
class NewFace:
    embedding: Vectors
    box: Box = field(default=Box(0.25, 0.25, 0.5, 0.5))
    confidence: float = 99.0


def milliseconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3


def exact_matches(asked: Asked, probes: Vectors) -> list[set[int]]:
    """For each probe the places in the gallery of what an exact search answers."""
    found: list[list[tuple[float, int]]] = [[] for _ in probes]
    for number, chunk in enumerate(galleries.gallery(asked.faces)):
        scores = probes @ chunk.T
        for probe, place in zip(*np.nonzero(scores >= asked.least), strict=True):
            found[probe].append((-float(scores[probe, place]), number * galleries.CHUNK + int(place)))
    return [{place for _, place in sorted(matches)[: asked.limit]} for matches in found]


def recall(found: list[set[int]], expected: list[set[int]]) -> float:
    return sum(len(one & other) for one, other in zip(found, expected, strict=True)) / sum(map(len, expected))


def measure(asked: Asked, folder: Path) -> dict[str, float | None]:
    """The figures of one size, as the JSON has them."""
    gallery = Gallery(folder, MODEL)
    gallery.create_collection(NAME)
    faces, seconds = load(gallery, asked)
    gallery.compact(NAME)
    gallery.close()
    started = in_new_process(folder, asked, searches=1)
    settled = in_new_process(folder, asked, searches=PROBES)
    gallery = Gallery(folder, MODEL)
    probes = galleries.probes(min(PROBES, asked.faces))
    figures = speed(lambda some: gallery.search_faces(NAME, some, threshold=asked.threshold, limit=asked.limit), probes)
    found = [
        {faces[match.face.face_id] for match in matches if match.face.face_id in faces}
        for matches in gallery.search_faces(NAME, probes, threshold=asked.threshold, limit=asked.limit)
    ]
    figures["recall_of_matches"] = recall(found, exact_matches(asked, probes))
    flat = flat_p50(asked)
    figures["ratio_to_flat"] = flat and flat / figures["p50_ms"]
    figures |= {"start_s": started["seconds"], "rss_mb": settled["rss_mb"]}
    figures["disk_mb"] = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    figures["add_ms"] = adding(gallery, asked, figures["p50_ms"])
    figures["bulk_per_s"] = asked.faces / seconds
    gallery.close()
    return figures


def load(gallery: Gallery, asked: Asked) -> tuple[dict[str, int], float]:
    """Fill the collection; where the faces that the probes can match lie, and the seconds that it took."""
    places: dict[str, int] = {}
    seconds = 0.0
    for chunk in galleries.gallery(asked.faces):
        start = time.perf_counter()
        ids = gallery.bulk_add(NAME, chunk)
        seconds += time.perf_counter() - start
        places.update(zip(ids, range(len(places), len(places) + len(ids)), strict=True))
    return places, seconds


def speed(search: Callable[[Vectors], object], probes: Vectors) -> dict[str, Any]:
    """Latency of one probe, and per probe of 64 at once."""
    search(probes[:BATCH])
    single = [milliseconds(lambda at=at: search(probes[at : at + 1])) for at in range(len(probes))]
    starts = [at % max(1, len(probes) - BATCH) for at in range(0, BATCH * BATCHES, BATCH)]
    batches = [milliseconds(lambda at=at: search(probes[at : at + BATCH])) for at in starts]
    return {
        "p50_ms": float(np.percentile(single, 50)),
        "p99_ms": float(np.percentile(single, 99)),
        "batch64_ms_per_probe": float(np.median(batches)) / min(BATCH, len(probes)),
    }


def flat_p50(asked: Asked) -> float | None:
    """Milliseconds of FAISS's exact index for the best ten; None when the gallery does not fit in memory."""
    if asked.faces > RAM_FOR_FLAT:
        return None
    index = faiss.IndexFlatIP(galleries.DIMENSIONS)
    for chunk in galleries.gallery(asked.faces):
        index.add(chunk)
    probes = galleries.probes(40)
    return float(np.median([milliseconds(lambda at=at: index.search(probes[at : at + 1], 10)) for at in range(40)]))


def adding(gallery: Gallery, asked: Asked, p50: float) -> float:
    """Milliseconds to store one face, plus what the search that finds it takes longer than others."""
    times = []
    for number, probe in enumerate(galleries.probes(100_000)[-ADDED:]):
        image = f"00000000-0000-5000-8000-{number:012}"
        stored = milliseconds(
            lambda probe=probe, image=image: gallery.index_faces(NAME, [NewFace(probe)], image_id=image)
        )
        ask = lambda probe=probe: gallery.search_faces(NAME, probe[None], threshold=asked.threshold, limit=1)  # noqa: E731
        times.append(stored + max(0.0, milliseconds(ask) - p50))
        if ask()[0][0].similarity < 99.9:
            raise SystemExit("A face that was added was not found.")
    return float(np.median(times))


def in_new_process(folder: Path, asked: Asked, searches: int) -> dict[str, float]:
    """Seconds from the start of a process to the end of its searches, and its memory then."""
    start = time.perf_counter()
    command = [sys.executable, __file__, "--child", str(folder), str(searches), "--limit", str(asked.limit)]
    answer = subprocess.run([*command, "--threshold", str(asked.threshold)], check=True, capture_output=True, text=True)
    return {**json.loads(answer.stdout), "seconds": time.perf_counter() - start}


def child(folder: Path, searches: int, asked: Asked) -> None:
    gallery = Gallery(folder, MODEL)
    random = np.random.default_rng(1).standard_normal((searches, galleries.DIMENSIONS)).astype(np.float32)
    for probe in random / np.linalg.norm(random, axis=1, keepdims=True):
        gallery.search_faces(NAME, probe[None], threshold=asked.threshold, limit=asked.limit)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    print(json.dumps({"rss_mb": pages * os.sysconf("SC_PAGE_SIZE") / 1e6}), flush=True)
    gallery.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, action="append", help="size of the gallery; may be given several times")
    parser.add_argument("--threshold", type=float, default=99.0, help="similarity 0..100 that a match must reach")
    parser.add_argument("--limit", type=int, default=80, help="most matches for a probe")
    parser.add_argument("--folder", type=Path, help="where the galleries are made (default: the temporary folder)")
    parser.add_argument("--peers", nargs="*", metavar="NAME", help="measure these peers too, or all (see peers.py)")
    parser.add_argument("--plots", type=Path, help="folder for plots over the sizes")
    parser.add_argument("--json", action="store_true", help="print one JSON object per size")
    parser.add_argument("--child", nargs=2, metavar=("FOLDER", "SEARCHES"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(Path(options.child[0]), int(options.child[1]), Asked(0, options.threshold, options.limit))
        return
    report([Asked(faces, options.threshold, options.limit) for faces in options.faces or [100_000]], options)


def report(runs: list[Asked], options: argparse.Namespace) -> None:
    table: dict[int, dict[str, dict[str, float | None]]] = {}
    for asked in runs:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            table[asked.faces] = {"mien": measure(asked, Path(folder))}
        if options.peers is not None:
            import peers

            table[asked.faces] |= peers.measured(asked, options.peers or list(peers.PEERS))
        for name, figures in table[asked.faces].items():
            rounded = {key: value and round(value, 4) for key, value in figures.items()}
            named = rounded if len(table[asked.faces]) == 1 else {"faces": asked.faces, "index": name, **rounded}
            print(json.dumps(named) if options.json else f"{asked.faces:>10,} {name:12} {rounded}", flush=True)
    if options.plots:
        import plots

        plots.by_size(table, options.plots)


if __name__ == "__main__":
    main()
