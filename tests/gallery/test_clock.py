"""A clock that goes back an hour with every reading: nothing is ordered by it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from mien.gallery import Gallery
from tests.gallery.faces import embeddings, face, image_id
from tests.gallery.killed_writer import open_small

HOUR, NOW = 3600, 1_800_000_000


@pytest.fixture(autouse=True)
def backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    hours = count()
    clock = SimpleNamespace(
        time=lambda: float(NOW - HOUR * next(hours)), time_ns=lambda: (NOW - HOUR * next(hours)) * 1_000_000_000
    )
    monkeypatch.setattr("mien.gallery.store.rows.time", clock)
    monkeypatch.setattr("mien.gallery.collections.time", clock)


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    with closing(open_small(tmp_path)) as opened:
        opened.collections.create("people")
        yield opened


def test_faces_are_listed_in_the_order_of_addition(gallery: Gallery) -> None:
    added = [face_id for seed in range(4) for face_id in gallery.faces.add_embeddings("people", embeddings(5, seed))]
    assert added[:5] > added[5:10] > added[10:15] > added[15:]
    listed, token = [], None
    while len(listed) < len(added):
        page = gallery.faces.list("people", limit=3, token=token)
        listed += [found.face_id for found in page.items]
        token = page.next_token
    assert listed == added
    assert token is None


def test_an_image_is_stored_once(gallery: Gallery) -> None:
    (first,) = gallery.faces.index("people", [face(1)], image_id=image_id(1))
    gallery.faces.add_embeddings("people", embeddings(3))
    assert gallery.faces.index("people", [face(1)], image_id=image_id(1)) == (first,)


def test_collections_are_listed_in_the_order_of_creation(gallery: Gallery) -> None:
    for name in "zebra", "ant":
        gallery.collections.create(name)
    made = gallery.collections.list().items
    assert [collection.collection_id for collection in made] == ["people", "zebra", "ant"]
    assert made[0].created_at > made[1].created_at > made[2].created_at


def test_searches_are_right_before_and_after_compaction(gallery: Gallery) -> None:
    gone: set[str] = set()
    for seed in range(6):
        vectors = embeddings(80, seed)
        ids = gallery.faces.add_embeddings("people", vectors)
        for _ in range(2):
            found = gallery.search.faces("people", vectors, threshold=80)
            assert [matches[0].face.face_id for matches in found] == list(ids)
            assert not gone & {match.face.face_id for matches in found for match in matches}
            gallery.compact("people")
        gallery.faces.delete("people", ids[:40])
        gone |= set(ids[:40])
