"""Embed photos once: a cache keeps embeddings by the photo's content and the model version.

An interrupted run continues where it stopped. Of several faces in a photo the one nearest the middle counts, as in LFW.
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
from mien.domain.faces import EMBEDDING_DIMENSION, Box, Landmarks

COMMIT_BATCH = 100

PhotoDigest = bytes
Vector = NDArray[np.float32]
F = TypeVar("F", bound="EmbeddedFace")


class EmbeddedFace(Protocol):
    """What evaluation needs of a face; see `mien.engine.Face`."""

    @property
    def box(self) -> Box: ...
    @property
    def landmarks(self) -> Landmarks: ...
    @property
    def embedding(self) -> Vector: ...


class EmbeddingEngine(Protocol):
    """What evaluation needs of an engine; see `mien.engine.FaceEngine`."""

    @property
    def model_version(self) -> str: ...
    def read_many(self, images: Iterable[bytes]) -> Iterator[Sequence[EmbeddedFace] | ImageError]: ...


class EmbeddingCache:
    """Embeddings of photos in an SQLite file; a photo without a face has a row of zeros.

    Args:
        path: the file, or ":memory:".
        model_version: the engine's; embeddings of other versions are ignored.
    """

    def __init__(self, path: Path | str, model_version: str) -> None:
        self._model_version = model_version
        self._connection = sqlite3.connect(path)
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS embeddings"
            " (model TEXT, photo BLOB, embedding BLOB NOT NULL, PRIMARY KEY (model, photo)) WITHOUT ROWID"
        )

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def load(self) -> dict[PhotoDigest, Vector]:
        """Return all embeddings of this model version, by the SHA-256 of the photo."""
        rows = self._connection.execute(
            "SELECT photo, embedding FROM embeddings WHERE model = ?", (self._model_version,)
        )
        return {photo: np.frombuffer(embedding, dtype=np.float32) for photo, embedding in rows}

    def add(self, items: Iterable[tuple[PhotoDigest, Vector]]) -> None:
        """Store embeddings in one transaction."""
        with self._connection:
            self._connection.executemany(
                "INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?)",
                [(self._model_version, digest, vector.tobytes()) for digest, vector in items],
            )


@dataclass(frozen=True, slots=True)
class EmbeddedPhotos:
    """Embeddings of a list of photos, in its order.

    Attributes:
        vectors: (n, 128), float32, unit length; zeros where no face was detected.
        digests: SHA-256 of each file.
    """

    vectors: Vector
    digests: tuple[PhotoDigest, ...]

    @property
    def failures(self) -> NDArray[np.int64]:
        """Positions of the photos without a face: the failures to acquire."""
        return np.flatnonzero(~self.vectors.any(axis=1))


def embed_photos(
    engine: EmbeddingEngine,
    paths: Sequence[Path],
    cache: EmbeddingCache,
    progress: Callable[[int], None] = lambda _: None,
) -> EmbeddedPhotos:
    """Embed the central face of each photo, from the cache as far as possible.

    Args:
        engine: detects and embeds faces.
        paths: image files.
        cache: holds known embeddings and takes new ones.
        progress: is called with the number of photos that are done.
    """
    digests = tuple(hashlib.sha256(path.read_bytes()).digest() for path in paths)
    known = cache.load()
    missing = {digest: path for digest, path in zip(digests, paths, strict=True) if digest not in known}
    done = len(digests) - len(missing)
    progress(done)
    results = zip(missing, engine.read_many(path.read_bytes() for path in missing.values()), strict=True)
    while batch := list(islice(results, COMMIT_BATCH)):
        embedded = {digest: _central_embedding(faces) for digest, faces in batch}
        cache.add(embedded.items())
        known |= embedded
        done += len(batch)
        progress(done)
    return EmbeddedPhotos(np.stack([known[digest] for digest in digests]), digests)


def _central_embedding(faces: Sequence[EmbeddedFace] | ImageError) -> Vector:
    face = None if isinstance(faces, ImageError) else central_face(faces)
    return np.zeros(EMBEDDING_DIMENSION, dtype=np.float32) if face is None else face.embedding


def central_face(faces: Sequence[F]) -> F | None:
    """Return the face whose centre is nearest the centre of the photo; None without faces."""

    def distance(face: EmbeddedFace) -> float:
        box = face.box
        return (box.left + box.width / 2 - 0.5) ** 2 + (box.top + box.height / 2 - 0.5) ** 2

    return min(faces, key=distance, default=None)
