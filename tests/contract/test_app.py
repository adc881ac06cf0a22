"""The flows of the application, the same on every backend."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from PIL import Image

from mien.domain.errors import (
    EmptyImage,
    FaceNotFound,
    ImageNotFound,
    ImageTooLarge,
    InvalidInput,
    RecognitionNotFound,
    UnsupportedImage,
    UserNotFound,
)
from mien.domain.policy import Policy, SeveralFaces
from mien.domain.records import RecognitionStatus, UploadStatus
from tests.contract.backends import Ports
from tests.support.painter import photo_of, side_by_side

ROBERT, VENUS = "Robert De Niro", "Vénus O'Williams_2"


def codes(remarks: tuple[object, ...]) -> list[str]:
    return [remark.code for remark in remarks]  # type: ignore[attr-defined]


def test_an_upload_is_pending_then_indexed(ports: Ports, robert: list[bytes]) -> None:
    upload = ports.app.upload(robert[0], ROBERT)
    assert upload.status is UploadStatus.PENDING
    assert upload.image_path.startswith(f"uploaded/{ROBERT}/")
    ports.run_events()
    state = ports.app.upload_status(upload.image_path)
    assert state.status is UploadStatus.INDEXED
    assert (state.reasons, state.warnings) == ((), ())
    (face_id,) = state.face_ids
    face = ports.app.face(face_id)
    assert (face.user_id, face.image_path) == (ROBERT, upload.image_path)
    assert ports.app.person(ROBERT).user_id == ROBERT
    assert ports.app.image(upload.image_path).body == robert[0]


def test_the_same_photo_twice_is_one_upload(ports: Ports, robert: list[bytes]) -> None:
    first = ports.app.enroll(robert[0], ROBERT)
    assert ports.app.upload(robert[0], ROBERT) == first
    ports.run_events()
    assert ports.app.index_upload(first.image_path) == first
    assert len(ports.app.faces().items) == 1


def test_a_photo_for_nobody_keeps_all_its_faces_without_a_name(ports: Ports, group: bytes) -> None:
    upload = ports.app.upload(group)
    ports.run_events()
    state = ports.app.upload_status(upload.image_path)
    assert upload.image_path.startswith("uploaded/_/")
    assert len(state.face_ids) == 3
    assert ports.app.people().items == ()
    answer = ports.app.recognize(group)
    assert {face.status for face in answer.faces} == {RecognitionStatus.UNKNOWN}
    assert {c.user_id for face in answer.faces for c in face.candidates} == {None}


def test_a_photo_without_a_face_is_rejected(ports: Ports, landscape: bytes) -> None:
    upload = ports.app.upload(landscape, ROBERT)
    ports.run_events()
    state = ports.app.upload_status(upload.image_path)
    assert state.status is UploadStatus.REJECTED
    assert codes(state.reasons) == ["no_face"]
    assert ports.app.people().items == ()


def test_a_damaged_photo_is_rejected(ports: Ports, damaged: bytes) -> None:
    upload = ports.app.upload(damaged, ROBERT)
    ports.run_events()
    state = ports.app.upload_status(upload.image_path)
    assert state.status is UploadStatus.REJECTED
    assert codes(state.reasons) == ["damaged_image"]


def test_several_faces_enrol_the_largest_and_say_so(ports: Ports, group: bytes) -> None:
    state = ports.app.enroll(group, ROBERT)
    assert len(state.face_ids) == 1
    assert codes(state.warnings) == ["several_faces"]
    assert len(ports.app.faces(user_id=ROBERT).items) == 1


def test_several_faces_are_refused_by_policy(open_ports: Callable[[Policy], Ports], group: bytes) -> None:
    ports = open_ports(Policy(several_faces=SeveralFaces.REFUSE))
    state = ports.app.enroll(group, ROBERT)
    assert state.status is UploadStatus.REJECTED
    assert codes(state.reasons) == ["several_faces"]
    assert ports.app.faces().items == ()
    assert ports.recognizer.face_ids(ROBERT) == frozenset()


def test_the_same_face_under_two_names_is_reported(ports: Ports, robert: list[bytes]) -> None:
    first = ports.app.enroll(robert[0], ROBERT)
    second = ports.app.enroll(robert[1], "Somebody Else")
    assert codes(second.warnings) == ["looks_like_another"]
    assert second.warnings[0].face_id == first.face_ids[0]


def test_two_faces_under_one_name_are_reported(ports: Ports, robert: list[bytes], venus: list[bytes]) -> None:
    ports.app.enroll(robert[0], ROBERT)
    assert codes(ports.app.enroll(venus[0], ROBERT).warnings) == ["unlike_person"]


def test_a_face_that_does_not_count_says_why(
    ports: Ports, robert: list[bytes], venus: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    for photo in robert[:3]:
        ports.app.enroll(photo, ROBERT)
    monkeypatch.setattr(ports.recognizer, "associate", lambda *_: frozenset())
    (unlike,) = ports.app.enroll(robert[3], ROBERT).warnings
    assert (unlike.code, "too unlike" in unlike.message) == ("not_counted", True)
    monkeypatch.setattr(ports.recognizer, "count_associated", lambda _: 100)
    (full,) = ports.app.enroll(robert[4], ROBERT).warnings
    assert (full.code, "100 faces" in full.message) == ("not_counted", True)
    assert codes(ports.app.enroll(venus[0], ROBERT).warnings) == ["unlike_person"]


def test_photos_of_a_person_that_are_indexed_at_once_are_not_called_unlike(
    ports: Ports, robert: list[bytes], venus: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another photo is added between the search for a face and the list of the person's faces."""
    plain, waiting = ports.recognizer.index, [robert[1]]

    def index(*arguments: object) -> object:
        result = plain(*arguments)  # type: ignore[arg-type]
        if waiting:
            ports.app.enroll(waiting.pop(), ROBERT)
        return result

    monkeypatch.setattr(ports.recognizer, "index", index)
    assert codes(ports.app.enroll(robert[0], ROBERT).warnings) == []
    waiting.append(venus[0])
    assert codes(ports.app.enroll(robert[2], ROBERT).warnings) == []


