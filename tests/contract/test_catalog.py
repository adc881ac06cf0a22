"""What every Catalog does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mien.api.context import MAX_CURSOR_LENGTH, Cursors
from mien.app.ports import Catalog
from mien.backends.serialization import from_item, to_item
from mien.domain import records
from mien.domain.errors import InvalidInput
from mien.domain.faces import Box
from mien.domain.object_keys import MAX_USER_ID_BYTES
from mien.domain.records import (
    Candidate,
    Consent,
    Erasure,
    FaceRecord,
    NameClaim,
    Person,
    R,
    Recognition,
    RecognitionStatus,
    RecognizedFace,
    Record,
    Upload,
    UploadNotice,
    UploadStatus,
)
from mien.security.signing import Signer
from tests.contract.backends import Ports

NOON = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
BOX = Box(0.1, -0.02, 0.333333343267, 0.5)
FACE = FaceRecord("face-1", "Zoë", "uploaded/Zoë/1.jpg", NOON, BOX, 99.87654)
SEEN = RecognizedFace(
    BOX,
    98.5,
    RecognitionStatus.AMBIGUOUS,
    None,
    91.25,
    (Candidate("Zoë", 91.25, "face-1", "uploaded/Zoë/1.jpg"), Candidate("Bob", 90.5, None, None)),
)
RECORDS: list[Record] = [
    FACE,
    FaceRecord("face-2", None, "uploaded/_/2.jpg", NOON, BOX, 0.0),
    Upload("uploaded/Zoë/1.jpg", "Zoë", UploadStatus.PENDING, NOON),
    Upload(
        "uploaded/Zoë/2.jpg",
        "Zoë",
        UploadStatus.REJECTED,
        NOON,
        "d1",
        (),
        (UploadNotice("no_face", "The photo shows no face."),),
    ),
    Upload(
        "uploaded/Zoë/3.jpg",
        "Zoë",
        UploadStatus.INDEXED,
        NOON,
        "d2",
        ("face-1",),
        (),
        (UploadNotice("unlike_person", "Unlike.", "face-2", 12.5),),
    ),
    Person("Zoë", "Zoë K.", NOON),
    Recognition("r-1", None, NOON, 80.0, ()),
    Recognition("r-2", "uploaded/_/2.jpg", NOON, 80.5, (SEEN,)),
    Consent.until("Zoë", NOON.date()),
    Erasure("Zoë", NOON),
]


@pytest.mark.parametrize("record", RECORDS, ids=repr)
def test_gives_back_what_was_put(ports: Ports, record: Record) -> None:
    key = next(iter(getattr(record, name) for name in record.__slots__))
    ports.catalog.put(record)
    assert ports.catalog.get(type(record), [key]) == [record]
    assert list(ports.catalog.find(type(record)).items) == [record]
    assert ports.catalog.delete(type(record), [key, "another"]) == 1
    assert ports.catalog.get(type(record), [key]) == []
    assert ports.catalog.find(type(record)).items == ()


def test_replaces_a_record_of_the_same_key(ports: Ports) -> None:
    for status in UploadStatus:
        ports.catalog.put(Upload("uploaded/a/1.jpg", "a", status, NOON))
    assert [u.status for u in ports.catalog.find(Upload).items] == [status]


def test_gets_in_the_order_asked_for(ports: Ports) -> None:
    for number in range(120):
        ports.catalog.put(Person(str(number), str(number), NOON))
    wanted = [str(number) for number in reversed(range(0, 240, 2))]
    found = ports.catalog.get(Person, wanted)
    assert [person.user_id for person in found] == [name for name in wanted if int(name) < 120]
    assert ports.catalog.get(Person, []) == []


def test_lists_newest_first_in_pages(ports: Ports) -> None:
    for number in range(7):
        ports.catalog.put(Person(f"p{number}", f"p{number}", NOON + timedelta(microseconds=number // 2)))
    names = [person.user_id for person in _all(ports.catalog, Person, limit=2)]
    assert sorted(names) == [f"p{number}" for number in range(7)]
    moments = [person.timestamp for person in _all(ports.catalog, Person, limit=3)]
    assert moments == sorted(moments, reverse=True)


def test_a_full_last_page_has_no_token(ports: Ports) -> None:
    for number in range(4):
        ports.catalog.put(Person(f"p{number}", f"p{number}", NOON))
    assert ports.catalog.find(Person, limit=4).next_token is None


def test_the_longest_cursor_fits_into_its_parameter(ports: Ports) -> None:
    longest_id = "é" * (MAX_USER_ID_BYTES // 2)  # six characters in JSON for each two bytes
    for user_id in (longest_id, longest_id[:-1]):
        ports.catalog.put(Person(user_id, user_id, NOON))
    token = ports.catalog.find(Person, limit=1).next_token
    cursor = Cursors(Signer(b"0123456789abcdef")).sign({"list": "users"}, token)
    assert cursor is not None
    assert 200 < len(cursor) <= MAX_CURSOR_LENGTH


def test_finds_by_user_by_photo_and_by_time(ports: Ports) -> None:
    for number in range(6):
        user, photo = ("even", "odd")[number % 2], f"uploaded/x/{number // 3}.jpg"
        ports.catalog.put(FaceRecord(str(number), user, photo, NOON + timedelta(days=number), BOX, 99.0))
    assert _ids(ports.catalog, user_id="even") == ["4", "2", "0"]
    assert _ids(ports.catalog, image_path="uploaded/x/1.jpg") == ["5", "4", "3"]
    assert _ids(ports.catalog, since=NOON + timedelta(days=4)) == ["5", "4"]
    assert _ids(ports.catalog, user_id="odd", since=NOON + timedelta(days=2)) == ["5", "3"]
    assert _ids(ports.catalog, user_id="od") == []


def test_finds_the_uploads_of_one_content(ports: Ports) -> None:
    for number in range(6):
        path, digest = f"uploaded/a/{number}.jpg", ("one", "two", None)[number % 3]
        moment = NOON + timedelta(seconds=number)
        ports.catalog.put(Upload(path, "a", UploadStatus.INDEXED, moment, digest))
    found = ports.catalog.find(Upload, digest="one", limit=1)
    assert [upload.image_path for upload in found.items] == ["uploaded/a/3.jpg"]
    found = ports.catalog.find(Upload, digest="one", limit=1, token=found.next_token)
    assert [upload.image_path for upload in found.items] == ["uploaded/a/0.jpg"]
    assert found.next_token is None
    ports.catalog.put(Upload("uploaded/a/0.jpg", "a", UploadStatus.INDEXED, NOON, "three"))
    assert [upload.image_path for upload in ports.catalog.find(Upload, digest="one").items] == ["uploaded/a/3.jpg"]
    assert ports.catalog.find(Upload, digest="none").items == ()


def test_finds_what_is_not_later_than_a_time(ports: Ports) -> None:
    for number in range(6):
        moment = NOON + timedelta(days=number)
        ports.catalog.put(FaceRecord(str(number), "ab"[number % 2], "uploaded/x/1.jpg", moment, BOX, 99.0))
    assert _ids(ports.catalog, until=NOON + timedelta(days=2)) == ["2", "1", "0"]
    assert _ids(ports.catalog, until=NOON - timedelta(microseconds=1)) == []
    assert _ids(ports.catalog, since=NOON + timedelta(days=2), until=NOON + timedelta(days=3)) == ["3", "2"]
    assert _ids(ports.catalog, user_id="a", until=NOON + timedelta(days=3)) == ["2", "0"]
    page = ports.catalog.find(FaceRecord, until=NOON + timedelta(days=3), limit=3)
    page = ports.catalog.find(FaceRecord, until=NOON + timedelta(days=3), limit=3, token=page.next_token)
    assert ([face.face_id for face in page.items], page.next_token) == (["0"], None)


def test_finds_the_uploads_of_nobody(ports: Ports) -> None:
    for number in range(5):
        moment, user_id = NOON + timedelta(days=number), ("_", None)[number % 2]
        ports.catalog.put(Upload(f"uploaded/{number}.jpg", user_id, UploadStatus.PENDING, moment))
    assert [u.image_path for u in ports.catalog.find(Upload, of_nobody=True).items] == [
        "uploaded/3.jpg",
        "uploaded/1.jpg",
    ]
    page = ports.catalog.find(Upload, of_nobody=True, until=NOON + timedelta(days=1), limit=1)
    assert ([u.image_path for u in page.items], page.next_token) == (["uploaded/1.jpg"], None)
    assert [u.image_path for u in ports.catalog.find(Upload, user_id="_", limit=1).items] == ["uploaded/4.jpg"]


def test_finds_recognitions_by_everybody_they_name(ports: Ports) -> None:
    ports.catalog.put(Recognition("r-1", None, NOON, 80.0, (SEEN,)))
    ports.catalog.put(Recognition("r-2", None, NOON + timedelta(seconds=1), 80.0, ()))
    for name in ("Zoë", "Bob"):
        assert [r.recognition_id for r in ports.catalog.find(Recognition, user_id=name).items] == ["r-1"]
    ports.catalog.delete(Recognition, ["r-1"])
    assert ports.catalog.find(Recognition, user_id="Bob").items == ()


def test_pages_of_one_persons_recognitions(ports: Ports) -> None:
    for number in range(5):
        ports.catalog.put(Recognition(f"r{number}", None, NOON + timedelta(seconds=number), 80.0, (SEEN,)))
    found = _all(ports.catalog, Recognition, user_id="Bob", limit=2)
    assert [r.recognition_id for r in found] == ["r4", "r3", "r2", "r1", "r0"]


def test_a_page_of_crowds_ends_early_and_the_next_goes_on(ports: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_FACES_PER_PAGE", 9)
    for number, faces in enumerate((3, 3, 3, 3, 10, 9, 1)):
        ports.catalog.put(Recognition(f"r{number}", None, NOON - timedelta(days=number), 80.0, (SEEN,) * faces))
    pages, token = [], None
    while not pages or token:
        page = ports.catalog.find(Recognition, limit=1000, token=token)
        pages.append([recognition.recognition_id for recognition in page.items])
        token = page.next_token
    assert pages == [["r0", "r1", "r2"], ["r3"], ["r4"], ["r5"], ["r6"]]
    named = _all(ports.catalog, Recognition, limit=1000, user_id="Bob")
    assert [recognition.recognition_id for recognition in named] == [each for page in pages for each in page]


def test_refuses_a_foreign_token(ports: Ports) -> None:
    with pytest.raises(InvalidInput):
        ports.catalog.find(Person, token="never made here")


def _all(catalog: Catalog, kind: type[R], limit: int, user_id: str | None = None) -> Iterator[R]:
    token = None
    while True:
        page = catalog.find(kind, user_id=user_id, limit=limit, token=token)
        assert len(page.items) <= limit
        yield from page.items
        token = page.next_token
        if token is None:
            return


def _ids(catalog: Catalog, **by: object) -> list[str]:
    return [face.face_id for face in catalog.find(FaceRecord, **by).items]  # type: ignore[arg-type]


def test_what_goes_goes_with_what_is_stored_or_not_at_all(ports: Ports) -> None:
    catalog = ports.catalog
    ann, claim = Person("ann", "Ann", NOON), NameClaim("k", "ann", NOON)
    catalog.put(ann, claim)
    assert not catalog.put(Person("bea", "Bea", NOON), fresh=[claim], gone=[ann])
    assert [person.user_id for person in catalog.find(Person).items] == ["ann"]
    assert catalog.put(Person("bea", "Bea", NOON), gone=[ann, claim, NameClaim("missing", "ann", NOON)])
    assert [person.user_id for person in catalog.find(Person).items] == ["bea"]
    assert catalog.get(NameClaim, ["k"]) == []
    assert catalog.put(gone=catalog.find(Person).items)
    assert catalog.find(Person).items == ()


def test_counts_the_faces_of_many_at_once_and_knows_the_newest(ports: Ports) -> None:
    for number, user_id in enumerate(["Ada", "Bob", "Ada", None, "Ada"]):
        at = NOON + timedelta(seconds=number)
        ports.catalog.put(FaceRecord(f"face-{number}", user_id, f"uploaded/x/{number}.jpg", at, BOX, 99.0))
    ports.catalog.put(FaceRecord("face-9", "Ada", "rejected/Ada", NOON + timedelta(hours=1), BOX, 99.0, negative=True))
    found = ports.catalog.summarize_faces(["Ada", "Bob", "Eve"])
    assert {user_id: (one.count, one.newest.face_id) for user_id, one in found.items()} == {
        "Ada": (3, "face-4"),
        "Bob": (1, "face-1"),
    }
    assert ports.catalog.summarize_faces([]) == {}


def test_whatever_happens_to_faces_they_are_counted(ports: Ports) -> None:
    catalog = ports.catalog
    faces = [_face(number, "Ada") for number in range(4)]

    def counted() -> dict[str, tuple[int, str]]:
        assert catalog.recount_faces(["Ada", "Bob"], write=False) == []
        found = catalog.summarize_faces(["Ada", "Bob"])
        return {user_id: (one.count, one.newest.face_id) for user_id, one in found.items()}

    catalog.put(*faces[:2])
    catalog.put(fresh=[faces[2]])
    assert not catalog.put(faces[3], fresh=[faces[2]])
    assert counted() == {"Ada": (3, "face-2")}
    catalog.put(faces[0])
    catalog.put(replace(faces[1], image_path="uploaded/copy.jpg"), unchanged=[faces[1]])
    assert not catalog.put(replace(faces[1], user_id="Bob"), unchanged=[faces[1]])
    assert counted() == {"Ada": (3, "face-2")}
    catalog.put(replace(faces[2], user_id="Bob"), unchanged=[faces[2]])
    assert counted() == {"Ada": (2, "face-1"), "Bob": (1, "face-2")}
    catalog.put(replace(faces[0], negative=True))
    assert counted() == {"Ada": (1, "face-1"), "Bob": (1, "face-2")}
    catalog.put(faces[0], faces[3], gone=[faces[2]])
    assert counted() == {"Ada": (3, "face-3")}
    assert catalog.delete(FaceRecord, ["face-3", "face-3", "face-9", "face-0"]) == 2
    assert counted() == {"Ada": (1, "face-1")}
    catalog.delete(FaceRecord, ["face-1"])
    assert counted() == {}
    catalog.put(faces[3])
    assert counted() == {"Ada": (1, "face-3")}


def test_more_faces_than_one_write_takes_are_counted(ports: Ports) -> None:
    for number in range(130):
        ports.catalog.put(_face(number, f"user-{number % 2}"))
    assert ports.catalog.delete(FaceRecord, [f"face-{number}" for number in range(4, 130)]) == 126
    found = ports.catalog.summarize_faces(["user-0", "user-1"])
    assert [(one.count, one.newest.face_id) for one in found.values()] == [(2, "face-2"), (2, "face-3")]
    assert ports.catalog.recount_faces(["user-0", "user-1"], write=False) == []


def _face(number: int, user_id: str) -> FaceRecord:
    at = NOON + timedelta(seconds=number)
    return FaceRecord(f"face-{number}", user_id, f"uploaded/x/{number}.jpg", at, BOX, 99.0)


def test_lists_in_one_order_whatever_the_page(ports: Ports) -> None:
    """Also where many have one timestamp, so that no page repeats or passes over any."""
    for number in range(40):
        moment = NOON + timedelta(days=number // 20)
        ports.catalog.put(Recognition(f"r-{number}", None, moment, 80.0, (SEEN,)))
    whole = [r.recognition_id for r in ports.catalog.find(Recognition, limit=1000).items]
    assert len(set(whole)) == 40
    for limit in (1, 7, 39):
        assert [r.recognition_id for r in _all(ports.catalog, Recognition, limit)] == whole
        assert [r.recognition_id for r in _all(ports.catalog, Recognition, limit, "Bob")] == whole


def test_what_somebody_else_changed_meanwhile_is_not_replaced(ports: Ports) -> None:
    catalog, now = ports.catalog, datetime.now(UTC)
    first = Person("1", "Ann", now, pending=True)
    catalog.put(first)
    second = replace(first, name="Anne", merged=("2",))
    assert catalog.put(second, unchanged=[first])
    for stale in (first, replace(second, merged=()), replace(second, pending=False), Person("none", "none", now)):
        assert not catalog.put(replace(stale, name="Lost"), fresh=[Person("3", "3", now)], unchanged=[stale])
    assert catalog.get(Person, ["1", "3", "none"]) == [second]
    assert catalog.put(replace(second, name="Anna"), fresh=[Person("3", "3", now)], unchanged=[second])
    assert [person.name for person in catalog.get(Person, ["1", "3"])] == ["Anna", "3"]


def test_what_was_replaced_meanwhile_is_not_removed(ports: Ports) -> None:
    catalog, read, now = ports.catalog, NameClaim("ann", "1", NOON), NameClaim("ann", "2", NOON)
    catalog.put(now)
    assert not catalog.put(gone=[read], unchanged=[read])
    assert catalog.get(NameClaim, ["ann"]) == [now]
    assert catalog.put(gone=[now], unchanged=[now])
    assert catalog.get(NameClaim, ["ann"]) == []


def test_a_recognition_that_names_others_now_is_found_by_them_only(ports: Ports) -> None:
    catalog, former = ports.catalog, Recognition("r-1", None, NOON, 80.0, (SEEN,))
    (face,) = former.faces
    candidates = tuple(replace(candidate, user_id="Zoe") for candidate in face.candidates)
    now = replace(former, faces=(replace(face, candidates=candidates),))
    catalog.put(former)
    assert catalog.put(now, gone=[former])
    assert catalog.get(Recognition, ["r-1"]) == [now]
    assert catalog.find(Recognition, user_id="Zoe").items == (now,)
    for user_id in former.user_ids:
        assert catalog.find(Recognition, user_id=user_id).items == ()


def test_a_record_of_a_version_that_lacked_a_number_is_read() -> None:
    item = to_item(Recognition("r-1", None, NOON, 80.0, (SEEN,)))
    del item["FacesLeftOut"]
    assert from_item(Recognition, item) == Recognition("r-1", None, NOON, 80.0, (SEEN,))
