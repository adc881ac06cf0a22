"""What every Recognizer does."""

from __future__ import annotations

import pytest

from mien.backends.aws.recognizer import RekognitionRecognizer
from mien.domain.errors import DamagedImage, NoFace
from mien.domain.faces import Reason
from tests.contract.backends import Ports

ROBERT, VENUS = "Robert De Niro", "Venus_Williams"


def test_detects_every_face_largest_first(ports: Ports, group: bytes, landscape: bytes) -> None:
    faces = ports.recognizer.detect(group)
    assert len(faces) == 3
    assert faces[0].box.area == max(face.box.area for face in faces)
    assert ports.recognizer.detect(landscape) == []


def test_compares_one_to_many(ports: Ports, robert: list[bytes], venus: list[bytes], landscape: bytes) -> None:
    assert ports.recognizer.compare(robert[0], robert[1])[0].similarity > 80
    assert ports.recognizer.compare(robert[0], venus[0])[0].similarity < 80
    assert ports.recognizer.compare(robert[0], landscape) == []
    with pytest.raises(NoFace):
        ports.recognizer.compare(landscape, robert[0])


def test_indexing_twice_gives_the_same_ids(ports: Ports, robert: list[bytes]) -> None:
    first, again = (ports.recognizer.index(robert[0], ROBERT, 1, 80) for _ in range(2))
    assert [f.face_id for f in first.faces] == [f.face_id for f in again.faces]
    ports.recognizer.associate(ROBERT, [first.faces[0].face_id])
    assert ports.recognizer.face_ids(ROBERT) == {first.faces[0].face_id}
    other = ports.recognizer.index(robert[0], VENUS, 1, 80)
    assert other.faces[0].face_id != first.faces[0].face_id


def test_indexing_takes_the_largest_and_says_what_it_left(ports: Ports, group: bytes, landscape: bytes) -> None:
    indexing = ports.recognizer.index(group, ROBERT, 1, 80)
    assert len(indexing.faces) == 1
    assert [reasons for reasons in indexing.rejected if Reason.EXCEEDS_MAX_FACES in reasons]
    assert len(ports.recognizer.index(group, None, 100, 80).faces) == 3
    assert ports.recognizer.index(landscape, ROBERT, 1, 80).faces == ()


def test_indexing_tells_whom_a_face_is_like(ports: Ports, robert: list[bytes], venus: list[bytes]) -> None:
    first = ports.recognizer.index(robert[0], ROBERT, 1, 80).faces[0]
    assert first.face_hits == ()
    assert [hit.face_id for hit in ports.recognizer.index(robert[1], VENUS, 1, 80).faces[0].face_hits] == [
        first.face_id
    ]
    assert ports.recognizer.index(venus[0], VENUS, 1, 80).faces[0].face_hits == ()


def test_search_answers_for_every_face(ports: Ports, robert: list[bytes], group: bytes) -> None:
    face_id = ports.recognizer.index(robert[0], ROBERT, 1, 80).faces[0].face_id
    ports.recognizer.associate(ROBERT, [face_id])
    (probe,) = ports.recognizer.search(robert[1], 80, 5).probes
    assert [hit.face_id for hit in probe.face_hits] == [face_id]
    assert [hit.user_id for hit in probe.user_hits] == [ROBERT]
    strangers = ports.recognizer.search(group, 80, 5).probes
    assert len(strangers) == 3
    assert not any(probe.face_hits or probe.user_hits for probe in strangers)


def test_search_keeps_the_threshold_and_the_limit(ports: Ports, robert: list[bytes]) -> None:
    for photo in robert[1:4]:
        ports.recognizer.index(photo, ROBERT, 1, 80)
    (probe,) = ports.recognizer.search(robert[0], 0, 2).probes
    similarities = [hit.similarity for hit in probe.face_hits]
    assert len(similarities) == 2
    assert similarities == sorted(similarities, reverse=True)
    (strict,) = ports.recognizer.search(robert[0], min(100, similarities[1] + 0.01), 5).probes
    assert all(hit.similarity >= similarities[1] + 0.01 for hit in strict.face_hits)


