"""The handlers under AWS's own runtime client, with events as AWS sends them; moto and our wire API around them."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from mien.lambdas import upload_queue
from tests.aws import runtime, stack
from tests.aws.world import BUCKET, World, as_event, message, queues, request
from tests.support.process import PATIENCE_SECONDS


def test_an_event_indexes_the_photo_and_a_duplicate_changes_nothing(world: World, robert: list[bytes]) -> None:
    key = "uploaded/Zoë O'Neill/a photo+1.jpg"
    world.s3.put_object(Bucket=BUCKET, Key=key, Body=robert[0])
    with world.function("upload") as function:
        for _ in range(2):
            assert function.invoke({"Records": [message(key, key)]}) == {"batchItemFailures": []}
    (item,) = world.items("FaceMetadata")
    assert (item["UserId"]["S"], item["ImagePath"]["S"]) == ("Zoë O'Neill", key)


GONE = ["ObjectRemoved:Delete", "ObjectRemoved:DeleteMarkerCreated", "LifecycleExpiration:Delete"]


@pytest.mark.parametrize("event", GONE)
def test_a_photo_that_is_gone_takes_its_faces_along_however_often_it_is_told(
    world: World, robert: list[bytes], event: str
) -> None:
    gone, copy, other = (f"uploaded/{name}" for name in ("_/visitor 1.jpg", "_/copy.jpg", "Bo/1.jpg"))
    for key, photo in ((gone, robert[0]), (copy, robert[0]), (other, robert[1])):
        world.s3.put_object(Bucket=BUCKET, Key=key, Body=photo)
    with world.function("upload") as function:
        follow = partial(_follow, function)
        follow(message(gone), message(copy), message(other))
        world.s3.delete_object(Bucket=BUCKET, Key=gone)
        follow(message(gone, event=event), message(gone, event=event))
        assert {item["ImagePath"]["S"] for item in world.items("FaceMetadata")} == {copy, other}
        world.s3.delete_object(Bucket=BUCKET, Key=copy)
        follow(message(copy, event=event), message(gone, event=event))
        assert {item["ImagePath"]["S"] for item in world.items("FaceMetadata")} == {other}
        world.s3.delete_object(Bucket=BUCKET, Key=other)
        follow(message(other, event=event))
    assert world.items("FaceMetadata") == world.items("MienRecords") == world.rekognition.faces() == []
    assert "visitor" not in function.output


@pytest.mark.parametrize("event", GONE)
def test_the_bucket_says_whether_a_photo_exists_and_no_event_does(
    world: World, robert: list[bytes], event: str
) -> None:
    key = "uploaded/Bo/1.jpg"
    world.s3.put_object(Bucket=BUCKET, Key=key, Body=robert[0])
    with world.function("upload") as function:
        _follow(function, message(key), message(key, event=event))  # deleted and stored again: the old event came last
        (item,) = world.items("FaceMetadata")
        assert world.rekognition.faces() == [item["FaceId"]["S"]]
        world.s3.delete_object(Bucket=BUCKET, Key=key)
        _follow(function, message(key, event=event), message(key))  # the event of its creation came last
        _follow(function, message("uploaded/", event=event), message("uploaded/Bo/.hidden", event=event))
    assert world.items("FaceMetadata") == world.items("MienRecords") == world.rekognition.faces() == []


def test_a_photo_that_cannot_be_taken_back_now_comes_again(world: World, robert: list[bytes]) -> None:
    key = "uploaded/Bo/1.jpg"
    world.s3.put_object(Bucket=BUCKET, Key=key, Body=robert[0])
    with world.function("upload") as function:
        _follow(function, message(key))
        world.s3.delete_object(Bucket=BUCKET, Key=key)
        world.rekognition.fail(400, "ProvisionedThroughputExceededException")
        event = {"Records": [message(key, event=GONE[0])]}
        assert function.invoke(event) == {"batchItemFailures": [{"itemIdentifier": "m-1"}]}
        world.rekognition.heal()
        _follow(function, message(key, event=GONE[0]))
    assert world.items("FaceMetadata") == world.items("MienRecords") == world.rekognition.faces() == []


def _follow(function: runtime.RuntimeApi, *messages: dict[str, Any]) -> None:
    assert function.invoke({"Records": list(messages)}) == {"batchItemFailures": []}


def test_only_what_failed_comes_again(world: World, robert: list[bytes]) -> None:
    world.s3.put_object(Bucket=BUCKET, Key="uploaded/Bo/1.jpg", Body=robert[0])
    messages = [
        message("uploaded/Bo/1.jpg", message_id="good"),
        message(body="{no json", message_id="broken"),
        message("uploaded/Bo/gone.jpg", message_id="gone"),
        message("uploaded/", message_id="folder"),
        message(body='{"Service":"Amazon S3","Event":"s3:TestEvent"}', message_id="test event"),
    ]
    with world.function("upload") as function:
        answer = function.invoke({"Records": messages})
    assert answer == {"batchItemFailures": [{"itemIdentifier": "broken"}]}
    assert len(world.items("FaceMetadata")) == 1


AGAIN = {"batchItemFailures": [{"itemIdentifier": "m-1"}]}


def test_a_photo_that_became_a_dead_letter_has_failed_and_can_be_tried_again(world: World, robert: list[bytes]) -> None:
    key = "uploaded/Bo/1.jpg"
    world.s3.put_object(Bucket=BUCKET, Key=key, Body=robert[0])
    letters = {"Records": [message(key), message("uploaded/Bo/gone.jpg"), message(body="{no json"), message(body="1")]}
    with world.function("failed") as function:
        assert function.invoke(letters) == {"batchItemFailures": []}
    (state,) = world.items("MienRecords")
    assert (state["Status"]["S"], state["ImagePath"]["S"]) == ("failed", key)
    assert '"UploadsFailed":[1.0]' in function.output
    with world.function("upload") as function:
        assert function.invoke({"Records": [message(key)]}) == {"batchItemFailures": []}
    assert len(world.items("FaceMetadata")) == 1
    with world.function("failed") as function:  # the letter of an attempt that got through
        assert function.invoke({"Records": [message(key)]}) == {"batchItemFailures": []}
    (state,) = (item for item in world.items("MienRecords") if item["RecordId"]["S"].startswith("Upload/"))
    assert state["Status"]["S"] == "indexed"


def test_what_failed_comes_again_later_each_time(world: World, robert: list[bytes]) -> None:
    url, _ = queues(world, receives=2)
    key = "uploaded/Bo/1.jpg"
    world.s3.put_object(Bucket=BUCKET, Key=key, Body=robert[0])
    world.rekognition.fail(400, "AccessDeniedException")
    sqs = world.client("sqs")
    sqs.send_message(QueueUrl=url, MessageBody=message(key)["body"])
    (received,) = sqs.receive_message(QueueUrl=url, AttributeNames=["All"], VisibilityTimeout=0)["Messages"]
    with world.function("upload", MIEN_UPLOAD_QUEUE_URL=url) as function:
        (failure,) = function.invoke({"Records": [as_event(received)]})["batchItemFailures"]
    assert failure == {"itemIdentifier": received["MessageId"]}
    assert "Messages" not in sqs.receive_message(QueueUrl=url)  # hidden for a while
    assert [upload_queue.pause(attempts) for attempts in (1, 2, 3, 7, 8, 50)] == [10, 20, 40, 640, 900, 900]


def test_a_message_that_there_is_no_time_for_is_not_begun(world: World, robert: list[bytes]) -> None:
    world.s3.put_object(Bucket=BUCKET, Key="uploaded/Bo/1.jpg", Body=robert[0])
    with world.function("upload", upload_queue.ATTEMPT_SECONDS) as function:
        assert function.invoke({"Records": [message("uploaded/Bo/1.jpg")]}) == AGAIN
    assert world.items("FaceMetadata") == world.rekognition.faces() == []


def test_a_handler_killed_in_the_middle_loses_nothing(world: World, robert: list[bytes]) -> None:
    world.s3.put_object(Bucket=BUCKET, Key="uploaded/Bo/1.jpg", Body=robert[0])
    event = {"Records": [message("uploaded/Bo/1.jpg")]}
    world.rekognition.stall_after("IndexFaces")
    with world.function("upload") as function:
        function.begin(event)
        assert world.rekognition.stalled.wait(PATIENCE_SECONDS)
    assert world.items("FaceMetadata") == []
    world.rekognition.heal()
    with world.function("upload") as function:
        assert function.invoke(event) == {"batchItemFailures": []}
    (item,) = world.items("FaceMetadata")
    assert world.rekognition.faces() == [item["FaceId"]["S"]]


def test_the_api_answers_through_the_gateway_and_asks_for_a_key(
    world: World, robert: list[bytes], tmp_path: Path
) -> None:
    key = world.keep_keys(tmp_path)
    jpeg = {"Content-Type": "image/jpeg"}
    with world.function("upload") as function:
        refused = function.invoke(request("POST", "/upload", "/upload", body=robert[0], headers=jpeg))
        assert refused["statusCode"] == 401
        sent = function.invoke(
            request("POST", "/upload", "/upload", key, body=robert[0], headers=jpeg, query={"user_id": "Bo"})
        )
        assert sent["statusCode"] == 202
        path = json.loads(sent["body"])["image_path"]
        assert sent["headers"]["location"] == f"/dev/uploads/{path}"
        assert world.s3.get_object(Bucket=BUCKET, Key=path)["Body"].read() == robert[0]
        assert function.invoke({"Records": [message(path)]}) == {"batchItemFailures": []}
    with world.function("recognize") as function:
        answer = function.invoke(request("GET", "/recognize", "/recognize", key, query={"image_path": path}))
        (face,) = json.loads(answer["body"])["faces"]
        assert (answer["statusCode"], face["status"], face["user_id"]) == (200, "matched", "Bo")
        head = function.invoke(request("HEAD", "/recognize", "/recognize", key, query={"image_path": path}))
        assert (head["statusCode"], head["body"]) == (200, "")
    assert '"FacesMatched":[1.0]' in function.output
    with world.function("people") as function:
        assert function.invoke(request("HEAD", "/users", "/users"))["statusCode"] == 401
        page = function.invoke(request("GET", "/", "/"))
        assert (page["statusCode"], page["headers"]["content-type"]) == (200, "text/html; charset=utf-8")
        assert '<meta name="offers" content="">' in page["body"]  # no link to a route that no function answers
        photo = function.invoke(request("GET", "/images/{image_path+}", f"/images/{path}", key))
        assert (photo["statusCode"], photo["headers"]["cache-control"]) == (307, "private, no-store")
        read = httpx.get(photo["headers"]["location"])
        assert (read.content, read.headers["content-type"]) == (robert[0], "image/jpeg")
        assert read.headers["cache-control"] == "private, no-store"  # browsers keep no photo on disk
        head = function.invoke(request("HEAD", "/images/{image_path+}", f"/images/{path}", key))
        assert (head["statusCode"], head["body"]) == (200, "")  # the redirect would be signed for GET
        assert (head["headers"]["content-type"], head["headers"]["content-length"]) == (
            "image/jpeg",
            str(len(robert[0])),
        )
        bucket = "{0.scheme}://{0.netloc}".format(urlsplit(photo["headers"]["location"]))
        assert f"connect-src 'self' {bucket};" in page["headers"]["content-security-policy"]
        missing = function.invoke(request("GET", "/images/{image_path+}", "/images/uploaded/Bo/no.jpg", key))
        assert missing["statusCode"] == 404
        assert function.invoke(request("POST", "/upload", "/upload", key))["statusCode"] == 404
        calibration = json.loads(function.invoke(request("GET", "/calibration", "/calibration", key))["body"])
        assert calibration == {"points": [], "default_threshold": 80.0}  # Rekognition does not publish its rates
        described = function.invoke(request("GET", "/openapi.json", "/openapi.json", key))
        assert json.loads(described["body"])["servers"] == [{"url": "/dev"}]
        for route in ("/calibration", "/openapi.json"):
            assert function.invoke(request("GET", route, route))["statusCode"] == 401
    assert "Bo" not in function.output
    assert path not in function.output


def test_a_photo_is_given_to_another_person_at_once(world: World, robert: list[bytes], tmp_path: Path) -> None:
    key = world.keep_keys(tmp_path)
    path = "uploaded/Bo/1.jpg"
    world.s3.put_object(Bucket=BUCKET, Key=path, Body=robert[0])
    with world.function("upload") as function:
        function.invoke({"Records": [message(path)]})
        to = {"body": b'{"user_id": "Robert"}', "headers": {"Content-Type": "application/json"}}
        answer = function.invoke(request("PATCH", "/images/{image_path+}", f"/images/{path}", key, **to))
        moved = json.loads(answer["body"])
        assert (answer["statusCode"], moved["status"]) == (200, "indexed")
        event = {"Records": [message(moved["image_path"])]}  # the new object's own event comes after
        assert function.invoke(event) == {"batchItemFailures": []}
    (item,) = world.items("FaceMetadata")
    assert (item["UserId"]["S"], item["ImagePath"]["S"]) == ("Robert", moved["image_path"])
    assert [each["Key"] for each in world.s3.list_objects_v2(Bucket=BUCKET)["Contents"]] == [moved["image_path"]]


def test_a_throttled_recognition_says_so_and_is_counted(world: World, robert: list[bytes], tmp_path: Path) -> None:
    key = world.keep_keys(tmp_path)
    jpeg = {"body": robert[0], "headers": {"Content-Type": "image/jpeg"}}
    world.rekognition.fail(400, "ProvisionedThroughputExceededException")
    with world.function("recognize") as function:
        answer = function.invoke(request("POST", "/recognize", "/recognize", key, **jpeg))
        assert (answer["statusCode"], answer["headers"]["retry-after"]) == (503, "2")
    assert '"Throttled":[1.0]' in function.output


class Lambda(ThreadingHTTPServer):
    """Takes what a function passes to itself, and lets nobody run."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Invocations)
        self.payloads: list[dict[str, Any]] = []


