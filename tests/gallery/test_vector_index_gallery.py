"""The gallery and its vector indexes: pairs, models, and ten thousand collections in one folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from mien.gallery import Gallery
from mien.gallery.store.database import Database
from mien.gallery.store.rows import new_face_ids
from mien.gallery.store.schema import first_row
from tests.gallery.in_memory_source import people

COLLECTIONS, FACES, SEARCHED = 10_000, 12, 20
MODEL = "model-1"


def test_each_similar_pair_is_yielded_once(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path, MODEL)
    gallery.collections.create("faces")
    vectors = people(30, photos=2)
    ids = gallery.faces.add_embeddings("faces", vectors)
    pairs = list(gallery.search.similar_pairs("faces", 90))
    gallery.close()
    assert all(score >= 90 for *_, score in pairs)
    assert {(one.face_id, other.face_id) for one, other, _ in pairs} == set(zip(ids[::2], ids[1::2], strict=True))


def test_each_model_has_its_own_index(tmp_path: Path) -> None:
    for model in ("one", "two"):
        gallery = Gallery(tmp_path, model)
        gallery.collections.create(model)
        (face_id,) = gallery.faces.add_embeddings(model, people(1))
        assert [match.face.face_id for match in gallery.search.faces(model, people(1))[0]] == [face_id]
        gallery.close()


def test_ten_thousand_collections_cost_memory_only_while_they_are_used(tmp_path: Path) -> None:
    vectors = people(FACES * SEARCHED).reshape(SEARCHED, FACES, -1)
    Gallery(tmp_path, MODEL).close()
    with closing(Database(tmp_path / "mien.db")) as database:
        fill(database, vectors)
    before = resident()
    with closing(Gallery(tmp_path, MODEL)) as gallery:
        for key in range(1, COLLECTIONS, COLLECTIONS // SEARCHED):
            own = vectors[key % SEARCHED]
            matches = [found[0] for found in gallery.search.faces(f"c{key}", own, threshold=99)]
            assert [match.face.image_id for match in matches] == [match.face.face_id for match in matches]
            assert len({match.face.face_id for match in matches}) == FACES
            assert all(match.similarity > 99.9 for match in matches)
        assert resident() - before < COLLECTIONS * FACES * 512 // 2
    assert not (tmp_path / "index").exists()
    (tmp_path / "mien.db").unlink()


def fill(database: Database, vectors: np.ndarray) -> None:
    """Insert all collections in one transaction, with the same few faces repeated."""
    keys = range(1, COLLECTIONS + 1)
    with database.write() as transaction:
        transaction.executemany(
            "INSERT INTO collection (key, collection_id, model_version, created_at, face_count, faces_added) "
            "VALUES (?, ?, ?, 0, ?, ?)",
            ((key, f"c{key}", MODEL, FACES, FACES) for key in keys),
        )
        ids = iter(new_face_ids(COLLECTIONS * FACES))
        transaction.executemany(
            "INSERT INTO face VALUES (?, ?, NULL, NULL, NULL, 0, 0, 1, 1, 100)",
            ((row, next(ids)) for row in rows(keys)),
        )
        stored = (bytes(vector) for key in keys for vector in vectors[key % SEARCHED])
        transaction.executemany("INSERT INTO face_vector VALUES (?, ?)", zip(rows(keys), stored, strict=True))


def rows(keys: range) -> Iterator[int]:
    return (first_row(key) + number for key in keys for number in range(1, FACES + 1))


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")