def test_search_in_an_empty_collection(ports: Ports, robert: list[bytes], landscape: bytes) -> None:
    (probe,) = ports.recognizer.search(robert[0], 80, 5).probes
    assert (probe.face_hits, probe.user_hits) == ((), ())
    assert ports.recognizer.search(landscape, 80, 5).probes == ()


def test_association_leaves_out_who_is_unlike(ports: Ports, robert: list[bytes], venus: list[bytes]) -> None:
    mine = [ports.recognizer.index(photo, ROBERT, 1, 80).faces[0].face_id for photo in robert[:2]]
    stranger = ports.recognizer.index(venus[0], ROBERT, 1, 80).faces[0].face_id
    for _ in range(2):
        assert ports.recognizer.associate(ROBERT, mine) == set(mine)
    assert ports.recognizer.associate(ROBERT, [stranger, "00000000-0000-0000-0000-000000000000"]) == frozenset()


def test_a_face_is_compared_with_what_is_enrolled_now(ports: Ports, robert: list[bytes], venus: list[bytes]) -> None:
    first = ports.recognizer.index(robert[0], ROBERT, 1, 80).faces[0].face_id
    assert ports.recognizer.similar(first, 80) == ()
    second = ports.recognizer.index(robert[1], ROBERT, 1, 80).faces[0].face_id
    ports.recognizer.index(venus[0], VENUS, 1, 80)
    assert [hit.face_id for hit in ports.recognizer.similar(first, 80)] == [second]
    ports.recognizer.delete([first])
    assert ports.recognizer.similar(first, 80) == ()


def test_associated_faces_are_counted(ports: Ports, robert: list[bytes]) -> None:
    assert ports.recognizer.count_associated(ROBERT) == 0
    face_ids = [ports.recognizer.index(photo, ROBERT, 1, 80).faces[0].face_id for photo in robert[:3]]
    ports.recognizer.associate(ROBERT, face_ids[:2])
    assert ports.recognizer.count_associated(ROBERT) == 2


def test_deleted_faces_are_not_found(ports: Ports, robert: list[bytes]) -> None:
    face_id = ports.recognizer.index(robert[0], ROBERT, 1, 80).faces[0].face_id
    ports.recognizer.associate(ROBERT, [face_id])
    assert ports.recognizer.delete([face_id]) == 1
    assert ports.recognizer.delete([face_id]) == 0
    assert ports.recognizer.delete([]) == 0
    (probe,) = ports.recognizer.search(robert[0], 0, 5).probes
    assert probe.face_hits == ()


def test_a_forgotten_user_is_gone(ports: Ports, robert: list[bytes], venus: list[bytes]) -> None:
    face_ids = [ports.recognizer.index(photo, ROBERT, 1, 80).faces[0].face_id for photo in robert[:2]]
    ports.recognizer.associate(ROBERT, face_ids)
    venus_id = ports.recognizer.index(venus[0], VENUS, 1, 80).faces[0].face_id
    ports.recognizer.associate(VENUS, [venus_id])
    for _ in range(2):
        ports.recognizer.forget(ROBERT)
    assert ports.recognizer.face_ids(ROBERT) == frozenset()
    (probe,) = ports.recognizer.search(robert[0], 80, 5).probes
    assert (probe.face_hits, probe.user_hits) == ((), ())
    assert ports.recognizer.face_ids(VENUS) == {venus_id}


def test_a_face_that_was_only_indexed_is_its_users_where_the_recognizer_can_tell(
    ports: Ports, robert: list[bytes]
) -> None:
    face_id = ports.recognizer.index(robert[0], ROBERT, 1, 80).faces[0].face_id
    can_tell = not isinstance(ports.recognizer, RekognitionRecognizer)  # Rekognition lists by association only
    assert ports.recognizer.face_ids(ROBERT) == ({face_id} if can_tell else set())
    ports.recognizer.forget(ROBERT)
    (probe,) = ports.recognizer.search(robert[0], 80, 5).probes
    assert [hit.face_id for hit in probe.face_hits] == ([] if can_tell else [face_id])


def test_refuses_what_is_no_image(ports: Ports, damaged: bytes) -> None:
    with pytest.raises(DamagedImage):
        ports.recognizer.detect(damaged)