@pytest.mark.parametrize(
    ("image", "error"), [(b"", EmptyImage), (b"hello", UnsupportedImage), (b"\xff\xd8\xff" * 99, ImageTooLarge)]
)
def test_a_file_that_is_no_usable_photo_is_refused_and_not_stored(
    open_ports: Callable[[Policy], Ports], image: bytes, error: type[Exception]
) -> None:
    ports = open_ports(Policy(max_image_bytes=100))
    with pytest.raises(error):
        ports.app.upload(image, ROBERT)
    assert list(ports.bucket.keys("uploaded/")) == []


def test_everybody_on_a_photo_is_recognised(
    ports: Ports, robert: list[bytes], venus: list[bytes], group: bytes
) -> None:
    for photo in robert[:2]:
        ports.app.enroll(photo, ROBERT)
    ports.app.enroll(venus[0], VENUS)
    answer = ports.app.recognize(side_by_side(robert[2], venus[1]))
    assert {face.user_id for face in answer.faces} == {ROBERT, VENUS}
    assert {face.status for face in answer.faces} == {RecognitionStatus.MATCHED}
    for face in answer.faces:
        assert face.similarity == face.candidates[0].similarity
        assert face.candidates[0].image_path in ports.bucket.keys("uploaded/")
    strangers = ports.app.recognize(group).faces
    assert [face.status for face in strangers] == [RecognitionStatus.UNKNOWN] * 3


def test_one_person_is_at_most_once_on_a_photo(ports: Ports, robert: list[bytes]) -> None:
    ports.app.enroll(robert[0], ROBERT)
    answer = ports.app.recognize(side_by_side(robert[1], robert[2]))
    assert [face.user_id for face in answer.faces].count(ROBERT) == 1


def test_a_runner_up_that_is_too_near_makes_it_ambiguous(ports: Ports, robert: list[bytes]) -> None:
    ports.app.enroll(robert[0], "Bob")
    ports.app.enroll(robert[1], "Rob")
    (face,) = ports.app.recognize(robert[0]).faces
    assert face.status is RecognitionStatus.AMBIGUOUS
    assert face.user_id is None
    assert {candidate.user_id for candidate in face.candidates} == {"Bob", "Rob"}


def test_a_threshold_per_request(ports: Ports, robert: list[bytes]) -> None:
    ports.app.enroll(robert[0], ROBERT)
    assert ports.app.recognize(robert[1], threshold=100).faces[0].status is RecognitionStatus.UNKNOWN
    assert ports.app.recognize(robert[1], threshold=50).faces[0].status is RecognitionStatus.MATCHED
    for impossible in (-1, 100.5, float("nan")):
        with pytest.raises(InvalidInput):
            ports.app.recognize(robert[1], threshold=impossible)


def test_a_photo_without_faces_is_answered_and_stored(ports: Ports, landscape: bytes) -> None:
    answer = ports.app.recognize(landscape)
    assert answer.faces == ()
    assert ports.app.recognition(answer.recognition_id) == answer


