"""What no event told is found and repaired, and nothing of others is touched."""

from __future__ import annotations

import pytest

from mien.app.reconciler import PathSet
from mien.app.reconciliation import Counts, Reconciliation
from mien.domain.errors import InvalidInput, UserExists
from mien.domain.records import FaceRecord, NameClaim, Upload
from tests.contract.backends import Ports

NOTHING = Counts()


def found(ports: Ports, **options: bool) -> Counts:
    counts = ports.app.reconcile(**{"repair": False, **options}, force=True, grace=0).found
    counts.faces = 0
    return counts


def test_nothing_is_found_where_everything_is_right(ports: Ports, robert: list[bytes], group: bytes) -> None:
    assert found(ports) == NOTHING
    for photo in robert[:2]:
        ports.app.enroll(photo, "Robert")
    ports.app.index_upload(ports.app.upload(group).image_path)
    ports.app.reject(robert[3], "Robert")
    assert found(ports) == NOTHING
    assert ports.app.reconcile(repair=False, grace=0).found.faces == 6


def test_inconsistencies_are_counted_then_repaired_then_gone(
    ports: Ports, robert: list[bytes], venus: list[bytes], group: bytes
) -> None:
    deleted, unrecorded, faceless, unread = (ports.app.enroll(photo, "Robert") for photo in robert[:4])
    kept = ports.app.enroll(venus[0], "Venus")
    ports.bucket.delete([deleted.image_path])
    ports.catalog.delete(FaceRecord, unrecorded.face_ids)
    ports.catalog.delete(Upload, [unrecorded.image_path])
    ports.bucket.delete([unrecorded.image_path])
    ports.recognizer.delete(faceless.face_ids)
    ports.catalog.delete(FaceRecord, unread.face_ids)
    counts = found(ports)
    assert (counts.photos_gone, counts.metadata_without_face, counts.photos_without_state) == (1, 1, 1)
    assert found(ports) == counts  # counting changes nothing
    found(ports, repair=True)
    left = found(ports, repair=True)
    assert (left.photos_gone, left.metadata_without_face, left.photos_without_state) == (0, 0, 0)
    photos = {faceless.image_path, unread.image_path, kept.image_path}
    assert {face.image_path for face in ports.app.faces().items} == photos
    shown = {face_id for path in photos for face_id in ports.app.upload_status(path).face_ids}
    assert ports.recognizer.existing(sorted(shown)) == shown


def test_a_face_that_its_photo_does_not_show_is_removed(ports: Ports, robert: list[bytes], venus: list[bytes]) -> None:
    upload, other = ports.app.enroll(robert[0], "Robert"), ports.app.enroll(robert[1], "Robert")
    (record,) = ports.catalog.get(FaceRecord, other.face_ids)
    ports.bucket.delete([other.image_path])
    ports.catalog.delete(Upload, [other.image_path])
    ports.catalog.put(FaceRecord(record.face_id, "Robert", upload.image_path, record.timestamp, record.box, 99.0))
    assert found(ports).faces_without_photo == 1
    found(ports, repair=True)
    assert found(ports) == NOTHING
    assert ports.recognizer.face_ids("Robert") == set(upload.face_ids)


def test_too_much_to_remove_waits_for_a_yes(ports: Ports, robert: list[bytes]) -> None:
    paths = [f"uploaded/Robert/{number}.jpg" for number in range(11)]
    for number, path in enumerate(paths):
        ports.bucket.put(path, robert[number % 5], "image/jpeg", {})
        ports.app.index_upload(path)
    ports.bucket.put("uploaded/Robert/last.jpg", robert[0], "image/jpeg", {})
    ports.app.index_upload("uploaded/Robert/last.jpg")
    ports.bucket.delete(paths)
    stopped = ports.app.reconcile(repair=True, grace=0)
    assert (stopped.is_stopped, stopped.found.photos_gone) == (True, 11)
    assert len(ports.app.faces().items) == 5
    assert not ports.app.reconcile(repair=True, force=True, grace=0).is_stopped
    assert [face.image_path for face in ports.app.faces().items] == ["uploaded/Robert/last.jpg"]
    assert found(ports) == NOTHING


def test_a_limit_of_ten_things_or_one_percent() -> None:
    assert not Counts(faces=5, photos_gone=1).is_suspicious
    assert Counts(faces=5, photos_gone=2).is_suspicious
    assert not Counts(faces=500, faces_without_metadata=5).is_suspicious
    assert Counts(faces=500, faces_without_metadata=5, metadata_without_face=1).is_suspicious
    assert not Counts(faces=1_000_000, faces_without_metadata=10).is_suspicious
    assert Counts(faces=1_000_000, faces_without_metadata=10, metadata_without_face=1).is_suspicious


def test_progress_is_kept_as_text() -> None:
    progress = Reconciliation(Counts(faces=3), is_repairing=True, phase=2, token="x")
    assert Reconciliation.from_json(progress.to_json()) == progress
    with pytest.raises(InvalidInput):
        Reconciliation.from_json("[]")


def test_a_set_of_paths_knows_its_own() -> None:
    paths = PathSet(f"uploaded/a/{number}.jpg" for number in range(10_000))
    assert all(f"uploaded/a/{number}.jpg" in paths for number in range(10_000))
    assert not any(f"uploaded/b/{number}.jpg" in paths for number in range(10_000))


def test_people_of_earlier_versions_get_their_claims_and_keep_those_of_others(
    ports: Ports, robert: list[bytes], venus: list[bytes]
) -> None:
    for user_id, photo in (("robert", robert[0]), ("ROBERT 2", robert[1]), ("Venus", venus[0])):
        ports.app.enroll(photo, user_id)
    ports.app.rename("Venus", "Venus Williams")
    claims = ports.catalog.find(NameClaim).items
    of_venus = [claim.key for claim in claims if claim.user_id == "Venus"]
    of_robert = [claim.key for claim in claims if claim.user_id == "robert"]
    assert (len(of_venus), len(of_robert)) == (2, 1)
    ports.catalog.delete(NameClaim, [of_venus[0], *of_robert])
    assert found(ports) == Counts(people_without_claim=2)
    assert len(ports.catalog.find(NameClaim).items) == 2
    assert found(ports, repair=True) == Counts(people_without_claim=2)
    stored = ports.catalog.find(NameClaim).items
    assert {claim.key: claim.user_id for claim in stored} == {claim.key: claim.user_id for claim in claims}
    assert found(ports) == NOTHING
    with pytest.raises(UserExists):
        ports.app.upload(venus[1], name="ROBERT")
