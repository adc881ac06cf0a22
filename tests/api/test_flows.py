"""The REST routes as a client uses them."""

from __future__ import annotations

import base64
from dataclasses import asdict
from urllib.parse import quote

import pytest

from mien.api import context
from mien.api.context import MAX_CURSOR_LENGTH, Cursors
from mien.domain.errors import StorageError
from mien.domain.results import HealthWarning
from mien.security.signing import Signer
from tests.api.conftest import JPEG, Service

HARD_NAME = "Zoë O'Neill + Söhne & Co"


def test_upload_as_raw_body(service: Service, robert: list[bytes]) -> None:
    answer = service.client.post("/upload?user_id=Robert", content=robert[0], headers=JPEG)
    assert answer.status_code == 202
    body = answer.json()
    assert (body["user_id"], body["status"]) == ("Robert", "pending")
    assert answer.headers["location"] == f"/uploads/{body['image_path']}"
    service.run_events()
    state = service.client.get(answer.headers["location"]).json()
    assert state["status"] == "indexed"
    assert len(state["face_ids"]) == 1


def test_upload_as_a_form(service: Service, robert: list[bytes]) -> None:
    answer = service.client.post("/upload", data={"user_id": "Robert"}, files={"image": ("a_b.v2.jpg", robert[0])})
    assert answer.status_code == 202
    assert answer.json()["user_id"] == "Robert"


def test_names_survive_urls(service: Service, robert: list[bytes]) -> None:
    state = service.enroll(robert[0], HARD_NAME)
    assert (state["status"], state["user_id"]) == ("indexed", HARD_NAME)
    image = service.client.get("/images/" + quote(state["image_path"]))
    assert (image.content, image.headers["content-type"]) == (robert[0], "image/jpeg")
    assert service.client.get("/users/" + quote(HARD_NAME, safe="")).json()["user_id"] == HARD_NAME
    found = service.client.get("/recognize", params={"image_path": state["image_path"]}).json()
    assert found["faces"][0]["user_id"] == HARD_NAME
    assert service.client.delete("/users/" + quote(HARD_NAME, safe="")).json()["images"] == 1


def test_a_recognition_has_the_shape_of_the_documents(service: Service, robert: list[bytes]) -> None:
    state = service.enroll(robert[0], "Robert")
    answer = service.client.post("/recognize", content=robert[1], headers=JPEG)
    assert answer.status_code == 200
    body = answer.json()
    rates = {"threshold", "threshold_fmr", "threshold_fpir"}
    assert set(body) == {"recognition_id", "image_path", "timestamp", "faces", "faces_left_out"} | rates
    (face,) = body["faces"]
    assert set(face["bounding_box"]) == {"left", "top", "width", "height"}
    assert (face["status"], face["user_id"]) == ("matched", "Robert")
    (candidate,) = face["candidates"]
    assert candidate["image_path"] == state["image_path"]
    assert candidate["face_id"] == state["face_ids"][0]
    assert service.client.get(f"/recognitions/{body['recognition_id']}").json() == body


def test_similarity_is_of_the_faces_not_of_the_detector(service: Service, robert: list[bytes]) -> None:
    service.enroll(robert[0], "Robert")
    (face,) = service.client.post("/recognize", content=robert[1], headers=JPEG).json()["faces"]
    files = {"source": ("s.jpg", robert[0]), "target": ("t.jpg", robert[1])}
    (match,) = service.client.post("/compare", files=files).json()["matches"]
    assert face["similarity"] == pytest.approx(match["similarity"], abs=1e-3)
    assert face["similarity"] != face["confidence"]


def test_a_threshold_per_request(service: Service, robert: list[bytes]) -> None:
    service.enroll(robert[0], "Robert")
    strict = service.client.post("/recognize?threshold=100", content=robert[1], headers=JPEG).json()
    assert strict["faces"][0]["status"] == "unknown"
    assert strict["threshold"] == 100


def test_a_photo_without_faces_is_an_answer_not_an_error(service: Service, landscape: bytes) -> None:
    answer = service.client.post("/recognize", content=landscape, headers=JPEG)
    assert (answer.status_code, answer.json()["faces"]) == (200, [])
    assert service.client.post("/detect", content=landscape, headers=JPEG).json() == {"faces": []}


def test_live_frames_need_not_be_stored(service: Service, robert: list[bytes]) -> None:
    service.client.post("/recognize?store=false", content=robert[0], headers=JPEG)
    assert service.client.get("/recognitions").json()["recognitions"] == []