class _Invocations(BaseHTTPRequestHandler):
    server: Lambda

    def do_POST(self) -> None:
        assert self.headers["X-Amz-Invocation-Type"] == "Event"
        self.server.payloads.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def functions() -> Iterator[Lambda]:
    server = Lambda()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def _messages(world: World, queue: str) -> list[dict[str, Any]]:
    answer = world.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
    return [message(body=each["Body"]) for each in answer.get("Messages", [])]


def test_the_reconciliation_reports_and_repairs_by_the_queue_however_often_it_is_cut_off(
    world: World, robert: list[bytes], functions: Lambda
) -> None:
    queue = world.client("sqs").create_queue(QueueName="uploads")["QueueUrl"]
    gone, new = "uploaded/_/a visitor.jpg", "uploaded/Bo/1+1.jpg"
    for path, photo in ((gone, robert[0]), (new, robert[1])):
        world.s3.put_object(Bucket=BUCKET, Key=path, Body=photo)
    with world.function("upload") as function:
        _follow(function, message(gone))
    world.s3.delete_object(Bucket=BUCKET, Key=gone)
    settings = {
        "MIEN_UPLOAD_QUEUE_URL": queue,
        "AWS_ENDPOINT_URL_LAMBDA": f"http://127.0.0.1:{functions.server_port}",
    }
    with world.function("reconcile", 900, **settings) as function:
        function.invoke({"mode": "report"})
        assert _messages(world, queue) == functions.payloads == []
    assert '"PhotosGone":[1.0]' in function.output
    assert '"PhotosWithoutState":[1.0]' in function.output
    assert '"VectorsLeft":[0.0]' in function.output
    with world.function("reconcile", 29, **settings) as function:  # less than a step may take
        function.invoke({"mode": "repair"})
        for calls in range(1, 20):
            if len(functions.payloads) < calls:
                break
            function.invoke(functions.payloads[-1])
    assert len(functions.payloads) > 4
    with world.function("upload") as upload:
        _follow(upload, *_messages(world, queue))
    (item,) = world.items("FaceMetadata")
    assert item["ImagePath"]["S"] == new
    assert world.rekognition.faces() == [item["FaceId"]["S"]]
    assert '"RepairsStopped":[0.0]' in function.output
    assert "visitor" not in function.output
    assert "Bo" not in function.output


