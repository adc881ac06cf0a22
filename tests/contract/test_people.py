"""A person is an id; the name is an attribute: naming, renaming and merging, the same on every backend."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mien.domain.errors import InvalidInput, RecognitionNotFound, UserExists, UserNotFound
from mien.domain.records import (
    Consent,
    FaceRecord,
    NameClaim,
    Person,
    Recognition,
    RecognitionStatus,
    Record,
    UploadStatus,
)
from tests.contract.backends import Ports
from tests.support.painter import photo_of


def who(ports: Ports, photo: bytes) -> tuple[str | None, str | None]:
    (face,) = ports.app.recognize(photo, store=False).faces
    return face.user_id, face.name


def enroll(ports: Ports, photo: bytes, **person: str) -> str:
    upload = ports.app.enroll(photo, **person)
    assert upload.status is UploadStatus.INDEXED
    assert upload.user_id is not None
    return upload.user_id


def test_a_name_gets_an_id_that_does_not_tell_it(ports: Ports, robert: list[bytes]) -> None:
    upload = ports.app.enroll(robert[0], name="  Robert  ")
    user_id = upload.user_id or ""
    assert re.fullmatch("p-[a-z0-9]{16}", user_id)
    assert upload.name == "Robert"
    assert upload.image_path.startswith(f"uploaded/{user_id}/")
    assert enroll(ports, robert[1], name="Robert") == user_id
    assert who(ports, robert[2]) == (user_id, "Robert")
    (face,) = ports.app.recognize(robert[2]).faces
    assert [candidate.name for candidate in face.candidates] == ["Robert"]
    assert {face.name for face in ports.app.faces().items} == {"Robert"}
    assert ports.app.find_person("Robert") == ports.app.find_person(user_id) == ports.app.person(user_id)
    assert ports.app.person(user_id).name == "Robert"


def test_a_given_id_is_kept_and_is_the_name_until_there_is_one(ports: Ports, robert: list[bytes]) -> None:
    assert enroll(ports, robert[0], user_id="bob") == "bob"
    assert ports.app.person("bob").name == "bob"
    enroll(ports, robert[1], user_id="bob", name="Robert")
    assert ports.app.person("bob").name == "Robert"
    enroll(ports, robert[2], user_id="bob", name="Somebody Else")
    assert ports.app.person("bob").name == "Robert"
    assert enroll(ports, robert[3], name="Robert") == "bob"


@pytest.mark.parametrize("name", ["robert", "ROBERT", "Ro\u200bbert", "\u202eRobert", "\uff32obert", "Robert\ufe0f"])
@pytest.mark.parametrize("kind", ["user_id", "name"])
def test_a_lookalike_of_an_id_or_a_name_is_refused(ports: Ports, robert: list[bytes], name: str, kind: str) -> None:
    enroll(ports, robert[0], **{kind: "Robert"})
    for other in ("user_id", "name"):
        with pytest.raises(UserExists):
            ports.app.upload(robert[1], **{other: name})
        with pytest.raises(UserExists):
            ports.app.presign_upload("image/jpeg", **{other: name})
    assert len(ports.app.people().items) == 1
    assert len(list(ports.bucket.keys("uploaded/"))) == 1


@pytest.mark.parametrize("text", ["", "  ", ".", "..", "\u200b", "\u2800", "a\x00b", "\u2024", "x" * 300])
def test_a_name_or_an_id_of_nothing_is_refused(ports: Ports, robert: list[bytes], text: str) -> None:
    for kind in ("user_id", "name"):
        with pytest.raises(InvalidInput):
            ports.app.upload(robert[0], **{kind: text})
    user_id = enroll(ports, robert[0], name="Robert")
    with pytest.raises(InvalidInput):
        ports.app.rename(user_id, text)


def test_a_new_name_shows_in_old_answers_and_moves_nothing(ports: Ports, robert: list[bytes]) -> None:
    user_id = enroll(ports, robert[0], name="Ann")
    seen = ports.app.recognize(robert[1])
    keys = set(ports.bucket.keys("uploaded/"))
    assert ports.app.rename(user_id, "Anne").name == "Anne"
    assert set(ports.bucket.keys("uploaded/")) == keys
    assert who(ports, robert[2]) == (user_id, "Anne")
    (face,) = ports.app.recognition(seen.recognition_id).faces
    assert (face.user_id, face.name, face.candidates[0].name) == (user_id, "Anne", "Anne")
    assert ports.app.recognitions(user_id=user_id).items[0].faces[0].name == "Anne"
    with pytest.raises(UserNotFound):
        ports.app.find_person("Ann")
    assert enroll(ports, robert[3], name="Ann") != user_id  # the name is free again


def test_a_name_may_change_its_case_but_not_be_anothers(ports: Ports, robert: list[bytes], venus: list[bytes]) -> None:
    user_id = enroll(ports, robert[0], name="tom")
    enroll(ports, venus[0], name="Venus")
    assert ports.app.rename(user_id, "Tom").name == "Tom"
    for taken in ("Venus", "venus"):
        with pytest.raises(UserExists):
            ports.app.rename(user_id, taken)
    assert ports.app.rename(user_id, "Tom").name == "Tom"
    with pytest.raises(UserNotFound):
        ports.app.rename("nobody", "Name")


@pytest.mark.parametrize("given", [{"user_id": "Ann"}, {"name": "Ann"}])
def test_forgetting_after_a_rename_finds_every_answer(ports: Ports, robert: list[bytes], given: dict[str, str]) -> None:
    user_id = enroll(ports, robert[0], **given)
    ports.app.recognize(robert[1])
    ports.app.rename(user_id, "Anne")
    ports.app.recognize(robert[2])
    receipt = ports.app.forget(user_id)
    assert (receipt.faces, receipt.images, receipt.recognitions, receipt.remaining_stores) == (1, 1, 2, ())
    for text in ("Ann", "Anne", user_id):
        assert ports.app.verify_erased(text) == ()
    assert ports.app.people().items == ports.app.recognitions().items == ()
    assert enroll(ports, robert[0], name="anne") != user_id


def test_two_ids_that_are_merged_are_one_person(ports: Ports, robert: list[bytes], venus: list[bytes]) -> None:
    bob, rob = enroll(ports, robert[0], name="Bob"), enroll(ports, robert[1], name="Rob")
    enroll(ports, venus[0], name="Venus")
    assert ports.app.recognize(robert[0]).faces[0].status is RecognitionStatus.AMBIGUOUS
    assert ports.app.merge(bob, rob).merged == (bob,)
    for photo in robert:
        assert who(ports, photo) == (rob, "Rob")
    assert {p.user_id: p.name for p in ports.app.people().items}.keys() - {rob} == {
        p.user_id for p in ports.app.people().items if p.name == "Venus"
    }
    for either in (bob, rob):
        assert ports.app.person(either).user_id == rob
        faces = ports.app.faces(user_id=either).items
        assert [(face.user_id, face.name) for face in faces] == [(rob, "Rob")] * 2
        assert len(ports.app.recognitions(user_id=either).items) == 1
    assert enroll(ports, robert[2], user_id=bob) == rob
    assert enroll(ports, robert[3], name="Bob") == rob
    assert {candidate.user_id for candidate in ports.app.recognitions().items[0].faces[0].candidates} == {rob}


def test_the_faces_of_a_merged_person_come_in_pages_newest_first(ports: Ports, robert: list[bytes]) -> None:
    for number, photo in enumerate(robert):
        enroll(ports, photo, user_id="bob" if number % 2 else "rob")
    newest_first = [face.face_id for face in ports.app.faces().items]
    ports.app.merge("bob", "rob")
    listed, token = [], None
    while len(listed) < len(newest_first) + 1:
        page = ports.app.faces(user_id="rob", limit=2, token=token)
        listed += [face.face_id for face in page.items]
        if (token := page.next_token) is None:
            break
    assert listed == newest_first


def test_undoing_a_merge_gives_each_their_own_back(ports: Ports, robert: list[bytes], venus: list[bytes]) -> None:
    bob, ven = enroll(ports, robert[0], name="Bob"), enroll(ports, venus[0], name="Venus")
    ports.app.merge(bob, ven)
    ports.app.recognize(robert[1])
    assert ports.app.recognitions(user_id=ven).items[0].faces[0].user_id == ven
    with pytest.raises(InvalidInput):
        ports.app.merge(bob, ven)
    assert ports.app.unmerge(bob).name == "Bob"
    assert who(ports, robert[1]) == (bob, "Bob")
    assert who(ports, venus[1]) == (ven, "Venus")
    assert [face.user_id for face in ports.app.faces(user_id=bob).items] == [bob]
    assert ports.app.recognitions(user_id=bob).items[0].faces[0].user_id == bob
    assert ports.app.forget(bob).recognitions == 1
    assert who(ports, venus[1]) == (ven, "Venus")
    with pytest.raises(InvalidInput):
        ports.app.unmerge(ven)


def test_merges_follow_each_other(ports: Ports, robert: list[bytes]) -> None:
    for number, name in enumerate(("a", "b", "c")):
        enroll(ports, robert[number], user_id=name)
    ports.app.merge("a", "b")
    ports.app.merge("b", "c")
    assert who(ports, robert[3])[0] == "c"
    assert len(ports.app.faces(user_id="a").items) == 3
    for impossible in ("a", "b", "c"):
        with pytest.raises(InvalidInput):
            ports.app.merge("c", impossible)
    ports.app.unmerge("b")
    assert ports.app.person("a").user_id == "b"
    assert len(ports.app.faces(user_id="c").items) == 1


@pytest.mark.parametrize("forgotten", ["bob", "rob"])
def test_forgetting_a_merged_person_erases_what_came_from_both(
    ports: Ports, robert: list[bytes], venus: list[bytes], forgotten: str
) -> None:
    enroll(ports, robert[0], user_id="bob", name="Bobby")
    enroll(ports, robert[1], user_id="rob")
    enroll(ports, venus[0], user_id="venus")
    ports.app.merge("bob", "rob")
    ports.app.recognize(robert[2])
    receipt = ports.app.forget(forgotten)
    assert (receipt.faces, receipt.images, receipt.recognitions, receipt.remaining_stores) == (2, 2, 1, ())
    for text in ("bob", "rob", "Bobby"):
        assert ports.app.verify_erased(text) == ()
    assert {p.user_id for p in ports.app.people().items} == {"venus"}
    assert {f.user_id for f in ports.catalog.find(FaceRecord).items} == {"venus"}
    assert ports.catalog.find(Recognition).items == ()
    assert len(ports.catalog.find(Person).items) == 1


def test_a_person_without_photos_of_their_own_goes_with_the_last_of_an_alias(ports: Ports, robert: list[bytes]) -> None:
    own, alias = ports.app.enroll(robert[0], "rob"), ports.app.enroll(robert[1], "bob")
    ports.app.merge("bob", "rob")
    ports.app.delete_face(own.face_ids[0])
    assert who(ports, robert[2])[0] == "rob"
    ports.app.delete_face(alias.face_ids[0])
    assert ports.catalog.find(Person).items == ()
    assert ports.app.verify_erased("rob") == ports.app.verify_erased("bob") == ()


def test_a_folder_belongs_to_the_id_or_else_to_the_name_or_to_somebody_new(
    ports: Ports, robert: list[bytes], venus: list[bytes]
) -> None:
    user_id = enroll(ports, robert[0], name="Robert")
    for path, photo in (("uploaded/Robert/1.jpg", robert[1]), ("uploaded/Venus/1.jpg", venus[0])):
        ports.bucket.put(path, photo, "image/jpeg", {})
        assert ports.app.index_upload(path).status is UploadStatus.INDEXED
    assert {face.user_id for face in ports.app.faces().items} == {user_id, "Venus"}
    ports.app.rename(user_id, "Bob")
    ports.bucket.put("uploaded/Robert/2.jpg", venus[1], "image/jpeg", {})  # of somebody new who has the old name
    assert ports.app.index_upload("uploaded/Robert/2.jpg").user_id == "Robert"
    assert ports.app.forget("Robert").images == 1
    assert ports.app.upload_status("uploaded/Robert/1.jpg").user_id == user_id
    assert ports.app.forget(user_id).images == 2
    assert ports.app.verify_erased(user_id) == ()


def test_a_folder_that_looks_like_anothers_name_is_not_taken(ports: Ports, robert: list[bytes]) -> None:
    enroll(ports, robert[0], name="Robert")
    ports.bucket.put("uploaded/robert/1.jpg", robert[1], "image/jpeg", {})
    rejected = ports.app.index_upload("uploaded/robert/1.jpg")
    assert rejected.status is UploadStatus.REJECTED
    assert [reason.code for reason in rejected.reasons] == ["looks_like_another_name"]
    assert len(ports.app.faces().items) == 1


def test_a_rejection_holds_for_the_merged_person(ports: Ports, robert: list[bytes]) -> None:
    enroll(ports, robert[0], user_id="bob")
    enroll(ports, robert[1], user_id="rob")
    ports.app.reject(robert[2], "bob")
    ports.app.merge("bob", "rob")
    assert who(ports, robert[2]) == (None, None)
    assert [face.user_id for face in ports.app.rejections("rob").items] == ["rob"]


def test_undoing_a_merge_takes_along_a_person_who_has_no_photo(ports: Ports, robert: list[bytes]) -> None:
    enroll(ports, robert[0], user_id="bob")
    enroll(ports, robert[1], user_id="rob", name="Robert")
    ports.app.merge("bob", "rob")
    (face,) = (face for face in ports.catalog.find(FaceRecord).items if face.user_id == "rob")
    ports.app.set_consent("rob", datetime.now(UTC).date() + timedelta(days=1))
    ports.app.delete_face(face.face_id)
    assert [person.user_id for person in ports.app.people().items] == ["rob"]  # whom the photos of bob still show
    assert ports.app.unmerge("bob").user_id == "bob"
    assert [person.user_id for person in ports.app.people().items] == ["bob"]
    assert ports.catalog.find(Consent).items == ()
    assert {claim.user_id for claim in ports.catalog.find(NameClaim).items} == {"bob"}


def test_of_a_merged_person_the_earliest_consent_counts_and_a_new_one_holds_for_all(
    ports: Ports, robert: list[bytes]
) -> None:
    enroll(ports, robert[0], user_id="bob")
    enroll(ports, robert[1], user_id="rob")
    soon = datetime.now(UTC).date() + timedelta(days=3)
    ports.app.set_consent("bob", soon)
    ports.app.merge("bob", "rob")
    asked = [person.user_id for person in ports.app.people(consent_before=soon + timedelta(days=1)).items]
    assert (asked, ports.app.consents(["rob"])) == (["rob"], {"rob": soon})
    ports.app.set_consent("rob", later := soon + timedelta(days=300))
    assert ports.app.people(consent_before=soon + timedelta(days=1)).items == ()
    assert {consent.user_id: consent.last_day for consent in ports.catalog.find(Consent).items} == {
        "bob": later,
        "rob": later,
    }
    ports.app.set_consent("rob", None)
    assert ports.catalog.find(Consent).items == ()


def test_with_the_last_photo_of_an_alias_the_consent_of_its_person_goes(ports: Ports, robert: list[bytes]) -> None:
    enroll(ports, robert[0], user_id="bob")
    enroll(ports, robert[1], user_id="rob")
    ports.app.merge("bob", "rob")
    ports.app.set_consent("rob", datetime.now(UTC).date() + timedelta(days=1))
    for face in sorted(ports.catalog.find(FaceRecord).items, key=lambda face: face.user_id or "", reverse=True):
        ports.app.delete_face(face.face_id)
    assert ports.catalog.find(Person).items == ports.catalog.find(Consent).items == ()


def test_the_faces_of_all_ids_of_a_person_are_counted_and_shown_under_the_name(
    ports: Ports, robert: list[bytes], venus: list[bytes]
) -> None:
    for user_id, photo in (("Bob", robert[0]), ("Rob", robert[1]), ("Robert", robert[2]), ("Venus", venus[0])):
        ports.app.enroll(photo, user_id)
    ports.app.merge("Rob", "Bob")
    ports.app.merge("Bob", "Robert")
    ports.app.rename("Robert", "Robert D.")
    found = ports.app.face_summaries(ports.app.people().items)
    assert {user_id: one.count for user_id, one in found.items()} == {"Robert": 3, "Venus": 1}
    assert {one.newest for one in found.values()} <= set(ports.app.faces().items)


def between_read_and_write(ports: Ports, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let somebody else act after a person was read, and before what is made of it is written."""
    put = ports.catalog.put
    waiting = [act]

    def put_later(*records: Record, **conditions: Sequence[Record]) -> bool:
        if waiting and any(isinstance(record, Person) for record in records):
            waiting.pop()()
        return put(*records, **conditions)

    monkeypatch.setattr(ports.catalog, "put", put_later)


