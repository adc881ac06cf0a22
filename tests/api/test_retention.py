"""How long something is kept, over HTTP: deleting recognitions, and the last day of a consent."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mien.security.api_keys import KeyFile, Scope
from mien.settings import Settings
from tests.api.conftest import JPEG, Service

TODAY = datetime.now(UTC).date()


def day(days: int) -> str:
    return (TODAY + timedelta(days=days)).isoformat()


def recognize(service: Service, photo: bytes) -> str:
    answer: str = service.client.post("/recognize", content=photo, headers=JPEG).json()["recognition_id"]
    return answer


def listed(service: Service) -> list[str]:
    return [each["recognition_id"] for each in service.client.get("/recognitions").json()["recognitions"]]


def test_one_recognition_is_deleted(service: Service, robert: list[bytes]) -> None:
    first, second = recognize(service, robert[0]), recognize(service, robert[1])
    assert service.client.delete(f"/recognitions/{first}").status_code == 204
    assert listed(service) == [second]
    again = service.client.delete(f"/recognitions/{first}")
    assert (again.status_code, again.json()["type"]) == (404, "urn:mien:recognition-not-found")


def test_recognitions_that_name_nobody_are_deleted_together(
    service: Service, robert: list[bytes], venus: list[bytes], landscape: bytes
) -> None:
    service.enroll(robert[0], "Robert")
    known = recognize(service, robert[1])
    for photo in (venus[0], landscape):
        recognize(service, photo)
    answer = service.client.delete("/recognitions", params={"unnamed": True})
    assert (answer.status_code, answer.json()) == (200, {"deleted": 2, "next_cursor": None})
    assert listed(service) == [known]


@pytest.mark.parametrize("query", [{}, {"unnamed": False}, {"unnamed": True, "cursor": "made up"}])
def test_all_recognitions_are_never_deleted_together(
    service: Service, robert: list[bytes], query: dict[str, Any]
) -> None:
    kept = recognize(service, robert[0])
    assert service.client.delete("/recognitions", params=query).status_code == 422
    assert listed(service) == [kept]


def test_a_consent_is_set_shown_listed_and_taken_back(
    service: Service, robert: list[bytes], venus: list[bytes]
) -> None:
    service.enroll(robert[0], "Robert")
    service.enroll(venus[0], "Venus")
    assert service.client.get("/users/Robert").json()["consent_until"] is None
    changed = service.client.patch("/users/Robert", json={"consent_until": day(10)})
    assert changed.status_code == 200
    assert changed.json()["consent_until"] == day(10)
    assert service.client.patch("/users/Robert", json={}).json()["consent_until"] == day(10)
    assert service.client.get("/users/Robert").json()["consent_until"] == day(10)
    users = {user["user_id"]: user["consent_until"] for user in service.client.get("/users").json()["users"]}
    assert users == {"Robert": day(10), "Venus": None}
    for before, names in ((10, []), (11, ["Robert"])):
        soon = service.client.get("/users", params={"consent_before": day(before)}).json()["users"]
        assert [user["user_id"] for user in soon] == names
    assert service.client.patch("/users/Robert", json={"consent_until": None}).json()["consent_until"] is None
    assert service.client.get("/users", params={"consent_before": day(11)}).json()["users"] == []


@pytest.mark.parametrize(
    "until",
    [
        "yesterday",
        "2000-01-01",
        "0001-01-01",
        "2026-13-01",
        "2027-02-29",
        "10000-01-01",
        "9999-12-31",
        5,
        4_000_060_800,
    ],
)
def test_a_consent_that_cannot_be_is_refused(service: Service, robert: list[bytes], until: object) -> None:
    service.enroll(robert[0], "Robert")
    assert service.client.patch("/users/Robert", json={"consent_until": until}).status_code == 422
    query = {"user_id": "Robert", "consent_until": str(until)}
    assert service.client.post("/upload", params=query, content=robert[1], headers=JPEG).status_code == 422
    assert service.client.get("/users/Robert").json()["consent_until"] is None


@pytest.mark.parametrize(
    ("until", "sentence"),
    [
        ("9999-12-31", "it has no end"),
        ("2000-01-01", "today or later"),
        ("2027-02-29", "There is no day 2027-02-29."),
        ("20270630", "written as YYYY-MM-DD"),
    ],
)
def test_a_refused_consent_says_why_wherever_it_is_sent(
    service: Service, robert: list[bytes], until: str, sentence: str
) -> None:
    service.enroll(robert[0], "Robert")
    changed = service.client.patch("/users/Robert", json={"consent_until": until, "name": "Bob"})
    uploaded = service.client.post(
        "/upload", data={"user_id": "Robert", "consent_until": until}, files={"image": robert[1]}
    )
    for answer in (changed, uploaded):
        assert (answer.status_code, sentence in answer.json()["detail"]) == (422, True), answer.json()
    assert service.client.get("/users/Robert").json()["name"] == "Robert"  # nothing of a refused change is made


def test_a_consent_of_nobody_is_not_found(service: Service) -> None:
    assert service.client.patch("/users/Nobody", json={"consent_until": day(1)}).status_code == 404


@pytest.mark.parametrize("as_form", [True, False])
def test_a_consent_comes_with_an_upload(service: Service, robert: list[bytes], as_form: bool) -> None:
    sent = {"user_id": "Robert", "consent_until": day(3)}
    if as_form:
        answer = service.client.post("/upload", data=sent, files={"image": robert[0]})
    else:
        answer = service.client.post("/upload", params=sent, content=robert[0], headers=JPEG)
    assert answer.status_code == 202
    service.run_events()
    assert service.client.get("/users/Robert").json()["consent_until"] == day(3)


def test_only_a_key_that_may_erase_may_set_the_end_of_a_consent_or_delete_recognitions(
    open_service: Any, tmp_path: Path, robert: list[bytes]
) -> None:
    file = tmp_path / "keys.json"
    weak = KeyFile(file).create("camera", [Scope.UPLOAD, Scope.RECOGNIZE])
    strong = KeyFile(file).create("desk", list(Scope))
    service = open_service(settings=Settings(api_keys_file=file))
    service.client.headers["X-Api-Key"] = weak
    kept = recognize(service, robert[0])
    query = {"user_id": "Robert", "consent_until": day(1)}
    assert service.client.post("/upload", params=query, content=robert[0], headers=JPEG).status_code == 403
    assert service.client.delete(f"/recognitions/{kept}").status_code == 403
    assert service.client.delete("/recognitions", params={"unnamed": True}).status_code == 403
    assert service.client.patch("/users/Robert", json={"consent_until": day(1)}).status_code == 403
    assert listed(service) == [kept]
    service.client.headers["X-Api-Key"] = strong
    assert service.client.post("/upload", params=query, content=robert[0], headers=JPEG).status_code == 202
    service.run_events()
    assert service.app.consents(["Robert"]) == {"Robert": date.fromisoformat(day(1))}