@pytest.mark.parametrize("path", ["uploaded/visitor.jpg", "uploaded/_/visitor.jpg"])
def test_photos_of_nobody_expire_wherever_they_lie(world: World, robert: list[bytes], path: str) -> None:
    queue = world.client("sqs").create_queue(QueueName="uploads")["QueueUrl"]
    kept = "uploaded/Bo/1.jpg"
    for key in (path, kept):
        world.s3.put_object(Bucket=BUCKET, Key=key, Body=robert[0])
    with world.function("upload") as function:
        _follow(function, message(path), message(kept))
    for item in world.items("MienRecords"):
        world.dynamodb.update_item(
            TableName="MienRecords",
            Key={"RecordId": item["RecordId"]},
            UpdateExpression="SET #t = :t",
            ExpressionAttributeNames={"#t": "Timestamp"},
            ExpressionAttributeValues={":t": {"S": "2020-01-01T00:00:00.000000Z"}},
        )
    with world.function("reconcile", 900, MIEN_UPLOAD_QUEUE_URL=queue, MIEN_VISITOR_DAYS="30") as function:
        function.invoke({})
    assert '"PhotosExpired":[1.0]' in function.output
    assert [each["Key"] for each in world.s3.list_objects_v2(Bucket=BUCKET)["Contents"]] == [kept]
    (item,) = world.items("FaceMetadata")
    assert world.rekognition.faces() == [item["FaceId"]["S"]]