def test_recognitions_by_person_time_and_page(service: Service, robert: list[bytes], venus: list[bytes]) -> None:
    service.enroll(robert[0], "Robert")
    ids = [
        service.client.post("/recognize", content=photo, headers=JPEG).json()["recognition_id"]
        for photo in (robert[1], venus[0], robert[2])
    ]
    first = service.client.get("/recognitions", params={"limit": 2}).json()
    second = service.client.get("/recognitions", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    listed = [r["recognition_id"] for r in first["recognitions"] + second["recognitions"]]
    assert listed == ids[::-1]
    assert second["next_cursor"] is None
    of_robert = service.client.get("/recognitions", params={"user_id": "Robert"}).json()["recognitions"]
    assert [r["recognition_id"] for r in of_robert] == [ids[2], ids[0]]
    since = first["recognitions"][0]["timestamp"]
    newest = service.client.get("/recognitions", params={"since": since}).json()["recognitions"]
    assert [r["recognition_id"] for r in newest] == [ids[2]]


def test_a_cursor_is_good_for_its_own_listing_only(service: Service, group: bytes) -> None:
    service.enroll(group, None)
    cursor = service.client.get("/faces", params={"limit": 1}).json()["next_cursor"]
    assert service.client.get("/faces", params={"limit": 1, "cursor": cursor}).status_code == 200
    for path, query in (("/users", {}), ("/faces", {"user_id": "Robert"})):
        answer = service.client.get(path, params=query | {"cursor": cursor})
        assert answer.status_code == 422
    assert service.client.get("/faces", params={"cursor": cursor[:-2] + "AA"}).status_code == 422


def test_a_cursor_is_no_longer_for_longer_filters_and_does_not_show_them() -> None:
    cursors = Cursors(Signer(b"0123456789abcdef"))
    short, long = (
        cursors.sign({"list": "faces", "image_path": path}, "token") or ""
        for path in ("uploaded/Ada/1.jpg", f"uploaded/{'a/' * 500}1.jpg")
    )
    assert len(short) == len(long) <= MAX_CURSOR_LENGTH
    assert b"Ada" not in base64.urlsafe_b64decode(short + "==")


def test_people_and_faces(service: Service, robert: list[bytes], venus: list[bytes]) -> None:
    states = [service.enroll(photo, "Robert") for photo in robert[:2]]
    service.enroll(venus[0], "Venus")
    users = service.client.get("/users").json()["users"]
    assert [(u["user_id"], u["face_count"]) for u in users] == [("Venus", 1), ("Robert", 2)]
    assert users[1]["best_face"]["user_id"] == "Robert"
    person = service.client.get("/users/Robert").json()
    assert {f["face_id"] for f in person["faces"]} == {s["face_ids"][0] for s in states}
    face_id = states[0]["face_ids"][0]
    assert service.client.get(f"/faces/{face_id}").json()["image_path"] == states[0]["image_path"]
    assert service.client.delete(f"/faces/{face_id}").status_code == 204
    assert service.client.get(f"/faces/{face_id}").status_code == 404
    assert len(service.client.get("/faces?user_id=Robert").json()["faces"]) == 1


def test_a_photo_is_moved_to_another_person(service: Service, robert: list[bytes]) -> None:
    state = service.enroll(robert[0], "Bob")
    moved = service.client.patch("/images/" + quote(state["image_path"]), json={"user_id": "Robert"}).json()
    assert (moved["status"], moved["user_id"]) == ("indexed", "Robert")
    assert service.client.get("/users/Bob").status_code == 404
    assert service.client.post("/recognize", content=robert[1], headers=JPEG).json()["faces"][0]["user_id"] == "Robert"


def test_forgetting_answers_with_a_receipt(service: Service, robert: list[bytes]) -> None:
    service.enroll(robert[0], "Robert")
    service.client.post("/recognize", content=robert[1], headers=JPEG)
    receipt = service.client.delete("/users/Robert").json()
    assert (receipt["faces"], receipt["images"], receipt["recognitions"], receipt["traces"]) == (1, 1, 1, [])
    after = service.client.post("/recognize", content=robert[1], headers=JPEG).json()
    assert after["faces"][0]["status"] == "unknown"
    assert service.client.delete("/users/Robert").status_code == 404


def test_indexing_makes_no_object_of_its_own(service: Service, robert: list[bytes]) -> None:
    service.enroll(robert[0], "Robert")
    assert service.waiting == []


def test_health_looks_at_an_image(service: Service) -> None:
    assert service.client.get("/health").json()["status"] == "ok"


def test_health_has_warnings_and_fails_when_they_cannot_be_told(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "HEALTHY_SECONDS", 0)
    warning = HealthWarning("photos_failed", "Photos that could not be indexed: 3.", {"count": 3})
    monkeypatch.setattr(service.app, "warnings", lambda: [warning])
    health = service.client.get("/health").json()
    assert health["warnings"] == ["Photos that could not be indexed: 3."]
    assert health["remarks"] == [asdict(warning)]

    def fail() -> list[HealthWarning]:
        raise StorageError("The database failed.")

    monkeypatch.setattr(service.app, "warnings", fail)
    assert service.client.get("/health").status_code == 500


def test_metrics_count_outcomes(service: Service, robert: list[bytes]) -> None:
    service.enroll(robert[0], "Robert")
    service.client.post("/recognize", content=robert[1], headers=JPEG)
    text = service.client.get("/metrics").text
    assert 'mien_recognized_faces_total{status="matched"} 1.0' in text
    assert "mien_match_similarity_count 1.0" in text
    assert 'mien_requests_total{method="POST",route="/recognize",status="200"} 1.0' in text
    assert "Robert" not in text


def test_uploads_are_listed_by_status_and_by_person(service: Service, robert: list[bytes], landscape: bytes) -> None:
    service.enroll(robert[0], "Robert")
    for user_id in ("Robert", "Nobody"):
        assert service.enroll(landscape, user_id)["status"] == "rejected"
    service.client.post("/upload?user_id=Robert", content=robert[1], headers=JPEG)

    def listed(query: str) -> list[tuple[str, str]]:
        uploads, cursor = [], ""
        while cursor is not None:
            page = service.client.get(f"/uploads?limit=2&{query}" + (f"&cursor={cursor}" if cursor else "")).json()
            uploads += [(upload["user_id"], upload["status"]) for upload in page["uploads"]]
            cursor = page["next_cursor"]
        return uploads

    assert listed("status=rejected") == [("Nobody", "rejected"), ("Robert", "rejected")]
    assert listed("user_id=Robert") == [("Robert", "pending"), ("Robert", "rejected"), ("Robert", "indexed")]
    assert listed("user_id=Robert&status=indexed") == [("Robert", "indexed")]
    assert len(listed("")) == 4
    assert service.client.get("/uploads?status=lost").status_code == 422
    assert service.client.delete("/users/Nobody").status_code == 200
    assert listed("status=rejected") == [("Robert", "rejected")]
