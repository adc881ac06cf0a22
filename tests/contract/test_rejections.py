"""'This is not them', on every backend: a look-alike is told apart, and nobody else."""

from __future__ import annotations

import pytest

from mien.domain.errors import FaceNotFound, NoFace, UserNotFound
from mien.domain.records import FaceRecord, RecognitionStatus
from tests.contract.backends import Ports

UNKNOWN = RecognitionStatus.UNKNOWN


@pytest.fixture
def mistaken(ports: Ports, robert: list[bytes], venus: list[bytes]) -> Ports:
    """Robert's photos answer to Bob, but so do Venus's second and third at a threshold of 0."""
    ports.app.enroll(robert[0], "Bob")
    assert ports.app.recognize(venus[1], 0.0).faces[0].user_id == "Bob"
    return ports


def test_a_rejected_face_is_no_longer_taken_for_the_person(mistaken: Ports, venus: list[bytes]) -> None:
    record = mistaken.app.reject(venus[1], "Bob")
    assert (record.user_id, record.negative) == ("Bob", True)
    assert mistaken.app.recognize(venus[1], 0.0).faces[0].status is UNKNOWN


def test_it_holds_for_other_photos_of_the_look_alike_and_spares_the_person(
    mistaken: Ports, robert: list[bytes], venus: list[bytes]
) -> None:
    mistaken.app.reject(venus[1], "Bob")
    assert mistaken.app.recognize(venus[2], 0.0).faces[0].status is UNKNOWN
    assert [mistaken.app.recognize(photo).faces[0].user_id for photo in robert[1:]] == ["Bob"] * 4


def test_a_rejection_that_is_taken_back_counts_no_more(mistaken: Ports, venus: list[bytes]) -> None:
    record = mistaken.app.reject(venus[1], "Bob")
    assert [r.face_id for r in mistaken.app.rejections("Bob").items] == [record.face_id]
    mistaken.app.undo_rejection(record.face_id)
    assert mistaken.app.recognize(venus[1], 0.0).faces[0].user_id == "Bob"
    assert mistaken.app.rejections("Bob").items == ()
    with pytest.raises(FaceNotFound):
        mistaken.app.undo_rejection(record.face_id)


def test_an_enrolled_face_is_no_rejection(mistaken: Ports) -> None:
    (face,) = mistaken.app.faces(user_id="Bob").items
    with pytest.raises(FaceNotFound):
        mistaken.app.undo_rejection(face.face_id)


def test_it_is_not_listed_among_the_persons_faces_and_is_forgotten_with_them(
    mistaken: Ports, venus: list[bytes]
) -> None:
    mistaken.app.reject(venus[1], "Bob")
    assert len(mistaken.app.faces(user_id="Bob").items) == 1
    assert mistaken.app.forget("Bob").faces == 2
    assert mistaken.app.rejections("Bob").items == ()


def test_unknown_people_and_photos_without_faces(mistaken: Ports, venus: list[bytes], landscape: bytes) -> None:
    with pytest.raises(UserNotFound):
        mistaken.app.reject(venus[1], "Zoe")
    with pytest.raises(NoFace):
        mistaken.app.reject(landscape, "Bob")


def test_rejections_go_with_the_last_photo_of_their_person(mistaken: Ports, venus: list[bytes]) -> None:
    mistaken.app.reject(venus[1], "Bob")
    (face,) = mistaken.app.faces().items
    mistaken.app.delete_face(face.face_id)
    assert mistaken.catalog.find(FaceRecord).items == ()
    assert mistaken.recognizer.list_faces().items == ()
