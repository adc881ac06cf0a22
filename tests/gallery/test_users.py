"""Users: their faces, at most 100, and searches for them."""

from __future__ import annotations

import numpy as np
import pytest

from mien.domain.errors import FaceNotFound, InvalidInput, LimitExceeded, UserExists, UserNotFound
from mien.domain.faces import UserStatus
from mien.gallery import Gallery, Refusal
from tests.gallery.faces import embedding, face, image_id


def _store(gallery: Gallery, person: int, photo: int = 0) -> str:
    (stored,) = gallery.faces.index("people", [face(person, photo)], image_id=image_id(1000 * person + photo))
    return stored.face_id


def test_a_user_is_created_once(gallery: Gallery) -> None:
    gallery.users.create("people", "ann")
    with pytest.raises(UserExists, match="ann"):
        gallery.users.create("people", "ann")
    assert [(user.user_id, user.status) for user in gallery.users.list("people").items] == [("ann", UserStatus.CREATED)]
    assert gallery.collections.describe("people").user_count == 1


@pytest.mark.parametrize("name", ["", "a b", "é", "x" * 129, "a/b"])
def test_invalid_user_ids_are_refused(gallery: Gallery, name: str) -> None:
    with pytest.raises(InvalidInput, match="user id"):
        gallery.users.create("people", name)


def test_errors_name_the_unknown_user(gallery: Gallery) -> None:
    face_id = _store(gallery, 1)
    for call in (
        lambda: gallery.users.delete("people", "ann"),
        lambda: gallery.users.associate("people", "ann", [face_id]),
        lambda: gallery.users.disassociate("people", "ann", [face_id]),
        lambda: gallery.search.similar_users("people", user_id="ann"),
    ):
        with pytest.raises(UserNotFound, match="ann"):
            call()
    assert gallery.faces.list("people", user_id="ann").items == ()


def test_collections_do_not_share_users(gallery: Gallery) -> None:
    gallery.collections.create("others")
    gallery.users.create("people", "ann")
    gallery.users.create("others", "ann")
    gallery.users.associate("people", "ann", [_store(gallery, 1)])
    assert gallery.users.list("others").items[0].status is UserStatus.CREATED
    assert gallery.search.users("others", embedding(1)[np.newaxis], threshold=0) == [[]]


def test_only_faces_after_the_first_must_be_similar_to_the_user(gallery: Gallery) -> None:
    gallery.users.create("people", "ann")
    ann, alike, stranger = _store(gallery, 1), _store(gallery, 1, 1), _store(gallery, 2)
    assert gallery.users.associate("people", "ann", [ann, ann]).associated == (ann,)
    done = gallery.users.associate("people", "ann", [stranger, alike, ann])
    assert done.associated == (alike,)
    assert done.status is UserStatus.ACTIVE
    ((face_id, user_id, confidence, reason),) = done.failed
    assert (face_id, user_id, reason) == (stranger, None, Refusal.LOW_MATCH_CONFIDENCE)
    assert 0 <= (confidence or 0) < 75
    assert gallery.users.associate("people", "ann", [stranger], threshold=0).associated == (stranger,)


def test_a_call_that_exceeds_100_faces_changes_nothing(gallery: Gallery) -> None:
    gallery.users.create("people", "ann")
    ids = gallery.faces.add_embeddings("people", np.stack([embedding(1, photo) for photo in range(102)]))
    gallery.users.associate("people", "ann", ids[:99])
    with pytest.raises(LimitExceeded, match="100"):
        gallery.users.associate("people", "ann", ids[99:101], threshold=0)
    assert len(gallery.faces.list("people", user_id="ann").items) == 99
    assert gallery.users.associate("people", "ann", ids[:100], threshold=0).associated == (ids[99],)


def test_a_face_is_deleted_only_after_it_is_disassociated(gallery: Gallery) -> None:
    gallery.users.create("people", "ann")
    face_id = _store(gallery, 1)
    gallery.users.associate("people", "ann", [face_id])
    refused = gallery.faces.delete("people", [face_id])
    assert refused.failed == ((face_id, "ann", Refusal.ASSOCIATED_TO_AN_EXISTING_USER),)
    assert gallery.users.disassociate("people", "ann", [face_id]).status is UserStatus.CREATED
    assert gallery.faces.delete("people", [face_id]).deleted == (face_id,)


def test_deleting_a_user_keeps_the_faces(gallery: Gallery) -> None:
    gallery.users.create("people", "ann")
    face_id = _store(gallery, 1)
    gallery.users.associate("people", "ann", [face_id])
    gallery.users.delete("people", "ann")
    assert gallery.faces.list("people").items[0].user_id is None
    assert gallery.search.users("people", embedding(1)[np.newaxis], threshold=0) == [[]]
    gallery.users.create("people", "ann")
    assert gallery.users.list("people").items[0].status is UserStatus.CREATED


def test_users_are_compared_by_their_mean_embedding(gallery: Gallery) -> None:
    gallery.users.create("people", "ann")
    gallery.users.create("people", "nobody-yet")
    own = [_store(gallery, 1, photo) for photo in range(4)]
    gallery.users.associate("people", "ann", own)
    mean = np.sum([embedding(1, photo) for photo in range(4)], axis=0)
    ((match,),) = gallery.search.users("people", (mean / np.linalg.norm(mean))[np.newaxis], threshold=99)
    assert match.user.user_id == "ann"
    assert match.similarity > 99.99
    gallery.users.disassociate("people", "ann", own)
    assert gallery.search.users("people", embedding(1)[np.newaxis], threshold=0) == [[]]


def test_similar_users_include_the_faces_own_user_but_not_the_user_itself(gallery: Gallery) -> None:
    for person, name in ((1, "ann"), (2, "bob")):
        gallery.users.create("people", name)
        gallery.users.associate("people", name, [_store(gallery, person)])
    by_face = gallery.search.similar_users("people", face_id=_store(gallery, 1, 0))
    assert [match.user.user_id for match in by_face] == ["ann"]
    by_user = gallery.search.similar_users("people", user_id="ann", threshold=0)
    assert [match.user.user_id for match in by_user] == ["bob"]


def test_similar_users_need_either_a_face_or_a_user(gallery: Gallery) -> None:
    gallery.users.create("people", "ann")
    for terms in ({}, {"user_id": "ann", "face_id": image_id(1)}):
        with pytest.raises(InvalidInput, match="either"):
            gallery.search.similar_users("people", **terms)
    with pytest.raises(FaceNotFound):
        gallery.search.similar_users("people", face_id=image_id(1))
    assert gallery.search.similar_users("people", user_id="ann", threshold=0) == []


def test_faces_and_users_are_searched_for_together_as_apart(gallery: Gallery) -> None:
    probes = np.stack([embedding(1), embedding(2), embedding(3)])
    assert gallery.search.faces_and_users("people", probes, threshold=50, max_users=5) == ([[]] * 3, [[]] * 3)
    for number, user_id in enumerate(("ann", "bea"), start=1):
        gallery.users.create("people", user_id)
        gallery.users.associate("people", user_id, [_store(gallery, number)])
    for threshold, most in ((0, 1), (0, 5), (99, 5)):
        faces, users = gallery.search.faces_and_users("people", probes, threshold=threshold, max_users=most)
        assert faces == gallery.search.faces("people", probes, threshold=threshold)
        assert users == gallery.search.users("people", probes, threshold=threshold, limit=most)
        assert faces[0]
        assert users[0]
