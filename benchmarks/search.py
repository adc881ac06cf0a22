"""Measure the gallery's search, and FAISS and other vector indexes in the same run.

    python -m benchmarks.search --faces 1000000 --json
    python -m benchmarks.search --faces 1000 --faces 10000 --faces 100000 --peers --plots docs/images

A long series can be measured in parts: `--keep FILE` appends each result to a file, `--no-mien --peers NAME` measures
one peer, and `--plots` draws the file.

The default threshold is 99: one pair of strangers in a million reaches it, so a probe matches about one stranger among
a million faces. At 80 it matches a hundred, and the search takes longer. Everything is measured through the public
Gallery, on the synthetic galleries of `galleries.py`. `recall_of_matches` is the share of an exact search's matches (at
least `--threshold`, at most `--limit`) that was found. `rss_mb` is the whole process, with Python, NumPy and LLVM. Slow
indexes get fewer probes; `probes` is their number.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import galleries
from benchmarks.galleries import Vectors
from benchmarks.search_case import MAX_PROBES, SearchCase, exact_matches, latency, milliseconds, recall
from mien.domain.faces import Box
from mien.gallery import Gallery

NAME, MODEL = "benchmark", "benchmark-1"
ADDED = 50
RAM_FOR_FLAT = 12_000_000
BUDGET = 600.0


@dataclass(frozen=True)
class NewFace:
    embedding: Vectors
    box: Box = field(default=Box(0.25, 0.25, 0.5, 0.5))
    confidence: float = 99.0


class Positions:
    """Positions of faces in the synthetic gallery, by the random half of their ids; a dictionary would take 4 GB."""

    def __init__(self, numbers: Any) -> None:
        self._order = np.argsort(numbers)
        self._sorted = numbers[self._order]

    @staticmethod
    def numbers(ids: list[str]) -> Any:
        return np.array([int(one[19:23] + one[24:], 16) for one in ids], np.uint64)

    def of(self, ids: list[str]) -> list[int]:
        at = np.searchsorted(self._sorted, self.numbers(ids))
        positions: list[int] = self._order[at].tolist()
        return positions


def show_progress(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


def measure(case: SearchCase, folder: Path) -> dict[str, float | None]:
    """Measure one gallery size; returns the figures of the JSON."""
    gallery = Gallery(folder, MODEL)
    gallery.collections.create(NAME)
    positions, seconds = load(gallery, case)
    show_progress("building the index")
    built = milliseconds(lambda: gallery.compact(NAME)) / 1e3
    gallery.close()
    show_progress("measuring")
    started = measure_in_new_process(folder, case, searches=1)
    settled = measure_in_new_process(folder, case, searches=MAX_PROBES)
    gallery = Gallery(folder, MODEL)
    probes = galleries.probes(min(MAX_PROBES, case.faces))
    figures = latency(lambda some: gallery.search.faces(NAME, some, threshold=case.threshold, limit=case.limit), probes)
    found = [
        set(positions.of([match.face.face_id for match in matches]))
        for matches in gallery.search.faces(NAME, probes, threshold=case.threshold, limit=case.limit)
    ]
    figures["recall_of_matches"] = recall(found, exact_matches(case, probes))
    flat = flat_p50(case)
    figures["ratio_to_flat"] = flat and flat / figures["p50_ms"]
    figures |= {"start_s": started["seconds"], "rss_mb": settled["rss_mb"]}
    figures["disk_mb"] = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    figures["add_ms"] = add_latency(gallery, case, figures["p50_ms"])
    figures |= {"bulk_per_s": case.faces / seconds, "build_s": seconds + built}
    gallery.close()
    return figures


def load(gallery: Gallery, case: SearchCase) -> tuple[Positions, float]:
    """Fill the collection; returns the positions of its faces and the seconds that it took."""
    numbers: list[Any] = []
    seconds = 0.0
    for chunk in galleries.gallery(case.faces):
        start = time.perf_counter()
        ids = gallery.faces.add_embeddings(NAME, chunk)
        seconds += time.perf_counter() - start
        numbers.append(Positions.numbers(ids))
        show_progress(f"{len(numbers) * galleries.CHUNK:,} faces loaded in {seconds:.0f} s")
    return Positions(np.concatenate(numbers)), seconds


def flat_p50(case: SearchCase) -> float | None:
    """Measure milliseconds of FAISS's exact index for the best ten; None without FAISS or enough memory."""
    if case.faces > RAM_FOR_FLAT or not find_spec("faiss"):
        return None
    import faiss

    index = faiss.IndexFlatIP(galleries.DIMENSIONS)
    for chunk in galleries.gallery(case.faces):
        index.add(chunk)
    probes = galleries.probes(40)
    return float(np.median([milliseconds(lambda at=at: index.search(probes[at : at + 1], 10)) for at in range(40)]))


