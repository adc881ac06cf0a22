"""Faces: stored once, listed, deleted; invalid input."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from itertools import count, islice
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike

from mien.domain.errors import FaceNotFound, InvalidInput
from mien.domain.faces import Box
from mien.gallery import Gallery, Refusal
from mien.gallery import image_id as id_of_image
from mien.gallery.collections import CollectionAccess
from mien.gallery.store.rows import CollectionRow
from tests.gallery.faces import embedding, embeddings, face, image_id


def test_the_same_image_is_stored_once(gallery: Gallery) -> None:
    read = [face(1, place=0), face(2, place=1)]
    first = gallery.faces.index("people", read, image_id=image_id(1), external_image_id="x")
    assert gallery.faces.index("people", read, image_id=image_id(1), external_image_id="x") == first
    assert gallery.faces.index("people", read[::-1], image_id=image_id(1), external_image_id="x") == first[::-1]
    assert gallery.collections.describe("people").face_count == 2


def test_another_external_image_id_stores_the_image_again(gallery: Gallery) -> None:
    stored = [
        gallery.faces.index("people", [face(1)], image_id=image_id(1), external_image_id=external)[0]
        for external in ("x", "y", None, "x")
    ]
    assert len({one.face_id for one in stored}) == 3
    assert {one.image_id for one in stored} == {image_id(1)}


def test_indexing_an_image_again_adds_only_its_new_faces(gallery: Gallery) -> None:
    read = [face(1, place=0), face(2, place=1)]
    (first,) = gallery.faces.index("people", read[:1], image_id=image_id(1))
    again = gallery.faces.index("people", read, image_id=image_id(1))
    assert again[0] == first
    assert gallery.collections.describe("people").face_count == 2


def test_a_box_that_moved_by_a_pixel_is_the_same_face(gallery: Gallery) -> None:
    here = replace(face(1), box=Box(0.20, 0.2, 0.3, 0.3))
    (first,) = gallery.faces.index("people", [here], image_id=image_id(1))
    moved = replace(here, box=Box(0.202, 0.199, 0.3, 0.3))
    assert gallery.faces.index("people", [moved], image_id=image_id(1)) == (first,)


def test_two_faces_with_the_same_box_are_both_kept(gallery: Gallery) -> None:
    read = [face(1), face(2)]
    first = gallery.faces.index("people", read, image_id=image_id(1))
    assert len({one.face_id for one in first}) == 2
    assert gallery.faces.index("people", read, image_id=image_id(1)) == first


def test_the_image_id_is_a_function_of_the_content() -> None:
    assert id_of_image(b"photo") == id_of_image(b"photo") != id_of_image(b"other")
    assert uuid.UUID(id_of_image(b"photo")).version == 5


def test_no_faces_store_nothing(gallery: Gallery) -> None:
    assert gallery.faces.index("people", [], image_id=image_id(1)) == ()
    assert gallery.faces.add_embeddings("people", np.empty((0, 128), np.float32)) == ()


@pytest.mark.parametrize("external", ["", "a b", "a/b", "ü", "x" * 256])
def test_invalid_external_image_ids_are_refused(gallery: Gallery, external: str) -> None:
    with pytest.raises(InvalidInput, match="external image id"):
        gallery.faces.index("people", [face(1)], image_id=image_id(1), external_image_id=external)
    with pytest.raises(InvalidInput, match="external image id"):
        gallery.faces.add_embeddings("people", embeddings(1), [external])


@pytest.mark.parametrize("bad", ["", "photo.jpg", image_id(1).upper(), image_id(1)[:-1]])
def test_image_ids_other_than_uuids_are_refused(gallery: Gallery, bad: str) -> None:
    with pytest.raises(InvalidInput, match="UUID"):
        gallery.faces.index("people", [face(1)], image_id=bad)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((1, 128)),
        np.full((1, 128), np.nan),
        np.full((1, 128), 1e300),
        np.ones((1, 128)),
        np.eye(127)[:1],
        np.eye(128)[0],
        [["a"] * 128],
        [[1.0] * 128, [1.0]],
        None,
    ],
)
def test_embeddings_that_are_no_unit_vectors_are_refused(gallery: Gallery, bad: ArrayLike) -> None:
    for call in (gallery.faces.add_embeddings, gallery.search.faces, gallery.search.users):
        with pytest.raises(InvalidInput, match="embeddings"):
            call("people", bad)
    assert gallery.collections.describe("people").face_count == 0


def test_added_embeddings_are_listed_and_deleted_like_indexed_faces(gallery: Gallery) -> None:
    vectors = embeddings(45_000)
    ids = gallery.faces.add_embeddings("people", vectors, [f"p{number % 9000}" for number in range(45_000)])
    assert gallery.collections.describe("people").face_count == len(set(ids)) == 45_000
    some = ids[::5000]
    assert np.array_equal(gallery.faces.embeddings("people", some), vectors[::5000])
    assert {found.face_id for found in gallery.faces.list("people", face_ids=some).items} == set(some)
    assert len(gallery.faces.list("people", external_image_id="p7").items) == 5
    assert gallery.faces.delete("people", ids[:4096]).deleted == ids[:4096]
    assert gallery.collections.describe("people").face_count == 45_000 - 4096


def test_adding_needs_one_external_image_id_per_embedding(gallery: Gallery) -> None:
    with pytest.raises(InvalidInput, match="as many"):
        gallery.faces.add_embeddings("people", embeddings(2), ["x"])
    with pytest.raises(InvalidInput, match="as many"):
        gallery.faces.add_embeddings("people", embeddings(2), [])


def test_a_face_with_an_embedding_of_another_size_is_refused(gallery: Gallery) -> None:
    with pytest.raises(InvalidInput, match="embeddings"):
        gallery.faces.index("people", [replace(face(1), embedding=np.eye(64)[0])], image_id=image_id(1))


def test_listings_skip_unknown_faces_and_embeddings_refuse_them(gallery: Gallery) -> None:
    (stored,) = gallery.faces.index("people", [face(1)], image_id=image_id(1))
    unknown = str(uuid.uuid4())
    assert gallery.faces.list("people", face_ids=[unknown, stored.face_id, "no uuid"]).items == (stored,)
    assert np.array_equal(gallery.faces.embeddings("people", [stored.face_id] * 2), np.stack([embedding(1)] * 2))
    with pytest.raises(FaceNotFound, match=unknown):
        gallery.faces.embeddings("people", [stored.face_id, unknown])


def test_collections_do_not_see_each_others_faces(gallery: Gallery) -> None:
    (stored,) = gallery.faces.index("people", [face(1)], image_id=image_id(1))
    gallery.collections.create("others")
    assert gallery.faces.list("others", face_ids=[stored.face_id]).items == ()
    assert gallery.faces.delete("others", [stored.face_id]).failed == ((stored.face_id, None, Refusal.FACE_NOT_FOUND),)
    assert gallery.search.faces("others", embedding(1)[np.newaxis], threshold=0) == [[]]
    (again,) = gallery.faces.index("others", [face(1)], image_id=image_id(1))
    assert again.face_id != stored.face_id


def test_the_faces_of_others_are_counted_also_after_deletions_and_where_nothing_was_added(gallery: Gallery) -> None:
    assert gallery.faces.count_others("people", "nobody") == 0
    own = [
        gallery.faces.index("people", [face(number)], image_id=image_id(number), external_image_id=name)[0].face_id
        for number, name in enumerate(["nobody", "ann", None, "nobody"])
    ]
    for _ in range(2):
        assert gallery.faces.count_others("people", "nobody") == 2
        assert gallery.faces.count_others("people", "ann") == 3
    gallery.faces.delete("people", own[:2])
    assert gallery.faces.count_others("people", "nobody") == 1
    gallery.faces.index("people", [face(9)], image_id=image_id(9), external_image_id="bea")
    assert gallery.faces.count_others("people", "nobody") == 2


def test_faces_are_counted_in_one_state_while_others_come_and_go(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add(name: str, *numbers: int) -> list[str]:
        stored = [
            gallery.faces.index("people", [face(number)], image_id=image_id(number), external_image_id=name)
            for number in numbers
        ]
        return [one.face_id for (one,) in stored]

    def between(change: Callable[[], object]) -> int:
        """Count while `change` happens after each time that the collection is read."""

        def find_and_change(*arguments: Any) -> CollectionRow:
            found = find(*arguments)
            with monkeypatch.context() as others:
                others.setattr(CollectionAccess, "find", find)
                change()
            return found

        with monkeypatch.context() as patch:
            patch.setattr(CollectionAccess, "find", find_and_change)
            return gallery.faces.count_others("people", "nobody")

    find, numbers = CollectionAccess.find, count(10)
    add("ann", 0, 1, 2)
    here = add("nobody", *islice(numbers, 9))
    assert between(lambda: add("nobody", next(numbers)) and gallery.faces.count_others("people", "nobody")) == 3
    gallery.faces.delete("people", [here.pop()])
    assert between(lambda: gallery.faces.delete("people", [here.pop()])) == 3
    assert gallery.faces.count_others("people", "nobody") == 3
