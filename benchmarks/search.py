"""How fast the gallery searches, and beside it FAISS and other vector indexes in the same run.

    python benchmarks/search.py --faces 1000000 --json
    python benchmarks/search.py --faces 1000 --faces 10000 --faces 100000 --peers --plots docs/images

Long series go in slices: `--keep FILE` adds each line to a file, `--no-mien --peers NAME` measures one peer,
and `--plots` draws what the file holds.

The threshold is 99 unless said otherwise: one pair of strangers in a million reaches it, so that a probe
finds about one stranger among a million faces. At 80 it finds a hundred, and the search takes longer.
Everything is measured through the public Gallery, on galleries made as `galleries.py` says. Of the
found, "matches" are the faces that an exact search finds: at least `--threshold`, at most `--limit`.
`rss_mb` is the whole process, with Python, NumPy and LLVM. What is slow is asked less often: `probes` says how often.
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

import galleries
import numpy as np
from asked import PROBES, Asked, exact_matches, milliseconds, recall, speed
from galleries import Vectors

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


class Places:
    """Where in the made gallery a face lies, by the random half of its id: a dictionary of 20 million is 4 GB."""

    def __init__(self, numbers: Any) -> None:
        self._order = np.argsort(numbers)
        self._sorted = numbers[self._order]

    @staticmethod
    def numbers(ids: list[str]) -> Any:
        return np.array([int(one[19:23] + one[24:], 16) for one in ids], np.uint64)

    def of(self, ids: list[str]) -> list[int]:
        at = np.searchsorted(self._sorted, self.numbers(ids))
        places: list[int] = self._order[at].tolist()
        return places


def tell(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


def measure(asked: Asked, folder: Path) -> dict[str, float | None]:
    """The figures of one size, as the JSON has them."""
    gallery = Gallery(folder, MODEL)
    gallery.collections.create(NAME)
    places, seconds = load(gallery, asked)
    tell("building the index")
    built = milliseconds(lambda: gallery.compact(NAME)) / 1e3
    gallery.close()
    tell("measuring")
    started = in_new_process(folder, asked, searches=1)
    settled = in_new_process(folder, asked, searches=PROBES)
    gallery = Gallery(folder, MODEL)
    probes = galleries.probes(min(PROBES, asked.faces))
    figures = speed(lambda some: gallery.search.faces(NAME, some, threshold=asked.threshold, limit=asked.limit), probes)
    found = [
        set(places.of([match.face.face_id for match in matches]))
        for matches in gallery.search.faces(NAME, probes, threshold=asked.threshold, limit=asked.limit)
    ]
    figures["recall_of_matches"] = recall(found, exact_matches(asked, probes))
    flat = flat_p50(asked)
    figures["ratio_to_flat"] = flat and flat / figures["p50_ms"]
    figures |= {"start_s": started["seconds"], "rss_mb": settled["rss_mb"]}
    figures["disk_mb"] = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    figures["add_ms"] = adding(gallery, asked, figures["p50_ms"])
    figures |= {"bulk_per_s": asked.faces / seconds, "build_s": seconds + built}
    gallery.close()
    return figures


def load(gallery: Gallery, asked: Asked) -> tuple[Places, float]:
    """Fill the collection; where each face lies in the made gallery, and the seconds that it took."""
    numbers: list[Any] = []
    seconds = 0.0
    for chunk in galleries.gallery(asked.faces):
        start = time.perf_counter()
        ids = gallery.faces.add_embeddings(NAME, chunk)
        seconds += time.perf_counter() - start
        numbers.append(Places.numbers(ids))
        tell(f"{len(numbers) * galleries.CHUNK:,} faces loaded in {seconds:.0f} s")
    return Places(np.concatenate(numbers)), seconds


def flat_p50(asked: Asked) -> float | None:
    """Milliseconds of FAISS's exact index for the best ten; None without FAISS or without memory for the gallery."""
    if asked.faces > RAM_FOR_FLAT or not find_spec("faiss"):
        return None
    import faiss

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
            lambda probe=probe, image=image: gallery.faces.index(NAME, [NewFace(probe)], image_id=image)
        )
        ask = lambda probe=probe: gallery.search.faces(NAME, probe[None], threshold=asked.threshold, limit=1)  # noqa: E731
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
        gallery.search.faces(NAME, probe[None], threshold=asked.threshold, limit=asked.limit)
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    print(json.dumps({"rss_mb": pages * os.sysconf("SC_PAGE_SIZE") / 1e6}), flush=True)
    gallery.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, action="append", help="size of the gallery; may be given several times")
    parser.add_argument("--threshold", type=float, default=99.0, help="similarity 0..100 that a match must reach")
    parser.add_argument("--limit", type=int, default=80, help="most matches for a probe")
    parser.add_argument("--folder", type=Path, help="where the galleries are made (default: the temporary folder)")
    parser.add_argument("--peers", nargs="*", metavar="NAME", help="measure these peers too, or all (see peers.py)")
    parser.add_argument("--no-mien", action="store_true", help="measure the peers only")
    parser.add_argument("--budget", type=float, default=BUDGET, help="seconds in which a peer must be built")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="add each line to this file; plots show all of it")
    parser.add_argument("--plots", type=Path, help="folder for plots over the sizes")
    parser.add_argument("--json", action="store_true", help="print one JSON object per size")
    parser.add_argument("--child", nargs=2, metavar=("FOLDER", "SEARCHES"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(Path(options.child[0]), int(options.child[1]), Asked(0, options.threshold, options.limit))
        return
    sizes = options.faces or ([] if options.plots and options.keep else [100_000])
    table = [line for faces in sizes for line in lines(Asked(faces, options.threshold, options.limit), options)]
    if options.plots:
        import plots

        kept = options.keep.read_text().splitlines() if options.keep else []
        plots.by_size([json.loads(line) for line in kept] or table, options.plots)


def lines(asked: Asked, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One for each index, printed and kept as soon as it is measured."""
    for name, figures in indexes(asked, options):
        rounded = {key: value and round(value, 4) for key, value in figures.items()}
        line = {"faces": asked.faces, "index": name, "threshold": asked.threshold, **rounded}
        shown = line if options.peers is not None else rounded
        print(json.dumps(shown) if options.json else f"{asked.faces:>10,} {name:12} {rounded}", flush=True)
        if options.keep:
            with options.keep.open("a") as file:
                print(json.dumps(line), file=file)
        yield line


def indexes(asked: Asked, options: argparse.Namespace) -> Iterator[tuple[str, dict[str, float | None]]]:
    if not options.no_mien:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            yield "mien", measure(asked, Path(folder))
    if options.peers is not None:
        import peers

        for name in options.peers or peers.PEERS:
            if figures := peers.measured(asked, name, options.folder, options.budget):
                yield name, figures


if __name__ == "__main__":
    main()
