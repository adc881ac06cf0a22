"""Rows that leave the database leave the files of the index, too, whoever dies or builds meanwhile."""

from __future__ import annotations

import random
import threading
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mien.gallery import Gallery
from mien.gallery.vector_index import IndexConfig, IndexManager, erasing, files
from tests.gallery.faces import MODEL, embeddings, face, image_id
from tests.gallery.in_memory_source import SMALL, InMemorySource, people

VECTOR_SET = "faces"
CONFIG = replace(SMALL, max_deleted_ratio=1.0)  # nothing is rebuilt because of deleted rows


@pytest.fixture
def source() -> InMemorySource:
    source = InMemorySource()
    source.add(people(300))
    return source


@pytest.fixture
def indexes(tmp_path: Path, source: InMemorySource) -> Iterator[IndexManager]:
    with closing(IndexManager(tmp_path, source, CONFIG)) as indexes:
        indexes.build(VECTOR_SET)
        yield indexes


def segment(folder: Path) -> Path:
    (only,) = files.segments(folder / VECTOR_SET)
    return only


def content(folder: Path, row: int) -> tuple[bytes, bytes]:
    """The vector of a row in its segment's file, and the bytes of its codes."""
    rows = np.fromfile(segment(folder) / "rows", np.int64).tolist()
    position = rows.index(row)
    codes = np.fromfile(segment(folder) / "codes", np.uint8).reshape(-1, 32, 128)
    lanes = np.arange(128).reshape(2, 64).T.ravel().tolist()
    code = codes[position // 128, :, lanes.index(position % 128)].tobytes()
    return np.fromfile(segment(folder) / "vectors", np.int8).reshape(-1, 128)[position].tobytes(), code


def delete(indexes: IndexManager, source: InMemorySource, *rows: int, wait: bool = True) -> None:
    with indexes.deletion(VECTOR_SET, wait=wait) as deleted:
        source.delete(list(rows))
        deleted.extend(rows)


@pytest.mark.parametrize("rows", [(1,), (300,), (64, 65, 128, 129), tuple(range(2, 290))])
def test_a_deleted_row_is_zeros_in_every_file_and_the_others_stay(
    indexes: IndexManager, source: InMemorySource, tmp_path: Path, rows: tuple[int, ...]
) -> None:
    others = [row for row in (1, 2, 63, 127, 130, 291, 300) if row not in rows]
    before = [content(tmp_path, row) for row in others]
    name = segment(tmp_path).name
    delete(indexes, source, *rows)
    assert segment(tmp_path).name == name
    assert [content(tmp_path, row) for row in rows] == [(bytes(128), bytes(32))] * len(rows)
    assert [content(tmp_path, row) for row in others] == before
    assert indexes.stale_sets() == []


@pytest.mark.parametrize("count", [1, 3, 200, 280])
def test_a_segment_with_erased_rows_stays_valid_for_others(
    indexes: IndexManager, source: InMemorySource, tmp_path: Path, count: int
) -> None:
    delete(indexes, source, *random.Random(count).sample(range(1, 301), count))
    files.open_segment(segment(tmp_path), source.identity)
    with closing(IndexManager(tmp_path, source, CONFIG)) as again:
        for probe, (rows, _) in zip(people(20), again.search(VECTOR_SET, people(20), 0.25, 8), strict=True):
            assert rows.tolist() == source.best(probe, 0.25, 8)


def test_checksums_are_carried_along() -> None:
    random_bytes = random.Random(1)
    for length in (1, 7, 128, 5000):
        before = random_bytes.randbytes(length)
        start = random_bytes.randrange(length)
        after = before[:start] + bytes(length - start)
        change = before[start:]
        carried = zlib.crc32(before) ^ erasing._shifted(zlib.crc32(change) ^ zlib.crc32(bytes(len(change))), 0)
        assert carried == zlib.crc32(after)
        tail = random_bytes.randbytes(300)
        moved = erasing._shifted(zlib.crc32(change) ^ zlib.crc32(bytes(len(change))), len(tail))
        assert zlib.crc32(before + tail) ^ moved == zlib.crc32(after + tail)


def test_a_process_that_died_between_database_and_files_is_made_up_for(
    indexes: IndexManager, source: InMemorySource, tmp_path: Path
) -> None:
    (tmp_path / VECTOR_SET / "erasing-by-a-process-that-died").touch()
    source.delete([7, 8])
    assert indexes.stale_sets() == [VECTOR_SET]
    indexes.close()
    with closing(IndexManager(tmp_path, source, CONFIG)) as again:
        again.build(VECTOR_SET)
        assert again.stale_sets() == []
        assert content(tmp_path, 7) == (bytes(128), bytes(32))


def test_rows_deleted_during_a_build_leave_what_it_builds(
    indexes: IndexManager, source: InMemorySource, tmp_path: Path
) -> None:
    lock = tmp_path / VECTOR_SET / files.LOCK
    with files.locked(lock, wait=True):
        delete(indexes, source, 5, wait=False)
        assert indexes.stale_sets() == [VECTOR_SET]
        waiting = threading.Thread(target=delete, args=(indexes, source, 6))
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
    waiting.join()
    assert indexes.stale_sets() == []
    assert sorted(path.name for path in (tmp_path / VECTOR_SET).iterdir()) == ["0-300-300", "lock"]


def test_a_failed_deletion_erases_nothing(indexes: IndexManager, source: InMemorySource, tmp_path: Path) -> None:
    before = content(tmp_path, 9)
    with pytest.raises(KeyError):
        delete(indexes, source, 9, 9000)
    assert content(tmp_path, 9) == before
    assert sorted(path.name for path in (tmp_path / VECTOR_SET).iterdir()) == ["0-300-300", "lock"]


@pytest.mark.parametrize("name", ["rows", "vectors", "codes", "manifest"])
@pytest.mark.parametrize("damage", [b"", b"x"])
def test_a_damaged_segment_is_removed_rather_than_left(
    indexes: IndexManager, source: InMemorySource, tmp_path: Path, name: str, damage: bytes
) -> None:
    (segment(tmp_path) / name).write_bytes(damage)
    delete(indexes, source, 9)
    assert files.segments(tmp_path / VECTOR_SET) == []
    indexes.build(VECTOR_SET)
    assert 9 not in np.fromfile(segment(tmp_path) / "rows", np.int64)


def test_searches_go_on_while_rows_are_erased(indexes: IndexManager, source: InMemorySource) -> None:
    probes = people(4)
    done = threading.Event()

    def search() -> None:
        while not done.is_set():
            indexes.search(VECTOR_SET, probes, -1.5, 400)

    searching = threading.Thread(target=search)
    searching.start()
    try:
        for row in range(100, 160):
            delete(indexes, source, row)
    finally:
        done.set()
        searching.join()
    for probe, (rows, _) in zip(probes, indexes.search(VECTOR_SET, probes, -1.5, None), strict=True):
        assert rows.tolist() == source.best(probe, -1.5, None)


def test_vectors_of_deleted_faces_and_users_are_in_no_file(tmp_path: Path) -> None:
    config = IndexConfig(seal_threshold=64, max_segment=512, max_buffer=400)
    with closing(Gallery(tmp_path, MODEL, index_config=config)) as gallery:
        gallery.collections.create("people")
        gallery.faces.add_embeddings("people", embeddings(100))
        ids = []
        for person in range(70):
            (stored,) = gallery.faces.index("people", [face(person)], image_id=image_id(person))
            gallery.users.create("people", f"user-{person}")
            gallery.users.associate("people", f"user-{person}", [stored.face_id])
            ids.append(stored.face_id)
        gallery.compact("people")
        assert {path.parent.name for path in (tmp_path / "index").glob("*/*-*-*")} == {"face-1", "user-1"}
        (more,) = gallery.faces.index("people", [face(3, photo=1)], image_id=image_id(500))
        gallery.users.associate("people", "user-3", [more.face_id])
        assert gallery.stale_vector_sets() == []
        gallery.users.delete("people", "user-5")
        gallery.faces.delete("people", [ids[5]])
        assert gallery.stale_vector_sets() == []
        vectors = np.concatenate(
            [np.fromfile(path, np.int8).reshape(-1, 128) for path in (tmp_path / "index").glob("*/*/vectors")]
        ).astype(np.float32)
        norms = np.maximum(np.linalg.norm(vectors, axis=1), 1.0)
        assert (vectors @ face(5).embedding / norms).max() < 0.9
        assert (vectors @ face(6).embedding / norms).max() > 0.99
