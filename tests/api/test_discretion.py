"""A key that may only upload learns nothing of who is enrolled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mien.domain.policy import Policy, SeveralFaces
from mien.security.api_keys import KeyFile, Scope
from mien.settings import Settings
from tests.api.conftest import JPEG, Service
from tests.support.painter import photo_of


class Caller:
    def __init__(self, service: Service, key: str) -> None:
        self.service, self.headers = service, {"X-Api-Key": key}

    def upload(self, photo: bytes, **whose: str) -> Any:
        return self.service.client.post("/upload", params=whose, content=photo, headers=JPEG | self.headers)

    def state(self, path: str) -> dict[str, Any]:
        self.service.run_events()
        answer = self.service.client.get(f"/uploads/{path}", headers=self.headers)
        assert answer.status_code == 200
        state: dict[str, Any] = answer.json()
        return state


@pytest.fixture
def callers(open_service: Callable[..., Service], tmp_path: Path) -> tuple[Caller, Caller]:
    """Somebody who may do everything, and a device that may upload; Ada (as a) and Grace are enrolled."""
    keys = KeyFile(tmp_path / "keys.json")
    service = open_service(Policy(several_faces=SeveralFaces.REFUSE), Settings(api_keys_file=tmp_path / "keys.json"))
    manager = Caller(service, keys.create("manager", list(Scope)))
    device = Caller(service, keys.create("device", [Scope.UPLOAD]))
    manager.upload(photo_of("Ada"), user_id="a", name="Ada Lovelace")
    manager.upload(photo_of("Grace"), user_id="Grace")
    service.run_events()
    return manager, device


def test_whom_the_face_resembles_is_told_to_others_only(callers: tuple[Caller, Caller]) -> None:
    manager, device = callers
    paths = [
        device.upload(photo_of("Ada", photo=1), user_id="Stranger").json()["image_path"],  # looks like another
        device.upload(photo_of("Grace", photo=2), user_id="a").json()["image_path"],  # unlike the person
        device.upload(photo_of("Ada"), user_id="Other").json()["image_path"],  # the very photo
    ]
    assert all(manager.state(path)["remarks"] for path in paths)
    for path in paths:
        state = device.state(path)
        assert (state["status"], state["remarks"], state["warnings"], state["reasons"]) == ("indexed", [], [], [])


def test_what_is_wrong_with_the_photo_is_told(callers: tuple[Caller, Caller]) -> None:
    _, device = callers
    state = device.state(device.upload(photo_of("Ada", "Grace", "Edith"), user_id="Three").json()["image_path"])
    assert (state["status"], [remark["code"] for remark in state["remarks"]]) == ("rejected", ["several_faces"])


@pytest.mark.parametrize("interrupted", [False, True])
def test_that_the_server_failed_is_told(callers: tuple[Caller, Caller], interrupted: bool) -> None:
    _, device = callers
    path = device.upload(photo_of("Edith"), user_id="New").json()["image_path"]
    device.service.app.mark_failed(path, interrupted=interrupted)
    answer = device.service.client.get(f"/uploads/{path}", headers=device.headers).json()
    assert answer["status"] == "failed"
    assert [remark["code"] for remark in answer["remarks"]] == [
        f"indexing_{'interrupted' if interrupted else 'failed'}"
    ]


def test_names_are_told_to_others_only(callers: tuple[Caller, Caller]) -> None:
    manager, device = callers
    photo = photo_of("Ada", photo=3)
    answer = device.upload(photo, user_id="a").json()
    assert answer["name"] is None
    assert device.state(answer["image_path"])["name"] is None
    assert manager.state(answer["image_path"])["name"] == "Ada Lovelace"
    assert device.upload(photo, name="Ada Lovelace").json()["name"] == "Ada Lovelace"  # its own word


def test_a_photo_that_is_enrolled_already_is_answered_as_a_new_one(callers: tuple[Caller, Caller]) -> None:
    manager, device = callers
    known, new = (device.upload(photo, user_id="a").json() for photo in (photo_of("Ada"), photo_of("Ada", photo=4)))
    for answer in (known, new):
        assert (answer["status"], answer["face_ids"], answer["remarks"]) == ("pending", [], [])
    assert known["timestamp"] <= new["timestamp"]
    assert manager.upload(photo_of("Ada"), user_id="a").json()["status"] == "indexed"


@pytest.mark.parametrize(
    "whose", [{"user_id": "grace"}, {"user_id": "ADA LOVELACE"}, {"name": "ADA lovelace"}, {"name": "a"}]
)
def test_no_conflict_tells_who_is_enrolled(callers: tuple[Caller, Caller], whose: dict[str, str]) -> None:
    manager, device = callers
    assert manager.upload(photo_of("Edith"), **whose).status_code == 409
    answer = device.upload(photo_of("Edith"), **whose)
    fresh = device.upload(photo_of("Edith"), **{kind: f"new {text}" for kind, text in whose.items()})
    assert answer.status_code == fresh.status_code == 202
    assert {**answer.json(), "image_path": "", "user_id": "", "name": "", "timestamp": ""} == {
        **fresh.json(),
        "image_path": "",
        "user_id": "",
        "name": "",
        "timestamp": "",
    }
    if "user_id" in whose:
        path = answer.json()["image_path"]
        assert answer.json()["user_id"] == whose["user_id"]
        assert (device.state(path)["status"], device.state(path)["remarks"]) == ("pending", [])
        assert manager.state(path)["status"] == "rejected", "somebody who may manage decides"
    form = {"content_type": "image/jpeg", **whose}
    assert device.service.client.post("/uploads", json=form, headers=device.headers).status_code == 201
    assert manager.service.client.post("/uploads", json=form, headers=manager.headers).status_code == 409
