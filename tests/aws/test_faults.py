"""What goes wrong around the deployed stack: nothing is lost, nobody is recognised wrongly."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.aws.conftest import Deployment
from tests.aws.test_deployed import indexed, until
from tests.support.painter import photo_of

pytestmark = pytest.mark.aws

BURST = int(os.environ.get("MIEN_AWS_BURST", "300"))
QUOTA = max(5, BURST // 100)  # calls per second, of each operation
PEOPLE = 100
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
    deployment.rekognition.throttle(IndexFaces=QUOTA, SearchFaces=QUOTA, CreateUser=QUOTA, AssociateFaces=QUOTA)
    left_before = _without_metadata(deployment)
    paths = [f"uploaded/Person {number % PEOPLE}/{number}.jpg" for number in range(BURST)]
    for number, path in enumerate(paths):
        body = photo_of(number % PEOPLE, photo=number // PEOPLE)
        s3.put_object(Bucket=deployment.bucket, Key=path, Body=body)
    pause = BURST / 100  # a look at all states takes long, too
    states = until(lambda: _final_states(dynamodb, paths), patience=60 + BURST * SECONDS_PER_PHOTO, pause=pause)
    assert Counter(states.values()) == {"indexed": BURST}
    assert deployment.rekognition.refused > BURST // 10
    faces = [face for face in _scan(dynamodb, "FaceMetadata") if face["ImagePath"]["S"] in states]
    assert sorted(face["ImagePath"]["S"] for face in faces) == sorted(paths)
    assert {face["FaceId"]["S"] for face in faces} <= set(deployment.rekognition.faces())
    assert _without_metadata(deployment) == left_before
    assert _face_counts(deployment) == {f"Person {n}": len(range(n, BURST, PEOPLE)) for n in range(min(PEOPLE, BURST))}
    dead = deployment.stack.client("sqs").get_queue_attributes(
        QueueUrl=_queue(deployment, "mien-dev-photos-failed"), AttributeNames=["ApproximateNumberOfMessages"]
    )
    assert dead["Attributes"]["ApproximateNumberOfMessages"] == "0"


def test_what_never_succeeds_is_set_aside(deployment: Deployment) -> None:
    sqs = deployment.stack.client("sqs")
    attributes = sqs.get_queue_attributes(
        QueueUrl=_queue(deployment, "mien-dev-photos"), AttributeNames=["RedrivePolicy"]
    )
    assert ":mien-dev-photos-failed" in attributes["Attributes"]["RedrivePolicy"]


def _queue(deployment: Deployment, name: str) -> str:
    url: str = deployment.stack.client("sqs").get_queue_url(QueueName=name)["QueueUrl"]
    return url


def _without_metadata(deployment: Deployment) -> set[str]:
    known = {face["FaceId"]["S"] for face in _scan(deployment.stack.client("dynamodb"), "FaceMetadata")}
    return set(deployment.rekognition.faces()) - known


def _face_counts(deployment: Deployment) -> dict[str, int]:
    """How many faces each person of the burst has, as the list of people says."""
    found: dict[str, int] = {}
    with deployment.stack.api(deployment.key) as api:
        parameters: dict[str, str | int] = {"limit": 30}
        while True:
            page = api.get("/users", params=parameters).raise_for_status().json()
            found |= {user["user_id"]: user["face_count"] for user in page["users"]}
            if not page["next_cursor"]:
                return {user_id: count for user_id, count in found.items() if user_id.startswith("Person ")}
            parameters["cursor"] = page["next_cursor"]


def _final_states(dynamodb: Any, paths: list[str]) -> dict[str, str] | None:
    """When every photo has one."""
    uploads = [item for item in _scan(dynamodb, "MienRecords") if item["RecordId"]["S"].startswith("Upload/")]
    found = {item["ImagePath"]["S"]: item["Status"]["S"] for item in uploads}
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
