"""Erasures over HTTP: quick ones, long ones, and what forms are worth afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from mien.api.api import create_api
from mien.api.routes import people
from mien.backends.embedded.backend import EmbeddedBackend
from mien.domain.policy import Policy
from mien.security.api_keys import KeyFile, Scope
from mien.settings import Settings
from tests.api.conftest import Service
from tests.support.fake_engine import FakeFaceEngine
from tests.support.process import wait_for


def test_a_quick_erasure_answers_with_the_receipt(service: Service, robert: list[bytes]) -> None:
    service.enroll(robert[0], "Robert")
    answer = service.client.delete("/users/Robert")
    assert answer.status_code == 200
    receipt = answer.json()
    assert (receipt["faces"], receipt["traces"]) == (1, [])
    later = service.client.get(f"/erasures/{receipt['erasure_id']}").json()
    assert later["status"] == "done"
    assert later["receipt"] == {
        name: receipt[name] for name in ("faces", "images", "uploads", "recognitions", "traces")
    }
    assert "Robert" not in str(later)


def test_a_long_erasure_answers_where_to_ask(
    service: Service, robert: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    service.enroll(robert[0], "Robert")
    go_on = threading.Event()
    plain = service.app.finish_erasure
    monkeypatch.setattr(people, "ERASURE_SECONDS", 0.05)
    monkeypatch.setattr(service.app, "finish_erasure", lambda erasure: go_on.wait(60) and plain(erasure))
    with service.client as client:
        answer = client.delete("/users/Robert")
        assert answer.status_code == 202
        location = answer.headers["location"]
        assert "Robert" not in location
        assert answer.json()["status"] == client.get(location).json()["status"] == "pending"
        go_on.set()
        wait_for(lambda: client.get(location).json()["status"] == "done")
        assert client.get(location).json()["receipt"]["faces"] == 1
        assert client.get("/users/Robert").status_code == 404


def test_an_unknown_erasure_is_not_found(service: Service) -> None:
    assert service.client.get("/erasures/unknown").status_code == 404
    assert service.client.delete("/users/Nobody").status_code == 404


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "api-keys.json")


@pytest.fixture
def open_client(tmp_path: Path, engine: FakeFaceEngine) -> Callable[[Settings], tuple[TestClient, EmbeddedBackend]]:
    def open_client(settings: Settings) -> tuple[TestClient, EmbeddedBackend]:
        backend = EmbeddedBackend(tmp_path / "data", "people", Policy(), lambda: engine)
        return TestClient(create_api(backend.app, settings, signer=backend.signer, forms=True)), backend

    return open_client


OpenClient = Callable[[Settings], tuple[TestClient, EmbeddedBackend]]


def send(client: TestClient, form: dict[str, dict[str, str]], photo: bytes) -> int:
    return client.post("/bucket", data=form["fields"], files={"file": ("photo.jpg", photo, "image/jpeg")}).status_code


def test_a_form_is_worth_nothing_once_its_person_is_forgotten(open_client: OpenClient, robert: list[bytes]) -> None:
    client, backend = open_client(Settings())
    with backend.app:
        wanted = {"content_type": "image/jpeg", "user_id": "Robert"}
        before = client.post("/uploads", json=wanted).json()
        others = client.post("/uploads", json=wanted | {"user_id": "Venus"}).json()
        backend.app.enroll(robert[0], "Robert")
        client.delete("/users/Robert")
        assert send(client, before, robert[1]) == 403
        assert backend.app.verify_erased("Robert") == ()
        assert send(client, others, robert[1]) == 204
        assert send(client, client.post("/uploads", json=wanted).json(), robert[1]) == 204


def test_a_form_is_worth_nothing_once_its_key_is_revoked(
    open_client: OpenClient, keys: KeyFile, robert: list[bytes]
) -> None:
    client, backend = open_client(replace(Settings(), api_keys_file=keys._path))
    with backend.app:
        forms = []
        for name in ("door", "phone"):
            headers = {"X-Api-Key": keys.create(name, [Scope.UPLOAD])}
            forms.append(client.post("/uploads", json={"content_type": "image/jpeg"}, headers=headers).json())
        keys.revoke(keys.list()[0].key_id)
        assert [send(client, form, robert[0]) for form in forms] == [403, 204]
        swapped = forms[1] | {"fields": forms[1]["fields"] | {"issuer": forms[0]["fields"]["issuer"]}}
        assert send(client, swapped, robert[0]) == 403
        del swapped["fields"]["issuer"]
        assert send(client, swapped, robert[0]) == 422