def test_an_erasure_that_takes_longer_than_a_request_is_finished_by_the_queues_function(
    world: World, robert: list[bytes], tmp_path: Path
) -> None:
    key, queue = world.keep_keys(tmp_path), world.client("sqs").create_queue(QueueName="uploads")["QueueUrl"]
    path = "uploaded/Bo/1.jpg"
    world.s3.put_object(Bucket=BUCKET, Key=path, Body=robert[0])
    forget = request("DELETE", "/users/{user_id+}", "/users/Bo", key)
    with world.function("upload") as upload, world.function("people", MIEN_UPLOAD_QUEUE_URL=queue) as people:
        _follow(upload, message(path))
        world.rekognition.fail(500, "InternalServerError")
        assert people.invoke(forget)["statusCode"] == 503
        assert len(_messages(world, queue)) == 1  # it is wanted, so it need not be asked for again
        world.rekognition.heal()
        world.rekognition.stall_after("DeleteFaces")
        accepted = people.invoke(forget)
        location = accepted["headers"]["location"]
        assert (accepted["statusCode"], location.rpartition("/")[0]) == (202, "/dev/erasures")
        asked = request("GET", "/erasures/{erasure_id}", location.removeprefix("/dev"), key)
        assert json.loads(people.invoke(asked)["body"])["status"] == "pending"
        world.rekognition.heal()
        (wanted,) = _messages(world, queue)
        _follow(upload, wanted)
        _follow(upload, wanted)
        assert json.loads(people.invoke(asked)["body"])["status"] == "done"
        assert people.invoke(forget)["statusCode"] == 404
        assert _messages(world, queue) == []
    assert world.items("FaceMetadata") == world.rekognition.faces() == []
    assert "Bo" not in str(world.items("MienRecords"))
    assert "Bo" not in wanted["body"] + upload.output + people.output


