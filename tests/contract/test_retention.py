"""What is over goes, and nothing else, on every backend: stored answers, photos of nobody, people without consent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from mien.app import retention
from mien.app.app import FaceApp
from mien.domain.errors import InvalidInput, RecognitionNotFound, StorageError, UserNotFound
from mien.domain.policy import Policy
from mien.domain.records import (
    Candidate,
    Consent,
    Erasure,
    FaceRecord,
    Recognition,
    RecognitionStatus,
    RecognizedFace,
    Upload,
)
from mien.domain.results import Expiry
from tests.contract.backends import Ports
from tests.contract.test_catalog import BOX

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY, INSTANT = timedelta(days=1), timedelta(microseconds=1)


@dataclass
class Service:
    """An application on the ports under test, on a clock that the test moves."""

    ports: Ports
    policy: Policy
    time: datetime = START
    app: FaceApp = field(init=False)

    def __post_init__(self) -> None:
        ports = self.ports
        self.app = FaceApp(ports.bucket, ports.recognizer, ports.catalog, self.policy, now=lambda: self.time)

    def after(self, passed: timedelta) -> Expiry:
        self.time = START + passed
        return self.app.expire()

    def add(self, path: str, photo: bytes) -> Upload:
        self.ports.bucket.put(path, photo, "image/jpeg", {})
        return self.app.index_upload(path)

    def answers(self) -> list[str]:
        return sorted(each.recognition_id for each in self.ports.catalog.find(Recognition).items)


def named(recognition_id: str, *candidates: str, moment: datetime = START) -> Recognition:
    listed = tuple(Candidate(user_id, 60.0, None, None) for user_id in candidates)
    face = RecognizedFace(BOX, 99.0, RecognitionStatus.UNKNOWN, candidates=listed)
    return Recognition(recognition_id, None, moment, 80.0, (face,))


@pytest.fixture
def start(open_ports: Callable[[Policy], Ports]) -> Callable[..., Service]:
    def start(**days: int) -> Service:
        policy = Policy(**days)  # type: ignore[arg-type]
        return Service(open_ports(policy), policy)

    return start


def test_an_answer_is_kept_for_its_days_to_the_instant(start: Callable[..., Service]) -> None:
    service = start(result_days=3)
    for number in range(3):
        service.ports.catalog.put(named(f"r{number}", "Ada", moment=START + number * INSTANT))
    assert service.after(3 * DAY - INSTANT) == Expiry()
    assert service.after(3 * DAY) == Expiry(recognitions=1)
    assert service.answers() == ["r1", "r2"]
    assert service.after(3 * DAY + 2 * INSTANT) == Expiry(recognitions=2)
    assert service.ports.catalog.find(Recognition, user_id="Ada").items == ()


def test_many_answers_go_in_steps_that_can_be_stopped(
    start: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "STEP", 2)
    service = start(result_days=1)
    for number in range(5):
        service.ports.catalog.put(named(f"r{number}", moment=START))
    service.time += DAY
    asked: list[int] = []

    def stop() -> bool:
        asked.append(len(service.answers()))
        return len(asked) > 1

    stopped = service.app.expire(stop)
    assert stopped == Expiry(recognitions=2)
    assert service.app.expire() == Expiry(recognitions=3)
    assert service.answers() == []


def test_without_a_setting_nothing_is_ever_over(start: Callable[..., Service], robert: list[bytes]) -> None:
    service = start()
    service.add("uploaded/_/visitor.jpg", robert[0])
    service.ports.catalog.put(named("r"))
    assert service.after(10_000 * DAY) == Expiry()
    assert service.answers() == ["r"]


def test_a_clock_that_jumps_back_deletes_nothing_more(start: Callable[..., Service], robert: list[bytes]) -> None:
    service = start(result_days=3, visitor_days=3)
    service.add("uploaded/_/visitor.jpg", robert[0])
    service.ports.catalog.put(named("r"))
    service.app.enroll(robert[1], "Robert")
    service.app.set_consent("Robert", START.date())
    assert service.after(-4000 * DAY) == Expiry()
    assert service.answers() == ["r"]


@pytest.mark.parametrize(
    "path", ["uploaded/_/visitor.jpg", "uploaded/visitor.jpg", "uploaded/_/by hand/on monday/visitor.jpg"]
)
def test_a_photo_of_nobody_goes_with_everything_from_it(
    start: Callable[..., Service], robert: list[bytes], venus: list[bytes], path: str
) -> None:
    service = start(visitor_days=30)
    catalog = service.ports.catalog
    assert len(service.add(path, robert[0]).face_ids) == 1
    kept = service.app.enroll(venus[0], "Venus")
    assert service.after(30 * DAY - INSTANT) == Expiry()
    assert service.after(30 * DAY) == Expiry(photos=1)
    assert list(service.ports.bucket.keys("uploaded/")) == [kept.image_path]
    assert [upload.image_path for upload in catalog.find(Upload).items] == [kept.image_path]
    assert [face.face_id for face in catalog.find(FaceRecord).items] == list(kept.face_ids)
    assert service.app.recognize(robert[1], store=False).faces[0].candidates == ()
    assert service.after(40 * DAY) == Expiry()


def test_a_photo_that_was_refused_or_never_indexed_goes_too(start: Callable[..., Service], landscape: bytes) -> None:
    service = start(visitor_days=30)
    service.add("uploaded/_/refused.jpg", landscape)
    service.app.upload(landscape)
    assert service.after(30 * DAY) == Expiry(photos=2)
    assert list(service.ports.bucket.keys("uploaded/")) == []


def test_a_visitor_whose_copy_is_a_persons_photo_leaves_that_alone(
    start: Callable[..., Service], robert: list[bytes]
) -> None:
    service = start(visitor_days=1)
    service.add("uploaded/_/copy.jpg", robert[0])
    service.add("uploaded/Robert/own.jpg", robert[0])
    assert service.after(DAY) == Expiry(photos=1)
    assert service.app.recognize(robert[1], store=False).faces[0].user_id == "Robert"


def test_a_photo_that_takes_the_place_of_another_has_its_own_days(
    start: Callable[..., Service], robert: list[bytes]
) -> None:
    service = start(visitor_days=30)
    service.add("uploaded/door.jpg", robert[0])
    service.time += 20 * DAY
    service.add("uploaded/door.jpg", robert[1])
    assert service.after(49 * DAY) == Expiry()
    assert service.after(50 * DAY) == Expiry(photos=1)


def test_a_photo_that_cannot_be_deleted_does_not_hold_up_the_others(
    start: Callable[..., Service], robert: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = start(visitor_days=1)
    for name in ("a", "b", "c"):
        service.add(f"uploaded/_/{name}.jpg", robert["abc".index(name)])
    delete = service.ports.bucket.delete

    def stuck(keys: list[str]) -> int:
        if "uploaded/_/b.jpg" in keys:
            raise StorageError("The disk says no.")
        return delete(keys)

    with monkeypatch.context() as patch:
        patch.setattr(service.ports.bucket, "delete", stuck)
        assert service.after(DAY) == Expiry(photos=2, failed=1)
    assert service.after(DAY) == Expiry(photos=1)


def test_an_expiry_that_is_cut_off_goes_on(
    start: Callable[..., Service], robert: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = start(visitor_days=1)
    service.add("uploaded/_/a.jpg", robert[0])

    class PulledPlug(Exception):
        pass

    def pull(*_: object) -> int:
        raise PulledPlug

    for port, name in ((service.ports.bucket, "delete"), (service.ports.recognizer, "delete")):
        with monkeypatch.context() as patch:
            patch.setattr(port, name, pull)
            with pytest.raises(PulledPlug):
                service.after(DAY)
    assert service.after(DAY) == Expiry(photos=1)
    assert service.ports.catalog.find(FaceRecord).items == ()


def test_a_person_is_erased_when_the_consent_has_ended(
    start: Callable[..., Service], robert: list[bytes], venus: list[bytes]
) -> None:
    service = start()
    service.app.enroll(robert[0], "Robert")
    service.app.enroll(venus[0], "Venus")
    service.app.set_consent("Robert", date(2026, 3, 31))
    service.app.recognize(robert[1])
    end = datetime(2026, 4, 1, tzinfo=UTC) - START
    assert service.after(end - INSTANT) == Expiry()
    (receipt,) = service.after(end).receipts
    assert (receipt.user_id, receipt.faces, receipt.images, receipt.recognitions) == ("Robert", 1, 1, 1)
    assert receipt.remaining_stores == ()
    assert service.app.verify_erased("Robert") == ()
    assert [person.user_id for person in service.app.people().items] == ["Venus"]
    assert service.after(end) == Expiry()


def test_a_person_who_is_recognised_while_the_consent_ends_leaves_no_answer(
    start: Callable[..., Service], robert: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = start()
    service.app.enroll(robert[0], "Robert")
    service.app.set_consent("Robert", START.date())
    search = service.ports.recognizer.search

    def search_and_expire(*arguments: Any) -> object:
        probes = search(*arguments)
        assert len(service.after(2 * DAY).receipts) == 1
        return probes

    monkeypatch.setattr(service.ports.recognizer, "search", search_and_expire)
    service.app.recognize(robert[1])
    assert service.app.verify_erased("Robert") == ()
    assert service.app.recognitions(user_id="Robert").items == ()


def test_one_erasure_that_fails_does_not_hold_up_the_others_and_is_finished_later(
    start: Callable[..., Service], robert: list[bytes], venus: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = start()
    for name, photo in (("Robert", robert[0]), ("Venus", venus[0])):
        service.app.enroll(photo, name)
        service.app.set_consent(name, START.date())
    forget = service.ports.recognizer.forget

    def stuck(user_id: str) -> None:
        if user_id == "Venus":
            raise StorageError("The collection says no.")
        forget(user_id)

    with monkeypatch.context() as patch:
        patch.setattr(service.ports.recognizer, "forget", stuck)
        expiry = service.after(2 * DAY)
    assert ([receipt.user_id for receipt in expiry.receipts], expiry.failed) == (["Robert"], 1)
    assert [intent.user_id for intent in service.ports.catalog.find(Erasure).items] == ["Venus"]
    assert [receipt.user_id for receipt in service.app.resume_erasures()] == ["Venus"]
    assert service.app.verify_erased("Venus") == ()
    assert service.after(2 * DAY) == Expiry()


def test_a_consent_that_is_renewed_while_it_expires_holds(
    start: Callable[..., Service], robert: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = start()
    service.app.enroll(robert[0], "Robert")
    service.app.set_consent("Robert", START.date())
    find = service.ports.catalog.find

    def renew(kind: type, **filters: object) -> object:
        page = find(kind, **filters)  # type: ignore[arg-type]
        if kind is Consent:
            service.app.set_consent("Robert", date(2027, 1, 1))
        return page

    monkeypatch.setattr(service.ports.catalog, "find", renew)
    assert service.after(2 * DAY) == Expiry()
    assert service.app.consents(["Robert"]) == {"Robert": date(2027, 1, 1)}


def test_a_consent_comes_with_an_upload_and_ends_with_the_last_photo(
    start: Callable[..., Service], robert: list[bytes]
) -> None:
    service = start()
    upload = service.app.upload(robert[0], "Robert", consent_until=date(2026, 12, 31))
    service.app.index_upload(upload.image_path)
    assert service.app.consents(["Robert", "Venus"]) == {"Robert": date(2026, 12, 31)}
    service.app.upload(robert[1], "Robert")
    assert service.app.consents(["Robert"]) == {"Robert": date(2026, 12, 31)}
    assert service.app.verify_erased("Robert")
    service.app.forget("Robert")
    assert service.app.consents(["Robert"]) == {}
    again = service.app.upload(robert[0], "Robert", consent_until=date(2026, 12, 31))
    service.app.index_upload(again.image_path)
    service.ports.bucket.delete([again.image_path])
    service.app.remove_upload(again.image_path)
    assert service.app.verify_erased("Robert") == ()


def test_a_refused_photo_with_a_consent_goes_with_it(start: Callable[..., Service], landscape: bytes) -> None:
    service = start()
    upload = service.app.upload(landscape, "Robert", consent_until=START.date())
    service.app.index_upload(upload.image_path)
    (receipt,) = service.after(2 * DAY).receipts
    assert receipt.images == 1
    assert service.app.verify_erased("Robert") == ()


def test_a_person_who_moves_to_a_new_name_takes_the_consent_along(
    start: Callable[..., Service], robert: list[bytes], venus: list[bytes]
) -> None:
    service = start()
    first, second = (service.app.enroll(photo, "Bobby") for photo in robert[:2])
    venus_photo = service.app.enroll(venus[0], "Venus")
    service.app.set_consent("Bobby", date(2026, 12, 31))
    service.app.move(first.image_path, "Robert")
    service.app.move(second.image_path, "Robert")
    assert service.app.consents(["Bobby", "Robert"]) == {"Robert": date(2026, 12, 31)}
    service.app.move(venus_photo.image_path, "Robert")
    assert service.app.consents(["Robert"]) == {"Robert": date(2026, 12, 31)}


def test_a_consent_of_a_merged_person_ends_for_all_their_ids_and_one_of_an_alias_for_it_alone(
    start: Callable[..., Service], robert: list[bytes], venus: list[bytes]
) -> None:
    service = start()
    for number, name in enumerate(("Bob", "Bobby", "Robert")):
        service.app.enroll(robert[number], name)
    service.app.set_consent("Bob", date(2026, 4, 1))
    service.app.merge("Bobby", "Robert")
    service.app.set_consent("Bobby", date(2026, 5, 1))
    service.app.merge("Bob", "Robert")
    assert service.app.consents(["Robert"]) == {"Robert": date(2026, 4, 1)}
    assert [receipt.images for receipt in service.after(40 * DAY).receipts] == [1]
    assert [person.user_id for person in service.app.people().items] == ["Robert"]
    assert service.app.consents(["Robert"]) == {"Robert": date(2026, 5, 1)}
    assert [receipt.images for receipt in service.after(70 * DAY).receipts] == [2]
    for name in ("Bob", "Bobby", "Robert"):
        assert service.app.verify_erased(name) == ()
    assert list(service.ports.bucket.keys("uploaded/")) == []


def test_consents_are_set_listed_and_taken_back(start: Callable[..., Service], robert: list[bytes]) -> None:
    service = start()
    names = ["a", "b", "c", "d"]
    for number, name in enumerate(names):
        service.app.enroll(robert[number], name)
        if name != "d":
            service.app.set_consent(name, date(2026, 5, 1 + number))
    listed = service.app.people(consent_before=date(2026, 5, 3))
    assert [person.user_id for person in listed.items] == ["b", "a"]
    page = service.app.people(limit=1, consent_before=date(2026, 5, 3))
    page = service.app.people(limit=1, token=page.next_token, consent_before=date(2026, 5, 3))
    assert ([person.user_id for person in page.items], page.next_token) == (["a"], None)
    service.app.set_consent("a", None)
    assert service.app.consents(names) == {"b": date(2026, 5, 2), "c": date(2026, 5, 3)}


def test_a_consent_that_cannot_be_is_refused(start: Callable[..., Service], robert: list[bytes]) -> None:
    service = start()
    service.app.enroll(robert[0], "Robert")
    for day in (date(2026, 2, 28), date(1970, 1, 1), date.max):
        with pytest.raises(InvalidInput):
            service.app.set_consent("Robert", day)
        with pytest.raises(InvalidInput):
            service.app.upload(robert[1], "Robert", consent_until=day)
    with pytest.raises(InvalidInput):
        service.app.upload(robert[1], consent_until=date(2027, 1, 1))
    with pytest.raises(UserNotFound):
        service.app.set_consent("Venus", date(2027, 1, 1))
    assert service.app.consents(["Robert", "Venus"]) == {}
    assert len(service.app.faces().items) == 1
    assert len(list(service.ports.bucket.keys("uploaded/"))) == 1


def test_answers_that_name_nobody_are_deleted_and_mere_candidates_are_names(start: Callable[..., Service]) -> None:
    service = start()
    face_of_nobody = Candidate(None, 99.0, "face", "uploaded/_/1.jpg")
    face = RecognizedFace(BOX, 99.0, RecognitionStatus.UNKNOWN, candidates=(face_of_nobody,))
    for answer in (
        named("candidate", "Ada"),
        named("nobody"),
        Recognition("no face", None, START, 80.0, ()),
        Recognition("visitor", None, START, 80.0, (face,)),
    ):
        service.ports.catalog.put(answer)
    assert service.app.delete_unnamed_recognitions() == (3, None)
    assert service.answers() == ["candidate"]
    assert service.app.delete_unnamed_recognitions() == (0, None)


def test_unnamed_answers_are_deleted_page_by_page(
    start: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PAGE", 4)
    service = start()
    for number in range(7):
        service.ports.catalog.put(named(f"r{number}", *["Ada"][: number % 2], moment=START + number * INSTANT))
    count, token = service.app.delete_unnamed_recognitions()
    assert (count, token is None) == (2, False)
    assert service.app.delete_unnamed_recognitions(token) == (2, None)
    assert service.answers() == ["r1", "r3", "r5"]


def test_one_answer_is_deleted(start: Callable[..., Service]) -> None:
    service = start()
    for name in ("a", "b"):
        service.ports.catalog.put(named(name, "Ada"))
    service.app.delete_recognition("a")
    assert service.answers() == ["b"]
    with pytest.raises(RecognitionNotFound):
        service.app.delete_recognition("a")
