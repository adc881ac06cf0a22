"""Strangers over HTTP: remembered on request, listed in groups, named, and only with the right keys."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from mien.api.api import create_api
from mien.app.app import FaceApp
from mien.backends.memory.bucket import MemoryBucket
from mien.backends.memory.catalog import MemoryCatalog
from mien.backends.memory.recognizer import MemoryRecognizer
from mien.domain.groups import NO_GROUPS
from mien.settings import Settings
from tests.support.painter import photo_of

JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture
def client(service):
    return service.client


def remember(client, person: str, photo: int = 0) -> dict:
    body = photo_of(person, photo=photo)
    answer = client.post("/recognize?remember=true", content=body, headers=JPEG)
    assert answer.status_code == 200
    return answer.json()["faces"][0]["stranger"]


def test_a_stranger_is_known_again(client):
    first, again = remember(client, "Ada"), remember(client, "Ada", 1)
    assert (again["group_id"], again["faces"]) == (first["group_id"], 2)
    assert first["first_seen"] == again["first_seen"] < again["last_seen"]
    assert remember(client, "Grace")["group_id"] != first["group_id"]


def test_nobody_is_remembered_unasked(client):
    answer = client.post("/recognize", content=photo_of("Ada"), headers=JPEG)
    assert answer.json()["faces"][0]["stranger"] is None
    assert client.get("/groups").json()["groups"] == []


def test_a_group_is_named_and_the_name_taken_back(client):
    group_id = remember(client, "Ada")["group_id"]
    naming = client.post(f"/groups/{group_id}/name", json={"name": "Ada"})
    assert (naming.status_code, naming.json()["enrolled"], naming.json()["name"]) == (200, 1, "Ada")
    assert client.post(f"/groups/{group_id}/name", json={"name": "Grace"}).status_code == 404
    assert client.post(f"/groups/{group_id}/unname").json()["faces"] == 1
    assert client.get("/users").json()["users"] == []


def test_a_face_of_a_group_can_be_shown(client):
    group_id = remember(client, "Ada")["group_id"]
    (face,) = client.get(f"/groups/{group_id}/faces").json()["faces"]
    assert client.get(f"/images/{face['image_path']}").headers["Content-Type"] == "image/jpeg"


def test_the_faces_of_a_group_come_in_pages(client):
    ada, *_ = (remember(client, "Ada", photo)["group_id"] for photo in range(5))
    other = remember(client, "Grace")["group_id"]
    path = f"/groups/{ada}/faces"
    whole = client.get(path).json()
    assert (len(whole["faces"]), whole["next_cursor"]) == (5, None)
    first = client.get(path, params={"limit": 2}).json()
    second = client.get(path, params={"limit": 2, "cursor": first["next_cursor"]}).json()
    last = client.get(path, params={"limit": 2, "cursor": second["next_cursor"]}).json()
    assert [*first["faces"], *second["faces"], *last["faces"]] == whole["faces"]
    assert last["next_cursor"] is None
    foreign = client.get(f"/groups/{other}/faces", params={"cursor": first["next_cursor"]})
    assert (foreign.status_code, foreign.json()["detail"]) == (422, "The cursor belongs to another listing.")
    assert client.get(path, params={"limit": 1001}).status_code == 422


def test_groups_are_skipped_divided_merged_dismissed_and_erased(client):
    group_id = remember(client, "Ada")["group_id"]
    remember(client, "Ada", 1)
    assert client.patch(f"/groups/{group_id}", json={"skipped": True}).json()["skipped"] is True
    assert client.get("/groups").json()["groups"] == []
    assert len(client.get("/groups?skipped=true").json()["groups"]) == 1
    one, other = client.post(f"/groups/{group_id}/split", json={}).json()["groups"]
    merged = client.post(f"/groups/{other['group_id']}/merge", json={"into": one["group_id"]})
    assert merged.json()["faces"] == 2
    assert client.post(f"/groups/{group_id}/dismiss").json()["faces"] == 2
    assert client.delete(f"/groups/{group_id}").status_code == 404
    assert client.post("/groups").json()["faces"] == 0


def test_a_backend_that_cannot_group_says_so(engine):
    app = FaceApp(MemoryBucket(), MemoryRecognizer(engine), MemoryCatalog())
    client = TestClient(create_api(app, Settings()), raise_server_exceptions=False)
    answers = [
        client.get("/groups"),
        client.post("/recognize?remember=true", content=photo_of("Ada"), headers=JPEG),
        client.post("/groups/g-0123456789abcdef/name", json={"name": "Ada"}),
    ]
    assert [answer.status_code for answer in answers] == [422] * 3
    assert {answer.json()["detail"] for answer in answers} == {NO_GROUPS}
