"""What was stored is shown and corrected from the command line: photos, history, moves, settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from mien.settings import Settings
from tests.support.painter import photo_of


@pytest.fixture
def known(mien: Any, people: Path) -> Any:
    assert mien("enroll", people).code == 0
    return mien


def test_a_persons_photos_are_listed_with_the_files_that_they_are(known):
    found = known("photos", "Ada", "--json").json["photos"]
    assert [photo["name"] for photo in found] == ["Ada", "Ada"]
    assert all(Path(photo["file"]).read_bytes()[:2] == b"\xff\xd8" for photo in found)
    shown = known("photos", "Ada").out.splitlines()
    assert shown[::2] == [photo["file"] for photo in found], "each whole, on a line of its own"
    assert all(line.endswith(" UTC, indexed.") for line in shown[1::2])


def test_a_photo_is_moved_by_its_file_or_its_path_to_somebody_known_or_new(known):
    photo = known("photos", "Grace", "--json").json["photos"][0]
    moved = known("move", photo["file"], "Ada", "--json").json
    assert (moved["name"], moved["status"]) == ("Ada", "indexed")
    assert len(known("photos", "Ada", "--json").json["photos"]) == 3
    assert known("audit", "--json", "--action", "move").json["entries"][0]["outcome"] == "done"
    assert known("move", moved["image_path"], "Hopper").code == 0
    assert "Hopper" in known("people").out
    assert known("move", "uploaded/nobody/x.jpg", "Ada").code == 1
    assert known("move", "holiday.jpg", "Ada").code == 2


def test_history_lists_who_was_recognised_and_only_of_one_person_on_wish(known, people):
    known("recognize", people)
    assert len(known("history", "--json").json["recognitions"]) == 3
    (grace,) = known("history", "Grace", "--json").json["recognitions"]
    assert grace["recognition_id"] in known("history", "Grace").out
    assert known("history", "--since", "2999-01-01").out == "No recognitions are stored.\n"
    assert "There is no such moment" in known("history", "--since", "2027-02-29").err
    assert "is written as" in known("audit", "--since", "2027").err


def test_config_shows_each_setting_and_where_it_comes_from(mien, monkeypatch, tmp_path):
    monkeypatch.setenv("MIEN_MARGIN", "7")
    answer = mien("config", "--json", "--data-dir", tmp_path / "elsewhere")
    shown = {each["name"]: (each["value"], each["source"]) for each in answer.json["settings"]}
    assert shown["MIEN_MARGIN"] == ("7.0", "environment")
    assert shown["MIEN_DATA_DIR"] == (str(tmp_path / "elsewhere"), "--data-dir")
    assert shown["MIEN_RESULT_DAYS"] == (None, "default")
    assert str(tmp_path / "elsewhere") in mien("config", "--data-dir", tmp_path / "elsewhere").out
    assert "MIEN_KEYS_SECRET" not in shown
    assert not (tmp_path / "elsewhere").exists()


def test_config_tells_of_a_misspelt_setting_and_of_nothing_else(mien, monkeypatch):
    monkeypatch.setenv("MIEN_VISITOR_DAY", "30")
    monkeypatch.setenv("MIEN_HOST", "of a container")
    assert mien("config", "--json").json["misspelt"] == {"MIEN_VISITOR_DAY": "MIEN_VISITOR_DAYS"}
    told = " ".join(mien("config").err.split())
    assert told == "MIEN_VISITOR_DAY is no setting, and has no effect. Did you mean MIEN_VISITOR_DAYS?"


def test_no_setting_holds_a_secret_that_config_would_show():
    names_of_secrets = {"keys_secret", "rekognition_keys_secret"}
    assert {name for name in Settings.__slots__ if "secret" in name} == names_of_secrets


def test_british_names_call_the_same_commands(mien, people):
    assert mien("enrol", people).code == 0
    assert "Ada" in mien("recognise", people / "Ada" / "0.jpg").out


@pytest.mark.parametrize("words", [("faces", "--user"), ("photos",), ("history",), ("forget", "--yes"), ("rename",)])
def test_somebody_who_is_not_enrolled_is_an_error_with_a_name_that_is_similar(known, words):
    answer = known(*words, "ada1", *["Lovelace"] * (words == ("rename",)))
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == "Nobody is enrolled as ada1. Did you mean Ada?\n"


def test_an_impossible_threshold_is_refused_once(known, people):
    answer = known("recognize", people, "--threshold", "0.9")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.count("0.9") == 1


def test_an_unknown_backend_is_refused_by_the_option_that_named_it(mien):
    answer = mien("people", "--backend", "foo")
    assert answer.code == 2
    assert "choose embedded or aws" in answer.err


@pytest.mark.parametrize("words", [("people",), ("forget", "Ada", "--yes"), ("repair",), ("keys", "list")])
def test_a_mistyped_data_folder_is_refused_and_not_created(mien, tmp_path, words):
    answer = mien(*words, "--data-dir", "typo")
    assert (answer.code, "There is no data folder typo" in answer.err) == (2, True)
    assert not (tmp_path / "typo").exists()


def test_an_address_is_answered_with_what_to_do_instead(mien):
    answer = mien("recognize", "https://example.com/a.jpg")
    assert answer.err == "Mien reads files: download https://example.com/a.jpg first, or pipe it in and name -.\n"


def test_forgetting_asks_with_what_would_be_erased(known, people):
    known("recognize", people / "Ada" / "0.jpg")
    answer = known("forget", "Ada", answer="n\n")
    assert "Erase Ada, with 2 faces, 2 photos and 1 stored recognition, for good?" in answer.err
    assert len(known("people", "--json").json["people"]) == 2


def test_a_look_alike_is_named_with_its_similarity(known, tmp_path):
    (tmp_path / "twin.jpg").write_bytes(photo_of("Ada", photo=9))
    answer = known("enroll", "twin.jpg", "--user", "Grace", "--json").json
    (warning,) = (text for text in answer["photos"][0]["warnings"] if "looks like" in text)
    assert warning.startswith("The face looks like Ada's (similarity ")


def test_inspect_names_people_and_photos(known, tmp_path):
    (tmp_path / "twin.jpg").write_bytes(photo_of("Ada", photo=9))
    known("enroll", "twin.jpg", "--user", "Grace")
    answer = known("inspect")
    assert answer.code == 1
    assert re.search(r"Ada: \S+/bucket/uploaded/p-", answer.out)
    assert re.search(r"Grace: \S+/bucket/uploaded/p-", answer.out)


def test_faces_are_numbered_from_left_to_right_in_the_table(known, tmp_path):
    (tmp_path / "all.jpg").write_bytes(photo_of("Grace", "Ada"))
    found = known("recognize", "all.jpg", "--json").json["photos"][0]["faces"]
    left = min(found, key=lambda face: face["bounding_box"]["left"])
    rows = [line for line in known("recognize", "all.jpg").out.splitlines() if "Ada" in line or "Grace" in line]
    assert left["name"] in rows[0]
    assert len(rows) == 2


def test_a_name_that_no_font_can_write_is_said(known, people, tmp_path, monkeypatch):
    monkeypatch.setattr("mien.annotate.labels._font_files", tuple)
    known("rename", "Ada", "李伟")
    answer = known("recognize", people / "Ada" / "0.jpg", "--annotate", "out.jpg")
    assert "No installed font has the letters of 李伟" in answer.err
    assert (tmp_path / "out.jpg").exists()
