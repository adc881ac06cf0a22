"""Unknown faces are remembered, grouped, named, divided and erased, on every backend that can group."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from mien.app import grouping, recognition
from mien.app.app import FaceApp
from mien.app.group_ports import Grouping
from mien.domain.errors import GroupNamed, GroupNotFound, InvalidInput, StorageFull, UnsupportedImage, UserNotFound
from mien.domain.faces import iterate_pages
from mien.domain.groups import DismissedFace, FaceGroup
from mien.domain.policy import Policy
from mien.domain.records import FaceRecord, Recognition, RecognitionStatus, Upload
from mien.domain.results import Image
from tests.contract.backends import BACKENDS, Ports
from tests.support.painter import Portrait, encoded, paint, photo_of

GROUPING = [name for name in BACKENDS if name != "aws"]
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class Service:
    """An application that can group, on a clock that the test moves."""

    ports: Ports
    policy: Policy = field(default_factory=Policy)
    time: datetime = START
    app: FaceApp = field(init=False)

    def __post_init__(self) -> None:
        ports = self.ports
        grouping = Grouping(ports.bucket, ports.recognizer, ports.catalog)  # type: ignore[arg-type]
        self.app = FaceApp(
            ports.bucket, ports.recognizer, ports.catalog, self.policy, now=lambda: self.time, grouping=grouping
        )

    def remember(self, *names: str, photo: int = 0) -> list[str | None]:
        return [face.group_id for face in self.app.groups.remember(photo_of(*names, photo=photo)).faces]

    def stored(self) -> tuple[int, int, int]:
        """How many faces, uploads and photos there are."""
        find = self.ports.catalog.find
        return (
            len(find(FaceRecord).items),
            len(find(Upload).items),
            len(list(self.ports.bucket.keys("uploaded/"))),
        )


@pytest.fixture(params=GROUPING)
def ports(request: pytest.FixtureRequest, open_backend: Callable[[str], Ports]) -> Ports:
    return open_backend(request.param)


@pytest.fixture
def service(ports: Ports) -> Service:
    return Service(ports)


def test_photos_of_one_stranger_are_one_group_and_of_another_another(service: Service) -> None:
    (ada,), (again,), (grace,) = service.remember("Ada"), service.remember("Ada", photo=1), service.remember("Grace")
    assert ada == again
    assert grace not in {None, ada}
    groups = service.app.groups.list().items
    assert [(group.group_id, group.faces) for group in groups] == [(ada, 2), (grace, 1)]


def test_a_photo_of_five_strangers_is_in_five_groups(service: Service) -> None:
    groups = service.remember("Ada", "Grace", "Hedy", "Salma", "Sheryl")
    assert len(set(groups)) == 5
    assert None not in groups


def test_only_portraits_are_kept(service: Service) -> None:
    photo = photo_of("Ada", "Grace")
    service.app.groups.remember(photo)
    bodies = [service.ports.bucket.get(key).body for key in service.ports.bucket.keys("uploaded/")]
    assert photo not in bodies
    assert [len(service.app.detect(body)) for body in bodies] == [1, 1]


def test_the_same_photo_again_changes_nothing(service: Service) -> None:
    first, before = service.remember("Ada", "Grace"), service.stored()
    assert service.remember("Ada", "Grace") == first
    assert service.stored() == before


def test_many_photos_are_grouped_together_as_each_alone(service: Service) -> None:
    service.app.enroll(photo_of("Salma"), "Salma")
    service.remember("Ada")
    names = [("Ada", "Grace"), ("Grace",), (), ("Salma", "Hedy"), ("Ada",), ("Hedy",), ("Grace",)]
    photos = [photo_of(*each, photo=1 + number) for number, each in enumerate(names)]
    outcomes = list(service.app.groups.remember_many([*photos[:3], b"a letter", *photos[3:]]))
    assert isinstance(outcomes.pop(3), UnsupportedImage)
    found = [[face.group_id for face in each.faces] for each in outcomes if isinstance(each, Recognition)]
    assert found == [service.remember(*each, photo=1 + number) for number, each in enumerate(names)]
    assert sorted(group.faces for group in service.app.groups.list().items) == [2, 3, 3]
    assert sum(group is None for each in found for group in each) == 1


def test_a_photo_that_comes_twice_among_many_is_kept_once(service: Service) -> None:
    once, twice = service.app.groups.remember_many([photo_of("Ada")] * 2)
    assert isinstance(once, Recognition)
    assert isinstance(twice, Recognition)
    assert once.faces == twice.faces
    assert service.stored() == (1, 1, 1)


def test_groups_are_merged_by_one_of_many_photos(service: Service) -> None:
    (group,), _ = service.remember("Ada"), service.remember("Ada", photo=1)
    (one, _) = service.app.groups.faces(group or "").items
    service.ports.catalog.put(
        FaceGroup("g-other", START),
        FaceRecord(one.face_id, None, one.image_path, START, one.box, 99, group_id="g-other"),
    )
    photos = [photo_of("Grace"), photo_of("Ada", photo=2), photo_of("Ada", photo=3), photo_of("Grace", photo=1)]
    found = [
        each.faces[0].group_id for each in service.app.groups.remember_many(photos) if not isinstance(each, Exception)
    ]
    assert found[0] == found[3]
    assert found[1] == found[2]
    assert sorted(group.faces for group in service.app.groups.list().items) == [2, 4]


def test_nothing_is_left_of_portraits_that_cannot_be_stored(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def full(_: object) -> Iterator[Callable[[], None]]:
        def move() -> None:
            raise StorageFull("The disk is full.")

        yield move

    monkeypatch.setattr(service.ports.bucket, "staged", full)
    with pytest.raises(StorageFull):
        list(service.app.groups.remember_many([photo_of("Ada"), photo_of("Grace")]))
    assert service.stored() == (0, 0, 0)
    assert service.app.groups.list().items == ()


@pytest.mark.parametrize("place", ["index_portraits", "move"])
def test_what_a_crash_leaves_of_portraits_is_repaired_and_found_again(
    service: Service, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    bucket, recognizer = service.ports.bucket, service.ports.recognizer
    index = recognizer.index_portraits  # type: ignore[attr-defined]

    def crash_after_indexing(portraits: object) -> None:
        index(portraits)
        raise SystemExit

    @contextmanager
    def crash_before_moving(_: object) -> Iterator[Callable[[], None]]:
        def move() -> None:
            raise SystemExit

        yield move

    photos = [photo_of("Ada"), photo_of("Grace"), photo_of("Ada", photo=1)]
    crashes = {"index_portraits": (recognizer, "index_portraits", crash_after_indexing)}
    crashes["move"] = (bucket, "staged", crash_before_moving)
    with monkeypatch.context() as patch:
        patch.setattr(*crashes[place])
        with pytest.raises(SystemExit):
            list(service.app.groups.remember_many(photos))
    assert service.app.reconcile(repair=True, force=True, grace=0).found.removals == 3
    assert service.stored() == (0, 0, 0)
    list(service.app.groups.remember_many(photos))
    assert sorted(group.faces for group in service.app.groups.list().items) == [1, 2]
    assert service.app.reconcile(repair=False, grace=0).found.removals == 0


def test_staged_photos_are_stored_together_or_not_at_all(ports: Ports) -> None:
    bucket: Any = ports.bucket
    path = "uploaded/_/0123456789abcdef0123456789abcdef.jpg"
    images = {path: Image(photo_of("Ada"), "image/jpeg", {"user-id": "nobody"})}
    with bucket.staged(images):
        assert list(bucket.keys("uploaded/")) == []
    assert list(bucket.keys("uploaded/")) == []
    with bucket.staged(images) as move:
        move()
    assert bucket.get(path) == images[path]


def test_faces_join_a_group_that_is_larger_than_what_is_compared(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grouping, "MAX_HITS", 2)
    groups = [service.remember("Ada", photo=number) for number in range(6)]
    assert len(set(map(tuple, groups))) == 1


def test_a_rejection_counts_among_many_strangers(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognition, "MAX_UNGROUPED_HITS", 0)
    for number in range(2, 5):
        service.remember("Ada", photo=number)
    service.app.enroll(photo_of("Ada"), "Ada")
    photo = photo_of("Ada", photo=1)
    (face,) = service.app.recognize(photo).faces
    assert face.status is RecognitionStatus.MATCHED
    service.app.reject(photo, "Ada")
    (face,) = service.app.recognize(photo).faces
    assert face.status is RecognitionStatus.UNKNOWN


def test_people_who_are_enrolled_are_not_remembered(service: Service) -> None:
    service.app.enroll(photo_of("Ada"), "Ada")
    assert service.remember("Ada", photo=1) == [None]
    assert service.app.groups.list().items == ()


def test_portraits_that_are_read_again_are_the_same_faces(service: Service) -> None:
    (group,) = service.remember("Ada")
    before = service.app.groups.faces(group or "").items
    service.ports.run_events()
    service.app.index_upload(before[0].image_path)
    assert service.app.groups.faces(group or "").items == before
    assert service.stored() == (1, 1, 1)


def test_naming_a_group_enrols_all_of_it(service: Service) -> None:
    (group,), *_ = service.remember("Ada"), service.remember("Ada", photo=1), service.remember("Grace")
    naming = service.app.groups.name(group or "", name="Ada Lovelace")
    assert (naming.enrolled, naming.left) == (2, 0)
    faces = service.app.faces(user_id=naming.user_id).items
    assert {face.name for face in faces} == {"Ada Lovelace"}
    assert len(faces) == 2
    assert service.stored() == (3, 3, 3)
    (face,) = service.app.recognize(photo_of("Ada", photo=2)).faces
    assert face.user_id == naming.user_id
    with pytest.raises(GroupNotFound):
        service.app.groups.get(group or "")


def test_naming_can_be_undone(service: Service) -> None:
    (group,), _ = service.remember("Ada"), service.remember("Ada", photo=1)
    naming = service.app.groups.name(group or "", name="Grace")
    assert service.app.groups.undo_name(group or "").faces == 2
    with pytest.raises(UserNotFound):
        service.app.person(naming.user_id)
    assert service.app.groups.name(group or "", name="Ada").enrolled == 2
    assert service.stored() == (2, 2, 2)


def test_undoing_takes_back_no_bystander(service: Service) -> None:
    picture = paint(Portrait("Ada", side=256))
    picture.paste(Portrait("Hedy", side=48).image(), (picture.width // 2 - 24, picture.height // 2 - 200))
    photo = encoded(picture)
    group, _ = (face.group_id for face in service.app.groups.remember(photo).faces)
    (face,) = service.app.groups.faces(group or "").items
    assert len(service.app.detect(service.ports.bucket.get(face.image_path).body)) == 2
    before = service.stored()
    service.app.groups.name(group or "", name="Ada")
    assert service.app.groups.undo_name(group or "").faces == 1
    assert service.stored() == before
    assert {each.faces for each in service.app.groups.list().items} == {1}


def test_undoing_leaves_the_other_photos_of_the_person(service: Service) -> None:
    service.app.enroll(photo_of("Grace"), "Grace")
    (group,) = service.remember("Ada")
    service.app.groups.name(group or "", user_id="Grace")
    service.app.groups.undo_name(group or "")
    assert len(service.app.faces(user_id="Grace").items) == 1


def test_a_group_can_get_the_name_of_somebody_who_is_enrolled(service: Service) -> None:
    service.app.enroll(photo_of("Ada"), name="Ada")
    (group,) = service.remember("Grace")
    naming = service.app.groups.name(group or "", name="Ada")
    assert naming.user_id == service.app.find_person("Ada").user_id
    assert len(service.app.faces(user_id=naming.user_id).items) == 2


def test_of_two_who_name_a_group_at_once_the_second_is_told(service: Service) -> None:
    (group,) = service.remember("Ada")
    catalog = service.ports.catalog
    (decisions,) = catalog.get(FaceGroup, [group or ""])
    catalog.put(FaceGroup(decisions.group_id, decisions.timestamp, "somebody"))  # who has not moved the faces yet
    with pytest.raises(GroupNamed):
        service.app.groups.name(group or "", user_id="Grace")
    assert service.app.groups.name(group or "", user_id="somebody").enrolled == 1


@pytest.mark.parametrize("name", ["李伟", "مريم", "Ἀθηνᾶ", "Δ🎈", "Łukasz"])
def test_names_are_of_any_script(service: Service, name: str) -> None:
    (group,) = service.remember("Ada")
    naming = service.app.groups.name(group or "", name=name)
    assert service.app.person(naming.user_id).name == name


def test_faces_of_nobodys_photos_are_grouped_with_remembered_ones(service: Service) -> None:
    (ada,) = service.remember("Ada")
    service.app.enroll(photo_of("Ada", "Grace", photo=1))
    counts = [(group.group_id == ada, group.faces) for group in service.app.groups.list().items]
    assert counts == [(True, 2), (False, 1)]


def test_a_face_of_a_photo_with_others_is_cut_out_when_it_gets_a_name(service: Service) -> None:
    upload = service.app.enroll(photo_of("Ada", "Grace"))
    ada, grace = (service.app.face(face_id).group_id for face_id in upload.face_ids)
    service.app.groups.name(ada or "", name="Ada")
    assert service.app.groups.get(grace or "").faces == 1
    (face,) = service.app.recognize(photo_of("Ada", photo=1)).faces
    assert face.name == "Ada"
    service.app.groups.name(grace or "", name="Grace")
    assert list(service.ports.bucket.keys("uploaded/_/")) == []


def test_faces_that_were_enrolled_before_there_were_groups_are_grouped_on_demand(service: Service) -> None:
    app = FaceApp(service.ports.bucket, service.ports.recognizer, service.ports.catalog)  # which groups nothing
    app.enroll(photo_of("Ada"))
    app.enroll(photo_of("Ada", photo=1))
    app.enroll(photo_of("Grace"), "Grace")
    app.enroll(photo_of("Grace", photo=1))
    assert service.app.groups.add_all() == 2
    assert [group.faces for group in service.app.groups.list().items] == [2]


def test_a_skipped_group_is_listed_only_on_demand(service: Service) -> None:
    (group,) = service.remember("Ada")
    service.app.groups.skip(group or "")
    assert service.app.groups.list().items == ()
    assert [each.skipped for each in service.app.groups.list(skipped=True).items] == [True]
    service.app.groups.skip(group or "", skipped=False)
    assert [each.group_id for each in service.app.groups.list().items] == [group]


def test_what_is_no_face_is_not_found_again(service: Service) -> None:
    (group,) = service.remember("Ada")
    assert service.app.groups.dismiss(group or "").faces == 1
    assert service.remember("Ada") == [None]
    assert service.stored() == (0, 0, 0)
    assert len(service.ports.catalog.find(DismissedFace).items) == 1


def test_two_people_in_a_group_are_divided_and_stay_apart(service: Service) -> None:
    (ada,), _, (grace,) = service.remember("Ada"), service.remember("Ada", photo=1), service.remember("Grace")
    service.app.groups.merge(grace or "", ada or "")
    first, second = service.app.groups.split(ada or "")
    assert sorted([first.faces, second.faces]) == [1, 2]
    chosen = [
        face.face_id for face in service.app.groups.faces(max(first, second, key=lambda g: g.faces).group_id).items
    ][:1]
    service.app.groups.split(first.group_id if first.faces == 2 else second.group_id, chosen)
    service.remember("Ada", photo=2)  # like both
    assert sorted(group.faces for group in service.app.groups.list().items) == [1, 1, 2]


def test_groups_that_a_face_shows_to_be_one_are_merged(service: Service) -> None:
    (group,), _ = service.remember("Ada"), service.remember("Ada", photo=1)
    (one, _) = service.app.groups.faces(group or "").items
    former = service.ports.catalog.get(FaceGroup, [group or ""])
    service.ports.catalog.put(
        FaceGroup("g-other", START),
        FaceRecord(one.face_id, None, one.image_path, START, one.box, 99, group_id="g-other"),
    )
    assert len(service.app.groups.list().items) == 2
    service.remember("Ada", photo=2)
    (merged,) = service.app.groups.list().items
    assert merged.faces == 3
    assert former


def test_erasing_a_group_leaves_nothing(service: Service) -> None:
    (group,), _ = service.remember("Ada"), service.remember("Ada", photo=1)
    assert service.app.groups.erase(group or "").faces == 2
    assert service.stored() == (0, 0, 0)
    assert service.ports.catalog.find(FaceGroup).items == ()
    assert service.app.verify_erased(group or "") == ()
    with pytest.raises(GroupNotFound):
        service.app.groups.erase(group or "")


def test_deleting_a_portrait_takes_its_face_out_of_the_group(service: Service) -> None:
    (group,), _ = service.remember("Ada"), service.remember("Ada", photo=1)
    one, other = service.app.groups.faces(group or "").items
    service.ports.bucket.delete([one.image_path])
    service.app.remove_upload(one.image_path)
    assert [face.face_id for face in service.app.groups.faces(group or "").items] == [other.face_id]
    service.app.delete_face(other.face_id)
    service.app.expire()
    assert service.app.verify_erased(group or "") == ()


def test_a_photo_that_is_deleted_while_its_face_is_grouped_leaves_nothing(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    recognizer = service.ports.recognizer
    similar = recognizer.similar_to_each  # type: ignore[attr-defined]

    def delete_meanwhile(*arguments: Any) -> object:
        found = similar(*arguments)
        for path in list(service.ports.bucket.keys("uploaded/_/")):
            service.ports.bucket.delete([path])
            service.app.remove_upload(path)
        return found

    monkeypatch.setattr(recognizer, "similar_to_each", delete_meanwhile)
    service.app.enroll(photo_of("Ada"))
    assert service.stored() == (0, 0, 0)
    assert service.ports.catalog.find(FaceGroup).items == ()


@pytest.mark.parametrize("change", ["merge", "split"])
def test_a_photo_that_is_deleted_while_groups_change_leaves_nothing(
    service: Service, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    (ada,), _, _ = (service.remember("Ada", photo=number) for number in range(3))
    (grace,) = service.remember("Grace")
    first, *_ = service.app.groups.faces(ada or "").items
    catalog: Any = service.ports.catalog
    read = catalog.faces_of_group

    def delete_meanwhile(*arguments: Any, **named: Any) -> object:
        found = read(*arguments, **named)
        if first in found and first.image_path in service.ports.bucket.keys(first.image_path):
            service.ports.bucket.delete([first.image_path])
            service.app.remove_upload(first.image_path)
        return found

    monkeypatch.setattr(catalog, "faces_of_group", delete_meanwhile)
    if change == "merge":
        assert service.app.groups.merge(ada or "", grace or "").faces == 3
    else:
        with pytest.raises(InvalidInput, match="Name some of the group's faces"):
            service.app.groups.split(ada or "", [first.face_id])
    assert service.ports.catalog.get(FaceRecord, [first.face_id]) == []


def test_strangers_expire(ports: Ports) -> None:
    service = Service(ports, Policy(visitor_days=30))
    (group,) = service.remember("Ada")
    service.time += timedelta(days=20)
    service.remember("Ada", photo=1)
    service.time += timedelta(days=11)
    service.app.expire()
    assert service.app.groups.get(group or "").faces == 1
    service.time += timedelta(days=20)
    service.app.expire()
    assert service.app.groups.list().items == ()
    assert service.app.verify_erased(group or "") == ()
    assert service.stored() == (0, 0, 0)


def test_forgetting_a_person_who_came_from_a_group_forgets_the_group(service: Service) -> None:
    (group,) = service.remember("Ada")
    naming = service.app.groups.name(group or "", name="Ada")
    service.app.forget(naming.user_id)
    assert service.app.verify_erased(naming.user_id) == ()
    assert service.app.verify_erased(group or "") == ()
    assert service.ports.catalog.find(FaceGroup).items == ()


def test_groups_tell_when_a_stranger_was_seen(service: Service) -> None:
    (group,) = service.remember("Ada")
    service.time += timedelta(days=2)
    service.remember("Ada", photo=1)
    seen = service.app.groups.get(group or "")
    assert (seen.first_seen, seen.last_seen) == (START, START + timedelta(days=2))


def test_groups_come_in_pages(service: Service) -> None:
    found = {group for name in ("Ada", "Grace", "Hedy") for group in service.remember(name)}
    first = service.app.groups.list(limit=2)
    second = service.app.groups.list(limit=2, token=first.next_token)
    assert {group.group_id for group in (*first.items, *second.items)} == found
    assert second.next_token is None


def test_the_faces_of_a_group_come_in_pages_also_while_some_go(service: Service) -> None:
    group, *_ = (service.remember("Ada", photo=photo)[0] or "" for photo in range(7))
    catalog = service.ports.catalog
    stored = catalog.find(FaceRecord).items
    confidences = (99.1, 0.1 + 0.2, 99.1, 87.65432109876543, 1e-7, 100.0, 99.1)
    catalog.put(*(replace(face, confidence=each) for face, each in zip(stored, confidences, strict=True)))
    everything = service.app.groups.faces(group).items
    assert [face.confidence for face in everything] == sorted(confidences, reverse=True)
    for size in (1, 2, 3, 7):
        fetch = partial(service.app.groups.faces, group, limit=size)
        assert tuple(iterate_pages(lambda token, fetch=fetch: fetch(token=token))) == everything  # type: ignore[misc]
    first = service.app.groups.faces(group, limit=2)
    catalog.delete(FaceRecord, [first.items[-1].face_id])
    assert service.app.groups.faces(group, token=first.next_token).items == everything[2:]
    assert service.app.groups.faces(group, limit=7).next_token is None
    with pytest.raises(GroupNotFound):
        service.app.groups.faces("g-0123456789abcdef")


@pytest.mark.parametrize("token", ["2026-03-01T12:00:00.000000Z|x", "|", "x", "nan|x", "1e999999|x", "[1]|x"])
def test_a_page_token_of_another_listing_is_refused(service: Service, token: str) -> None:
    (group,) = service.remember("Ada")
    with pytest.raises(InvalidInput, match="page token"):
        service.app.groups.faces(group or "", token=token)
    with pytest.raises(InvalidInput, match="page token"):
        service.app.groups.list(token=token)


def test_a_group_of_faces_that_are_not_clear_enough_keeps_them(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    (group,) = service.remember("Ada")
    photo = photo_of()
    (face,) = service.app.groups.faces(group or "").items
    service.ports.bucket.put(face.image_path, photo, "image/jpeg", {})
    with pytest.raises(InvalidInput, match="clear enough"):
        service.app.groups.name(group or "", name="Ada")
    assert service.app.groups.get(group or "").user_id is None
    assert len(list(service.ports.bucket.keys("uploaded/"))) == 1


def test_unknown_faces_keep_their_status(service: Service) -> None:
    recognition = service.app.groups.remember(photo_of("Ada"), store=True)
    assert [face.status for face in recognition.faces] == [RecognitionStatus.UNKNOWN]
    assert service.app.recognition(recognition.recognition_id).faces[0].group_id is None


def test_strangers_hide_nobody(service: Service) -> None:
    service.app.enroll(photo_of("Ada"), "Ada")
    app = FaceApp(service.ports.bucket, service.ports.recognizer, service.ports.catalog)
    for photo in range(1, 9):
        app.enroll(photo_of("Ada", photo=photo))
    (face,) = service.app.recognize(photo_of("Ada", photo=1)).faces
    assert "Ada" in {candidate.user_id for candidate in face.candidates}


def test_a_group_is_one_candidate(service: Service) -> None:
    for photo in range(5):
        service.remember("Ada", photo=photo)
    (face,) = service.app.recognize(photo_of("Ada", photo=5)).faces
    assert len(face.candidates) == 1


def test_strangers_do_not_count_as_enrolled(service: Service) -> None:
    service.app.enroll(photo_of("Grace"), "Grace")
    before = service.app.threshold("fpir=0.01")
    service.remember("Ada", "Hedy", "Salma")
    assert service.app.threshold("fpir=0.01") == before
