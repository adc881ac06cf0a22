"""An erasure always ends, is always true, and touches only what is older than itself; on every backend."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mien.domain.errors import AccessDenied, ErasureNotFound, StorageError, UserNotFound
from mien.domain.records import Erasure, ErasureReceipt, NameClaim, Person, Recognition
from tests.contract.backends import Ports

ROBERT, VENUS = "Robert", "Venus"


def leave_intent(ports: Ports, user_id: str) -> Erasure:
    """As a process does that dies right after the request."""
    return ports.app.request_erasure(user_id)


def test_a_receipt_is_kept_without_a_name(ports: Ports, robert: list[bytes]) -> None:
    ports.app.enroll(robert[0], ROBERT)
    report = ports.app.forget(ROBERT)
    receipt = ports.app.erasure(report.erasure_id)
    assert isinstance(receipt, ErasureReceipt)
    assert (receipt.faces, receipt.images, receipt.remaining_stores) == (1, 1, ())
    assert ROBERT not in repr(receipt)
    with pytest.raises(ErasureNotFound):
        ports.app.erasure("none")


def test_who_was_erased_is_found_by_id_and_by_name(ports: Ports, robert: list[bytes], venus: list[bytes]) -> None:
    robert_id = ports.app.enroll(robert[0], name="Robert Élan").user_id or ""
    venus_id = ports.app.enroll(venus[0], name="Venus").user_id or ""
    ports.app.merge(venus_id, robert_id)
    report = ports.app.forget(robert_id)
    for name in ("Robert Élan", "ROBERT e\u0301lan ", robert_id):
        assert set(ports.app.erased_ids(name)) == {robert_id, venus_id}
    assert ports.app.erased_ids("Venus") == ports.app.erased_ids(venus_id) == (venus_id,)
    assert ports.app.erased_ids("Robert") == ports.app.erased_ids("nobody") == ()
    assert not any(text in repr(ports.app.erasure(report.erasure_id)) for text in ("Robert", robert_id))


def test_who_is_being_erased_is_found_by_name_also_after_the_name_is_gone(ports: Ports, robert: list[bytes]) -> None:
    user_id = ports.app.enroll(robert[0], name="Robert").user_id or ""
    leave_intent(ports, user_id)
    ports.catalog.delete(Person, [user_id])
    assert ports.app.erased_ids("Robert") == (user_id,)
    leave_intent(ports, user_id)
    ports.app.resume_erasures()
    assert ports.app.pending_erasures() == []
    assert ports.app.erased_ids("Robert") == (user_id,)


def test_two_receipts_do_not_tell_that_they_are_of_one_name(ports: Ports, robert: list[bytes]) -> None:
    sealed = []
    for _ in range(2):
        user_id = ports.app.enroll(robert[0], name="Robert").user_id or ""
        receipt = ports.app.erasure(ports.app.forget(user_id).erasure_id)
        sealed.append(receipt.sealed_ids)
    assert sealed[0] != sealed[1]
    assert len(ports.app.erased_ids("Robert")) == 2


def test_a_damaged_receipt_leads_to_nobody(ports: Ports, robert: list[bytes]) -> None:
    receipt = ports.app.erasure(ports.app.forget(ports.app.enroll(robert[0], ROBERT).user_id or "").erasure_id)
    assert isinstance(receipt, ErasureReceipt)
    ports.catalog.put(replace(receipt, sealed_ids=("not hexadecimal", "00ff", *receipt.sealed_ids)))
    assert ports.app.erased_ids("robert") == (ROBERT,)


def test_an_erasure_that_is_stuck_is_told_by_its_id(ports: Ports, robert: list[bytes]) -> None:
    ports.app.enroll(robert[0], ROBERT)
    intent = leave_intent(ports, ROBERT)
    assert ports.app.warnings() == []  # it may be going on
    ports.catalog.put(replace(intent, timestamp=intent.timestamp - timedelta(hours=1)))
    (warning,) = ports.app.warnings()
    assert str(intent.erasure_id) in warning.message
    assert (warning.code, warning.parameters["ids"]) == ("erasures_unfinished", intent.erasure_id)
    assert ROBERT not in repr(warning)
    ports.app.resume_erasures()
    assert ports.app.warnings() == []


def test_a_request_has_an_id_before_it_is_done(ports: Ports, robert: list[bytes]) -> None:
    ports.app.enroll(robert[0], ROBERT)
    intent = ports.app.request_erasure(ROBERT)
    assert intent.erasure_id
    assert ports.app.erasure(intent.erasure_id) == intent
    assert ports.app.pending_erasures() == [intent]
    assert ports.app.request_erasure(ROBERT).erasure_id == intent.erasure_id
    ports.app.finish_erasure(intent)
    assert ports.app.pending_erasures() == []
    assert isinstance(ports.app.erasure(intent.erasure_id), ErasureReceipt)


def test_whoever_is_enrolled_anew_outlives_the_old_request(
    ports: Ports, robert: list[bytes], venus: list[bytes]
) -> None:
    old = ports.app.enroll(robert[0], ROBERT)
    ports.app.recognize(robert[1])
    leave_intent(ports, ROBERT)
    time.sleep(1.1)  # S3 tells times in whole seconds
    new = ports.app.enroll(robert[2], ROBERT)
    ports.app.enroll(venus[0], VENUS)
    ports.app.resume_erasures()
    assert [face.image_path for face in ports.app.faces(user_id=ROBERT).items] == [new.image_path]
    assert list(ports.bucket.keys("uploaded/Robert/")) == [new.image_path] != [old.image_path]
    assert ports.app.recognitions(user_id=ROBERT).items == ()
    assert ports.app.recognize(robert[1]).faces[0].user_id == ROBERT
    assert ports.app.person(VENUS)
    assert ports.app.pending_erasures() == []


def test_the_same_photo_may_be_enrolled_right_after_a_request(ports: Ports, robert: list[bytes]) -> None:
    ports.app.enroll(robert[0], ROBERT)
    leave_intent(ports, ROBERT)
    ports.app.enroll(robert[0], ROBERT)
    assert ports.app.resume_erasures() == []
    assert ports.app.recognize(robert[1]).faces[0].user_id == ROBERT


def test_what_a_hand_puts_into_the_folder_after_a_request_stays(ports: Ports, robert: list[bytes]) -> None:
    ports.app.enroll(robert[0], ROBERT)
    leave_intent(ports, ROBERT)
    time.sleep(1.1)
    ports.bucket.put("uploaded/Robert/new.jpg", robert[1], "image/jpeg", {})
    ports.run_events()
    ports.app.resume_erasures()
    assert list(ports.bucket.keys("uploaded/Robert/")) == ["uploaded/Robert/new.jpg"]
    assert [face.image_path for face in ports.app.faces(user_id=ROBERT).items] == ["uploaded/Robert/new.jpg"]
    assert ports.app.person(ROBERT)


def test_an_intent_of_an_earlier_version_is_finished(ports: Ports, robert: list[bytes]) -> None:
    ports.app.enroll(robert[0], ROBERT)
    time.sleep(1.1)
    ports.catalog.put(Erasure(ROBERT, datetime.now(UTC)))
    (report,) = ports.app.resume_erasures()
    assert report.remaining_stores == ports.app.verify_erased(ROBERT) == ()


def test_one_stuck_erasure_holds_up_nobody(
    ports: Ports, robert: list[bytes], venus: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, photos in ((ROBERT, robert), (VENUS, venus)):
        ports.app.enroll(photos[0], name)
        leave_intent(ports, name)
    time.sleep(1.1)
    plain = ports.bucket.delete_folder

    def stuck(prefix: str) -> int:
        if ROBERT in prefix:
            raise StorageError("It does not work.")
        return plain(prefix)

    monkeypatch.setattr(ports.bucket, "delete_folder", stuck)
    assert [report.user_id for report in ports.app.resume_erasures()] == [VENUS]
    assert ports.app.verify_erased(VENUS) == ()
    assert [intent.user_id for intent in ports.app.pending_erasures()] == [ROBERT]
    assert ports.app.resume_erasures() == []  # not at once again
    monkeypatch.undo()
    assert ROBERT not in repr(vars(ports.app._erasure)["_failures"])
    assert ports.app.forget(ROBERT).remaining_stores == ()
    assert ports.app.resume_erasures() == []
    assert ports.app._erasure._failures == {}


def test_many_ask_to_forget_one_person_at_once(ports: Ports, robert: list[bytes]) -> None:
    for photo in robert[:3]:
        ports.app.enroll(photo, ROBERT)

    def forget(_: int) -> bool:
        try:
            return ports.app.forget(ROBERT).remaining_stores == ()
        except UserNotFound:
            return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(forget, range(8)))
    assert ports.app.verify_erased(ROBERT) == ()
    assert ports.app.pending_erasures() == []


@pytest.mark.parametrize("method", ["search", "threshold"])
def test_a_recognition_of_somebody_who_is_forgotten_meanwhile_is_not_kept(
    ports: Ports, robert: list[bytes], monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    ports.app.enroll(robert[0], ROBERT)
    plain = getattr(ports.recognizer, method)

    def interrupted(*arguments: object) -> object:
        done = plain(*arguments)
        ports.app.forget(ROBERT)
        return done

    monkeypatch.setattr(ports.recognizer, method, interrupted)
    ports.app.recognize(robert[1])
    assert ports.app.verify_erased(ROBERT) == ()
    assert all(ROBERT not in answer.user_ids for answer in ports.catalog.find(Recognition).items)


def test_a_recognition_of_somebody_who_is_known_is_kept(ports: Ports, robert: list[bytes]) -> None:
    ports.app.enroll(robert[0], ROBERT)
    answer = ports.app.recognize(robert[1])
    assert ports.app.recognition(answer.recognition_id) == answer


def test_a_form_ends_with_the_person(ports: Ports, robert: list[bytes]) -> None:
    ports.app.enroll(robert[0], ROBERT)
    ports.run_events()
    before = datetime.now(UTC)
    path = ports.app.presign_upload("image/jpeg", ROBERT).image_path
    ports.app.forget(ROBERT)
    with pytest.raises(AccessDenied):
        ports.app.receive(path, robert[1], before)
    assert ports.app.verify_erased(ROBERT) == ()
    ports.app.receive(path, robert[1], datetime.now(UTC) + timedelta(seconds=1))
    ports.run_events()
    assert ports.app.person(ROBERT)


def test_forms_of_others_go_on(ports: Ports, robert: list[bytes], venus: list[bytes]) -> None:
    ports.app.enroll(robert[0], ROBERT)
    before = datetime.now(UTC)
    path = ports.app.presign_upload("image/jpeg", VENUS).image_path
    ports.app.forget(ROBERT)
    ports.app.receive(path, venus[0], before)
    assert ports.bucket.get(path).body == venus[0]


def test_an_erasure_goes_step_by_step(ports: Ports, robert: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mien.app.personal_data.STEP", 2)
    for photo in robert:
        ports.app.enroll(photo, ROBERT)
        ports.app.recognize(photo)
    report = ports.app.forget(ROBERT)
    assert (report.faces, report.images, report.uploads, report.recognitions) == (5, 5, 5, 5)
    assert report.remaining_stores == ports.app.verify_erased(ROBERT) == ()


def test_a_photo_that_is_younger_than_the_request_begins_a_person_anew(ports: Ports, robert: list[bytes]) -> None:
    ports.app.enroll(robert[0], ROBERT)
    ports.app.enroll(robert[1], "Bob")
    ports.app.rename(ROBERT, "Rob")
    ports.app.merge("Bob", ROBERT)
    leave_intent(ports, ROBERT)
    time.sleep(1.1)  # S3 tells times in whole seconds
    ports.bucket.put("uploaded/Robert/new.jpg", robert[2], "image/jpeg", {})
    ports.app.resume_erasures()
    ports.app.index_upload("uploaded/Robert/new.jpg")
    assert [(person.user_id, person.name, person.merged) for person in ports.catalog.find(Person).items] == [
        (ROBERT, ROBERT, ())
    ]
    assert [claim.user_id for claim in ports.catalog.find(NameClaim).items] == [ROBERT]


def test_the_path_of_a_photo_in_an_answer_that_names_nobody_goes_too(ports: Ports, robert: list[bytes]) -> None:
    path = ports.app.upload(robert[0], ROBERT).image_path
    for _ in range(2):  # before the photo is indexed
        assert ports.app.recognize_stored(path).faces[0].candidates == ()
    ports.app.index_upload(path)
    assert ports.app.forget(ROBERT).recognitions == 2
    assert ports.catalog.find(Recognition).items == ()
    assert ports.app.verify_erased(ROBERT) == ()


def test_an_answer_about_a_photo_goes_with_a_person_whose_name_is_its_folder(ports: Ports, robert: list[bytes]) -> None:
    ports.app.enroll(robert[0], ROBERT)
    ports.app.rename(ROBERT, "Rob")
    ports.bucket.put("uploaded/Rob/1.jpg", b"no photo", "image/jpeg", {})
    ports.bucket.put("uploaded/Rob/2.jpg", robert[1], "image/jpeg", {})
    ports.app.index_upload("uploaded/Rob/2.jpg")
    ports.app.recognize_stored("uploaded/Rob/2.jpg")
    ports.app.forget(ROBERT)
    for text in (ROBERT, "Rob"):
        assert ports.app.verify_erased(text) == ()
