"""`mien serve` as a new user meets it: a real process, a real socket, photos copied and sent."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import httpx
import pytest
from botocore.config import Config
from starlette.testclient import TestClient

from mien.api.server import Server
from mien.config import open_embedded
from mien.domain.records import Consent
from mien.settings import Settings
from tests.support.fake_engine import use_fake_engine
from tests.support.painter import photo_of
from tests.support.process import MIEN, PATIENCE_SECONDS, free_port, serve, wait_for

JPEG = {"Content-Type": "image/jpeg"}


@dataclass
class Running:
    client: httpx.Client
    folder: Path

    def indexed(self, location: str) -> dict[str, Any]:
        state: dict[str, Any] = {}

        def settled() -> bool:
            nonlocal state
            state = self.client.get(location).json()
            return state.get("status", "pending") != "pending"

        wait_for(settled)
        return state


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("served")
    port = free_port()
    server = serve(folder, port)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_SECONDS) as client:
            yield Running(client, folder)
    finally:
        server.terminate()
        assert server.wait(PATIENCE_SECONDS) in {0, -15}


def test_from_the_first_upload_to_forgetting(
    running: Running, robert: list[bytes], venus: list[bytes], group: bytes
) -> None:
    client = running.client
    for name, image in (("Venus", venus[0]), ("Venus", venus[1]), ("Ada", photo_of("Ada"))):
        answer = client.post("/upload", data={"user_id": name}, files={"image": image})
        assert answer.status_code == 202
        assert running.indexed(answer.headers["location"])["status"] == "indexed"
    by_hand = running.folder / "bucket" / "uploaded" / "Robert"
    by_hand.mkdir()
    (by_hand / "by hand.jpg").write_bytes(robert[0])
    wait_for(lambda: len(client.get("/users").json()["users"]) == 3)

    seen = client.post("/recognize", content=robert[1], headers=JPEG).json()
    assert [face["user_id"] for face in seen["faces"]] == ["Robert"]
    strangers = client.post("/recognize", content=group, headers=JPEG).json()
    assert [face["status"] for face in strangers["faces"]] == ["unknown"] * 3
    listed = client.get("/recognitions", params={"user_id": "Robert"}).json()["recognitions"]
    assert [r["recognition_id"] for r in listed] == [seen["recognition_id"]]

    receipt = client.delete("/users/Robert").json()
    assert (receipt["faces"], receipt["images"], receipt["traces"]) == (1, 1, [])
    assert not by_hand.exists()
    again = client.post("/recognize", content=robert[1], headers=JPEG).json()
    assert [face["status"] for face in again["faces"]] == ["unknown"]


def test_any_name_goes_through_urls(running: Running) -> None:
    client, name = running.client, "Zoë O'Neill + 100%/2?# 名前"
    image = photo_of("Salma")
    answer = client.post("/upload", params={"user_id": name}, content=image, headers=JPEG)
    state = running.indexed(answer.headers["location"])
    assert (state["status"], state["user_id"]) == ("indexed", name)
    assert client.get("/images/" + quote(state["image_path"])).content == image
    assert client.get("/recognize", params={"image_path": state["image_path"]}).json()["faces"][0]["user_id"] == name
    assert client.get("/users/" + quote(name, safe="")).json()["user_id"] == name
    assert client.delete("/users/" + quote(name, safe="")).json()["traces"] == []


def test_a_presigned_form_takes_one_photo(running: Running) -> None:
    client = running.client
    image = photo_of("Edith")
    form = client.post("/uploads", json={"user_id": "Edith", "content_type": "image/jpeg"}).json()
    assert form["url"].startswith(str(client.base_url))
    forged = form["fields"] | {"key": "uploaded/Somebody/else.jpg"}
    assert httpx.post(form["url"], data=forged, files={"file": image}, timeout=PATIENCE_SECONDS).status_code == 403
    altered = form["fields"] | {"policy": form["fields"]["policy"][:-3] + "AAA"}
    assert httpx.post(form["url"], data=altered, files={"file": image}, timeout=PATIENCE_SECONDS).status_code == 422
    assert (
        httpx.post(form["url"], data=form["fields"], files={"file": b"GIF89a"}, timeout=PATIENCE_SECONDS).status_code
        == 403
    )
    assert (
        httpx.post(form["url"], data=form["fields"], files={"file": image}, timeout=PATIENCE_SECONDS).status_code == 204
    )
    assert running.indexed("/uploads/" + quote(form["image_path"]))["user_id"] == "Edith"


def test_rekognitions_clients_are_served_at_the_same_address(running: Running) -> None:
    rekognition = boto3.client(
        "rekognition",
        endpoint_url=str(running.client.base_url),
        region_name="eu-central-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=Config(retries={"max_attempts": 0}),
    )
    image = photo_of("Sheryl")
    assert len(rekognition.detect_faces(Image={"Bytes": image})["FaceDetails"]) == 1
    uploaded = running.client.post("/upload", params={"user_id": "Sheryl"}, content=image, headers=JPEG).json()
    place = {"Bucket": "facial-recognition-bucket", "Name": uploaded["image_path"]}
    for version in ({}, {"Version": "null"}):
        assert len(rekognition.detect_faces(Image={"S3Object": place | version})["FaceDetails"]) == 1
    with pytest.raises(rekognition.exceptions.InvalidS3ObjectException):
        rekognition.detect_faces(Image={"S3Object": place | {"Version": "3HL4kqtJvjVBH40Nrjfkd"}})


def test_the_wire_api_alone_keeps_what_the_folder_promises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, robert: list[bytes], venus: list[bytes]
) -> None:
    use_fake_engine(monkeypatch)
    settings = Settings(data_dir=tmp_path / "data")
    backend = open_embedded(settings)
    with backend.app as app:
        path = app.enroll(robert[0], "Robert").image_path
        for person in ("Venus", "Grace"):
            app.enroll(venus[0], person)
        app.request_erasure("Venus")
        backend.catalog.put(Consent("Grace", datetime(2020, 1, 1, tzinfo=UTC)))
    (settings.data_dir / "bucket" / path).unlink()
    with TestClient(Server(settings, rekognition_only=True)), open_embedded(settings).app as app:
        wait_for(lambda: not app.people().items and not app.pending_erasures())
        assert app.faces().items == ()


def test_foreign_hosts_are_refused(running: Running) -> None:
    assert running.client.get("/users", headers={"Host": "evil.example"}).status_code == 403


def test_other_machines_need_keys(tmp_path: Path) -> None:
    command = [*MIEN, "serve", "--host", "0.0.0.0", "--port", "0"]
    refused = subprocess.run(
        command,
        env=os.environ | {"MIEN_DATA_DIR": str(tmp_path)},
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert refused.returncode != 0
    assert "mien keys create" in refused.stderr