def add_latency(gallery: Gallery, case: SearchCase, p50: float) -> float:
    """Measure milliseconds to store a face, plus the extra time of the first search that finds it."""
    times = []
    for number, probe in enumerate(galleries.probes(100_000)[-ADDED:]):
        image = f"00000000-0000-5000-8000-{number:012}"
        stored = milliseconds(
            lambda probe=probe, image=image: gallery.faces.index(NAME, [NewFace(probe)], image_id=image)
        )
        ask = lambda probe=probe: gallery.search.faces(NAME, probe[None], threshold=case.threshold, limit=1)  # noqa: E731
        times.append(stored + max(0.0, milliseconds(ask) - p50))
        if ask()[0][0].similarity < 99.9:
            raise SystemExit("A face that was added was not found.")
    return float(np.median(times))


def measure_in_new_process(folder: Path, case: SearchCase, searches: int) -> dict[str, float]:
    """Measure seconds from the start of a process to the end of its searches, and its memory then."""
    start = time.perf_counter()
    command = [
        sys.executable,
        "-m",
        "benchmarks.search",
        "--child",
        str(folder),
        str(searches),
        "--limit",
        str(case.limit),
    ]
    answer = subprocess.run([*command, "--threshold", str(case.threshold)], check=True, capture_output=True, text=True)
    return {**json.loads(answer.stdout), "seconds": time.perf_counter() - start}


def child(folder: Path, searches: int, case: SearchCase) -> None:
    gallery = Gallery(folder, MODEL)
    random = np.random.default_rng(1).standard_normal((searches, galleries.DIMENSIONS)).astype(np.float32)
    for probe in random / np.linalg.norm(random, axis=1, keepdims=True):
        gallery.search.faces(NAME, probe[None], threshold=case.threshold, limit=case.limit)
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    print(json.dumps({"rss_mb": pages * os.sysconf("SC_PAGE_SIZE") / 1e6}), flush=True)
    gallery.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, action="append", help="gallery size; may be given several times")
    parser.add_argument("--threshold", type=float, default=99.0, help="similarity 0..100 that a match must reach")
    parser.add_argument("--limit", type=int, default=80, help="matches per probe, at most")
    parser.add_argument("--folder", type=Path, help="folder for the galleries (default: the temporary folder)")
    parser.add_argument("--peers", nargs="*", metavar="NAME", help="also measure these peers, or all (see peers.py)")
    parser.add_argument("--no-mien", action="store_true", help="measure the peers only")
    parser.add_argument("--budget", type=float, default=BUDGET, help="seconds in which a peer must be built")
    parser.add_argument(
        "--keep", type=Path, metavar="FILE", help="append each result to this file, which --plots draws"
    )
    parser.add_argument("--plots", type=Path, help="folder for plots over the sizes")
    parser.add_argument("--json", action="store_true", help="print one JSON object per size")
    parser.add_argument("--child", nargs=2, metavar=("FOLDER", "SEARCHES"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(Path(options.child[0]), int(options.child[1]), SearchCase(0, options.threshold, options.limit))
        return
    sizes = options.faces or ([] if options.plots and options.keep else [100_000])
    table = [line for faces in sizes for line in lines(SearchCase(faces, options.threshold, options.limit), options)]
    if options.plots:
        from benchmarks import plots

        kept = options.keep.read_text().splitlines() if options.keep else []
        plots.by_size([json.loads(line) for line in kept] or table, options.plots)


def lines(case: SearchCase, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the result of each index; it is printed and kept as soon as it is measured."""
    for name, figures in indexes(case, options):
        rounded = {key: value and round(value, 4) for key, value in figures.items()}
        line = {"faces": case.faces, "index": name, "threshold": case.threshold, **rounded}
        shown = line if options.peers is not None else rounded
        print(json.dumps(shown) if options.json else f"{case.faces:>10,} {name:12} {rounded}", flush=True)
        if options.keep:
            with options.keep.open("a") as file:
                print(json.dumps(line), file=file)
        yield line


def indexes(case: SearchCase, options: argparse.Namespace) -> Iterator[tuple[str, dict[str, float | None]]]:
    if not options.no_mien:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            yield "mien", measure(case, Path(folder))
    if options.peers is not None:
        from benchmarks import peers

        for name in options.peers or peers.PEERS:
            if figures := peers.measured(case, name, options.folder, options.budget):
                yield name, figures


if __name__ == "__main__":
    main()
