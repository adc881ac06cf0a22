"""The reconciliation: what it finds, what it repairs, what it leaves alone, and when it stops."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import boto3
import pytest

from mien.app.app import FaceApp
from mien.app.erasure import keyed_hash
from mien.app.reconciler import Reconciler
from mien.app.reconciliation import MAX_UNASKED, Counts, Reconciliation
from mien.backends.aws.catalog import DynamoCatalog
from mien.backends.aws.recognizer import RekognitionRecognizer
from mien.backends.aws.stack import RemoteApp
from mien.backends.aws.tables import tables
from mien.domain.errors import ImageNotFound, InvalidInput
from mien.domain.object_keys import installation_mark
from mien.domain.records import FaceRecord, NameClaim, Upload, UploadStatus
from tests.aws import local
from tests.aws.rekognition import COLLECTION
from tests.support.fake_engine import FakeFaceEngine
from tests.support.painter import photo_of

JPEG = "image/jpeg"
KEY = b"the key of the stack"


class Stack:
    """An installation, and the collection that it may share with others."""

    def __init__(self, opened: ExitStack, folder: Path) -> None:
        self.bucket, self.catalog = opened.enter_context(local.storage())
        self.rekognition, self.url = opened.enter_context(local.switchable(folder, FakeFaceEngine()))
        self.recognizer = local.recognizer(self.url)
        self.app = FaceApp(self.bucket, self.recognizer, self.catalog, pseudonym=keyed_hash(KEY))
        self.reconciler = self.fresh_reconciler()

    def fresh_reconciler(self) -> Reconciler:
        index, remove = self.app.index_upload, self.app.remove_upload
        return Reconciler(self.bucket, self.recognizer, self.catalog, index, remove, 0, self.photos_after)

    def photos_after(self, key: str) -> Iterator[str]:
        return self.bucket.keys("uploaded/", key)

    def client(self) -> object:
        return boto3.client("rekognition", endpoint_url=self.url, **local.CREDENTIALS)

    def other_installation(self) -> RekognitionRecognizer:
        return RekognitionRecognizer(self.client(), COLLECTION, installation_mark("another bucket"))

    def enroll(self, path: str, photo: bytes) -> Upload:
        self.bucket.put(path, photo, JPEG, {})
        return self.app.index_upload(path)

    def faces(self) -> set[str]:
        return set(self.rekognition.faces())

    def records(self) -> dict[str, str]:
        return {record.face_id: record.image_path for record in self.catalog.find(FaceRecord, limit=1000).items}

    def daily(self) -> Reconciliation:
        """What the schedule starts while it is not told to repair."""
        remote = RemoteApp(self.bucket, self.recognizer, self.catalog, pseudonym=keyed_hash(KEY))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("mien.backends.aws.stack.GRACE_SECONDS", 0)
            reconciler = remote.reconciler(
                self.app.index_upload, self.app.remove_upload, self.photos_after, retry_failed=False
            )
            return reconciler.run(repair=False)

    def repair(self) -> Counts:
        return self.fresh_reconciler().run(repair=True, force=True).found


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[Stack]:
    with ExitStack() as opened:
        yield Stack(opened, tmp_path)


def test_inconsistencies_of_every_kind_are_put_right(aws: Stack, robert: list[bytes], venus: list[bytes]) -> None:
    fine, lost, gone = (aws.enroll(f"uploaded/Bo/{n}.jpg", robert[n]) for n in range(3))
    aws.bucket.put("uploaded/Bo/new.jpg", robert[3], JPEG, {})
    orphan = aws.recognizer.index(venus[0], "Venus", 1, 80).faces[0].face_id
    aws.recognizer.delete(lost.face_ids)
    aws.bucket.delete([gone.image_path])
    assert aws.repair() == Counts(
        faces=3,
        faces_without_metadata=1,
        metadata_without_face=1,
        photos_gone=1,
        photos_without_state=1,
    )
    assert orphan not in aws.faces()
    assert set(aws.records().values()) == {f"uploaded/Bo/{name}.jpg" for name in ("0", "1", "new")}
    assert aws.faces() == aws.records().keys()
    assert set(fine.face_ids) <= aws.faces()
    with pytest.raises(ImageNotFound):
        aws.app.upload_status(gone.image_path)
    assert aws.repair() == Counts(faces=3)


def test_a_report_changes_nothing(aws: Stack, robert: list[bytes], venus: list[bytes]) -> None:
    lost, gone = (aws.enroll(f"uploaded/Bo/{n}.jpg", robert[n]) for n in range(2))
    aws.bucket.put("uploaded/Bo/new.jpg", robert[3], JPEG, {})
    aws.recognizer.index(venus[0], "Venus", 1, 80)
    aws.recognizer.delete(lost.face_ids)
    aws.bucket.delete([gone.image_path])
    before = (aws.faces(), aws.records(), list(aws.bucket.keys("")), aws.catalog.find(Upload).items)
    reported = aws.reconciler.run(repair=False)
    assert (reported.is_done, reported.is_repairing, reported.is_stopped) == (True, False, False)
    assert reported.found == aws.repair()
    assert before != (aws.faces(), aws.records(), list(aws.bucket.keys("")), aws.catalog.find(Upload).items)


def test_faces_of_others_are_counted_and_left_alone(aws: Stack, robert: list[bytes], venus: list[bytes]) -> None:
    own = aws.enroll("uploaded/Bo/1.jpg", robert[0])
    others = aws.other_installation().index(venus[0], "Venus", 1, 80).faces[0].face_id
    image = {"Bytes": venus[1]}
    answer = aws.client().index_faces(CollectionId=COLLECTION, Image=image, ExternalImageId="Bo")  # type: ignore[attr-defined]
    unmarked = answer["FaceRecords"][0]["Face"]["FaceId"]
    progress = aws.fresh_reconciler().run(repair=True, force=True)
    assert progress.found == Counts(faces=1, foreign_faces=2)
    assert aws.faces() == {*own.face_ids, others, unmarked}


def test_nobody_is_lost_when_the_table_of_faces_is_empty(aws: Stack) -> None:
    for number in range(MAX_UNASKED + 1):
        aws.enroll(f"uploaded/{number}/1.jpg", photo_of(number))
    before = aws.faces()
    aws.catalog.delete(FaceRecord, list(aws.records()))
    stopped = aws.reconciler.run(repair=True)
    assert (stopped.is_stopped, stopped.found.faces_without_metadata) == (True, MAX_UNASKED + 1)
    assert aws.faces() == before
    forced = aws.fresh_reconciler().run(repair=True, force=True)
    assert (forced.is_stopped, forced.is_done) == (False, True)
    assert aws.faces() == aws.records().keys()  # the photos are there, so they were indexed again
    assert len(aws.faces()) == len(before)
    assert not aws.faces() & before


def test_nobody_is_lost_when_the_bucket_is_empty(aws: Stack) -> None:
    paths = [f"uploaded/{number}/1.jpg" for number in range(MAX_UNASKED + 1)]
    for number, path in enumerate(paths):
        aws.enroll(path, photo_of(number))
    before = (aws.faces(), aws.records())
    aws.bucket.delete(paths)
    stopped = aws.reconciler.run(repair=True)
    assert (stopped.is_stopped, stopped.found.photos_gone) == (True, MAX_UNASKED + 1)
    assert (aws.faces(), aws.records()) == before


def test_faces_that_an_earlier_version_stored_are_known_by_their_metadata(aws: Stack, robert: list[bytes]) -> None:
    image = {"Bytes": robert[0]}
    answer = aws.client().index_faces(CollectionId=COLLECTION, Image=image, ExternalImageId="Bo")  # type: ignore[attr-defined]
    face_id = answer["FaceRecords"][0]["Face"]["FaceId"]
    path = "uploaded/Bo/1.jpg"
    stored = aws.enroll(path, robert[0])
    (record,) = aws.catalog.get(FaceRecord, stored.face_ids)
    aws.catalog.put(replace(record, face_id=face_id))
    aws.catalog.put(replace(stored, face_ids=(face_id, *stored.face_ids)))
    assert aws.repair() == Counts(faces=2)
    assert face_id in aws.faces()


def test_a_rejected_face_has_no_photo_and_stays(aws: Stack, robert: list[bytes]) -> None:
    aws.enroll("uploaded/Bo/1.jpg", robert[0])
    rejected = aws.app.reject(robert[1], "Bo")
    assert aws.repair() == Counts(faces=2)
    assert rejected.face_id in aws.records()
    assert rejected.face_id in aws.faces()


def test_a_state_without_photo_and_faces_is_removed(aws: Stack, robert: list[bytes]) -> None:
    known = aws.enroll("uploaded/Bo/1.jpg", robert[0])
    for status in UploadStatus:
        aws.catalog.put(Upload(f"uploaded/Bo/{status}.jpg", "Bo", status, known.timestamp))
    assert aws.repair() == Counts(faces=1, photos_gone=len(UploadStatus))
    assert [upload.image_path for upload in aws.catalog.find(Upload).items] == [known.image_path]


def test_metadata_whose_photo_and_state_are_gone_is_removed(aws: Stack, robert: list[bytes]) -> None:
    gone, kept = (aws.enroll(f"uploaded/Bo/{n}.jpg", robert[n]) for n in range(2))
    aws.bucket.delete([gone.image_path])
    aws.catalog.delete(Upload, [gone.image_path])
    assert aws.repair().photos_gone == 1
    assert aws.faces() == aws.records().keys() == set(kept.face_ids)


def test_faces_that_an_erasure_left_are_removed_though_nothing_is_repaired(
    aws: Stack, robert: list[bytes], venus: list[bytes]
) -> None:
    """Their function died between IndexFaces and the metadata: neither a user nor a record leads to them."""
    aws.enroll("uploaded/Bo/1.jpg", robert[0])
    left = aws.recognizer.index(robert[1], "Bo", 1, 80).faces[0].face_id
    other = aws.recognizer.index(venus[0], "Venus", 1, 80).faces[0].face_id
    assert aws.app.forget("Bo").remaining_stores == ()
    assert aws.recognizer.find_remains("Bo") == ("collection",)
    assert aws.app.reconcile(repair=False, grace=0).found == Counts(
        faces=2, faces_without_metadata=1, faces_of_erased=1
    )
    assert aws.faces() == {left, other}  # an operator who asks for a report gets a report
    assert aws.daily().found == Counts(faces=2, faces_without_metadata=1, faces_of_erased=1)
    assert aws.faces() == {other}
    assert aws.recognizer.find_remains("Bo") == ()


def test_a_person_who_came_back_after_an_erasure_keeps_what_is_being_indexed(aws: Stack, robert: list[bytes]) -> None:
    aws.enroll("uploaded/Bo/1.jpg", robert[0])
    aws.app.forget("Bo")
    aws.enroll("uploaded/Bo/2.jpg", robert[1])
    indexed = aws.recognizer.index(robert[2], "Bo", 1, 80).faces[0].face_id
    assert aws.daily().found == Counts(faces=2, faces_without_metadata=1)
    assert indexed in aws.faces()


@pytest.mark.parametrize("folder", ["uploaded/", "uploaded/_/"])
def test_photos_of_nobody_from_an_earlier_version_expire(aws: Stack, robert: list[bytes], folder: str) -> None:
    old, new = (aws.enroll(f"{folder}{n}.jpg", robert[n]) for n in range(2))
    aws.enroll("uploaded/Bo/1.jpg", robert[2])
    dynamodb = boto3.client("dynamodb", **local.CREDENTIALS)
    dynamodb.update_item(
        TableName="MienRecords",
        Key={"RecordId": {"S": f"Upload/{old.image_path}"}},
        UpdateExpression="REMOVE #o",
        ExpressionAttributeNames={"#o": "Owner"},
    )

    def listed() -> set[str]:
        return {upload.image_path for upload in aws.catalog.find(Upload, of_nobody=True).items}

    assert listed() == {new.image_path}
    assert aws.app.reconcile(repair=False, grace=0).found.uploads_unlisted == 1
    assert listed() == {new.image_path}
    assert aws.daily().found.uploads_unlisted == 1
    assert listed() == {old.image_path, new.image_path}
    assert aws.catalog.get(Upload, [old.image_path]) == [old]
    assert aws.daily().found.uploads_unlisted == 0


def test_people_whose_faces_an_earlier_version_did_not_count_are_counted_and_remembered(
    aws: Stack, robert: list[bytes], venus: list[bytes]
) -> None:
    for number in range(2):
        aws.enroll(f"uploaded/Bo/{number}.jpg", robert[number])
    aws.enroll("uploaded/Venus/1.jpg", venus[0])
    dynamodb = boto3.client("dynamodb", **local.CREDENTIALS)
    assert dynamodb.delete_item(
        TableName="MienRecords", Key={"RecordId": {"S": "FaceCount/Bo"}}, ReturnValues="ALL_OLD"
    )["Attributes"]
    counted = {"Bo": 2, "Venus": 1}
    assert {each: one.count for each, one in aws.catalog.summarize_faces(list(counted)).items()} == counted
    assert aws.app.reconcile(repair=False, grace=0).found.people_miscounted == 1
    assert aws.daily().found.people_miscounted == 1
    assert aws.daily().found.people_miscounted == 0
    assert {each: one.count for each, one in aws.catalog.summarize_faces(list(counted)).items()} == counted


def test_an_upload_that_was_deleted_meanwhile_is_not_brought_back(aws: Stack, robert: list[bytes]) -> None:
    gone = aws.enroll("uploaded/_/1.jpg", robert[0])
    dynamodb = boto3.client("dynamodb", **local.CREDENTIALS)
    key = {"RecordId": {"S": f"Upload/{gone.image_path}"}}
    item = {**dynamodb.get_item(TableName="MienRecords", Key=key)["Item"]}
    del item["Owner"]
    dynamodb.put_item(TableName="MienRecords", Item=item)

    def delete_first(**_: object) -> None:
        dynamodb.meta.events.unregister("before-call.dynamodb.PutItem", delete_first)
        dynamodb.delete_item(TableName="MienRecords", Key=key)

    catalog = DynamoCatalog(dynamodb, tables("FaceMetadata", "RecognitionResults", "MienRecords"))
    dynamodb.meta.events.register("before-call.dynamodb.PutItem", delete_first)
    assert catalog.list_uploads_of_nobody([gone.image_path], write=True) == 1
    assert catalog.get(Upload, [gone.image_path]) == []


def test_a_run_that_is_cut_off_after_every_step_finds_and_repairs_the_same(
    aws: Stack, robert: list[bytes], venus: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PAGE", "RECORDS_PAGE", "FACE_PAGES"):
        monkeypatch.setattr(f"mien.app.reconciler.{name}", 1)
    monkeypatch.setattr("mien.backends.aws.recognizer.LIST_PAGE", 1)
    gone, lost, _ = (aws.enroll(f"uploaded/Bo/{n}.jpg", robert[n]) for n in range(3))
    orphan = aws.recognizer.index(venus[0], "Venus", 1, 80).faces[0].face_id
    aws.bucket.delete([gone.image_path])
    aws.recognizer.delete(lost.face_ids)
    claims = aws.catalog.find(NameClaim).items
    aws.catalog.delete(NameClaim, [claim.key for claim in claims])
    progress, runs = None, 0
    while progress is None or not (progress.is_done and progress.is_repairing):
        reconciler = aws.fresh_reconciler()
        progress = reconciler.run(repair=True, force=True, progress=progress, is_out_of_time=lambda: True)
        progress = Reconciliation.from_json(progress.to_json())
        runs += 1
    assert runs > 10
    assert progress.found == Counts(
        faces=3, faces_without_metadata=1, metadata_without_face=1, photos_gone=1, people_without_claim=1
    )
    assert aws.catalog.find(NameClaim).items == claims
    assert orphan not in aws.faces()
    assert aws.repair() == Counts(faces=2)


def test_one_photo_that_cannot_be_indexed_keeps_no_other_from_it(aws: Stack, robert: list[bytes]) -> None:
    for number in range(2):
        aws.bucket.put(f"uploaded/Bo/{number}.jpg", robert[number], JPEG, {})

    def index(path: str) -> None:
        if path.endswith("0.jpg"):
            raise InvalidInput("as asked")
        aws.app.index_upload(path)

    Reconciler(aws.bucket, aws.recognizer, aws.catalog, index, aws.app.remove_upload, 0).run(repair=True)
    assert list(aws.records().values()) == ["uploaded/Bo/1.jpg"]


def test_what_no_photo_can_be_is_passed_over(aws: Stack) -> None:
    for key in ("uploaded/", "uploaded/Bo/", "uploaded/Bo/.DS_Store"):
        aws.bucket.put(key, b"", "application/octet-stream", {})
    assert aws.repair() == Counts()