def test_a_form_that_is_older_than_an_erasure_brings_nobody_back(
    world: World, robert: list[bytes], venus: list[bytes], tmp_path: Path
) -> None:
    key = world.keep_keys(tmp_path)
    ask = {"body": b'{"content_type": "image/jpeg", "user_id": "Bo"}', "headers": {"Content-Type": "application/json"}}
    with world.function("upload") as upload:
        before, late, new = ({}, {}, {})  # type: dict[str, Any], dict[str, Any], dict[str, Any]
        for form in (before, late):
            form |= json.loads(upload.invoke(request("POST", "/uploads", "/uploads", key, **ask))["body"])
        _post(world, before, robert[0])
        _follow(upload, message(before["image_path"]))
        assert len(world.rekognition.faces()) == 1
        with world.function("people") as people:
            assert people.invoke(request("DELETE", "/users/{user_id+}", "/users/Bo", key))["statusCode"] == 200
        new |= json.loads(upload.invoke(request("POST", "/uploads", "/uploads", key, **ask))["body"])
        _post(world, late, robert[1])
        _follow(upload, message(late["image_path"]))
        assert world.s3.list_objects_v2(Bucket=BUCKET).get("Contents", []) == []
        assert world.items("FaceMetadata") == world.rekognition.faces() == []
        _post(world, new, robert[2])
        _follow(upload, message(new["image_path"]))
        assert [item["ImagePath"]["S"] for item in world.items("FaceMetadata")] == [new["image_path"]]
    assert "its form is older than the erasure of its person" in upload.output
    assert "Bo" not in upload.output


