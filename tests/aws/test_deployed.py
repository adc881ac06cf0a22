"""The deployed stack as its users meet it: a real `sam deploy` to an emulator that enforces IAM."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from mien.lambdas.api_gateway import ROUTES
from tests.aws.conftest import Deployment

pytestmark = pytest.mark.aws

ROBERT = "Robert De Niro"
PATIENCE = 120.0


def until(ask: Callable[[], Any], patience: float = PATIENCE, pause: float = 0.5) -> Any:
    """The first answer that is not empty."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if answer := ask():
            return answer
        time.sleep(pause)
    raise TimeoutError("it has not come to pass")


def indexed(api: httpx.Client, path: str) -> dict[str, Any] | None:
    state: dict[str, Any] = api.get(f"/uploads/{quote(path)}").raise_for_status().json()
    return None if state["status"] == "pending" else state


def test_no_route_is_open(deployment: Deployment) -> None:
    with deployment.stack.api(None) as stranger:
        for method, resource in (route for routes in ROUTES.values() for route in routes):
            path = resource.replace("{file+}", "api.js").replace("{", "").replace("+}", "").replace("}", "")
            if (method, resource) == ("POST", "/users/{user_id+}"):
                path += "/merge"
            expected = 200 if resource in {"/", "/static/{file+}"} else 404 if method == "OPTIONS" else 401
            assert stranger.request(method, path).status_code == expected, (method, resource)


def test_from_upload_to_recognition_to_erasure(deployment: Deployment, robert: list[bytes], venus: list[bytes]) -> None:
    s3, dynamodb = deployment.stack.client("s3"), deployment.stack.client("dynamodb")
    probe = "uploaded/_/a probe+1.jpg"
    with deployment.stack.api(deployment.key) as api:
        sent = api.post(
            "/upload", params={"user_id": ROBERT}, content=robert[0], headers={"Content-Type": "image/jpeg"}
        )
        assert sent.status_code == 202
        assert sent.headers["location"].startswith("/dev/uploads/uploaded/")
        s3.put_object(Bucket=deployment.bucket, Key="uploaded/Venus/1.jpg", Body=venus[0])
        state = until(lambda: indexed(api, sent.json()["image_path"]))
        assert state["status"] == "indexed"
        (face_id,) = state["face_ids"]
        until(lambda: indexed(api, "uploaded/Venus/1.jpg"))
        item = dynamodb.get_item(TableName="FaceMetadata", Key={"FaceId": {"S": face_id}})["Item"]
        assert item["UserId"] == {"S": ROBERT}
        assert item["ImagePath"] == {"S": sent.json()["image_path"]}
        assert "Timestamp" in item

        s3.put_object(Bucket=deployment.bucket, Key=probe, Body=robert[1])
        until(lambda: indexed(api, probe))
        answer = api.get("/recognize", params={"image_path": probe})
        assert answer.status_code == 200
        (face,) = answer.json()["faces"]
        assert (face["status"], face["user_id"]) == ("matched", ROBERT)
        stored = dynamodb.get_item(
            TableName="RecognitionResults", Key={"RecognitionId": {"S": answer.json()["recognition_id"]}}
        )["Item"]
        assert stored["ImagePath"] == {"S": probe}
        assert "ExpiresAt" in stored
        listed = api.get("/recognitions", params={"user_id": ROBERT}).json()["recognitions"]
        assert [r["recognition_id"] for r in listed] == [answer.json()["recognition_id"]]

        receipt = api.delete(f"/users/{quote(ROBERT)}")
        assert receipt.status_code == 200, receipt.text
        assert receipt.json()["traces"] == []
        assert not nothing_left(dynamodb)
        again = api.post("/recognize", content=robert[2], headers={"Content-Type": "image/jpeg"}).json()
        assert [face["status"] for face in again["faces"]] == ["unknown"]
        assert api.delete("/users/Venus").status_code == 200