@pytest.mark.parametrize("person", [{"name": "Robert"}, {"user_id": "Robert"}, {"user_id": "r-1", "name": "Robert"}])
@pytest.mark.parametrize("number", range(6))
def test_photos_of_somebody_new_that_come_at_once_are_of_one_person(
    ports: Ports, robert: list[bytes], monkeypatch: pytest.MonkeyPatch, number: int, person: dict[str, str]
) -> None:
    """The second photo comes before the first one's `number`-th look at who has the name."""
    looks, get = iter(range(number)), ports.catalog.get
    others: list[str | None] = []

    def get_later(kind: type[Any], keys: Sequence[str]) -> list[Any]:
        if kind is NameClaim and next(looks, None) is None and not others:
            others.append(None)
            others[0] = ports.app.upload(robert[1], **person).user_id
        return get(kind, keys)

    monkeypatch.setattr(ports.catalog, "get", get_later)
    first = ports.app.upload(robert[0], **person)
    assert ports.app.upload(robert[1], **person).user_id == first.user_id
    assert others in ([], [first.user_id])
    assert ports.app.find_person("Robert").user_id == first.user_id


def test_a_photo_in_the_folder_of_somebody_who_comes_meanwhile_is_theirs(
    ports: Ports, robert: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    ports.bucket.put("uploaded/r-1/copied.jpg", robert[0], "image/jpeg", {})
    get, waiting = ports.catalog.get, [lambda: ports.app.upload(robert[1], "r-1", "Robert")]

    def get_later(kind: type[Any], keys: Sequence[str]) -> list[Any]:
        if kind is NameClaim and waiting:
            waiting.pop()()
        return get(kind, keys)

    monkeypatch.setattr(ports.catalog, "get", get_later)
    upload = ports.app.index_upload("uploaded/r-1/copied.jpg")
    assert (upload.status, upload.user_id, waiting) == (UploadStatus.INDEXED, "r-1", [])


def test_a_rename_while_the_first_photo_is_indexed_keeps_the_name(
    ports: Ports, robert: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = ports.app.upload(robert[0], name="Ann")
    assert upload.user_id
    between_read_and_write(ports, monkeypatch, lambda: ports.app.rename(str(upload.user_id), "Anne"))
    ports.app.index_upload(upload.image_path)
    assert [(person.user_id, person.name) for person in ports.app.people().items] == [(upload.user_id, "Anne")]
    assert ports.app.find_person("Anne").user_id == upload.user_id
    assert enroll(ports, robert[1], name="Ann") != upload.user_id


def test_the_first_photo_that_is_indexed_during_a_rename_stays_known(
    ports: Ports, robert: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = ports.app.upload(robert[0], name="Ann")
    between_read_and_write(ports, monkeypatch, lambda: ports.app.index_upload(upload.image_path))
    ports.app.rename(str(upload.user_id), "Anne")
    assert [(person.user_id, person.name) for person in ports.app.people().items] == [(upload.user_id, "Anne")]


def test_a_rename_during_a_merge_and_its_undoing_is_kept(
    ports: Ports, robert: list[bytes], venus: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bea = enroll(ports, robert[0], name="Ann"), enroll(ports, venus[0], name="Bea")
    between_read_and_write(ports, monkeypatch, lambda: ports.app.rename(bea, "Beatrice"))
    assert ports.app.merge(ann, bea).name == "Beatrice"
    between_read_and_write(ports, monkeypatch, lambda: ports.app.rename(bea, "Bice"))
    ports.app.unmerge(ann)
    assert sorted(person.name for person in ports.app.people().items) == ["Ann", "Bice"]


def test_a_photo_that_moves_takes_its_answers_along(ports: Ports, robert: list[bytes], venus: list[bytes]) -> None:
    wrong = ports.app.enroll(robert[0], name="Wrong")
    ports.app.enroll(venus[0], str(wrong.user_id))
    seen = {photo: ports.app.recognize(photo).recognition_id for photo in (robert[1], venus[1])}
    moved = ports.app.move(wrong.image_path, name="Right")
    (face,) = ports.app.recognition(seen[robert[1]]).faces
    assert (face.user_id, face.name) == (moved.user_id, "Right")
    assert (face.candidates[0].face_id, face.candidates[0].image_path) == (moved.face_ids[0], moved.image_path)
    (other,) = ports.app.recognition(seen[venus[1]]).faces
    assert other.user_id == wrong.user_id
    by_person = {
        user_id: [each.recognition_id for each in ports.app.recognitions(user_id=user_id).items]
        for user_id in (str(wrong.user_id), str(moved.user_id))
    }
    assert by_person == {wrong.user_id: [seen[venus[1]]], moved.user_id: [seen[robert[1]]]}
    for user_id, photo in ((moved.user_id, robert[1]), (wrong.user_id, venus[1])):
        assert ports.app.forget(str(user_id)).recognitions == 1
        assert ports.app.verify_erased(str(user_id)) == ()
        with pytest.raises(RecognitionNotFound):
            ports.app.recognition(seen[photo])


def test_a_photo_that_moves_is_not_said_to_look_like_itself(
    ports: Ports, robert: list[bytes], venus: list[bytes]
) -> None:
    first = ports.app.enroll(robert[0], "right")
    wrong = ports.app.enroll(robert[1], "wrong")
    assert [warning.code for warning in wrong.warnings] == ["looks_like_another"]
    moved = ports.app.move(wrong.image_path, "right")
    assert moved.warnings == ports.app.upload_status(moved.image_path).warnings == ()
    again = ports.app.move(moved.image_path, "wrong")
    assert [warning.face_id for warning in again.warnings] == list(first.face_ids)
    copy = ports.app.enroll(venus[0], "venus").image_path
    ports.bucket.put("uploaded/venus/copy.jpg", venus[0], "image/jpeg", {})
    ports.app.index_upload("uploaded/venus/copy.jpg")
    assert [warning.code for warning in ports.app.move(copy, "other").warnings] == ["looks_like_another"]


def test_answers_stay_where_a_copy_of_the_photo_stays(ports: Ports, robert: list[bytes]) -> None:
    first = ports.app.enroll(robert[0], "Robert")
    ports.bucket.put("uploaded/Robert/copy.jpg", robert[0], "image/jpeg", {})
    ports.app.index_upload("uploaded/Robert/copy.jpg")
    seen = ports.app.recognize(robert[1])
    ports.app.move(first.image_path, "Other")
    assert ports.app.recognition(seen.recognition_id).faces[0].user_id == "Robert"


def test_whoever_is_announced_is_listed_with_the_first_photo_of_an_alias(ports: Ports, robert: list[bytes]) -> None:
    ports.app.presign_upload("image/jpeg", "rob")  # a form that nobody uses
    path = ports.app.upload(robert[0], "bob").image_path
    ports.app.merge("bob", "rob")
    assert ports.app.people().items == ()
    ports.app.index_upload(path)
    assert [person.user_id for person in ports.app.people().items] == ["rob"]
    assert ports.app.person("bob").user_id == "rob"


def test_an_answer_that_names_a_deleted_face_too_outlives_a_move(
    ports: Ports, robert: list[bytes], venus: list[bytes]
) -> None:
    group = photo_of("Robert", "Venus", photo=7)
    wrong = ports.app.enroll(robert[0], "wrong")
    (face_id,) = ports.app.enroll(venus[0], "venus").face_ids
    seen = ports.app.recognize(group)
    ports.app.delete_face(face_id)
    moved = ports.app.move(wrong.image_path, "robert")
    (recognition,) = ports.app.recognitions().items
    assert recognition.recognition_id == seen.recognition_id
    assert {face.user_id for face in recognition.faces} == {moved.user_id, "venus"}
