"""What keeps tables fast when they are large: spread indexes, kept numbers of faces, and what earlier versions left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from mien.app.app import FaceApp
from mien.backends.aws.catalog import DynamoCatalog
from mien.backends.aws.tables import SHARDS
from mien.backends.memory.recognizer import MemoryRecognizer
from mien.domain.errors import Overloaded
from mien.domain.faces import Box, iterate_pages
from mien.domain.records import FaceRecord, NameClaim, Person, Recognition, Upload, UploadStatus
from tests.aws import local
from tests.support.fake_engine import FakeFaceEngine

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
BOX = Box(0.1, 0.1, 0.3, 0.3)


@pytest.fixture
def catalog() -> Iterator[DynamoCatalog]:
    with local.storage() as (_, catalog):
        yield catalog


def client() -> Any:
    return boto3.client("dynamodb", **local.CREDENTIALS)


def as_earlier_versions_did() -> None:
    """Rewrite all items as they were before kinds were spread and faces counted."""
    for table, key in (
        ("FaceMetadata", "FaceId"),
        ("RecognitionResults", "RecognitionId"),
        ("MienRecords", "RecordId"),
    ):
        for item in client().scan(TableName=table)["Items"]:
            if item[key]["S"].startswith("FaceCount/"):
                client().delete_item(TableName=table, Key={key: item[key]})
                continue
            if "Kind" in item:
                item["Kind"] = {"S": item["Kind"]["S"].partition("/")[0]}
            if item.get("Owner", {}).get("S", "").startswith(" "):
                item["Owner"] = {"S": " "}
            client().put_item(TableName=table, Item=item)


def face(number: int, user_id: str | None = "Ada") -> FaceRecord:
    return FaceRecord(f"f-{number}", user_id, f"uploaded/x/{number}.jpg", NOW + timedelta(seconds=number), BOX, 99.0)


def test_what_comes_at_once_is_spread_over_several_keys_of_the_indexes(catalog: DynamoCatalog) -> None:
    """One key takes about 1,000 writes a second."""
    for number in range(60):
        catalog.put(Recognition(f"r-{number}", None, NOW, 80.0, ()))
        catalog.put(face(number))
        catalog.put(Upload(f"uploaded/{number}.jpg", None, UploadStatus.PENDING, NOW))
        catalog.put(Person(f"p-{number}", f"p-{number}", NOW), fresh=[NameClaim(f"c-{number}", f"p-{number}", NOW)])
    written = Counter[str]()
    for table in ("FaceMetadata", "RecognitionResults", "MienRecords"):
        for item in client().scan(TableName=table)["Items"]:
            written.update(item[name]["S"] for name in ("Kind", "Owner") if name in item)
    assert len(written) == 6 * SHARDS
    assert max(written.values()) <= 60 / SHARDS * 2


def test_what_earlier_versions_stored_is_listed_among_what_came_later(catalog: DynamoCatalog) -> None:
    def put(number: int) -> None:
        at = NOW + timedelta(hours=number % 5, seconds=number)
        catalog.put(Recognition(f"r-{number}", None, at, 80.0, ()))
        catalog.put(Upload(f"uploaded/{number}.jpg", None, UploadStatus.PENDING, at))

    for number in range(20):
        put(number)
    as_earlier_versions_did()
    for number in range(20, 40):
        put(number)
    for limit in (3, 1000):
        found = list(iterate_pages(lambda token, limit=limit: catalog.find(Recognition, limit=limit, token=token)))
        assert len(found) == len({each.recognition_id for each in found}) == 40
        assert [each.timestamp for each in found] == sorted((each.timestamp for each in found), reverse=True)
        uploads = iterate_pages(
            lambda token, limit=limit: catalog.find(Upload, of_nobody=True, limit=limit, token=token)
        )
        assert len({upload.image_path for upload in uploads}) == 40
    assert catalog.get(Recognition, ["r-0"])[0].recognition_id == "r-0"


def test_what_an_earlier_version_stored_is_changed_on_the_condition_that_nobody_else_did(
    catalog: DynamoCatalog,
) -> None:
    stored = Upload("uploaded/1.jpg", None, UploadStatus.INDEXED, NOW, "d", ("f-1", "f-2"))
    catalog.put(stored, face(1), Person("Ada", "Ada", NOW))
    as_earlier_versions_did()
    client().update_item(
        TableName="MienRecords",
        Key={"RecordId": {"S": "Upload/uploaded/1.jpg"}},
        UpdateExpression="REMOVE #o",
        ExpressionAttributeNames={"#o": "Owner"},
    )
    assert catalog.put(replace(stored, face_ids=("f-1",)), unchanged=[stored])
    assert catalog.put(Person("Ada", "Ada L.", NOW), unchanged=[Person("Ada", "Ada", NOW)])
    assert catalog.put(replace(face(1), image_path="uploaded/2.jpg"), unchanged=[face(1)])
    assert catalog.summarize_faces(["Ada"])["Ada"].count == 1


def test_faces_that_an_earlier_version_stored_are_counted_and_then_kept(catalog: DynamoCatalog) -> None:
    for number in range(6):
        catalog.put(face(number, ("Ada", "Bob", "Eve")[number % 3]))
    as_earlier_versions_did()
    assert [one.count for one in catalog.summarize_faces(["Ada", "Bob"]).values()] == [2, 2]
    catalog.put(face(6, "Ada"))
    catalog.delete(FaceRecord, ["f-1"])
    assert catalog.recount_faces(["Ada", "Bob", "Eve", "Nemo"], write=False) == ["Eve"]
    assert catalog.recount_faces(["Ada", "Bob", "Eve"], write=True) == ["Eve"]
    assert catalog.recount_faces(["Ada", "Bob", "Eve"], write=False) == []
    found = catalog.summarize_faces(["Ada", "Bob", "Eve"])
    assert {user_id: (one.count, one.newest.face_id) for user_id, one in found.items()} == {
        "Ada": (3, "f-6"),
        "Bob": (1, "f-4"),
        "Eve": (2, "f-5"),
    }


def test_a_wrong_number_of_faces_is_put_right(catalog: DynamoCatalog) -> None:
    """As after face records were restored from a backup, or removed by hand."""
    catalog.put(face(1), face(2), face(3, "Bob"))
    for face_id in ("f-2", "f-3"):
        client().delete_item(TableName="FaceMetadata", Key={"FaceId": {"S": face_id}})
    assert {user_id: one.count for user_id, one in catalog.summarize_faces(["Ada", "Bob"]).items()} == {"Ada": 1}
    assert catalog.recount_faces(["Ada", "Bob"], write=True) == ["Ada", "Bob"]
    assert catalog.recount_faces(["Ada", "Bob"], write=False) == []
    assert not [item for item in client().scan(TableName="MienRecords")["Items"] if "Bob" in str(item)]


@pytest.mark.parametrize("times", [1, 3])
def test_faces_that_come_and_go_at_once_are_all_counted(catalog: DynamoCatalog, times: int) -> None:
    catalog.put(face(1), face(2))
    others = iter(range(10, 10 + times))

    def meanwhile(**_: Any) -> None:
        """Let somebody else be quicker, just before a change is written."""
        if (number := next(others, None)) is not None:
            DynamoCatalog(client(), catalog._tables).put(face(number))

    catalog._dynamodb.meta.events.register("before-call.dynamodb.TransactWriteItems", meanwhile)
    catalog.delete(FaceRecord, ["f-1"])
    catalog.put(face(3))
    assert catalog.summarize_faces(["Ada"])["Ada"].count == 2 + times
    assert catalog.recount_faces(["Ada"], write=False) == []


def test_a_face_that_two_functions_store_at_once_counts_once(catalog: DynamoCatalog) -> None:
    others = iter([face(1)])

    def meanwhile(**_: Any) -> None:
        for same in others:
            DynamoCatalog(client(), catalog._tables).put(same)

    catalog._dynamodb.meta.events.register("before-call.dynamodb.TransactWriteItems", meanwhile)
    assert catalog.put(face(1))
    assert catalog.summarize_faces(["Ada"])["Ada"].count == 1
    assert catalog.recount_faces(["Ada"], write=False) == []


def test_nothing_is_kept_of_somebody_who_is_forgotten_while_their_faces_are_counted(catalog: DynamoCatalog) -> None:
    catalog.put(face(1))
    as_earlier_versions_did()
    others = iter([["f-1"]])

    def meanwhile(**_: Any) -> None:
        for gone in others:
            DynamoCatalog(client(), catalog._tables).delete(FaceRecord, gone)

    catalog._dynamodb.meta.events.register("before-call.dynamodb.TransactWriteItems", meanwhile)
    catalog.recount_faces(["Ada"], write=True)
    assert client().scan(TableName="MienRecords")["Items"] == []


def test_a_number_of_faces_that_is_left_of_somebody_is_seen_and_erased() -> None:
    with local.storage() as (bucket, catalog):
        app = FaceApp(bucket, MemoryRecognizer(FakeFaceEngine()), catalog)
        catalog.put(face(1), Person("Ada", "Ada", NOW))
        client().delete_item(TableName="FaceMetadata", Key={"FaceId": {"S": "f-1"}})
        assert "faces" in app.verify_erased("Ada")
        assert app.forget("Ada").remaining_stores == ()
        assert app.verify_erased("Ada") == ()
        assert not [item for item in client().scan(TableName="MienRecords")["Items"] if "Ada" in str(item)]


def test_who_never_gets_a_turn_is_told_so(catalog: DynamoCatalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    numbers = iter(range(100))

    def meanwhile(**_: Any) -> None:
        DynamoCatalog(client(), catalog._tables).put(face(next(numbers)))

    catalog._dynamodb.meta.events.register("before-call.dynamodb.TransactWriteItems", meanwhile)
    with pytest.raises(Overloaded):
        catalog.put(face(200))
    assert catalog.get(FaceRecord, ["f-200"]) == []


def test_a_page_asks_each_key_once_while_entries_suffice(catalog: DynamoCatalog) -> None:
    for number in range(60):
        catalog.put(Recognition(f"r-{number}", None, NOW + timedelta(seconds=number), 80.0, ()))
    asked: list[str] = []
    catalog._dynamodb.meta.events.register("before-call.dynamodb.Query", lambda **_: asked.append("Query"))
    assert len(catalog.find(Recognition, limit=20).items) == 20
    assert len(asked) <= 2 * (SHARDS + 1)
