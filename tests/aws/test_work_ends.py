"""Whatever hangs, dies or is missing: requests get a problem document, and photos an end."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mien.lambdas import queue_messages, upload_queue
from tests.aws.world import BUCKET, World, as_event, message, queues, request
from tests.support.process import PATIENCE_SECONDS

JPEG = {"Content-Type": "image/jpeg"}
ONCE = {"AWS_MAX_ATTEMPTS": "1"}  # so that a call which hangs ends after one time-out, 8 s
AGAIN = {"batchItemFailures": [{"itemIdentifier": "m-1"}]}


@pytest.fixture
def keyed(world: World, tmp_path: Path) -> tuple[World, str]:
    return world, world.keep_keys(tmp_path)


def problem(answer: dict[str, Any]) -> dict[str, Any]:
    assert answer["headers"].get("content-type", answer["headers"].get("Content-Type")) == "application/problem+json"
    found: dict[str, Any] = json.loads(answer["body"])
    assert found["status"] == answer["statusCode"]
    return found


def test_a_recognition_on_which_rekognition_hangs_is_refused_with_a_problem(
    keyed: tuple[World, str], robert: list[bytes]
) -> None:
    world, key = keyed
    asked = request("POST", "/recognize", "/recognize", key, body=robert[0], headers=JPEG)
    world.rekognition.stall_after("SearchUsersByImage")
    with world.function("recognize", 28, **ONCE) as function:
        refused = function.invoke(asked)
        assert (problem(refused)["detail"], refused["statusCode"]) == ("AWS does not answer in time; try again.", 503)
        assert "retry-after" in refused["headers"]
        assert world.items("RecognitionResults") == []
        world.rekognition.heal()
        assert function.invoke(asked)["statusCode"] == 200
    assert '"Throttled":[1.0]' in function.output


def test_a_photo_on_which_rekognition_hangs_is_tried_again_later(world: World, robert: list[bytes]) -> None:
    url, _ = queues(world, receives=10)
    path = "uploaded/Bo/1.jpg"
    world.s3.put_object(Bucket=BUCKET, Key=path, Body=robert[0])
    event = {"Records": [message(path)]}
    world.rekognition.stall_after("IndexFaces")
    with world.function("upload", MIEN_UPLOAD_QUEUE_URL=url, **ONCE) as function:
        assert function.invoke(event) == AGAIN
        assert world.items("FaceMetadata") == []
        world.rekognition.heal()
        assert function.invoke(event) == {"batchItemFailures": []}
    (item,) = world.items("FaceMetadata")
    assert world.rekognition.faces() == [item["FaceId"]["S"]]
    assert '"UploadsRetried":[1.0]' in function.output


def test_a_photo_that_ends_its_function_fails_after_the_third_time_and_others_go_on(
    world: World, robert: list[bytes], venus: list[bytes]
) -> None:
    url, dead = queues(world, receives=upload_queue.MAX_RECEIVES)
    poisoned, other = "uploaded/Bo/poisoned.jpg", "uploaded/Venus/1.jpg"
    for path, photo in ((poisoned, robert[0]), (other, venus[0])):
        world.s3.put_object(Bucket=BUCKET, Key=path, Body=photo)
    sqs = world.client("sqs")
    sqs.send_message(QueueUrl=url, MessageBody=message(poisoned)["body"])
    for deaths in range(upload_queue.MAX_DEATHS):
        world.rekognition.stall_after("IndexFaces")
        with world.function("upload", MIEN_UPLOAD_QUEUE_URL=url) as function:
            function.begin({"Records": [_received(sqs, url)]})
            assert world.rekognition.stalled.wait(PATIENCE_SECONDS), deaths
        world.rekognition.heal()  # the function is killed
    with world.function("upload", MIEN_UPLOAD_QUEUE_URL=url) as function:
        assert function.invoke({"Records": [_received(sqs, url)]}) == {"batchItemFailures": []}
        assert _status(world, poisoned) == "failed"
        assert "indexing_interrupted" in str(world.items("MienRecords"))
        assert world.items("FaceMetadata") == []
        assert function.invoke({"Records": [message(other, message_id="m-2")]}) == {"batchItemFailures": []}
        assert _status(world, other) == "indexed"
        again = {"Records": [message(poisoned, message_id="m-3")]}  # somebody asks for it: a new message
        assert function.invoke(again) == {"batchItemFailures": []}
        assert _status(world, poisoned) == "indexed"
    assert "Messages" not in sqs.receive_message(QueueUrl=dead)
    assert "poisoned" not in function.output


def test_a_photo_that_fails_politely_comes_more_often_than_one_that_ends_its_function(
    world: World, robert: list[bytes]
) -> None:
    path = "uploaded/Bo/1.jpg"
    world.s3.put_object(Bucket=BUCKET, Key=path, Body=robert[0])
    world.rekognition.fail(400, "ProvisionedThroughputExceededException")
    with world.function("upload") as function:
        for receives in range(1, upload_queue.MAX_RECEIVES):
            assert function.invoke({"Records": [message(path, receives=receives)]}) == AGAIN
        world.rekognition.heal()
        assert world.unended_attempts() == {"m-1": -1}  # the first is not noted, only its end
        last = {"Records": [message(path, receives=upload_queue.MAX_RECEIVES)]}
        assert function.invoke(last) == {"batchItemFailures": []}
    assert _status(world, path) == "indexed"


def test_an_erasure_takes_as_many_attempts_as_it_needs(world: World) -> None:
    intent = {"RecordId": "Erasure/Bo", "Kind": "Erasure", "UserId": "Bo", "Timestamp": "2026-01-01T00:00:00.000000Z"}
    world.dynamodb.put_item(TableName="MienRecords", Item={name: {"S": text} for name, text in intent.items()})
    with world.function("upload") as function:
        world.rekognition.fail(500, "InternalServerError")
        for receives in range(1, upload_queue.MAX_DEATHS + 3):
            assert function.invoke({"Records": [message(body=queue_messages.ERASURES, receives=receives)]}) == AGAIN
        assert world.unended_attempts() == {}
    world.rekognition.heal()
    last = {"Records": [message(body=queue_messages.ERASURES, receives=upload_queue.MAX_RECEIVES)]}
    with world.function("upload") as function:
        assert function.invoke(last) == {"batchItemFailures": []}
    assert [item["Kind"]["S"] for item in world.items("MienRecords")] == ["ErasureReceipt"]


def _received(sqs: Any, url: str) -> dict[str, Any]:
    (received,) = sqs.receive_message(QueueUrl=url, AttributeNames=["All"], VisibilityTimeout=0)["Messages"]
    return as_event(received)


def _status(world: World, path: str) -> str:
    uploads = [item for item in world.items("MienRecords") if item["RecordId"]["S"].startswith("Upload/")]
    (status,) = [item["Status"]["S"] for item in uploads if item["ImagePath"]["S"] == path]
    return str(status)


class Refusing(ThreadingHTTPServer):
    """A Secrets Manager that answers every call with an error."""

    def __init__(self, code: str) -> None:
        super().__init__(("127.0.0.1", 0), _Refusal)
        self.code = code


class _Refusal(BaseHTTPRequestHandler):
    server: Refusing

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"__type": self.server.code, "Message": "of the secret keys-of-Bo"}).encode()
        self.send_response(400)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(params=["ResourceNotFoundException", "AccessDeniedException", "DecryptionFailure"])
def without_secrets(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Settings under which the secret is missing, denied, or encrypted with a key that may not be used."""
    server = Refusing(request.param)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {"AWS_ENDPOINT_URL_SECRETS_MANAGER": f"http://127.0.0.1:{server.server_port}"}
    server.shutdown()


def test_without_the_secret_requests_get_a_problem_and_photos_wait(
    world: World, robert: list[bytes], without_secrets: dict[str, str]
) -> None:
    path = "uploaded/Bo/1.jpg"
    world.s3.put_object(Bucket=BUCKET, Key=path, Body=robert[0])
    key = "mien_00000000_" + 43 * "a"
    with world.function("recognize", **without_secrets) as function:
        answer = function.invoke(request("POST", "/recognize", "/recognize", key, body=robert[0], headers=JPEG))
        refused = problem(answer)
    assert refused["status"] == 500
    assert "Bo" not in refused["detail"] + function.output
    with world.function("upload", **without_secrets) as function:
        assert function.invoke({"Records": [message(path)]}) == AGAIN
    assert "Bo" not in function.output
    assert world.rekognition.faces() == world.items("FaceMetadata") == []
