"""Measure how long it takes to forget a person in a large collection, compared with an empty one.

    python -m benchmarks.erasure FOLDER --faces 1000000

FOLDER contains portraits, one face each. As many people are enrolled, each with one photo, in two data folders; one
of them then gets so many further faces, whose vectors are random, and a complete vector index. `DELETE /users/{id}`
is timed for each person in both folders in turn, so that the ratio does not depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from starlette.testclient import TestClient

from mien.api.api import create_api
from mien.backends.embedded.backend import EmbeddedBackend
from mien.domain.policy import Policy
from mien.engine import FaceEngine
from mien.settings import Settings

COLLECTION = "face-collection"
CHUNK = 20_000


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("photos", type=Path)
    options.add_argument("--faces", type=int, default=1_000_000)
    options.add_argument("--people", type=int, default=20)
    given = options.parse_args()
    photos = [path.read_bytes() for path in sorted(given.photos.rglob("*.jpg"))][: given.people]
    engine = FaceEngine()
    with tempfile.TemporaryDirectory() as folder:
        backends = {name: open_filled(Path(folder, name), engine, photos) for name in ("empty", "large")}
        add_strangers(backends["large"], given.faces)
        clients = {name: TestClient(create_api(backend.app, Settings())) for name, backend in backends.items()}
        times: dict[str, list[float]] = {name: [] for name in backends}
        for number in range(len(photos)):
            for name, client in clients.items():
                start = time.perf_counter()
                answer = client.delete(f"/users/person-{number}")
                times[name].append(1000 * (time.perf_counter() - start))
                if answer.status_code != 200 or answer.json()["traces"] or answer.json()["faces"] != 1:
                    raise SystemExit(f"The person was not erased: {answer.text}")
        stale = backends["large"].gallery().stale_vector_sets()
        for backend in backends.values():
            backend.app.close()
    medians = {f"{name}_ms": round(statistics.median(own[1:]), 2) for name, own in times.items()}
    ratio = round(medians["large_ms"] / medians["empty_ms"], 2)
    print(
        json.dumps({**medians, "ratio": ratio, "faces": given.faces, "people": len(photos), "stale": stale}, indent=2)
    )


def open_filled(folder: Path, engine: FaceEngine, photos: list[bytes]) -> EmbeddedBackend:
    """Open a data folder in which each photo's person is enrolled."""
    backend = EmbeddedBackend(folder, COLLECTION, Policy(), lambda: engine)
    for number, photo in enumerate(photos):
        backend.app.enroll(photo, f"person-{number}")
    return backend


def add_strangers(backend: EmbeddedBackend, count: int) -> None:
    """Add so many faces with random vectors, and build the index."""
    random, gallery = np.random.default_rng(0), backend.app_gallery()
    for start in range(0, count, CHUNK):
        vectors = random.standard_normal((min(CHUNK, count - start), 128), np.float32)
        gallery.faces.add_embeddings(COLLECTION, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    gallery.compact(COLLECTION)


if __name__ == "__main__":
    main()
