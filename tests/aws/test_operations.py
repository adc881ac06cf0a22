"""The doctor, the keys, the prices and a throttled table, on moto and our wire API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse

from mien.app.app import FaceApp
from mien.app.ports import Catalog
from mien.backends.aws import clients, doctor, prices, secret_keys
from mien.backends.aws.recognizer import RekognitionRecognizer
from mien.domain.errors import Overloaded, SetupError, StorageBusy
from mien.domain.faces import Box
from mien.domain.records import FaceRecord, Upload, UploadStatus
from mien.lambdas import upload_queue, worker
from mien.security.api_keys import KeyFile, Scope
from mien.security.audit import LogLines
from mien.settings import Settings
from tests.aws import local, stack
from tests.support.fake_engine import FakeFaceEngine

NOW = datetime(2026, 11, 23, tzinfo=UTC)
CONTEXT = SimpleNamespace(
    function_name="upload",
    memory_limit_in_mb=512,
    invoked_function_arn="arn",
    aws_request_id="1",
    get_remaining_time_in_millis=lambda: 60_000,
)
BOX = Box(0.1, 0.1, 0.5, 0.5)


class Backend:
    """The three ports, and the clients behind them."""

    def __init__(self, opened: ExitStack, folder: Path) -> None:
        self.bucket, self.catalog = opened.enter_context(local.storage())
        self.rekognition, self.url = opened.enter_context(local.switchable(folder, FakeFaceEngine()))
        self.recognizer = local.recognizer(self.url)
        self.app = FaceApp(self.bucket, self.recognizer, self.catalog)

    def put(self, path: str, photo: bytes) -> None:
        self.bucket.put(path, photo, "image/jpeg", {})


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[Backend]:
    with ExitStack() as opened:
        yield Backend(opened, tmp_path)


def _faces(aws: Backend) -> set[str]:
    return set(aws.rekognition.faces())


def _records(catalog: Catalog) -> dict[str, str]:
    return {record.face_id: record.image_path for record in catalog.find(FaceRecord, limit=1000).items}


def test_a_table_that_throttles_loses_nothing(
    aws: Backend, robert: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "uploaded/Bo/1.jpg"
    aws.put(path, robert[0])
    dynamodb = boto3.client("dynamodb", **local.CREDENTIALS)
    throttled = FaceApp(aws.bucket, aws.recognizer, _on(dynamodb))
    for operation in ("PutItem", "TransactWriteItems"):
        dynamodb.meta.events.register(f"before-call.dynamodb.{operation}", _throttle)
    monkeypatch.setattr(worker, "application", lambda: throttled)
    monkeypatch.setattr(worker, "audit_log", LogLines)
    counted: list[str] = []
    monkeypatch.setattr(upload_queue, "count", lambda name, number=1: counted.append(name))
    message = {
        "messageId": "1",
        "receiptHandle": "r",
        "eventSource": "aws:sqs",
        "attributes": {"ApproximateReceiveCount": "1"},
        "body": json.dumps({"Records": [{"eventName": "ObjectCreated:Put", "s3": {"object": {"key": path}}}]}),
    }
    assert upload_queue.upload({"Records": [message]}, CONTEXT) == {"batchItemFailures": [{"itemIdentifier": "1"}]}
    assert counted == ["UploadsRetried", "Throttled"]
    assert aws.catalog.find(FaceRecord).items == ()
    for operation in ("PutItem", "TransactWriteItems"):
        dynamodb.meta.events.unregister(f"before-call.dynamodb.{operation}", _throttle)
    assert upload_queue.upload({"Records": [message]}, CONTEXT) == {"batchItemFailures": []}
    assert list(_records(aws.catalog).values()) == [path]
    assert _faces(aws) == _records(aws.catalog).keys()


def _on(dynamodb: Any) -> Catalog:
    from mien.backends.aws.catalog import DynamoCatalog
    from mien.backends.aws.tables import tables

    return DynamoCatalog(dynamodb, tables("FaceMetadata", "RecognitionResults", "MienRecords"))


def _throttle(**_: Any) -> tuple[AWSResponse, dict[str, Any]]:
    error = {"Code": "ProvisionedThroughputExceededException", "Message": "slow down"}
    return AWSResponse("", 400, {}, None), {"Error": error, "ResponseMetadata": {}}


def test_what_was_left_unprocessed_is_asked_for_again(aws: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    aws.catalog.put(FaceRecord("f", "Bo", "uploaded/Bo/1.jpg", NOW, BOX, 99.0))
    dynamodb = boto3.client("dynamodb", **local.CREDENTIALS)
    catalog = _on(dynamodb)
    real, refusals = dynamodb.batch_get_item, iter([True, True, False])

    def reluctant(**asked: Any) -> Any:
        if next(refusals, True):
            return {"Responses": {}, "UnprocessedKeys": asked["RequestItems"]}
        return real(**asked)

    monkeypatch.setattr(dynamodb, "batch_get_item", reluctant)
    monkeypatch.setattr("time.sleep", lambda _: None)
    assert [record.face_id for record in catalog.get(FaceRecord, ["f"])] == ["f"]
    with pytest.raises(Overloaded):
        catalog.get(FaceRecord, ["f"])


@pytest.mark.parametrize("size", [0, 1, 3])
def test_a_page_that_dynamodb_ends_early_is_read_on(aws: Backend, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    for number in range(7):
        moment = NOW + timedelta(minutes=number)
        aws.catalog.put(FaceRecord(str(number), "Bo", f"uploaded/Bo/{number}.jpg", moment, BOX, 99.0))
    dynamodb = boto3.client("dynamodb", **local.CREDENTIALS)
    real, calls = dynamodb.query, []

    def reluctant(**asked: Any) -> Any:
        calls.append(asked)
        if len(calls) % 2 and not size:  # nothing at all, as when a filter or another reader took the time
            here = asked.get("ExclusiveStartKey")
            return {"Items": [], "LastEvaluatedKey": here} if here else real(**asked)
        return real(**asked | {"Limit": min(asked["Limit"], size or 2)})

    monkeypatch.setattr(dynamodb, "query", reluctant)
    catalog = _on(dynamodb)
    first = catalog.find(FaceRecord, user_id="Bo", limit=4)
    assert [record.face_id for record in first.items] == ["6", "5", "4", "3"]
    rest = catalog.find(FaceRecord, user_id="Bo", limit=4, token=first.next_token)
    assert [record.face_id for record in rest.items] == ["2", "1", "0"]
    assert rest.next_token is None


def test_the_doctor_finds_what_is_missing(aws: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "s3", lambda: boto3.client("s3", **local.CREDENTIALS))
    monkeypatch.setattr(clients, "dynamodb", lambda: boto3.client("dynamodb", **local.CREDENTIALS))
    wire = boto3.client("rekognition", endpoint_url=aws.url, **local.CREDENTIALS)
    monkeypatch.setattr(clients, "rekognition", lambda _: wire)
    secrets = boto3.client("secretsmanager", **local.CREDENTIALS)
    secrets.create_secret(Name="keys", SecretString='{"keys": {}, "signing": "a signing key of 16"}')
    monkeypatch.setattr(clients, "secrets", lambda: secrets)
    settings = replace(Settings.from_environment({}), bucket=local.BUCKET, keys_secret="keys")
    before = _faces(aws)
    advice = {finding.subject: finding.advice for finding in doctor.examine(settings)}
    wrong = {subject for subject, text in advice.items() if text}
    assert wrong == {f"public access to {local.BUCKET}"}  # nobody blocked it on this bucket
    assert needed_to_erase() <= {subject.partition(" ")[0] for subject in advice}
    assert _faces(aws) == before
    assert aws.catalog.find(FaceRecord).items == ()
    keyless = [finding.advice for finding in doctor.examine(replace(settings, keys_secret=None))]
    assert any("MIEN_KEYS_SECRET is not set" in advice for advice in keyless)
    secrets.put_secret_value(SecretId="keys", SecretString='{"keys": {}}')
    assert any("no signing key" in finding.advice for finding in doctor.examine(settings))
    elsewhere = {f.subject: f.advice for f in doctor.examine(replace(settings, faces_table="Nothing"))}
    assert "does not exist" in elsewhere["dynamodb:Query on Nothing"]
    aws.rekognition.fail(400, "AccessDeniedException")
    refused = {f.subject: f.advice for f in doctor.examine(settings)}
    assert "lack the permission rekognition:IndexFaces" in refused["rekognition:IndexFaces on face-collection"]


def needed_to_erase() -> set[str]:
    """`mien forget` calls AWS itself, and must not fail half-way."""
    statements = stack.resources("AWS::IAM::ManagedPolicy")["ErasurePolicy"]["PolicyDocument"]["Statement"]
    named = [[each["Action"]] if isinstance(each["Action"], str) else each["Action"] for each in statements]
    return {action for actions in named for action in actions}


def test_a_service_in_rekognitions_place_gets_its_collection(
    tmp_path: Path, robert: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_REGION", "eu-west-1")):
        monkeypatch.setenv(name, value)
    with local.wire_api(tmp_path, FakeFaceEngine()) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_REKOGNITION", url)
        fresh = RekognitionRecognizer(clients.rekognition(), "new", "mark")
        assert fresh.search(robert[0], 80, 5).probes[0].face_hits == ()
        assert len(fresh.index(robert[0], "Bo", 1, 80).faces) == 1
        other = RekognitionRecognizer(clients.rekognition(), "other", "mark")
        assert len(other.index(robert[0], "Bo", 1, 80).faces) == 1


def test_faces_go_over_the_network_encrypted_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_REKOGNITION", "http://mien.example.org")
    with pytest.raises(SetupError, match="https://"):
        clients.rekognition()


def test_keys_live_in_a_secret(aws: Backend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secrets = boto3.client("secretsmanager", **local.CREDENTIALS)
    monkeypatch.setattr(clients, "secrets", lambda: secrets)
    secrets.create_secret(Name="keys", SecretString='{"keys": {}, "signing": "a signing key of 16"}')
    with secret_keys.edit_keys("keys") as file:
        text = file.create("phone", [Scope.RECOGNIZE])
    copy = secret_keys.SecretKeys("keys", tmp_path / "copy.json")
    copy.refresh()
    assert KeyFile(copy.copy).check(text).name == "phone"
    assert copy.signing == "a signing key of 16"
    assert text not in secrets.get_secret_value(SecretId="keys")["SecretString"]


def test_of_two_who_edit_the_keys_at_once_one_is_told_so(aws: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = boto3.client("secretsmanager", **local.CREDENTIALS)
    monkeypatch.setattr(clients, "secrets", lambda: secrets)
    secrets.create_secret(Name="keys", SecretString='{"keys": {}, "signing": "a signing key of 16"}')

    def edit_at_once() -> None:
        with secret_keys.edit_keys("keys") as file:
            file.create("tablet", [Scope.RECOGNIZE])
            with secret_keys.edit_keys("keys") as other:
                other.create("phone", [Scope.RECOGNIZE])

    with pytest.raises(StorageBusy, match="try again"):
        edit_at_once()
    with secret_keys.edit_keys("keys") as file:
        assert [key.name for key in file.list()] == ["phone"]
        file.create("tablet", [Scope.RECOGNIZE])
    with secret_keys.edit_keys("keys") as file:
        assert sorted(key.name for key in file.list()) == ["phone", "tablet"]


def test_an_upload_state_is_found_by_its_owner(aws: Backend) -> None:
    aws.catalog.put(Upload("uploaded/Bo/1.jpg", "Bo", UploadStatus.PENDING, NOW))
    assert [upload.image_path for upload in aws.catalog.find(Upload, user_id="Bo").items] == ["uploaded/Bo/1.jpg"]


def test_prices_follow_the_tiers() -> None:
    assert prices.price(1_000_000) == pytest.approx(1000)
    assert prices.price(6_000_000) == pytest.approx(1000 + 3200 + 600)
    forecast = prices.forecast_enrolment(1000)
    assert (forecast.calls, forecast.dollars) == (3000, pytest.approx(3.0))


def test_a_list_of_people_takes_no_query_for_each() -> None:
    """It costs a read of the kept numbers, and one of the newest faces, for each hundred people."""
    calls: list[str] = []
    with local.storage() as (_, catalog):
        for number in range(150):
            at = NOW + timedelta(seconds=number)
            catalog.put(FaceRecord(f"f-{number}", f"u-{number % 50}", f"uploaded/x/{number}.jpg", at, BOX, 99.0))
        catalog._dynamodb.meta.events.register("before-call", lambda model, **_: calls.append(model.name))
        found = catalog.summarize_faces([f"u-{number}" for number in range(50)])
    assert {(one.count, one.newest.face_id) for one in found.values()} == {(3, f"f-{n}") for n in range(100, 150)}
    assert (calls.count("Query"), calls.count("BatchGetItem")) == (0, 2)