def _post(world: World, form: dict[str, Any], photo: bytes) -> None:
    sent = httpx.post(f"{world.aws}/{BUCKET}", data=form["fields"], files={"file": photo})
    assert sent.status_code == 204, sent.text


def test_a_person_has_one_pseudonym_in_all_functions(world: World, robert: list[bytes], tmp_path: Path) -> None:
    key, queue = world.keep_keys(tmp_path), world.client("sqs").create_queue(QueueName="uploads")["QueueUrl"]
    path, forget = "uploaded/Bo/1.jpg", request("DELETE", "/users/{user_id+}", "/users/Bo", key)
    world.s3.put_object(Bucket=BUCKET, Key=path, Body=robert[0])
    with world.function("upload") as upload:
        _follow(upload, message(path))
    with world.function("people") as people:
        assert people.invoke(forget)["statusCode"] == 200
    world.s3.put_object(Bucket=BUCKET, Key=path, Body=robert[0])
    with world.function("upload") as again:
        _follow(again, message(path))
        world.dynamodb.put_item(TableName="MienRecords", Item=_intent("Bo"))
    with world.function("reconcile", 900, MIEN_UPLOAD_QUEUE_URL=queue) as reconcile:
        reconcile.invoke({})
    named = [line["audit"]["persons"] for function in (upload, people, again, reconcile) for line in _audit(function)]
    assert len(named) >= 4
    assert {len(persons) for persons in named} == {1}
    assert len({persons[0] for persons in named}) == 1
    receipts = [item for item in world.items("MienRecords") if item["RecordId"]["S"].startswith("ErasureReceipt/")]
    assert len(receipts) == 2
    assert len({item["Owner"]["S"] for item in receipts}) == 1
    assert "Bo" not in str(receipts)


