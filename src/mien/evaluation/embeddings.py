"""Photos to embeddings, once: the cache remembers them by the photo's content and the model version.

An interrupted run goes on where it stopped. Where a photo shows several faces, the one nearest the
middle is meant, as in LFW.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mien.domain.errors import ImageError
from mien.domain.faces import Box, Landmarks

DIMENSION = 128
COMMIT_EVERY = 100

Key = bytes
Vector = NDArray[np.float32]
F = TypeVar("F", bound="Face")


class Face(Protocol):
    @property
    def box(self) -> Box: ...
    @property
    def landmarks(self) -> Landmarks: ...
    @property
    def embedding(self) -> Vector: ...


class Engine(Protocol):
    """What evaluation asks of the engine."""

    @property
    def model_version(self) -> str: ...
    def read_many(self, images: Iterable[bytes]) -> Iterator[Sequence[Face] | ImageError]: ...


class EmbeddingCache:
    """SQLite at `path`. A photo without a face is remembered too, as a row of zeros."""

    def __init__(self, path: Path | str, model_version: str) -> None:
        self._model_version = model_version
        self._connection = sqlite3.connect(path)
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS embeddings"
            " (model TEXT, photo BLOB, embedding BLOB NOT NULL, PRIMARY KEY (model, photo)) WITHOUT ROWID"
        )

    def close(self) -> None:
        self._connection.close()

    def known(self) -> dict[Key, Vector]:
        rows = self._connection.execute(
            "SELECT photo, embedding FROM embeddings WHERE model = ?", (self._model_version,)
        )
        return {photo: np.frombuffer(embedding, dtype=np.float32) for photo, embedding in rows}

    def add(self, items: Iterable[tuple[Key, Vector]]) -> None:
        with self._connection:
            self._connection.executemany(
                "INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?)",
                [(self._model_version, key, vector.tobytes()) for key, vector in items],
            )


@dataclass(frozen=True, slots=True)
class Embedded:
    """One row per photo, zeros where no face was found; `keys` are equal for equal files."""

    vectors: Vector
    keys: tuple[Key, ...]

    @property
    def failed(self) -> NDArray[np.int64]:
        """Positions of the photos without a face: the failures to acquire."""
        return np.flatnonzero(~self.vectors.any(axis=1))


def embed(
    engine: Engine,
    paths: Sequence[Path],
    cache: EmbeddingCache,
    progress: Callable[[int], None] = lambda _: None,
) -> Embedded:
    """The embeddings of `paths` in order. `progress` is told how many photos are done."""
    keys = tuple(hashlib.sha256(path.read_bytes()).digest() for path in paths)
    known = cache.known()
    fresh = {key: path for key, path in zip(keys, paths, strict=True) if key not in known}
    done = len(keys) - len(fresh)
    progress(done)
    answers = zip(fresh, engine.read_many(path.read_bytes() for path in fresh.values()), strict=True)
    while some := list(islice(answers, COMMIT_EVERY)):
        found = {key: _central_embedding(faces) for key, faces in some}
        cache.add(found.items())
        known |= found
        done += len(some)
        progress(done)
    return Embedded(np.stack([known[key] for key in keys]), keys)


def _central_embedding(faces: Sequence[Face] | ImageError) -> Vector:
    face = None if isinstance(faces, ImageError) else central(faces)
    return np.zeros(DIMENSION, dtype=np.float32) if face is None else face.embedding


def central(faces: Sequence[F]) -> F | None:
    """The face whose middle is nearest the middle of the photo."""

    def distance(face: Face) -> float:
        box = face.box
        return (box.left + box.width / 2 - 0.5) ** 2 + (box.top + box.height / 2 - 0.5) ** 2

    return min(faces, key=distance, default=None)
