"""A family's life on the deployed stack, as its operator sees it; in the end report, proof and audit log agree."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config

from mien.security.audit import pseudonym
from mien.security.signing import Signer
from tests.aws import local
from tests.aws.conftest import Deployment
from tests.aws.test_command_line import mien
from tests.aws.test_deployed import indexed, until
from tests.support.painter import photo_of
from tests.support.process import PATIENCE_SECONDS

pytestmark = pytest.mark.aws

JPEG = {"Content-Type": "image/jpeg"}
GROUPS = ("upload", "recognize", "people", "reconcile")
RECOGNITIONS = 40
ADA, GRACE, TWICE, HEDY, VISITOR = range(90, 95)
"""Faces that no test before this one has left enrolled."""


def test_a_family_is_enrolled_renamed_merged_and_partly_forgotten(deployment: Deployment) -> None:
    s3, before = deployment.stack.client("s3"), set(deployment.rekognition.faces())
    with deployment.stack.api(deployment.key) as api:
        ada, grace, twice, hedy = (_enroll(api, name, face) for name, face in _FAMILY)
        assert all(user_id.startswith("p-") for user_id, _ in (ada, grace, twice, hedy))
        renamed = api.patch(f"/users/{grace[0]}", json={"name": "Grace Hopper"}).raise_for_status().json()
        assert (renamed["user_id"], renamed["name"]) == (grace[0], "Grace Hopper")
        api.post(f"/users/{twice[0]}/merge", json={"into": ada[0]}).raise_for_status()
        assert _recognised(api, photo_of(GRACE, photo=5)) == ("Grace Hopper", grace[0])
        assert _recognised(api, photo_of(TWICE, photo=5)) == ("Ada", ada[0])

        s3.delete_object(Bucket=deployment.bucket, Key=grace[1][0])
        until(lambda: api.get(f"/uploads/{grace[1][0]}").status_code == 404)
        assert len(api.get("/faces", params={"user_id": grace[0]}).json()["faces"]) == 1
        _let_a_visitor_expire(deployment, api)

        form = api.post("/uploads", json={"content_type": "image/jpeg", "user_id": ada[0]}).raise_for_status().json()
        with _recognitions(deployment, photo_of(ADA, photo=6)):
            _forget_and_kill(deployment, api, ada[0])
        assert httpx.post(form["url"], data=form["fields"], files={"file": photo_of(ADA, photo=7)}).status_code == 204
        _reconcile(deployment)
        until(lambda: not _keys(deployment, f"uploaded/{ada[0]}/"))
        until(lambda: api.get(f"/users/{ada[0]}").status_code == 404)
        assert _recognised(api, photo_of(ADA, photo=5)) == _recognised(api, photo_of(TWICE, photo=5)) == (None, None)
        assert _recognised(api, photo_of(HEDY, photo=5)) == ("Hedy", hedy[0])

        for user_id in (ada[0], twice[0]):
            assert mien(deployment, "verify-erased", user_id) == (0, {"erased": True, "traces": []})
        code, report = mien(deployment, "repair", "--report")
        assert (code, {name: count for name, count in report.items() if count}) == (0, {})
        _the_audit_log_agrees(deployment, {ada[0]: "erase", grace[0]: "change_person", twice[0]: "merge"})

        for user_id in (grace[0], hedy[0]):
            api.delete(f"/users/{user_id}").raise_for_status()
        assert set(deployment.rekognition.faces()) == before


_FAMILY = (("Ada", ADA), ("Grace", GRACE), ("Ada L.", TWICE), ("Hedy", HEDY))
"""A name and the face that is painted for it."""


def _enroll(api: httpx.Client, name: str, face: int) -> tuple[str, list[str]]:
    """The id that a person got, and the paths of two photos."""
    paths = []
    for number in range(2):
        content = photo_of(face, photo=number)
        sent = api.post("/upload", params={"name": name}, content=content, headers=JPEG).raise_for_status().json()
        paths.append(sent["image_path"])
    for path in paths:
        assert until(lambda path=path: indexed(api, path))["status"] == "indexed"  # type: ignore[misc]
    return sent["user_id"], paths


def _recognised(api: httpx.Client, photo: bytes) -> tuple[str | None, str | None]:
    (face,) = api.post("/recognize", content=photo, headers=JPEG).raise_for_status().json()["faces"]
    return face["name"], face["user_id"]


def _let_a_visitor_expire(deployment: Deployment, api: httpx.Client) -> None:
    """As the lifecycle rule does it: the object goes without an event of its removal, and another event tells."""
    s3, sqs, path = deployment.stack.client("s3"), deployment.stack.client("sqs"), "uploaded/_/a visitor.jpg"
    s3.put_object(Bucket=deployment.bucket, Key=path, Body=photo_of(VISITOR))
    (face_id,) = until(lambda: indexed(api, path))["face_ids"]
    with _without_events_of_removals(s3, deployment.bucket):
        s3.delete_object(Bucket=deployment.bucket, Key=path)
    assert face_id in deployment.rekognition.faces()
    record = {"eventName": "LifecycleExpiration:Delete", "s3": {"object": {"key": "uploaded/_/a+visitor.jpg"}}}
    queue = sqs.get_queue_url(QueueName="mien-dev-photos")["QueueUrl"]
    sqs.send_message(QueueUrl=queue, MessageBody=json.dumps({"Records": [record]}))
    until(lambda: face_id not in deployment.rekognition.faces())


@contextmanager
def _without_events_of_removals(s3: Any, bucket: str) -> Iterator[None]:
    configuration = s3.get_bucket_notification_configuration(Bucket=bucket)
    all_events = {"QueueConfigurations": configuration["QueueConfigurations"]}
    created = [each for each in all_events["QueueConfigurations"] if "s3:ObjectCreated:*" in each["Events"]]
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"QueueConfigurations": created})
    try:
        yield
    finally:
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=all_events)


@contextmanager
def _recognitions(deployment: Deployment, photo: bytes) -> Iterator[None]:
    """Recognise a photo over and over meanwhile."""
    is_over = threading.Event()

    def recognise() -> None:
        with deployment.stack.api(deployment.key) as api:
            for _ in range(RECOGNITIONS):
                if is_over.is_set():
                    break
                api.post("/recognize", content=photo, headers=JPEG)

    thread = threading.Thread(target=recognise)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _forget_and_kill(deployment: Deployment, api: httpx.Client, user_id: str) -> None:
    """The function dies once the first faces are deleted."""
    deployment.rekognition.stall_after("DeleteFaces")
    request = threading.Thread(target=api.delete, args=(f"/users/{user_id}",))
    request.start()
    assert deployment.rekognition.stalled.wait(PATIENCE_SECONDS)
    _kill(deployment, "people")
    deployment.rekognition.heal()
    request.join()
    pending = deployment.stack.client("dynamodb").get_item(
        TableName="MienRecords", Key={"RecordId": {"S": f"Erasure/{user_id}"}}
    )
    assert "Item" in pending


def _kill(deployment: Deployment, function: str) -> None:
    """Kill the emulator's processes of one function; others' have another address of Rekognition."""
    ours = {
        f"AWS_LAMBDA_FUNCTION_NAME=mien-dev-{function}",
        f"AWS_ENDPOINT_URL_REKOGNITION={deployment.rekognition_url}",
    }
    killed = 0
    for entry in Path("/proc").iterdir():
        try:
            environment = set((entry / "environ").read_text().split("\0"))
        except (OSError, UnicodeDecodeError):
            continue
        if ours <= environment:
            os.kill(int(entry.name), signal.SIGKILL)
            killed += 1
    assert killed


def _reconcile(deployment: Deployment) -> None:
    """The daily run, which only reports what it finds."""
    patient = Config(read_timeout=600, retries={"max_attempts": 0})
    functions = boto3.client("lambda", endpoint_url=deployment.stack.endpoint, config=patient, **local.CREDENTIALS)
    answer = functions.invoke(FunctionName="mien-dev-reconcile", Payload=b'{"mode": "report"}')
    assert "FunctionError" not in answer, answer["Payload"].read()


def _keys(deployment: Deployment, prefix: str) -> list[str]:
    listed = deployment.stack.client("s3").list_objects_v2(Bucket=deployment.bucket, Prefix=prefix)
    return [entry["Key"] for entry in listed.get("Contents", [])]


def _the_audit_log_agrees(deployment: Deployment, done: dict[str, str]) -> None:
    """Each person has one pseudonym in the lines of all functions, and no line has an id or a name."""
    secret = deployment.stack.client("secretsmanager").get_secret_value(SecretId="mien-dev-keys")
    signer = Signer(json.loads(secret["SecretString"])["signing"].encode())
    logs = deployment.stack.client("logs")
    lines = [
        event["message"]
        for group in GROUPS
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/mien-dev-{group}")
        for event in page["events"]
    ]
    entries = [json.loads(line)["audit"] for line in lines if '"audit":' in line]
    for user_id, action in done.items():
        actions = {entry["action"] for entry in entries if pseudonym(signer, user_id) in entry["persons"]}
        assert {"enroll", "upload", action} <= actions
        assert not any(user_id in line for line in lines)
    assert not any("Hopper" in line for line in lines)
