"""Listing, forgetting and checking."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mien.app.app import FaceApp
from mien.backends.embedded import database
from mien.backends.memory.bucket import MemoryBucket
from mien.backends.memory.catalog import MemoryCatalog
from mien.backends.memory.recognizer import MemoryRecognizer
from mien.cli import people as mien_people
from mien.config import open_embedded
from mien.domain.faces import Box
from mien.domain.records import FaceRecord, Person, UploadStatus
from mien.settings import Settings
from tests.support.fake_engine import FakeFaceEngine
from tests.support.painter import photo_of


@pytest.fixture
def known(mien, people, tmp_path):
    """Ada and Grace are enrolled, with their names as ids."""
    with open_embedded(Settings(data_dir=tmp_path / "data")).app as app:
        for name in ("Ada", "Grace"):
            app.enroll((people / name / "0.jpg").read_bytes(), name)
    assert mien("enroll", people).code == 0
    return mien


def test_an_empty_folder_says_how_to_begin(mien):
    assert "mien enroll" in mien("people").out
    assert mien("faces", "--json").json == {"faces": []}


def test_a_listing_can_be_cut(known):
    assert len(known("faces", "--limit", "2", "--json").json["faces"]) == 2


def test_all_faces_of_a_person_are_counted_and_listed(mien, monkeypatch):
    now, box, catalog = datetime.now(UTC), Box(0, 0, 1, 1), MemoryCatalog()
    catalog.put(Person("Ada", "Ada", now))
    for number in range(2500):
        catalog.put(FaceRecord(f"face-{number}", "Ada", f"uploaded/Ada/{number}.jpg", now, box, 99.0))
    app = FaceApp(MemoryBucket(), MemoryRecognizer(FakeFaceEngine()), catalog)
    monkeypatch.setattr(mien_people, "open_app", lambda settings: app)
    assert [person["faces"] for person in mien("people", "--json").json["people"]] == [2500]
    assert "2500" in mien("people").out
    assert len(mien("faces", "--user", "Ada", "--limit", "2100", "--json").json["faces"]) == 2100


def test_forgetting_asks_first(known):
    refused = known("forget", "Ada", answer="n\n")
    assert refused.code != 0
    assert len(known("people", "--json").json["people"]) == 2
    assert known("forget", "Ada", answer="y\n").code == 0
    assert [person["name"] for person in known("people", "--json").json["people"]] == ["Grace"]


def test_forgetting_nobody_asks_nothing_and_says_who_has_a_similar_name(known):
    answer = known("forget", "Grac", answer="")
    assert answer.code == 1
    assert answer.err.strip() == "Nobody is enrolled as Grac. Did you mean Grace?"


def test_who_is_forgotten_is_not_recognised(known, tmp_path):
    (tmp_path / "new.jpg").write_bytes(photo_of("Ada", photo=5))
    assert known("recognize", "new.jpg").code == 0
    receipt = known("forget", "Ada", "--yes", "--json").json
    assert (receipt["faces"], receipt["images"], receipt["recognitions"], receipt["traces"]) == (2, 2, 1, [])
    assert known("recognize", "new.jpg").code == 1


def test_the_absence_of_a_forgotten_person_is_proved(known):
    before = known("verify-erased", "Ada", "--json")
    assert before.code == 1
    assert before.json["erased"] is False
    assert {"bucket", "recognizer", "people"} <= set(before.json["traces"])
    assert "bucket" in known("verify-erased", "Ada").out
    known("forget", "Ada", "--yes")
    after = known("verify-erased", "Ada", "--json")
    assert after.code == 0
    assert after.json == {"erased": True, "traces": []}


def test_who_is_not_gone_from_the_log_is_not_said_to_be_erased(known, tmp_path, monkeypatch):
    monkeypatch.setattr(database, "EMPTYING_SECONDS", 0.0)
    with closing(sqlite3.connect(tmp_path / "data" / "mien.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM People").fetchall()
        answer = known("forget", "Ada", "--yes")
        assert answer.code == 4
        assert answer.out.startswith("The erasure of Ada is not finished. Removed: 2 faces, 2 photos")
        assert "Something is left in: mien.db-wal. It is tried again; `mien repair` does it at once." in answer.err
        assert "Interrupted erasures" not in known("repair").out
    assert known("repair").out == "Interrupted erasures completed: 1\n"
    assert known("verify-erased", "Ada").code == 0


def test_one_face_is_forgotten(known):
    first, second = known("faces", "--user", "Ada", "--json").json["faces"]
    assert known("forget", "--face", first["face_id"], "--yes").code == 0
    assert [face["face_id"] for face in known("faces", "--user", "Ada", "--json").json["faces"]] == [second["face_id"]]


@pytest.mark.parametrize(
    ("words", "code"),
    [(["forget", "Nobody", "--yes"], 1), (["forget", "--yes"], 2), (["forget", "--face", "no-such-face", "--yes"], 1)],
)
def test_what_cannot_be_forgotten_is_said(known, words, code):
    answer = known(*words)
    assert answer.code == code
    assert answer.err


def test_the_doctor_finds_nothing_wrong(known):
    answer = known("doctor", "--json")
    assert answer.code == 0, answer.out
    assert answer.json["works"] is True
    assert {check["check"] for check in answer.json["checks"]} >= {"models", "recognition", "data folder", "database"}


def test_the_doctor_names_what_lies_among_the_photos_and_is_none(known, tmp_path):
    folder = next(tmp_path.rglob("bucket")) / "uploaded" / "Ada"
    (folder / "link.jpg").symlink_to(tmp_path / "none.jpg")
    answer = known("doctor", "--json")
    assert answer.code == 0, answer.out
    (photos,) = [check["detail"] for check in answer.json["checks"] if check["check"] == "photos"]
    assert "uploaded/Ada/link.jpg (link)" in photos


def test_the_doctor_names_folders_that_cannot_be_taken(known, tmp_path):
    uploaded = tmp_path / "data" / "bucket" / "uploaded"
    for name in ("ada", "con", os.fsdecode(b"M\xfcller")):
        (uploaded / name).mkdir()
        (uploaded / name / "1.jpg").write_bytes(photo_of("Edith"))
    known("repair")
    answer = known("doctor", "--json")
    (photos,) = [check["detail"] for check in answer.json["checks"] if check["check"] == "photos"]
    assert r"folders that cannot be a person's: uploaded/M\xfcller, uploaded/ada, uploaded/con" in photos


def test_the_doctor_names_erasures_that_are_not_finished_by_their_ids(known, tmp_path):
    with open_embedded(Settings(data_dir=tmp_path / "data")).app as app:
        erasure = app.request_erasure("Ada")
    answer = known("doctor", "--json")
    assert answer.code == 4
    (failed,) = [check for check in answer.json["checks"] if not check["works"]]
    assert (failed["check"], "Ada" in failed["detail"]) == ("erasures", False)
    assert erasure.erasure_id in failed["detail"]
    assert known("repair").out == "Interrupted erasures completed: 1\n"
    assert known("doctor").code == 0


def test_the_doctor_names_a_damaged_database(known, tmp_path):
    (tmp_path / "data" / "mien.db").write_bytes(b"not a database" * 1000)
    answer = known("doctor", "--json")
    assert answer.code == 4
    assert "database" in {check["check"] for check in answer.json["checks"] if not check["works"]}


def test_the_doctor_names_models_that_are_not_there(known, tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_MODELS_DIR", str(tmp_path))
    answer = known("doctor")
    assert answer.code == 4
    assert "fails" in answer.out


def test_what_was_left_half_done_is_finished(known, tmp_path):
    by_hand = tmp_path / "data" / "bucket" / "uploaded" / "Edith" / "photo.jpg"
    by_hand.parent.mkdir()
    by_hand.write_bytes(photo_of("Edith"))
    repaired = known("repair", "--json")
    assert repaired.code == 0
    counts = {name: count for name, count in repaired.json.items() if count}
    assert counts == {"photos_without_state": 1}
    assert "Edith" in known("people").out
    by_hand.unlink()
    assert known("repair").out == "Photos deleted by hand, their faces removed: 1\n"
    assert "Edith" not in known("people").out
    assert known("repair").out == "Nothing to repair.\n"


def test_a_repair_that_would_remove_much_waits_for_a_yes(known, tmp_path):
    folder = tmp_path / "data" / "bucket" / "uploaded" / "Edith"
    folder.mkdir()
    for number in range(11):
        (folder / f"{number}.jpg").write_bytes(photo_of("Edith", photo=number % 5))
    assert known("repair").code == 0
    for photo in folder.iterdir():
        photo.unlink()
    reported = known("repair", "--report", "--json")
    assert (reported.code, reported.json["stopped"], reported.json["photos_deleted_by_hand"]) == (0, False, 11)
    stopped = known("repair", "--json")
    assert (stopped.code, stopped.json["stopped"], stopped.json["photos_deleted_by_hand"]) == (1, True, 11)
    assert "--yes" in known("repair").out
    assert "Edith" in known("people").out
    assert known("repair", "--yes").code == 0
    assert "Edith" not in known("people").out
    assert known("repair").out == "Nothing to repair.\n"


def test_who_is_enrolled_is_looked_over(known, people):
    nothing = known("inspect", "--json")
    assert nothing.code == 0
    assert nothing.json == {"findings": []}
    (people / "Impostor").mkdir()
    (people / "Impostor" / "0.jpg").write_bytes(photo_of("Ada", photo=8))
    known("enroll", people)
    answer = known("inspect")
    assert answer.code == 1
    assert "Impostor" in answer.out
    (finding,) = known("inspect", "--json").json["findings"]
    assert finding["trouble"] == "same_face_two_names"
    assert finding["action"] in answer.out
    photo = known("photos", "Impostor", "--json").json["photos"][0]["file"]
    assert photo in answer.out
    assert known("move", photo, "Ada").code == 0
    assert "under one name" not in known("inspect").out


@pytest.mark.parametrize("words", [["people"], ["recognize", "new.jpg"]])
def test_a_data_folder_that_cannot_be_is_said(known, tmp_path, words):
    (tmp_path / "new.jpg").write_bytes(photo_of("Ada"))
    (tmp_path / "file").write_bytes(b"")
    answer = known(*words, "--data-dir", tmp_path / "file", "--json")
    assert answer.code == 4
    assert answer.json["error"]["message"] in answer.err


def test_a_setting_that_cannot_be_is_said(mien):
    answer = mien("people", "--backend", "abacus")
    assert answer.code == 2
    assert "embedded or aws" in answer.err


def test_the_data_folder_can_be_named(mien, people, tmp_path: Path):
    other = tmp_path / "other"
    assert mien("enroll", people, "--data-dir", other).code == 0
    assert (other / "mien.db").exists()
    assert not (tmp_path / "data").exists()


def test_failed_photos_are_told_and_tried_again_when_asked(known, tmp_path):
    settings = Settings(data_dir=tmp_path / "data")
    backend = open_embedded(settings)
    with backend.app:
        worker = backend.worker(threads=1)
        while worker.run_once():
            pass
        path = backend.app.upload(photo_of("Edith"), "Edith").image_path
        for _ in range(2):
            assert backend.queue.claim()
            backend.queue.expire_leases()
        assert worker.run_once()
    reported = known("repair", "--report", "--json").json
    assert (reported["photos_failed"], reported["photos_without_state"]) == (1, 0)
    assert "--retry-failed" in known("repair").out
    (photos,) = [check["detail"] for check in known("doctor", "--json").json["checks"] if check["check"] == "photos"]
    assert "could not be indexed: 1" in photos
    assert "Edith" not in known("people").out
    assert known("repair", "--retry-failed").code == 0
    assert "Edith" in known("people").out
    backend = open_embedded(settings)
    with backend.app:
        assert backend.app.upload_status(path).status is UploadStatus.INDEXED
    assert known("repair").out == "Nothing to repair.\n"
