"""Collections: ids, tags, settings, model versions and deletion."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from mien.domain.errors import (
    CollectionExists,
    CollectionNotFound,
    InvalidInput,
    LimitExceeded,
    ModelMismatch,
    StorageError,
)
from mien.gallery import Gallery, collections
from tests.gallery.faces import MODEL, embedding, embeddings, face, image_id


def test_a_new_collection_is_described(gallery: Gallery) -> None:
    made = gallery.collections.create("new", {"team": "door"})
    assert made == gallery.collections.describe("new")
    assert (made.collection_id, made.model_version, made.face_count, made.user_count) == ("new", MODEL, 0, 0)
    assert abs(made.created_at - datetime.now(UTC)) < timedelta(minutes=5)


def test_a_collection_id_is_taken_once(gallery: Gallery) -> None:
    with pytest.raises(CollectionExists, match="people"):
        gallery.collections.create("people")


@pytest.mark.parametrize("name", ["", "a b", "ä", "a" * 256, "a/b", "a\n"])
def test_invalid_collection_ids_are_refused(gallery: Gallery, name: str) -> None:
    with pytest.raises(InvalidInput, match="collection id"):
        gallery.collections.create(name)


def test_errors_name_the_unknown_collection(gallery: Gallery) -> None:
    collections = gallery.collections
    for call in (collections.delete, collections.describe, collections.tags, gallery.faces.list, gallery.users.list):
        with pytest.raises(CollectionNotFound, match="nowhere"):
            call("nowhere")


def test_a_deleted_collection_leaves_nothing_behind(gallery: Gallery, tmp_path: Path) -> None:
    gallery.faces.index("people", [face(1)], image_id=image_id(1))
    gallery.users.create("people", "ann")
    secret = embedding(1).tobytes()[:64]
    gallery.collections.delete("people")
    gallery.collections.create("people")
    assert gallery.collections.describe("people").face_count == 0
    assert gallery.search.faces("people", embedding(1)[np.newaxis], threshold=0) == [[]]
    assert gallery.users.list("people").items == ()
    gallery.close()
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and secret in path.read_bytes()]


def test_an_interrupted_deletion_is_finished_when_the_folder_is_opened(
    gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery.faces.add_embeddings("people", embeddings(30))
    with monkeypatch.context() as patch:
        patch.setattr(collections, "ERASE_STATEMENTS", ("not a statement",))
        with pytest.raises(StorageError):
            gallery.collections.delete("people")
    Gallery(tmp_path, MODEL).close()
    with closing(sqlite3.connect(tmp_path / "mien.db")) as connection:
        counts = connection.execute("SELECT (SELECT count(*) FROM face), (SELECT count(*) FROM dropped)").fetchall()
    assert counts == [(0, 0)]


def test_tags_are_added_replaced_and_removed(gallery: Gallery) -> None:
    gallery.collections.create("tagged", {"a": "1", "b": "2"})
    gallery.collections.tag("tagged", {"b": "3", "c": ""})
    gallery.collections.untag("tagged", ["a", "never there"])
    assert gallery.collections.tags("tagged") == {"b": "3", "c": ""}


def test_tags_have_limits(gallery: Gallery) -> None:
    gallery.collections.create("full", {str(number): "" for number in range(200)})
    with pytest.raises(LimitExceeded, match="200"):
        gallery.collections.tag("full", {"one more": ""})
    for bad in ({"aws:x": ""}, {"": ""}, {"k": "v" * 257}, {"k" * 129: ""}, {"<k>": ""}):
        with pytest.raises(InvalidInput):
            gallery.collections.tag("people", bad)


def test_a_collection_of_another_model_can_be_managed_but_not_searched(gallery: Gallery, tmp_path: Path) -> None:
    (stored,) = gallery.faces.index("people", [face(1)], image_id=image_id(1))
    gallery.users.create("people", "ann")
    other = Gallery(tmp_path, "test-2")
    probes = embedding(1)[np.newaxis]
    for call in (
        lambda: other.faces.index("people", [face(1)], image_id=image_id(1)),
        lambda: other.faces.add_embeddings("people", probes),
        lambda: other.search.faces("people", probes),
        lambda: other.search.users("people", probes),
        lambda: other.search.similar_faces("people", stored.face_id),
        lambda: other.search.similar_users("people", user_id="ann"),
        lambda: other.users.associate("people", "ann", [stored.face_id]),
    ):
        with pytest.raises(ModelMismatch, match="test-1"):
            call()
    assert other.faces.list("people").items == (stored,)
    assert other.faces.delete("people", [stored.face_id]).deleted == (stored.face_id,)
    other.collections.delete("people")
    other.close()


def test_settings_are_kept_and_the_calibration_is_used(gallery: Gallery) -> None:
    assert gallery.collections.settings("people") == {}
    gallery.faces.index("people", [face(1, 1)], image_id=image_id(1))
    probes = embedding(1, 0)[np.newaxis]
    before = gallery.search.faces("people", probes, threshold=0)[0][0].similarity
    settings = {"calibration": {"offset": 0.3, "scale": 1.0, "comparisons": 2000}, "note": "door"}
    gallery.collections.replace_settings("people", settings)
    assert gallery.collections.settings("people") == settings
    assert gallery.search.faces("people", probes, threshold=0)[0][0].similarity < before