@pytest.mark.parametrize("last_day", [date.min, date(2000, 2, 29), date.max, datetime(2099, 1, 1, tzinfo=UTC)])
def test_a_day_that_cannot_end_a_consent_is_refused(ports: Ports, robert: list[bytes], last_day: date) -> None:
    ports.app.enroll(robert[0], ROBERT)
    with pytest.raises(InvalidInput):
        ports.app.set_consent(ROBERT, last_day)
    with pytest.raises(InvalidInput):
        ports.app.upload(robert[1], ROBERT, consent_until=last_day)
    assert ports.app.consents([ROBERT]) == {}


def test_recognitions_are_remembered_by_person_and_time(ports: Ports, robert: list[bytes], venus: list[bytes]) -> None:
    ports.app.enroll(robert[0], ROBERT)
    known, unknown = ports.app.recognize(robert[1]), ports.app.recognize(venus[0])
    ports.app.recognize(robert[1], store=False)
    assert ports.app.recognitions().items == (unknown, known)
    assert ports.app.recognitions(user_id=ROBERT).items == (known,)
    assert ports.app.recognitions(since=unknown.timestamp).items == (unknown,)
    assert ports.app.recognitions(since=unknown.timestamp.astimezone(UTC).replace(tzinfo=None)).items == (unknown,)
    with pytest.raises(InvalidInput):
        ports.app.recognitions(since=datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))))
    with pytest.raises(RecognitionNotFound):
        ports.app.recognition("none")


def test_a_photo_of_the_bucket_is_recognised(ports: Ports, robert: list[bytes], group: bytes) -> None:
    upload = ports.app.enroll(robert[0], ROBERT)
    answer = ports.app.recognize_stored(upload.image_path)
    assert answer.image_path == upload.image_path
    assert [face.user_id for face in answer.faces] == [ROBERT]
    strangers = ports.app.upload(group)
    ports.run_events()
    assert all(not f.candidates for f in ports.app.recognize_stored(strangers.image_path).faces)
    with pytest.raises(ImageNotFound):
        ports.app.recognize_stored("uploaded/_/none.jpg")


def test_a_deleted_face_takes_its_photo_along(ports: Ports, robert: list[bytes]) -> None:
    first, second = (ports.app.enroll(photo, ROBERT) for photo in robert[:2])
    ports.app.delete_face(first.face_ids[0])
    with pytest.raises(FaceNotFound):
        ports.app.face(first.face_ids[0])
    with pytest.raises(ImageNotFound):
        ports.app.upload_status(first.image_path)
    assert ports.app.person(ROBERT)
    ports.app.delete_face(second.face_ids[0])
    with pytest.raises(UserNotFound):
        ports.app.person(ROBERT)
    assert ports.app.verify_erased(ROBERT) == ()


def test_the_last_face_but_one_of_a_group_leaves_the_photo(ports: Ports, group: bytes) -> None:
    path = ports.app.upload(group).image_path
    ports.run_events()
    first, *others = ports.app.upload_status(path).face_ids
    ports.app.delete_face(first)
    assert ports.app.image(path).body == group
    for face_id in others:
        ports.app.delete_face(face_id)
    with pytest.raises(ImageNotFound):
        ports.app.image(path)


def test_forgetting_leaves_no_trace(ports: Ports, robert: list[bytes], venus: list[bytes]) -> None:
    for photo in robert[:2]:
        ports.app.enroll(photo, ROBERT)
    kept = ports.app.enroll(venus[0], VENUS)
    strangers = ports.app.upload(robert[3])
    ports.run_events()
    ports.app.recognize_stored(strangers.image_path)
    other = ports.app.recognize(venus[1])
    assert set(ports.app.verify_erased(ROBERT)) > {"bucket", "recognizer", "faces", "recognitions", "people"}

    receipt = ports.app.forget(ROBERT)

    assert (receipt.faces, receipt.images, receipt.uploads, receipt.recognitions) == (3, 3, 3, 1)
    assert receipt.remaining_stores == ports.app.verify_erased(ROBERT) == ()
    assert ports.app.recognize(robert[0], store=False).faces[0].status is RecognitionStatus.UNKNOWN
    assert [p.user_id for p in ports.app.people().items] == [VENUS]
    assert [f.face_id for f in ports.app.faces().items] == list(kept.face_ids)
    assert ports.app.recognitions().items == (other,)
    with pytest.raises(UserNotFound):
        ports.app.forget(ROBERT)


def test_a_forgotten_person_can_be_enrolled_again(ports: Ports, robert: list[bytes]) -> None:
    ports.app.enroll(robert[0], ROBERT)
    ports.app.forget(ROBERT)
    assert ports.app.enroll(robert[0], ROBERT).status is UploadStatus.INDEXED
    assert ports.app.recognize(robert[1]).faces[0].user_id == ROBERT


