"""Several threads and processes on one folder: nothing is stored twice, lost or missed."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pytest

from mien.domain.errors import LimitExceeded
from mien.gallery import Gallery
from mien.gallery.vector_index.files import chain
from tests.gallery.faces import MODEL, Vectors, embedding, embeddings, face, image_id
from tests.gallery.killed_writer import open_small

WORKERS = 4
COMPACTORS, ROUNDS, ADDED, DELETED, PATIENCE = 2, 8, 90, 30, 120


@pytest.fixture(params=["threads", "processes"])
def workers(request: pytest.FixtureRequest) -> Iterator[Executor]:
    fresh = multiprocessing.get_context("spawn")
    with ThreadPoolExecutor(WORKERS) if request.param == "threads" else ProcessPoolExecutor(WORKERS, fresh) as pool:
        yield pool


def _index_all(folder: Path) -> list[str]:
    with closing(Gallery(folder, MODEL)) as gallery:
        return [
            gallery.faces.index("people", [face(number)], image_id=image_id(number), external_image_id="x")[0].face_id
            for number in range(20)
        ]


def _associate_fifty(folder: Path, start: int) -> int:
    with closing(Gallery(folder, MODEL)) as gallery:
        ids = [found.face_id for found in gallery.faces.list("people").items][start : start + 50]
        try:
            return len(gallery.users.associate("people", "ann", ids, threshold=0).associated)
        except LimitExceeded:
            return 0


def test_images_that_several_index_at_once_are_stored_once(gallery: Gallery, tmp_path: Path, workers: Executor) -> None:
    answers = list(workers.map(_index_all, [tmp_path] * WORKERS))
    assert all(answer == answers[0] for answer in answers)
    assert gallery.collections.describe("people").face_count == 20


def test_a_user_never_gets_more_than_100_faces(gallery: Gallery, tmp_path: Path, workers: Executor) -> None:
    gallery.faces.add_embeddings("people", embeddings(200))
    gallery.users.create("people", "ann")
    taken = workers.map(_associate_fifty, [tmp_path] * WORKERS, range(0, 200, 50))
    assert sorted(taken) == [0, 0, 50, 50]
    assert len(gallery.faces.list("people", user_id="ann").items) == 100


def test_a_search_sees_what_another_process_committed(gallery: Gallery, tmp_path: Path, workers: Executor) -> None:
    probe = embedding(7)[np.newaxis]
    assert gallery.search.faces("people", probe) == [[]]
    face_id = workers.submit(_index_all, tmp_path).result()[7]
    assert [match.face.face_id for match in gallery.search.faces("people", probe)[0]] == [face_id]
    workers.submit(_delete, tmp_path, face_id).result()
    assert gallery.search.faces("people", probe) == [[]]


def _delete(folder: Path, face_id: str) -> None:
    with closing(Gallery(folder, MODEL)) as gallery:
        gallery.faces.delete("people", [face_id])


def test_a_user_is_always_found_while_faces_come_and_go(gallery: Gallery) -> None:
    gallery.users.create("people", "ann")
    ids = gallery.faces.add_embeddings("people", np.stack([embedding(1, photo) for photo in range(20)]))
    gallery.users.associate("people", "ann", ids[:1])

    def change() -> None:
        for face_id in ids[1:]:
            gallery.users.associate("people", "ann", [face_id], threshold=0)

    def search() -> list[int]:
        return [len(gallery.search.users("people", embedding(1)[np.newaxis])[0]) for _ in range(40)]

    assert _together(change, search, search) == [None, [1] * 40, [1] * 40]


def test_searches_are_right_during_additions_and_deletions(gallery: Gallery) -> None:
    (stays,) = gallery.faces.index("people", [face(1)], image_id=image_id(1))
    probes = np.stack([embedding(1), embedding(2)])

    def change() -> None:
        for _ in range(30):
            gallery.faces.delete("people", gallery.faces.add_embeddings("people", np.stack([embedding(2)] * 3)))

    def search() -> list[int]:
        found = [gallery.search.faces("people", probes) for _ in range(60)]
        assert all([match.face.face_id for match in mine] == [stays.face_id] for mine, _ in found)
        return [len(theirs) for _, theirs in found]

    _, counts = _together(change, search)
    assert set(counts) <= {0, 3}
    assert gallery.search.faces("people", probes)[1] == []


def _together(*calls: Callable[[], object]) -> list[object]:
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def _compact_with_others(folder: Path, number: int, together: Barrier) -> None:
    """Add, delete some of what was added, and compact at the same moment as the others, several times."""
    with closing(open_small(folder)) as gallery:
        for turn in range(ROUNDS):
            ids = gallery.faces.add_embeddings("people", embeddings(ADDED, seed=100 * number + turn))
            gallery.faces.delete("people", ids[:DELETED])
            together.wait(PATIENCE)
            gallery.compact("people")


def test_processes_that_compact_at_once_leave_one_gapless_index(gallery: Gallery, tmp_path: Path) -> None:
    fresh = multiprocessing.get_context("spawn")
    together = fresh.Barrier(COMPACTORS)
    processes = [
        fresh.Process(target=_compact_with_others, args=(tmp_path, number, together)) for number in range(COMPACTORS)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * COMPACTORS
    (vector_set,) = (path for path in (tmp_path / "index").iterdir() if path.name.startswith("face"))
    folders = [path.name for path in vector_set.iterdir() if path.is_dir()]
    assert sorted(folders) == sorted(chain(vector_set))
    for number in range(COMPACTORS):
        for turn in range(ROUNDS):
            _only_what_was_kept(tmp_path, embeddings(ADDED, seed=100 * number + turn))
    assert gallery.collections.describe("people").face_count == COMPACTORS * ROUNDS * (ADDED - DELETED)


def _only_what_was_kept(folder: Path, added: Vectors) -> None:
    with closing(open_small(folder)) as gallery:
        found = gallery.search.faces("people", added, threshold=99, limit=1)
    itself = [bool(matches and matches[0].similarity > 99.99) for matches in found]
    assert itself == [False] * DELETED + [True] * (ADDED - DELETED)
