"""What goes wrong around the deployed stack: nothing is lost, nobody is recognised wrongly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.aws.conftest import Deployment
from tests.aws.test_deployed import indexed, until
from tests.support.painter import photo_of

pytestmark = pytest.mark.aws

BURST = int(os.environ.get("MIEN_AWS_BURST", "60"))
SECONDS_PER_PHOTO = 2.0
JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture(autouse=True)
def healthy_again(deployment: Deployment) -> Iterator[None]:
    yield
    deployment.rekognition.heal()


@pytest.mark.parametrize(
    ("status", "code", "answer"), [(500, "InternalServerError", 503), (400, "AccessDeniedException", 500)]
)
def test_a_rekognition_that_fails_loses_nothing_and_names_nobody(
    deployment: Deployment, robert: list[bytes], status: int, code: str, answer: int
) -> None:
    path = f"uploaded/Fault/{status}.jpg"
    with deployment.stack.api(deployment.key) as api:
        before = len(api.get("/recognitions").json()["recognitions"])
        retried = _counted(deployment, "UploadsRetried")
        deployment.rekognition.fail(status, code)
        deployment.stack.client("s3").put_object(Bucket=deployment.bucket, Key=path, Body=robert[0])
        refused = api.post("/recognize", content=robert[1], headers=JPEG)
        assert refused.status_code == answer
        until(lambda: _counted(deployment, "UploadsRetried") > retried)
        assert api.get(f"/uploads/{path}").json()["status"] == "pending"
        deployment.rekognition.heal()
        assert until(lambda: indexed(api, path))["status"] == "indexed"
        assert len(api.get("/recognitions").json()["recognitions"]) == before
        api.delete("/users/Fault").raise_for_status()


def test_a_burst_beyond_rekognitions_quota_waits_and_loses_nothing(deployment: Deployment) -> None:
    s3, dynamodb = deployment.stack.client("s3"), deployment.stack.client("dynamodb")
    deployment.rekognition.throttle(IndexFaces=5, SearchFaces=5, CreateUser=5, AssociateFaces=5)
    paths = [f"uploaded/Person {number % 100}/{number}.jpg" for number in range(BURST)]
    for number, path in enumerate(paths):
        s3.put_object(Bucket=deployment.bucket, Key=path, Body=photo_of(number % 100, photo=number // 100))
    states = until(lambda: _final_states(dynamodb, paths), patience=60 + BURST * SECONDS_PER_PHOTO)
    faces = _scan(dynamodb, "FaceMetadata")
    assert sorted(face["ImagePath"]["S"] for face in faces) == sorted(
        path for path, status in states.items() if status == "indexed"
    )
    assert set(states.values()) == {"indexed"}
    dead = deployment.stack.client("sqs").get_queue_attributes(
        QueueUrl=_queue(deployment, "mien-dev-photos-failed"), AttributeNames=["ApproximateNumberOfMessages"]
    )
    assert dead["Attributes"]["ApproximateNumberOfMessages"] == "0"


def test_what_never_succeeds_is_set_aside(deployment: Deployment) -> None:
    sqs = deployment.stack.client("sqs")
    attributes = sqs.get_queue_attributes(
        QueueUrl=_queue(deployment, "mien-dev-photos"), AttributeNames=["RedrivePolicy"]
    )
    assert deployment.stack.outputs["DeadLetterQueueArn"] in attributes["Attributes"]["RedrivePolicy"]


def _queue(deployment: Deployment, name: str) -> str:
    url: str = deployment.stack.client("sqs").get_queue_url(QueueName=name)["QueueUrl"]
    return url


def _final_states(dynamodb: Any, paths: list[str]) -> dict[str, str] | None:
    """When every photo has one."""
    items = _scan(dynamodb, "MienRecords")
    found = {item["ImagePath"]["S"]: item["Status"]["S"] for item in items if item["RecordId"]["S"].startswith("Upload/")}
    states = {path: found[path] for path in paths if found.get(path, "pending") != "pending"}
    return states if len(states) == len(paths) else None


def _scan(dynamodb: Any, table: str) -> list[dict[str, Any]]:
    pages = dynamodb.get_paginator("scan").paginate(TableName=table)
    return [item for page in pages for item in page["Items"]]


def _counted(deployment: Deployment, metric: str) -> int:
    """How often the function's log lines, which CloudWatch reads as metrics, speak of it."""
    logs = deployment.stack.client("logs")
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName="/aws/lambda/mien-dev-upload")
    return sum(f'"{metric}":[' in event["message"] for page in pages for event in page["events"])
