"""Others may keep faces in the application's collection, by the wire API; repairs leave them alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mien.app.app import FaceApp
from mien.backends.embedded.backend import LOST_FACES, EmbeddedBackend
from mien.domain import object_keys
from mien.domain.records import FaceRecord, RecognitionStatus

Portraits = dict[str, list[bytes]]


def strangers(backend: EmbeddedBackend, names: list[str | None]) -> tuple[str, ...]:
    vectors = np.eye(len(names), 128, dtype=np.float32)
    return backend.app_gallery().faces.add_embeddings("people", vectors, names)  # type: ignore[arg-type]


def test_faces_of_others_are_counted_and_kept(backend: EmbeddedBackend, portraits: Portraits) -> None:
    mine = backend.app.enroll(portraits["Robert"][0], "Robert")
    another = object_keys.installation_mark("another") + "Robert"
    foreign = strangers(backend, [None, "Robert", "_", another, *["x"] * 20])
    done = backend.app.reconcile(repair=True, force=True, grace=0)
    assert (done.found.faces, done.found.foreign_faces, done.found.removals) == (1, 24, 0)
    assert backend.recognizer.existing([*foreign, *mine.face_ids]) == {*foreign, *mine.face_ids}
    backend.app.forget("Robert")
    assert backend.recognizer.existing([*foreign, *mine.face_ids]) == set(foreign)


def test_only_a_face_with_the_mark_is_removed_without_metadata(backend: EmbeddedBackend, portraits: Portraits) -> None:
    lost = backend.recognizer.index(portraits["Robert"][0], "Robert", 1, 80).faces[0].face_id
    foreign = strangers(backend, ["Robert"])
    assert backend.app.reconcile(repair=True, grace=0).found.faces_without_metadata == 1
    assert backend.recognizer.existing([lost, *foreign]) == set(foreign)


def test_an_old_face_without_the_mark_is_known_by_its_metadata(backend: EmbeddedBackend, portraits: Portraits) -> None:
    upload = backend.app.enroll(portraits["Robert"][0], "Robert")
    with backend.database.write() as transaction:
        transaction.execute("UPDATE face SET external_image_id = 'Robert'")  # as faces of the past have it
    found = backend.app.reconcile(repair=True, grace=0).found
    assert (found.faces, found.foreign_faces, found.removals) == (1, 0, 0)
    backend.app.forget("Robert")
    assert backend.recognizer.existing(upload.face_ids) == frozenset()
    assert backend.catalog.get(FaceRecord, upload.face_ids) == []


def test_the_word_after_a_mark_is_read() -> None:
    for user_id in ("Robert", "Zoë", None, "mien-x"):
        word = object_keys.to_recognizer_id(user_id)
        marked = object_keys.installation_mark("here") + word
        assert object_keys.without_mark(marked) == object_keys.without_mark(word) == word
        assert not word.startswith(object_keys.installation_mark("here"))


def test_a_collection_that_others_delete_is_made_again_and_its_photos_are_enrolled_again(
    backend: EmbeddedBackend, portraits: Portraits
) -> None:
    for photo in portraits["Robert"][:2]:
        backend.app.enroll(photo, "Robert")
    backend.app_gallery().collections.delete("people")
    assert backend.app.warnings() == [LOST_FACES]
    unknown = backend.app.recognize(portraits["Robert"][2]).faces[0]
    assert unknown.status is RecognitionStatus.UNKNOWN
    assert backend.app.warnings() == [LOST_FACES]
    assert backend.app.reconcile(repair=True, force=True, grace=0).found.metadata_without_face == 2
    assert backend.app.warnings() == []
    assert backend.app.recognize(portraits["Robert"][2]).faces[0].user_id == "Robert"
    assert len(backend.app.faces().items) == 2


@pytest.mark.parametrize(
    "use",
    [
        lambda app, photo: app.recognize(photo),
        lambda app, photo: app.enroll(photo, "Robert"),
        lambda app, photo: app.compare(photo, photo),
        lambda app, photo: app.inspect(),
        lambda app, photo: app.forget("Robert"),
        lambda app, photo: app.threshold("fpir=0.01"),
        lambda app, photo: app.delete_face(app.faces().items[0].face_id),
    ],
)
def test_every_use_makes_a_deleted_collection_again(
    backend: EmbeddedBackend, portraits: Portraits, use: Callable[[FaceApp, bytes], object]
) -> None:
    backend.app.enroll(portraits["Robert"][0], "Robert")
    backend.app_gallery().collections.delete("people")
    use(backend.app, portraits["Robert"][1])
    assert [collection.collection_id for collection in backend.gallery().collections.list().items] == ["people"]
