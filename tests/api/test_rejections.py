"""Rejections and hygiene over REST."""

from __future__ import annotations

import pytest

from tests.api.conftest import JPEG, Service


def test_a_rejection_changes_answers_and_can_be_taken_back(
    service: Service, robert: list[bytes], venus: list[bytes]
) -> None:
    service.enroll(robert[0], "Bob")
    rejected = service.client.post("/rejections?user_id=Bob", content=venus[1], headers=JPEG)
    assert rejected.status_code == 201
    assert rejected.json()["user_id"] == "Bob"
    assert _status(service, venus[1]) == "unknown"
    listed = service.client.get("/rejections?user_id=Bob").json()["faces"]
    assert [face["face_id"] for face in listed] == [rejected.json()["face_id"]]
    assert service.client.delete(f"/rejections/{listed[0]['face_id']}").status_code == 204
    assert _status(service, venus[1]) == "matched"
    assert service.client.delete(f"/rejections/{listed[0]['face_id']}").status_code == 404


def test_rejections_that_cannot_be(service: Service, robert: list[bytes], landscape: bytes) -> None:
    service.enroll(robert[0], "Bob")
    assert service.client.post("/rejections?user_id=Zoe", content=robert[0], headers=JPEG).status_code == 404
    assert service.client.post("/rejections?user_id=Bob", content=landscape, headers=JPEG).status_code == 422


def test_hygiene_says_where_it_is_not_to_be_had(service: Service) -> None:
    answer = service.client.get("/hygiene")
    assert answer.status_code == 422
    assert "embeddings" in answer.json()["detail"]


@pytest.mark.parametrize("threshold", ["80", "fmr=1e-4", "1e-4", "fpir=0.0001"])
def test_a_threshold_may_be_an_error_rate(service: Service, robert: list[bytes], threshold: str) -> None:
    service.enroll(robert[0], "Bob")
    answer = service.client.post("/recognize", params={"threshold": threshold}, content=robert[1], headers=JPEG)
    assert answer.json()["faces"][0]["user_id"] == "Bob"
    assert answer.json()["threshold"] == pytest.approx(80, abs=1e-3)
    assert answer.json()["threshold_fmr"] == pytest.approx(1e-4, rel=1e-3)
    assert answer.json()["threshold_fpir"] == pytest.approx(1e-4, rel=1e-3)


def _status(service: Service, photo: bytes) -> str:
    answer = service.client.post("/recognize?threshold=0", content=photo, headers=JPEG)
    status: str = answer.json()["faces"][0]["status"]
    return status