def _intent(user_id: str) -> dict[str, Any]:
    values = {
        "RecordId": f"Erasure/{user_id}",
        "Kind": "Erasure",
        "UserId": user_id,
        "Timestamp": "2099-01-01T00:00:00.000000Z",
    }
    return {name: {"S": value} for name, value in values.items()}


def _audit(function: runtime.RuntimeApi) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in function.output.splitlines() if '"audit"' in line]
    return [line for line in lines if "audit" in line]


def test_nobody_is_erased_or_enrolled_without_the_key_of_the_pseudonyms(
    world: World, robert: list[bytes], tmp_path: Path
) -> None:
    key, path = world.keep_keys(tmp_path), "uploaded/Bo/1.jpg"
    queue = world.client("sqs").create_queue(QueueName="uploads")["QueueUrl"]
    world.s3.put_object(Bucket=BUCKET, Key=path, Body=robert[0])
    with world.function("upload") as upload, world.function("people", MIEN_UPLOAD_QUEUE_URL=queue) as people:
        _follow(upload, message(path))
        faces = world.rekognition.faces()
        world.secrets.delete_secret(SecretId="keys", ForceDeleteWithoutRecovery=True)
        assert people.invoke(request("DELETE", "/users/{user_id+}", "/users/Bo", key))["statusCode"] == 500
    with world.function("upload") as upload:
        other = {"Records": [message("uploaded/Bo/2.jpg")]}
        assert upload.invoke(other) == {"batchItemFailures": [{"itemIdentifier": "m-1"}]}
    with world.function("reconcile", 900) as reconcile, pytest.raises(RuntimeError, match="SetupError"):
        reconcile.invoke({})
    assert world.rekognition.faces() == faces
    assert not [item for item in world.items("MienRecords") if item["RecordId"]["S"].startswith("Erasure/")]


def test_no_trace_leaves_the_functions(world: World, robert: list[bytes], tmp_path: Path) -> None:
    """X-Ray's daemon gets what a function traces; AWS's SDK would send keys and error texts, with user ids in them.

    Each function does its work, and fails at it, too.
    """
    key, path = world.keep_keys(tmp_path), "uploaded/Bo/1.jpg"
    queue = world.client("sqs").create_queue(QueueName="uploads")["QueueUrl"]
    world.s3.put_object(Bucket=BUCKET, Key=path, Body=robert[0])
    arn = f"arn:aws:execute-api:{stack.REGION}:{stack.ACCOUNT}:abcdef123/dev/GET/users"
    stored = request("GET", "/recognize", "/recognize", key, query={"image_path": path})
    forget = request("DELETE", "/users/{user_id+}", "/users/Bo", key)
    events = [
        ("authorizer", request("GET", "/users", "/users", key) | {"type": "REQUEST", "methodArn": arn}),
        ("upload", {"Records": [message(path), message("uploaded/Bo/gone.jpg")]}),
        ("recognize", stored),
        ("failed", {"Records": [message("uploaded/Bo/gone.jpg")]}),
        ("people", forget),
        ("reconcile", {}),
    ]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(1)
        settings = {
            "AWS_XRAY_DAEMON_ADDRESS": "{}:{}".format(*daemon.getsockname()),
            "MIEN_UPLOAD_QUEUE_URL": queue,
        }
        for name, event in events:
            with world.function(name, 900, **settings) as function:
                answer = function.invoke(event) or {}
                assert answer.get("statusCode", 200) == 200, (name, answer)
                world.rekognition.fail(400, "AccessDeniedException")
                with suppress(RuntimeError):  # as a failed reconciliation ends
                    function.invoke(event)
                world.rekognition.heal()
        with pytest.raises(TimeoutError):
            raise AssertionError(daemon.recv(65536).decode())


def test_nothing_is_packed_that_could_trace_aws_calls() -> None:
    assert "xray" not in (stack.INFRA.parent / "locks" / "lambda.txt").read_text()