def nothing_left(dynamodb: Any) -> list[str]:
    """Tables in which the person's name is still to be found."""
    return [
        table
        for table in ("FaceMetadata", "RecognitionResults", "MienRecords")
        if ROBERT in str(dynamodb.scan(TableName=table)["Items"])
    ]


def test_photos_pass_through_the_door_unchanged(deployment: Deployment, robert: list[bytes]) -> None:
    with deployment.stack.api(deployment.key) as api:
        sent = api.post("/upload", files={"image": robert[3]}, data={"user_id": "Bo"})
        path = sent.raise_for_status().json()["image_path"]
        until(lambda: indexed(api, path))
        photo = api.get(f"/images/{quote(path)}")
        assert photo.status_code == 307
        assert httpx.get(photo.headers["location"]).content == robert[3]
        assert api.post("/compare", files={"source": robert[3], "target": robert[0]}).json()["matches"]
        assert len(api.post("/detect", files={"image": robert[0]}).json()["faces"]) == 1
        assert api.get("/health").json()["status"] == "ok"
        assert [user["user_id"] for user in api.get("/users").json()["users"]] == ["Bo"]
        api.delete("/users/Bo").raise_for_status()


def test_a_photo_is_given_to_another_person(deployment: Deployment, robert: list[bytes]) -> None:
    with deployment.stack.api(deployment.key) as api:
        sent = api.post("/upload", files={"image": robert[0]}, data={"user_id": "Bo"}).raise_for_status().json()
        until(lambda: indexed(api, sent["image_path"]))
        moved = api.patch(f"/images/{quote(sent['image_path'])}", json={"user_id": "Robert"})
        assert (moved.status_code, moved.json()["status"]) == (200, "indexed"), moved.text
        assert [user["user_id"] for user in api.get("/users").json()["users"]] == ["Robert"]
        assert api.get("/calibration").json()["points"] == []
        assert "/recognize" in api.get("/openapi.json").json()["paths"]
        api.delete("/users/Robert").raise_for_status()


def test_a_presigned_form_uploads_past_the_api(deployment: Deployment, robert: list[bytes]) -> None:
    with deployment.stack.api(deployment.key) as api:
        form = api.post("/uploads", json={"content_type": "image/jpeg", "user_id": "Form"}).raise_for_status().json()
        posted = httpx.post(form["url"], data=form["fields"], files={"file": robert[0]})
        assert posted.status_code == 204, posted.text
        assert until(lambda: indexed(api, form["image_path"]))["status"] == "indexed"
        api.delete("/users/Form").raise_for_status()


def test_what_is_no_photo_is_rejected_with_a_reason(deployment: Deployment) -> None:
    deployment.stack.client("s3").put_object(Bucket=deployment.bucket, Key="uploaded/No/text.jpg", Body=b"no photo")
    with deployment.stack.api(deployment.key) as api:
        state = until(lambda: indexed(api, "uploaded/No/text.jpg"))
        assert (state["status"], len(state["reasons"])) == ("rejected", 1)
        api.delete("/users/No").raise_for_status()


@pytest.mark.parametrize("folder", ["uploaded/", "uploaded/_/", "uploaded/Gone/"])
def test_the_faces_of_a_photo_that_is_deleted_are_removed(
    deployment: Deployment, robert: list[bytes], folder: str
) -> None:
    """What expires by a lifecycle rule is told by an event of another name, which the emulator does not send."""
    s3 = deployment.stack.client("s3")
    path = f"{folder}gone 1.jpg"
    before = set(deployment.rekognition.faces())
    with deployment.stack.api(deployment.key) as api:
        s3.put_object(Bucket=deployment.bucket, Key=path, Body=robert[1])
        assert until(lambda: indexed(api, path))["status"] == "indexed"
        assert set(deployment.rekognition.faces()) > before
        s3.delete_object(Bucket=deployment.bucket, Key=path)
        until(lambda: set(deployment.rekognition.faces()) == before)
        until(lambda: api.get(f"/uploads/{quote(path)}").status_code == 404)
        assert "Gone" not in str(api.get("/users").json())
