"""How long something is kept, on the command line: consents, single recognitions, and what is over."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from mien.config import open_embedded
from mien.domain.records import Consent, Recognition, Upload, UploadStatus
from mien.settings import Settings
from tests.support.painter import photo_of

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


TODAY = datetime.now(UTC).date()
"""Or yesterday, when the tests run past midnight: a test that asks for a day twice gets the same one."""


def day(days):
    return (TODAY + timedelta(days=days)).isoformat()


@pytest.fixture
def known(mien, people, tmp_path):
    """Ada and Grace are enrolled, with their names as ids."""
    with open_embedded(Settings(data_dir=tmp_path / "data")).app as app:
        for name in ("Ada", "Grace"):
            app.enroll((people / name / "0.jpg").read_bytes(), name)
    assert mien("enroll", people).code == 0
    return mien


@pytest.fixture
def put(tmp_path):
    """Stores records past the application."""

    def put(*records):
        backend = open_embedded(Settings(data_dir=tmp_path / "data"))
        with backend.app:
            for record in records:
                backend.catalog.put(record)

    return put


@pytest.fixture
def over(known, put, tmp_path):
    """A recognition, a photo of nobody and a person, all of whose time is long over."""
    visitor = tmp_path / "data" / "bucket" / "uploaded" / "visitor.jpg"
    visitor.write_bytes(photo_of("Hedy"))
    assert known("repair").code == 0
    put(
        Recognition("old", None, LONG_AGO, 80.0, ()),
        Upload("uploaded/visitor.jpg", None, UploadStatus.INDEXED, LONG_AGO),
        Consent.until("Ada", LONG_AGO.date()),
    )
    return visitor


def test_a_consent_is_shown_set_listed_and_taken_back(known):
    assert known("consent", "Ada", "--json").json == {"user_id": "Ada", "consent_until": None}
    assert known("consent", "Ada", day(10), "--json").json == {"user_id": "Ada", "consent_until": day(10)}
    assert day(10) in known("consent", "Ada").out
    assert day(10) in known("people").out
    assert known("people", "--consent-before", day(10), "--json").json == {"people": []}
    assert day(10) in known("people", "--consent-before", day(10)).out
    (ada,) = known("people", "--consent-before", day(11), "--json").json["people"]
    assert (ada["user_id"], ada["faces"], ada["consent_until"]) == ("Ada", 2, day(10))
    assert "no end" in known("consent", "Ada", "--no-end").out
    assert {person["consent_until"] for person in known("people", "--json").json["people"]} == {None}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["Nobody"], 1),
        (["Nobody", day(1)], 1),
        (["Ada", "2000-01-01"], 2),
        (["Ada", "soon"], 2),
        (["Ada", "9999-12-31"], 2),
        (["Ada", "2027-02-29"], 2),
        (["Ada", day(1), "--no-end"], 2),
    ],
)
def test_a_consent_that_cannot_be_is_refused(known, words, code):
    answer = known("consent", *words)
    assert answer.code == code
    assert answer.err
    assert known("consent", "Ada", "--json").json["consent_until"] is None


def test_one_recognition_is_forgotten(known, put):
    put(Recognition("a", None, LONG_AGO, 80.0, ()), Recognition("b", None, LONG_AGO, 80.0, ()))
    assert known("forget", "--recognition", "a", answer="n\n").code != 0
    assert known("forget", "--recognition", "a", "--yes", "--json").json == {"recognitions": 1}
    assert known("forget", "--recognition", "a", "--yes").code == 1
    assert "1 stored" in known("forget", "--recognition", "b", "--yes").out


def test_recognitions_that_name_nobody_are_forgotten_together(known, tmp_path):
    for number, name in enumerate(["Hedy", "Ada", "Edith"]):
        (tmp_path / f"{number}.jpg").write_bytes(photo_of(name, photo=7))
        known("recognize", f"{number}.jpg")
    assert known("forget", "Ada", "--unnamed-recognitions", "--yes").code == 2
    assert known("forget", "--unnamed-recognitions", "--yes", "--json").json == {"recognitions": 2}
    assert known("forget", "--unnamed-recognitions", "--yes", "--json").json == {"recognitions": 0}
    assert known("forget", "Ada", "--yes", "--json").json["recognitions"] == 1


def test_a_repair_removes_what_is_over(known, over, monkeypatch):
    monkeypatch.setenv("MIEN_RESULT_DAYS", "30")
    monkeypatch.setenv("MIEN_VISITOR_DAYS", "30")
    assert known("repair", "--report", "--json").code == 0
    assert over.exists()
    counts = known("repair", "--json").json
    expired = {name: counts[f"{name}_expired"] for name in ("recognitions", "photos", "people")}
    assert expired == {"recognitions": 1, "photos": 1, "people": 1}
    assert not over.exists()
    assert known("verify-erased", "Ada").code == 0
    assert known("repair").out == "Nothing to repair.\n"


@pytest.mark.parametrize("command", ["recognize", "enroll"])
def test_without_a_server_commands_remove_what_is_over(known, over, people, monkeypatch, command):
    monkeypatch.setenv("MIEN_RESULT_DAYS", "30")
    monkeypatch.setenv("MIEN_VISITOR_DAYS", "30")
    answer = known(command, people / "Grace" / "0.jpg", *["--user", "Grace"][: 2 * (command == "enroll")])
    assert answer.code == 0
    assert "1 recognition, 1 photo, all about Ada" in answer.err
    assert not over.exists()
    assert known("forget", "--recognition", "old", "--yes").code == 1


def test_without_a_setting_only_people_whose_consent_ended_go(known, over, people):
    answer = known("recognize", people / "Grace" / "0.jpg")
    assert "all about Ada" in answer.err
    assert over.exists()
    assert known("forget", "--recognition", "old", "--yes").code == 0


def test_the_doctor_says_which_retention_is_in_force(known, monkeypatch):
    def retention():
        (check,) = (check for check in known("doctor", "--json").json["checks"] if check["check"] == "retention")
        return check["detail"]

    assert "recognitions: kept, photos of nobody: kept" in retention()
    monkeypatch.setenv("MIEN_RESULT_DAYS", "30")
    monkeypatch.setenv("MIEN_VISITOR_DAYS", "7")
    known("consent", "Ada", date.fromisoformat(day(5)).isoformat())
    assert "recognitions: deleted after 30 days, photos of nobody: deleted after 7 days" in retention()
    assert "within 30 days: 1" in retention()