def test_an_event_for_a_deleted_photo_is_settled(ports: Ports, robert: list[bytes]) -> None:
    upload = ports.app.upload(robert[0], ROBERT)
    ports.bucket.delete([upload.image_path])
    with pytest.raises(ImageNotFound):
        ports.app.index_upload(upload.image_path)
    assert ports.app.verify_erased(ROBERT) == ()


def test_a_replaced_photo_is_indexed_anew(ports: Ports, robert: list[bytes], venus: list[bytes]) -> None:
    path = "uploaded/someone/photo.v2_final.jpg"
    for photo in (robert[0], venus[0]):
        ports.bucket.put(path, photo, "image/jpeg", {})
        state = ports.app.index_upload(path)
    assert [face.face_id for face in ports.app.faces().items] == list(state.face_ids)
    assert ports.app.recognize(robert[1]).faces[0].status is RecognitionStatus.UNKNOWN
    assert ports.app.recognize(venus[1]).faces[0].user_id == "someone"


def test_an_upload_that_was_given_up_says_so_and_is_tried_again(ports: Ports, robert: list[bytes]) -> None:
    path = ports.app.upload(robert[0], "Bob").image_path
    failed = ports.app.mark_failed(path)
    assert failed == ports.app.upload_status(path)
    assert (failed.status, failed.user_id, failed.face_ids) == (UploadStatus.FAILED, "Bob", ())
    assert [reason.code for reason in failed.reasons] == ["indexing_failed"]
    assert ports.app.upload(robert[0], "Bob").status is UploadStatus.PENDING
    ports.run_events()
    indexed = ports.app.upload_status(path)
    assert indexed.status is UploadStatus.INDEXED
    assert ports.app.mark_failed(path) == indexed  # another one succeeded meanwhile
    with pytest.raises(ImageNotFound):
        ports.app.mark_failed("uploaded/Bob/none.jpg")


def test_the_photo_of_a_deleted_object_can_be_uploaded_again(ports: Ports, robert: list[bytes]) -> None:
    path = ports.app.enroll(robert[0], "Bob").image_path
    ports.bucket.delete([path])
    with pytest.raises(ImageNotFound):
        ports.app.index_upload(path)
    assert (ports.app.faces().items, ports.app.people().items) == ((), ())
    again = ports.app.enroll(robert[0], "Bob")
    ports.bucket.delete([path])
    assert ports.app.upload(robert[0], "Bob").status is UploadStatus.PENDING
    ports.run_events()
    assert ports.app.upload_status(path).face_ids == again.face_ids


def test_a_renamed_photo_keeps_its_face(ports: Ports, robert: list[bytes]) -> None:
    old = ports.app.enroll(robert[0], "Bob").image_path
    ports.bucket.delete([old])
    new = "uploaded/Bob/renamed.jpg"
    ports.bucket.put(new, robert[0], "image/jpeg", {})
    renamed = ports.app.index_upload(new)
    with pytest.raises(ImageNotFound):
        ports.app.index_upload(old)
    assert (renamed.status, renamed.warnings) == (UploadStatus.INDEXED, ())
    (face,) = ports.app.faces(user_id="Bob").items
    assert face.image_path == new
    assert ports.app.recognize(robert[1]).faces[0].user_id == "Bob"


def test_forms_are_for_images(ports: Ports) -> None:
    form = ports.app.presign_upload("image/png", ROBERT)
    assert form.image_path.startswith(f"uploaded/{ROBERT}/")
    assert form.image_path.endswith(".png")
    with pytest.raises(InvalidInput):
        ports.app.presign_upload("text/html", ROBERT)


def test_detect_and_compare_store_nothing(ports: Ports, robert: list[bytes], group: bytes) -> None:
    assert len(ports.app.detect(group)) == 3
    assert ports.app.compare(robert[0], robert[1])[0].similarity > 80
    assert ports.app.faces().items == ports.app.recognitions().items == ()


def test_a_face_is_cut_out_of_its_photo(ports: Ports) -> None:
    app = ports.app
    upload = app.enroll(photo_of("Ada", "Grace"), "Ada")
    (face_id,) = upload.face_ids
    small, large = (Image.open(io.BytesIO(app.face_image(face_id, side))) for side in (64, 160))
    assert (small.format, small.size) == ("JPEG", (64, 64))
    assert max(large.size) <= 160
    (seen,) = app.detect(app.face_image(face_id, 640))  # alone, in the middle
    assert abs(seen.box.left + seen.box.width / 2 - 0.5) < 0.1
    with pytest.raises(FaceNotFound):
        app.face_image("nobody", 64)
    app.forget("Ada")
    with pytest.raises(FaceNotFound):
        app.face_image(face_id, 64)
