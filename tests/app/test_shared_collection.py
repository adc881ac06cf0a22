"""Others may keep faces in the application's collection, by the wire API; repairs leave them alone."""

from __future__ import annotations

import numpy as np

from mien.backends.embedded.backend import EmbeddedBackend
from mien.domain import object_keys
from mien.domain.records import FaceRecord

Portraits = dict[str, list[bytes]]


def strangers(machine: EmbeddedBackend, names: list[str | None]) -> tuple[str, ...]:
    vectors = np.eye(len(names), 128, dtype=np.float32)
    return machine.app_gallery().faces.add_embeddings("people", vectors, names)  # type: ignore[arg-type]


def test_faces_of_others_are_counted_and_kept(machine: EmbeddedBackend, portraits: Portraits) -> None:
    mine = machine.app.enroll(portraits["Robert"][0], "Robert")
    another = object_keys.installation_mark("another") + "Robert"
    foreign = strangers(machine, [None, "Robert", "_", another, *["x"] * 20])
    done = machine.app.reconcile(repair=True, force=True, grace=0)
    assert (done.found.faces, done.found.foreign_faces, done.found.removals) == (1, 24, 0)
    assert machine.recognizer.existing([*foreign, *mine.face_ids]) == {*foreign, *mine.face_ids}
    machine.app.forget("Robert")
    assert machine.recognizer.existing([*foreign, *mine.face_ids]) == set(foreign)


def test_only_a_face_with_the_mark_is_removed_without_metadata(machine: EmbeddedBackend, portraits: Portraits) -> None:
    lost = machine.recognizer.index(portraits["Robert"][0], "Robert", 1, 80).faces[0].face_id
    foreign = strangers(machine, ["Robert"])
    assert machine.app.reconcile(repair=True, grace=0).found.faces_without_metadata == 1
    assert machine.recognizer.existing([lost, *foreign]) == set(foreign)


def test_an_old_face_without_the_mark_is_known_by_its_metadata(machine: EmbeddedBackend, portraits: Portraits) -> None:
    upload = machine.app.enroll(portraits["Robert"][0], "Robert")
    with machine.database.write() as transaction:
        transaction.execute("UPDATE face SET external_image_id = 'Robert'")  # as faces of the past have it
    found = machine.app.reconcile(repair=True, grace=0).found
    assert (found.faces, found.foreign_faces, found.removals) == (1, 0, 0)
    machine.app.forget("Robert")
    assert machine.recognizer.existing(upload.face_ids) == frozenset()
    assert machine.catalog.get(FaceRecord, upload.face_ids) == []


def test_the_word_after_a_mark_is_read() -> None:
    for user_id in ("Robert", "Zoë", None, "mien-x"):
        word = object_keys.to_recognizer_id(user_id)
        marked = object_keys.installation_mark("here") + word
        assert object_keys.without_mark(marked) == object_keys.without_mark(word) == word
        assert not word.startswith(object_keys.installation_mark("here"))
