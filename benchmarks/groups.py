"""Measure how well and how fast unknown faces are grouped.

    python -m benchmarks.groups quality FOLDER     (a folder for each person, such as lfw_dev)
    python -m benchmarks.groups speed PHOTO... [--photos 500] [--faces 100000]

`quality` compares Mien, which sees one photo after the other in random order, with methods that see all at once:
linkage and HDBSCAN (of scikit-learn: `pip install scikit-learn`), Chinese whispers. Only the face nearest the middle
of a photo counts, as in LFW. Pairwise precision is the share of pairs in one group that are of one person, recall the
share of a person's pairs that are in one group; purity is the share of faces that are of their group's most frequent
person.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.app.app import FaceApp
from mien.backends.embedded.backend import EmbeddedBackend
from mien.domain.faces import Box
from mien.domain.policy import Policy
from mien.domain.records import FaceRecord
from mien.domain.thresholds import cosine_of_fmr
from mien.engine import FaceEngine
from mien.evaluation.dataset import read_folder

Labels = NDArray[np.int64]
ORDERS = 3
ADDED = 64
RATES = (1e-3, 1e-4, 1e-5, 1e-6)


def quality(folder: Path) -> None:
    """Print a table of methods."""
    photos = read_folder(folder)
    engine = FaceEngine()
    embeddings, labels, files = [], [], []
    read = engine.read_many(photo.path.read_bytes() for photo in photos.photos)
    for photo, label, faces in zip(photos.photos, photos.labels, read, strict=True):
        if isinstance(faces, list) and faces:
            embeddings.append(min(faces, key=lambda face: _off_centre(face.box)).embedding)
            labels.append(label)
            files.append(photo.path)
    cosines, people = np.array(embeddings) @ np.array(embeddings).T, np.array(labels)
    print(f"{len(people)} photos of {len(set(labels))} people\n")
    print("| method | groups | precision | recall | purity |\n|---|---:|---:|---:|---:|")
    for name, group in _methods(cosines):
        _print(name, [group], people)
    groups = []
    for seed in range(ORDERS):
        with _data_folder(engine) as backend:
            groups.append(_by_mien(backend.app, files, np.random.default_rng(seed)))
    _print(f"Mien, one photo after the other, worst of {ORDERS} orders", groups, people)


def _by_mien(app: FaceApp, files: Sequence[Path], rng: np.random.Generator) -> Labels:
    for number in rng.permutation(len(files)).tolist():
        app.groups.remember(files[number].read_bytes())
    ids = {}
    for number, file in enumerate(files):  # again, which changes nothing: groups may have been merged meanwhile
        faces = app.groups.remember(file.read_bytes()).faces
        ids[number] = min(faces, key=lambda face: _off_centre(face.box)).group_id or f"none {number}"
    numbers = {group: position for position, group in enumerate(sorted(set(ids.values())))}
    return np.array([numbers[ids[number]] for number in range(len(files))])


def _methods(cosines: NDArray[np.float32]) -> Iterator[tuple[str, Labels]]:
    from sklearn.cluster import HDBSCAN, AgglomerativeClustering

    distances = np.clip(1 - (cosines + cosines.T) / 2, 0, 2).astype(np.float64)
    np.fill_diagonal(distances, 0)
    for linkage in ("single", "average", "complete"):
        for rate in RATES:
            cut = 1 - cosine_of_fmr(rate)
            method = AgglomerativeClustering(None, metric="precomputed", linkage=linkage, distance_threshold=cut)
            yield f"{linkage} linkage, FMR {rate:g}", method.fit_predict(distances)
    for rate in RATES:
        yield f"Chinese whispers, FMR {rate:g}", _whispers(cosines, cosine_of_fmr(rate))
    for selection in ("eom", "leaf"):
        method = HDBSCAN(min_cluster_size=2, metric="precomputed", cluster_selection_method=selection, copy=True)
        found = method.fit_predict(distances)
        alone = found < 0
        found[alone] = found.max() + 1 + np.arange(alone.sum())
        yield f"HDBSCAN, {selection}", found


def _whispers(cosines: NDArray[np.float32], cut: float) -> Labels:
    """Chinese whispers (Biemann 2006): each face takes the group that its neighbours favour, again and again."""
    rng, groups = np.random.default_rng(0), np.arange(len(cosines))
    neighbours = [np.flatnonzero((row >= cut) & (np.arange(len(row)) != i)) for i, row in enumerate(cosines)]
    for _ in range(20):
        for i in rng.permutation(len(cosines)):
            votes: Counter[int] = Counter()
            for j in neighbours[i]:
                votes[groups[j]] += float(cosines[i, j])  # type: ignore[assignment]
            groups[i] = votes.most_common(1)[0][0] if votes else groups[i]
    return groups


def _print(name: str, groups: Sequence[Labels], people: Labels) -> None:
    scores = [_scores(group, people) for group in groups]
    precision, recall, purity = (min(score[i] for score in scores) for i in range(3))
    count = max(len(set(group.tolist())) for group in groups)
    print(f"| {name} | {count} | {precision:.4f} | {recall:.4f} | {purity:.4f} |", flush=True)


def _scores(groups: Labels, people: Labels) -> tuple[float, float, float]:
    pairs = np.triu_indices(len(people), 1)
    is_person, is_group = ((each[:, None] == each[None])[pairs] for each in (people, groups))
    both = int((is_person & is_group).sum())
    pure = sum(Counter(people[groups == group].tolist()).most_common(1)[0][1] for group in set(groups.tolist()))
    return both / max(int(is_group.sum()), 1), both / int(is_person.sum()), pure / len(people)


def speed(photos: Sequence[Path], count: int, faces: int) -> None:
    """Print how long grouping takes beside reading, and how long a face among many takes."""
    engine, images = FaceEngine(), [photo.read_bytes() for photo in photos]
    many = [_variant(images[number % len(images)], number // len(images)) for number in range(count)]
    with _data_folder(engine) as backend:
        list(engine.read_many(many[: len(images)]))
        reading = _seconds(lambda: list(engine.read_many(many)))
        grouping = _seconds(lambda: list(backend.app.groups.remember_many(many)))
        print(f"{count} photos: read in {reading:.1f} s, grouped in {grouping:.1f} s: {grouping / reading:.2f} times")
    with _data_folder(engine) as backend:
        backend.app.groups.remember(images[0])
        _fill(backend, faces)
        os.sync()  # or the first flush of a portrait flushes all this, too
        backend.app.groups.remember(_variant(images[0], 0))
        new = [_variant(images[number % len(images)], 1 + number // len(images)) for number in range(ADDED)]
        for clock, name in ((time.perf_counter, ""), (time.process_time, " of processor time")):
            alone, together = _one_more(engine, backend, new, clock)
            print(
                f"{faces} faces: one more takes {1000 * alone:.1f} ms{name} beside reading its photo, "
                f"and {1000 * together:.1f} ms{name} with others"
            )
            new = [_variant(image, 60) for image in new]


def _one_more(
    engine: FaceEngine, backend: EmbeddedBackend, images: Sequence[bytes], clock: Callable[[], float]
) -> tuple[float, float]:
    """How long it takes to remember a photo beside reading it, alone and with others, in seconds."""
    groups, half = backend.app.groups, len(images) // 2
    beside = []
    for image in images[:half]:
        reading = _seconds(partial(engine.read, image), clock)
        beside.append(_seconds(partial(groups.remember, image), clock) - reading)
    others = images[half:]
    reading = _seconds(lambda: list(engine.read_many(others)), clock)
    return float(np.median(beside)), (_seconds(lambda: list(groups.remember_many(others)), clock) - reading) / half


def _fill(backend: EmbeddedBackend, count: int) -> None:
    """Store so many faces of strangers, four of each, in groups."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((count // 4, 128))
    vectors = np.repeat(centres, 4, axis=0) + 0.5 * rng.standard_normal((count // 4 * 4, 128))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    own = backend.catalog.find(FaceRecord, limit=1).items[0]
    mark = next(iter(backend.app_gallery().faces.list("faces").items)).external_image_id or ""
    ids = backend.app_gallery().faces.add_embeddings("faces", vectors.astype(np.float32), [mark] * len(vectors))
    for start in range(0, len(ids), 1000):
        backend.catalog.put(
            *(
                FaceRecord(face_id, None, own.image_path, own.timestamp, own.box, 90.0, group_id=f"g-{number // 4}")
                for number, face_id in enumerate(ids[start : start + 1000], start)
            )
        )


def _variant(image: bytes, number: int) -> bytes:
    """Return the photo as another one, with a slightly different face."""
    file = io.BytesIO()
    Image.open(io.BytesIO(image)).convert("RGB").save(file, "JPEG", quality=95 - number)
    return file.getvalue()


@contextmanager
def _data_folder(engine: FaceEngine) -> Iterator[EmbeddedBackend]:
    folder = Path(tempfile.mkdtemp())
    backend = EmbeddedBackend(folder, "faces", Policy(), lambda: engine)
    try:
        yield backend
    finally:
        backend.app.close()
        shutil.rmtree(folder)


def _off_centre(box: Box) -> float:
    return float(np.hypot(box.left + box.width / 2 - 0.5, box.top + box.height / 2 - 0.5))


def _seconds(work: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    start = clock()
    work()
    return clock() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    commands.add_parser("quality").add_argument("folder", type=Path)
    of_speed = commands.add_parser("speed")
    of_speed.add_argument("photos", type=Path, nargs="+")
    of_speed.add_argument("--photos", type=int, default=500, dest="count")
    of_speed.add_argument("--faces", type=int, default=100_000)
    arguments = parser.parse_args()
    if arguments.command == "quality":
        quality(arguments.folder)
    else:
        speed(arguments.photos, arguments.count, arguments.faces)


if __name__ == "__main__":
    main()
